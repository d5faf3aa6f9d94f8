// SPDX-License-Identifier: Apache-2.0
// Synthetic merged LoRA: base as in synthetic.h, plus alpha * 0.02 * (A B^T normalized), with falling component sizes,
// merged in fp32 or with PEFT's rounding of the product.
#pragma once
#include <cmath>
#include <cstring>
#include <random>

#include "core/delta/low_rank_recover.h"
#include "tests/core/delta/synthetic.h"

namespace tenpak::test {

struct LowRankShape {
    std::uint32_t rows = 512, columns = 512, rank = 8;
    double alpha = 0.01;
    delta::MergeRounding product = delta::MergeRounding::kNone;
    DType type = DType::kBF16;
    double decay = 0.95;  ///< size of a component over the one before
    std::uint32_t unchanged_rows = 0;
    unsigned seed = 7;
};

struct LowRankPair {
    LowRankShape shape;
    Bytes base, fine_tune;

    explicit LowRankPair(const LowRankShape& s) : shape(s) {
        std::mt19937_64 g(s.seed);
        std::normal_distribution<float> normal(0, 1);
        const auto scales = [&](std::size_t n) {
            std::vector<float> x(n);
            for (auto& v : x) v = std::exp(0.25f * normal(g));
            return x;
        };
        const auto row = scales(s.rows), column = scales(s.columns);
        std::vector<float> a(std::size_t{s.rows} * s.rank), b(std::size_t{s.columns} * s.rank);
        double all = 0;
        for (std::uint32_t c = 0; c < s.rank; ++c) all += std::pow(s.decay, 2.0 * c);
        for (std::size_t i = 0; i < a.size(); ++i)
            a[i] = normal(g) * static_cast<float>(s.alpha * 0.02 * std::pow(s.decay, static_cast<double>(i % s.rank)) /
                                                  std::sqrt(all));
        for (auto& x : b) x = normal(g);
        for (std::uint32_t i = 0; i < s.rows; ++i) {
            for (std::uint32_t j = 0; j < s.columns; ++j) {
                const float w = rounded(0.02f * row[i] * column[j] * normal(g), s.type);
                float d = 0;
                for (std::uint32_t c = 0; c < s.rank; ++c)
                    d += a[std::size_t{i} * s.rank + c] * b[std::size_t{j} * s.rank + c];
                if (s.product == delta::MergeRounding::kBf16) d = rounded(d, DType::kBF16);
                if (s.product == delta::MergeRounding::kFp16) d = rounded(d, DType::kF16);
                append_weight(base, w, s.type);
                append_weight(fine_tune, i < s.unchanged_rows ? w : w + d, s.type);
            }
        }
    }
    delta::FloatKind kind() const { return *delta::float_kind(shape.type); }
    delta::MatrixPair pair() const {
        delta::MatrixPair p;
        p.rows = shape.rows;
        p.columns = shape.columns;
        p.kind = kind();
        p.read = [this](std::uint64_t at, std::span<std::byte> x, std::span<std::byte> y) -> Status {
            if (!x.empty()) std::memcpy(x.data(), base.data() + at, x.size());
            if (!y.empty()) std::memcpy(y.data(), fine_tune.data() + at, y.size());
            return {};
        };
        return p;
    }
};

}  // namespace tenpak::test
