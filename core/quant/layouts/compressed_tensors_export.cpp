// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "core/quant/layouts/compressed_tensors_config.h"
#include "core/quant/layouts/int8_form.h"
#include "core/quant/layouts/model_writer.h"
#include "core/quant/layouts/packing.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

bool has_form(const LinearWeight& w) {
    switch (w.format) {
        case WeightFormat::kInt4Group:
        case WeightFormat::kInt8Group:
        case WeightFormat::kFp8Channel: return true;
        case WeightFormat::kInt8Channel: return w.outlier_threshold == 0;
        default: return has_int8_form(w.format);
    }
}

std::vector<float> repeated(const std::vector<float>& values, std::uint32_t repeat) {
    std::vector<float> out;
    out.reserve(values.size() * repeat);
    for (const float v : values) out.insert(out.end(), repeat, v);
    return out;
}

void plan_packed(const std::string& module, const LinearWeight& w, const CompressedScheme& s, DType half, Plan& plan) {
    const std::uint32_t groups = s.group == 0 ? 1 : w.k / s.group, repeat = groups / (w.k / group_of(w));
    plan.push_back({module + ".weight_scale", half, {w.n, groups}, [&w, half, repeat]() -> Result<Bytes> { return as_half(repeated(w.scales, repeat), half); }});
    plan.push_back({module + ".weight_packed", DType::kI32, {w.n, packed_words(w.k, s.bits)},
                    [&w]() -> Result<Bytes> { return has_int8_form(w.format) ? pack_codes(as_int8_group(w)) : pack_codes(w); }});
    plan.push_back({module + ".weight_shape", DType::kI64, {2}, [&w]() -> Result<Bytes> { return raw_bytes(std::vector<std::int64_t>{w.n, w.k}); }});
    if (!s.symmetric) {
        plan.push_back({module + ".weight_zero_point", DType::kI32, {packed_words(w.n, 4), groups},
                        [&w, groups, repeat]() -> Result<Bytes> { return pack_zeros(w.zeros, w.n, groups / repeat, repeat); }});
    }
    if (s.group_index) {
        plan.push_back({module + ".weight_g_idx", DType::kI32, {w.k}, [&w, repeat]() -> Result<Bytes> { return raw_bytes(split_group_index(w, repeat)); }});
    }
}

std::uint32_t zeros_group(const QuantizedModel& model) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> groups;
    for (const auto& [name, w] : model.weights.linears) {
        if (w.format == WeightFormat::kInt4Group && !w.symmetric) groups.emplace_back(group_of(w), w.k);
    }
    return shared_zeros_group(groups);
}

Status plan_linear(const std::string& module, const LinearWeight& w, std::uint32_t shared, DType half, Plan& plan) {
    if (!has_form(w)) {
        const std::string what = w.outlier_threshold > 0 ? "LLM.int8's outlier columns" : std::string(weight_format_name(w.format)) + " weights";
        return make_error(ErrorCode::kUnsupported, "compressed-tensors cannot hold " + what + " as quantized", module + ".weight", "--layout bitsandbytes holds them");
    }
    const CompressedScheme s = compressed_scheme(w, shared);
    if (!s.activations) {
        plan_packed(module, w, s, half, plan);
        return {};
    }
    const DType scale = s.floating ? DType::kF32 : half;
    plan.push_back({module + ".weight_scale", scale, {w.n, 1}, [&w, scale]() -> Result<Bytes> { return scale == DType::kF32 ? raw_bytes(w.scales) : as_half(w.scales, scale); }});
    plan.push_back({module + ".weight", s.floating ? DType::kF8E4M3 : DType::kI8, {w.n, w.k}, [&w]() -> Result<Bytes> { return raw_bytes(w.codes); }});
    return {};
}

}  // namespace

Status export_compressed_tensors(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                                 const fs::path& out, const JobContext& ctx) {
    LayoutWriter writer;
    writer.name = "compressed-tensors";
    const std::uint32_t shared = zeros_group(model);
    writer.linear = [shared](const std::string& module, const LinearWeight& w, DType half, Plan& plan) { return plan_linear(module, w, shared, half, plan); };
    std::map<std::string, CompressedScheme> modules;
    for (const auto& [name, w] : model.weights.linears) {
        if (!is_dense(w.format)) modules.emplace(module_of(name), compressed_scheme(w, shared));
    }
    // The head stays in 16 bit; serving engines know it by its module's name.
    std::vector<std::string> ignore = {head_module(source)};
    for (std::string& module : dense_modules(source, model)) ignore.push_back(std::move(module));
    writer.quantization_config = compressed_tensors_config(modules, ignore);
    return write_model(source, side_files, model, writer, out, ctx);
}

std::vector<std::string> compressed_tensors_notes(const QuantizedModel& model) {
    std::vector<std::string> notes;
    bool wide = false, zeros = false, indexed = false;
    for (const auto& [name, w] : model.weights.linears) {
        wide |= w.group == 256;
        zeros |= w.format == WeightFormat::kInt4Group && !w.symmetric;
        indexed |= !w.group_index.empty();
    }
    if (indexed) notes.emplace_back("compressed-tensors 0.20 has removed weights with a group index (actorder \"group\"): older releases load this, and --layout gptq is loaded by all");
    if (const std::uint32_t shared = zeros_group(model); shared != 0) {
        notes.push_back("all groups with zero points are written as groups of " + std::to_string(shared) + ", larger ones in parts with the same scale: equal values, and transformers dequantizes one group size only");
    }
    if (wide) notes.emplace_back("groups of 256 are written as two of 128 with the same scale: equal values, 0.08 bits a weight more, fast kernels everywhere");
    if (std::string note = int8_form_note(model); !note.empty()) notes.push_back(std::move(note));
    if (zeros) {
        // compressed-tensors 0.15 to 0.20 sizes packed zero points wrongly when transformers prepares the model.
        notes.emplace_back("vLLM loads this as it is; transformers needs quantization_config=CompressedTensorsConfig(dequantize=True), because of its packed zero points");
    }
    return notes;
}

}  // namespace tenpak::quant
