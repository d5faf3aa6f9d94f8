// SPDX-License-Identifier: Apache-2.0
// Rounds of 16-bit weights with AVX-512, all in 16-bit lanes: a state's high and low half lie in two vectors, so that a
// refill is a move and an expand. One look-up in memory a weight, the slot; contexts and symbols come from register
// permutes. Included once a target by weight_decode_bulk.cpp.
//
// With 128 states, four groups of 32, the slots are looked up by scalar loads between two other groups' arithmetic, and
// pass through memory both ways: each step has long been done when the next one needs it. That is 1.6 times as fast as
// gathers (Zen 4), which are microcode and fill the reorder buffer while they wait. With fewer groups the way through
// memory would be waited for, and gathers are as good.
#if defined(TENPAK_DECODE_AVX512_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TENPAK_DECODE_AVX512_INL
#undef TENPAK_DECODE_AVX512_INL
#else
#define TENPAK_DECODE_AVX512_INL
#endif

#include <hwy/highway.h>

#include <cstring>

#include "core/delta/weight_decode_bulk.h"
#include "core/delta/weight_decode_tables.h"
#include "core/delta/weight_decode_vector-inl.h"

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
HWY_BEFORE_NAMESPACE();
namespace tenpak::delta {
namespace HWY_NAMESPACE {

constexpr __mmask32 kOddWords = 0xaaaaaaaau;

HWY_INLINE __m512i Load(const void* p) { return _mm512_loadu_si512(p); }

/// Low (high) halves of 32-bit lanes: those of `even` and `odd` in turn.
HWY_INLINE __m512i LowHalves(__m512i even, __m512i odd) { return _mm512_mask_blend_epi16(kOddWords, even, _mm512_slli_epi32(odd, 16)); }
HWY_INLINE __m512i HighHalves(__m512i even, __m512i odd) { return _mm512_mask_blend_epi16(kOddWords, _mm512_srli_epi32(even, 16), odd); }

/// Thirty-two states.
struct States {
    __m512i high, low;
};

/// The low halves of states shifted right by n < 16.
HWY_INLINE __m512i ShiftedLow(const States& x, __m512i n) {
#if HWY_TARGET == HWY_AVX3_DL
    return _mm512_shrdv_epi16(x.low, x.high, n);
#else
    return _mm512_or_si512(_mm512_srlv_epi16(x.low, n), _mm512_sllv_epi16(x.high, _mm512_sub_epi16(_mm512_set1_epi16(16), n)));
#endif
}

/// States below 2^16 take the next words, in the order of the weights.
HWY_INLINE void Refill(States& x, const std::byte*& word) {
    const __mmask32 take = _mm512_testn_epi16_mask(x.high, x.high);
    x.high = _mm512_mask_mov_epi16(x.high, take, x.low);
#if HWY_TARGET == HWY_AVX3_DL
    x.low = _mm512_mask_expand_epi16(x.low, take, Load(word));
#else
    const auto first = static_cast<__mmask16>(take), second = static_cast<__mmask16>(take >> 16);
    const std::byte* const rest = word + 2 * static_cast<unsigned>(__builtin_popcount(first));
    const __m512i a = _mm512_maskz_expand_epi32(first, _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(word))));
    const __m512i b = _mm512_maskz_expand_epi32(second, _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(rest))));
    const __m512i words = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(a)), _mm512_cvtepi32_epi16(b), 1);
    x.low = _mm512_mask_mov_epi16(x.low, take, words);
#endif
    word += 2 * static_cast<unsigned>(__builtin_popcount(take));
}

