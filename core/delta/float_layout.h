// SPDX-License-Identifier: Apache-2.0
// How the bits of a weight are cut for coding: sign | exponent | mantissa, with `dropped` low bits that are zero in the
// whole block (an fp32 tensor that was once bf16 has 16 of them) shifted away first.
#pragma once
#include <cstdint>
#include <cstring>
#include <cstddef>
#include <optional>

#include "core/tensor/dtype.h"

namespace tenpak::delta {

/// Stable numbers: they stand in payloads (FORMAT.md).
enum class FloatKind : std::uint8_t { kBf16 = 0, kFp16 = 1, kFp32 = 2 };

struct FloatLayout {
    FloatKind kind = FloatKind::kBf16;
    unsigned dropped = 0;        ///< low bits shifted away
    unsigned width = 16;         ///< bits of a value after the shift
    unsigned mantissa = 7;       ///< after the shift
    unsigned exponent_bits = 8;
    unsigned bytes = 2;          ///< of a stored weight

    std::uint32_t sign_mask() const { return 1u << (width - 1); }
    std::uint32_t exponents() const { return 1u << exponent_bits; }
};

/// No value for an unknown kind or a shift that would reach the exponent.
inline std::optional<FloatLayout> make_layout(unsigned kind, unsigned dropped) {
    FloatLayout l;
    switch (kind) {
        case 0: l = {FloatKind::kBf16, dropped, 16, 7, 8, 2}; break;
        case 1: l = {FloatKind::kFp16, dropped, 16, 10, 5, 2}; break;
        case 2: l = {FloatKind::kFp32, dropped, 32, 23, 8, 4}; break;
        default: return std::nullopt;
    }
    if (dropped >= l.mantissa) return std::nullopt;
    l.width -= dropped;
    l.mantissa -= dropped;
    return l;
}

inline std::optional<FloatKind> float_kind(DType t) {
    if (t == DType::kBF16) return FloatKind::kBf16;
    if (t == DType::kF16) return FloatKind::kFp16;
    if (t == DType::kF32) return FloatKind::kFp32;
    return std::nullopt;
}

/// Little-endian load and store of weight `i`; blocks need not be aligned.
template <class Word>
inline std::uint32_t load_weight(const std::byte* p, std::size_t i) {
    Word w;
    std::memcpy(&w, p + i * sizeof(Word), sizeof(Word));
    return w;
}
template <class Word>
inline void store_weight(std::byte* p, std::size_t i, std::uint32_t v) {
    const Word w = static_cast<Word>(v);
    std::memcpy(p + i * sizeof(Word), &w, sizeof(Word));
}

}  // namespace tenpak::delta
