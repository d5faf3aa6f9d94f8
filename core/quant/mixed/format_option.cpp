// SPDX-License-Identifier: Apache-2.0
#include "core/quant/mixed/format_option.h"

#include "core/base/half.h"
#include "core/quant/round_to_nearest.h"

namespace tenpak::quant {
namespace {

// 6-bit codes in two planes: w = (4 * code + low - zero) * scale.
compute::LinearWeight round_to_nearest_residual(const DenseLinear& from, const GroupFormat& f, ThreadPool& pool) {
    compute::LinearWeight q;
    q.format = compute::WeightFormat::kInt4Residual;
    q.n = from.n;
    q.k = from.k;
    q.group = f.group;
    q.symmetric = f.symmetric;
    const std::uint32_t groups = from.k / f.group;
    q.codes.resize(std::size_t{from.n} * (from.k / 2));
    q.low.resize(std::size_t{from.n} * (from.k / 4));
    q.scales.resize(std::size_t{from.n} * groups);
    q.zeros.resize(q.scales.size());
    pool.parallel_for(from.n, [&](std::size_t row, unsigned) {
        for (std::uint32_t g = 0; g < groups; ++g) {
            const Grid grid = fit_grid(from.w.data() + row * from.k + std::size_t{g} * f.group, f.group, f);
            q.scales[row * groups + g] = grid.scale;
            q.zeros[row * groups + g] = static_cast<std::uint8_t>(grid.zero);
            for (std::uint32_t c = g * f.group; c < (g + 1) * f.group; ++c) {
                const std::size_t i = row * from.k + c;
                const unsigned code = nearest_code(from.w[i], grid, f.max_code());
                q.codes[i / 2] = static_cast<std::uint8_t>(q.codes[i / 2] | code >> 2 << (i % 2 * 4));
                q.low[i / 4] = static_cast<std::uint8_t>(q.low[i / 4] | (code & 3) << (i % 4 * 2));
            }
        }
    });
    return q;
}

}  // namespace

const std::vector<FormatOption>& mixed_options() {
    using F = compute::WeightFormat;
    static const std::vector<FormatOption> all = {
        {"int4 g256", F::kInt4Group, 4, 256},         {"int4 g128", F::kInt4Group, 4, 128}, {"int4 g64", F::kInt4Group, 4, 64}, {"int4 g32", F::kInt4Group, 4, 32},
        {"int4+int2 g128", F::kInt4Residual, 6, 128}, {"int8 g128", F::kInt8Group, 8, 128}, {"16 bit", F::kBF16, 16, 0},
    };
    return all;
}

bool FormatOption::fits(std::uint32_t k) const {
    switch (format) {
        case compute::WeightFormat::kInt4Group: return k % 2 == 0;
        case compute::WeightFormat::kInt4Residual: return k % 4 == 0;
        default: return true;
    }
}

std::uint64_t FormatOption::bytes(std::uint32_t n, std::uint32_t k) const {
    compute::LinearWeight shape;
    shape.format = fits(k) ? format : compute::WeightFormat::kBF16;
    shape.n = n;
    shape.k = k;
    shape.group = shape.format == compute::WeightFormat::kBF16 ? 0 : group_of(k);
    shape.symmetric = bits == 8;
    return shape.stored_bytes();
}

Result<compute::LinearWeight> SharedInput::quantize(const DenseLinear& from, const FormatOption& option) {
    if (option.dense() || !option.fits(from.k)) return dense_linear(from, job_.dtype);
    GroupFormat f;
    f.bits = option.bits;
    f.group = option.group_of(from.k);
    if (job_.dtype == DType::kF16) f.min_scale = 0x1p-17f;
    compute::LinearWeight q;
    if (option.bits == 8) {
        q = round_to_nearest_int8(from.w, from.n, from.k, f.group, f.min_scale, *job_.pool);
    } else if (option.format == compute::WeightFormat::kInt4Residual) {
        q = round_to_nearest_residual(from, f, *job_.pool);
    } else {
        auto it = factors_.find(f.group);
        if (it == factors_.end()) it = factors_.emplace(f.group, factor_hessian(gram_, f.group, {}, *job_.pool, job_.ctx)).first;
        const Result<GptqFactor>& factor = it->second;
        if (factor.ok()) {
            TENPAK_ASSIGN(q, gptq(from.w, from.n, *factor, f, *job_.pool, job_.ctx));
        } else if (factor.error().code == ErrorCode::kNumeric) {
            q = round_to_nearest_int4(from.w, from.n, from.k, f, *job_.pool);
            job_.note(from.name + " is rounded to nearest: its calibration statistics cannot be inverted");
        } else {
            return factor.error();
        }
    }
    q.bias = from.bias;
    return q;
}

compute::LinearWeight dense_linear(const DenseLinear& from, DType dtype) {
    compute::LinearWeight q;
    q.format = dtype == DType::kF16 ? compute::WeightFormat::kF16 : compute::WeightFormat::kBF16;
    q.n = from.n;
    q.k = from.k;
    q.bias = from.bias;
    q.half.resize(from.w.size());
    for (std::size_t i = 0; i < from.w.size(); ++i) q.half[i] = dtype == DType::kF16 ? float_to_fp16(from.w[i]) : float_to_bf16(from.w[i]);
    return q;
}

}  // namespace tenpak::quant
