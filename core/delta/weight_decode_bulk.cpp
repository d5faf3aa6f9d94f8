// SPDX-License-Identifier: Apache-2.0
#include "core/delta/weight_decode_bulk.h"

#include <atomic>

#if defined(__x86_64__) && defined(__GNUC__)
#define TENPAK_BULK_AVX512 1
// GCC 12 says so of the undefined operands inside its own intrinsics (GCC bug 105593).
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#endif

namespace tenpak::delta {

namespace {
std::atomic<bool> g_allowed{true};
}  // namespace

void allow_bulk_decoder(bool allow) { g_allowed = allow; }

#ifdef TENPAK_BULK_AVX512

// The functions below alone are compiled for AVX-512 (no flag for the file: inline functions of other headers must not
// become AVX-512 code that older CPUs then run).
#define TENPAK_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

namespace {

bool cpu_fits() {
    static const bool fits = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
                             __builtin_cpu_supports("avx512vl") != 0;
    return fits;
}

struct Tables {
    const std::uint32_t* slots;
    const std::uint32_t* symbols;   ///< start | raw bits << 16 | anchored << 31
    const std::uint32_t* contexts;  ///< [exponent] context number
    unsigned precision, mantissa, dropped;
    std::uint32_t sign;
};

/// Sixteen weights: takes their words and raw bits, returns the values.
template <bool kWithBase>
TENPAK_AVX512 inline __m512i sixteen(const Tables& t, __m512i base, __m512i& state, const std::byte*& word, const std::byte* raw_bits, std::uint64_t& bit) {
    const __m512i sign = _mm512_set1_epi32(static_cast<int>(t.sign)), magnitude_mask = _mm512_set1_epi32(static_cast<int>(t.sign - 1));
    __m512i context = _mm512_setzero_si512(), magnitude = _mm512_setzero_si512();
    if constexpr (kWithBase) {
        base = _mm512_srl_epi32(base, _mm_cvtsi32_si128(static_cast<int>(t.dropped)));
        magnitude = _mm512_and_si512(base, magnitude_mask);
        const __m512i exponent = _mm512_srl_epi32(magnitude, _mm_cvtsi32_si128(static_cast<int>(t.mantissa)));
        context = _mm512_i32gather_epi32(exponent, t.contexts, 4);
    }
    const __m128i precision = _mm_cvtsi32_si128(static_cast<int>(t.precision));
    const __m512i slot_mask = _mm512_set1_epi32((1 << t.precision) - 1), low12 = _mm512_set1_epi32(0xfff);
    const __m512i slot = _mm512_i32gather_epi32(_mm512_or_si512(_mm512_sll_epi32(context, precision), _mm512_and_si512(state, slot_mask)), t.slots, 4);
    const __m512i frequency = _mm512_add_epi32(_mm512_and_si512(slot, low12), _mm512_set1_epi32(1));
    const __m512i place = _mm512_and_si512(_mm512_srli_epi32(slot, 12), low12);
    __m512i x = _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srl_epi32(state, precision)), place);
    // States that fell below 2^15 take the next words, in the order of the weights.
    const __mmask16 low = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(static_cast<int>(kRansLow)));
    const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(word)));
    const __m512i spread = _mm512_maskz_expand_epi32(low, words);
    state = _mm512_mask_or_epi32(x, low, _mm512_slli_epi32(x, 16), spread);
    word += 2 * static_cast<unsigned>(__builtin_popcount(low));

    const __m512i number = _mm512_srli_epi32(slot, 24);
    const __m512i symbol = _mm512_i32gather_epi32(_mm512_or_si512(_mm512_slli_epi32(context, 8), number), t.symbols, 4);
    const __m512i count = _mm512_and_si512(_mm512_srli_epi32(symbol, 16), _mm512_set1_epi32(0x1f));
    // Where each weight's raw bits begin: exclusive prefix sum over the sixteen.
    const __m512i zero = _mm512_setzero_si512();
    __m512i sum = _mm512_add_epi32(count, _mm512_alignr_epi32(count, zero, 15));
    sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 14));
    sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 12));
    sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 8));
    const auto total = static_cast<std::uint32_t>(_mm_extract_epi32(_mm512_extracti32x4_epi32(sum, 3), 3));
    const __m512i begin = _mm512_add_epi32(_mm512_sub_epi32(sum, count), _mm512_set1_epi32(static_cast<int>(bit & 7u)));
    const __m512i loaded = _mm512_i32gather_epi32(_mm512_srli_epi32(begin, 3), raw_bits + (bit >> 3), 1);
    const __m512i shifted = _mm512_srlv_epi32(loaded, _mm512_and_si512(begin, _mm512_set1_epi32(7)));
    const __m512i ones = _mm512_set1_epi32(1);
    const __m512i raw = _mm512_and_si512(shifted, _mm512_sub_epi32(_mm512_sllv_epi32(ones, count), ones));
    bit += total;

    __m512i value = _mm512_add_epi32(symbol, raw);  // the bits above 16 fall away at the end
    if constexpr (kWithBase) {
        const __mmask16 anchored = _mm512_movepi32_mask(symbol);
        value = _mm512_mask_add_epi32(value, anchored, value, magnitude);
        value = _mm512_xor_si512(value, _mm512_and_si512(base, sign));
    }
    return _mm512_sll_epi32(value, _mm_cvtsi32_si128(static_cast<int>(t.dropped)));
}

