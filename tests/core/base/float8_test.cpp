// SPDX-License-Identifier: Apache-2.0
#include "core/base/float8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

using namespace tenpak;

TEST(Float8, KnownValues) {
    EXPECT_EQ(e4m3_to_float(0x7e), 448.0f);
    EXPECT_EQ(e4m3_to_float(0x38), 1.0f);
    EXPECT_EQ(e4m3_to_float(0xb8), -1.0f);
    EXPECT_EQ(e4m3_to_float(0x08), 0x1p-6f);  // the smallest normal
    EXPECT_EQ(e4m3_to_float(0x07), 7 * 0x1p-9f);
    EXPECT_EQ(e4m3_to_float(0x01), 0x1p-9f);
    EXPECT_TRUE(std::isnan(e4m3_to_float(0x7f)));
    EXPECT_TRUE(std::isnan(e4m3_to_float(0xff)));
}
TEST(Float8, EveryCodeComesBack) {
    for (unsigned c = 0; c < 256; ++c) {
        if ((c & 0x7f) == 0x7f) continue;
        EXPECT_EQ(float_to_e4m3(e4m3_to_float(static_cast<std::uint8_t>(c))), c);
    }
}
TEST(Float8, RoundsToNearestEven) {
    for (unsigned c = 0; c < 0x7e; ++c) {
        const float a = e4m3_to_float(static_cast<std::uint8_t>(c)), b = e4m3_to_float(static_cast<std::uint8_t>(c + 1));
        const float middle = (a + b) / 2;  // exact
        EXPECT_EQ(float_to_e4m3(middle), c % 2 == 0 ? c : c + 1) << middle;
        EXPECT_EQ(float_to_e4m3(std::nextafter(middle, 0.0f)), c);
        EXPECT_EQ(float_to_e4m3(std::nextafter(middle, 1000.0f)), c + 1);
        EXPECT_EQ(float_to_e4m3(-std::nextafter(middle, 1000.0f)), (c + 1) | 0x80);
    }
}
TEST(Float8, LargeValuesSaturateAndNanStays) {
    EXPECT_EQ(float_to_e4m3(449.0f), 0x7e);
    EXPECT_EQ(float_to_e4m3(-1e30f), 0xfe);
    EXPECT_EQ(float_to_e4m3(std::numeric_limits<float>::infinity()), 0x7e);
    EXPECT_EQ(float_to_e4m3(std::numeric_limits<float>::quiet_NaN()) & 0x7f, 0x7f);
}
