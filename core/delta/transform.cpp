// SPDX-License-Identifier: Apache-2.0
#include "core/delta/transform.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/half.h"

namespace tenpak::delta {

namespace {

constexpr std::uint32_t kLeastBlock = 32, kMostBlock = 4096;
/// Weights that are in work at once.
constexpr std::size_t kChunk = 4096;

/// binary64 to the nearest of a 16-bit type, rounded once: through the fp32 number that lies towards zero, its last bit set
/// where anything was cut off ("round to odd": fp32 has more than two bits more than either type).
float to_odd_float(double d) {
    auto f = static_cast<float>(d);
    if (static_cast<double>(f) == d || std::isnan(d)) return f;
    auto bits = std::bit_cast<std::uint32_t>(f);
    if (std::fabs(static_cast<double>(f)) > std::fabs(d)) --bits;
    return std::bit_cast<float>(bits | 1u);
}

void scale_floats(DType to, double scale, const float* in, std::size_t n, float* out) {
    for (std::size_t i = 0; i < n; ++i) {
        const double product = static_cast<double>(in[i]) * scale;
        // A NaN keeps its bits: what a product makes of its payload depends on the machine.
        out[i] = std::isnan(in[i]) ? in[i] : to == DType::kF32 ? static_cast<float>(product) : to_odd_float(product);
    }
}

/// "0x1.8p-1", as printf("%a") has it; always with the same digits for the same number.
std::string hex_number(double v) {
    char text[64];
    const auto end = std::to_chars(text, text + sizeof text, std::fabs(v), std::chars_format::hex).ptr;
    return (v < 0 ? "-0x" : "0x") + std::string(text, end);
}
std::optional<double> parse_hex_number(std::string_view text) {
    const bool negative = text.starts_with('-');
    if (negative) text.remove_prefix(1);
    if (!text.starts_with("0x") || text.size() > 40) return std::nullopt;
    text.remove_prefix(2);
    if (text.starts_with('-')) return std::nullopt;
    double v = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v, std::chars_format::hex);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(v)) return std::nullopt;
    return negative ? -v : v;
}
/// Takes digits from the front. Powers of two in [least, kMostBlock] only.
std::optional<std::uint32_t> take_power(std::string_view& text, std::uint32_t least) {
    std::uint32_t v = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + std::min<std::size_t>(text.size(), 5), v);
    if (error != std::errc() || !std::has_single_bit(v) || v < least || v > kMostBlock) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return v;
}
std::optional<Nf4> parse_nf4(std::string_view text) {
    Nf4 n;
    if (!text.starts_with("NF4/")) return std::nullopt;
    text.remove_prefix(4);
    const auto block = take_power(text, kLeastBlock);
    if (!block) return std::nullopt;
    n.block = *block;
    if (text.empty()) return n;
    if (!text.starts_with('/')) return std::nullopt;
    text.remove_prefix(1);
    const auto nested = take_power(text, 2);
    if (!nested || !text.starts_with('+')) return std::nullopt;
    n.nested = *nested;
    const auto mean = parse_hex_number(text.substr(1));
    if (!mean || *mean < 0 || *mean > 0x1p100) return std::nullopt;
    n.mean = static_cast<float>(*mean);
    return n;
}
std::optional<Transform> parse(std::string_view text) {
    std::vector<std::string_view> parts;
    if (text.size() > 128) return std::nullopt;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find('>', at), text.size());
        parts.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    if (parts.size() < 2 || parts.size() > 4) return std::nullopt;
    const auto dtype = [](std::string_view s) -> std::optional<DType> {
        const auto t = dtype_from_name(s);
        return t && can_transform(*t) ? t : std::nullopt;
    };
    Transform t;
    if (const std::size_t star = parts[0].find('*'); star != parts[0].npos) {
        const auto scale = parse_hex_number(parts[0].substr(star + 1));
        if (!scale || *scale == 0 || parts.size() != 2) return std::nullopt;
        t.scale = *scale;
        parts[0] = parts[0].substr(0, star);
    }
    const auto from = dtype(parts.front()), to = dtype(parts.back());
    if (!from || !to) return std::nullopt;
    t.from = *from;
    t.to = *to;
    if (parts.size() == 4) {
        t.rounded = dtype(parts[1]);
        if (!t.rounded || *t.rounded == t.from) return std::nullopt;
    }
    if (parts.size() > 2) {
        t.nf4 = parse_nf4(parts[parts.size() - 2]);
        if (!t.nf4) return std::nullopt;
    }
    return t;
}

}  // namespace

