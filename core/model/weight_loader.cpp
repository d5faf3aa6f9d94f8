// SPDX-License-Identifier: Apache-2.0
#include "core/model/weight_loader.h"

#include <algorithm>
#include <bit>

namespace tenpak::model {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

std::string shape_text(const std::vector<std::uint64_t>& shape) {
    std::string s = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) s += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return s + "]";
}

Error not_finite(const std::string& name, std::size_t index) {
    return make_error(ErrorCode::kNumeric, "a weight is not a finite number (value " + std::to_string(index) + ")", name,
                      "The model file holds NaN or infinity: get an undamaged copy");
}

/// True when every exponent differs from `ones` (all bits set: NaN or infinity). Branch-free, so that it vectorizes.
template <class T>
std::size_t first_not_finite(std::span<const T> v, T ones) {
    constexpr std::size_t kBlock = 4096;
    for (std::size_t at = 0; at < v.size(); at += kBlock) {
        const auto part = v.subspan(at, std::min(kBlock, v.size() - at));
        unsigned bad = 0;
        for (const T x : part) bad |= (x & ones) == ones ? 1u : 0u;
        if (bad == 0) continue;
        for (std::size_t i = 0; i < part.size(); ++i) {
            if ((part[i] & ones) == ones) return at + i;
        }
    }
    return v.size();
}

}  // namespace

Status check_finite(std::span<const float> values, const std::string& name) {
    const std::span<const std::uint32_t> bits(reinterpret_cast<const std::uint32_t*>(values.data()), values.size());
    const std::size_t i = first_not_finite<std::uint32_t>(bits, 0x7f800000u);
    if (i < values.size()) return not_finite(name, i);
    return {};
}

Status check_finite(const LinearWeight& w, const std::string& name) {
    TENPAK_RETURN_IF_ERROR(check_finite(w.f32, name));
    TENPAK_RETURN_IF_ERROR(check_finite(w.bias, name));
    const std::uint16_t ones = w.format == WeightFormat::kBF16 ? 0x7f80 : 0x7c00;
    const std::size_t i = first_not_finite<std::uint16_t>(w.half, ones);
    if (i < w.half.size()) return not_finite(name, i);
    return {};
}

bool WeightLoader::has(const std::string& name) const {
    return overrides_.linears.contains(name) || overrides_.vectors.contains(name) || source_.find(name) != nullptr;
}

Result<const TensorInfo*> WeightLoader::find(const std::string& name, const std::vector<std::uint64_t>& shape) const {
    const TensorInfo* t = source_.find(name);
    if (t == nullptr) return make_error(ErrorCode::kNotFound, "the model has no tensor " + name, source_.id(), "config.json asks for it: the download may be incomplete");
    if (t->shape != shape) {
        return make_error(ErrorCode::kMismatch, "shape " + shape_text(t->shape) + " where config.json asks for " + shape_text(shape), name);
    }
    return t;
}

Result<std::vector<float>> WeightLoader::vector(const std::string& name, std::uint32_t size) const {
    std::vector<float> v;
    if (const auto it = overrides_.vectors.find(name); it != overrides_.vectors.end()) {
        if (it->second.size() != size) return make_error(ErrorCode::kMismatch, std::to_string(it->second.size()) + " values where " + std::to_string(size) + " belong", name);
        v = it->second;
    } else {
        TENPAK_ASSIGN(const TensorInfo* t, find(name, {size}));
        TENPAK_ASSIGN(v, source_.read_float(*t));
    }
    TENPAK_RETURN_IF_ERROR(check_finite(v, name));
    return v;
}

Result<std::vector<float>> WeightLoader::matrix(const std::string& name, std::uint32_t rows, std::uint32_t columns) const {
    TENPAK_ASSIGN(const TensorInfo* t, find(name, {rows, columns}));
    TENPAK_ASSIGN(auto v, source_.read_float(*t));
    TENPAK_RETURN_IF_ERROR(check_finite(v, name));
    return v;
}

Status WeightLoader::check(const StoredLinear& stored) const {
    if (overrides_.linears.contains(stored.name)) return {};
    TENPAK_RETURN_IF_ERROR(find(stored.name, stored.transposed ? std::vector<std::uint64_t>{stored.k, stored.n} : std::vector<std::uint64_t>{stored.n, stored.k}));
    if (!stored.bias.empty() && !overrides_.vectors.contains(stored.bias)) TENPAK_RETURN_IF_ERROR(find(stored.bias, {stored.n}));
    return {};
}

Result<LinearWeight> WeightLoader::linear(const StoredLinear& stored) const {
    const std::uint32_t n = stored.n, k = stored.k;
    const std::string& name = stored.name;
    LinearWeight w;
    if (const auto it = overrides_.linears.find(name); it != overrides_.linears.end()) {
        w = it->second;
        if (w.n != n || w.k != k) {
            return make_error(ErrorCode::kMismatch, "shape " + shape_text({w.n, w.k}) + " where config.json asks for " + shape_text({n, k}), name);
        }
    } else {
        TENPAK_ASSIGN(const TensorInfo* t, find(name, stored.transposed ? std::vector<std::uint64_t>{k, n} : std::vector<std::uint64_t>{n, k}));
        w.n = n;
        w.k = k;
        if ((t->dtype == DType::kBF16 || t->dtype == DType::kF16) && !dense_f32_) {
            w.format = t->dtype == DType::kBF16 ? WeightFormat::kBF16 : WeightFormat::kF16;
            w.half.resize(std::size_t{n} * k);
            TENPAK_RETURN_IF_ERROR(source_.read(*t, 0, std::as_writable_bytes(std::span(w.half))));
            if (stored.transposed) w.half = transposed(w.half, k, n);
        } else {
            TENPAK_ASSIGN(w.f32, source_.read_float(*t));
            if (stored.transposed) w.f32 = transposed(w.f32, k, n);
        }
    }
    if (!stored.bias.empty() && w.bias.empty()) {
        TENPAK_ASSIGN(w.bias, vector(stored.bias, n));
    }
    TENPAK_RETURN_IF_ERROR(w.validate(name));
    TENPAK_RETURN_IF_ERROR(check_finite(w, name));
    return w;
}

}  // namespace tenpak::model