/// A table of kEntries 16-bit values at index (whose higher bits are of no meaning).
template <unsigned kEntries>
HWY_INLINE __m512i Lookup(const std::uint16_t* table, __m512i index, __mmask32 bit6, __mmask32 bit7) {
    const __m512i low = _mm512_permutex2var_epi16(Load(table), index, Load(table + 32));
    if constexpr (kEntries == 64) return low;
    const __m512i half = _mm512_mask_mov_epi16(low, bit6, _mm512_permutex2var_epi16(Load(table + 64), index, Load(table + 96)));
    if constexpr (kEntries == 128) return half;
    const __m512i third = _mm512_permutex2var_epi16(Load(table + 128), index, Load(table + 160));
    const __m512i fourth = _mm512_permutex2var_epi16(Load(table + 192), index, Load(table + 224));
    return _mm512_mask_mov_epi16(half, bit7, _mm512_mask_mov_epi16(third, bit6, fourth));
}

/// kKeyEntries: entries of the context table, 64, 128 or 256. kIntervals: distinct intervals, at most.
template <KeyKind kKeys, unsigned kKeyEntries, unsigned kIntervals, unsigned kGroups>
HWY_NOINLINE void Rounds(const BulkTables& t, const BulkInput& in, DecodePosition& at) {
    constexpr bool kPredicted = kKeys != KeyKind::kNone;
    const std::byte* word = at.word;
    const std::byte* const limit = in.limit;
    const std::byte* const predicted_bytes = in.predicted;
    const std::uint32_t* const slots = t.slots;
    std::byte* const raw = in.raw;
    std::size_t i = at.weight;
    const std::size_t n = in.weights;

    States x[kGroups];
    for (unsigned g = 0; g < kGroups; ++g) {
        alignas(64) std::uint16_t high[32], low[32];
        for (unsigned lane = 0; lane < 32; ++lane) {
            high[lane] = static_cast<std::uint16_t>(at.state[32 * g + lane] >> 16);
            low[lane] = static_cast<std::uint16_t>(at.state[32 * g + lane]);
        }
        x[g] = {Load(high), Load(low)};
    }
    const __m128i precision = _mm_cvtsi32_si128(static_cast<int>(t.precision)), dropped = _mm_cvtsi32_si128(static_cast<int>(t.dropped)),
                  mantissa = _mm_cvtsi32_si128(static_cast<int>(t.mantissa));
    const __m512i precisions = _mm512_set1_epi16(static_cast<short>(t.precision));
    const __m512i slot_mask = _mm512_set1_epi16(static_cast<short>((1 << t.precision) - 1)), low12 = _mm512_set1_epi16(0xfff), low16 = _mm512_set1_epi32(0xffff);
    const __m512i kept_bits = _mm512_set1_epi16(static_cast<short>(0xffffu << t.dropped)), sign = _mm512_set1_epi16(static_cast<short>(0x8000));
    const __m512i first_key = _mm512_set1_epi16(static_cast<short>(t.first_key)), last_entry = _mm512_set1_epi16(static_cast<short>(t.last_entry));
    const __m512i ones = _mm512_set1_epi16(-1), bit6 = _mm512_set1_epi16(0x40), bit7 = _mm512_set1_epi16(0x80), bit14 = _mm512_set1_epi16(0x4000);
    const __m512i count_mask = _mm512_set1_epi16(31), all_bits = _mm512_set1_epi16(static_cast<short>(t.info16[0] & 31));

    constexpr bool kGather = kGroups < 4;
    __m512i even[kGroups], odd[kGroups], prediction[kGroups];
    __mmask32 mirror[kGroups];
    alignas(64) std::uint16_t places[kGroups][32];
    alignas(64) std::uint32_t found[kGroups][32];  // even ones, odd ones
    const auto locate = [&](unsigned g, std::size_t weight) HWY_ATTR {
        __m512i place = _mm512_and_si512(x[g].low, slot_mask);
        mirror[g] = 0;
        if constexpr (kPredicted) {
            prediction[g] = Load(predicted_bytes + 2 * weight);
            __m512i key;
            __mmask32 key_bit6 = 0, key_bit7 = 0;
            if constexpr (kKeys == KeyKind::kGiven) {
                key = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(in.keys + weight)));
                mirror[g] = _mm512_test_epi16_mask(key, bit7);
            } else {
                key = _mm512_srl_epi16(_mm512_andnot_si512(sign, prediction[g]), mantissa);
                if constexpr (kKeyEntries == 64) key = _mm512_min_epu16(_mm512_subs_epu16(key, first_key), last_entry);
            }
            if constexpr (kKeyEntries >= 128) key_bit6 = _mm512_test_epi16_mask(key, bit6);
            if constexpr (kKeyEntries == 256) key_bit7 = _mm512_test_epi16_mask(key, bit7);
            place = _mm512_or_si512(place, _mm512_sll_epi16(Lookup<kKeyEntries>(t.context.data(), key, key_bit6, key_bit7), precision));
        }
        if constexpr (kGather) {
            even[g] = _mm512_i32gather_epi32(_mm512_and_si512(place, low16), slots, 4);
            odd[g] = _mm512_i32gather_epi32(_mm512_srli_epi32(place, 16), slots, 4);
        } else {
            _mm512_store_si512(places[g], place);
        }
    };
    const auto look_up = [&](unsigned g) HWY_ATTR {
        for (unsigned k = 0; k < 8; ++k) {
            std::uint64_t four;
            std::memcpy(&four, places[g] + 4 * k, 8);
            found[g][2 * k] = slots[four & 0xffffu];
            found[g][16 + 2 * k] = slots[four >> 16 & 0xffffu];
            found[g][2 * k + 1] = slots[four >> 32 & 0xffffu];
            found[g][17 + 2 * k] = slots[four >> 48];
            __asm__ volatile("" : : : "memory");  // one by one: put together in registers they would cost more
        }
    };
    const auto finish = [&](unsigned g, std::size_t weight) HWY_ATTR {
        if constexpr (!kGather) {
            even[g] = Load(found[g]);
            odd[g] = Load(found[g] + 16);
        }
        const __m512i low = LowHalves(even[g], odd[g]), high = HighHalves(even[g], odd[g]);
        // Bits 0-7: the code; above them parts of the place.
#if HWY_TARGET == HWY_AVX3_DL
        const __m512i code = _mm512_shrdi_epi16(low, high, 12);
#else
        const __m512i code = _mm512_or_si512(_mm512_srli_epi16(low, 12), _mm512_slli_epi16(high, 4));
#endif
        // state = frequency x (state >> precision) + place, halves apart.
        const __m512i frequency = _mm512_and_si512(low, low12), from = _mm512_srli_epi16(high, 4);
        const __m512i quotient = ShiftedLow(x[g], precisions), quotient_high = _mm512_srl_epi16(x[g].high, precision);
        const __m512i sum = _mm512_add_epi16(_mm512_mullo_epi16(frequency, quotient), from);
        const __m512i upper = _mm512_add_epi16(_mm512_mulhi_epu16(frequency, quotient), _mm512_mullo_epi16(frequency, quotient_high));
        x[g].high = _mm512_mask_sub_epi16(upper, _mm512_cmplt_epu16_mask(sum, from), upper, ones);
        x[g].low = sum;
        Refill(x[g], word);

        const __mmask32 code_bit7 = _mm512_test_epi16_mask(code, bit7);
        __mmask32 code_bit6 = 0;
        if constexpr (kIntervals > 64) code_bit6 = _mm512_test_epi16_mask(code, bit6);
        const __m512i begin = Lookup<kIntervals>(t.begin16.data(), code, code_bit6, code_bit7);
        __m512i count = all_bits, anchor = _mm512_setzero_si512();  // without a prediction: one context, one detail
        __mmask32 negative = 0;
        if constexpr (kPredicted) {
            const __m512i info = Lookup<kIntervals>(t.info16.data(), code, code_bit6, code_bit7);
            count = _mm512_and_si512(info, count_mask);
            negative = code_bit7;
            if constexpr (kKeys == KeyKind::kGiven) negative ^= mirror[g] & _mm512_testn_epi16_mask(info, bit14);
            anchor = _mm512_mask_mov_epi16(prediction[g], _mm512_movepi16_mask(info), _mm512_and_si512(prediction[g], sign));
        }
        __m512i v = _mm512_add_epi16(begin, _mm512_andnot_si512(_mm512_sllv_epi16(ones, count), x[g].low));
        x[g].low = ShiftedLow(x[g], count);
        x[g].high = _mm512_srlv_epi16(x[g].high, count);
        Refill(x[g], word);
        if constexpr (kPredicted) v = _mm512_mask_sub_epi16(v, negative, _mm512_setzero_si512(), v);
        v = _mm512_sll_epi16(v, dropped);
        if constexpr (kPredicted) v = _mm512_add_epi16(v, _mm512_and_si512(anchor, kept_bits));
        _mm512_storeu_si512(raw + 2 * weight, v);
    };
    constexpr std::size_t kStep = 32 * kGroups;
    if (i + kStep <= n && word <= limit) {
        for (unsigned g = 0; g < kGroups; ++g) locate(g, i + 32 * g);
        for (unsigned g = 0; !kGather && g < kGroups / 2; ++g) look_up(g);
        while (i + kStep <= n && word <= limit) {
            const std::size_t next = i + 2 * kStep <= n ? i + kStep : i;  // behind the last one: some weights, not used
            for (unsigned g = 0; g < kGroups; ++g) {
                if constexpr (kPredicted) _mm_prefetch(reinterpret_cast<const char*>(predicted_bytes + 2 * i + 4096 + 64 * g), _MM_HINT_T0);
                __builtin_prefetch(raw + 2 * i + 2048 + 64 * g, 1);
            }
            for (unsigned g = 0; g < kGroups; ++g) {
                finish(g, i + 32 * g);
                locate(g, next + 32 * g);
                if constexpr (!kGather) look_up((g + kGroups / 2) % kGroups);
            }
            i += kStep;
        }
    }
    for (unsigned g = 0; g < kGroups; ++g) {
        alignas(64) std::uint16_t high[32], low[32];
        _mm512_store_si512(high, x[g].high);
        _mm512_store_si512(low, x[g].low);
        for (unsigned lane = 0; lane < 32; ++lane) at.state[32 * g + lane] = static_cast<std::uint32_t>(high[lane]) << 16 | low[lane];
    }
    at.word = word;
    at.weight = i;
}

