// SPDX-License-Identifier: Apache-2.0
#include "core/delta/low_rank_adapter.h"

#include <cmath>
#include <new>

#include "core/delta/low_rank_fit.h"
#include "core/delta/low_rank_math.h"

namespace tenpak::delta {

Result<std::optional<Recovered>> replay_adapter(const MatrixPair& pair, const LoraMatrices& lora,
                                                const JobContext& ctx) {
    if (lora.rows != pair.rows || lora.columns != pair.columns)
        return make_error(ErrorCode::kMismatch, "an adapter's module and its tensor have different dimensions");
    if (lora.rank > kMaxFactorRank || lora.rank > std::min(pair.rows, pair.columns)) return std::optional<Recovered>{};
    try {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const std::size_t k = thin(lora.rank);
        std::vector<float> u(std::size_t{lora.rows} * k), v(std::size_t{lora.columns} * k);
        // Each side gets half of the scale: powers of two apart, both stay of a usual size.
        const auto half = static_cast<float>(std::sqrt(std::abs(lora.scale))), other = lora.scale < 0 ? -half : half;
        for (std::size_t i = 0; i < lora.rows; ++i)
            for (std::size_t c = 0; c < lora.rank; ++c) u[i * k + c] = lora.up[i * lora.rank + c] * half;
        for (std::size_t j = 0; j < lora.columns; ++j)
            for (std::size_t c = 0; c < lora.rank; ++c) v[j * k + c] = lora.down[c * lora.columns + j] * other;
        for (const auto* x : {&u, &v})
            for (const float f : *x)
                if (!std::isfinite(f))
                    return make_error(ErrorCode::kNumeric, "an adapter has a factor that is not finite");
        const RealFactors real = balance(u, v, k, lora.rank, lora.rows, lora.columns);
        TENPAK_ASSIGN(const Sample sample, take_sample(pair));
        auto best = choose_precision(pair, sample, real, rounding_noise(sample, pair), ctx);
        TENPAK_RETURN_IF_ERROR(ctx.check());
        if (best && best->factor_bits + best->residual_bits >= best->difference_bits) best.reset();
        return best;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the factors of an adapter");
    }
}

LoraToWrite lora_of(const Factors& f, std::string tensor) {
    LoraToWrite m;
    m.tensor = std::move(tensor);
    m.rows = f.rows;
    m.columns = f.columns;
    m.rank = f.rank;
    const int below = f.exponent / 2;
    const float up = std::ldexp(1.0f, below), down = std::ldexp(1.0f, f.exponent - below);
    m.up.resize(f.u.size());
    m.down.resize(f.v.size());
    for (std::size_t i = 0; i < f.u.size(); ++i) m.up[i] = static_cast<float>(f.u[i]) * up;
    for (std::size_t j = 0; j < f.columns; ++j)
        for (std::size_t c = 0; c < f.rank; ++c)
            m.down[c * f.columns + j] = static_cast<float>(f.v[j * f.rank + c]) * down;
    return m;
}

}  // namespace tenpak::delta
