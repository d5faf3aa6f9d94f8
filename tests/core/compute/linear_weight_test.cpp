// SPDX-License-Identifier: Apache-2.0
// What the codes of each weight format stand for, by small weights whose values are worked out by hand.
#include "core/compute/linear_weight.h"

#include <gtest/gtest.h>

#include "core/compute/row_map.h"

using namespace tenpak;
using namespace tenpak::compute;

namespace {

LinearWeight grouped(WeightFormat format, std::uint32_t n, std::uint32_t k, std::uint32_t group) {
    LinearWeight w;
    w.format = format;
    w.n = n;
    w.k = k;
    w.group = group;
    return w;
}

LinearWeight residual() {
    LinearWeight w = grouped(WeightFormat::kInt4Residual, 1, 8, 4);
    w.symmetric = false;
    w.codes = {0xf0, 0x80, 0x21, 0x43};  // 0 15, 0 8, 1 2, 3 4
    w.low = {0b11'10'01'00, 0b00'01'10'11};
    w.scales = {0.5f, 2.0f};
    w.zeros = {32, 10};
    return w;
}

LinearWeight sparse() {
    LinearWeight w = grouped(WeightFormat::kInt4Sparse, 1, 16, 8);
    w.codes = {0xf7, 0x88, 0x88, 0x09, 0x88, 0x88, 0x88, 0x78};  // 7 15 8 8 8 8 9 0 | 8 8 8 8 8 8 8 7
    w.mask = {0b0000'0011, 0b1000'0001};                          // columns 0, 1; columns 8, 15
    w.low = {0x1f, 0xa5};                                         // 15, 1; 5, 10
    w.multiples = {3, 1};
    w.scales = {1.0f, 0.5f};
    return w;
}

}  // namespace

TEST(LinearWeight, ResidualIsASixBitGridInTwoPlanes) {
    const LinearWeight w = residual();
    ASSERT_TRUE(w.validate("w").ok());
    EXPECT_EQ(w.dequantize(), (std::vector<float>{(0 + 0 - 32) * 0.5f, (60 + 1 - 32) * 0.5f, (0 + 2 - 32) * 0.5f, (32 + 3 - 32) * 0.5f,
                                                  (4 + 3 - 10) * 2.0f, (8 + 2 - 10) * 2.0f, (12 + 1 - 10) * 2.0f, (16 + 0 - 10) * 2.0f}));
    EXPECT_EQ(w.stored_bytes(), 6u + 4u + 2u);  // 48 bits of codes, two scales, 12 bits of zeros
}
TEST(LinearWeight, SparseKeepsEightBitsOfAQuarter) {
    const LinearWeight w = sparse();
    ASSERT_TRUE(w.validate("w").ok());
    EXPECT_EQ(w.dequantize(), (std::vector<float>{127, -15, 0, 0, 0, 0, 3, -24,  // 0x7f, 0xf1 = -15; (9 - 8) * 3, (0 - 8) * 3
                                                  -61.5f, 0, 0, 0, 0, 0, 0, 61}));  // 0x85 = -123, 0x7a = 122, times 0.5
    LinearWeight bad = w;
    bad.mask[0] = 0b0000'0111;
    EXPECT_FALSE(bad.validate("w").ok());
    bad = w;
    bad.multiples[1] = 16;
    EXPECT_FALSE(bad.validate("w").ok());
}
TEST(LinearWeight, Nf4AndItsNestedScales) {
    LinearWeight w = grouped(WeightFormat::kNf4Group, 2, 4, 4);
    w.codes = {0x0f, 0xc7, 0x70, 0x77};  // 15 0 7 12 | 0 7 7 7
    w.scales = {2.0f, 3.0f};
    ASSERT_TRUE(w.validate("w").ok());
    EXPECT_EQ(w.dequantize(), (std::vector<float>{2.0f, -2.0f, 0.0f, 2 * 0.44070982933044434f, -3.0f, 0, 0, 0}));
    EXPECT_EQ(w.stored_bytes(), 4u + 8u);
    w.scale_codes = {1, 2};
    EXPECT_FALSE(w.validate("w").ok());
    w.nested_scales = {1.5f};
    EXPECT_TRUE(w.validate("w").ok());
    EXPECT_EQ(w.stored_bytes(), 4u + 2u + 4u + 4u);
}
TEST(LinearWeight, Fp8RefusesNan) {
    LinearWeight w = grouped(WeightFormat::kFp8Channel, 1, 2, 0);
    w.codes = {0x38, 0xfe};
    w.scales = {0.5f};
    ASSERT_TRUE(w.validate("w").ok());
    EXPECT_EQ(w.dequantize(), (std::vector<float>{0.5f, -224.0f}));
    w.codes[0] = 0x7f;
    EXPECT_EQ(w.validate("w").error().code, ErrorCode::kNumeric);
}
TEST(LinearWeight, GroupIndexNamesEachColumnsGroup) {
    LinearWeight w = grouped(WeightFormat::kInt4Group, 1, 4, 2);
    w.codes = {0x99, 0x99};
    w.scales = {1.0f, 10.0f};
    w.zeros = {8, 7};
    w.symmetric = false;
    w.group_index = {1, 0, 0, 1};
    ASSERT_TRUE(w.validate("w").ok());
    EXPECT_EQ(w.dequantize(), (std::vector<float>{20, 1, 1, 20}));
    w.group_index = {1, 0, 0, 0};
    EXPECT_FALSE(w.validate("w").ok());
    w.group_index = {2, 0, 0, 1};
    EXPECT_FALSE(w.validate("w").ok());
}
TEST(LinearWeight, RowsOfEveryFormatAreTakenWhole) {
    LinearWeight two = sparse();
    const LinearWeight one = two;
    two.n = 2;
    for (auto* v : {&two.codes, &two.low, &two.mask, &two.multiples}) v->insert(v->end(), v->begin(), v->end());
    two.scales.insert(two.scales.end(), {4.0f, 8.0f});
    ASSERT_TRUE(two.validate("w").ok());
    const LinearWeight second = take_rows(two, RowMap::range(1, 1));
    ASSERT_TRUE(second.validate("w").ok());
    const auto all = two.dequantize();
    EXPECT_EQ(second.dequantize(), std::vector<float>(all.begin() + 16, all.end()));
    EXPECT_EQ(take_rows(two, RowMap::range(0, 1)).dequantize(), one.dequantize());
}
