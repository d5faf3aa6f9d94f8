// SPDX-License-Identifier: Apache-2.0
#include "core/delta/low_rank_math.h"

#include <bit>
#include <cmath>

#include "core/base/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/delta/low_rank_math.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tenpak::delta {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, kThin>;
using V = hn::Vec<D>;

/// kRows rows of y, one vector of its columns.
template <int kRows>
HWY_INLINE void RowsTimes(const float* d, std::size_t stride, std::size_t columns, const float* q, std::size_t k,
                          float* y) {
    const D t;
    const std::size_t lanes = hn::Lanes(t);
    std::size_t c = 0;
    for (; c + 2 * lanes <= k; c += 2 * lanes) {
        V a[kRows], b[kRows];
        for (int i = 0; i < kRows; ++i) a[i] = b[i] = hn::Zero(t);
        for (std::size_t j = 0; j < columns; ++j) {
            const V q0 = hn::LoadU(t, q + j * k + c), q1 = hn::LoadU(t, q + j * k + c + lanes);
            for (int i = 0; i < kRows; ++i) {
                const V x = hn::Set(t, d[static_cast<std::size_t>(i) * stride + j]);
                a[i] = hn::MulAdd(x, q0, a[i]);
                b[i] = hn::MulAdd(x, q1, b[i]);
            }
        }
        for (int i = 0; i < kRows; ++i) {
            hn::StoreU(a[i], t, y + static_cast<std::size_t>(i) * k + c);
            hn::StoreU(b[i], t, y + static_cast<std::size_t>(i) * k + c + lanes);
        }
    }
    for (; c < k; c += lanes) {
        V a[kRows];
        for (int i = 0; i < kRows; ++i) a[i] = hn::Zero(t);
        for (std::size_t j = 0; j < columns; ++j) {
            const V q0 = hn::LoadU(t, q + j * k + c);
            for (int i = 0; i < kRows; ++i)
                a[i] = hn::MulAdd(hn::Set(t, d[static_cast<std::size_t>(i) * stride + j]), q0, a[i]);
        }
        for (int i = 0; i < kRows; ++i) hn::StoreU(a[i], t, y + static_cast<std::size_t>(i) * k + c);
    }
}

void Multiply(const float* d, std::size_t rows, std::size_t columns, const float* q, std::size_t k, float* y) {
    std::size_t i = 0;
    for (; i + 6 <= rows; i += 6) RowsTimes<6>(d + i * columns, columns, columns, q, k, y + i * k);
    for (; i < rows; ++i) RowsTimes<1>(d + i * columns, columns, columns, q, k, y + i * k);
}

/// z[j] += sum over kRows rows of d[i][j] y[i], for a vector of the thin columns.
template <int kRows>
HWY_INLINE void TransposedTimes(const float* d, std::size_t columns, const float* y, std::size_t k, float* z) {
    const D t;
    const std::size_t lanes = hn::Lanes(t);
    for (std::size_t c = 0; c < k; c += lanes) {
        V r[kRows];
        for (int i = 0; i < kRows; ++i) r[i] = hn::LoadU(t, y + static_cast<std::size_t>(i) * k + c);
        for (std::size_t j = 0; j < columns; ++j) {
            V s = hn::LoadU(t, z + j * k + c);
            for (int i = 0; i < kRows; ++i)
                s = hn::MulAdd(hn::Set(t, d[static_cast<std::size_t>(i) * columns + j]), r[i], s);
            hn::StoreU(s, t, z + j * k + c);
        }
    }
}

void MultiplyTransposedAdd(const float* d, std::size_t rows, std::size_t columns, const float* y, std::size_t k,
                           float* z) {
    std::size_t i = 0;
    for (; i + 8 <= rows; i += 8) TransposedTimes<8>(d + i * columns, columns, y + i * k, k, z);
    for (; i < rows; ++i) TransposedTimes<1>(d + i * columns, columns, y + i * k, k, z);
}

