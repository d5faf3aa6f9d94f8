// SPDX-License-Identifier: Apache-2.0
#include "core/delta/low_rank_kernels.h"

#include <atomic>
#include <cstring>

#include "core/delta/low_rank_weight.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/delta/low_rank_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tenpak::delta {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void PredictPiece(const PredictJob& job) { predict_piece_plain(job); }

#else

using F32 = hn::ScalableTag<float>;
using I32 = hn::RebindToSigned<F32>;
using F64 = hn::ScalableTag<double>;
using HalfF = hn::Half<F32>;
using HalfI = hn::Half<I32>;
using VF = hn::Vec<F32>;
using VI = hn::Vec<I32>;
using VD = hn::Vec<F64>;

HWY_INLINE VI Bits(VF v) { return hn::BitCast(I32(), v); }
HWY_INLINE VF Float(VI v) { return hn::BitCast(F32(), v); }
HWY_INLINE VD LowDouble(VF v) { return hn::PromoteTo(F64(), hn::LowerHalf(HalfF(), v)); }
HWY_INLINE VD HighDouble(VF v) { return hn::PromoteTo(F64(), hn::UpperHalf(HalfF(), v)); }
HWY_INLINE VF Single(VD low, VD high) {
    return hn::Combine(F32(), hn::DemoteTo(HalfF(), high), hn::DemoteTo(HalfF(), low));
}

/// Finite or infinite fp32 bits to bf16 bits (half.h: float_to_bf16).
HWY_INLINE VI RoundBf16(VI u) {
    const I32 d;
    const auto odd = hn::And(hn::ShiftRight<16>(u), hn::Set(d, 1));
    return hn::And(hn::ShiftRight<16>(hn::Add(u, hn::Add(odd, hn::Set(d, 0x7fff)))), hn::Set(d, 0xffff));
}
/// The same to fp16 bits (half.h: float_to_fp16).
HWY_INLINE VI RoundFp16(VI u) {
    const I32 d;
    const auto a = hn::And(u, hn::Set(d, 0x7fffffff));
    const auto sign = hn::And(hn::ShiftRight<16>(u), hn::Set(d, 0x8000));
    const auto small = hn::Sub(Bits(hn::Add(Float(a), hn::Set(F32(), 0.5f))), hn::Set(d, 0x3f000000));
    const auto odd = hn::And(hn::ShiftRight<13>(a), hn::Set(d, 1));
    const auto normal = hn::ShiftRight<13>(hn::Add(hn::Sub(a, hn::Set(d, 0x38000000 - 0xfff)), odd));
    auto r = hn::IfThenElse(hn::Lt(a, hn::Set(d, 0x38800000)), small, normal);
    r = hn::IfThenElse(hn::Gt(a, hn::Set(d, 0x477fffff)), hn::Set(d, 0x7c00), r);
    return hn::Or(r, sign);
}
HWY_INLINE VF FromBf16(VI h) { return Float(hn::ShiftLeft<16>(h)); }
/// Finite fp16 bits (half.h: fp16_to_float).
HWY_INLINE VF FromFp16(VI h) {
    const I32 d;
    const auto a = hn::And(h, hn::Set(d, 0x7fff));
    const auto sign = hn::ShiftLeft<16>(hn::And(h, hn::Set(d, 0x8000)));
    const auto normal = hn::Add(hn::ShiftLeft<13>(a), hn::Set(d, 112 << 23));
    const auto small = Bits(hn::Mul(hn::ConvertTo(F32(), a), hn::Set(F32(), 0x1p-24f)));
    return Float(hn::Or(hn::IfThenElse(hn::Lt(a, hn::Set(d, 0x400)), small, normal), sign));
}

struct Sums {
    VD low, high;
};

