// SPDX-License-Identifier: Apache-2.0
// Weights of the graph: read, checked, split where the checkpoint fuses them, packed, replaced.
#include <algorithm>
#include <cstring>

#include "core/base/half.h"
#include "core/model/transformer_impl.h"

namespace tenpak::model {

using compute::LinearWeight;

std::uint64_t LayerWeights::bytes() const {
    std::uint64_t n = 0;
    for (const Part& p : parts) n += p.packed ? p.packed->bytes() : 0;
    for (const Norm* norm : {&input, &attention_out, &mlp, &mlp_out, &q, &k}) n += norm->weight.bytes() + norm->bias.bytes();
    return n;
}

Result<Part> Transformer::Impl::pack(const LinearWeight& weight) {
    Part part;
    part.bias = weight.bias;
    TENPAK_ASSIGN(part.packed, backend.make_linear(weight));
    return part;
}

Status Transformer::Impl::read(const StoredNorm& stored, const WeightLoader& loader, Norm& norm) {
    if (stored.weight.empty()) return {};
    TENPAK_ASSIGN(const auto weight, loader.vector(stored.weight, stored.size));
    TENPAK_RETURN_IF_ERROR(norm.weight.assign(weight));
    norm.has_bias = !stored.bias.empty();
    if (!norm.has_bias) return {};
    TENPAK_ASSIGN(const auto bias, loader.vector(stored.bias, stored.size));
    return norm.bias.assign(bias);
}

Status Transformer::Impl::replace(LayerWeights& weights, const LayerLayout& layout, std::size_t linear, const LinearWeight& weight) {
    for (std::size_t p = 0; p < kProjections; ++p) {
        const LayerLayout::Part& part = layout.parts[p];
        if (part.linear != static_cast<int>(linear)) continue;
        if (part.rows.whole(weight.n)) {
            TENPAK_ASSIGN(weights.parts[p], pack(weight));
        } else {
            TENPAK_ASSIGN(weights.parts[p], pack(take_rows(weight, part.rows)));
        }
    }
    return {};
}

Result<LayerWeights> Transformer::Impl::read_layer(std::uint32_t layer, const WeightLoader& loader, const JobContext& ctx) {
    const LayerLayout& layout = layers[layer].layout;
    LayerWeights w(backend);
    for (const auto& [stored, norm] : {std::pair{&layout.input_norm, &w.input}, {&layout.attention_out_norm, &w.attention_out}, {&layout.mlp_norm, &w.mlp},
                                       {&layout.mlp_out_norm, &w.mlp_out}, {&layout.q_norm, &w.q}, {&layout.k_norm, &w.k}}) {
        TENPAK_RETURN_IF_ERROR(read(*stored, loader, *norm));
    }
    for (std::size_t i = 0; i < layout.linears.size(); ++i) {
        TENPAK_ASSIGN(const LinearWeight weight, loader.linear(layout.linears[i]));
        TENPAK_RETURN_IF_ERROR(replace(w, layout, i, weight));
        TENPAK_RETURN_IF_ERROR(ctx.check());
    }
    return w;
}

/// The checkpoint has all weights in their shapes, as many layers as config.json says, and no bias that the graph would
/// leave out: known before the first of gigabytes is read.
Status Transformer::Impl::check_layers(const WeightLoader& loader) const {
    const LayerLayout beyond = layer_layout(config, config.layers);
    for (const StoredLinear& linear : beyond.linears) {
        if (source->find(linear.name) == nullptr) continue;
        return make_error(ErrorCode::kMismatch, "config.json says " + std::to_string(config.layers) + " layers, but the weights hold more (" + linear.name + ")", source->id(),
                          "config.json and the weights do not belong together");
    }
    for (const Layer& layer : layers) {
        for (const StoredLinear& linear : layer.layout.linears) {
            TENPAK_RETURN_IF_ERROR(loader.check(linear));
            if (!linear.bias.empty() || loader.overridden(linear.name)) continue;
            const std::string bias = linear.name.substr(0, linear.name.size() - std::strlen("weight")) + "bias";
            if (source->find(bias) != nullptr) {
                return make_error(ErrorCode::kMismatch, "the weights hold " + bias + ", which config.json does not ask for", source->id(), "config.json and the weights do not belong together");
            }
        }
    }
    return {};
}

Status Transformer::Impl::load(const compute::WeightOverrides& overrides, const JobContext& ctx) {
    TENPAK_ASSIGN(config, read_config(*source));
    outer = model_layout(config);
    for (std::uint32_t l = 0; l < config.layers; ++l) layers.push_back({layer_layout(config, l), std::nullopt, 0, {}});
    const WeightLoader loader(*source, overrides, options.dense_f32);
    TENPAK_RETURN_IF_ERROR(check_layers(loader));
    TENPAK_ASSIGN(plan, plan_memory(config, *source, overrides, backend, options));
    Progress progress{"load", 0, config.layers + 2ull, "layers", {}};
    const auto step = [&]() -> Status {
        ++progress.done;
        ctx.report(progress);
        return ctx.check();
    };
    {
        TENPAK_ASSIGN(const LinearWeight weight, loader.linear({outer.head, "", config.vocab, config.hidden, false}));
        TENPAK_ASSIGN(head, pack(weight));
    }
    TENPAK_RETURN_IF_ERROR(step());
    std::vector<float> row(config.hidden);
    if (outer.head != outer.embedding || !head.packed->read_row(0, row.data())) {
        TENPAK_ASSIGN(embedding, loader.linear({outer.embedding, "", config.vocab, config.hidden, false}));
    }
    if (!outer.positions.empty()) {
        TENPAK_ASSIGN(position_rows, loader.matrix(outer.positions, config.max_positions, config.hidden));
    }
    TENPAK_RETURN_IF_ERROR(read(outer.final_norm, loader, final_norm));
    TENPAK_RETURN_IF_ERROR(step());
    if (plan.streamed) kept = overrides;
    TENPAK_RETURN_IF_ERROR(load_layers(loader, ctx, step));
    stop = ctx.stop;
    return {};
}

/// All layers; streamed, the first one, after whose model the others are described until they have run.
Status Transformer::Impl::load_layers(const WeightLoader& loader, const JobContext& ctx, const std::function<Status()>& step) {
    const std::uint32_t count = plan.streamed ? 1 : config.layers;
    for (std::uint32_t l = 0; l < count; ++l) {
        TENPAK_ASSIGN(LayerWeights w, read_layer(l, loader, ctx));
        layers[l].weights.emplace(std::move(w));
        TENPAK_RETURN_IF_ERROR(step());
    }
    if (!plan.streamed) return {};
    for (Layer& layer : layers) layer.bytes = layers.front().weights->bytes();
    return {};
}

Result<LayerWeights*> Transformer::Impl::weights(std::uint32_t index) {
    Layer& layer = layers[index];
    if (layer.weights) return &*layer.weights;
    // Streamed: first make room.
    Layer& last = layers[in_memory];
    for (const Part& part : last.weights ? std::span<const Part>(last.weights->parts) : std::span<const Part>()) {
        if (part.packed) last.kernels.insert(part.packed->kernel());
    }
    last.weights.reset();
    const WeightLoader loader(*source, kept, options.dense_f32);
    JobContext ctx;
    ctx.stop = stop;
    TENPAK_ASSIGN(LayerWeights w, read_layer(index, loader, ctx));
    layer.bytes = w.bytes();
    layer.weights.emplace(std::move(w));
    in_memory = index;
    return &*layer.weights;
}

Status Transformer::Impl::embed(std::span<const Token> tokens, std::span<const std::uint32_t> positions, std::vector<float>& rows) const {
    const std::size_t dim = config.hidden;
    rows.resize(tokens.size() * dim);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
        if (tokens[t] < 0 || static_cast<std::uint32_t>(tokens[t]) >= config.vocab) {
            return make_error(ErrorCode::kInvalidArgument, "token " + std::to_string(tokens[t]) + " is outside the model's vocabulary of " + std::to_string(config.vocab), {},
                              "tokenizer.json and the model may not belong together");
        }
        const auto row = static_cast<std::uint32_t>(tokens[t]);
        float* out = rows.data() + t * dim;
        if (embedding.n == 0) {
            head.packed->read_row(row, out);
        } else if (embedding.format == compute::WeightFormat::kF32) {
            std::memcpy(out, embedding.f32.data() + row * dim, dim * sizeof(float));
        } else {
            const bool bf16 = embedding.format == compute::WeightFormat::kBF16;
            const std::uint16_t* h = embedding.half.data() + row * dim;
            for (std::size_t c = 0; c < dim; ++c) out[c] = bf16 ? bf16_to_float(h[c]) : fp16_to_float(h[c]);
        }
        if (config.embedding_scale != 1) {
            for (std::size_t c = 0; c < dim; ++c) out[c] *= config.embedding_scale;
        }
        if (position_rows.empty()) continue;
        if (positions[t] >= config.max_positions) {
            return make_error(ErrorCode::kInvalidArgument, "position " + std::to_string(positions[t]) + " is behind the model's " + std::to_string(config.max_positions) + " learned positions", {},
                              "Use a smaller context");
        }
        const float* place = position_rows.data() + positions[t] * dim;
        for (std::size_t c = 0; c < dim; ++c) out[c] += place[c];
    }
    return {};
}

