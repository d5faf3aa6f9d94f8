// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/model_writer.h"

#include <cstring>
#include <map>
#include <new>

#include "core/base/half.h"
#include "core/model/layout.h"
#include "core/model/weight_loader.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

constexpr std::string_view kWeight = ".weight";

// The stored linears of all layers, by name.
std::map<std::string, model::StoredLinear> stored_linears(const model::ModelConfig& config) {
    std::map<std::string, model::StoredLinear> all;
    for (std::uint32_t l = 0; l < config.layers; ++l) {
        for (model::StoredLinear& s : model::layer_layout(config, l).linears) all.emplace(s.name, std::move(s));
    }
    return all;
}

// A weight that stays dense, or is written so: [n][k], or [k][n] where the model stores it the other way.
void plan_dense_linear(const std::string& name, const LinearWeight& w, bool transposed, DType half, Plan& plan) {
    const std::vector<std::uint64_t> shape = transposed ? std::vector<std::uint64_t>{w.k, w.n} : std::vector<std::uint64_t>{w.n, w.k};
    plan.push_back({name, half, shape, [&w, transposed, half]() -> Result<Bytes> {
        std::vector<float> values = w.dequantize();
        if (transposed) values = model::transposed(values, w.n, w.k);
        return as_half(values, half);
    }});
}

// Tensors that stay as they are, but for folded norms and biases, and fp32, which becomes 16 bit.
void plan_other(const ModelSource& source, const TensorInfo& t, const std::vector<float>* values, DType half, Plan& plan) {
    const bool convert = values != nullptr || t.dtype == DType::kF32 || t.dtype == DType::kF64;
    plan.push_back({t.name, convert ? half : t.dtype, t.shape, [&source, &t, values, half, convert]() -> Result<Bytes> {
        if (values != nullptr) return as_half(*values, half);
        if (convert) {
            TENPAK_ASSIGN(const std::vector<float> all, source.read_float(t));
            return as_half(all, half);
        }
        Bytes out(t.bytes);
        TENPAK_RETURN_IF_ERROR(source.read(t, 0, out));
        return out;
    }});
}

Result<Plan> make_plan(const ModelSource& source, const QuantizedModel& model, const LayoutWriter& writer, const model::ModelConfig& config, DType half) {
    const auto stored = stored_linears(config);
    Plan plan;
    for (const std::uint32_t index : layer_order(source.tensors())) {
        const TensorInfo& t = source.tensors()[index];
        if (const auto linear = model.weights.linears.find(t.name); linear != model.weights.linears.end()) {
            const LinearWeight& w = linear->second;
            TENPAK_RETURN_IF_ERROR(w.validate(t.name));
            const auto s = stored.find(t.name);
            const bool transposed = s != stored.end() && s->second.transposed;
            if (is_dense(w.format) || !writer.linear) {
                plan_dense_linear(t.name, w, transposed, half, plan);
            } else {
                TENPAK_RETURN_IF_ERROR(writer.linear(module_of(t.name), w, half, plan));
            }
            continue;
        }
        const std::vector<float>* values = nullptr;
        if (const auto v = model.weights.vectors.find(t.name); v != model.weights.vectors.end()) values = &v->second;
        if (t.name.ends_with(".bias")) {
            const auto linear = model.weights.linears.find(t.name.substr(0, t.name.size() - 4) + "weight");
            if (linear != model.weights.linears.end() && !linear->second.bias.empty()) values = &linear->second.bias;
        }
        plan_other(source, t, values, half, plan);
    }
    return plan;
}

Status write_shards(const Plan& plan, const fs::path& dir, const JobContext& ctx) {
    std::vector<std::size_t> begins = {0};
    std::uint64_t size = 0, total = 0;
    for (std::size_t i = 0; i < plan.size(); ++i) {
        if (size > 0 && size + plan[i].bytes() > kShardBytes) {
            begins.push_back(i);
            size = 0;
        }
        size += plan[i].bytes();
        total += plan[i].bytes();
    }
    begins.push_back(plan.size());
    const std::size_t shards = begins.size() - 1;
    Json map = Json::object();
    std::uint64_t done = 0;
    for (std::size_t s = 0; s < shards; ++s) {
        char name[64] = "model.safetensors";
        if (shards > 1) std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", s + 1, shards);
        std::vector<Bytes> data;
        std::vector<TensorToWrite> tensors;
        data.reserve(begins[s + 1] - begins[s]);
        for (std::size_t i = begins[s]; i < begins[s + 1]; ++i) {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            TENPAK_ASSIGN(Bytes bytes, plan[i].make());
            data.push_back(std::move(bytes));
            tensors.push_back({plan[i].name, plan[i].dtype, plan[i].shape, data.back()});
            map[plan[i].name] = name;
            done += plan[i].bytes();
            Progress p;
            p.phase = "export";
            p.done = done;
            p.total = total;
            p.detail = plan[i].name;
            ctx.report(p);
        }
        TENPAK_RETURN_IF_ERROR(write_safetensors(dir / name, std::move(tensors)));
    }
    if (shards == 1) return {};
    const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
    return write_file_atomic(dir / "model.safetensors.index.json", as_bytes(index.dump(2) + "\n"));
}