template <FloatKind kKind>
HWY_INLINE void Finish(const PredictJob& job, Sums s, VI base, VI& predicted, VI& key) {
    const I32 d;
    const F32 df;
    constexpr std::int32_t kInfinite = kKind == FloatKind::kBf16   ? 0x7f80
                                       : kKind == FloatKind::kFp16 ? 0x7c00
                                                                   : 0x7f800000;
    constexpr std::int32_t kMagnitude = kKind == FloatKind::kFp32 ? 0x7fffffff : 0x7fff;
    constexpr std::int32_t kMantissa = static_cast<std::int32_t>(mantissa_bits(kKind));
    const auto scale = hn::Set(F64(), job.scale);
    s.low = hn::Mul(s.low, scale);
    s.high = hn::Mul(s.high, scale);
    if (job.merge != MergeRounding::kNone) {
        const VI u = Bits(Single(s.low, s.high));
        const VF r = job.merge == MergeRounding::kBf16 ? FromBf16(RoundBf16(u)) : FromFp16(RoundFp16(u));
        s.low = LowDouble(r);
        s.high = HighDouble(r);
    }
    const VF b = kKind == FloatKind::kBf16 ? FromBf16(base) : kKind == FloatKind::kFp16 ? FromFp16(base) : Float(base);
    const VD low = hn::Add(LowDouble(b), s.low), high = hn::Add(HighDouble(b), s.high);
    const VF f = Single(low, high);
    const VI u = Bits(f);
    const VI p = kKind == FloatKind::kBf16 ? RoundBf16(u) : kKind == FloatKind::kFp16 ? RoundFp16(u) : u;
    const auto stays = hn::Gt(hn::And(base, hn::Set(d, kMagnitude)), hn::Set(d, kInfinite - 1));
    predicted = hn::IfThenElse(stays, base, p);
    if (job.keys == nullptr) return;
    const auto magnitude_mask = hn::Set(d, 0x7fffffff);
    VF over;
    if constexpr (kKind == FloatKind::kFp32) {
        over = Single(hn::Sub(hn::Abs(low), hn::Abs(LowDouble(f))), hn::Sub(hn::Abs(high), hn::Abs(HighDouble(f))));
    } else {
        const VF g = kKind == FloatKind::kBf16 ? FromBf16(p) : FromFp16(p);
        over = hn::Sub(Float(hn::And(u, magnitude_mask)), Float(hn::And(Bits(g), magnitude_mask)));
    }
    const VI field = hn::And(hn::ShiftRight<23>(u), hn::Set(d, 0xff));
    const VI unit = hn::Max(hn::Sub(field, hn::Set(d, kMantissa)), hn::Set(d, kKind == FloatKind::kFp16 ? 103 : 2));
    const VF half = Float(hn::ShiftLeft<23>(hn::Sub(unit, hn::Set(d, 1))));
    const VF distance = hn::Max(hn::Sub(half, Float(hn::And(Bits(over), magnitude_mask))), hn::Zero(df));
    const VI level = hn::ShiftRight<21>(Bits(distance));
    const VI noise = hn::Set(d, job.noise), zero = hn::Zero(d);
    const VI unit4 = hn::ShiftLeft<2>(unit);
    const VI octave = hn::Add(hn::Sub(noise, unit4), hn::Set(d, 7));
    const VI far = hn::Min(hn::Max(hn::Add(hn::Sub(level, noise), hn::Set(d, 7)), zero), hn::Set(d, 15));
    const VI o = hn::ShiftRight<2>(octave);
    const VI near = hn::Add(
        hn::ShiftLeft<3>(o),
        hn::Add(hn::Set(d, 16), hn::Min(hn::Max(hn::Add(hn::Sub(level, unit4), hn::Set(d, 11)), zero), hn::Set(d, 7))));
    const VI below = hn::Add(hn::Set(d, 40 - 3), hn::Min(o, hn::Set(d, 18)));
    VI c = hn::IfThenElse(hn::Lt(o, hn::Set(d, 3)), near, below);
    c = hn::IfThenElse(hn::Lt(octave, zero), far, c);
    c = hn::Or(c, hn::IfThenElseZero(hn::RebindMask(d, hn::Lt(over, hn::Zero(df))), hn::Set(d, 128)));
    const auto infinite = hn::Gt(hn::And(predicted, hn::Set(d, kMagnitude)), hn::Set(d, kInfinite - 1));
    key = hn::IfThenElse(infinite, zero, c);
}

template <FloatKind kKind>
HWY_INLINE VI LoadBase(const std::byte* p) {
    const I32 d;
    if constexpr (kKind == FloatKind::kFp32) {
        return hn::LoadU(d, reinterpret_cast<const std::int32_t*>(p));
    } else {
        return hn::PromoteTo(d, hn::LoadU(hn::Rebind<std::uint16_t, I32>(), reinterpret_cast<const std::uint16_t*>(p)));
    }
}

template <FloatKind kKind>
HWY_INLINE void StoreOut(const PredictJob& job, std::byte* p, VI predicted, std::uint8_t* keys, VI key) {
    const I32 d;
    if constexpr (kKind == FloatKind::kFp32) {
        hn::StoreU(predicted, d, reinterpret_cast<std::int32_t*>(p));
    } else {
        const hn::Rebind<std::uint16_t, I32> d16;
        hn::StoreU(hn::DemoteTo(d16, predicted), d16, reinterpret_cast<std::uint16_t*>(p));
    }
    if (job.keys == nullptr) return;
    const hn::Rebind<std::uint8_t, I32> d8;
    hn::StoreU(hn::DemoteTo(d8, key), d8, keys);
}

