// SPDX-License-Identifier: Apache-2.0
#include "core/model/transformer.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "core/model/transformer_impl.h"

namespace tenpak::model {
namespace {

/// Runs `body`, with memory that ran out as an error.
template <class Body>
auto guarded(const char* what, const Body& body) -> decltype(body()) {
    try {
        return body();
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, std::string("not enough memory to ") + what, {}, "Use a smaller context or batch, or a smaller candidate");
    }
}

}  // namespace

Transformer::Transformer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Transformer::~Transformer() = default;

Result<std::unique_ptr<Transformer>> Transformer::load(std::shared_ptr<const ModelSource> source, const compute::WeightOverrides& overrides,
                                                       compute::Backend& backend, const LoadOptions& options, const JobContext& ctx) {
    return guarded("load the model", [&]() -> Result<std::unique_ptr<Transformer>> {
        auto impl = std::make_unique<Impl>(backend);
        TENPAK_RETURN_IF_ERROR(impl->load(*source, overrides, options, ctx));
        return std::unique_ptr<Transformer>(new Transformer(std::move(impl)));
    });
}

const ModelConfig& Transformer::config() const { return impl_->config; }
compute::Backend& Transformer::backend() const { return impl_->backend; }
void Transformer::set_stop(std::stop_token stop) { impl_->stop = std::move(stop); }

std::uint64_t Transformer::weight_bytes() const { return step_bytes() + impl_->embedding.half.size() * 2 + impl_->embedding.f32.size() * 4; }

std::uint64_t Transformer::workspace_bytes() const {
    const Impl& m = *impl_;
    std::uint64_t bytes = 0;
    for (const auto* b : {&m.hidden, &m.normed, &m.q, &m.k, &m.v, &m.attended, &m.gate, &m.up, &m.projected, &m.logits}) bytes += b->bytes();
    return bytes;
}

std::uint64_t Transformer::step_bytes() const {
    std::uint64_t bytes = impl_->head.packed->bytes() + impl_->final_norm.weight.bytes();
    for (const DecoderLayer& layer : impl_->layers) {
        for (const Linear& linear : layer.linears) bytes += linear.packed->bytes();
        bytes += layer.input_norm.weight.bytes() + layer.post_norm.weight.bytes();
    }
    return bytes;
}

