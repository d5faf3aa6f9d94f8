// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/dtype.h"

#include <array>

namespace tenpak {
namespace {

struct Row {
    std::string_view name, label;
    unsigned bits;
};
// In the order of the enum.
constexpr std::array<Row, 22> kRows{{
    {"BOOL", "bool", 8},          {"F4", "fp4", 4},
    {"F6_E2M3", "fp6 e2m3", 6},   {"F6_E3M2", "fp6 e3m2", 6},
    {"U8", "uint8", 8},           {"I8", "int8", 8},
    {"F8_E5M2", "fp8 e5m2", 8},   {"F8_E4M3", "fp8 e4m3", 8},
    {"F8_E8M0", "fp8 e8m0", 8},   {"F8_E4M3FNUZ", "fp8 e4m3fnuz", 8},
    {"F8_E5M2FNUZ", "fp8 e5m2fnuz", 8},
    {"I16", "int16", 16},         {"U16", "uint16", 16},
    {"F16", "fp16", 16},          {"BF16", "bf16", 16},
    {"I32", "int32", 32},         {"U32", "uint32", 32},
    {"F32", "fp32", 32},          {"C64", "complex64", 64},
    {"F64", "fp64", 64},          {"I64", "int64", 64},
    {"U64", "uint64", 64},
}};
static_assert(kRows.size() == static_cast<std::size_t>(DType::kU64) + 1);
const Row& row(DType t) { return kRows[static_cast<std::size_t>(t)]; }

}  // namespace

std::string_view dtype_name(DType t) { return row(t).name; }
std::string_view dtype_label(DType t) { return row(t).label; }
unsigned dtype_bits(DType t) { return row(t).bits; }
std::optional<DType> dtype_from_name(std::string_view name) {
    for (std::size_t i = 0; i < kRows.size(); ++i) {
        if (kRows[i].name == name) return static_cast<DType>(i);
    }
    return std::nullopt;
}
bool is_float(DType t) { return t == DType::kBF16 || t == DType::kF16 || t == DType::kF32 || t == DType::kF64; }

}  // namespace tenpak
