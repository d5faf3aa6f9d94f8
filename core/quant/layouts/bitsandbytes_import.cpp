// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/bitsandbytes.h"

#include <algorithm>
#include <cmath>

#include "core/base/nf4.h"
#include "core/quant/layouts/import_tensors.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

Result<std::vector<float>> read_map(const ModelSource& source, const std::string& name, std::size_t size) {
    TENPAK_ASSIGN(const TensorInfo* t, require_tensor(source, name, DType::kF32, 1));
    if (t->shape[0] != size) return malformed_weights("not " + std::to_string(size) + " numbers", name);
    TENPAK_ASSIGN(std::vector<float> map, source.read_float(*t));
    for (const float v : map) {
        if (!std::isfinite(v)) return make_error(ErrorCode::kNumeric, "a level is not finite", name);
    }
    return map;
}

// Scales that were quantized themselves: code -> map * nested_absmax + offset, in single precision as bitsandbytes does.
Status read_nested(const ModelSource& source, const std::string& name, const Json& state, std::size_t blocks, LinearWeight& w) {
    TENPAK_ASSIGN(const TensorInfo* absmax, require_tensor(source, name + ".absmax", DType::kU8, 1));
    TENPAK_ASSIGN(const TensorInfo* nested, require_tensor(source, name + ".nested_absmax", DType::kF32, 1));
    TENPAK_ASSIGN(const std::vector<float> map, read_map(source, name + ".nested_quant_map", 256));
    TENPAK_ASSIGN(const unsigned block, json_get<unsigned>(state, "nested_blocksize", name));
    TENPAK_ASSIGN(const double offset, json_get<double>(state, "nested_offset", name));
    if (block == 0 || (block & (block - 1)) != 0) return malformed_weights("an impossible nested block size", name);
    if (absmax->shape[0] != blocks || nested->shape[0] != (blocks + block - 1) / block) return malformed_weights("the quantized scales do not fit the weight", absmax->name);
    TENPAK_ASSIGN(w.scale_codes, read_octets(source, *absmax));
    TENPAK_ASSIGN(w.nested_scales, source.read_float(*nested));
    w.nested_offset = static_cast<float>(offset);
    if (!std::isfinite(w.nested_offset)) return make_error(ErrorCode::kNumeric, "the scales' offset is not finite", name);
    w.scales.resize(blocks);
    for (std::size_t i = 0; i < blocks; ++i) w.scales[i] = map[w.scale_codes[i]] * w.nested_scales[i / block] + w.nested_offset;
    if (block != kNestedBlock || !std::equal(map.begin(), map.end(), dynamic_levels().begin())) {  // other levels than ours: kept in fp32
        w.scale_codes.clear();
        w.nested_scales.clear();
        w.nested_offset = 0;
    }
    return {};
}

