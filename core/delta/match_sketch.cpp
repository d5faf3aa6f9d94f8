// SPDX-License-Identifier: Apache-2.0
#include "core/delta/match_sketch.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/delta/transform.h"

namespace tenpak::delta {

namespace {

constexpr unsigned kSketchSlices = 4;
constexpr std::uint64_t kSketchSlice = 256;

/// Numbers in order: -1 before -0 (the same as +0) before 1.
std::int64_t in_order(std::uint32_t bits, unsigned width) {
    const std::uint32_t sign = 1u << (width - 1);
    const auto magnitude = static_cast<std::int64_t>(bits & (sign - 1));
    return (bits & sign) != 0 ? -magnitude : magnitude;
}

/// log2 of x >= 1, straight between powers of two: at most .09 too low.
float about_log2(float x) { return static_cast<float>(std::bit_cast<std::uint32_t>(x)) * 0x1p-23f - 127; }

}  // namespace

std::vector<WeightSlice> spread_slices(std::uint64_t weights, unsigned slices, std::uint64_t length, std::uint64_t align) {
    if (weights <= slices * std::max(length, align)) return {{0, std::min(weights, slices * length)}};
    std::vector<WeightSlice> out;
    const std::uint64_t stratum = weights / slices;
    for (unsigned i = 0; i < slices; ++i) {
        // From the middle of each part; weights <= 2^60: no overflow.
        std::uint64_t at = i * stratum + (stratum > length ? (stratum - length) / 2 : 0);
        at = at / align * align;
        out.push_back({at, std::min(length, weights - at)});
    }
    return out;
}

Result<Bytes> read_slices(const ModelSource& model, const TensorInfo& tensor, const std::vector<WeightSlice>& slices) {
    const std::uint64_t size = dtype_bits(tensor.dtype) / 8;
    std::uint64_t total = 0;
    for (const WeightSlice& s : slices) total += s.count * size;
    Bytes out(static_cast<std::size_t>(total));
    std::span<std::byte> rest(out);
    for (const WeightSlice& s : slices) {
        TENPAK_RETURN_IF_ERROR(model.read(tensor, s.first * size, rest.first(s.count * size)));
        rest = rest.subspan(s.count * size);
    }
    return out;
}

std::optional<Sketch> sketch(const ModelSource& model, const TensorInfo& tensor, std::uint64_t weights) {
    if (!can_transform(tensor.dtype) || weights == 0) return std::nullopt;
    const auto bytes = read_slices(model, tensor, spread_slices(weights, kSketchSlices, kSketchSlice, 1));
    if (!bytes.ok()) return std::nullopt;
    Sketch s;
    s.values.resize(bytes->size() / (dtype_bits(tensor.dtype) / 8));
    load_floats(tensor.dtype, bytes->data(), s.values.size(), s.values.data());
    for (float& v : s.values)
        if (!std::isfinite(v)) v = 0;
    std::vector<float> sorted = s.values;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    s.above.resize((s.values.size() + 63) / 64);
    for (std::size_t i = 0; i < s.values.size(); ++i)
        if (s.values[i] > *middle) s.above[i / 64] |= std::uint64_t{1} << (i % 64);
    return s;
}

double agreement(const Sketch& a, const Sketch& b) {
    if (a.values.size() != b.values.size() || a.values.empty()) return 0;
    std::size_t different = 0;
    for (std::size_t i = 0; i < a.above.size(); ++i) different += static_cast<std::size_t>(std::popcount(a.above[i] ^ b.above[i]));
    return 1 - static_cast<double>(different) / static_cast<double>(a.values.size());
}

double correlation(const Sketch& a, const Sketch& b) {
    const std::size_t n = a.values.size();
    if (n != b.values.size() || n == 0) return 0;
    double mean_a = 0, mean_b = 0;
    for (std::size_t i = 0; i < n; ++i) {
        mean_a += static_cast<double>(a.values[i]) / static_cast<double>(n);
        mean_b += static_cast<double>(b.values[i]) / static_cast<double>(n);
    }
    double aa = 0, bb = 0, ab = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const double x = static_cast<double>(a.values[i]) - mean_a, y = static_cast<double>(b.values[i]) - mean_b;
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    return aa > 0 && bb > 0 ? ab / (std::sqrt(aa) * std::sqrt(bb)) : 0;
}

double difference_bits(std::span<const std::byte> weights, std::span<const std::byte> prediction, DType t, std::vector<float>* each) {
    const unsigned width = dtype_bits(t);
    const std::size_t size = width / 8, n = weights.size() / size;
    if (n == 0 || prediction.size() != weights.size()) return width;
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
        std::uint32_t a = 0, b = 0;
        std::memcpy(&a, weights.data() + i * size, size);
        std::memcpy(&b, prediction.data() + i * size, size);
        const std::int64_t d = in_order(a, width) - in_order(b, width);
        const float bits = about_log2(1 + static_cast<float>(d < 0 ? -d : d));
        sum += static_cast<double>(bits);
        if (each != nullptr) each->push_back(bits);
    }
    return sum / static_cast<double>(n);
}

}  // namespace tenpak::delta
