// SPDX-License-Identifier: Apache-2.0
#include "core/base/half.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace tenpak;

TEST(Half, EveryBf16AndFp16SurvivesARoundTrip) {
    for (std::uint32_t i = 0; i < 65536; ++i) {
        const auto h = static_cast<std::uint16_t>(i);
        if (!std::isnan(bf16_to_float(h))) ASSERT_EQ(float_to_bf16(bf16_to_float(h)), h);
        else ASSERT_TRUE(std::isnan(bf16_to_float(float_to_bf16(bf16_to_float(h)))));
        if (!std::isnan(fp16_to_float(h))) ASSERT_EQ(float_to_fp16(fp16_to_float(h)), h);
        else ASSERT_TRUE(std::isnan(fp16_to_float(float_to_fp16(fp16_to_float(h)))));
    }
}
TEST(Half, RoundsToNearestEvenBetweenNeighbours) {
    for (std::uint32_t i = 0; i < 0x7bff; ++i) {  // all finite positive fp16
        const auto h = static_cast<std::uint16_t>(i);
        const float a = fp16_to_float(h), b = fp16_to_float(static_cast<std::uint16_t>(h + 1)), mid = (a + b) / 2;
        ASSERT_EQ(float_to_fp16(mid), (h & 1) != 0 ? h + 1 : h);
        ASSERT_EQ(float_to_fp16(std::nextafter(mid, 0.0f)), h);
        ASSERT_EQ(float_to_fp16(std::nextafter(mid, 1e9f)), h + 1);
    }
    EXPECT_EQ(float_to_fp16(65520.0f), 0x7c00);
    EXPECT_EQ(float_to_fp16(65519.0f), 0x7bff);
    EXPECT_EQ(float_to_fp16(-0.0f), 0x8000);
    EXPECT_EQ(float_to_bf16(1.00390625f), 0x3f80);  // tie to even
    EXPECT_EQ(float_to_bf16(1.01171875f), 0x3f82);
}
