// SPDX-License-Identifier: Apache-2.0
// A decoder-only transformer over a Backend. Not thread-safe: one thread at a time per object.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/compute/buffer.h"
#include "core/model/config.h"
#include "core/model/tokenizer.h"

namespace tenpak::model {

/// Keys and values of up to `slots` sequences of up to `capacity` positions, in the backend's memory, which must outlive it.
class KvCache {
   public:
    /// Where the memory is not to be had, allocated() is false and a forward pass says kOutOfMemory.
    KvCache(const ModelConfig& config, compute::Backend& backend, std::uint32_t slots, std::uint32_t capacity);
    void clear();                               ///< all slots empty
    void truncate(std::uint32_t slot, std::uint32_t length);
    std::uint32_t length(std::uint32_t slot) const { return lengths_[slot]; }
    std::uint32_t slots() const { return static_cast<std::uint32_t>(lengths_.size()); }
    std::uint32_t capacity() const { return capacity_; }
    std::uint64_t bytes() const { return keys_.bytes() + values_.bytes(); }
    const Status& allocated() const { return allocated_; }

   private:
    friend class Transformer;
    compute::KvView view(std::uint32_t layer, std::uint32_t slot);
    std::uint32_t capacity_, kv_dim_;
    std::vector<std::uint32_t> lengths_;
    compute::Buffer keys_, values_;  // [layer][slot][position][kv_head][head_dim]
    Status allocated_;
};

/// Tokens that go to the end of one slot's sequence.
struct SequenceChunk {
    std::uint32_t slot = 0;
    std::span<const Token> tokens;
};
enum class LogitsOf { kNone, kLastOfChunk, kAll };

/// Sees the input of each linear layer: tensor name, x[tokens][k].
using LinearObserver = std::function<void(const std::string& weight_name, const float* x, std::uint32_t tokens, std::uint32_t k)>;

struct LoadOptions {
    bool dense_f32 = false;  ///< keep dense weights as fp32 (reference); else bf16/fp16 stay 16 bit
};

class Transformer {
   public:
    /// Tensors named in `overrides` are taken from there, the rest from `source`. `overrides` is copied from, not kept.
    /// Errors: kMismatch (a tensor's shape disagrees with config.json), kNotFound (missing tensor), kNumeric (NaN or
    /// infinity in a weight; names the tensor), kOutOfMemory.
    static Result<std::unique_ptr<Transformer>> load(std::shared_ptr<const ModelSource> source,
                                                     const compute::WeightOverrides& overrides, compute::Backend& backend,
                                                     const LoadOptions& options, const JobContext& ctx);
    ~Transformer();

    const ModelConfig& config() const;
    compute::Backend& backend() const;
    std::uint64_t weight_bytes() const;  ///< packed, resident
    std::uint64_t step_bytes() const;    ///< of these, what every decode step reads (all but an embedding of its own)
    std::uint64_t workspace_bytes() const;  ///< activations, as large as the largest batch so far needed
    std::vector<std::string> kernels() const;  ///< distinct PackedLinear::kernel()

    /// Runs all chunks in one batch. logits: [chunks or total tokens][vocab] as asked; kNumeric if they are not finite.
    /// kInvalidArgument: a token outside the vocabulary, a slot twice, more positions than the cache has.
    Status forward(std::span<const SequenceChunk> chunks, KvCache& cache, LogitsOf which, std::vector<float>& logits);
    /// The same up to the final norm: hidden[total tokens][hidden]. With head(), logits of a long text need not lie in
    /// memory at once.
    Status hidden_states(std::span<const SequenceChunk> chunks, KvCache& cache, std::vector<float>& hidden);
    /// logits[rows][vocab], fp32, of rows as hidden_states returns them.
    Status head(std::span<const float> hidden, std::vector<float>& logits);
    /// Asked between layers: kCancelled once requested. Set by load() from its context.
    void set_stop(std::stop_token stop);

    // Layer by layer, for calibration. Sequences of equal length `window` lie one after the other: hidden[tokens][dim].
    Status embed(std::span<const Token> tokens, std::vector<float>& hidden) const;
    /// hidden = decoder layer `layer` (hidden), each window from position 0. `until` names a linear weight whose input is all
    /// that is wanted: the layer ends once the observer has seen it, and `hidden` is of no use afterwards.
    Status run_layer(std::uint32_t layer, std::vector<float>& hidden, std::uint32_t window, const LinearObserver& observer,
                     const std::string& until = {});
    /// Replaces one linear or norm weight by name while the model is loaded (GPTQ's error propagation, AWQ's folding).
    Status set_linear(const std::string& name, const compute::LinearWeight& weight);
    Status set_vector(const std::string& name, std::vector<float> values);
    /// Names of the quantizable linear weights of a layer in the order q, k, v, o, gate, up, down.
    std::vector<std::string> linear_names(std::uint32_t layer) const;

   private:
    struct Impl;
    explicit Transformer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace tenpak::model