std::vector<std::string> Transformer::kernels() const {
    std::vector<std::string> names = {impl_->head.packed->kernel()};
    for (const DecoderLayer& layer : impl_->layers) {
        for (const Linear& linear : layer.linears) names.emplace_back(linear.packed->kernel());
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

Status Transformer::hidden_states(std::span<const SequenceChunk> chunks, KvCache& cache, std::vector<float>& hidden) {
    return guarded("run the model", [&]() -> Status {
        TENPAK_RETURN_IF_ERROR(impl_->run(chunks, cache));
        hidden.resize(impl_->host_hidden.size());
        return impl_->backend.download(impl_->hidden.data(), hidden.size(), hidden.data());
    });
}

Status Transformer::head(std::span<const float> hidden, std::vector<float>& logits) {
    return guarded("compute logits", [&]() -> Status {
        Impl& m = *impl_;
        const auto rows = static_cast<std::uint32_t>(hidden.size() / m.config.hidden);
        if (m.backend.host_memory()) return m.head_of(hidden.data(), rows, logits);
        TENPAK_RETURN_IF_ERROR(m.normed.assign(hidden));
        return m.head_of(m.normed.data(), rows, logits);
    });
}

Status Transformer::forward(std::span<const SequenceChunk> chunks, KvCache& cache, LogitsOf which, std::vector<float>& logits) {
    return guarded("run the model", [&]() -> Status {
        Impl& m = *impl_;
        TENPAK_RETURN_IF_ERROR(m.run(chunks, cache));
        logits.clear();
        const std::size_t dim = m.config.hidden, tokens = m.host_hidden.size() / dim;
        if (which == LogitsOf::kNone) return m.backend.synchronize();
        if (which == LogitsOf::kAll || tokens == chunks.size()) return m.head_of(m.hidden.data(), static_cast<std::uint32_t>(tokens), logits);
        TENPAK_RETURN_IF_ERROR(m.normed.reserve(chunks.size() * dim));
        std::size_t end = 0;
        for (std::size_t s = 0; s < chunks.size(); ++s) {
            end += chunks[s].tokens.size();
            m.backend.copy(m.hidden.data() + (end - 1) * dim, dim, m.normed.data() + s * dim);
        }
        return m.head_of(m.normed.data(), static_cast<std::uint32_t>(chunks.size()), logits);
    });
}

Status Transformer::embed(std::span<const Token> tokens, std::vector<float>& hidden) const {
    return guarded("embed a text", [&] { return impl_->embed(tokens, hidden); });
}

Status Transformer::run_layer(std::uint32_t layer, std::vector<float>& hidden, std::uint32_t window, const LinearObserver& observer,
                              const std::string& until) {
    return guarded("run a layer", [&]() -> Status {
        Impl& m = *impl_;
        const std::size_t tokens = hidden.size() / m.config.hidden;
        if (layer >= m.config.layers || window == 0 || tokens % window != 0 || hidden.size() != tokens * m.config.hidden) {
            return make_error(ErrorCode::kInvalidArgument, "hidden states do not consist of whole windows of " + std::to_string(window) + " tokens");
        }
        std::vector<std::uint32_t> positions(tokens);
        std::vector<SequenceSpan> sequences;
        for (std::size_t t = 0; t < tokens; ++t) positions[t] = static_cast<std::uint32_t>(t % window);
        for (std::size_t t = 0; t < tokens; t += window) sequences.push_back({static_cast<std::uint32_t>(t), window, 0, {}});
        TENPAK_RETURN_IF_ERROR(m.hidden.assign(hidden));
        TENPAK_RETURN_IF_ERROR(m.block(m.layers[layer], positions, sequences, observer, until));
        return m.backend.download(m.hidden.data(), hidden.size(), hidden.data());
    });
}

Status Transformer::set_linear(const std::string& name, const compute::LinearWeight& weight) {
    return guarded("replace a weight", [&]() -> Status {
        Linear* linear = impl_->find_linear(name);
        if (linear == nullptr) return make_error(ErrorCode::kNotFound, "the model has no linear weight " + name);
        if (weight.n != linear->n || weight.k != linear->k) return make_error(ErrorCode::kMismatch, "another shape than the weight it replaces", name);
        TENPAK_RETURN_IF_ERROR(check_finite(weight, name));
        if (weight.bias.empty() && !linear->bias.empty()) {
            compute::LinearWeight with_bias = weight;
            with_bias.bias = linear->bias;
            TENPAK_ASSIGN(linear->packed, impl_->backend.make_linear(with_bias));
        } else {
            TENPAK_ASSIGN(linear->packed, impl_->backend.make_linear(weight));
        }
        return {};
    });
}

Status Transformer::set_vector(const std::string& name, std::vector<float> values) {
    Norm* norm = impl_->find_norm(name);
    if (norm == nullptr) return make_error(ErrorCode::kNotFound, "the model has no norm weight " + name);
    if (values.size() != impl_->config.hidden) return make_error(ErrorCode::kMismatch, "another size than the weight it replaces", name);
    TENPAK_RETURN_IF_ERROR(check_finite(values, name));
    return norm->weight.assign(values);
}

std::vector<std::string> Transformer::linear_names(std::uint32_t layer) const {
    std::vector<std::string> names;
    if (layer >= impl_->layers.size()) return names;
    for (const Linear& linear : impl_->layers[layer].linears) names.push_back(linear.name);
    return names;
}

}  // namespace tenpak::model
