// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/dtype.h"

namespace tenpak {
namespace {

TEST(DType, NamesRoundTripAndOrderIsByAlignment) {
    unsigned last_wide = 0;
    for (unsigned i = 0; i <= static_cast<unsigned>(DType::kU64); ++i) {
        const auto t = static_cast<DType>(i);
        ASSERT_EQ(dtype_from_name(dtype_name(t)), t) << i;
        EXPECT_FALSE(dtype_label(t).empty());
        if (dtype_bits(t) >= 8) {
            EXPECT_GE(dtype_bits(t), last_wide);
            last_wide = dtype_bits(t);
        }
    }
    EXPECT_EQ(dtype_bits(DType::kF4), 4u);
    EXPECT_EQ(dtype_bits(DType::kF6E3M2), 6u);
    EXPECT_EQ(dtype_bits(DType::kBF16), 16u);
    EXPECT_EQ(dtype_bits(DType::kC64), 64u);
}

TEST(DType, UnknownAndMisspelledNamesAreRefused) {
    for (const char* name : {"", "f32", "F32 ", "F8", "BF-16", "INT8", "F128"}) EXPECT_FALSE(dtype_from_name(name)) << name;
}

TEST(DType, OnlyFourAreFloatsToComputeWith) {
    EXPECT_TRUE(is_float(DType::kBF16) && is_float(DType::kF16) && is_float(DType::kF32) && is_float(DType::kF64));
    EXPECT_FALSE(is_float(DType::kF8E4M3) || is_float(DType::kI32) || is_float(DType::kC64) || is_float(DType::kBool));
}

}  // namespace
}  // namespace tenpak
