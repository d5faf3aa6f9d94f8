// SPDX-License-Identifier: Apache-2.0
// Rounds of weights of 16 or 32 bits with any vector width (Highway): states in 32-bit lanes, everything that depends on
// context or symbol is gathered. Included once a target by weight_decode_bulk.cpp.
#if defined(TENPAK_DECODE_VECTOR_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TENPAK_DECODE_VECTOR_INL
#undef TENPAK_DECODE_VECTOR_INL
#else
#define TENPAK_DECODE_VECTOR_INL
#endif

#include <hwy/highway.h>

#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "core/delta/weight_decode_bulk.h"
#include "core/delta/weight_decode_tables.h"

#if HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace tenpak::delta {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<std::uint32_t, 16>;
using V = hn::Vec<D>;
constexpr std::size_t kN = HWY_MAX_BYTES / 4;  // states in a vector

/// [mask of lanes][lane]: which of the next words the lane takes.
struct Places {
    alignas(64) std::uint8_t of[256][8];
    constexpr Places() : of() {
        for (unsigned mask = 0; mask < 256; ++mask)
            for (unsigned lane = 0, next = 0; lane < 8; ++lane) of[mask][lane] = static_cast<std::uint8_t>((mask >> lane & 1u) != 0 ? next++ : 0);
    }
};
inline constexpr Places kPlaces;

/// States below 2^16 take the next words, in the order of the weights.
HWY_INLINE V RefillLanes(D d, V x, const std::byte*& word) {
    const hn::Rebind<std::uint16_t, D> half;
    const auto low = hn::Eq(hn::ShiftRight<16>(x), hn::Zero(d));
    const V words = hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const std::uint16_t*>(word)));
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
    const V spread{_mm512_maskz_expand_epi32(low.raw, words.raw)};
    const unsigned mask = low.raw;
#else
    std::uint8_t bytes[8] = {};
    hn::StoreMaskBits(d, low, bytes);
    const unsigned mask = bytes[0];
    const hn::Rebind<std::uint8_t, D> quarter;
    const V spread = hn::TableLookupLanes(words, hn::IndicesFromVec(d, hn::PromoteTo(d, hn::LoadU(quarter, kPlaces.of[mask]))));
#endif
    word += 2 * std::popcount(mask);
    return hn::IfThenElse(low, hn::Or(hn::ShiftLeft<16>(x), spread), x);
}

template <class Word>
HWY_INLINE V LoadWeights(D d, const std::byte* p) {
    if constexpr (sizeof(Word) == 4) return hn::LoadU(d, reinterpret_cast<const std::uint32_t*>(p));
    else return hn::PromoteTo(d, hn::LoadU(hn::Rebind<std::uint16_t, D>(), reinterpret_cast<const std::uint16_t*>(p)));
}
template <class Word>
HWY_INLINE void StoreWeights(D d, V v, std::byte* p) {
    if constexpr (sizeof(Word) == 4) {
        hn::StoreU(v, d, reinterpret_cast<std::uint32_t*>(p));
    } else {
        const hn::Rebind<std::uint16_t, D> half;
        hn::StoreU(hn::TruncateTo(half, v), half, reinterpret_cast<std::uint16_t*>(p));
    }
}
HWY_INLINE V Look(D d, const std::uint32_t* table, V index) { return hn::GatherIndex(d, table, hn::BitCast(hn::RebindToSigned<D>(), index)); }

