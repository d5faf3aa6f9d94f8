// SPDX-License-Identifier: Apache-2.0
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "tests/bench/peers.h"

namespace tenpak::bench {

namespace {

constexpr std::size_t kPiece = 1u << 20;  // weights

std::size_t width(DType t) { return std::max(dtype_bits(t) / 8, 1u); }
std::uint32_t load(Span s, std::size_t i, std::size_t w) {
    std::uint32_t v = 0;
    std::memcpy(&v, s.data() + i * w, w);
    return v;
}

void put_frame(Bytes& out, const Bytes& frame) {
    const auto n = static_cast<std::uint32_t>(frame.size());
    const auto* p = reinterpret_cast<const std::byte*>(&n);
    out.insert(out.end(), p, p + 4);
    out.insert(out.end(), frame.begin(), frame.end());
}
Span get_frame(Span& in) {
    std::uint32_t n = 0;
    std::memcpy(&n, in.data(), 4);
    const Span f = in.subspan(4, n);
    in = in.subspan(4 + n);
    return f;
}
/// Contexts and buffers are kept, as a peer that is to be fast would keep them: decode times are those of decoding.
void unzstd(Span f, Bytes& out) {
    thread_local const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
    const std::size_t n = ZSTD_getFrameContentSize(f.data(), f.size());
    if (out.size() < n) out.resize(n);
    if (ZSTD_isError(ZSTD_decompressDCtx(context.get(), out.data(), n, f.data(), f.size())))
        throw std::runtime_error("zstd");
}

/// out = base ^ (low bytes, high bytes), sixteen weights at a time where the CPU has SSE2, as TensorX does it.
void join_two_planes(const std::byte* planes, std::size_t m, const std::byte* base, std::byte* out) {
    std::size_t i = 0;
#if defined(__SSE2__)
    const auto at = [](const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); };
    for (; i + 16 <= m; i += 16) {
        const __m128i low = at(planes + i), high = at(planes + m + i);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i),
                         _mm_xor_si128(_mm_unpacklo_epi8(low, high), at(base + 2 * i)));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i + 16),
                         _mm_xor_si128(_mm_unpackhi_epi8(low, high), at(base + 2 * i + 16)));
    }
#endif
    for (; i < m; ++i) {
        out[2 * i] = planes[i] ^ base[2 * i];
        out[2 * i + 1] = planes[m + i] ^ base[2 * i + 1];
    }
}

/// out = base ^ (exponents, signs with mantissas).
void join_exponent_planes(const std::byte* e, const std::byte* s, std::size_t m, const std::byte* base,
                          std::byte* out) {
    std::size_t i = 0;
#if defined(__SSE2__)
    const auto at = [](const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); };
    const __m128i zero = _mm_setzero_si128(), sign = _mm_set1_epi16(0x80), mantissa = _mm_set1_epi16(0x7f);
    const auto join = [&](__m128i x, __m128i y) {
        return _mm_or_si128(_mm_slli_epi16(x, 7),
                            _mm_or_si128(_mm_slli_epi16(_mm_and_si128(y, sign), 8), _mm_and_si128(y, mantissa)));
    };
    for (; i + 16 <= m; i += 16) {
        const __m128i x = at(e + i), y = at(s + i);
        const __m128i low = join(_mm_unpacklo_epi8(x, zero), _mm_unpacklo_epi8(y, zero)),
                      high = join(_mm_unpackhi_epi8(x, zero), _mm_unpackhi_epi8(y, zero));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i), _mm_xor_si128(low, at(base + 2 * i)));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i + 16), _mm_xor_si128(high, at(base + 2 * i + 16)));
    }
#endif
    for (; i < m; ++i) {
        const auto x = static_cast<unsigned>(e[i]) << 7 | (static_cast<unsigned>(s[i]) & 0x80u) << 8 |
                       (static_cast<unsigned>(s[i]) & 0x7fu);
        std::uint16_t b = 0;
        std::memcpy(&b, base + 2 * i, 2);
        const auto v = static_cast<std::uint16_t>(b ^ x);
        std::memcpy(out + 2 * i, &v, 2);
    }
}

/// Byte planes of the XOR, piece by piece.
Bytes planes_encode(Span fine, Span base, std::size_t w, int level) {
    Bytes out;
    const std::size_t n = fine.size() / w;
    Bytes planes(std::min(kPiece, n) * w);
    for (std::size_t at = 0; at < n; at += kPiece) {
        const std::size_t m = std::min(kPiece, n - at);
        for (std::size_t b = 0; b < w; ++b)
            for (std::size_t i = 0; i < m; ++i) planes[b * m + i] = fine[(at + i) * w + b] ^ base[(at + i) * w + b];
        put_frame(out, zstd_plain(Span(planes).first(m * w), level));
    }
    return out;
}
void planes_decode(Span stored, Span base, std::size_t w, std::span<std::byte> out) {
    thread_local Bytes planes;
    const std::size_t n = base.size() / w;
    for (std::size_t at = 0; at < n; at += kPiece) {
        const std::size_t m = std::min(kPiece, n - at);
        unzstd(get_frame(stored), planes);
        if (w == 2) {
            join_two_planes(planes.data(), m, base.data() + at * 2, out.data() + at * 2);
            continue;
        }
        for (std::size_t b = 0; b < w; ++b)
            for (std::size_t i = 0; i < m; ++i) out[(at + i) * w + b] = planes[b * m + i] ^ base[(at + i) * w + b];
    }
}

}  // namespace

Bytes zstd_plain(Span raw, int level) {
    thread_local const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
    Bytes out(ZSTD_compressBound(raw.size()));
    const std::size_t n = ZSTD_compressCCtx(context.get(), out.data(), out.size(), raw.data(), raw.size(), level);
    if (ZSTD_isError(n)) throw std::runtime_error("zstd");
    out.resize(n);
    return out;
}

Bytes tx_encode(Span fine, Span base, DType t) { return planes_encode(fine, base, width(t), 1); }
void tx_decode(Span stored, Span base, DType t, std::span<std::byte> out) {
    planes_decode(stored, base, width(t), out);
}

Bytes bitx_encode(Span fine, Span base, DType t) {
    if (t != DType::kBF16) return planes_encode(fine, base, width(t), 3);
    const std::size_t n = fine.size() / 2;
    Bytes e(n), s(n), out;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint32_t x = load(fine, i, 2) ^ load(base, i, 2);
        e[i] = static_cast<std::byte>(x >> 7 & 0xffu);
        s[i] = static_cast<std::byte>((x >> 8 & 0x80u) | (x & 0x7fu));
    }
    put_frame(out, zstd_plain(e, 3));
    put_frame(out, zstd_plain(s, 3));
    return out;
}
void bitx_decode(Span stored, Span base, DType t, std::span<std::byte> out) {
    if (t != DType::kBF16) return planes_decode(stored, base, width(t), out);
    thread_local Bytes e, s;
    unzstd(get_frame(stored), e);
    unzstd(get_frame(stored), s);
    join_exponent_planes(e.data(), s.data(), base.size() / 2, base.data(), out.data());
}

}  // namespace tenpak::bench
