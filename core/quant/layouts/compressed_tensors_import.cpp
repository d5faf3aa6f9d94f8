// SPDX-License-Identifier: Apache-2.0
// compressed-tensors (optimizer.md 4.3 to 4.5): bits, groups and zero points follow from each module's tensors; what the tensors
// do not show, whether activations are rounded, from the config groups.
#include <cstring>
#include <limits>
#include <optional>

#include "core/quant/layouts/import_tensors.h"
#include "core/quant/layouts/packing.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

struct Scheme {
    std::optional<bool> int8_activations;   ///< of int8 weights that are not packed
    bool fp8 = false, packed = false;
};

// 8 bits of this type, per token, as they come.
bool is_dynamic_token(const Json& input, const char* type) {
    return input.is_object() && input.value("num_bits", Json()) == Json(8) && input.value("type", Json("int")) == Json(type) &&
           input.value("dynamic", Json()) == Json(true) && input.value("strategy", Json()) == Json("token") && input.value("symmetric", Json(true)) == Json(true);
}

Status read_group(const Json& group, const std::string& whole_format, Scheme& s, const std::string& where) {
    TENPAK_ASSIGN(const Json weights, json_get<Json>(group, "weights", where));
    if (!weights.is_object()) return unsupported_scheme("a config group without weight quantization", where);
    TENPAK_ASSIGN(const unsigned bits, json_get<unsigned>(weights, "num_bits", where));
    const Json type = weights.value("type", Json("int")), strategy = weights.value("strategy", Json());
    const Json own = optional_key(group, "format");
    const std::string format = own.is_string() ? own.get<std::string>() : whole_format;
    const bool grouped = strategy == Json("group"), rows = strategy == Json("channel") || strategy == Json("tensor");
    const std::string scheme = "quantization scheme " + std::to_string(bits) + "-bit " + type.dump() + " with strategy " + strategy.dump() + " in format " + format;
    if (!grouped && !rows) return unsupported_scheme(scheme, where);
    const Json input = optional_key(group, "input_activations");
    if (!optional_key(group, "output_activations").is_null()) return unsupported_scheme("quantized output activations", where);
    if (type == Json("float")) {
        if (bits != 8 || !rows || (format != "float-quantized" && format != "naive-quantized")) return unsupported_scheme(scheme, where);
        if (!is_dynamic_token(input, "float")) return unsupported_scheme("FP8 weights without activations in FP8, dynamic, per token", where);
        s.fp8 = true;
        return {};
    }
    if (type != Json("int") || (bits != 8 && bits != 4)) return unsupported_scheme(scheme, where);
    if (format == "pack-quantized") {
        if (!input.is_null()) return unsupported_scheme("pack-quantized weights with quantized activations", where);
        s.packed = true;
        return {};
    }
    if ((format != "int-quantized" && format != "naive-quantized") || bits != 8) return unsupported_scheme(scheme, where);
    if (!input.is_null() && (!is_dynamic_token(input, "int") || grouped)) return unsupported_scheme("int-quantized activations other than 8 bit, dynamic, per token, symmetric", where);
    if (s.int8_activations.has_value() && *s.int8_activations != input.is_object()) return unsupported_scheme("int8 weights of which some have quantized activations", where);
    s.int8_activations = input.is_object();
    return {};
}

Result<Scheme> parse_scheme(const Json& q, const std::string& where) {
    Scheme s;
    TENPAK_ASSIGN(const std::string format, json_get<std::string>(q, "format", where));
    if (q.value("quantization_status", Json("compressed")) != Json("compressed")) return unsupported_scheme("weights that are quantized, but not compressed", where);
    if (!optional_key(q, "kv_cache_scheme").is_null()) return unsupported_scheme("a quantized KV cache", where);
    const Json sparse = optional_key(q, "sparsity_config");
    if (sparse.is_object() && sparse.contains("format") && sparse["format"] != Json("dense")) return unsupported_scheme("sparse weights", where);
    TENPAK_ASSIGN(const Json groups, json_get<Json>(q, "config_groups", where));
    if (!groups.is_object() || groups.empty()) return make_error(ErrorCode::kMalformed, "\"config_groups\" must name at least one group", where);
    for (const auto& [name, group] : groups.items()) {
        if (!group.is_object()) return make_error(ErrorCode::kMalformed, "a config group must be an object", where + ", " + name);
        TENPAK_RETURN_IF_ERROR(read_group(group, format, s, where + ", " + name));
    }
    return s;
}

// Scales [n][groups], and the columns of a group.
Status read_group_scales(const ModelSource& source, const std::string& module, LinearWeight& w) {
    const std::string name = module + ".weight_scale";
    const TensorInfo* t = source.find(name);
    if (t == nullptr) return malformed_weights("this tensor is missing", name);
    if (t->shape.size() == 2 && t->shape[0] == w.n && t->shape[1] > 1) {
        if (w.k % t->shape[1] != 0) return malformed_weights("the scales do not fit a weight of " + std::to_string(w.n) + " x " + std::to_string(w.k), name);
        TENPAK_ASSIGN(w.scales, read_scales(source, name, w.n, t->shape[1]));
        w.group = static_cast<std::uint32_t>(w.k / t->shape[1]);
        return {};
    }
    TENPAK_ASSIGN(w.scales, read_row_scales(source, name, w.n));
    w.group = w.k;
    return {};
}

