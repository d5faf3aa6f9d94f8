// SPDX-License-Identifier: Apache-2.0
// Norm, rotation, attention and activation of every level against plain double-precision loops.
#include <gtest/gtest.h>

#include "tests/core/compute/levels.h"
#include "tests/core/compute/weights.h"

namespace {

using namespace tenpak;
using namespace tenpak::compute;
using namespace tenpak::test;

std::vector<double> reference_attention(const std::vector<float>& q, std::uint32_t tokens, std::uint32_t first, const AttentionShape& s,
                                        const std::vector<float>& keys, const std::vector<float>& values) {
    std::vector<double> out(q.size());
    for (std::uint32_t t = 0; t < tokens; ++t) {
        for (std::uint32_t h = 0; h < s.heads; ++h) {
            const std::size_t kv = h / (s.heads / s.kv_heads);
            std::vector<double> p(first + t + 1);
            double top = -1e300, total = 0;
            for (std::size_t i = 0; i < p.size(); ++i) {
                double dot = 0;
                for (std::size_t d = 0; d < s.head_dim; ++d) {
                    dot += double{q[(std::size_t{t} * s.heads + h) * s.head_dim + d]} * double{keys[(i * s.kv_heads + kv) * s.head_dim + d]};
                }
                p[i] = dot * double{s.scale};
                top = std::max(top, p[i]);
            }
            for (double& v : p) total += v = std::exp(v - top);
            for (std::size_t d = 0; d < s.head_dim; ++d) {
                double o = 0;
                for (std::size_t i = 0; i < p.size(); ++i) o += p[i] / total * double{values[(i * s.kv_heads + kv) * s.head_dim + d]};
                out[(std::size_t{t} * s.heads + h) * s.head_dim + d] = o;
            }
        }
    }
    return out;
}

TEST(Attention, MatchesDouble) {
    struct Case {
        std::uint32_t heads, kv, dim, tokens, first;
    };
    const Case cases[] = {{8, 4, 8, 40, 0}, {4, 4, 64, 1, 99}, {9, 3, 64, 21, 0}, {2, 1, 20, 7, 30}, {6, 2, 32, 1, 0}, {16, 2, 16, 3, 13}};
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        for (const Case& c : cases) {
            const AttentionShape shape{c.heads, c.kv, c.dim, 1.0f / std::sqrt(static_cast<float>(c.dim))};
            const std::uint32_t positions = c.first + c.tokens;
            auto q = random_floats(std::size_t{c.tokens} * c.heads * c.dim, 1, 3.0f);
            auto keys = random_floats(std::size_t{positions} * c.kv * c.dim, 2);
            auto values = random_floats(keys.size(), 3);
            std::vector<float> out(q.size());
            backend->attention(q.data(), c.tokens, c.first, shape, {keys.data(), values.data(), positions}, out.data());
            EXPECT_LT(relative_error(out, reference_attention(q, c.tokens, c.first, shape, keys, values)), 2e-6)
                << level << " heads " << c.heads << " dim " << c.dim << " tokens " << c.tokens;
        }
    }
}

TEST(Attention, BatchEqualsSingle) {
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        const AttentionShape shape{6, 2, 32, 0.2f};
        std::vector<std::vector<float>> q, keys, values, alone, together;
        std::vector<AttentionJob> jobs;
        for (std::uint32_t j = 0; j < 5; ++j) {
            const std::uint32_t tokens = 1 + j % 2, first = 40 * j;
            q.push_back(random_floats(std::size_t{tokens} * 6 * 32, j));
            keys.push_back(random_floats(std::size_t{tokens + first} * 64, 10 + j));
            values.push_back(random_floats(keys.back().size(), 20 + j));
            alone.emplace_back(q.back().size());
            together.emplace_back(q.back().size());
            const KvView kv{keys.back().data(), values.back().data(), tokens + first};
            backend->attention(q.back().data(), tokens, first, shape, kv, alone.back().data());
            jobs.push_back({q.back().data(), tokens, first, kv, together.back().data()});
        }
        backend->attention_batch(jobs, shape);
        EXPECT_EQ(alone, together) << level;
    }
}

TEST(Ops, NormRopeSiluAdd) {
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        for (const std::uint32_t dim : {5u, 64u, 172u}) {
            const std::uint32_t tokens = 19;
            const auto x = random_floats(std::size_t{tokens} * dim, dim, 4.0f), w = random_floats(dim, 4);
            std::vector<float> y(x.size());
            backend->rms_norm(x.data(), w.data(), 1e-5f, tokens, dim, y.data());
            std::vector<double> want(x.size()), silu(x.size());
            for (std::size_t t = 0; t < tokens; ++t) {
                double s = 0;
                for (std::size_t c = 0; c < dim; ++c) s += double{x[t * dim + c]} * double{x[t * dim + c]};
                for (std::size_t c = 0; c < dim; ++c) want[t * dim + c] = double{x[t * dim + c]} / std::sqrt(s / dim + 1e-5) * double{w[c]};
            }
            EXPECT_LT(relative_error(y, want), 1e-6) << level;
            for (std::size_t i = 0; i < x.size(); ++i) silu[i] = double{x[i]} / (1 + std::exp(-double{x[i]})) * want[i];
            std::vector<float> z(x.size());
            backend->silu_mul(x.data(), y.data(), x.size(), z.data());
            EXPECT_LT(relative_error(z, silu), 1e-6) << level;
            backend->add(z.data(), y.data(), z.size());
            for (std::size_t i = 0; i < x.size(); ++i) silu[i] += want[i];
            EXPECT_LT(relative_error(z, silu), 1e-6) << level;
        }
        std::vector<float> extreme = {-1e4f, -100, -88, 0, 88, 1e4f, 3, -3, -1e30f, 1e30f, 1, 2, 3, 4, 5, 6, 7}, ones(17, 1.0f), out(17);
        backend->silu_mul(extreme.data(), ones.data(), 17, out.data());
        for (std::size_t i = 0; i < 17; ++i) {
            EXPECT_TRUE(std::isfinite(out[i])) << level << " silu(" << extreme[i] << ")";
            EXPECT_NEAR(double{out[i]}, double{extreme[i]} / (1 + std::exp(-double{extreme[i]})), 1e-6 * std::fabs(double{extreme[i]}) + 1e-30) << level;
        }
    }
}

TEST(Ops, RopeRotatesHalves) {
    auto backend = make_cpu_backend(1);
    const std::vector<float> inv_freq = {1.0f, 0.1f, 0.01f};
    auto x = random_floats(2 * 2 * 6, 6);
    const auto before = x;
    const std::uint32_t positions[] = {0, 321};
    backend->rope(x.data(), positions, 2, 2, 6, inv_freq.data(), 1.0f);
    for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(x[i], before[i]) << "position 0 rotates nothing";
    for (std::size_t h = 0; h < 2; ++h) {
        for (std::size_t i = 0; i < 3; ++i) {
            const double a = double{321.0f * inv_freq[i]}, u = double{before[12 + h * 6 + i]}, v = double{before[12 + h * 6 + 3 + i]};
            EXPECT_NEAR(double{x[12 + h * 6 + i]}, u * std::cos(a) - v * std::sin(a), 1e-6);
            EXPECT_NEAR(double{x[12 + h * 6 + 3 + i]}, v * std::cos(a) + u * std::sin(a), 1e-6);
        }
    }
}

}  // namespace