Result<LinearWeight> read_nf4(const ModelSource& source, const std::string& module) {
    LinearWeight w;
    const std::string name = module + ".weight";
    if (source.find(name + ".quant_state.bitsandbytes__fp4") != nullptr) return unsupported_scheme("bitsandbytes FP4", name);
    const TensorInfo* state_tensor = source.find(name + kQuantState);
    if (state_tensor == nullptr) return w;  // left in 16 bit
    if (state_tensor->dtype != DType::kU8 || state_tensor->bytes > (1u << 20)) return malformed_weights("this is no quantization state", state_tensor->name);
    TENPAK_ASSIGN(const auto text, read_octets(source, *state_tensor));
    TENPAK_ASSIGN(const Json state, parse_json(as_text(std::as_bytes(std::span(text))), state_tensor->name));
    if (!state.is_object()) return malformed_weights("the quantization state must be an object", state_tensor->name);
    TENPAK_ASSIGN(const unsigned block, json_get<unsigned>(state, "blocksize", state_tensor->name));
    TENPAK_ASSIGN(const Json shape, json_get<Json>(state, "shape", state_tensor->name));
    if (!is_block_size(block)) return malformed_weights("an impossible block size", state_tensor->name);
    if (!shape.is_array() || shape.size() != 2 || !shape[0].is_number_unsigned() || !shape[1].is_number_unsigned()) return malformed_weights("\"shape\" must hold two numbers", state_tensor->name);
    const auto n = shape[0].get<std::uint64_t>(), k = shape[1].get<std::uint64_t>();
    TENPAK_RETURN_IF_ERROR(check_sizes(n, k, state_tensor->name));
    if (k % block != 0) return unsupported_scheme("NF4 blocks of " + std::to_string(block) + " that span rows of " + std::to_string(k), name);
    const TensorInfo* codes = source.find(name);
    if (codes == nullptr || codes->dtype != DType::kU8 || codes->bytes != n * k / 2) return malformed_weights("the codes do not fit the weight", name);
    TENPAK_ASSIGN(const std::vector<float> map, read_map(source, name + ".quant_map", 16));
    for (std::size_t i = 0; i < map.size(); ++i) {
        if (std::fabs(map[i] - kNf4Levels[i]) > 1e-6f) return unsupported_scheme("4-bit levels other than NF4's", name + ".quant_map");
    }
    w.format = WeightFormat::kNf4Group;
    w.n = static_cast<std::uint32_t>(n);
    w.k = static_cast<std::uint32_t>(k);
    w.group = block;
    const std::size_t blocks = n * k / block;
    if (state.contains("nested_blocksize")) {
        TENPAK_RETURN_IF_ERROR(read_nested(source, name, state, blocks, w));
    } else {
        TENPAK_ASSIGN(const TensorInfo* absmax, require_tensor(source, name + ".absmax", DType::kF32, 1));
        if (absmax->shape[0] != blocks) return malformed_weights("the scales do not fit the weight", absmax->name);
        TENPAK_ASSIGN(w.scales, source.read_float(*absmax));
    }
    TENPAK_ASSIGN(auto packed, read_octets(source, *codes));
    w.codes = swapped_nibbles(std::move(packed));
    return w;
}

Result<LinearWeight> read_int8(const ModelSource& source, const std::string& module, float threshold) {
    LinearWeight w;
    const TensorInfo* t = source.find(module + ".weight");
    if (t == nullptr || t->dtype != DType::kI8 || t->shape.size() != 2) return malformed_weights("scales of int8 weights without such weights", module + ".SCB");
    TENPAK_RETURN_IF_ERROR(check_sizes(t->shape[0], t->shape[1], t->name));
    if (const TensorInfo* format = source.find(module + ".weight_format")) {
        if (format->dtype != DType::kU8 || format->bytes != 1) return malformed_weights("this tensor must hold one byte", format->name);
        TENPAK_ASSIGN(const auto value, read_octets(source, *format));
        if (value.front() != 0) return unsupported_scheme("int8 weights that are not stored row by row", format->name);
    }
    w.format = WeightFormat::kInt8Channel;
    w.n = static_cast<std::uint32_t>(t->shape[0]);
    w.k = static_cast<std::uint32_t>(t->shape[1]);
    w.outlier_threshold = threshold;
    TENPAK_ASSIGN(w.scales, read_row_scales(source, module + ".SCB", w.n));
    for (float& s : w.scales) s /= 127.0f;
    TENPAK_ASSIGN(w.codes, read_octets(source, *t));
    return w;
}

}  // namespace

Overrides import_bitsandbytes(const ModelSource& source, const Json& q, const std::string& where, const JobContext& ctx) {
    if (optional_key(q, "load_in_8bit") == Json(true)) {
        const Json threshold = optional_key(q, "llm_int8_threshold");
        if (!threshold.is_null() && !threshold.is_number()) return malformed_weights("\"llm_int8_threshold\" must be a number", where);
        const float value = threshold.is_null() ? 6.0f : threshold.get<float>();
        if (!(value >= 0) || !std::isfinite(value)) return malformed_weights("an impossible \"llm_int8_threshold\"", where);
        return import_modules(source, ".SCB", where, ctx, [&](const std::string& module) { return read_int8(source, module, value); });
    }
    return import_modules(source, ".weight", where, ctx, [&](const std::string& module) { return read_nf4(source, module); });
}

}  // namespace tenpak::quant