Status Transformer::Impl::set_linear(const std::string& name, const LinearWeight& weight) {
    TENPAK_RETURN_IF_ERROR(check_finite(weight, name));
    const auto fits = [&](std::uint32_t rows, std::uint32_t columns) -> Status {
        if (weight.n == rows && weight.k == columns) return {};
        return make_error(ErrorCode::kMismatch, "another shape than the weight it replaces", name);
    };
    if (name == outer.head && outer.head != outer.embedding) {
        TENPAK_RETURN_IF_ERROR(fits(config.vocab, config.hidden));
        TENPAK_ASSIGN(head, pack(weight));
        return {};
    }
    for (std::uint32_t l = 0; l < config.layers; ++l) {
        const LayerLayout& layout = layers[l].layout;
        for (std::size_t i = 0; i < layout.linears.size(); ++i) {
            const StoredLinear& stored = layout.linears[i];
            if (stored.name != name) continue;
            TENPAK_RETURN_IF_ERROR(fits(stored.n, stored.k));
            TENPAK_ASSIGN(LayerWeights* const w, weights(l));
            LinearWeight with_bias = weight;
            if (weight.bias.empty() && !stored.bias.empty()) {
                // The biases of the parts, back in the order of the stored rows.
                with_bias.bias.resize(stored.n);
                for (std::size_t p = 0; p < kProjections; ++p) {
                    const LayerLayout::Part& part = layout.parts[p];
                    if (part.linear != static_cast<int>(i)) continue;
                    for (std::uint32_t r = 0; r < part.rows.count; ++r) with_bias.bias[part.rows.row(r)] = w->parts[p].bias[r];
                }
            }
            TENPAK_RETURN_IF_ERROR(replace(*w, layout, i, with_bias));
            if (plan.streamed) kept.linears.insert_or_assign(name, std::move(with_bias));
            return {};
        }
    }
    return make_error(ErrorCode::kNotFound, "the model has no linear weight " + name);
}