Result<LinearWeight> read_packed(const ModelSource& source, const std::string& module) {
    LinearWeight w;
    TENPAK_ASSIGN(const TensorInfo* packed, require_tensor(source, module + ".weight_packed", DType::kI32, 2));
    TENPAK_ASSIGN(const TensorInfo* shape, require_tensor(source, module + ".weight_shape", DType::kI64, 1));
    if (shape->shape[0] != 2) return malformed_weights("weight_shape must hold two numbers", shape->name);
    std::int64_t dims[2] = {0, 0};
    TENPAK_ASSIGN(const auto dim_bytes, read_octets(source, *shape));
    std::memcpy(dims, dim_bytes.data(), sizeof dims);
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    if (dims[0] <= 0 || dims[1] <= 0 || dims[0] > kMost || dims[1] > kMost) return malformed_weights("weight_shape holds impossible numbers", shape->name);
    w.n = static_cast<std::uint32_t>(dims[0]);
    w.k = static_cast<std::uint32_t>(dims[1]);
    const std::uint64_t words = packed->shape[1];
    // 4 and 8 bit differ in words for every k above 4; k is even in all models that this program runs.
    const unsigned bits = words == packed_words(w.k, 4) ? 4 : 8;
    if (packed->shape[0] != w.n || words != packed_words(w.k, bits) || (bits == 4 && w.k % 2 != 0)) return malformed_weights("weight_packed and weight_shape disagree", packed->name);
    TENPAK_RETURN_IF_ERROR(read_group_scales(source, module, w));
    TENPAK_RETURN_IF_ERROR(read_group_index(source, module + ".weight_g_idx", w));
    const auto octets = read_octets(source, *packed);
    if (!octets.ok()) return octets.error();
    w.codes = unpack_codes(std::as_bytes(std::span(*octets)), w.n, w.k, bits);
    const TensorInfo* zero = source.find(module + ".weight_zero_point");
    if (bits == 8) {
        if (zero != nullptr) return unsupported_scheme("8-bit weights with zero points", zero->name);
        w.format = WeightFormat::kInt8Group;
        return w;
    }
    w.format = WeightFormat::kInt4Group;
    const std::uint32_t groups = w.k / w.group;
    if (zero == nullptr) {
        w.zeros.assign(std::size_t{w.n} * groups, 8);
        return w;
    }
    TENPAK_ASSIGN(const TensorInfo* z, require_tensor(source, zero->name, DType::kI32, 2));
    if (z->shape[0] != packed_words(w.n, 4) || z->shape[1] != groups) return malformed_weights("the zero points do not fit the weight", z->name);
    TENPAK_ASSIGN(const auto zero_octets, read_octets(source, *z));
    w.zeros = unpack_zeros(std::as_bytes(std::span(zero_octets)), w.n, groups);
    w.symmetric = false;
    return w;
}

Result<LinearWeight> read_plain(const ModelSource& source, const std::string& module, const Scheme& s) {
    LinearWeight w;
    const TensorInfo* t = source.find(module + ".weight");
    const bool fp8 = t->dtype == DType::kF8E4M3;
    if (t->dtype != DType::kI8 && !fp8) return w;  // left in 16 bit
    if (t->shape.size() != 2) return malformed_weights("a quantized weight that is no matrix", t->name);
    if (fp8 ? !s.fp8 : !s.int8_activations.has_value()) return malformed_weights("config.json has no config group for this weight's type", t->name);
    TENPAK_RETURN_IF_ERROR(check_sizes(t->shape[0], t->shape[1], t->name));
    w.n = static_cast<std::uint32_t>(t->shape[0]);
    w.k = static_cast<std::uint32_t>(t->shape[1]);
    if (const TensorInfo* zero = source.find(module + ".weight_zero_point")) return unsupported_scheme("8-bit weights with zero points", zero->name);
    if (fp8 || *s.int8_activations) {
        w.format = fp8 ? WeightFormat::kFp8Channel : WeightFormat::kInt8Channel;
        TENPAK_ASSIGN(w.scales, read_row_scales(source, module + ".weight_scale", w.n));
    } else {
        w.format = WeightFormat::kInt8Group;
        TENPAK_RETURN_IF_ERROR(read_group_scales(source, module, w));
    }
    TENPAK_ASSIGN(w.codes, read_octets(source, *t));
    return w;
}

}  // namespace

Overrides import_compressed_tensors(const ModelSource& source, const Json& q, const std::string& where, const JobContext& ctx) {
    TENPAK_ASSIGN(const Scheme s, parse_scheme(q, where));
    const bool plain = s.fp8 || s.int8_activations.has_value();
    compute::WeightOverrides all;
    if (s.packed) {
        auto packed = import_modules(source, ".weight_packed", where, ctx, [&](const std::string& module) { return read_packed(source, module); });
        if (!packed.ok()) return packed;
        all = std::move(*packed);
    }
    if (plain) {
        auto others = import_modules(source, ".weight", where, ctx, [&](const std::string& module) { return read_plain(source, module, s); });
        if (!others.ok()) return others;
        all.linears.merge(others->linears);
    }
    return all;
}

}  // namespace tenpak::quant
