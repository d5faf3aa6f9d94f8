// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/import_tensors.h"

#include <algorithm>
#include <limits>

#include "core/model/weight_loader.h"

namespace tenpak::quant {

Error malformed_weights(const std::string& what, const std::string& where) {
    return make_error(ErrorCode::kMalformed, what, where, "The checkpoint is incomplete or damaged: get it or quantize it again");
}

Error unsupported_scheme(const std::string& what, const std::string& where) {
    return make_error(ErrorCode::kUnsupported, what, where,
                      "Read are AutoAWQ GEMM, GPTQ, compressed-tensors (packed 4 and 8 bit, int8, FP8), FP8 per row or tensor, and bitsandbytes NF4 and int8");
}

Result<const TensorInfo*> require_tensor(const ModelSource& source, const std::string& name, DType dtype, std::size_t rank) {
    const TensorInfo* t = source.find(name);
    if (t == nullptr) return malformed_weights("this tensor is missing", name);
    if (t->shape.size() != rank || t->dtype != dtype) return malformed_weights("this tensor has another type or rank than its layout says", name);
    return t;
}

Status check_sizes(std::uint64_t n, std::uint64_t k, const std::string& where) {
    constexpr std::uint64_t kMost = std::numeric_limits<std::int32_t>::max();
    if (n == 0 || k == 0 || n > kMost || k > kMost) return malformed_weights("a weight of impossible shape", where);
    return {};
}

Result<std::vector<std::uint32_t>> read_words(const ModelSource& source, const TensorInfo& t) {
    std::vector<std::uint32_t> words(t.bytes / 4);
    TENPAK_RETURN_IF_ERROR(source.read(t, 0, std::as_writable_bytes(std::span(words))));
    return words;
}

Result<std::vector<std::uint8_t>> read_octets(const ModelSource& source, const TensorInfo& t) {
    std::vector<std::uint8_t> octets(t.bytes);
    TENPAK_RETURN_IF_ERROR(source.read(t, 0, std::as_writable_bytes(std::span(octets))));
    return octets;
}

Result<std::vector<float>> read_scales(const ModelSource& source, const std::string& name, std::uint64_t rows, std::uint64_t columns) {
    const TensorInfo* t = source.find(name);
    if (t == nullptr) return malformed_weights("this tensor is missing", name);
    if (t->shape != std::vector<std::uint64_t>{rows, columns} || !is_float(t->dtype)) {
        return malformed_weights("the scales are not " + std::to_string(rows) + " x " + std::to_string(columns) + " floating-point numbers", name);
    }
    return source.read_float(*t);
}

Result<std::vector<float>> read_row_scales(const ModelSource& source, const std::string& name, std::uint32_t n) {
    const TensorInfo* t = source.find(name);
    if (t == nullptr) return malformed_weights("this tensor is missing", name);
    const bool rows = t->shape == std::vector<std::uint64_t>{n} || t->shape == std::vector<std::uint64_t>{n, 1};
    if (!is_float(t->dtype) || !(rows || t->elements() == 1)) {
        return malformed_weights("the scales are not one for all or one for each of " + std::to_string(n) + " rows", name);
    }
    TENPAK_ASSIGN(std::vector<float> scales, source.read_float(*t));
    if (!rows) scales.assign(n, scales.front());
    return scales;
}

Status read_group_index(const ModelSource& source, const std::string& name, compute::LinearWeight& w) {
    if (source.find(name) == nullptr) return {};
    TENPAK_ASSIGN(const TensorInfo* t, require_tensor(source, name, DType::kI32, 1));
    if (t->shape[0] != w.k) return malformed_weights("the group index does not fit the weight", name);
    TENPAK_ASSIGN(w.group_index, read_words(source, *t));
    bool plain = true;
    for (std::size_t c = 0; c < w.k; ++c) plain = plain && w.group_index[c] == c / w.group;
    if (plain) w.group_index.clear();
    return {};
}

std::vector<float> transposed_floats(const std::vector<float>& v, std::size_t rows, std::size_t columns) { return model::transposed(v, rows, columns); }

Overrides import_modules(const ModelSource& source, const std::string& suffix, const std::string& where, const JobContext& ctx, const ReadModule& read) {
    compute::WeightOverrides result;
    for (const TensorInfo& t : source.tensors()) {
        if (!t.name.ends_with(suffix)) continue;
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const std::string module = t.name.substr(0, t.name.size() - suffix.size());
        auto w = read(module);
        if (!w.ok()) return std::move(w).error();
        if (w->k == 0) continue;
        if (const TensorInfo* bias = source.find(module + ".bias")) {
            TENPAK_ASSIGN(w->bias, source.read_float(*bias));
            // AutoGPTQ gave every linear a bias, of zeros where the model has none.
            if (std::all_of(w->bias.begin(), w->bias.end(), [](float b) { return b == 0; })) w->bias.clear();
        }
        TENPAK_RETURN_IF_ERROR(w->validate(module + ".weight"));
        result.linears.emplace(module + ".weight", std::move(*w));
    }
    if (result.linears.empty()) return malformed_weights("config.json says that the model is quantized, but no weight is", where);
    return result;
}

Json optional_key(const Json& object, const char* key) {
    const auto it = object.find(key);
    return it == object.end() ? Json() : *it;
}

}  // namespace tenpak::quant
