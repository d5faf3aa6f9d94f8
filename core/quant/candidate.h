// SPDX-License-Identifier: Apache-2.0
// The quantization candidates by name (design section 4).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/compute/linear_weight.h"

namespace tenpak::quant {

enum class Method {
    kNone,
    kRoundToNearest,
    kAwq,
    kGptq,
    kMixed,  ///< each linear in one of several formats, by measured sensitivity
};

struct Candidate {
    std::string name;        ///< "awq_g128"
    Method method = Method::kNone;
    compute::WeightFormat format = compute::WeightFormat::kBF16;  ///< of the linears; kMixed: without meaning
    unsigned bits = 16;      ///< of a code
    std::uint32_t group = 0; ///< 0: one scale a row
    bool symmetric = true;
    bool act_order = false;       ///< kGptq with a group index (desc_act)
    bool clip = false;            ///< kGptq: each group's range is shrunk where that lowers its weighted rounding error
    float outlier_threshold = 0;  ///< LLM.int8
    double target_bits = 0;       ///< kMixed: bits per quantized weight that the result must not exceed; 0: chosen by the search
    bool needs_calibration() const { return method == Method::kAwq || method == Method::kGptq || method == Method::kMixed; }
    bool lossy() const { return method != Method::kNone; }
    /// Activations are rounded, too (W8A8).
    bool rounds_activations() const { return lossy() && (format == compute::WeightFormat::kInt8Channel || format == compute::WeightFormat::kFp8Channel); }
};

/// fp16, int8, llm_int8, int8_g128, fp8, nf4, rtn_g128, awq_g128, awq_g256, gptq_g128, gptq_g128_sym, gptq_g128_desc, int4_residual,
/// int4_sparse25, mixed. fp16 is the model's own 16-bit weights. Any "mixed_B" (mixed_4.5) is known, too: B bits per weight.
const std::vector<Candidate>& known_candidates();
/// Bits that a weight takes with its share of scales and zero points, where groups divide all tensors; NaN for mixed without a target.
double nominal_bits(const Candidate& candidate);
std::string known_candidate_names();  ///< "fp16, int8, …, mixed_4.5 (any number of bits)"
/// What `optimize` tries when nothing is named.
const std::vector<std::string>& default_candidates();
/// kInvalidArgument for an unknown name, listing the known ones.
Result<Candidate> find_candidate(std::string_view name);
/// "a,b,c" or empty for the default list. kInvalidArgument for an empty element, a double or unknown name.
Result<std::vector<Candidate>> parse_candidates(std::string_view list);

}  // namespace tenpak::quant
