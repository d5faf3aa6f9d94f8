// SPDX-License-Identifier: Apache-2.0
#include "core/quant/candidate.h"

#include <gtest/gtest.h>

using namespace tenpak;
using namespace tenpak::quant;

TEST(Candidate, KnowsEveryNameOfTheDesign) {
    for (const char* name : {"fp16", "int8", "llm_int8", "int8_g128", "fp8", "nf4", "rtn_g128", "awq_g128", "awq_g256", "gptq_g128", "gptq_g128_sym", "gptq_g128_desc", "int4_residual", "int4_sparse25", "mixed", "mixed_4.5"}) {
        const auto c = find_candidate(name);
        ASSERT_TRUE(c.ok()) << name;
        EXPECT_EQ(c->name, name);
    }
    EXPECT_TRUE(find_candidate("int8")->rounds_activations());
    EXPECT_EQ(find_candidate("awq_g256")->group, 256u);
    EXPECT_FALSE(find_candidate("rtn_g128")->needs_calibration());
    EXPECT_TRUE(find_candidate("gptq_g128")->needs_calibration());
    EXPECT_FALSE(find_candidate("fp16")->lossy());
}
TEST(Candidate, UnknownNameListsTheKnownOnes) {
    const auto c = find_candidate("awq_g100");
    ASSERT_FALSE(c.ok());
    EXPECT_EQ(c.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(c.error().text().find("gptq_g128"), std::string::npos);
}
TEST(Candidate, ParsesLists) {
    const auto all = parse_candidates("");
    ASSERT_TRUE(all.ok());
    ASSERT_EQ(all->size(), default_candidates().size());
    EXPECT_EQ(all->front().name, "fp16");
    const auto two = parse_candidates("int8,awq_g128");
    ASSERT_TRUE(two.ok());
    EXPECT_EQ(two->at(1).name, "awq_g128");
    for (const char* bad : {",", "int8,", "int8,,fp16", "int8,int8", "int7", " int8"}) {
        const auto r = parse_candidates(bad);
        ASSERT_FALSE(r.ok()) << bad;
        EXPECT_EQ(r.error().code, ErrorCode::kInvalidArgument) << bad;
    }
}