bool can_transform(DType t) { return t == DType::kBF16 || t == DType::kF16 || t == DType::kF32; }

void load_floats(DType t, const std::byte* p, std::size_t n, float* out) {
    if (t == DType::kF32) {
        std::memcpy(out, p, n * 4);
        return;
    }
    for (std::size_t i = 0; i < n; ++i) {
        std::uint16_t h;
        std::memcpy(&h, p + 2 * i, 2);
        out[i] = t == DType::kBF16 ? bf16_to_float(h) : fp16_to_float(h);
    }
}

void store_floats(DType t, const float* v, std::size_t n, std::byte* out) {
    if (t == DType::kF32) {
        std::memcpy(out, v, n * 4);
        return;
    }
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint16_t h = t == DType::kBF16 ? float_to_bf16(v[i]) : float_to_fp16(v[i]);
        std::memcpy(out + 2 * i, &h, 2);
    }
}

std::string transform_text(const Transform& t) {
    std::string s(dtype_name(t.from));
    if (t.scale != 1) s += '*' + hex_number(t.scale);
    if (t.rounded) s += '>' + std::string(dtype_name(*t.rounded));
    if (t.nf4) {
        s += ">NF4/" + std::to_string(t.nf4->block);
        if (t.nf4->nested != 0) s += '/' + std::to_string(t.nf4->nested) + '+' + hex_number(static_cast<double>(t.nf4->mean));
    }
    return s + '>' + std::string(dtype_name(t.to));
}

Result<Transform> parse_transform(std::string_view text) {
    const auto t = parse(text);
    if (!t || transform_text(*t) != text)
        return make_error(ErrorCode::kUnsupported, "unknown transform \"" + std::string(text.substr(0, 64)) + "\" of the base", {}, "A newer tenpak reads it");
    return *t;
}

Status apply_transform(const Transform& t, std::uint64_t first_weight, std::span<const std::byte> base, std::span<std::byte> out) {
    const std::size_t from = dtype_bits(t.from) / 8, to = dtype_bits(t.to) / 8, n = out.size() / to;
    const char* const hint = "The block is damaged or made by a faulty program";
    if (out.size() % to != 0 || base.size() != n * from) return make_error(ErrorCode::kMalformed, "a block and its place in the base differ in size", {}, hint);
    if (first_weight % t.group() != 0) return make_error(ErrorCode::kMalformed, "a block begins inside a group of the base's quantization", {}, hint);
    const std::size_t chunk = std::max<std::size_t>(kChunk, static_cast<std::size_t>(t.group()));  // both powers of two
    std::vector<float> in(std::min(chunk, n)), result(in.size());
    for (std::size_t at = 0; at < n; at += chunk) {
        const std::size_t size = std::min(chunk, n - at);
        load_floats(t.from, base.data() + at * from, size, in.data());
        const float* values = in.data();
        if (t.nf4) {
            if (t.rounded && *t.rounded != DType::kF32) {
                std::byte half[2];
                for (std::size_t i = 0; i < size; ++i) {
                    store_floats(*t.rounded, &in[i], 1, half);
                    load_floats(*t.rounded, half, 1, &in[i]);
                }
            }
            nf4_round_trip(in.data(), size, *t.nf4, result.data());
            values = result.data();
        } else if (t.scale != 1) {
            scale_floats(t.to, t.scale, in.data(), size, result.data());
            values = result.data();
        }
        store_floats(t.to, values, size, out.data() + at * to);
    }
    return {};
}

}  // namespace tenpak::delta
