// SPDX-License-Identifier: Apache-2.0
// Against tests/fixtures/quant/quantizers.json, written by tests/oracle/quant_oracle.py (NumPy, fp64, other formulas).
#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/half.h"
#include "core/quant/awq.h"
#include "core/quant/gptq.h"
#include "core/quant/round_to_nearest.h"
#include "tests/support/temp_dir.h"

using namespace tenpak;
using namespace tenpak::quant;
using compute::LinearWeight;
using nlohmann::json;

namespace {

class Quantizers : public ::testing::Test {
   protected:
    void SetUp() override {
        std::ifstream in(test::source_dir() / "tests/fixtures/quant/quantizers.json");
        ASSERT_TRUE(in.good());
        golden = json::parse(in);
        n = golden["n"];
        k = golden["k"];
        group = golden["group"];
        w = floats("w");
        x = floats("x");
        few = floats("few");
    }
    std::vector<float> floats(const char* key) const {
        std::vector<float> v;
        for (const auto& b : golden[key]) v.push_back(bf16_to_float(b.get<std::uint16_t>()));
        return v;
    }
    Gram gram_of(const std::vector<float>& inputs) {
        Gram g(k);
        g.add(inputs.data(), static_cast<std::uint32_t>(inputs.size() / k), pool);
        EXPECT_TRUE(g.finish("x").ok());
        return g;
    }
    GroupFormat format(unsigned bits, bool symmetric) const {
        GroupFormat f;
        f.bits = bits;
        f.group = group;
        f.symmetric = symmetric;
        return f;
    }
    static int code(const LinearWeight& q, std::uint32_t row, std::uint32_t c) {
        const std::uint8_t byte = q.codes[std::size_t{row} * (q.k / 2) + c / 2];
        return c % 2 == 0 ? byte & 15 : byte >> 4;
    }
    int different_codes(const LinearWeight& q, const json& want) const {
        int different = 0;
        for (std::uint32_t i = 0; i < n * k; ++i) different += code(q, i / k, i % k) != want["codes"][i].get<int>();
        return different;
    }
    // Squared output error of dequantized values (divided by `scales` of the input where given), from the inputs themselves.
    double error_of(const LinearWeight& q, const std::vector<float>& inputs, const std::vector<float>& scales = {}) const {
        double e = 0;
        for (std::size_t t = 0; t < inputs.size() / k; ++t) {
            for (std::uint32_t r = 0; r < n; ++r) {
                double y = 0;
                for (std::uint32_t c = 0; c < k; ++c) {
                    const std::size_t g = std::size_t{r} * (k / group) + c / group;
                    double v = static_cast<double>(code(q, r, c) - q.zeros[g]) * q.scales[g];
                    if (!scales.empty()) v /= scales[c];
                    y += (v - w[r * k + c]) * inputs[t * k + c];
                }
                e += y * y;
            }
        }
        return e;
    }

    json golden;
    std::uint32_t n = 0, k = 0, group = 0;
    std::vector<float> w, x, few;
    ThreadPool pool{2};
};

}  // namespace

TEST_F(Quantizers, RoundToNearestIsExactlyTheOracles) {
    for (const auto& [name, bits, symmetric] : {std::tuple{"rtn_asym4", 4u, false}, {"rtn_sym4", 4u, true}, {"rtn_asym3", 3u, false}}) {
        const LinearWeight q = round_to_nearest_int4(w, n, k, format(bits, symmetric), pool);
        const json& want = golden[name];
        EXPECT_EQ(different_codes(q, want), 0) << name;
        EXPECT_EQ(q.scales, want["scales"].get<std::vector<float>>()) << name;
        EXPECT_EQ(q.zeros, want["zeros"].get<std::vector<std::uint8_t>>()) << name;
        EXPECT_EQ(q.symmetric, symmetric);
        std::vector<float> values(w.size());
        round_values(w.data(), n, k, format(bits, symmetric), values.data());
        for (std::uint32_t i = 0; i < n * k; ++i) {
            const std::size_t g = i / group;
            ASSERT_EQ(values[i], static_cast<float>(code(q, i / k, i % k) - q.zeros[g]) * q.scales[g]);
        }
    }
}