Status copy_side_files(const ModelSource& source, const std::vector<std::string>& side_files, const fs::path& dir, const JobContext& ctx) {
    for (const std::string& path : side_files) {
        if (path == "config.json" || path.ends_with(".safetensors.index.json")) continue;  // rewritten here
        TENPAK_RETURN_IF_ERROR(ctx.check());
        TENPAK_RETURN_IF_ERROR(check_relative_path(path));
        TENPAK_ASSIGN(const Bytes content, source.read_side_file(path));
        std::error_code ec;
        fs::create_directories((dir / path).parent_path(), ec);
        TENPAK_RETURN_IF_ERROR(write_file_atomic(dir / path, content));
    }
    return {};
}

Status run(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model, const LayoutWriter& writer,
           const fs::path& out, const JobContext& ctx) {
    if (model.weights.linears.empty()) {
        return make_error(ErrorCode::kUnsupported, "candidate " + model.candidate.name + " changes no weights: there is nothing to export", source.id(),
                          "The model directory itself is the fp16 candidate");
    }
    TENPAK_ASSIGN(const Bytes raw, source.read_side_file("config.json"));
    TENPAK_ASSIGN(Json config, parse_json(as_text(raw), source.id() + "/config.json"));
    if (!config.is_object()) return make_error(ErrorCode::kMalformed, "config.json must hold an object", source.id());
    const TensorInfo* first = source.find(model.weights.linears.begin()->first);
    const DType half = first != nullptr && first->dtype == DType::kF16 ? DType::kF16 : DType::kBF16;
    // Both spellings, where present: transformers 4 wrote torch_dtype, 5 writes dtype.
    const char* half_name = half == DType::kF16 ? "float16" : "bfloat16";
    if (config.contains("dtype")) config["dtype"] = half_name;
    if (config.contains("torch_dtype") || !config.contains("dtype")) config["torch_dtype"] = half_name;
    if (!writer.quantization_config.is_null()) config["quantization_config"] = writer.quantization_config;
    TENPAK_ASSIGN(const model::ModelConfig parts, model::read_config(source));
    if (!writer.transposed && model::layer_layout(parts, 0).linears.front().transposed) {
        return make_error(ErrorCode::kUnsupported, parts.architecture + " stores its linear weights transposed (Conv1D), which " + writer.name + " has no form for", source.id(),
                          "--layout bf16 writes it dequantized; tenpak eval and bench measure its candidates all the same");
    }
    TENPAK_ASSIGN(const Plan plan, make_plan(source, model, writer, parts, half));
    TENPAK_ASSIGN(AtomicDirectory dir, AtomicDirectory::create(out));
    TENPAK_RETURN_IF_ERROR(copy_side_files(source, side_files, dir.path(), ctx));
    TENPAK_RETURN_IF_ERROR(write_file_atomic(dir.path() / "config.json", as_bytes(config.dump(2) + "\n")));
    for (const auto& [name, text] : writer.files) TENPAK_RETURN_IF_ERROR(write_file_atomic(dir.path() / name, as_bytes(text)));
    TENPAK_RETURN_IF_ERROR(write_shards(plan, dir.path(), ctx));
    return dir.commit();
}

}  // namespace

Bytes as_half(std::span<const float> values, DType dtype) {
    Bytes out(values.size() * 2);
    const bool fp16 = dtype == DType::kF16;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::uint16_t h = fp16 ? float_to_fp16(values[i]) : float_to_bf16(values[i]);
        std::memcpy(out.data() + i * 2, &h, 2);
    }
    return out;
}

bool is_dense(WeightFormat format) { return format == WeightFormat::kF32 || format == WeightFormat::kBF16 || format == WeightFormat::kF16; }

std::string module_of(const std::string& tensor) { return tensor.ends_with(kWeight) ? tensor.substr(0, tensor.size() - kWeight.size()) : tensor; }

std::string head_module(const ModelSource& source) {
    const auto config = model::read_config(source);
    if (config.ok() && model::model_layout(*config).head.starts_with("embed_out")) return "embed_out";
    return "lm_head";
}

std::vector<std::string> dense_modules(const ModelSource& source, const QuantizedModel& model) {
    std::vector<std::string> names;
    const auto config = model::read_config(source);
    if (!config.ok()) return names;
    for (std::uint32_t l = 0; l < config->layers; ++l) {
        for (const model::StoredLinear& s : model::layer_layout(*config, l).linears) {
            const auto w = model.weights.linears.find(s.name);
            if (w == model.weights.linears.end() || is_dense(w->second.format)) names.push_back(module_of(s.name));
        }
    }
    return names;
}

Status write_model(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                   const LayoutWriter& writer, const fs::path& out, const JobContext& ctx) {
    try {
        return run(source, side_files, model, writer, out, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "out of memory while exporting", out.string());
    }
}

}  // namespace tenpak::quant