/// The products of kVectors vectors of columns.
template <int kVectors>
HWY_INLINE void Products(const PredictJob& job, const std::int32_t* v, Sums* sums) {
    const I32 d;
    const hn::Repartition<std::int16_t, I32> d16;
    const std::size_t lanes = hn::Lanes(d);
    for (std::uint32_t first = 0; first < job.pairs; first += job.group) {
        const std::uint32_t end = job.pairs - first < job.group ? job.pairs : first + job.group;
        VI even[kVectors], odd[kVectors];
        for (int i = 0; i < kVectors; ++i) even[i] = odd[i] = hn::Zero(d);
        for (std::uint32_t k = first; k < end; ++k) {
            const auto u = hn::BitCast(d16, hn::Set(d, job.u[k]));
            const std::int32_t* from = v + k * job.stride;
            for (int i = 0; i < kVectors; ++i)
                even[i] = hn::ReorderWidenMulAccumulate(
                    d, u, hn::BitCast(d16, hn::LoadU(d, from + static_cast<std::size_t>(i) * lanes)), even[i], odd[i]);
        }
        for (int i = 0; i < kVectors; ++i) {
            const VI sum = hn::RearrangeToOddPlusEven(even[i], odd[i]);
            const VD low = hn::PromoteTo(F64(), hn::LowerHalf(HalfI(), sum)),
                     high = hn::PromoteTo(F64(), hn::UpperHalf(HalfI(), sum));
            sums[i].low = first == 0 ? low : hn::Add(sums[i].low, low);
            sums[i].high = first == 0 ? high : hn::Add(sums[i].high, high);
        }
    }
}

template <FloatKind kKind, int kVectors>
HWY_INLINE void Columns(const PredictJob& job, std::size_t j) {
    const std::size_t lanes = hn::Lanes(I32());
    constexpr std::size_t kBytes = kKind == FloatKind::kFp32 ? 4 : 2;
    Sums sums[kVectors];
    Products<kVectors>(job, job.v + j, sums);
    for (int i = 0; i < kVectors; ++i) {
        const std::size_t at = j + static_cast<std::size_t>(i) * lanes;
        VI predicted, key = hn::Zero(I32());
        Finish<kKind>(job, sums[i], LoadBase<kKind>(job.base + at * kBytes), predicted, key);
        StoreOut<kKind>(job, job.predicted + at * kBytes, predicted, job.keys == nullptr ? nullptr : job.keys + at,
                        key);
    }
}

template <FloatKind kKind>
HWY_INLINE void Piece(const PredictJob& job) {
    const std::size_t lanes = hn::Lanes(I32());
    std::size_t j = 0;
    for (; j + 2 * lanes <= job.columns; j += 2 * lanes) Columns<kKind, 2>(job, j);
    for (; j + lanes <= job.columns; j += lanes) Columns<kKind, 1>(job, j);
    if (j == job.columns) return;
    // The last ones through buffers: v is readable beyond the piece, base and output are not.
    constexpr std::size_t kBytes = kKind == FloatKind::kFp32 ? 4 : 2, kMost = HWY_MAX_BYTES / 4;
    std::byte in[kMost * 4] = {}, out[kMost * 4];
    std::uint8_t keys[kMost];
    const std::size_t n = job.columns - j;
    std::memcpy(in, job.base + j * kBytes, n * kBytes);
    PredictJob last = job;
    last.v = job.v + j;
    last.base = in;
    last.predicted = out;
    last.keys = job.keys == nullptr ? nullptr : keys;
    Columns<kKind, 1>(last, 0);
    std::memcpy(job.predicted + j * kBytes, out, n * kBytes);
    if (job.keys != nullptr) std::memcpy(job.keys + j, keys, n);
}

void PredictPiece(const PredictJob& job) {
    switch (job.kind) {
        case FloatKind::kBf16:
            return Piece<FloatKind::kBf16>(job);
        case FloatKind::kFp16:
            return Piece<FloatKind::kFp16>(job);
        case FloatKind::kFp32:
            return Piece<FloatKind::kFp32>(job);
    }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace tenpak::delta
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenpak::delta {

HWY_EXPORT(PredictPiece);

namespace {
std::atomic<bool> g_vector{true};
}  // namespace

void allow_vector_prediction(bool allow) { g_vector = allow; }

void predict_piece_plain(const PredictJob& job) {
    const bool wide = job.kind == FloatKind::kFp32;
    for (std::size_t j = 0; j < job.columns; ++j) {
        std::int64_t sum = 0;
        for (std::uint32_t k = 0; k < job.pairs; ++k) {
            const auto u = static_cast<std::uint32_t>(job.u[k]),
                       v = static_cast<std::uint32_t>(job.v[k * job.stride + j]);
            sum += static_cast<std::int64_t>(static_cast<std::int16_t>(u & 0xffffu)) *
                   static_cast<std::int16_t>(v & 0xffffu);
            sum += static_cast<std::int64_t>(static_cast<std::int16_t>(u >> 16)) * static_cast<std::int16_t>(v >> 16);
        }
        const std::uint32_t base =
            wide ? load_weight<std::uint32_t>(job.base, j) : load_weight<std::uint16_t>(job.base, j);
        const PredictedWeight w =
            predict_weight(static_cast<double>(sum), job.scale, base, job.kind, job.merge, job.noise);
        if (wide)
            store_weight<std::uint32_t>(job.predicted, j, w.bits);
        else
            store_weight<std::uint16_t>(job.predicted, j, w.bits);
        if (job.keys != nullptr) job.keys[j] = w.key;
    }
}

void predict_piece(const PredictJob& job) {
    g_vector ? HWY_DYNAMIC_DISPATCH(PredictPiece)(job) : predict_piece_plain(job);
}

}  // namespace tenpak::delta
#endif