TEST_F(Quantizers, Int8PerRowIsExactlyTheOracles) {
    const LinearWeight q = round_to_nearest_int8(w, n, k, 0, 0x1p-120f, pool);
    EXPECT_EQ(q.format, compute::WeightFormat::kInt8Channel);
    const json& want = golden["int8"];
    for (std::size_t i = 0; i < q.codes.size(); ++i) ASSERT_EQ(std::bit_cast<std::int8_t>(q.codes[i]), want["codes"][i].get<int>());
    EXPECT_EQ(q.scales, want["scales"].get<std::vector<float>>());
}

TEST_F(Quantizers, Nf4IsExactlyTheOracles) {
    const json& want = golden["nf4"];
    const LinearWeight plain = round_to_nearest_nf4(w, n, k, group, false, pool), nested = round_to_nearest_nf4(w, n, k, group, true, pool);
    EXPECT_EQ(different_codes(plain, want), 0);
    EXPECT_EQ(plain.scales, want["absmax"].get<std::vector<float>>());
    EXPECT_TRUE(plain.scale_codes.empty());
    EXPECT_EQ(nested.codes, plain.codes);
    EXPECT_EQ(nested.scale_codes, want["scale_codes"].get<std::vector<std::uint8_t>>());
    EXPECT_EQ(nested.nested_scales, want["nested"].get<std::vector<float>>());
    EXPECT_EQ(nested.nested_offset, want["offset"].get<float>());
    EXPECT_EQ(nested.scales, want["scales"].get<std::vector<float>>());
    EXPECT_TRUE(nested.validate("w").ok());
    // optimizer.md 4.6: 1, -1, 0 and 0.5 in a block of largest magnitude 1 are codes 15, 0, 7 and 12.
    std::vector<float> block(64, 0.0f);
    block[0] = 1, block[1] = -1, block[3] = 0.5f;
    const LinearWeight q = round_to_nearest_nf4(block, 1, 64, 64, false, pool);
    EXPECT_EQ(q.codes[0], 0x0f);
    EXPECT_EQ(q.codes[1], 0xc7);
}

TEST_F(Quantizers, EightBitRowsAreExactlyTheOracles) {
    const LinearWeight fp8 = round_to_nearest_fp8(w, n, k, pool), llm = round_to_nearest_llm_int8(w, n, k, 6, pool);
    EXPECT_EQ(fp8.codes, golden["fp8"]["codes"].get<std::vector<std::uint8_t>>());
    EXPECT_EQ(fp8.scales, golden["fp8"]["scales"].get<std::vector<float>>());
    for (std::size_t i = 0; i < llm.codes.size(); ++i) ASSERT_EQ(std::bit_cast<std::int8_t>(llm.codes[i]), golden["llm_int8"]["codes"][i].get<int>());
    EXPECT_EQ(llm.scales, golden["llm_int8"]["scales"].get<std::vector<float>>());
    EXPECT_EQ(llm.outlier_threshold, 6);
    // A row of zeros and one of the smallest numbers stay finite.
    std::vector<float> odd(2 * k, 0.0f);
    for (std::uint32_t c = 0; c < k; ++c) odd[k + c] = 1e-44f;
    for (const LinearWeight& q : {round_to_nearest_fp8(odd, 2, k, pool), round_to_nearest_llm_int8(odd, 2, k, 6, pool), round_to_nearest_nf4(odd, 2, k, group, true, pool)}) {
        EXPECT_TRUE(q.validate("w").ok());
        for (const float v : q.dequantize()) EXPECT_LT(std::fabs(v), 1e-30f);
    }
}

