// SPDX-License-Identifier: Apache-2.0
#include "core/delta/lossy_quantize.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "core/base/half.h"

namespace tenpak::delta {

namespace {

template <FloatKind kKind>
struct Type {
    using Word = std::conditional_t<kKind == FloatKind::kFp32, std::uint32_t, std::uint16_t>;
    static constexpr std::uint32_t kInfinite = kKind == FloatKind::kBf16 ? 0x7f80u : kKind == FloatKind::kFp16 ? 0x7c00u : 0x7f800000u;
    static constexpr std::uint32_t kMagnitude = kKind == FloatKind::kFp32 ? 0x7fffffffu : 0x7fffu;
    static constexpr unsigned kMantissa = kKind == FloatKind::kBf16 ? 7 : kKind == FloatKind::kFp16 ? 10 : 23;

    static std::uint32_t load(const std::byte* p, std::size_t i) { return load_weight<Word>(p, i); }
    static void store(std::byte* p, std::size_t i, std::uint32_t w) { store_weight<Word>(p, i, w); }
    static bool is_finite(std::uint32_t w) { return (w & kMagnitude) < kInfinite; }
    static double value(std::uint32_t w) {
        if constexpr (kKind == FloatKind::kFp32) return static_cast<double>(std::bit_cast<float>(w));
        else if constexpr (kKind == FloatKind::kBf16) return static_cast<double>(bf16_to_float(static_cast<std::uint16_t>(w)));
        else return static_cast<double>(fp16_to_float(static_cast<std::uint16_t>(w)));
    }
    static std::uint32_t word(double v) {
        const float f = static_cast<float>(v);
        if constexpr (kKind == FloatKind::kFp32) return std::bit_cast<std::uint32_t>(f);
        else if constexpr (kKind == FloatKind::kBf16) return float_to_bf16(f);
        else return float_to_fp16(f);
    }
};

template <class F>
auto with_kind(FloatKind kind, F&& f) {
    switch (kind) {
        case FloatKind::kBf16: return f(Type<FloatKind::kBf16>{});
        case FloatKind::kFp16: return f(Type<FloatKind::kFp16>{});
        case FloatKind::kFp32: break;
    }
    return f(Type<FloatKind::kFp32>{});
}

std::size_t count_of(std::span<const std::byte> bytes, FloatKind kind) { return bytes.size() / (kind == FloatKind::kFp32 ? 4 : 2); }

constexpr std::array<double, 4> kQuarter{1.0, 1.1875, 1.40625, 1.6875};

/// [|q|] -> multiple of the scale.
std::array<double, 128> levels_of(const Quantizer& z) {
    std::array<double, 128> l{};
    l[1] = 1 - z.shrink_one / 256.0;
    for (unsigned k = 2; k < 128; ++k) l[k] = k - z.shrink_more / 256.0;
    return l;
}

/// Largest scale code that is needed for a change of this size: no |q| beyond `most`.
unsigned code_for(double largest, const Quantizer& z) {
    const double limit = largest / (z.most + 0.5);
    for (unsigned c = 0; c <= kMostScaleCode; ++c)
        if (group_scale(z.step, c) >= limit) return c;
    return kMostScaleCode + 1;
}

}  // namespace

double Quantizer::step_value() const { return static_cast<double>(bf16_to_float(step)); }

double group_scale(std::uint16_t step, unsigned code) {
    return static_cast<double>(bf16_to_float(step)) * kQuarter[code & 3u] * static_cast<double>(std::uint64_t{1} << (code >> 2));
}

bool quantize(std::span<const std::byte> base, std::span<const std::byte> weights, FloatKind kind, const Quantizer& z, Quantized& out) {
    const std::size_t n = count_of(weights, kind), group = std::size_t{1} << z.group_log2;
    out.q.assign(n, 0);
    out.codes.assign((n + group - 1) / group, 0);
    const auto levels = levels_of(z);
    return with_kind(kind, [&](auto type) {
        using T = decltype(type);
        std::vector<double> change(group);
        for (std::size_t g = 0, at = 0; at < n; ++g, at += group) {
            const std::size_t m = std::min(group, n - at);
            double largest = 0;
            for (std::size_t i = 0; i < m; ++i) {
                const std::uint32_t b = T::load(base.data(), at + i), w = T::load(weights.data(), at + i);
                if (!T::is_finite(b) || !T::is_finite(w)) return false;
                change[i] = T::value(w) - T::value(b);
                largest = std::max(largest, std::fabs(change[i]));
            }
            const unsigned code = largest <= z.step_value() * z.most ? 0 : code_for(largest, z);
            if (code > kMostScaleCode) return false;
            out.codes[g] = static_cast<std::uint8_t>(code);
            const double scale = group_scale(z.step, code), inverse = 1 / scale;
            for (std::size_t i = 0; i < m; ++i) {
                const double a = std::fabs(change[i]) * inverse;
                if (a < z.threshold) continue;
                // Entropy coding makes the smaller level the cheaper one: the boundaries lie a little above the middle.
                const auto k = std::clamp(static_cast<unsigned>(a + 0.46), 1u, z.most);
                out.q[at + i] = static_cast<std::int8_t>(change[i] < 0 ? -static_cast<int>(k) : static_cast<int>(k));
                const double v = T::value(T::load(base.data(), at + i)) + (change[i] < 0 ? -levels[k] : levels[k]) * scale;
                if (!T::is_finite(T::word(v))) return false;
            }
        }
        return true;
    });
}

void dequantize(std::span<const std::byte> base, FloatKind kind, const Quantizer& z, const Quantized& in, std::span<std::byte> out) {
    const std::size_t n = in.q.size(), group = std::size_t{1} << z.group_log2;
    const auto levels = levels_of(z);
    with_kind(kind, [&](auto type) {
        using T = decltype(type);
        for (std::size_t g = 0, at = 0; at < n; ++g, at += group) {
            const double scale = group_scale(z.step, in.codes[g]);
            std::array<double, 256> value{};  // [q + 128]; worth filling for the few that a group of 4 bits has only
            const bool table = z.most <= 7;
            if (table)
                for (int q = -7; q <= 7; ++q) value[static_cast<unsigned>(q + 128)] = (q < 0 ? -levels[static_cast<unsigned>(-q)] : levels[static_cast<unsigned>(q)]) * scale;
            for (std::size_t i = at, end = std::min(n, at + group); i < end; ++i) {
                const std::uint32_t b = T::load(base.data(), i);
                const int q = in.q[i];
                if (q == 0 || !T::is_finite(b)) {
                    T::store(out.data(), i, b);
                    continue;
                }
                const double change = table ? value[static_cast<unsigned>(q + 128)] : (q < 0 ? -levels[static_cast<unsigned>(-q)] : levels[static_cast<unsigned>(q)]) * scale;
                T::store(out.data(), i, T::word(T::value(b) + change));
            }
        }
    });
}

bool quantize_signs(std::span<const std::byte> base, std::span<const std::byte> weights, FloatKind kind, const SignGroups& groups,
                    std::vector<std::uint16_t>& scales, std::vector<std::uint8_t>& bits) {
    const std::size_t n = count_of(weights, kind);
    scales.assign(groups.count(n), 0);
    bits.assign((n + 7) / 8, 0);
    return with_kind(kind, [&](auto type) {
        using T = decltype(type);
        std::size_t at = 0;
        for (auto& scale : scales) {
            const std::size_t end = std::min<std::uint64_t>(n, (at + groups.first) / groups.group * groups.group + groups.group - groups.first);
            double sum = 0;
            for (std::size_t i = at; i < end; ++i) {
                const std::uint32_t b = T::load(base.data(), i), w = T::load(weights.data(), i);
                if (!T::is_finite(b) || !T::is_finite(w)) return false;
                const double d = T::value(w) - T::value(b);
                sum += std::fabs(d);
                if (d < 0) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | 1u << (i % 8));
            }
            scale = float_to_bf16(static_cast<float>(sum / static_cast<double>(end - at)));
            const double s = static_cast<double>(bf16_to_float(scale));
            for (std::size_t i = at; i < end; ++i) {
                const double b = T::value(T::load(base.data(), i));
                if (!T::is_finite(T::word(b + s)) || !T::is_finite(T::word(b - s))) return false;
            }
            at = end;
        }
        return true;
    });
}

