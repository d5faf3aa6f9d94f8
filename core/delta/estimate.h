// SPDX-License-Identifier: Apache-2.0
// Live estimate of a delta's stored size by sampling blocks (design section 4, ui-design section 4).
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/delta/pair.h"

namespace tenpak::delta {

struct TensorEstimate {
    std::string name;
    DType dtype = DType::kBF16;
    std::vector<std::uint64_t> shape;
    int layer = -1;                ///< tensor_place()
    std::string projection;
    std::string base_tensor, how;  ///< predictor and why it was chosen (pair.h); empty where it is the tensor of the same name, type and shape
    std::string method;            ///< codec that came out smallest so far: "identical", "difference", …; "" = not read yet
    std::uint32_t rank = 0;        ///< of the low-rank term, once it was recovered; 0: none, or not known yet
    double changed_fraction = 0;   ///< of the weights read
    double sampled_fraction = 0;   ///< of the tensor's bytes
    std::uint64_t raw_bytes = 0;
    double estimated_bytes = 0, low = 0, high = 0;  ///< 95 % range; low == high == estimated when complete
    bool complete = false;         ///< the whole tensor was compared
};

/// Immutable value; may cross threads freely.
struct EstimateSnapshot {
    std::uint64_t generation = 0;  ///< of the request, so that a newer one drops this
    std::uint64_t bytes_read = 0, bytes_total = 0;
    std::uint64_t raw_bytes = 0;   ///< all files of the fine-tune
    double estimated_bytes = 0, low = 0, high = 0;  ///< the whole artifact: blocks, side files, manifest
    double seconds = 0;
    bool finished = false;
    std::vector<TensorEstimate> tensors;  ///< in layer order, always all of them
};

struct EstimateOptions {
    std::uint64_t generation = 0;
    double target_relative_range = 0.005;  ///< stops at +-0.5 % of the total
    unsigned threads = 0;                  ///< 0: usable_cpus()
    std::uint64_t seed = 1;
    std::chrono::milliseconds first_snapshot{200}, between_snapshots{100};
};

/// Pass 1 reads one random block of every tensor, pass 2 goes on where the total's range narrows most. on_snapshot gets
/// a first value within 300 ms and then one at most every 100 ms, from the calling thread; the last is returned, too.
/// Errors: kMismatch when the pair does not fit, kCancelled, kIo.
Result<EstimateSnapshot> estimate(const ModelSource& base, const ModelDirectory& fine_tune, const EstimateOptions& options,
                                  const std::function<void(const EstimateSnapshot&)>& on_snapshot, const JobContext& ctx);

}  // namespace tenpak::delta
