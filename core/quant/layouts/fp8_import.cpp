// SPDX-License-Identifier: Apache-2.0
// quant_method "fp8" (optimizer.md 4.5 b): weights in e4m3, weight_scale fp32 for the tensor or each row, activations rounded as
// they come.
#include "core/quant/layouts/import_tensors.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;

Result<LinearWeight> read_module(const ModelSource& source, const std::string& module) {
    LinearWeight w;
    const TensorInfo* t = source.find(module + ".weight");
    if (t->dtype != DType::kF8E4M3) return w;  // left in 16 bit
    if (t->shape.size() != 2) return malformed_weights("a quantized weight that is no matrix", t->name);
    TENPAK_RETURN_IF_ERROR(check_sizes(t->shape[0], t->shape[1], t->name));
    w.format = compute::WeightFormat::kFp8Channel;
    w.n = static_cast<std::uint32_t>(t->shape[0]);
    w.k = static_cast<std::uint32_t>(t->shape[1]);
    if (source.find(module + ".weight_scale_inv") != nullptr) return unsupported_scheme("FP8 with a scale for each block of rows and columns", module);
    TENPAK_ASSIGN(w.scales, read_row_scales(source, module + ".weight_scale", w.n));
    TENPAK_ASSIGN(w.codes, read_octets(source, *t));
    return w;
}

}  // namespace

Overrides import_fp8(const ModelSource& source, const Json& q, const std::string& where, const JobContext& ctx) {
    if (!optional_key(q, "weight_block_size").is_null()) return unsupported_scheme("FP8 with a scale for each block of rows and columns", where);
    const Json activations = optional_key(q, "activation_scheme");
    if (!activations.is_null() && activations != Json("dynamic")) return unsupported_scheme("FP8 activations of scheme " + activations.dump() + " (only dynamic)", where);
    return import_modules(source, ".weight", where, ctx, [&](const std::string& module) { return read_module(source, module); });
}

}  // namespace tenpak::quant