/// a[k][k] = x^T x of x[n][k]: the lower triangle and what is needed to fill whole tiles.
HWY_INLINE void Gram(const float* x, std::size_t n, std::size_t k, float* a) {
    constexpr int kTile = 8;
    const D t;
    const std::size_t lanes = hn::Lanes(t);
    for (std::size_t r = 0; r < k; r += kTile) {
        for (std::size_t c = 0; c < r + kTile; c += lanes) {
            V s[kTile];
            for (int i = 0; i < kTile; ++i) s[i] = hn::Zero(t);
            for (std::size_t j = 0; j < n; ++j) {
                const float* row = x + j * k;
                const V v = hn::LoadU(t, row + c);
                for (int i = 0; i < kTile; ++i)
                    s[i] = hn::MulAdd(hn::Set(t, row[r + static_cast<std::size_t>(i)]), v, s[i]);
            }
            for (int i = 0; i < kTile; ++i) hn::StoreU(s[i], t, a + (r + static_cast<std::size_t>(i)) * k + c);
        }
    }
}

HWY_INLINE float Dot(const float* p, const float* q, std::size_t n) {
    const D t;
    const std::size_t lanes = hn::Lanes(t);
    V s = hn::Zero(t);
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes) s = hn::MulAdd(hn::LoadU(t, p + i), hn::LoadU(t, q + i), s);
    float sum = hn::GetLane(hn::SumOfLanes(t, s));
    for (; i < n; ++i) sum += p[i] * q[i];
    return sum;
}

/// Solves a s = b for symmetric positive a[k][k] (lower triangle; destroyed), the first `rank` unknowns; the others are
/// 0. False where a is not positive.
HWY_INLINE bool Solve(float* a, float* b, std::size_t k, std::size_t rank) {
    // Cholesky by rows of the lower triangle; the inverse of the diagonal is kept in its place.
    for (std::size_t i = 0; i < rank; ++i) {
        float* row = a + i * k;
        for (std::size_t j = 0; j < i; ++j) row[j] = (row[j] - Dot(row, a + j * k, j)) * a[j * k + j];
        const float pivot = row[i] - Dot(row, row, i);
        if (!(pivot > 0)) return false;
        row[i] = 1.0f / std::sqrt(pivot);
    }
    for (std::size_t i = 0; i < rank; ++i) b[i] = (b[i] - Dot(a + i * k, b, i)) * a[i * k + i];
    for (std::size_t i = rank; i-- > 0;) {
        b[i] *= a[i * k + i];
        for (std::size_t j = 0; j < i; ++j) b[j] -= a[i * k + j] * b[i];
    }
    for (std::size_t i = rank; i < k; ++i) b[i] = 0;
    return true;
}

void FitLine(const LineFit& f) {
    const D t;
    const std::size_t lanes = hn::Lanes(t), k = f.k;
    float *x = f.scratch, *a = x + f.n * k, *b = a + k * k;
    for (std::size_t c = 0; c < k; ++c) b[c] = 0;
    std::size_t taken = 0;
    for (std::size_t i = 0; i < f.n; i += f.stride, ++taken) {
        const float* from = f.other + std::size_t{f.index[i]} * k;
        const float given = f.weight[i];
        float w = given / std::sqrt(1 + given * given * f.model * f.model);
        float pull = w * w * f.value[i];
        if (f.cell != 0) {
            V s = hn::Zero(t);
            for (std::size_t c = 0; c < k; c += lanes)
                s = hn::MulAdd(hn::LoadU(t, f.out + c), hn::LoadU(t, from + c), s);
            const float miss = f.value[i] - hn::GetLane(hn::SumOfLanes(t, s)), edge = given > 0 ? f.cell / given : 0.0f;
            // Inside its cell a value pulls nothing and only damps the step.
            constexpr float kDamping = 0.3f;
            if (miss > edge) {
                pull = w * w * (miss - edge);
            } else if (miss < -edge) {
                pull = w * w * (miss + edge);
            } else {
                pull = 0;
                w *= kDamping;
            }
        }
        float* to = x + taken * k;
        const V vw = hn::Set(t, w), vp = hn::Set(t, pull);
        for (std::size_t c = 0; c < k; c += lanes) {
            const V v = hn::LoadU(t, from + c);
            hn::StoreU(hn::Mul(vw, v), t, to + c);
            hn::StoreU(hn::MulAdd(vp, v, hn::LoadU(t, b + c)), t, b + c);
        }
    }
    Gram(x, taken, k, a);
    // A little of the mean is added to the diagonal: a line with few telling weights stays solvable.
    float trace = 0;
    for (std::size_t c = 0; c < f.rank; ++c) trace += a[c * k + c];
    if (!(trace > 0)) return;
    for (std::size_t c = 0; c < f.rank; ++c) a[c * k + c] += trace / static_cast<float>(f.rank) * 1e-6f;
    if (!Solve(a, b, k, f.rank)) return;
    for (std::size_t c = 0; c < k; ++c) f.out[c] = f.cell != 0 ? f.out[c] + b[c] : b[c];
}

