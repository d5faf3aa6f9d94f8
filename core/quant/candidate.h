// SPDX-License-Identifier: Apache-2.0
// The quantization candidates by name (design section 4).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace tenpak::quant {

enum class Method { kNone, kRoundToNearest, kAwq, kGptq };

struct Candidate {
    std::string name;        ///< "awq_g128"
    Method method = Method::kNone;
    unsigned bits = 16;
    std::uint32_t group = 0; ///< 0: one scale a row
    bool symmetric = true;
    bool int8_activations = false;  ///< W8A8
    bool needs_calibration() const { return method == Method::kAwq || method == Method::kGptq; }
    bool lossy() const { return bits < 16; }
};

/// fp16, int8, int8_g128, rtn_g128, awq_g128, awq_g256, gptq_g128. fp16 is the model's own 16-bit weights.
const std::vector<Candidate>& known_candidates();
/// What `optimize` tries when nothing is named: fp16, int8, int8_g128, rtn_g128, awq_g128, gptq_g128.
const std::vector<std::string>& default_candidates();
/// kInvalidArgument for an unknown name, listing the known ones.
Result<Candidate> find_candidate(std::string_view name);
/// "a,b,c" or empty for the default list. kInvalidArgument for an empty element, a double or unknown name.
Result<std::vector<Candidate>> parse_candidates(std::string_view list);

}  // namespace tenpak::quant
