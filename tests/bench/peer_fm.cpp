// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "tests/bench/peers.h"

namespace tenpak::bench {

namespace {

std::size_t width(DType t) { return std::max(dtype_bits(t) / 8, 1u); }
std::uint32_t load(Span s, std::size_t i, std::size_t w) {
    std::uint32_t v = 0;
    std::memcpy(&v, s.data() + i * w, w);
    return v;
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

Bytes fm_encode(Span fine, Span base, DType t) {
    const std::size_t w = width(t);
    if (w != 2 && w != 4) return tx_encode(fine, base, t);
    const auto bits = static_cast<unsigned>(8 * w);
    Adaptive model(2 * bits + 1);
    Coder c;
    for (std::size_t i = 0; i < fine.size() / w; ++i) {
        const std::int64_t d =
            static_cast<std::int64_t>(ordered(load(fine, i, w), bits)) - ordered(load(base, i, w), bits);
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
void fm_decode(Span stored, Span base, DType t, std::span<std::byte> out) {
    const std::size_t w = width(t);
    if (w != 2 && w != 4) return tx_decode(stored, base, t, out);
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
}

}  // namespace tenpak::bench
