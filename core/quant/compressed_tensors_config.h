// SPDX-License-Identifier: Apache-2.0
// quantization_config of a compressed-tensors directory (optimizer.md 4.3, 4.4).
#pragma once
#include "core/base/json.h"
#include "core/quant/quantize.h"

namespace tenpak::quant {

/// One config group for each group size in use; other sizes than the most frequent one are matched by projection.
Json compressed_tensors_config(const QuantizedModel& model);

/// How a directory's linears are stored.
struct CompressedScheme {
    bool quantized = false;
    bool int_quantized = false;  ///< W8A8; else pack-quantized, bits and group by each tensor's shape
};
/// kUnsupported names what this program cannot read. `config` is the whole config.json.
Result<CompressedScheme> parse_compressed_scheme(const Json& config, const std::string& where);

}  // namespace tenpak::quant
