// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <new>

#include "core/quant/layouts/gguf_import.h"
#include "core/quant/layouts/import_tensors.h"

namespace tenpak::quant {
namespace {

// AutoGPTQ before transformers 4.32 had its settings in a file of their own.
Overrides import_old_gptq(const ModelSource& source, const JobContext& ctx) {
    const auto raw = source.read_side_file("quantize_config.json");
    const bool packed = std::any_of(source.tensors().begin(), source.tensors().end(), [](const TensorInfo& t) { return t.name.ends_with(".qweight"); });
    if (!raw.ok() || !packed) return compute::WeightOverrides{};
    const std::string where = source.id() + "/quantize_config.json";
    TENPAK_ASSIGN(const Json q, parse_json(as_text(*raw), where));
    if (!q.is_object()) return malformed_weights("the settings must be an object", where);
    return import_gptq(source, q, where, ctx);
}

Overrides run(const ModelSource& source, const JobContext& ctx) {
    const auto raw = source.read_side_file("config.json");
    if (!raw.ok()) {
        if (raw.error().code == ErrorCode::kNotFound) return compute::WeightOverrides{};
        return raw.error();
    }
    const std::string where = source.id() + "/config.json";
    TENPAK_ASSIGN(const Json config, parse_json(as_text(*raw), where));
    const Json q = config.is_object() ? optional_key(config, "quantization_config") : Json();
    if (q.is_null()) return import_old_gptq(source, ctx);
    if (!q.is_object()) return make_error(ErrorCode::kMalformed, "\"quantization_config\" must be an object", where);
    TENPAK_ASSIGN(const std::string method, json_get<std::string>(q, "quant_method", where));
    if (method == "awq") return import_autoawq(source, q, where, ctx);
    if (method == "gptq") return import_gptq(source, q, where, ctx);
    if (method == "compressed-tensors") return import_compressed_tensors(source, q, where, ctx);
    if (method == "fp8") return import_fp8(source, q, where, ctx);
    if (method == "bitsandbytes") return import_bitsandbytes(source, q, where, ctx);
    return unsupported_scheme("quantization method \"" + method + "\"", where);
}

}  // namespace

Result<compute::WeightOverrides> import_quantized(const ModelSource& source, const JobContext& ctx) {
    if (const auto* gguf = dynamic_cast<const GgufModel*>(&source)) return import_gguf(*gguf, ctx);
    try {
        return run(source, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "out of memory while reading quantized weights", source.id());
    }
}

}  // namespace tenpak::quant
