// SPDX-License-Identifier: Apache-2.0
// Golden weights payloads (tests/fixtures/weights.golden): payloads as they were once written, and the SHA-256 of what
// they decode to. Predictions and keys are made by integers only, the same on every machine.
// A record: kind, prediction (0 none, 1 base, 2 base and keys), two zero bytes, u32 weights, u32 payload size, SHA-256, payload.
#pragma once
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/delta/weight_coder.h"

namespace tenpak::test {

struct GoldenWeights {
    delta::FloatKind kind = delta::FloatKind::kBf16;
    unsigned prediction = 0;
    std::uint32_t weights = 0;
    Bytes payload;
    Digest digest{};

    std::size_t weight_bytes() const { return kind == delta::FloatKind::kFp32 ? 4 : 2; }
    std::size_t bytes() const { return weights * weight_bytes(); }
};

/// SplitMix64 (public domain constants, S. Vigna).
struct SplitMix {
    std::uint64_t state;
    std::uint64_t operator()() {
        std::uint64_t z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
    }
};

/// Base, fine-tune and keys of a golden record: weights of some twelve exponents, changes whose size falls with them,
/// and now and then a special value.
struct GoldenData {
    Bytes base, fine;
    std::vector<std::uint8_t> keys;
    GoldenData(delta::FloatKind kind, std::uint32_t weights) {
        SplitMix random{static_cast<std::uint64_t>(kind) * 1000003u + weights};
        const unsigned width = kind == delta::FloatKind::kFp32 ? 32 : 16, mantissa = kind == delta::FloatKind::kBf16 ? 7 : kind == delta::FloatKind::kFp16 ? 10 : 23;
        const std::uint64_t all = width == 32 ? 0xffffffffu : 0xffffu, high = kind == delta::FloatKind::kFp16 ? 14 : 121;
        const auto append = [&](Bytes& out, std::uint64_t v) {
            for (unsigned i = 0; i < width / 8; ++i) out.push_back(static_cast<std::byte>(v >> (8 * i) & 0xffu));
        };
        for (std::uint32_t i = 0; i < weights; ++i) {
            const std::uint64_t r = random(), s = random(), t = random();
            unsigned below = 0;
            while (below < 11 && (r >> below & 1u) != 0) ++below;
            std::uint64_t b = (r >> 63) << (width - 1) | (high - below) << mantissa | (r >> 20 & ((std::uint64_t{1} << mantissa) - 1));
            std::uint64_t change = s % (std::uint64_t{3} << (below + (mantissa > 7 ? mantissa - 7 : 0)));
            if ((s >> 40) % 4 == 0) change = 0;
            std::uint64_t f = (s >> 62 & 1u) != 0 ? b + change : b - change;
            if (t % 997 == 0) b = t >> 20;
            if (t % 499 == 0) f = t >> 30;
            append(base, b & all);
            append(fine, f & all);
            keys.push_back(static_cast<std::uint8_t>(below * 4 | (s >> 62 & 1u) << 7));
        }
    }
    delta::Prediction prediction(unsigned mode) const {
        if (mode == 0) return {};
        if (mode == 1) return {base};
        return {base, keys};
    }
};

inline std::vector<GoldenWeights> read_golden_weights(const std::filesystem::path& path) {
    std::vector<GoldenWeights> all;
    const auto file = read_file(path, std::uint64_t{16} << 20);
    if (!file.ok()) return all;
    std::span<const std::byte> in = file.value();
    while (in.size() >= 44) {
        GoldenWeights g;
        g.kind = static_cast<delta::FloatKind>(in[0]);
        g.prediction = static_cast<unsigned>(in[1]);
        std::uint32_t size = 0;
        std::memcpy(&g.weights, in.data() + 4, 4);
        std::memcpy(&size, in.data() + 8, 4);
        std::memcpy(g.digest.data(), in.data() + 12, 32);
        in = in.subspan(44);
        if (size > in.size()) return {};
        g.payload.assign(in.begin(), in.begin() + size);
        in = in.subspan(size);
        all.push_back(std::move(g));
    }
    return in.empty() ? all : std::vector<GoldenWeights>{};
}

}  // namespace tenpak::test
