// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/gguf_export.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <new>

#include "core/base/half.h"
#include "core/base/json.h"
#include "core/model/layout.h"
#include "core/model/weight_loader.h"
#include "core/quant/layouts/gguf_blocks.h"
#include "core/quant/layouts/gguf_config.h"
#include "core/quant/layouts/gguf_names.h"
#include "core/quant/layouts/gguf_tokenizer.h"
#include "core/tensor/gguf.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;
using Put = std::function<Status(std::span<const std::byte>)>;

constexpr std::size_t kPiece = 1u << 20;  // bytes written at a time

Result<const GgufFamily*> family_of(const model::ModelConfig& config) {
    const GgufFamily* family = gguf_family_of(config.architecture);
    if (family != nullptr) return family;
    return make_error(ErrorCode::kUnsupported, "no GGUF form of " + config.architecture + " is known", {}, "Known to llama.cpp and here: " + known_gguf_architectures());
}

/// Scales and minima that fp16 holds as they are: nothing has to be compared weight by weight.
bool is_exact(const LinearWeight& w, GgmlType type) {
    const auto fits = [](float v) { return fp16_to_float(float_to_fp16(v)) == v; };
    for (std::size_t g = 0; g < w.scales.size(); ++g) {
        if (!fits(w.scales[g]) || (type == GgmlType::kQ4_1 && !fits(-static_cast<float>(w.zeros[g]) * w.scales[g]))) return false;
    }
    return true;
}

struct Exporter {
    const ModelSource& source;
    const QuantizedModel& quantized;
    const GgufFamily& family;
    const model::ModelConfig& config;
    std::vector<GgufTensorToWrite> tensors = {};
    std::map<GgmlType, std::uint64_t> weights = {};  // of layers, by type

    GgufRows rows_of(const std::string& gguf) const { return gguf_rows(family, gguf, config.heads, config.kv_heads, config.head_dim); }
    Result<std::string> name_of(const std::string& hf) const {
        if (auto name = gguf_name(family, hf, config.prefix)) return *name;
        return make_error(ErrorCode::kUnsupported, "llama.cpp has no place for this tensor", source.id() + ", tensor " + hf);
    }
    Result<const TensorInfo*> find(const std::string& name) const {
        const TensorInfo* t = source.find(name);
        if (t != nullptr) return t;
        return make_error(ErrorCode::kNotFound, "the model has no tensor " + name, source.id(), "config.json asks for it: the model is incomplete, or quantized already");
    }

    /// Norms, biases and positions: fp32, which is exact for what models hold.
    Status vector(const std::string& hf, const std::vector<float>* values, bool norm) {
        if (hf.empty()) return {};
        TENPAK_ASSIGN(const std::string name, name_of(hf));
        if (const auto v = quantized.weights.vectors.find(hf); values == nullptr && v != quantized.weights.vectors.end()) values = &v->second;
        std::vector<std::uint64_t> shape;
        if (values != nullptr) shape = {values->size()};
        const TensorInfo* t = nullptr;
        if (values == nullptr) {
            TENPAK_ASSIGN(t, find(hf));
            shape = t->shape;
        }
        const GgufRows rows = rows_of(name);
        const float add = norm && family.unit_offset ? 1.0f : 0.0f;
        tensors.push_back({name, GgmlType::kF32, shape, [this, t, values, rows, add](const Put& put) -> Status {
            std::vector<float> all;
            if (values != nullptr) all = *values;
            else {
                TENPAK_ASSIGN(all, source.read_float(*t));
            }
            TENPAK_RETURN_IF_ERROR(model::check_finite(all, t == nullptr ? "vector" : t->name));
            std::vector<float> ordered = all;
            if (rows.order != GgufRows::Order::kSame) {
                for (std::uint32_t r = 0; r < all.size(); ++r) ordered[r] = all[rows.hf_row(r)];
            }
            for (float& f : ordered) f += add;
            return put(std::as_bytes(std::span(ordered)));
        }});
        return {};
    }