TEST_F(Quantizers, Int8GroupsAreCloserThanRows) {
    const LinearWeight rows = round_to_nearest_int8(w, n, k, 0, 0x1p-120f, pool), groups = round_to_nearest_int8(w, n, k, group, 0x1p-120f, pool);
    EXPECT_EQ(groups.format, compute::WeightFormat::kInt8Group);
    double row_error = 0, group_error = 0;
    for (std::uint32_t i = 0; i < n * k; ++i) {
        const double r = std::bit_cast<std::int8_t>(rows.codes[i]) * static_cast<double>(rows.scales[i / k]) - w[i];
        const double g = std::bit_cast<std::int8_t>(groups.codes[i]) * static_cast<double>(groups.scales[i / group]) - w[i];
        EXPECT_LE(std::fabs(g), static_cast<double>(groups.scales[i / group]) * 0.76);  // half a step, and what bf16 takes off the top
        row_error += r * r;
        group_error += g * g;
    }
    EXPECT_LT(group_error, row_error);
}

TEST_F(Quantizers, AwqFindsTheOraclesScalesAndCodes) {
    const Gram gram = gram_of(x);
    for (const auto& [name, bits] : {std::pair{"awq4", 4u}, {"awq3", 3u}}) {
        const GroupFormat f = format(bits, false);
        const json& want = golden[name];
        const AwqTarget target{w.data(), n};
        const auto found = search_awq_scales({&target, 1}, gram, f, [](std::span<float>) {}, pool, {});
        ASSERT_TRUE(found.ok());
        EXPECT_EQ(found->best, want["best"].get<int>());
        ASSERT_EQ(found->losses.size(), 20u);
        for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(found->losses[i], want["losses"][i].get<double>(), 0.01 * want["losses"][i].get<double>());
        for (std::uint32_t c = 0; c < k; ++c) EXPECT_NEAR(found->scales[c], want["input_scales"][c].get<float>(), 1e-5f * found->scales[c]);
        std::vector<float> scaled(w);
        for (std::uint32_t i = 0; i < n * k; ++i) scaled[i] *= found->scales[i % k];
        ASSERT_TRUE(clip_awq(scaled, n, gram, found->scales, f, pool, {}).ok());
        const LinearWeight q = round_to_nearest_int4(scaled, n, k, f, pool);
        EXPECT_LE(different_codes(q, want), 4) << name;  // of 768: fp32 and fp64 may fall to different sides of a tie
        const double error = error_of(q, x, found->scales);
        EXPECT_NEAR(error, want["error"].get<double>(), 0.01 * error);
        EXPECT_LT(error, found->plain_loss);
    }
}

TEST_F(Quantizers, AwqIsNeverWorseThanRoundToNearest) {
    // One giant weight a group on channels without activation: scaling by the grid can only hurt, no scaling must win.
    const GroupFormat f = format(4, false);
    const Gram gram = gram_of(x);
    const AwqTarget target{w.data(), n};
    const auto bad = [](std::span<float> s) { std::fill(s.begin(), s.end(), 1.0f); };
    const auto found = search_awq_scales({&target, 1}, gram, f, bad, pool, {});
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->best, -1);
    EXPECT_EQ(found->loss, found->plain_loss);
    EXPECT_NEAR(found->plain_loss, golden["rtn_asym4"]["error"].get<double>(), 1e-3 * found->plain_loss);
}

TEST_F(Quantizers, GptqFollowsTheOracle) {
    struct Case { const char* name; unsigned bits; bool symmetric; double damp; bool order; const std::vector<float>& inputs; };
    for (const Case& c : {Case{"gptq_sym4", 4, true, 0.05, true, x}, Case{"gptq_asym4_plain_order", 4, false, 0.05, false, x},
                          Case{"gptq_asym3_few", 3, false, 0.01, true, few}}) {
        const Gram gram = gram_of(c.inputs);
        GptqOptions options;
        options.damp = c.damp;
        options.order = c.order ? ColumnOrder::kByGroup : ColumnOrder::kStored;
        const auto factor = factor_hessian(gram, group, options, pool, {});
        ASSERT_TRUE(factor.ok()) << factor.error().text();
        EXPECT_EQ(factor->dead, 1u);
        EXPECT_EQ(factor->damp, c.damp);
        const GroupFormat f = format(c.bits, c.symmetric);
        const auto q = gptq(w, n, *factor, f, false, pool, {});
        ASSERT_TRUE(q.ok());
        const json& want = golden[c.name];
        EXPECT_LE(different_codes(*q, want), 8) << c.name;  // a tie that falls to the other side moves its successors, too
        const double error = error_of(*q, c.inputs), plain = error_of(round_to_nearest_int4(w, n, k, f, pool), c.inputs);
        EXPECT_NEAR(error, want["error"].get<double>(), 0.05 * error) << c.name;
        EXPECT_LT(error, 0.5 * plain) << c.name;
    }
}

