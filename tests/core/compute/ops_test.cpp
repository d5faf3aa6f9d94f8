// SPDX-License-Identifier: Apache-2.0
// Norm, rotation, attention and activation of every level against plain double-precision loops.
#include <gtest/gtest.h>

#include "core/compute/buffer.h"
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
            std::vector<double> p(first + t + 1, 0.0);
            const std::size_t from = s.window != 0 && p.size() > s.window ? p.size() - s.window : 0;
            double top = -1e300, total = 0;
            for (std::size_t i = from; i < p.size(); ++i) {
                double dot = 0;
                for (std::size_t d = 0; d < s.head_dim; ++d) {
                    dot += double{q[(std::size_t{t} * s.heads + h) * s.head_dim + d]} * double{keys[(i * s.kv_heads + kv) * s.head_dim + d]};
                }
                p[i] = dot * double{s.scale};
                if (s.softcap != 0) p[i] = double{s.softcap} * std::tanh(p[i] / double{s.softcap});
                top = std::max(top, p[i]);
            }
            for (std::size_t i = from; i < p.size(); ++i) total += p[i] = std::exp(p[i] - top);
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
            const AttentionJob job{q.data(), c.tokens, c.first, {keys.data(), values.data(), positions}, out.data()};
            backend->attention_batch({&job, 1}, shape);
            EXPECT_LT(relative_error(out, reference_attention(q, c.tokens, c.first, shape, keys, values)), 2e-6)
                << level << " heads " << c.heads << " dim " << c.dim << " tokens " << c.tokens;
        }
    }
}

TEST(Attention, WindowAndSoftcap) {
    struct Case {
        std::uint32_t heads, kv, dim, tokens, first, window;
        float cap;
    };
    const Case cases[] = {{8, 4, 8, 40, 0, 7, 0}, {4, 4, 64, 1, 99, 33, 0}, {6, 2, 16, 37, 50, 16, 0}, {2, 1, 20, 7, 30, 1, 0}, {6, 2, 32, 19, 3, 0, 2.5f}, {6, 3, 32, 40, 60, 45, 1.5f}, {2, 2, 8, 5, 0, 100, 0}};
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        for (const Case& c : cases) {
            const AttentionShape shape{c.heads, c.kv, c.dim, 0.5f, c.cap, c.window};
            const std::uint32_t positions = c.first + c.tokens;
            auto q = random_floats(std::size_t{c.tokens} * c.heads * c.dim, 1, 2.0f);
            auto keys = random_floats(std::size_t{positions} * c.kv * c.dim, 2);
            auto values = random_floats(keys.size(), 3);
            std::vector<float> out(q.size()), step(q.size());
            const AttentionJob job{q.data(), c.tokens, c.first, {keys.data(), values.data(), positions}, out.data()};
            backend->attention_batch({&job, 1}, shape);
            EXPECT_LT(relative_error(out, reference_attention(q, c.tokens, c.first, shape, keys, values)), 3e-6) << level << " window " << c.window << " cap " << c.cap;
            // Token by token gives the same bits.
            const std::size_t row = std::size_t{c.heads} * c.dim;
            for (std::uint32_t t = 0; t < c.tokens; ++t) {
                const AttentionJob one{q.data() + t * row, 1, c.first + t, job.kv, step.data() + t * row};
                backend->attention_batch({&one, 1}, shape);
            }
            EXPECT_EQ(out, step) << level << " window " << c.window << " cap " << c.cap;
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
            const AttentionJob job{q.back().data(), tokens, first, kv, alone.back().data()};
            backend->attention_batch({&job, 1}, shape);
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
            backend->rms_norm(x.data(), w.data(), 1e-5f, tokens, dim, y.data(), false);
            std::vector<double> want(x.size()), silu(x.size());
            for (std::size_t t = 0; t < tokens; ++t) {
                double s = 0;
                for (std::size_t c = 0; c < dim; ++c) s += double{x[t * dim + c]} * double{x[t * dim + c]};
                for (std::size_t c = 0; c < dim; ++c) want[t * dim + c] = double{x[t * dim + c]} / std::sqrt(s / dim + 1e-5) * double{w[c]};
            }
            EXPECT_LT(relative_error(y, want), 1e-6) << level;
            for (std::size_t i = 0; i < x.size(); ++i) silu[i] = double{x[i]} / (1 + std::exp(-double{x[i]})) * want[i];
            std::vector<float> z(x.size());
            backend->activation_mul(Activation::kSilu, x.data(), y.data(), x.size(), z.data());
            EXPECT_LT(relative_error(z, silu), 1e-6) << level;
            backend->add(z.data(), y.data(), z.size());
            for (std::size_t i = 0; i < x.size(); ++i) silu[i] += want[i];
            EXPECT_LT(relative_error(z, silu), 1e-6) << level;
        }
        std::vector<float> extreme = {-1e4f, -100, -88, 0, 88, 1e4f, 3, -3, -1e30f, 1e30f, 1, 2, 3, 4, 5, 6, 7}, ones(17, 1.0f), out(17);
        backend->activation_mul(Activation::kSilu, extreme.data(), ones.data(), 17, out.data());
        for (std::size_t i = 0; i < 17; ++i) {
            EXPECT_TRUE(std::isfinite(out[i])) << level << " silu(" << extreme[i] << ")";
            EXPECT_NEAR(double{out[i]}, double{extreme[i]} / (1 + std::exp(-double{extreme[i]})), 1e-6 * std::fabs(double{extreme[i]}) + 1e-30) << level;
        }
    }
}