    Status packed(const std::string& name, const LinearWeight& w, const std::string& hf) {
        TENPAK_RETURN_IF_ERROR(w.validate(hf));
        const auto type = ggml_type_for(w);
        if (!type) {
            return make_error(ErrorCode::kUnsupported, std::string("llama.cpp has no format that holds ") + weight_format_name(w.format) + " weights" +
                              (w.group_index.empty() ? "" : " with a group index") + " in groups of " + std::to_string(w.group == 0 ? w.k : w.group) + " as they are", hf,
                              "Blocks of 32: groups must be multiples of it");
        }
        weights[*type] += std::uint64_t{w.n} * w.k;
        const GgufRows rows = rows_of(name);
        tensors.push_back({name, *type, {w.n, w.k}, [&w, type = *type, rows, hf](const Put& put) -> Status {
            std::vector<std::byte> out;
            BlockLoss loss;
            for (std::uint32_t r = 0; r < w.n; ++r) {
                append_row(w, type, rows.hf_row(r), out, loss);
                if (out.size() < kPiece && r + 1 < w.n) continue;
                TENPAK_RETURN_IF_ERROR(put(out));
                out.clear();
            }
            if (!std::isfinite(loss.largest)) return make_error(ErrorCode::kNumeric, "a scale is beyond fp16, in which llama.cpp keeps scales", hf);
            return {};
        }});
        return {};
    }

    /// A dense matrix, as many bits a weight as the model has.
    Status matrix(const std::string& hf, bool transposed) {
        TENPAK_ASSIGN(const std::string name, name_of(hf));
        TENPAK_ASSIGN(const TensorInfo* t, find(hf));
        if (t->shape.size() != 2 || !is_float(t->dtype)) return make_error(ErrorCode::kUnsupported, "a tensor that is no matrix of numbers", source.id() + ", tensor " + hf, "A quantized model is exported from its original");
        const GgmlType type = t->dtype == DType::kF16 ? GgmlType::kF16 : t->dtype == DType::kBF16 ? GgmlType::kBF16 : GgmlType::kF32;
        std::vector<std::uint64_t> shape = t->shape;
        if (transposed) std::swap(shape[0], shape[1]);
        if (name.starts_with("blk.")) weights[type] += t->elements();
        const GgufRows rows = rows_of(name);
        tensors.push_back({name, type, shape, [this, t, rows, transposed](const Put& put) -> Status { return write_matrix(*t, rows, transposed, put); }});
        return {};
    }

    Status write_matrix(const TensorInfo& t, const GgufRows& rows, bool transposed, const Put& put) const {
        if (t.dtype == DType::kF64 || transposed || rows.order != GgufRows::Order::kSame) return write_reordered(t, rows, transposed, put);
        Bytes piece(std::min<std::uint64_t>(t.bytes, kPiece));
        for (std::uint64_t at = 0; at < t.bytes; at += piece.size()) {
            const std::span<std::byte> part(piece.data(), std::min<std::uint64_t>(piece.size(), t.bytes - at));
            TENPAK_RETURN_IF_ERROR(source.read(t, at, part));
            TENPAK_RETURN_IF_ERROR(put(part));
        }
        return {};
    }

    Status write_reordered(const TensorInfo& t, const GgufRows& rows, bool transposed, const Put& put) const {
        Bytes all(t.bytes);
        std::size_t width = dtype_bits(t.dtype) / 8;
        if (t.dtype == DType::kF64) {
            TENPAK_ASSIGN(const auto values, source.read_float(t));
            width = 4;
            all.resize(values.size() * width);
            std::memcpy(all.data(), values.data(), all.size());
        } else {
            TENPAK_RETURN_IF_ERROR(source.read(t, 0, all));
        }
        const std::uint64_t n = transposed ? t.shape[1] : t.shape[0], k = transposed ? t.shape[0] : t.shape[1];
        Bytes row(k * width);
        for (std::uint32_t r = 0; r < n; ++r) {
            const std::uint64_t from = rows.hf_row(r);
            if (transposed) {
                for (std::uint64_t c = 0; c < k; ++c) std::memcpy(row.data() + c * width, all.data() + (c * n + from) * width, width);
            } else {
                std::memcpy(row.data(), all.data() + from * row.size(), row.size());
            }
            TENPAK_RETURN_IF_ERROR(put(row));
        }
        return {};
    }

