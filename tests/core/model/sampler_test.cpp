// SPDX-License-Identifier: Apache-2.0
// Sampling against transformers' logits processors (tests/oracle/make_sampling_fixture.py).
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/model/sampler.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace tenpak;
using namespace tenpak::model;

TEST(Sampler, KeepsWhatTransformersKeeps) {
    const auto text = read_text_file(tenpak::test::source_dir() / "tests/fixtures/sampling/cases.json");
    ASSERT_TRUE(text.ok());
    const Json fixture = Json::parse(*text);
    for (const Json& c : fixture["cases"]) {
        SamplingOptions o;
        const Json& s = c["settings"];
        o.temperature = s.value("temperature", 1.0);
        o.top_k = s.value("top_k", 0u);
        o.top_p = s.value("top_p", 1.0);
        o.min_p = s.value("min_p", 0.0);
        o.repetition_penalty = s.value("repetition_penalty", 1.0);
        const auto logits = fixture["logits"][c["logits"].get<std::size_t>()].get<std::vector<float>>();
        const auto kept = sampling_candidates(logits, c["seen"].get<std::vector<Token>>(), o);
        ASSERT_TRUE(kept.ok()) << kept.error().text();
        ASSERT_EQ(kept->size(), c["kept"].size()) << s.dump() << " of " << c["logits"];
        std::map<Token, double> want;
        for (const Json& k : c["kept"]) want[k[0].get<Token>()] = k[1].get<double>();
        const bool ties = c["logits"] == 3;  // which of equal ones stay is left to the sort there
        double sum = 0;
        for (const auto& k : *kept) {
            sum += k.probability;
            if (ties) continue;
            ASSERT_TRUE(want.contains(k.id)) << s.dump();
            EXPECT_NEAR(k.probability, want[k.id], 1e-6);
        }
        EXPECT_NEAR(sum, 1.0, 1e-12);
    }
    EXPECT_GT(fixture["cases"].size(), 40u);
}

TEST(Sampler, IsReproducibleAndFollowsTheProbabilities) {
    const std::vector<float> logits = {0.0f, std::log(2.0f), std::log(5.0f), -std::numeric_limits<float>::infinity()};
    SamplingOptions o;
    o.seed = 42;
    Sampler a(o), b(o);
    std::vector<int> count(4);
    bool other = false;
    o.seed = 43;
    Sampler c(o);
    for (int i = 0; i < 8000; ++i) {
        const auto x = a.next(logits, {}), y = b.next(logits, {}), z = c.next(logits, {});
        ASSERT_TRUE(x.ok() && y.ok() && z.ok());
        ASSERT_EQ(*x, *y);
        other = other || *x != *z;
        ++count[static_cast<std::size_t>(*x)];
    }
    EXPECT_TRUE(other) << "another seed, other tokens";
    EXPECT_NEAR(count[0], 1000, 150);
    EXPECT_NEAR(count[1], 2000, 200);
    EXPECT_NEAR(count[2], 5000, 250);
    EXPECT_EQ(count[3], 0);
}

TEST(Sampler, TemperatureZeroTakesTheLikeliestAndErrorsAreNamed) {
    SamplingOptions o;
    o.temperature = 0;
    Sampler s(o);
    const std::vector<float> logits = {1.0f, 3.0f, 3.0f, 2.0f};
    EXPECT_EQ(*s.next(logits, {}), 1) << "the first of equal ones";
    o.repetition_penalty = 2;
    EXPECT_EQ(*Sampler(o).next(logits, std::vector<Token>{1, 1, 2, 900, -3}), 3) << "a penalty counts once, ids outside are left out";
    const std::vector<float> bad = {1.0f, std::nanf("")}, none = {-std::numeric_limits<float>::infinity()};
    EXPECT_EQ(s.next(bad, {}).error().code, ErrorCode::kNumeric);
    EXPECT_EQ(s.next(none, {}).error().code, ErrorCode::kNumeric);
    for (const SamplingOptions& wrong : {SamplingOptions{-1}, SamplingOptions{1, 0, 0}, SamplingOptions{1, 0, 1.5}, SamplingOptions{1, 0, 1, 2}, SamplingOptions{1, 0, 1, 0, 0}, SamplingOptions{std::nan("")}}) {
        EXPECT_EQ(check_sampling(wrong).error().code, ErrorCode::kInvalidArgument);
    }
}

}  // namespace