TEST(Ops, LayerNormAndUnitOffset) {
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        for (const std::uint32_t dim : {5u, 64u, 172u}) {
            const std::uint32_t tokens = 19;
            auto x = random_floats(std::size_t{tokens} * dim, dim, 4.0f);
            for (float& v : x) v += 30;  // far from zero
            const auto w = random_floats(dim, 4), b = random_floats(dim, 5);
            std::vector<double> rms(x.size()), layer(x.size()), unbiased(x.size());
            for (std::size_t t = 0; t < tokens; ++t) {
                double sum = 0, squares = 0, variance = 0;
                for (std::size_t c = 0; c < dim; ++c) sum += double{x[t * dim + c]};
                for (std::size_t c = 0; c < dim; ++c) squares += double{x[t * dim + c]} * double{x[t * dim + c]};
                for (std::size_t c = 0; c < dim; ++c) variance += std::pow(double{x[t * dim + c]} - sum / dim, 2);
                for (std::size_t c = 0; c < dim; ++c) {
                    const std::size_t i = t * dim + c;
                    rms[i] = double{x[i]} / std::sqrt(squares / dim + 1e-5) * (1 + double{w[c]});
                    unbiased[i] = (double{x[i]} - sum / dim) / std::sqrt(variance / dim + 1e-5) * double{w[c]};
                    layer[i] = unbiased[i] + double{b[c]};
                }
            }
            std::vector<float> y(x.size());
            backend->rms_norm(x.data(), w.data(), 1e-5f, tokens, dim, y.data(), true);
            EXPECT_LT(relative_error(y, rms), 1e-6) << level;
            backend->layer_norm(x.data(), w.data(), nullptr, 1e-5f, tokens, dim, y.data());
            EXPECT_LT(relative_error(y, unbiased), 5e-6) << level;
            backend->layer_norm(x.data(), w.data(), b.data(), 1e-5f, tokens, dim, x.data());
            EXPECT_LT(relative_error(x, layer), 5e-6) << level << " in place";
        }
    }
}