    Status linear(const model::StoredLinear& stored) {
        const auto it = quantized.weights.linears.find(stored.name);
        const std::vector<float>* bias = nullptr;
        if (it == quantized.weights.linears.end()) {
            TENPAK_RETURN_IF_ERROR(matrix(stored.name, stored.transposed));
        } else {
            TENPAK_ASSIGN(const std::string name, name_of(stored.name));
            if (it->second.n != stored.n || it->second.k != stored.k) return make_error(ErrorCode::kMismatch, "another shape than config.json asks for", stored.name);
            TENPAK_RETURN_IF_ERROR(packed(name, it->second, stored.name));
            if (!it->second.bias.empty()) bias = &it->second.bias;
        }
        return vector(stored.bias, bias, false);
    }

    Status norm(const model::StoredNorm& stored) {
        TENPAK_RETURN_IF_ERROR(vector(stored.weight, nullptr, true));
        return vector(stored.bias, nullptr, false);
    }

    Status list() {
        const model::ModelLayout outer = model::model_layout(config);
        TENPAK_RETURN_IF_ERROR(matrix(outer.embedding, false));
        if (!outer.positions.empty()) TENPAK_RETURN_IF_ERROR(vector(outer.positions, nullptr, false));
        for (std::uint32_t l = 0; l < config.layers; ++l) {
            const model::LayerLayout layer = model::layer_layout(config, l);
            for (const model::StoredNorm* n : {&layer.input_norm, &layer.q_norm, &layer.k_norm, &layer.attention_out_norm, &layer.mlp_norm, &layer.mlp_out_norm}) {
                TENPAK_RETURN_IF_ERROR(norm(*n));
            }
            for (const model::StoredLinear& stored : layer.linears) TENPAK_RETURN_IF_ERROR(linear(stored));
        }
        TENPAK_RETURN_IF_ERROR(norm(outer.final_norm));
        if (outer.head != outer.embedding) TENPAK_RETURN_IF_ERROR(linear({outer.head, "", config.vocab, config.hidden, false}));
        return {};
    }

    void factors(const GgufRopeFactors& f) {
        for (const auto& [name, values] : {std::pair{"rope_freqs.weight", &f.all}, {"rope_factors_long.weight", &f.long_context}, {"rope_factors_short.weight", &f.short_context}}) {
            if (values->empty()) continue;
            tensors.push_back({name, GgmlType::kF32, {values->size()}, [values](const Put& put) { return put(std::as_bytes(std::span(*values))); }});
        }
    }

    /// enum llama_ftype: what most weights are.
    std::uint32_t file_type() const {
        const auto most = std::max_element(weights.begin(), weights.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
        switch (most == weights.end() ? GgmlType::kF32 : most->first) {
            case GgmlType::kF16: return 1;
            case GgmlType::kQ4_0: return 2;
            case GgmlType::kQ4_1: return 3;
            case GgmlType::kQ8_0: return 7;
            case GgmlType::kBF16: return 32;
            default: return 0;
        }
    }
};

Result<Json> config_json(const ModelSource& source) {
    TENPAK_ASSIGN(const Bytes raw, source.read_side_file("config.json"));
    return parse_json(as_text(raw), source.id() + "/config.json");
}

Status run(const ModelSource& source, const QuantizedModel& model, const fs::path& out, const JobContext& ctx) {
    std::error_code ec;
    if (fs::exists(out, ec)) return make_error(ErrorCode::kInvalidArgument, "the file to write exists", out.string(), "Name a new .gguf file");
    TENPAK_ASSIGN(const model::ModelConfig config, model::read_config(source));
    TENPAK_ASSIGN(const GgufFamily* family, family_of(config));
    TENPAK_ASSIGN(const Json json, config_json(source));
    TENPAK_ASSIGN(const GgufParameters parameters, gguf_from_config(config, json, *family, source.id() + "/config.json"));
    TENPAK_ASSIGN(GgufVocabulary vocabulary, gguf_from_tokenizer(source, config.vocab));
    Exporter e{source, model, *family, config};
    TENPAK_RETURN_IF_ERROR(e.list());
    e.factors(parameters.factors);
    GgufMetadata values = {
        {"general.architecture", GgufValue::text(family->gguf)},
        {"general.type", GgufValue::text("model")},
        {"general.name", GgufValue::text(source.id())},
        {"general.file_type", GgufValue::u32(e.file_type())},
        {"general.quantization_version", GgufValue::u32(2)},
    };
    values.insert(values.end(), parameters.values.begin(), parameters.values.end());
    values.insert(values.end(), std::make_move_iterator(vocabulary.values.begin()), std::make_move_iterator(vocabulary.values.end()));
    return write_gguf(out, values, e.tensors, ctx);
}

}  // namespace