void SubtractBf16(const std::byte* base, const std::byte* fine_tune, std::size_t n, float* d) {
    const hn::ScalableTag<float> t;
    const hn::RebindToUnsigned<decltype(t)> u;
    const hn::Rebind<std::uint16_t, decltype(t)> h;
    const std::size_t lanes = hn::Lanes(t);
    const auto infinite = hn::Set(hn::RebindToSigned<decltype(t)>(), 0x7f7f0000),
               mask = hn::Set(hn::RebindToSigned<decltype(t)>(), 0x7fffffff);
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        const auto b = hn::BitCast(
            t, hn::ShiftLeft<16>(hn::PromoteTo(u, hn::LoadU(h, reinterpret_cast<const std::uint16_t*>(base) + i))));
        const auto f = hn::BitCast(t, hn::ShiftLeft<16>(hn::PromoteTo(
                                          u, hn::LoadU(h, reinterpret_cast<const std::uint16_t*>(fine_tune) + i))));
        const hn::RebindToSigned<decltype(t)> s;
        const auto bad = hn::Or(hn::Gt(hn::And(hn::BitCast(s, b), mask), infinite),
                                hn::Gt(hn::And(hn::BitCast(s, f), mask), infinite));
        hn::StoreU(hn::IfThenZeroElse(hn::RebindMask(t, bad), hn::Sub(f, b)), t, d + i);
    }
    for (; i < n; ++i) {
        const auto b = static_cast<std::uint16_t>(load_weight<std::uint16_t>(base, i)),
                   f = static_cast<std::uint16_t>(load_weight<std::uint16_t>(fine_tune, i));
        d[i] = (b & 0x7f80) == 0x7f80 || (f & 0x7f80) == 0x7f80 ? 0.0f : bf16_to_float(f) - bf16_to_float(b);
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tenpak::delta
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenpak::delta {

HWY_EXPORT(Multiply);
HWY_EXPORT(MultiplyTransposedAdd);
HWY_EXPORT(FitLine);
HWY_EXPORT(SubtractBf16);

void subtract_weights(const std::byte* base, const std::byte* fine_tune, std::size_t n, FloatKind kind, float* d) {
    if (kind == FloatKind::kBf16) return HWY_DYNAMIC_DISPATCH(SubtractBf16)(base, fine_tune, n, d);
    if (kind == FloatKind::kFp16) {
        for (std::size_t i = 0; i < n; ++i) {
            const auto b = static_cast<std::uint16_t>(load_weight<std::uint16_t>(base, i)),
                       f = static_cast<std::uint16_t>(load_weight<std::uint16_t>(fine_tune, i));
            d[i] = (b & 0x7c00) == 0x7c00 || (f & 0x7c00) == 0x7c00 ? 0.0f : fp16_to_float(f) - fp16_to_float(b);
        }
        return;
    }
    for (std::size_t i = 0; i < n; ++i) {
        const float b = std::bit_cast<float>(load_weight<std::uint32_t>(base, i)),
                    f = std::bit_cast<float>(load_weight<std::uint32_t>(fine_tune, i));
        d[i] = std::isfinite(b) && std::isfinite(f) ? f - b : 0.0f;
    }
}
void multiply(const float* d, std::size_t rows, std::size_t columns, const float* q, std::size_t k, float* y) {
    HWY_DYNAMIC_DISPATCH(Multiply)(d, rows, columns, q, k, y);
}
void multiply_transposed_add(const float* d, std::size_t rows, std::size_t columns, const float* y, std::size_t k,
                             float* z) {
    HWY_DYNAMIC_DISPATCH(MultiplyTransposedAdd)(d, rows, columns, y, k, z);
}
void fit_line(const LineFit& f) { HWY_DYNAMIC_DISPATCH(FitLine)(f); }

}  // namespace tenpak::delta
#endif
