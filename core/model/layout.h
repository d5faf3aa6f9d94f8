// SPDX-License-Identifier: Apache-2.0
// Where a model's weights lie in its checkpoint: names, shapes, and which rows of a fused weight belong to which part of
// the graph. Overrides, quantizers and exporters speak of stored weights; the graph (transformer_impl.h) of parts.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/compute/row_map.h"

namespace tenpak::model {

struct ModelConfig;

/// A linear weight as the checkpoint has it: [n][k], or [k][n] where `transposed` (GPT-2's Conv1D).
struct StoredLinear {
    std::string name, bias;  ///< tensor names; `bias` empty: none
    std::uint32_t n = 0, k = 0;
    bool transposed = false;
};
struct StoredNorm {
    std::string weight, bias;  ///< empty: none
    std::uint32_t size = 0;
};

/// The projections of a decoder layer, in the order in which they are used.
enum Projection : std::size_t { kQ, kK, kV, kO, kGate, kUp, kDown, kProjections };

struct LayerLayout {
    struct Part {
        int linear = -1;  ///< index into linears; -1: this layer has no such part (a gate)
        compute::RowMap rows;
    };
    std::vector<StoredLinear> linears;  ///< in order of use
    std::array<Part, kProjections> parts;
    /// Before attention, behind it (Gemma 2), before the MLP, behind it, and of each head's queries and keys (Qwen 3).
    StoredNorm input_norm, attention_out_norm, mlp_norm, mlp_out_norm, q_norm, k_norm;

    /// Linears that share their input: of q, k, v; of o; of gate and up; of down. Indices into `linears`.
    std::vector<std::vector<std::size_t>> groups() const;
    void add(StoredLinear linear, std::initializer_list<std::pair<Projection, compute::RowMap>> of);
    void add(StoredLinear linear, Projection of);
};

struct ModelLayout {
    std::string embedding;  ///< [vocab][hidden]
    std::string positions;  ///< [max_positions][hidden]; empty: none
    StoredNorm final_norm;
    std::string head;       ///< [vocab][hidden]; the embedding's name where it is tied
};

LayerLayout layer_layout(const ModelConfig& config, std::uint32_t layer);
ModelLayout model_layout(const ModelConfig& config);

}  // namespace tenpak::model
