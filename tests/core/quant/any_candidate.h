// SPDX-License-Identifier: Apache-2.0
// Weights of every format for the linears of a model, without calibration: what layouts are tested with.
#pragma once
#include <algorithm>
#include <numeric>
#include <random>

#include "core/base/half.h"
#include "core/quant/candidate.h"
#include "core/quant/quantize.h"
#include "core/quant/round_to_nearest.h"
#include "core/tensor/model_source.h"

namespace tenpak::test {

/// Random codes in a format that only calibrated methods make. Scales are exact in bf16 and fp16.
inline compute::LinearWeight random_weight(const quant::Candidate& c, std::uint32_t n, std::uint32_t k, std::mt19937& rng) {
    compute::LinearWeight w;
    w.format = c.format;
    w.n = n;
    w.k = k;
    w.group = quant::group_for(c.group, k);
    w.symmetric = c.symmetric;
    const std::size_t count = std::size_t{n} * k, groups = count / w.group;
    const auto octets = [&](std::size_t size) {
        std::vector<std::uint8_t> v(size);
        for (auto& x : v) x = static_cast<std::uint8_t>(rng());
        return v;
    };
    w.codes = octets(count / 2);
    for (std::size_t g = 0; g < groups; ++g) w.scales.push_back(bf16_to_float(float_to_bf16(static_cast<float>(1 + rng() % 500) * 1e-4f)));
    if (c.format == compute::WeightFormat::kInt4Group) {
        w.zeros.assign(groups, 8);
    } else if (c.format == compute::WeightFormat::kInt4Residual) {
        w.low = octets(count / 4);
        for (std::size_t g = 0; g < groups; ++g) w.zeros.push_back(static_cast<std::uint8_t>(rng() % 64));
    } else if (c.format == compute::WeightFormat::kInt4Sparse) {
        w.low = octets(count / 8);
        w.mask.assign(count / 8, 0);
        for (std::size_t g = 0; g < groups; ++g) {
            w.multiples.push_back(static_cast<std::uint8_t>(1 + rng() % 15));
            std::vector<std::uint32_t> order(w.group);
            std::iota(order.begin(), order.end(), 0u);
            for (std::uint32_t i = w.group; i > 1; --i) std::swap(order[i - 1], order[rng() % i]);
            for (std::uint32_t i = 0; i < w.group / 4; ++i) {
                const std::size_t at = g * w.group + order[i];
                w.mask[at / 8] = static_cast<std::uint8_t>(w.mask[at / 8] | 1u << at % 8);
            }
        }
    }
    if (c.act_order && w.group != k) {
        for (std::uint32_t i = 0; i < k; ++i) w.group_index.push_back(i / w.group);
        for (std::uint32_t i = k; i > 1; --i) std::swap(w.group_index[i - 1], w.group_index[rng() % i]);
    }
    return w;
}

/// All linears ("…_proj.weight") of a model in the candidate's format: rounded to nearest where that is enough.
inline quant::QuantizedModel any_candidate(const ModelSource& source, const quant::Candidate& c, bool nested = false) {
    using F = compute::WeightFormat;
    quant::QuantizedModel m;
    m.candidate = c;
    ThreadPool pool(2);
    std::mt19937 rng(5);
    for (const TensorInfo& t : source.tensors()) {
        if (!t.name.ends_with("_proj.weight")) continue;
        const std::vector<float> w = source.read_float(t).value();
        const auto n = static_cast<std::uint32_t>(t.shape[0]), k = static_cast<std::uint32_t>(t.shape[1]);
        quant::GroupFormat f;
        f.bits = c.bits;
        f.symmetric = c.symmetric;
        f.group = c.group == 0 ? k : quant::group_for(c.group, k);
        f.min_scale = 0x1p-17f;
        compute::LinearWeight& out = m.weights.linears[t.name];
        switch (c.format) {
            case F::kInt8Channel:
                out = c.outlier_threshold > 0 ? quant::round_to_nearest_llm_int8(w, n, k, c.outlier_threshold, pool) : quant::round_to_nearest_int8(w, n, k, 0, f.min_scale, pool);
                break;
            case F::kInt8Group: out = quant::round_to_nearest_int8(w, n, k, f.group, f.min_scale, pool); break;
            case F::kFp8Channel: out = quant::round_to_nearest_fp8(w, n, k, pool); break;
            case F::kNf4Group: out = quant::round_to_nearest_nf4(w, n, k, f.group, nested, pool); break;
            case F::kInt4Group:
                out = c.act_order ? random_weight(c, n, k, rng) : quant::round_to_nearest_int4(w, n, k, f, pool);
                break;
            default: out = random_weight(c, n, k, rng);
        }
    }
    return m;
}

}  // namespace tenpak::test
