// SPDX-License-Identifier: Apache-2.0
#include "core/delta/transform.h"

#include <cstring>

#include "core/base/half.h"

namespace tenpak::delta {

namespace {

float load(DType t, const std::byte* p) {
    if (t == DType::kF32) {
        float f;
        std::memcpy(&f, p, 4);
        return f;
    }
    std::uint16_t h;
    std::memcpy(&h, p, 2);
    return t == DType::kBF16 ? bf16_to_float(h) : fp16_to_float(h);
}
void store(DType t, float f, std::byte* p) {
    if (t == DType::kF32) {
        std::memcpy(p, &f, 4);
        return;
    }
    const std::uint16_t h = t == DType::kBF16 ? float_to_bf16(f) : float_to_fp16(f);
    std::memcpy(p, &h, 2);
}
bool can_cast(DType t) { return t == DType::kBF16 || t == DType::kF16 || t == DType::kF32; }

}  // namespace

std::string transform_text(const Transform& t) { return std::string(dtype_name(t.from)) + '>' + std::string(dtype_name(t.to)); }

Result<Transform> parse_transform(std::string_view text) {
    const auto unknown = [&] { return make_error(ErrorCode::kUnsupported, "unknown transform \"" + std::string(text.substr(0, 64)) + "\" of the base", {}, "A newer tenpak reads it"); };
    const std::size_t arrow = text.find('>');
    if (arrow == text.npos) return unknown();
    const auto from = dtype_from_name(text.substr(0, arrow)), to = dtype_from_name(text.substr(arrow + 1));
    if (!from || !to || !can_cast(*from) || !can_cast(*to)) return unknown();
    return Transform{*from, *to};
}

Status apply_transform(const Transform& t, std::uint64_t, std::span<const std::byte> base, std::span<std::byte> out) {
    const std::size_t from = dtype_bits(t.from) / 8, to = dtype_bits(t.to) / 8, n = out.size() / to;
    if (out.size() % to != 0 || base.size() != n * from)
        return make_error(ErrorCode::kMalformed, "a block and its place in the base differ in size", {}, "The block is damaged or made by a faulty program");
    for (std::size_t i = 0; i < n; ++i) store(t.to, load(t.from, base.data() + i * from), out.data() + i * to);
    return {};
}

}  // namespace tenpak::delta