Status check_gguf(const model::ModelConfig& config, const Candidate& candidate) {
    TENPAK_ASSIGN(const GgufFamily* family, family_of(config));
    (void)family;
    const auto no = [&](const std::string& why) {
        return make_error(ErrorCode::kUnsupported, "GGUF cannot hold " + candidate.name + ": " + why, {}, "Candidates that it can hold: fp16, int8, int8_g128, rtn_g128, awq_g128, awq_g256, gptq_g128, int4_residual, int4_sparse25");
    };
    if (!candidate.lossy() || candidate.method == Method::kMixed) return {};
    if (candidate.format == WeightFormat::kNf4Group) return no("llama.cpp has no format with NF4's values");
    if (candidate.format == WeightFormat::kFp8Channel) return no("llama.cpp has no fp8");
    if (candidate.act_order) return no("llama.cpp has no group index");
    for (const model::StoredLinear& linear : model::layer_layout(config, 0).linears) {
        const std::uint32_t group = candidate.group == 0 ? linear.k : group_for(candidate.group, linear.k);
        if (linear.k % 32 != 0 || group % 32 != 0) return no("groups of " + std::to_string(group) + " in rows of " + std::to_string(linear.k) + " are not multiples of 32");
    }
    return {};
}

Status export_gguf(const ModelSource& source, const std::vector<std::string>&, const QuantizedModel& model, const fs::path& out, const JobContext& ctx) {
    try {
        return run(source, model, out, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "out of memory while exporting", out.string());
    }
}

std::vector<std::string> gguf_notes(const QuantizedModel& model) {
    std::vector<std::string> notes;
    BlockLoss all;
    std::uint64_t weights = 0;
    bool eight = false, channel = false;
    for (const auto& [name, w] : model.weights.linears) {
        const auto type = ggml_type_for(w);
        if (!type) continue;
        weights += std::uint64_t{w.n} * w.k;
        eight = eight || w.format == WeightFormat::kInt4Residual || w.format == WeightFormat::kInt4Sparse;
        channel = channel || w.format == WeightFormat::kInt8Channel;
        if (w.scales.empty() || is_exact(w, *type)) continue;
        const BlockLoss loss = block_loss(w, *type);
        all.weights += loss.weights;
        all.largest = std::max(all.largest, loss.largest);
    }
    if (all.weights > 0) {
        char line[200];
        std::snprintf(line, sizeof line, "GGUF keeps scales and minima in fp16: %.2f %% of the weights move, by %.2g of a quantization step at most", 100.0 * static_cast<double>(all.weights) / static_cast<double>(weights),
                      static_cast<double>(all.largest));
        notes.emplace_back(line);
    }
    if (eight) notes.emplace_back("GGUF has no such format: the same values are written as Q8_0, with 8.5 bits a weight");
    if (channel) notes.emplace_back("llama.cpp rounds activations by its own rule (blocks of 32), not a token at a time: results differ a little from those measured here");
    return notes;
}

std::vector<std::string> gguf_source_notes(const ModelSource& source) {
    std::vector<std::string> notes;
    const auto config = model::read_config(source);
    if (!config.ok()) return notes;
    const GgufFamily* family = gguf_family_of(config->architecture);
    const auto json = config_json(source);
    if (family == nullptr || !json.ok()) return notes;
    if (const auto p = gguf_from_config(*config, *json, *family, source.id()); p.ok()) notes = p->notes;
    if (const auto v = gguf_from_tokenizer(source, config->vocab); v.ok()) notes.insert(notes.end(), v->notes.begin(), v->notes.end());
    return notes;
}

}  // namespace tenpak::quant
