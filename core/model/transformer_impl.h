// SPDX-License-Identifier: Apache-2.0
// Inside of Transformer: weights by name, and one decoder block over a backend.
#pragma once
#include <map>
#include <memory>
#include <string_view>

#include "core/model/transformer.h"
#include "core/model/weight_loader.h"

namespace tenpak::model {

enum Projection : std::size_t { kQ, kK, kV, kO, kGate, kUp, kDown, kProjections };

struct Linear {
    std::string name;
    std::uint32_t n = 0, k = 0;
    std::string bias_name;  ///< empty: none
    std::vector<float> bias;  ///< the model's own: a weight that replaces this one keeps it
    std::unique_ptr<compute::PackedLinear> packed;
};
struct Norm {
    std::string name;
    std::vector<float> weight;
};
struct DecoderLayer {
    Linear linears[kProjections];
    Norm input_norm, post_norm;
};

/// Where one sequence's queries of a block look for keys: `kv` already holds them for earlier positions.
struct SequenceSpan {
    std::uint32_t begin = 0, tokens = 0;  ///< rows of the batch
    std::uint32_t first = 0;              ///< position of the first row
    compute::KvView kv;                   ///< null: keys and values of the batch itself are used (no earlier positions)
};

struct Transformer::Impl {
    ModelConfig config;
    compute::Backend& backend;
    std::vector<DecoderLayer> layers;
    Norm final_norm;
    Linear head;
    compute::LinearWeight embedding;  ///< empty where the tied head's rows can be read back
    std::stop_token stop;

    // Activations of the batch, kept between calls.
    std::vector<float> normed, q, k, v, attended, gate, up, projected;

    explicit Impl(compute::Backend& b) : backend(b) {}
    Status load(const ModelSource& source, const compute::WeightOverrides& overrides, const LoadOptions& options, const JobContext& ctx);
    Status embed(std::span<const Token> tokens, std::vector<float>& hidden) const;
    Status block(DecoderLayer& layer, std::vector<float>& hidden, std::span<const std::uint32_t> positions,
                 std::span<const SequenceSpan> sequences, const LinearObserver& observer, std::string_view until = {});
    Linear* find_linear(const std::string& name);
    Norm* find_norm(const std::string& name);

   private:
    void name_parts();
    Status pack(Linear& linear, const WeightLoader& loader);
};

}  // namespace tenpak::model