template <KeyKind kKeys, unsigned kKeyEntries, unsigned kIntervals>
void RunWith(const BulkTables& t, const BulkInput& in, DecodePosition& at) {
    if (t.lanes == 128) Rounds<kKeys, kKeyEntries, kIntervals, 4>(t, in, at);
    else if (t.lanes == 64) Rounds<kKeys, kKeyEntries, kIntervals, 2>(t, in, at);
    else RunVector(t, in, at);
}
template <KeyKind kKeys, unsigned kKeyEntries>
void RunKeys(const BulkTables& t, const BulkInput& in, DecodePosition& at) {
    t.intervals <= 64 ? RunWith<kKeys, kKeyEntries, 64>(t, in, at) : RunWith<kKeys, kKeyEntries, 128>(t, in, at);
}

inline void RunAvx512(const BulkTables& t, const BulkInput& in, DecodePosition& at) {
    if (t.keys == KeyKind::kNone) RunWith<KeyKind::kNone, 64, 256>(t, in, at);
    else if (t.keys == KeyKind::kGiven) RunKeys<KeyKind::kGiven, 128>(t, in, at);
    else if (t.last_entry < 64) RunKeys<KeyKind::kExponent, 64>(t, in, at);
    else RunKeys<KeyKind::kExponent, 256>(t, in, at);
}

}  // namespace HWY_NAMESPACE
}  // namespace tenpak::delta
HWY_AFTER_NAMESPACE();
#endif

#endif
