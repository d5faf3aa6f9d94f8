// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/peers.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <unordered_map>
#include <vector>

namespace tenpak::bench {

namespace {

constexpr std::size_t kPiece = 1u << 20;  // weights

std::size_t width(DType t) { return std::max(dtype_bits(t) / 8, 1u); }

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
Bytes unzstd(Span f) {
    Bytes out(ZSTD_getFrameContentSize(f.data(), f.size()));
    if (ZSTD_isError(ZSTD_decompress(out.data(), out.size(), f.data(), f.size()))) throw std::runtime_error("zstd");
    return out;
}

/// Byte planes of the XOR, piece by piece.
Bytes planes_encode(Span fine, Span base, std::size_t w, int level) {
    Bytes out;
    const std::size_t n = fine.size() / w;
    for (std::size_t at = 0; at < n; at += kPiece) {
        const std::size_t m = std::min(kPiece, n - at);
        Bytes planes(m * w);
        for (std::size_t i = 0; i < m; ++i)
            for (std::size_t b = 0; b < w; ++b) planes[b * m + i] = fine[(at + i) * w + b] ^ base[(at + i) * w + b];
        put_frame(out, zstd_plain(planes, level));
    }
    return out;
}
Bytes planes_decode(Span stored, Span base, std::size_t w) {
    Bytes out(base.size());
    const std::size_t n = base.size() / w;
    for (std::size_t at = 0; at < n; at += kPiece) {
        const std::size_t m = std::min(kPiece, n - at);
        const Bytes planes = unzstd(get_frame(stored));
        for (std::size_t i = 0; i < m; ++i)
            for (std::size_t b = 0; b < w; ++b) out[(at + i) * w + b] = planes[b * m + i] ^ base[(at + i) * w + b];
    }
    return out;
}

/// FM-Delta's map: order-preserving, so that neighbours in value are neighbours as integers.
std::uint32_t ordered(std::uint32_t u, unsigned bits) {
    const std::uint32_t sign = 1u << (bits - 1), all = sign | (sign - 1);
    return (u & sign) != 0 ? ~u & all : u | sign;
}
std::uint32_t unordered(std::uint32_t o, unsigned bits) {
    const std::uint32_t sign = 1u << (bits - 1), all = sign | (sign - 1);
    return (o & sign) != 0 ? o & ~sign : ~o & all;
}
std::uint32_t load(Span s, std::size_t i, std::size_t w) {
    std::uint32_t v = 0;
    std::memcpy(&v, s.data() + i * w, w);
    return v;
}

/// Adaptive order-0 range coder over up to 128 classes (Schindler's carryless kind), frequencies halved at 2^15.
struct Adaptive {
    std::array<std::uint32_t, 128> f{};
    std::uint32_t total = 0, n;
    explicit Adaptive(std::uint32_t symbols) : n(symbols) {
        for (std::uint32_t i = 0; i < n; ++i) f[i] = 1;
        total = n;
    }
    void update(std::uint32_t s) {
        f[s] += 32;
        total += 32;
        if (total < 1u << 15) return;
        total = 0;
        for (std::uint32_t i = 0; i < n; ++i) total += f[i] = (f[i] + 1) / 2;
    }
};
struct Coder {
    Bytes out;
    std::uint64_t low = 0;
    std::uint32_t range = 0xffffffffu;
    void carry_out() {
        if (low >> 32 != 0) {
            for (std::size_t i = out.size(); i-- > 0;) {
                out[i] = static_cast<std::byte>(static_cast<unsigned>(out[i]) + 1);
                if (out[i] != std::byte{0}) break;
            }
            low &= 0xffffffffu;
        }
    }
    void put(std::uint32_t start, std::uint32_t size, std::uint32_t total) {
        range /= total;
        low += static_cast<std::uint64_t>(start) * range;
        range *= size;
        while (range < 1u << 24) {
            carry_out();
            out.push_back(static_cast<std::byte>(low >> 24));
            low = low << 8 & 0xffffffffu;
            range <<= 8;
        }
    }
    void finish() {
        for (int i = 0; i < 4; ++i) {
            carry_out();
            out.push_back(static_cast<std::byte>(low >> 24));
            low = low << 8 & 0xffffffffu;
        }
    }
};

}  // namespace

Bytes zstd_plain(Span raw, int level) {
    Bytes out(ZSTD_compressBound(raw.size()));
    const std::size_t n = ZSTD_compress(out.data(), out.size(), raw.data(), raw.size(), level);
    if (ZSTD_isError(n)) throw std::runtime_error("zstd");
    out.resize(n);
    return out;
}

Bytes tx_encode(Span fine, Span base, DType t) { return planes_encode(fine, base, width(t), 1); }
Bytes tx_decode(Span stored, Span base, DType t) { return planes_decode(stored, base, width(t)); }

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
Bytes bitx_decode(Span stored, Span base, DType t) {
    if (t != DType::kBF16) return planes_decode(stored, base, width(t));
    const Bytes e = unzstd(get_frame(stored)), s = unzstd(get_frame(stored));
    Bytes out(base.size());
    for (std::size_t i = 0; i < e.size(); ++i) {
        const auto x = static_cast<unsigned>(e[i]) << 7 | (static_cast<unsigned>(s[i]) & 0x80u) << 8 | (static_cast<unsigned>(s[i]) & 0x7fu);
        const auto v = static_cast<std::uint16_t>(load(base, i, 2) ^ x);
        std::memcpy(out.data() + 2 * i, &v, 2);
    }
    return out;
}

Bytes fm_encode(Span fine, Span base, DType t) {
    const std::size_t w = width(t);
    if (w != 2 && w != 4) return planes_encode(fine, base, w, 3);
    const auto bits = static_cast<unsigned>(8 * w);
    Adaptive model(2 * bits + 1);
    Coder c;
    for (std::size_t i = 0; i < fine.size() / w; ++i) {
        const std::int64_t d = static_cast<std::int64_t>(ordered(load(fine, i, w), bits)) - ordered(load(base, i, w), bits);
        const auto a = static_cast<std::uint32_t>(d < 0 ? -d : d);
        const auto k = static_cast<unsigned>(std::bit_width(a));
        const std::uint32_t s = d < 0 ? bits - k : bits + k;
        std::uint32_t start = 0;
        for (std::uint32_t j = 0; j < s; ++j) start += model.f[j];
        c.put(start, model.f[s], model.total);
        model.update(s);
        for (unsigned left = k > 0 ? k - 1 : 0; left > 0;) {
            const unsigned take = std::min(left, 12u);
            left -= take;
            c.put(a >> left & ((1u << take) - 1), 1, 1u << take);
        }
    }
    c.finish();
    return c.out;
}
Bytes fm_decode(Span stored, Span base, DType t) {
    const std::size_t w = width(t);
    if (w != 2 && w != 4) return planes_decode(stored, base, w);
    const auto bits = static_cast<unsigned>(8 * w);
    Adaptive model(2 * bits + 1);
    std::uint32_t range = 0xffffffffu, code = 0;
    std::size_t at = 0;
    const auto next = [&] { return at < stored.size() ? static_cast<std::uint32_t>(stored[at++]) : 0u; };
    for (int i = 0; i < 4; ++i) code = code << 8 | next();
    const auto take_out = [&](std::uint32_t start, std::uint32_t size) {
        code -= start * range;
        range *= size;
        while (range < 1u << 24) {
            code = code << 8 | next();
            range <<= 8;
        }
    };
    Bytes out(base.size());
    for (std::size_t i = 0; i < base.size() / w; ++i) {
        range /= model.total;
        const std::uint32_t v = std::min(code / range, model.total - 1);
        std::uint32_t s = 0, start = 0;
        while (start + model.f[s] <= v) start += model.f[s++];
        take_out(start, model.f[s]);
        model.update(s);
        const unsigned k = s < bits ? bits - s : s - bits;
        std::uint32_t a = k > 0 ? 1 : 0;
        for (unsigned left = k > 0 ? k - 1 : 0; left > 0;) {
            const unsigned take = std::min(left, 12u);
            left -= take;
            range >>= take;
            const std::uint32_t r = std::min(code / range, (1u << take) - 1);
            take_out(r, 1);
            a = a << take | r;
        }
        const std::uint32_t o = ordered(load(base, i, w), bits) + (s < bits ? 0u - a : a);
        const std::uint32_t u = unordered(bits == 32 ? o : o & 0xffffu, bits);
        std::memcpy(out.data() + i * w, &u, w);
    }
    return out;
}

Bytes patch_encode(Span fine, Span base, int level) {
    ZSTD_CCtx* c = ZSTD_createCCtx();
    const auto log = std::clamp(static_cast<int>(std::bit_width(fine.size() + base.size())), 10, 31);
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, log);
    ZSTD_CCtx_setParameter(c, ZSTD_c_enableLongDistanceMatching, 1);
    ZSTD_CCtx_refPrefix(c, base.data(), base.size());
    Bytes out(ZSTD_compressBound(fine.size()));
    const std::size_t n = ZSTD_compress2(c, out.data(), out.size(), fine.data(), fine.size());
    ZSTD_freeCCtx(c);
    if (ZSTD_isError(n)) throw std::runtime_error("zstd --patch-from");
    out.resize(n);
    return out;
}
Bytes patch_decode(Span stored, Span base, std::size_t size) {
    ZSTD_DCtx* d = ZSTD_createDCtx();
    ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, 31);
    ZSTD_DCtx_refPrefix(d, base.data(), base.size());
    Bytes out(size);
    const std::size_t n = ZSTD_decompressDCtx(d, out.data(), out.size(), stored.data(), stored.size());
    ZSTD_freeDCtx(d);
    if (ZSTD_isError(n) || n != size) throw std::runtime_error("zstd --patch-from");
    return out;
}

double conditional_entropy_bytes(Span fine, Span base, DType t) {
    const std::size_t w = width(t);
    if (t != DType::kBF16 && t != DType::kF16 && t != DType::kF32) return static_cast<double>(fine.size());
    const auto bits = static_cast<unsigned>(8 * w);
    const unsigned mantissa = t == DType::kBF16 ? 7 : t == DType::kF16 ? 10 : 23;
    std::unordered_map<std::uint64_t, std::uint32_t> joint;
    std::unordered_map<std::uint32_t, std::uint32_t> context;
    for (std::size_t i = 0; i < fine.size() / w; ++i) {
        const std::uint32_t b = load(base, i, w), e = (b & ((1u << (bits - 1)) - 1)) >> mantissa;
        const std::uint32_t d = ordered(load(fine, i, w), bits) - ordered(b, bits);
        ++joint[static_cast<std::uint64_t>(e) << 32 | d];
        ++context[e];
    }
    double h = 0;
    for (const auto& [key, n] : joint) h -= n * std::log2(static_cast<double>(n) / context[static_cast<std::uint32_t>(key >> 32)]);
    return h / 8;
}

}  // namespace tenpak::bench
