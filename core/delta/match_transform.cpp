// SPDX-License-Identifier: Apache-2.0
#include "core/delta/match_transform.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <vector>

#include "core/delta/match_sketch.h"

namespace tenpak::delta {

namespace {

constexpr unsigned kSlices = 4;
constexpr std::uint64_t kSlice = 1024;
/// Smaller tensors are not worth a transform of their own (and would not share a block with others).
constexpr std::uint64_t kLeastWeights = 4096;
/// Differences that small leave nothing to gain; those of NF4 have about 4.5 bits in bf16.
constexpr double kGoodEnough = 1.5;
/// A gain must be so many bits a weight, and so many times its own standard error.
constexpr double kLeastGain = 0.03, kSureGain = 6;
/// So many tensors without nested magnitudes, and none is expected to have them.
constexpr unsigned kNestedTries = 4;

double rounded_to_digits(double v, int digits) {
    const double unit = std::pow(10.0, digits);
    return std::round(v * unit) / unit;
}

}  // namespace

/// Weights of both at the same places, and the best prediction so far.
struct TransformChooser::Sample {
    std::vector<WeightSlice> slices;
    Bytes base, fine_tune;
    Transform best;
    std::vector<float> bits;  ///< [weight] of the best
    double cost = 0;

    bool read(const ModelSource& b, const TensorInfo& bt, const ModelSource& f, const TensorInfo& ft) {
        auto x = read_slices(b, bt, slices);
        auto y = read_slices(f, ft, slices);
        if (!x.ok() || !y.ok()) return false;
        base = std::move(x).value();
        fine_tune = std::move(y).value();
        return true;
    }
    /// Cost of a transform on the sample; `each` gets one value a weight.
    double cost_of(const Transform& t, std::vector<float>& each) const {
        Bytes out(fine_tune.size());
        std::span<const std::byte> in(base);
        std::span<std::byte> rest(out);
        for (const WeightSlice& s : slices) {
            if (!apply_transform(t, s.first, in.first(t.bytes_from(s.count)), rest.first(t.bytes_to(s.count))).ok()) return 1e9;
            in = in.subspan(t.bytes_from(s.count));
            rest = rest.subspan(t.bytes_to(s.count));
        }
        each.clear();
        return difference_bits(fine_tune, out, t.to, &each);
    }
    void begin(const Transform& t) {
        best = t;
        cost = cost_of(t, bits);
    }
    /// Takes `t` where it is better: for sure, or (`close`) at all, where it is as likely as the best so far.
    bool offer(const Transform& t, bool close = false) {
        std::vector<float> each;
        const double c = cost_of(t, each);
        const double gain = cost - c;
        if (each.size() != bits.size() || gain < (close ? 1e-6 : kLeastGain)) return false;
        double squares = 0;
        for (std::size_t i = 0; i < each.size(); ++i) {
            const double d = static_cast<double>(bits[i]) - static_cast<double>(each[i]) - gain;
            squares += d * d;
        }
        const auto n = static_cast<double>(each.size());
        if (!close && gain < kSureGain * std::sqrt(squares) / n) return false;
        best = t;
        bits = std::move(each);
        cost = c;
        return true;
    }
};

void TransformChooser::try_scales(Sample& s, const TensorInfo& base, const TensorInfo& fine_tune) {
    const std::size_t n = s.bits.size();
    std::vector<float> b(n), f(n);
    load_floats(base.dtype, s.base.data(), n, b.data());
    load_floats(fine_tune.dtype, s.fine_tune.data(), n, f.data());
    double bb = 0, bf = 0, ff = 0;
    for (std::size_t i = 0; i < n; ++i) {
        if (!std::isfinite(b[i]) || !std::isfinite(f[i])) continue;
        const auto x = static_cast<double>(b[i]), y = static_cast<double>(f[i]);
        bb += x * x;
        bf += x * y;
        ff += y * y;
    }
    if (!(bb > 0) || !(ff > 0) || bf == 0) return;
    const double slope = bf / bb, correlation = bf / std::sqrt(bb * ff);
    if (std::fabs(correlation) < 0.5 || !std::isfinite(slope) || std::fabs(slope - 1) < 0x1p-10 || std::fabs(slope) < 0x1p-60 || std::fabs(slope) > 0x1p60) return;
    double as_it_is = 0;  // squares that are left; a scale that takes few of them away gains nothing
    for (std::size_t i = 0; i < n; ++i) {
        const double d = static_cast<double>(f[i]) - static_cast<double>(b[i]);
        if (std::isfinite(d)) as_it_is += d * d;
    }
    if (ff - bf * slope > 0.95 * as_it_is) return;
    // Where the tensor is the scaled base and nothing else, every weight's rounding cell holds the scale: their intersection is
    // narrow. The slope's error is the rounding's, shared by all weights.
    double low = -1e300, high = 1e300;
    const int digits = fine_tune.dtype == DType::kBF16 ? 8 : fine_tune.dtype == DType::kF16 ? 11 : 24;
    for (std::size_t i = 0; i < n; ++i) {
        const auto x = static_cast<double>(b[i]), y = static_cast<double>(f[i]);
        if (!std::isfinite(x) || !std::isfinite(y) || std::fabs(x) < 1e-30 || std::fabs(y) < 1e-4 * std::sqrt(ff / static_cast<double>(n))) continue;
        const double cell = std::ldexp(std::fabs(y), -digits) / std::fabs(x);  // at least half a unit in the last place
        low = std::max(low, y / x - cell);
        high = std::min(high, y / x + cell);
    }
    // Numbers that people choose come first: they are exact where they fit. (2e-3: a slope among other changes.)
    std::vector<double> scales;
    for (int d = 1; d <= 4; ++d) scales.push_back(rounded_to_digits(slope, d));
    for (const double root : {std::sqrt(2.0), std::sqrt(0.5), std::sqrt(3.0)}) scales.push_back(std::copysign(root, slope));
    std::erase_if(scales, [&](double x) { return std::fabs(x / slope - 1) > 2e-3 || x == 0 || x == 1; });
    if (low <= high && std::isfinite(low) && std::isfinite(high) && low * high > 0) scales.push_back((low + high) / 2);
    scales.push_back(slope);
    bool found = false;
    for (const double scale : scales) {
        Transform t{base.dtype, fine_tune.dtype};
        t.scale = scale;
        found |= s.offer(t, found);
    }
}

void TransformChooser::try_nf4(Sample& s, const TensorInfo& base, const TensorInfo& fine_tune, std::uint64_t weights) {
    Transform t{base.dtype, fine_tune.dtype};
    t.nf4 = Nf4{};
    bool found = s.offer(t);
    if (base.dtype == DType::kF32 && fine_tune.dtype != DType::kF32) {  // loaded as a 16-bit model, as trainers do
        t.rounded = fine_tune.dtype;
        found |= s.offer(t, found);
    }
    if (!found) return;
    for (const std::uint32_t block : {128u, 256u, 32u}) {
        if (s.cost < kGoodEnough) break;
        t = s.best;
        t.nf4->block = block;
        s.offer(t);
    }
    if (s.cost > 0.001 && (nested_found_ > 0 || nested_tried_ < kNestedTries)) try_nested(s, base, fine_tune, weights);
}

void TransformChooser::try_nested(Sample& s, const TensorInfo& base, const TensorInfo& fine_tune, std::uint64_t weights) {
    // The mean is of all of the base's tensor.
    constexpr std::uint64_t kRead = 1u << 18;
    Transform t = s.best;
    const std::uint64_t elements = base.elements(), size = dtype_bits(base.dtype) / 8;
    double sum = 0;
    std::uint64_t blocks = 0;
    Bytes bytes(static_cast<std::size_t>(std::min(elements, kRead) * size));
    std::vector<float> values(static_cast<std::size_t>(std::min(elements, kRead)));
    for (std::uint64_t at = 0; at < elements; at += kRead) {
        const auto n = static_cast<std::size_t>(std::min(kRead, elements - at));
        if (!base_.read(base, at * size, std::span(bytes).first(n * size)).ok()) return;
        load_floats(base.dtype, bytes.data(), n, values.data());
        if (t.rounded) {
            store_floats(*t.rounded, values.data(), n, bytes.data());
            load_floats(*t.rounded, bytes.data(), n, values.data());
        }
        nf4_add_magnitudes(values.data(), n, t.nf4->block, sum, blocks);
    }
    t.nf4->nested = 256;
    t.nf4->mean = static_cast<float>(sum / static_cast<double>(blocks));
    if (!(t.nf4->mean >= 0) || t.nf4->mean > 1e30f) return;
    // Whole groups are needed: a sample of its own.
    Sample whole;
    whole.slices = spread_slices(weights, 2, t.group(), t.group());
    if (!whole.read(base_, base, fine_tune_, fine_tune)) return;
    whole.begin(s.best);
    ++nested_tried_;
    if (!whole.offer(t)) return;
    ++nested_found_;
    s.best = t;
}

std::string TransformChooser::choose(const TensorInfo& base, const TensorInfo& fine_tune, std::uint64_t weights) {
    const bool cast = base.dtype != fine_tune.dtype;
    const Transform plain{base.dtype, fine_tune.dtype};
    const std::string unchanged = cast ? transform_text(plain) : std::string();
    if (!can_transform(base.dtype) || !can_transform(fine_tune.dtype) || weights < kLeastWeights || fine_tune.shape.size() < 2) return unchanged;
    Sample s;
    s.slices = spread_slices(weights, kSlices, kSlice, 256);
    if (!s.read(base_, base, fine_tune_, fine_tune)) return unchanged;
    s.begin(plain);
    if (s.cost < kGoodEnough) return unchanged;
    try_scales(s, base, fine_tune);
    try_nf4(s, base, fine_tune, weights);
    return s.best == plain ? unchanged : transform_text(s.best);
}

std::string transform_in_words(const std::string& text) {
    if (text.empty()) return {};
    const auto t = parse_transform(text);
    if (!t.ok()) return text;
    std::string words;
    if (t->from != t->to) words = std::string(dtype_name(t->from)) + " to " + std::string(dtype_name(t->to));
    if (t->scale != 1) {
        char number[32];
        std::snprintf(number, sizeof number, "base x %.5g", t->scale);
        words += (words.empty() ? "" : ", ") + std::string(number);
    }
    if (t->nf4) words += std::string(words.empty() ? "" : ", ") + "base in NF4" + (t->nf4->nested != 0 ? " with double quantization" : "");
    return words;
}

}  // namespace tenpak::delta