void dequantize_signs(std::span<const std::byte> base, FloatKind kind, const SignGroups& groups, std::span<const std::uint16_t> scales,
                      std::span<const std::uint8_t> bits, std::span<std::byte> out) {
    const std::size_t n = count_of(base, kind);
    with_kind(kind, [&](auto type) {
        using T = decltype(type);
        std::size_t at = 0;
        for (const std::uint16_t word : scales) {
            const std::size_t end = std::min<std::uint64_t>(n, (at + groups.first) / groups.group * groups.group + groups.group - groups.first);
            const double s = static_cast<double>(bf16_to_float(word));
            for (std::size_t i = at; i < end; ++i) {
                const std::uint32_t b = T::load(base.data(), i);
                const bool negative = (bits[i / 8] >> (i % 8) & 1u) != 0;
                // A scale of zero must not turn -0 into 0.
                T::store(out.data(), i, word == 0 || !T::is_finite(b) ? b : T::word(T::value(b) + (negative ? -s : s)));
            }
            at = end;
        }
    });
}

void ErrorSums::add(const ErrorSums& o) {
    max_abs = std::max(max_abs, o.max_abs);
    error2 += o.error2;
    change2 += o.change2;
    weight2 += o.weight2;
}
double ErrorSums::relative() const { return weight2 > 0 ? std::sqrt(error2 / weight2) : 0; }
double ErrorSums::change_relative() const { return change2 > 0 ? std::sqrt(error2 / change2) : 0; }

ErrorSums measure_error(std::span<const std::byte> base, std::span<const std::byte> weights, std::span<const std::byte> rebuilt, FloatKind kind) {
    ErrorSums sums;
    const std::size_t n = count_of(weights, kind);
    with_kind(kind, [&](auto type) {
        using T = decltype(type);
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint32_t w = T::load(weights.data(), i), r = T::load(rebuilt.data(), i);
            if (!T::is_finite(w) || !T::is_finite(r)) continue;
            const double v = T::value(w), e = T::value(r) - v;
            sums.max_abs = std::max(sums.max_abs, std::fabs(e));
            sums.error2 += e * e;
            sums.weight2 += v * v;
            if (base.empty()) continue;
            const std::uint32_t b = T::load(base.data(), i);
            if (!T::is_finite(b)) continue;
            const double d = v - T::value(b);
            sums.change2 += d * d;
        }
    });
    return sums;
}

void exponent_words(std::span<const std::byte> base, FloatKind kind, std::vector<std::uint16_t>& words) {
    words.resize(count_of(base, kind));
    with_kind(kind, [&](auto type) {
        using T = decltype(type);
        for (std::size_t i = 0; i < words.size(); ++i)
            words[i] = static_cast<std::uint16_t>(std::max((T::load(base.data(), i) & T::kMagnitude) >> T::kMantissa, 1u) << 7);
    });
}

}  // namespace tenpak::delta
