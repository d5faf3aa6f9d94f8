// SPDX-License-Identifier: Apache-2.0
// Inside of Transformer: weights by name, and one decoder block over a backend.
#pragma once
#include <map>
#include <memory>
#include <string_view>

#include "core/compute/buffer.h"
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
    compute::Buffer weight;
    explicit Norm(compute::Backend& backend) : weight(backend) {}
};
struct DecoderLayer {
    Linear linears[kProjections];
    Norm input_norm, post_norm;
    explicit DecoderLayer(compute::Backend& backend) : input_norm(backend), post_norm(backend) {}
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

    compute::Buffer inv_freq;
    // Activations of the batch, kept between calls.
    compute::Buffer hidden, normed, q, k, v, attended, gate, up, projected, logits;
    std::vector<float> host_hidden, observed;

    explicit Impl(compute::Backend& b)
        : backend(b), final_norm(b), inv_freq(b), hidden(b), normed(b), q(b), k(b), v(b), attended(b), gate(b), up(b), projected(b), logits(b) {}
    Status load(const ModelSource& source, const compute::WeightOverrides& overrides, const LoadOptions& options, const JobContext& ctx);
    /// Rows of the embedding, in the host's memory.
    Status embed(std::span<const Token> tokens, std::vector<float>& rows) const;
    /// All layers and the final norm over `hidden`.
    Status run(std::span<const SequenceChunk> chunks, KvCache& cache);
    /// One layer over `hidden`.
    Status block(DecoderLayer& layer, std::span<const std::uint32_t> positions, std::span<const SequenceSpan> sequences,
                 const LinearObserver& observer, std::string_view until = {});
    /// Logits of `rows` rows that lie in `from`, checked to be finite.
    Status head_of(const float* from, std::uint32_t rows, std::vector<float>& out);
    Linear* find_linear(const std::string& name);
    Norm* find_norm(const std::string& name);

   private:
    void name_parts();
    Status pack(Linear& linear, const WeightLoader& loader);
    Status read(Norm& norm, const WeightLoader& loader);
    Status show(const LinearObserver& observer, const Linear& linear, const compute::Buffer& x, std::uint32_t tokens);
};

}  // namespace tenpak::model
