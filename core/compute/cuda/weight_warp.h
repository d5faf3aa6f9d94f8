// SPDX-License-Identifier: Apache-2.0
// Decoding a weights payload by a warp: one block a warp, 32 weights a round. The body is written once over a Warp that
// runs a piece of code in each of 32 lanes: on the GPU those are threads, on the host a loop (HostWarp), so that tests
// run exactly this algorithm without a GPU.
#pragma once
#include <cstdint>
#include <cstring>

#include "core/compute/cuda/portable.h"
#include "core/compute/cuda/weight_block.h"

namespace tenpak::compute {

/// The lanes one after the other.
struct HostWarp {
    static constexpr unsigned kCopies = 32;  ///< of each lane's variables
    template <class F>
    TENPAK_HOST_DEVICE void each(F f) const {
        for (unsigned lane = 0; lane < 32; ++lane) f(lane, lane);
    }
    /// Bit i: whether lane i wants. The lanes have set want[].
    TENPAK_HOST_DEVICE std::uint32_t ballot(const bool* want) const {
        std::uint32_t mask = 0;
        for (unsigned lane = 0; lane < 32; ++lane) mask |= static_cast<std::uint32_t>(want[lane]) << lane;
        return mask;
    }
    TENPAK_HOST_DEVICE static unsigned count(std::uint32_t mask) {
        unsigned n = 0;
        for (; mask != 0; mask &= mask - 1) ++n;
        return n;
    }
};

#ifdef __CUDACC__
/// One lane a thread: each lane's variables exist once.
struct DeviceWarp {
    static constexpr unsigned kCopies = 1;
    template <class F>
    __device__ __forceinline__ void each(F f) const {
        f(threadIdx.x & 31u, 0u);
    }
    __device__ __forceinline__ std::uint32_t ballot(const bool* want) const { return __ballot_sync(0xffffffffu, want[0]); }
    __device__ __forceinline__ static unsigned count(std::uint32_t mask) { return static_cast<unsigned>(__popc(mask)); }
};
#endif

/// The parts of a block's header, in the image or in a copy of it.
struct WeightHeader {
    const std::uint32_t* symbols;
    const std::uint32_t* context_begin;
    const std::uint8_t* first;
    const std::uint8_t* context_of;
    const std::uint32_t* begin;
    const std::uint32_t* info;

