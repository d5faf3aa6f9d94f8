// SPDX-License-Identifier: Apache-2.0
// Inside of Transformer: the weights of each layer, and one graph for all architectures over a backend.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>

#include "core/compute/buffer.h"
#include "core/model/layout.h"
#include "core/model/transformer.h"
#include "core/model/weight_loader.h"

namespace tenpak::model {

/// A projection as the graph runs it: rows of a stored weight, packed for the backend.
struct Part {
    std::vector<float> bias;  ///< the model's own: a weight that replaces this one keeps it
    std::unique_ptr<compute::PackedLinear> packed;
};
struct Norm {
    compute::Buffer weight, bias;
    bool has_bias = false;
    explicit Norm(compute::Backend& backend) : weight(backend), bias(backend) {}
};
struct LayerWeights {
    Part parts[kProjections];
    Norm input, attention_out, mlp, mlp_out, q, k;
    explicit LayerWeights(compute::Backend& b) : input(b), attention_out(b), mlp(b), mlp_out(b), q(b), k(b) {}
    std::uint64_t bytes() const;
};
struct Layer {
    LayerLayout layout;
    std::optional<LayerWeights> weights;  ///< empty: not in memory now (streamed)
    std::uint64_t bytes = 0;              ///< of the weights when they were last in memory (streamed)
    std::set<std::string> kernels;        ///< what ran them (streamed)
};

/// Where one sequence's queries of a block look for keys: `kv` already holds them for earlier positions.
struct SequenceSpan {
    std::uint32_t begin = 0, tokens = 0;  ///< rows of the batch
    std::uint32_t first = 0;              ///< position of the first row
    std::uint32_t variant = 0;            ///< of the rotary frequencies
    compute::KvView kv;                   ///< null: keys and values of the batch itself are used (no earlier positions)
};
/// The rows of a forward pass.
struct Batch {
    std::vector<Token> tokens;
    std::vector<std::uint32_t> positions;
    std::vector<SequenceSpan> sequences;
    void add(std::span<const Token> text, std::uint32_t first, std::uint32_t variant);
};

struct Transformer::Impl {
    ModelConfig config;
    compute::Backend& backend;
    std::shared_ptr<const ModelSource> source;
    LoadOptions options;
    compute::WeightOverrides kept;  ///< streamed: what replaces the source's tensors when a layer is loaded again
    MemoryPlan plan;
    std::uint32_t in_memory = 0;    ///< streamed: the layer whose weights are there
    ModelLayout outer;
    std::vector<Layer> layers;
    Norm final_norm;
    Part head;
    compute::LinearWeight embedding;  ///< empty where the tied head's rows can be read back
    std::vector<float> position_rows;  ///< learned positions, [max_positions][hidden]
    std::stop_token stop;

    // Activations of the batch, kept between calls.
    compute::Buffer hidden, normed, q, k, v, attended, gate, up, projected, logits;
    std::map<std::uint32_t, compute::Buffer> frequencies;  ///< by variant
    std::vector<float> host_rows, observed;

    explicit Impl(compute::Backend& b)
        : backend(b), final_norm(b), hidden(b), normed(b), q(b), k(b), v(b), attended(b), gate(b), up(b), projected(b), logits(b) {}
    Status load(const compute::WeightOverrides& overrides, const JobContext& ctx);
    /// Rows of the embedding, in the host's memory.
    Status embed(std::span<const Token> tokens, std::span<const std::uint32_t> positions, std::vector<float>& rows) const;
    /// All layers and the final norm of the chunks; their rows lie at the beginning of `hidden`. Returns how many.
    Result<std::uint32_t> run(std::span<const SequenceChunk> chunks, KvCache& cache);
    /// The layer's weights, loaded now where they are streamed.
    Result<LayerWeights*> weights(std::uint32_t layer);
    /// One layer over `hidden`.
    Status block(std::uint32_t layer, const Batch& batch, const LinearObserver& observer, std::string_view until = {});
    void norm(const Norm& norm, const compute::Buffer& x, std::uint32_t rows, std::uint32_t dim, compute::Buffer& y);
    Status window_states(std::span<const std::span<const Token>> windows, std::vector<float>& out);
    /// Logits of `rows` rows that lie in `from`, checked to be finite.
    Status head_of(const float* from, std::uint32_t rows, std::vector<float>& out);
    Status set_linear(const std::string& name, const compute::LinearWeight& weight);
    Status set_vector(const std::string& name, std::vector<float> values);

   private:
    Status check_layers(const WeightLoader& loader) const;
    Status load_layers(const WeightLoader& loader, const JobContext& ctx, const std::function<Status()>& step);
    Result<Part> pack(const compute::LinearWeight& weight);
    Status read(const StoredNorm& stored, const WeightLoader& loader, Norm& norm);
    Result<LayerWeights> read_layer(std::uint32_t layer, const WeightLoader& loader, const JobContext& ctx);
    Status replace(LayerWeights& weights, const LayerLayout& layout, std::size_t linear, const compute::LinearWeight& weight);
    Status attention(std::uint32_t layer, const Batch& batch, LayerWeights& w);
    Status rotate(const Batch& batch);
    Status show(const LinearObserver& observer, const StoredLinear& linear, const compute::Buffer& x, std::uint32_t tokens);
};

}  // namespace tenpak::model
