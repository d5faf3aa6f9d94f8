// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <functional>
#include <new>

#include "core/base/half.h"
#include "core/model/config.h"
#include "core/model/layout.h"
#include "core/quant/compressed_tensors_config.h"
#include "core/quant/export_layout.h"
#include "core/quant/packing.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

// A tensor of the output: what it is, and how to make its bytes when its shard is written.
struct Planned {
    std::string name;
    DType dtype = DType::kBF16;
    std::vector<std::uint64_t> shape;
    std::function<Result<Bytes>()> make;
    std::uint64_t bytes() const {
        std::uint64_t n = dtype_bits(dtype) / 8;
        for (const std::uint64_t d : shape) n *= d;
        return n;
    }
};

Bytes as_half(std::span<const float> values, DType dtype, std::uint32_t columns = 1, std::uint32_t repeat = 1) {
    Bytes out(values.size() * repeat * 2);
    const bool fp16 = dtype == DType::kF16;
    std::size_t at = 0;
    for (std::size_t i = 0; i < values.size(); i += columns) {
        for (std::uint32_t c = 0; c < columns; ++c) {
            const std::uint16_t h = fp16 ? float_to_fp16(values[i + c]) : float_to_bf16(values[i + c]);
            for (std::uint32_t r = 0; r < repeat; ++r, at += 2) std::memcpy(out.data() + at, &h, 2);
        }
    }
    return out;
}

Status plan_linear(const std::string& name, const LinearWeight& w, DType half, std::vector<Planned>& plan) {
    const std::string base = name.substr(0, name.size() - std::strlen(".weight"));
    TENPAK_RETURN_IF_ERROR(w.validate(name));
    const std::uint32_t groups = w.group == 0 ? 1 : w.k / w.group, repeat = w.group == 256 ? 2 : 1;
    plan.push_back({base + ".weight_scale", half, {w.n, std::uint64_t{groups} * repeat},
                    [&w, half, groups, repeat]() -> Result<Bytes> { return as_half(w.scales, half, groups, repeat); }});
    if (w.format == WeightFormat::kInt8Channel) {
        plan.push_back({name, DType::kI8, {w.n, w.k}, [&w]() -> Result<Bytes> {
            const auto bytes = std::as_bytes(std::span(w.codes));
            return Bytes(bytes.begin(), bytes.end());
        }});
        return {};
    }
    const unsigned bits = w.format == WeightFormat::kInt4Group ? 4 : 8;
    if (w.format != WeightFormat::kInt4Group && w.format != WeightFormat::kInt8Group) {
        return make_error(ErrorCode::kUnsupported, std::string("compressed-tensors cannot hold ") + weight_format_name(w.format) + " weights as quantized", name);
    }
    plan.push_back({base + ".weight_packed", DType::kI32, {w.n, packed_words(w.k, bits)}, [&w]() -> Result<Bytes> { return pack_codes(w); }});
    plan.push_back({base + ".weight_shape", DType::kI64, {2}, [&w]() -> Result<Bytes> {
        const std::int64_t shape[] = {w.n, w.k};
        Bytes out(sizeof shape);
        std::memcpy(out.data(), shape, sizeof shape);
        return out;
    }});
    if (bits == 4 && !w.symmetric) {
        plan.push_back({base + ".weight_zero_point", DType::kI32, {packed_words(w.n, 4), std::uint64_t{groups} * repeat},
                        [&w, groups, repeat]() -> Result<Bytes> { return pack_zeros(w.zeros, w.n, groups, repeat); }});
    }
    return {};
}

// Tensors that stay as they are, but for folded norms and biases, and fp32, which becomes bf16.
void plan_dense(const ModelSource& source, const TensorInfo& t, const std::vector<float>* values, DType half, std::vector<Planned>& plan) {
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

Result<std::vector<Planned>> make_plan(const ModelSource& source, const QuantizedModel& model, DType half) {
    std::vector<Planned> plan;
    for (const std::uint32_t index : layer_order(source.tensors())) {
        const TensorInfo& t = source.tensors()[index];
        if (const auto linear = model.weights.linears.find(t.name); linear != model.weights.linears.end()) {
            TENPAK_RETURN_IF_ERROR(plan_linear(t.name, linear->second, half, plan));
            continue;
        }
        const std::vector<float>* values = nullptr;
        if (const auto v = model.weights.vectors.find(t.name); v != model.weights.vectors.end()) values = &v->second;
        if (t.name.ends_with(".bias")) {
            const auto linear = model.weights.linears.find(t.name.substr(0, t.name.size() - 4) + "weight");
            if (linear != model.weights.linears.end() && !linear->second.bias.empty()) values = &linear->second.bias;
        }
        plan_dense(source, t, values, half, plan);
    }
    return plan;
}

Status write_shards(const std::vector<Planned>& plan, const fs::path& dir, const JobContext& ctx) {
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

Status run(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model, const fs::path& out,
           const JobContext& ctx) {
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
    config["quantization_config"] = compressed_tensors_config(model);
    TENPAK_ASSIGN(const tenpak::model::ModelConfig parts, tenpak::model::read_config(source));
    if (tenpak::model::layer_layout(parts, 0).linears.front().transposed) {
        return make_error(ErrorCode::kUnsupported, parts.architecture + " stores its linear weights transposed (Conv1D), which compressed-tensors has no form for", source.id(),
                          "tenpak eval and bench measure its candidates all the same");
    }
    // The head stays in 16 bit; serving engines know it by its module's name.
    const std::string head = tenpak::model::model_layout(parts).head;
    if (head.starts_with("embed_out")) config["quantization_config"]["ignore"] = {"embed_out"};

    TENPAK_ASSIGN(const std::vector<Planned> plan, make_plan(source, model, half));
    TENPAK_ASSIGN(AtomicDirectory dir, AtomicDirectory::create(out));
    TENPAK_RETURN_IF_ERROR(copy_side_files(source, side_files, dir.path(), ctx));
    TENPAK_RETURN_IF_ERROR(write_file_atomic(dir.path() / "config.json", as_bytes(config.dump(2) + "\n")));
    TENPAK_RETURN_IF_ERROR(write_shards(plan, dir.path(), ctx));
    return dir.commit();
}

}  // namespace

Status export_compressed_tensors(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                                 const fs::path& out, const JobContext& ctx) {
    try {
        return run(source, side_files, model, out, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "out of memory while exporting", out.string());
    }
}

}  // namespace tenpak::quant
