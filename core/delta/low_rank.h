// SPDX-License-Identifier: Apache-2.0
// The exact low-rank predictor: a fine-tune that is its base plus a merged LoRA adapter is predicted as
//     base + 2^exponent * (U V^T)
// with integer factors, so that every machine predicts the same bits: integer sums, one product and one addition in
// binary64, rounded to nearest even. What the factors' bytes are stands in FORMAT.md "Factors".
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/delta/float_layout.h"

namespace tenpak::delta {

/// How the product was rounded before it was added to the base. PEFT computes it in the adapter's type and adds it in
/// the weight's: kBf16 and kFp16 say that the product itself was rounded first.
enum class MergeRounding : std::uint8_t { kNone = 0, kBf16 = 1, kFp16 = 2 };

inline constexpr std::uint32_t kMaxFactorRank = 512;
inline constexpr std::size_t kFactorsHeaderBytes = 18;

struct Factors {
    std::uint32_t rows = 0, columns = 0;  ///< of the matrix: a tensor of shape (rows, rest) flattened
    std::uint32_t rank = 0;               ///< 1..kMaxFactorRank
    std::int16_t exponent = 0;            ///< the integer product counts in units of 2^exponent: -600..60
    /// log2 of the expected error of base + product, absolute, in quarter octaves with bias 508 (= 2^0): 40..980. It
    /// sets the scale of the keys.
    std::uint16_t noise = 508;
    MergeRounding merge = MergeRounding::kNone;
    std::vector<std::int16_t> u;  ///< [rows][rank], -32767..32767
    std::vector<std::int16_t> v;  ///< [columns][rank], -32767..32767
};

/// Checks sizes and ranges of what was not parsed.
Status check_factors(const Factors& f);
/// The canonical bytes: what a block of codec "factors" decodes to, and what its hash is over.
Bytes factors_to_bytes(const Factors& f);
std::uint64_t factors_bytes(const Factors& f);  ///< size of the canonical bytes
/// Strict; `bytes` may be hostile. kMalformed.
Result<Factors> factors_from_bytes(std::span<const std::byte> bytes);

/// The entropy-coded form of the canonical bytes (FORMAT.md "Factors").
Bytes factors_encode(const Factors& f);
/// `raw_size` is what the block's record says: it must be the size of the canonical bytes. `stored` may be hostile:
/// kMalformed, and no more memory than raw_size asks for.
Result<Factors> factors_decode(std::span<const std::byte> stored, std::uint64_t raw_size);

/// Number of different keys without the mirror bit (0..kKeyClasses-1).
inline constexpr unsigned kKeyClasses = 56;

/// Prediction from checked factors. Immutable, all methods thread-safe; holds a copy of the factors laid out for the
/// kernels.
class LowRankPredictor {
 public:
    /// kMalformed where check_factors refuses.
    static Result<LowRankPredictor> make(const Factors& f);
    LowRankPredictor(LowRankPredictor&&) noexcept;
    LowRankPredictor& operator=(LowRankPredictor&&) noexcept;
    ~LowRankPredictor();

    std::uint32_t rows() const;
    std::uint32_t columns() const;
    std::size_t memory_bytes() const;
    /// Weights [first_weight, first_weight + n) of the matrix, row-major, where n = base.size() / width of `kind`.
    /// `base` has the weights' own type; `predicted` has base's size; `keys` has n entries or is empty (then no keys
    /// are made). A base weight that is not finite is predicted to stay, key 0. Key: bit 7 mirror (the exact sum lies
    /// beyond the nearest rounding boundary in magnitude, so that a residual points towards zero: negate it before
    /// coding), bits 0-6 class: 0..15 the distance to that boundary in quarter octaves of the expected error where the
    /// unit in the last place is at least four times that error, 16..39 by that unit (three octaves) and the distance
    /// in it, 40..55 by the unit alone. kInvalidArgument if the range does not fit the matrix.
    Status predict(std::uint64_t first_weight, std::span<const std::byte> base, FloatKind kind,
                   std::span<std::byte> predicted, std::span<std::uint8_t> keys) const;

 private:
    struct Impl;
    explicit LowRankPredictor(std::unique_ptr<const Impl> impl);
    std::unique_ptr<const Impl> impl_;
};

/// For tests: restricts the kernels to the plain C++ ones.
void allow_vector_prediction(bool allow);

}  // namespace tenpak::delta
