// SPDX-License-Identifier: Apache-2.0
// What a model will need in memory, before anything is loaded: it is kept in whole, or its layers are streamed, or it is
// refused with the numbers.
#pragma once
#include <cstdint>
#include <string>

#include "core/compute/backend.h"
#include "core/model/config.h"
#include "core/tensor/model_source.h"

namespace tenpak::model {

/// What the model is loaded for: sizes the KV cache and the activations.
struct Workload {
    std::uint32_t sequences = 1;
    std::uint32_t context = 0;         ///< positions a sequence; 0: 2048 or the model's own limit
    std::uint32_t batch_tokens = 1024; ///< of the largest forward pass
};

enum class WeightMemory : std::uint8_t {
    kAutomatic,  ///< resident where it fits, else streamed
    kResident,
    kStreamed,   ///< a decoder layer's weights are made from the source when it runs, and dropped afterwards
};

struct LoadOptions {
    bool dense_f32 = false;  ///< keep dense weights as fp32 (reference); else bf16/fp16 stay 16 bit
    WeightMemory memory = WeightMemory::kAutomatic;
    std::uint64_t memory_limit = 0;  ///< bytes for weights, KV cache and workspace together; 0: what the device has free
    Workload workload = {};
};

/// Bytes.
struct MemoryPlan {
    std::uint64_t layers = 0, largest_layer = 0;  ///< packed decoder layers
    std::uint64_t outer = 0;                      ///< embedding, head, norms: always in memory
    std::uint64_t kv_cache = 0, workspace = 0;
    std::uint64_t loading = 0;    ///< the largest weight as read, beside its packed form
    std::uint64_t overrides = 0;  ///< a candidate's weights, which stay in memory while layers are streamed
    std::uint64_t available = 0;  ///< 0: unknown, nothing is refused
    bool streamed = false;
    std::string note;             ///< what is done where that is not the usual: for the user

    std::uint64_t resident_total() const { return outer + layers + kv_cache + workspace + loading; }
    std::uint64_t streamed_total() const { return outer + largest_layer + kv_cache + workspace + loading + overrides; }
};

/// kOutOfMemory, with the numbers, where the model does not fit as options.memory asks.
Result<MemoryPlan> plan_memory(const ModelConfig& config, const ModelSource& source, const compute::WeightOverrides& overrides, const compute::Backend& backend,
                               const LoadOptions& options);

}  // namespace tenpak::model
