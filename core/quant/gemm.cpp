// SPDX-License-Identifier: Apache-2.0
#include "core/quant/gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/quant/gemm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tenpak::quant {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t kMaxLanes = 16;   // fixed, so that the packed panel has the same width for every target
constexpr std::size_t kWidth = 2 * kMaxLanes;
constexpr std::size_t kDepth = 256;     // a panel of 256 x 32 floats is 32 KiB: it stays in the first-level cache
constexpr std::size_t kRows = 6;        // 12 accumulators, 2 loads, 1 broadcast: fits 16 registers of AVX2

using D = hn::CappedTag<float, kMaxLanes>;

// out[R][kWidth] = sum over t of A(i, t) * panel[t][...].
template <std::size_t R>
void Micro(const float* HWY_RESTRICT a, std::size_t a_row, std::size_t a_step, const float* HWY_RESTRICT panel,
           std::size_t depth, float* HWY_RESTRICT out) {
    const D d;
    const std::size_t lanes = hn::Lanes(d);
    for (std::size_t j = 0; j < kWidth; j += 2 * lanes) {
        hn::Vec<D> low[R], high[R];
        for (std::size_t i = 0; i < R; ++i) low[i] = high[i] = hn::Zero(d);
        const float* p = panel + j;
        for (std::size_t t = 0; t < depth; ++t, p += kWidth) {
            const auto b0 = hn::Load(d, p), b1 = hn::Load(d, p + lanes);
            const float* x = a + t * a_step;
            for (std::size_t i = 0; i < R; ++i) {
                const auto s = hn::Set(d, x[i * a_row]);
                low[i] = hn::MulAdd(s, b0, low[i]);
                high[i] = hn::MulAdd(s, b1, high[i]);
            }
        }
        for (std::size_t i = 0; i < R; ++i) {
            hn::Store(low[i], d, out + i * kWidth + j);
            hn::Store(high[i], d, out + i * kWidth + j + lanes);
        }
    }
}

void GemmAdd(const float* a, std::size_t a_row, std::size_t a_step, const float* b, std::size_t ldb, float* c,
             std::size_t ldc, std::size_t m, std::size_t n, std::size_t k, float alpha) {
    HWY_ALIGN float panel[kDepth * kWidth];
    HWY_ALIGN float sum[kRows * kWidth];
    for (std::size_t t0 = 0; t0 < k; t0 += kDepth) {
        const std::size_t depth = t0 + kDepth < k ? kDepth : k - t0;
        for (std::size_t j0 = 0; j0 < n; j0 += kWidth) {
            const std::size_t width = j0 + kWidth < n ? kWidth : n - j0;
            for (std::size_t t = 0; t < depth; ++t) {
                const float* from = b + (t0 + t) * ldb + j0;
                float* to = panel + t * kWidth;
                for (std::size_t j = 0; j < width; ++j) to[j] = from[j];
                for (std::size_t j = width; j < kWidth; ++j) to[j] = 0;
            }
            for (std::size_t i0 = 0; i0 < m;) {
                const float* x = a + i0 * a_row + t0 * a_step;
                std::size_t rows = kRows;
                if (i0 + kRows <= m) {
                    Micro<kRows>(x, a_row, a_step, panel, depth, sum);
                } else {
                    rows = 1;
                    Micro<1>(x, a_row, a_step, panel, depth, sum);
                }
                for (std::size_t i = 0; i < rows; ++i) {
                    float* to = c + (i0 + i) * ldc + j0;
                    for (std::size_t j = 0; j < width; ++j) to[j] += alpha * sum[i * kWidth + j];
                }
                i0 += rows;
            }
        }
    }
}

void SubtractScaled(const float* HWY_RESTRICT x, float factor, std::size_t count, float* HWY_RESTRICT y) {
    const D d;
    const std::size_t lanes = hn::Lanes(d);
    const auto f = hn::Set(d, factor);
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) hn::StoreU(hn::NegMulAdd(f, hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
    for (; i < count; ++i) y[i] = hn::GetLane(hn::NegMulAdd(f, hn::Set(d, x[i]), hn::Set(d, y[i])));
}

}  // namespace HWY_NAMESPACE
}  // namespace tenpak::quant
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenpak::quant {

HWY_EXPORT(GemmAdd);
HWY_EXPORT(SubtractScaled);

void gemm_add(const float* a, std::size_t a_row, std::size_t a_step, const float* b, std::size_t ldb, float* c,
              std::size_t ldc, std::size_t m, std::size_t n, std::size_t k, float alpha) {
    HWY_DYNAMIC_DISPATCH(GemmAdd)(a, a_row, a_step, b, ldb, c, ldc, m, n, k, alpha);
}

void subtract_scaled(const float* x, float factor, std::size_t count, float* y) { HWY_DYNAMIC_DISPATCH(SubtractScaled)(x, factor, count, y); }

}  // namespace tenpak::quant
#endif
