// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <limits>
#include <new>

#include "core/quant/compressed_tensors_config.h"
#include "core/quant/export_layout.h"
#include "core/quant/layouts/gguf_import.h"
#include "core/quant/packing.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

Error malformed(const std::string& what, const std::string& where) {
    return make_error(ErrorCode::kMalformed, what, where, "The export is incomplete or damaged: quantize again");
}

// A companion tensor of a linear, of the dtype and rank that it must have.
Result<const TensorInfo*> companion(const ModelSource& source, const std::string& name, DType dtype, std::size_t rank) {
    const TensorInfo* t = source.find(name);
    if (t == nullptr) return malformed("this tensor is missing", name);
    if (t->shape.size() != rank || t->dtype != dtype) return malformed("this tensor has another type or rank than its layout says", name);
    return t;
}

Result<Bytes> read_all(const ModelSource& source, const TensorInfo& t) {
    Bytes out(t.bytes);
    TENPAK_RETURN_IF_ERROR(source.read(t, 0, out));
    return out;
}

// scales [n][groups], and the number of groups.
Result<std::uint32_t> read_scales(const ModelSource& source, const std::string& base, LinearWeight& w) {
    const std::string name = base + ".weight_scale";
    const TensorInfo* t = source.find(name);
    if (t == nullptr) return malformed("this tensor is missing", name);
    if (t->shape.size() != 2 || !is_float(t->dtype) || t->shape[0] != w.n || t->shape[1] == 0 || w.k % t->shape[1] != 0) {
        return malformed("the scales do not fit a weight of " + std::to_string(w.n) + " x " + std::to_string(w.k), name);
    }
    TENPAK_ASSIGN(w.scales, source.read_float(*t));
    return static_cast<std::uint32_t>(t->shape[1]);
}

Result<LinearWeight> read_packed(const ModelSource& source, const std::string& base) {
    LinearWeight w;
    TENPAK_ASSIGN(const TensorInfo* packed, companion(source, base + ".weight_packed", DType::kI32, 2));
    TENPAK_ASSIGN(const TensorInfo* shape, companion(source, base + ".weight_shape", DType::kI64, 1));
    std::int64_t dims[2] = {0, 0};
    if (shape->shape[0] != 2) return malformed("weight_shape must hold two numbers", shape->name);
    TENPAK_ASSIGN(const Bytes dim_bytes, read_all(source, *shape));
    std::memcpy(dims, dim_bytes.data(), sizeof dims);
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    if (dims[0] <= 0 || dims[1] <= 0 || dims[0] > kMost || dims[1] > kMost) return malformed("weight_shape holds impossible numbers", shape->name);
    w.n = static_cast<std::uint32_t>(dims[0]);
    w.k = static_cast<std::uint32_t>(dims[1]);
    const std::uint64_t words = packed->shape[1];
    // 4 and 8 bit differ in words for every k above 4; k is even in all models that this program runs.
    const unsigned bits = words == packed_words(w.k, 4) ? 4 : 8;
    if (packed->shape[0] != w.n || words != packed_words(w.k, bits) || w.k % 2 != 0) {
        return make_error(ErrorCode::kUnsupported, "packed weights that are neither 4 nor 8 bit", packed->name);
    }
    if (source.find(base + ".weight_g_idx") != nullptr) return make_error(ErrorCode::kUnsupported, "activation order with a group index", base + ".weight_g_idx");
    TENPAK_ASSIGN(const std::uint32_t groups, read_scales(source, base, w));
    w.format = bits == 4 ? WeightFormat::kInt4Group : WeightFormat::kInt8Group;
    w.group = w.k / groups;
    TENPAK_ASSIGN(const Bytes codes, read_all(source, *packed));
    w.codes = unpack_codes(codes, w.n, w.k, bits);
    const bool zeros = source.find(base + ".weight_zero_point") != nullptr;
    if (bits == 8) {
        if (zeros) return make_error(ErrorCode::kUnsupported, "8-bit weights with zero points", base);
        return w;
    }
    w.symmetric = !zeros;
    w.zeros.assign(std::size_t{w.n} * groups, 8);
    if (!zeros) return w;
    TENPAK_ASSIGN(const TensorInfo* z, companion(source, base + ".weight_zero_point", DType::kI32, 2));
    if (z->shape[0] != packed_words(w.n, 4) || z->shape[1] != groups) return malformed("the zero points do not fit the weight", z->name);
    TENPAK_ASSIGN(const Bytes zero_words, read_all(source, *z));
    w.zeros = unpack_zeros(zero_words, w.n, groups);
    return w;
}

Result<LinearWeight> read_int8(const ModelSource& source, const std::string& base) {
    LinearWeight w;
    TENPAK_ASSIGN(const TensorInfo* t, companion(source, base + ".weight", DType::kI8, 2));
    constexpr std::uint64_t kMost = std::numeric_limits<std::int32_t>::max();
    if (t->shape[0] == 0 || t->shape[1] == 0 || t->shape[0] > kMost || t->shape[1] > kMost) return malformed("a weight of impossible shape", t->name);
    w.n = static_cast<std::uint32_t>(t->shape[0]);
    w.k = static_cast<std::uint32_t>(t->shape[1]);
    TENPAK_ASSIGN(const std::uint32_t groups, read_scales(source, base, w));
    if (groups != 1) return malformed("int-quantized weights have one scale a row", base + ".weight_scale");
    if (source.find(base + ".weight_zero_point") != nullptr) return make_error(ErrorCode::kUnsupported, "8-bit weights with zero points", base);
    w.format = WeightFormat::kInt8Channel;
    w.codes.resize(t->bytes);
    TENPAK_RETURN_IF_ERROR(source.read(*t, 0, std::as_writable_bytes(std::span(w.codes))));
    return w;
}

Result<compute::WeightOverrides> run(const ModelSource& source, const JobContext& ctx) {
    compute::WeightOverrides result;
    const auto raw = source.read_side_file("config.json");
    if (!raw.ok()) {
        if (raw.error().code == ErrorCode::kNotFound) return result;
        return raw.error();
    }
    const std::string where = source.id() + "/config.json";
    TENPAK_ASSIGN(const Json config, parse_json(as_text(*raw), where));
    TENPAK_ASSIGN(const CompressedScheme scheme, parse_compressed_scheme(config, where));
    if (!scheme.quantized) return result;
    const std::string suffix = scheme.int_quantized ? ".weight" : ".weight_packed";
    for (const TensorInfo& t : source.tensors()) {
        if (!t.name.ends_with(suffix) || (scheme.int_quantized && t.dtype != DType::kI8)) continue;
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const std::string base = t.name.substr(0, t.name.size() - suffix.size());
        auto w = scheme.int_quantized ? read_int8(source, base) : read_packed(source, base);
        if (!w.ok()) return std::move(w).error();
        if (const TensorInfo* bias = source.find(base + ".bias")) {
            TENPAK_ASSIGN(w->bias, source.read_float(*bias));
        }
        TENPAK_RETURN_IF_ERROR(w->validate(base + ".weight"));
        result.linears.emplace(base + ".weight", std::move(*w));
    }
    if (result.linears.empty()) return malformed("config.json says that the model is quantized, but no weight is", where);
    return result;
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
