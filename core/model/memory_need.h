// SPDX-License-Identifier: Apache-2.0
// How much memory a model will take on a device, before anything is loaded.
#pragma once
#include "core/compute/devices.h"
#include "core/model/config.h"

namespace tenpak::model {

struct MemoryUse {
    std::uint32_t slots = 1, positions = 0;  ///< of the KV cache
    std::uint32_t batch_tokens = 1;          ///< tokens that one forward pass takes at most
    double bits_per_weight = 16;             ///< of the decoder layers' linear weights, scales included
};
/// Weights by their number in config.json's shapes (embedding and head at 16 bit), keys and values in fp32, activations of one pass.
compute::MemoryNeed memory_need(const ModelConfig& config, const MemoryUse& use);

}  // namespace tenpak::model