Status Transformer::Impl::set_vector(const std::string& name, std::vector<float> values) {
    TENPAK_RETURN_IF_ERROR(check_finite(values, name));
    const auto assign = [&](const StoredNorm& stored, Norm& norm) -> Status {
        if (values.size() != stored.size) return make_error(ErrorCode::kMismatch, "another size than the weight it replaces", name);
        TENPAK_RETURN_IF_ERROR((name == stored.bias ? norm.bias : norm.weight).assign(values));
        if (plan.streamed) kept.vectors.insert_or_assign(name, std::move(values));
        return {};
    };
    const auto is = [&](const StoredNorm& stored) { return !name.empty() && (stored.weight == name || stored.bias == name); };
    if (is(outer.final_norm)) return assign(outer.final_norm, final_norm);
    for (std::uint32_t l = 0; l < config.layers; ++l) {
        const LayerLayout& o = layers[l].layout;
        if (!is(o.input_norm) && !is(o.attention_out_norm) && !is(o.mlp_norm) && !is(o.mlp_out_norm) && !is(o.q_norm) && !is(o.k_norm)) continue;
        TENPAK_ASSIGN(LayerWeights* const w, weights(l));
        for (const auto& [stored, norm] : {std::pair{&o.input_norm, &w->input}, {&o.attention_out_norm, &w->attention_out}, {&o.mlp_norm, &w->mlp}, {&o.mlp_out_norm, &w->mlp_out},
                                           {&o.q_norm, &w->q}, {&o.k_norm, &w->k}}) {
            if (is(*stored)) return assign(*stored, *norm);
        }
    }
    return make_error(ErrorCode::kNotFound, "the model has no norm weight " + name);
}

}  // namespace tenpak::model