TEST_F(Quantizers, GptqRoundsDeadChannelsToNearestAndSurvivesAllDead) {
    const std::vector<float> silent(std::size_t{4} * k, 0.0f);
    const auto factor = factor_hessian(gram_of(silent), group, {}, pool, {});
    ASSERT_TRUE(factor.ok());
    EXPECT_EQ(factor->dead, k);
    const GroupFormat f = format(4, false);
    const auto q = gptq(w, n, *factor, f, false, pool, {});
    ASSERT_TRUE(q.ok());
    const LinearWeight plain = round_to_nearest_int4(w, n, k, f, pool);
    EXPECT_EQ(q->codes, plain.codes);
    EXPECT_EQ(q->scales, plain.scales);
}

TEST_F(Quantizers, ResultsDoNotDependOnThreads) {
    const Gram gram = gram_of(x);
    ThreadPool one(1), three(3);
    const GroupFormat f = format(4, false);
    const auto fa = factor_hessian(gram, group, {}, one, {}), fb = factor_hessian(gram, group, {}, three, {});
    ASSERT_TRUE(fa.ok() && fb.ok());
    const auto a = gptq(w, n, *fa, f, false, one, {}), b = gptq(w, n, *fb, f, false, three, {});
    EXPECT_EQ(a->codes, b->codes);
    const AwqTarget target{w.data(), n};
    const auto sa = search_awq_scales({&target, 1}, gram, f, [](std::span<float>) {}, one, {});
    const auto sb = search_awq_scales({&target, 1}, gram, f, [](std::span<float>) {}, three, {});
    EXPECT_EQ(sa->scales, sb->scales);
    EXPECT_EQ(sa->losses, sb->losses);
}

TEST_F(Quantizers, ZeroAndTinyGroupsStayFinite) {
    std::vector<float> v(w.size(), 0.0f);
    for (std::uint32_t c = 0; c < group; ++c) v[c] = 1e-40f;                   // subnormal
    for (std::uint32_t c = 0; c < group; ++c) v[group + c] = c % 2 ? 3e38f : -3e38f;  // range beyond fp32
    for (const bool symmetric : {false, true}) {
        const LinearWeight q = round_to_nearest_int4(v, n, k, format(4, symmetric), pool);
        for (const float s : q.scales) {
            EXPECT_TRUE(std::isfinite(s));
            EXPECT_GT(s, 0.0f);
        }
        for (std::uint32_t i = 2 * group; i < n * k; ++i) ASSERT_EQ(code(q, i / k, i % k), static_cast<int>(q.zeros[i / group]));
    }
}

TEST_F(Quantizers, StopsWhenCancelled) {
    const Gram gram = gram_of(x);
    std::stop_source stop;
    stop.request_stop();
    JobContext ctx;
    ctx.stop = stop.get_token();
    const AwqTarget target{w.data(), n};
    const auto awq_result = search_awq_scales({&target, 1}, gram, format(4, false), [](std::span<float>) {}, pool, ctx);
    ASSERT_FALSE(awq_result.ok());
    EXPECT_EQ(awq_result.error().code, ErrorCode::kCancelled);
    EXPECT_EQ(factor_hessian(gram, group, {}, pool, ctx).error().code, ErrorCode::kCancelled);
}
