// SPDX-License-Identifier: Apache-2.0
#include "core/quant/round_to_nearest.h"

#include "core/base/float8.h"
#include "core/quant/packed_rows.h"

namespace tenpak::quant {
namespace {

// Of a row, but not so small that a quotient with it leaves the normal numbers.
float top_of_row(const float* x, std::uint32_t k) {
    float top = 0x1p-110f;
    for (std::uint32_t c = 0; c < k; ++c) top = std::max(top, std::fabs(x[c]));
    return top;
}

}  // namespace

compute::LinearWeight round_to_nearest_int4(std::span<const float> w, std::uint32_t n, std::uint32_t k, const GroupFormat& format,
                                            ThreadPool& pool) {
    compute::LinearWeight q = make_grouped(n, k, format);
    const int max_code = format.max_code();
    pool.parallel_for(n, [&](std::size_t row, unsigned) {
        std::vector<std::uint16_t> codes(k);
        std::vector<Grid> grids(k / format.group);
        const float* x = w.data() + row * k;
        for (std::uint32_t g = 0; g < grids.size(); ++g) {
            grids[g] = fit_grid(x + std::size_t{g} * format.group, format.group, format);
            for (std::uint32_t c = g * format.group; c < (g + 1) * format.group; ++c) codes[c] = nearest_code(x[c], grids[g], max_code);
        }
        set_grouped_row(q, static_cast<std::uint32_t>(row), codes.data(), grids.data());
    });
    return q;
}

compute::LinearWeight round_to_nearest_int8(std::span<const float> w, std::uint32_t n, std::uint32_t k, std::uint32_t group,
                                            float min_scale, ThreadPool& pool) {
    compute::LinearWeight q;
    q.format = group == 0 ? compute::WeightFormat::kInt8Channel : compute::WeightFormat::kInt8Group;
    q.n = n;
    q.k = k;
    q.group = group;
    const std::uint32_t width = group == 0 ? k : group, groups = k / width;
    q.codes.resize(std::size_t{n} * k);
    q.scales.resize(std::size_t{n} * groups);
    pool.parallel_for(n, [&](std::size_t row, unsigned) {
        for (std::uint32_t g = 0; g < groups; ++g) {
            const std::size_t begin = row * k + std::size_t{g} * width;
            float top = 0;
            for (std::size_t i = begin; i < begin + width; ++i) top = std::max(top, std::fabs(w[i]));
            const float scale = stored_scale(top / 127, min_scale);
            q.scales[row * groups + g] = scale;
            for (std::size_t i = begin; i < begin + width; ++i) {
                const int code = static_cast<int>(round_even(std::clamp(w[i] / scale, -127.0f, 127.0f)));
                q.codes[i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(code));
            }
        }
    });
    return q;
}

compute::LinearWeight round_to_nearest_llm_int8(std::span<const float> w, std::uint32_t n, std::uint32_t k, float outlier_threshold,
                                                ThreadPool& pool) {
    compute::LinearWeight q;
    q.format = compute::WeightFormat::kInt8Channel;
    q.n = n;
    q.k = k;
    q.outlier_threshold = outlier_threshold;
    q.codes.resize(std::size_t{n} * k);
    q.scales.resize(n);
    pool.parallel_for(n, [&](std::size_t row, unsigned) {
        const float* x = w.data() + row * k;
        const float top = top_of_row(x, k);
        q.scales[row] = top / 127;
        const float inverse = 127 / top;
        for (std::uint32_t c = 0; c < k; ++c) {
            q.codes[row * k + c] = static_cast<std::uint8_t>(static_cast<std::int8_t>(round_even(std::clamp(x[c] * inverse, -127.0f, 127.0f))));
        }
    });
    return q;
}

compute::LinearWeight round_to_nearest_fp8(std::span<const float> w, std::uint32_t n, std::uint32_t k, ThreadPool& pool) {
    compute::LinearWeight q;
    q.format = compute::WeightFormat::kFp8Channel;
    q.n = n;
    q.k = k;
    q.codes.resize(std::size_t{n} * k);
    q.scales.resize(n);
    pool.parallel_for(n, [&](std::size_t row, unsigned) {
        const float* x = w.data() + row * k;
        const float scale = q.scales[row] = top_of_row(x, k) / kE4m3Max;
        for (std::uint32_t c = 0; c < k; ++c) q.codes[row * k + c] = float_to_e4m3(x[c] / scale);
    });
    return q;
}

void round_values(const float* w, std::uint32_t rows, std::uint32_t k, const GroupFormat& format, float* out) {
    const int max_code = format.max_code();
    for (std::size_t begin = 0; begin < std::size_t{rows} * k; begin += format.group) {
        const Grid grid = fit_grid(w + begin, format.group, format);
        for (std::size_t i = begin; i < begin + format.group; ++i) out[i] = nearest_value(w[i], grid, max_code);
    }
}

}  // namespace tenpak::quant
