// SPDX-License-Identifier: Apache-2.0
// bitsandbytes (optimizer.md 4.6, 4.7). NF4: weight uint8 [N*K/2, 1], the even element in the high nibble; absmax fp32 (uint8 when
// quantized itself), quant_map, and the rest as JSON in quant_state. LLM.int8: weight int8 [N, K], SCB fp32 [N]; w = q * SCB / 127.
#include "core/base/nf4.h"
#include "core/quant/layouts/bitsandbytes.h"
#include "core/quant/layouts/int8_form.h"
#include "core/quant/layouts/layout_functions.h"
#include "core/quant/layouts/model_writer.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

Json quant_state(const LinearWeight& w, DType half) {
    Json state = {{"quant_type", "nf4"}, {"blocksize", group_of(w)}, {"dtype", half == DType::kF16 ? "float16" : "bfloat16"}, {"shape", {w.n, w.k}}};
    if (!w.scale_codes.empty()) {
        state["nested_blocksize"] = kNestedBlock;
        state["nested_dtype"] = "float32";
        state["nested_offset"] = static_cast<double>(w.nested_offset);
    }
    return state;
}

void plan_nf4(const std::string& module, const LinearWeight& w, DType half, Plan& plan) {
    const std::string name = module + ".weight";
    const std::uint64_t blocks = w.scales.size();
    plan.push_back({name, DType::kU8, {std::uint64_t{w.n} * w.k / 2, 1}, [&w]() -> Result<Bytes> { return raw_bytes(swapped_nibbles(w.codes)); }});
    plan.push_back({name + ".quant_map", DType::kF32, {16}, []() -> Result<Bytes> { return raw_bytes(std::vector<float>(kNf4Levels.begin(), kNf4Levels.end())); }});
    const std::string state = canonical_json(quant_state(w, half));
    plan.push_back({name + kQuantState, DType::kU8, {state.size()}, [state]() -> Result<Bytes> {
        const auto bytes = as_bytes(state);
        return Bytes(bytes.begin(), bytes.end());
    }});
    if (w.scale_codes.empty()) {
        plan.push_back({name + ".absmax", DType::kF32, {blocks}, [&w]() -> Result<Bytes> { return raw_bytes(w.scales); }});
        return;
    }
    plan.push_back({name + ".absmax", DType::kU8, {blocks}, [&w]() -> Result<Bytes> { return raw_bytes(w.scale_codes); }});
    plan.push_back({name + ".nested_absmax", DType::kF32, {w.nested_scales.size()}, [&w]() -> Result<Bytes> { return raw_bytes(w.nested_scales); }});
    plan.push_back({name + ".nested_quant_map", DType::kF32, {256}, []() -> Result<Bytes> {
        return raw_bytes(std::vector<float>(dynamic_levels().begin(), dynamic_levels().end()));
    }});
}

void plan_int8(const std::string& module, const LinearWeight& w, Plan& plan) {
    plan.push_back({module + ".weight", DType::kI8, {w.n, w.k}, [&w]() -> Result<Bytes> { return raw_bytes(w.codes); }});
    plan.push_back({module + ".SCB", DType::kF32, {w.n}, [&w]() -> Result<Bytes> {
        std::vector<float> rows;
        for (const float s : w.scales) rows.push_back(row_magnitude(s));
        return raw_bytes(rows);
    }});
    plan.push_back({module + ".weight_format", DType::kU8, {}, []() -> Result<Bytes> { return Bytes(1, std::byte{0}); }});  // "row"
}

Status plan_linear(const std::string& module, const LinearWeight& w, bool four, float threshold, DType half, Plan& plan) {
    const auto refuse = [&](const std::string& why) { return make_error(ErrorCode::kUnsupported, why, module + ".weight", "--layout compressed-tensors holds what bitsandbytes cannot"); };
    if (w.format != WeightFormat::kNf4Group && w.format != WeightFormat::kInt8Channel) {
        return refuse(std::string("bitsandbytes files hold NF4 and LLM.int8, not ") + weight_format_name(w.format) + " weights");
    }
    if ((w.format == WeightFormat::kNf4Group) != four) return refuse("bitsandbytes files hold one format for all linears");
    if (!four) {
        if (w.outlier_threshold != threshold) return refuse("bitsandbytes files have one outlier threshold for all linears");
        plan_int8(module, w, plan);
        return {};
    }
    if (!w.group_index.empty() || !is_block_size(group_of(w))) return refuse("bitsandbytes has no blocks of " + std::to_string(group_of(w)));
    plan_nf4(module, w, half, plan);
    return {};
}

}  // namespace

Status export_bitsandbytes(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                           const fs::path& out, const JobContext& ctx) {
    LayoutWriter writer;
    writer.name = "bitsandbytes";
    const LinearWeight* first = nullptr;
    for (const auto& [name, w] : model.weights.linears) {
        if (first == nullptr && !is_dense(w.format)) first = &w;
    }
    const bool four = first != nullptr && first->format == WeightFormat::kNf4Group;
    const bool nested = four && !first->scale_codes.empty();
    const float threshold = first != nullptr ? first->outlier_threshold : 0;
    writer.linear = [four, threshold](const std::string& module, const LinearWeight& w, DType half, Plan& plan) { return plan_linear(module, w, four, threshold, half, plan); };
    std::vector<std::string> skip = {head_module(source)};
    for (std::string& module : dense_modules(source, model)) skip.push_back(std::move(module));
    writer.quantization_config = {{"quant_method", "bitsandbytes"}, {"_load_in_4bit", four}, {"_load_in_8bit", !four}, {"load_in_4bit", four}, {"load_in_8bit", !four},
                                  {"bnb_4bit_quant_type", four ? "nf4" : "fp4"}, {"bnb_4bit_use_double_quant", nested}, {"bnb_4bit_compute_dtype", four ? "bfloat16" : "float32"},
                                  {"bnb_4bit_quant_storage", "uint8"}, {"llm_int8_skip_modules", skip}, {"llm_int8_threshold", four ? 6.0 : static_cast<double>(threshold)},
                                  {"llm_int8_enable_fp32_cpu_offload", false}, {"llm_int8_has_fp16_weight", false}};
    return write_model(source, side_files, model, writer, out, ctx);
}

}  // namespace tenpak::quant
