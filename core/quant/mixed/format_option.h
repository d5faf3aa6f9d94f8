// SPDX-License-Identifier: Apache-2.0
// The formats between which `mixed` chooses, and one linear layer in one of them.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/compute/linear_weight.h"
#include "core/quant/gptq.h"
#include "core/quant/quantizer.h"

namespace tenpak::quant {

struct FormatOption {
    std::string name;  ///< "int4 g64"
    compute::WeightFormat format = compute::WeightFormat::kInt4Group;  ///< kBF16: left in the model's own 16 bit
    unsigned bits = 4;
    std::uint32_t group = 128;  ///< where it divides, else group_for()

    bool dense() const { return format == compute::WeightFormat::kBF16; }
    /// Its packed rows can hold k columns; where they cannot, the linear stays dense.
    bool fits(std::uint32_t k) const;
    /// As stored, without the bias.
    std::uint64_t bytes(std::uint32_t n, std::uint32_t k) const;
    std::uint32_t group_of(std::uint32_t k) const { return dense() ? 0 : group_for(group, k); }
};

/// Fewest bits first: INT4 with groups of 256, 128, 64 and 32 and zero points, INT4+INT2 and INT8 with groups of 128, 16 bit.
const std::vector<FormatOption>& mixed_options();
/// Of these, the one whose loss the whole-model probes measure: INT4 with groups of 128.
inline constexpr std::uint32_t kProbedOption = 1;

/// The statistics of one input and what options that share it share. Not thread-safe.
class SharedInput {
   public:
    /// Both must outlive it.
    SharedInput(const Gram& gram, Job& job) : gram_(gram), job_(job) {}
    const Gram& gram() const { return gram_; }
    /// Codes of up to 6 bits by GPTQ (rounded to nearest where the statistics cannot be inverted), 8 bits to nearest, dense as it is.
    Result<compute::LinearWeight> quantize(const DenseLinear& from, const FormatOption& option);

   private:
    const Gram& gram_;
    Job& job_;
    std::map<std::uint32_t, Result<GptqFactor>> factors_;  // by group
};

/// The weight in the model's own 16-bit type (fp32 models: bf16).
compute::LinearWeight dense_linear(const DenseLinear& from, DType dtype);

}  // namespace tenpak::quant