template <bool kWithBase>
TENPAK_AVX512 void rounds(const Tables& t, const Payload& p, const std::byte* base, std::byte* raw, std::size_t n, DecodePosition& at) {
    // Locals: writes of weights could otherwise alias the position.
    const std::byte* word = at.word;
    std::uint64_t bit = at.bit;
    std::size_t i = at.weight;
    __m512i first = _mm512_loadu_si512(at.state.data()), second = _mm512_loadu_si512(at.state.data() + 16);
    // A round takes at most 64 bytes of words and 32 x 15 raw bits; vector loads reach a little further.
    constexpr std::ptrdiff_t kWordRoom = 96;
    constexpr std::uint64_t kBitRoom = 80;
    for (; i + 32 <= n && at.words_end - word >= kWordRoom && (bit >> 3) + kBitRoom <= p.raw_bits.size(); i += 32) {
        __m512i b0 = _mm512_setzero_si512(), b1 = b0;
        if constexpr (kWithBase) {
            b0 = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(base + 2 * i)));
            b1 = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(base + 2 * i + 32)));
        }
        const __m512i v0 = sixteen<kWithBase>(t, b0, first, word, p.raw_bits.data(), bit);
        const __m512i v1 = sixteen<kWithBase>(t, b1, second, word, p.raw_bits.data(), bit);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(raw + 2 * i), _mm512_cvtepi32_epi16(v0));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(raw + 2 * i + 32), _mm512_cvtepi32_epi16(v1));
    }
    _mm512_storeu_si512(at.state.data(), first);
    _mm512_storeu_si512(at.state.data() + 16, second);
    at.word = word;
    at.bit = bit;
    at.weight = i;
}

}  // namespace

bool bulk_decoder_fits(const Payload& payload) { return g_allowed && payload.layout.bytes == 2 && payload.lanes == 32 && cpu_fits(); }

void decode_bulk(const Payload& payload, const DecodeTables& tables, const std::byte* base, std::byte* raw, std::size_t n, DecodePosition& at) {
    std::vector<std::uint32_t> symbols(tables.symbols.size()), contexts(tables.context_of.begin(), tables.context_of.end());
    for (std::size_t i = 0; i < symbols.size(); ++i) {
        const DecodeTables::Symbol s = tables.symbols[i];
        symbols[i] = (s.start & 0xffffu) | static_cast<std::uint32_t>(s.raw_bits) << 16 | (tables.anchored[i >> 8] != 0 ? 1u << 31 : 0);
    }
    const Tables t{tables.slots.data(), symbols.data(), contexts.data(), payload.precision, payload.layout.mantissa, payload.layout.dropped, payload.layout.sign_mask()};
    if (base != nullptr) rounds<true>(t, payload, base, raw, n, at);
    else rounds<false>(t, payload, nullptr, raw, n, at);
}

#else

bool bulk_decoder_fits(const Payload&) { return false; }
void decode_bulk(const Payload&, const DecodeTables&, const std::byte*, std::byte*, std::size_t, DecodePosition&) {}

#endif

}  // namespace tenpak::delta