TEST(Ops, ActivationsCapsAndScale) {
    const auto gelu_tanh = [](double v) { return 0.5 * v * (1 + std::tanh(std::sqrt(2 / 3.14159265358979) * (v + 0.044715 * v * v * v))); };
    const auto gelu_erf = [](double v) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))); };
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        auto x = random_floats(1003, 9, 6.0f);
        for (const float v : {0.0f, -0.0f, 100.0f, -100.0f, 1e20f, -1e20f, 1e-6f, -12.0f}) x.push_back(v);
        const auto up = random_floats(x.size(), 10);
        for (std::size_t n : {x.size(), std::size_t{3}}) {
            for (const bool erf : {false, true}) {
                const Activation kind = erf ? Activation::kGeluErf : Activation::kGeluTanh;
                std::vector<float> y(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(n)), z(n), capped = y;
                backend->activation_mul(kind, y.data(), up.data(), n, z.data());
                backend->activation(kind, y.data(), n);
                backend->softcap(capped.data(), n, 3.0f);
                for (std::size_t i = 0; i < n; ++i) {
                    const double v = double{x[i]}, want = erf ? gelu_erf(v) : gelu_tanh(v);
                    EXPECT_NEAR(double{y[i]}, want, 4e-7 * std::fabs(v)) << level << " x " << v;
                    EXPECT_NEAR(double{z[i]}, want * double{up[i]}, 4e-7 * std::fabs(v * double{up[i]})) << level << " x " << v;
                    EXPECT_NEAR(double{capped[i]}, 3 * std::tanh(v / 3), 1e-6) << level << " x " << v;
                }
            }
        }
        std::vector<float> y = x;
        backend->scale(y.data(), y.size(), 0.5f);
        for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(y[i], 0.5f * x[i]);
    }
}

TEST(Ops, BufferGrowsAndCopies) {
    auto backend = make_cpu_backend(1);
    Buffer buffer(*backend);
    EXPECT_EQ(buffer.bytes(), 0u);
    const auto x = random_floats(70, 1);
    ASSERT_TRUE(buffer.assign(x).ok());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
    std::vector<float> back(70), moved(70);
    Buffer other = std::move(buffer);
    EXPECT_EQ(buffer.data(), nullptr);
    backend->copy(other.data(), 70, moved.data());
    ASSERT_TRUE(backend->download(other.data(), 70, back.data()).ok());
    EXPECT_EQ(back, x);
    EXPECT_EQ(moved, x);
    float* before = other.data();
    ASSERT_TRUE(other.reserve(10).ok());
    EXPECT_EQ(other.data(), before) << "it never shrinks";
    EXPECT_EQ(other.reserve(SIZE_MAX / 8).error().code, ErrorCode::kOutOfMemory);
    EXPECT_EQ(other.data(), nullptr);
}

TEST(Ops, RopeTurnsPartOfAHeadAndKeepsSeveralTables) {
    auto backend = make_cpu_backend(1);
    const auto first = random_floats(3, 1), second = random_floats(3, 2);
    const auto x = random_floats(2 * 20, 6);  // two tokens of two heads of 8, 4 values between tokens
    const std::uint32_t positions[] = {5, 1000};
    for (int round = 0; round < 2; ++round) {
        for (const auto* inv_freq : {&first, &second}) {
            auto y = x;
            backend->rope(y.data(), positions, {2, 8, 6, 20, 1.5f}, inv_freq->data());
            for (std::size_t t = 0; t < 2; ++t) {
                for (std::size_t i = 16; i < 20; ++i) EXPECT_EQ(y[t * 20 + i], x[t * 20 + i]);
                for (std::size_t h = 0; h < 2; ++h) {
                    const float *in = x.data() + t * 20 + h * 8, *out = y.data() + t * 20 + h * 8;
                    for (std::size_t i = 0; i < 3; ++i) {
                        const double a = double{static_cast<float>(positions[t]) * (*inv_freq)[i]}, u = double{in[i]}, v = double{in[3 + i]};
                        EXPECT_NEAR(double{out[i]}, 1.5 * (u * std::cos(a) - v * std::sin(a)), 2e-6);
                        EXPECT_NEAR(double{out[3 + i]}, 1.5 * (v * std::cos(a) + u * std::sin(a)), 2e-6);
                    }
                    EXPECT_EQ(out[6], in[6]);
                    EXPECT_EQ(out[7], in[7]);
                }
            }
        }
    }
}

TEST(Ops, RopeRotatesHalves) {
    auto backend = make_cpu_backend(1);
    const std::vector<float> inv_freq = {1.0f, 0.1f, 0.01f};
    auto x = random_floats(2 * 2 * 6, 6);
    const auto before = x;
    const std::uint32_t positions[] = {0, 321};
    backend->rope(x.data(), positions, {2, 6, 6, 12, 1.0f}, inv_freq.data());
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
