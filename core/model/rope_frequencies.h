// SPDX-License-Identifier: Apache-2.0
// Inverse frequencies of rotary position embedding from config.json, scaling applied: default, linear, llama3.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/json.h"

namespace tenpak::model {

/// [head_dim/2]. Reads "rope_theta" and "rope_scaling" (or "rope_parameters", its newer spelling).
/// kUnsupported names a scaling that is not known; kMalformed for impossible numbers.
Result<std::vector<float>> rope_frequencies(const Json& config, std::uint32_t head_dim, std::uint32_t max_positions, const std::string& where);

}  // namespace tenpak::model
