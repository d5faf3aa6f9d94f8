// SPDX-License-Identifier: Apache-2.0
// config.json from a GGUF file's values and back (llama.cpp: src/llama-arch.cpp for the keys, src/models/ for what each
// architecture's graph does with them).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/model/config.h"
#include "core/quant/layouts/gguf_names.h"
#include "core/tensor/gguf.h"

namespace tenpak::quant {

/// Divisors of the rotary frequencies that lie in tensors of the file.
struct GgufRopeFactors {
    std::vector<float> all, long_context, short_context;  ///< "rope_freqs", "rope_factors_long", "rope_factors_short"
};

/// As the model's config.json says it. kUnsupported for what only llama.cpp's graph can do (experts, other scalings).
Result<Json> config_from_gguf(const GgufHeader& header, const GgufFamily& family, const GgufRopeFactors& factors, const std::string& where);

struct GgufParameters {
    GgufMetadata values;
    GgufRopeFactors factors;         ///< to be written as tensors
    std::vector<std::string> notes;  ///< where llama.cpp's graph is not the model's own
};
/// `json`: config.json, of which `config` was read. kUnsupported names what llama.cpp's graph of this architecture cannot do.
Result<GgufParameters> gguf_from_config(const model::ModelConfig& config, const Json& json, const GgufFamily& family, const std::string& where);

}  // namespace tenpak::quant
