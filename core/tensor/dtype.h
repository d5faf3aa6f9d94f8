// SPDX-License-Identifier: Apache-2.0
// Element types of safetensors 0.8 (bits, names), in the format's own order of increasing alignment.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace tenpak {

enum class DType : std::uint8_t {
    kBool, kF4, kF6E2M3, kF6E3M2, kU8, kI8, kF8E5M2, kF8E4M3, kF8E8M0, kF8E4M3FNUZ, kF8E5M2FNUZ,
    kI16, kU16, kF16, kBF16, kI32, kU32, kF32, kC64, kF64, kI64, kU64,
};
/// "BF16", "F8_E4M3", …: the spelling in a safetensors header.
std::string_view dtype_name(DType t);
/// "bf16", "fp32", …: for people.
std::string_view dtype_label(DType t);
std::optional<DType> dtype_from_name(std::string_view name);
unsigned dtype_bits(DType t);
/// bf16, fp16, fp32 or fp64.
bool is_float(DType t);

}  // namespace tenpak