    TENPAK_HOST_DEVICE WeightHeader(const tenpak_weight_block& b, const std::uint32_t* at)
        : symbols(at), context_begin(at + b.entries), first(reinterpret_cast<const std::uint8_t*>(context_begin + b.contexts + 1)),
          context_of(first + 128 * b.contexts), begin(reinterpret_cast<const std::uint32_t*>(context_of + (b.keys_count + 3) / 4 * 4)), info(begin + 256) {}
};

enum WeightStatus : std::uint32_t { kWeightsGood = 0, kWeightsEndEarly = 1, kWeightsTooLong = 2, kWeightsDoNotEnd = 3 };

/// The states of kGroups x 32 lanes, or of fewer lanes where kGroups is 1. All lanes of a warp call it.
template <unsigned kGroups, class Word, class Warp>
TENPAK_HOST_DEVICE std::uint32_t decode_groups_by_warp(const Warp& warp, const tenpak_weight_block& b, const WeightHeader& h, const std::uint32_t* states,
                                                       const Word* predicted, const std::uint8_t* keys, Word* out) {
    const unsigned lanes = 1u << b.lanes_log2, whole = lanes < 32 ? lanes : 32;
    const std::uint32_t sign = b.sign, magnitude = sign - 1, slot_mask = (1u << b.precision) - 1;
    const std::uint16_t* const words = reinterpret_cast<const std::uint16_t*>(states + lanes);
    const std::uint64_t n = b.bytes / sizeof(Word);
    std::uint32_t state[kGroups][Warp::kCopies];
    TENPAK_UNROLL
    for (unsigned g = 0; g < kGroups; ++g) warp.each([&](unsigned lane, unsigned i) { state[g][i] = lane < whole ? states[32 * g + lane] : 0x10000u; });
    std::uint32_t next = 0;  // word, the same in all lanes
    bool want[Warp::kCopies];
    // States below 2^16 take the next words, in the order of the lanes. Behind the end they take zeros.
    const auto refill = [&](std::uint32_t* x) {
        warp.each([&](unsigned, unsigned i) { want[i] = x[i] < 0x10000u; });
        const std::uint32_t mask = warp.ballot(want);
        warp.each([&](unsigned lane, unsigned i) {
            if (!want[i]) return;
            const std::uint32_t at = next + Warp::count(mask & ((1u << lane) - 1));
            x[i] = x[i] << 16 | (at < b.words ? words[at] : 0u);
        });
        next += Warp::count(mask);
    };
    const auto round = [&](std::uint32_t* x, std::uint64_t at) {
        std::uint32_t weight[Warp::kCopies], value[Warp::kCopies], info[Warp::kCopies];
        const unsigned count = n - at < whole ? static_cast<unsigned>(n - at) : whole;
        warp.each([&](unsigned lane, unsigned i) {
            weight[i] = value[i] = info[i] = 0;
            if (lane >= count) return;
            std::uint32_t context = 0;
            if (b.keys != TENPAK_KEYS_NONE) {
                weight[i] = static_cast<std::uint32_t>(predicted[at + lane]) >> b.dropped;
                context = h.context_of[b.keys == TENPAK_KEYS_GIVEN ? keys[at + lane] & 127u : (weight[i] & magnitude) >> b.mantissa];
            }
            const std::uint32_t slot = x[i] & slot_mask, begin = h.context_begin[context], end = h.context_begin[context + 1];
            std::uint32_t s = begin + h.first[128 * context + (slot >> (b.precision - 7))];
            while (s + 1 < end && (h.symbols[s + 1] & 0xfffu) <= slot) ++s;
            const std::uint32_t symbol = h.symbols[s];
            x[i] = (symbol >> 20) * (x[i] >> b.precision) + slot - (symbol & 0xfffu);
            const std::uint32_t code = symbol >> 12 & 0xffu;
            value[i] = h.begin[code];
            info[i] = h.info[code];
        });
        refill(x);
        warp.each([&](unsigned, unsigned i) {
            const unsigned bits = info[i] & 31u, low = bits < 16 ? bits : 16;
            value[i] += x[i] & ((1u << low) - 1);
            x[i] >>= low;
        });
        refill(x);
        if (b.most_raw_bits > 16) {
            warp.each([&](unsigned, unsigned i) {
                const unsigned bits = info[i] & 31u, high = bits < 16 ? 0 : bits - 16;
                value[i] += (x[i] & ((1u << high) - 1)) << 16;
                x[i] >>= high;
            });
            refill(x);
        }
        warp.each([&](unsigned lane, unsigned i) {
            if (lane >= count) return;
            std::uint32_t v = value[i];
            bool negative = (info[i] >> 8 & 1u) != 0;
            if (b.keys == TENPAK_KEYS_GIVEN) negative = negative != ((info[i] >> 9 & 1u) != 0 && keys[at + lane] >> 7 != 0);
            if (negative) v = 0u - v;
            if (b.keys != TENPAK_KEYS_NONE) v = (v + ((info[i] >> 10 & 1u) != 0 ? 0u : weight[i] & magnitude)) ^ (weight[i] & sign);
            out[at + lane] = static_cast<Word>(v << b.dropped);
        });
    };
    for (std::uint64_t at = 0; at < n; at += std::uint64_t{whole} * kGroups) {
        TENPAK_UNROLL
        for (unsigned g = 0; g < kGroups; ++g)
            if (at + std::uint64_t{whole} * g < n) round(state[g], at + std::uint64_t{whole} * g);
    }
    std::uint32_t status = next > b.words ? kWeightsEndEarly : next < b.words ? kWeightsTooLong : kWeightsGood;
    TENPAK_UNROLL
    for (unsigned g = 0; g < kGroups; ++g) {
        warp.each([&](unsigned, unsigned i) { want[i] = state[g][i] != 0x10000u; });
        if (warp.ballot(want) != 0 && status == kWeightsGood) status = kWeightsDoNotEnd;
    }
    return status;
}

/// Decodes one block. Word: std::uint16_t or std::uint32_t, as wide as the weights. `states`: where the words' part
/// begins. `keys` only where the block has given keys, `predicted` where it has any.
template <class Word, class Warp>
TENPAK_HOST_DEVICE std::uint32_t decode_weights_by_warp(const Warp& warp, const tenpak_weight_block& b, const WeightHeader& h, const std::uint32_t* states,
                                                        const Word* predicted, const std::uint8_t* keys, Word* out) {
    if (b.lanes_log2 == 7) return decode_groups_by_warp<4>(warp, b, h, states, predicted, keys, out);
    if (b.lanes_log2 == 6) return decode_groups_by_warp<2>(warp, b, h, states, predicted, keys, out);
    return decode_groups_by_warp<1>(warp, b, h, states, predicted, keys, out);
}

}  // namespace tenpak::compute
