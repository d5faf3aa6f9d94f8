// SPDX-License-Identifier: Apache-2.0
// A model in a megabyte: weights sampled at places that depend on tensor names and sizes alone, so that two models of one
// architecture are sampled at the same places and compare without being read again. Internal to core/archive.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/tensor/model_source.h"

namespace tenpak::archive {

struct SketchRun {
    std::string tensor;                 ///< name, element type and shape: what must agree
    double weight = 0;                  ///< weights of the model that this run speaks for
    DType dtype = DType::kBF16;
    std::vector<std::uint32_t> ordered; ///< the weights, as integers in the order of their values
};
struct Sketch {
    std::vector<SketchRun> runs;        ///< sorted by tensor, then place
    std::uint64_t weight_bytes = 0;
};

/// Reads about 1,000 runs of 256 weights. Only bf16, fp16 and fp32 weights are sampled.
Result<Sketch> sketch(const ModelSource& model, const JobContext& ctx);
/// Bytes that `model` takes as a delta of `base`, from the entropy of the sampled differences' sizes: good to some tens of
/// percent, which is enough to tell families apart and to choose among bases. What has no counterpart counts three quarters.
double delta_bytes(const Sketch& base, const Sketch& model);

}  // namespace tenpak::archive