template <class Word, KeyKind kKeys>
HWY_NOINLINE void VectorRounds(const BulkTables& t, const BulkInput& in, DecodePosition& at) {
    constexpr bool kPredicted = kKeys != KeyKind::kNone;
    const D d;
    const std::size_t n = in.weights;
    constexpr std::size_t lanes = kRound;
    const int precision = static_cast<int>(t.precision), dropped = static_cast<int>(t.dropped), mantissa = static_cast<int>(t.mantissa - t.dropped);
    const V sign = hn::Set(d, t.sign), magnitude = hn::Set(d, t.sign - 1), slot_mask = hn::Set(d, (1u << t.precision) - 1), one = hn::Set(d, 1u), zero = hn::Zero(d);
    const V most = hn::Set(d, kRawStep);
    alignas(64) std::array<std::uint32_t, kMaxLanes> states;
    alignas(64) std::array<std::uint32_t, kRound> info_of, value, bits_of, predicted;
    std::memcpy(states.data(), at.state.data(), 4 * t.lanes);
    const std::byte* word = at.word;
    std::size_t i = at.weight;
    for (; i + lanes <= n && word <= in.limit; i += lanes) {
        std::uint32_t* const state = states.data() + i % t.lanes;
        for (std::size_t j = 0; j < lanes; j += kN) {
            V context = zero, mirror = zero;
            if constexpr (kPredicted) {
                const V b = hn::ShiftRightSame(LoadWeights<Word>(d, in.predicted + (i + j) * sizeof(Word)), dropped);
                hn::Store(b, d, predicted.data() + j);
                V key;
                if constexpr (kKeys == KeyKind::kGiven) {
                    const V k = hn::PromoteTo(d, hn::LoadU(hn::Rebind<std::uint8_t, D>(), in.keys + i + j));
                    key = hn::And(k, hn::Set(d, kKeyRange - 1));
                    mirror = hn::ShiftRight<7>(k);
                } else {
                    key = hn::ShiftRightSame(hn::And(b, magnitude), mantissa);
                }
                context = Look(d, t.context32.data(), key);
            }
            const V x = hn::Load(d, state + j);
            const V slot = Look(d, t.slots, hn::Or(hn::ShiftLeftSame(context, precision), hn::And(x, slot_mask)));
            const V frequency = hn::And(slot, hn::Set(d, 0xfffu));
            const V next = hn::Add(hn::Mul(frequency, hn::ShiftRightSame(x, precision)), hn::ShiftRight<20>(slot));
            hn::Store(RefillLanes(d, next, word), d, state + j);
            const V code = hn::And(hn::ShiftRight<12>(slot), hn::Set(d, 0xffu));
            V info = Look(d, t.info.data(), code);
            // A mirrored weight's sign is turned where its symbol has no sign change.
            if constexpr (kKeys == KeyKind::kGiven) info = hn::Xor(info, hn::ShiftLeft<8>(hn::And(hn::ShiftRight<9>(info), mirror)));
            hn::Store(info, d, info_of.data() + j);
            hn::Store(hn::And(info, hn::Set(d, 31u)), d, bits_of.data() + j);
            hn::Store(Look(d, t.begin.data(), code), d, value.data() + j);
        }
        for (std::size_t j = 0; j < lanes; j += kN) {
            const V x = hn::Load(d, state + j), count = hn::Min(hn::Load(d, bits_of.data() + j), most);
            const V raw = hn::And(x, hn::Sub(hn::Shl(one, count), one));
            hn::Store(hn::Add(hn::Load(d, value.data() + j), raw), d, value.data() + j);
            hn::Store(RefillLanes(d, hn::Shr(x, count), word), d, state + j);
        }
        if (t.any_long) {
            for (std::size_t j = 0; j < lanes; j += kN) {
                const V x = hn::Load(d, state + j), all = hn::Load(d, bits_of.data() + j), count = hn::Sub(hn::Max(all, most), most);
                const V raw = hn::ShiftLeft<kRawStep>(hn::And(x, hn::Sub(hn::Shl(one, count), one)));
                hn::Store(hn::Add(hn::Load(d, value.data() + j), raw), d, value.data() + j);
                hn::Store(RefillLanes(d, hn::Shr(x, count), word), d, state + j);
            }
        }
        for (std::size_t j = 0; j < lanes; j += kN) {
            V v = hn::Load(d, value.data() + j);
            const V info = hn::Load(d, info_of.data() + j);
            const V negative = hn::Sub(zero, hn::And(hn::ShiftRight<8>(info), one));  // all bits or none
            v = hn::Sub(hn::Xor(v, negative), negative);
            if constexpr (kPredicted) {
                const V b = hn::Load(d, predicted.data() + j), absolute = hn::Sub(zero, hn::And(hn::ShiftRight<10>(info), one));
                v = hn::Xor(hn::Add(v, hn::AndNot(absolute, hn::And(b, magnitude))), hn::And(b, sign));
            }
            StoreWeights<Word>(d, hn::ShiftLeftSame(v, dropped), in.raw + (i + j) * sizeof(Word));
        }
    }
    std::memcpy(at.state.data(), states.data(), 4 * t.lanes);
    at.word = word;
    at.weight = i;
}

template <class Word>
void RunVectorOf(const BulkTables& t, const BulkInput& in, DecodePosition& at) {
    if (t.keys == KeyKind::kNone) VectorRounds<Word, KeyKind::kNone>(t, in, at);
    else if (t.keys == KeyKind::kExponent) VectorRounds<Word, KeyKind::kExponent>(t, in, at);
    else VectorRounds<Word, KeyKind::kGiven>(t, in, at);
}

inline void RunVector(const BulkTables& t, const BulkInput& in, DecodePosition& at) {
    if (t.bytes == 2) RunVectorOf<std::uint16_t>(t, in, at);
    else RunVectorOf<std::uint32_t>(t, in, at);
}

}  // namespace HWY_NAMESPACE
}  // namespace tenpak::delta
HWY_AFTER_NAMESPACE();
#endif

#endif
