// SPDX-License-Identifier: Apache-2.0
// Finished layers of a quantization on disk, in the neutral form of LinearWeight: a safetensors file a layer, written whole or
// not at all, with a hash of what it holds.
#pragma once
#include <span>
#include <string>

#include "core/quant/calibration.h"
#include "core/quant/quantize.h"

namespace tenpak::quant {

/// Of all tensors and config.json of a model: XXH3 over their bytes, against accidents. Reads the whole model once.
Result<std::string> model_fingerprint(const ModelSource& source, const JobContext& ctx);
/// What decides a candidate's result, as one hexadecimal string: the model, candidate, calibration windows (where it needs them),
/// the backend and the version of the quantizers.
std::string candidate_fingerprint(const std::string& model, const Candidate& candidate, const CalibrationWindows& windows, const CalibrationOptions& options,
                                  const std::string& backend);

class Checkpoints {
   public:
    /// Under `folder`, which is made when the first layer is written. An empty folder: nothing is found, nothing written.
    Checkpoints(fs::path folder, std::string fingerprint);
    /// Whether the layer's file is there and whole.
    bool has(std::uint32_t layer) const;
    /// A layer's part of the result: weights, errors and notes. kNotFound, or kIntegrity for a file that is not what was written.
    Result<QuantizedModel> read(std::uint32_t layer) const;
    Status write(std::uint32_t layer, const QuantizedModel& part) const;

   private:
    fs::path file_of(std::uint32_t layer) const;
    fs::path folder_;
    std::string fingerprint_;
};

}  // namespace tenpak::quant
