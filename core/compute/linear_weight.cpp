// SPDX-License-Identifier: Apache-2.0
#include "core/compute/linear_weight.h"

#include <cmath>

#include "core/base/half.h"

namespace tenpak::compute {
namespace {

bool is_dense(WeightFormat f) { return f == WeightFormat::kF32 || f == WeightFormat::kBF16 || f == WeightFormat::kF16; }
std::size_t groups_per_row(const LinearWeight& w) { return w.group == 0 ? 1 : w.k / w.group; }

}  // namespace

const char* weight_format_name(WeightFormat f) {
    switch (f) {
        case WeightFormat::kF32: return "fp32";
        case WeightFormat::kBF16: return "bf16";
        case WeightFormat::kF16: return "fp16";
        case WeightFormat::kInt8Channel: return "int8";
        case WeightFormat::kInt8Group: return "int8 group";
        case WeightFormat::kInt4Group: return "int4 group";
    }
    return "unknown";
}

std::uint64_t LinearWeight::stored_bytes() const {
    const std::uint64_t weights = std::uint64_t{n} * k;
    const std::uint64_t bias_bytes = std::uint64_t{bias.size()} * 2;
    if (format == WeightFormat::kF32) return weights * 4 + std::uint64_t{bias.size()} * 4;
    if (is_dense(format)) return weights * 2 + bias_bytes;
    const std::uint64_t groups = std::uint64_t{n} * groups_per_row(*this);
    if (format != WeightFormat::kInt4Group) return weights + groups * 2 + bias_bytes;
    // Zeros are packed two to a byte along the rows; a symmetric weight needs none.
    return (weights + 1) / 2 + groups * 2 + (symmetric ? 0 : (groups + 1) / 2) + bias_bytes;
}

std::vector<float> LinearWeight::dequantize() const {
    const std::size_t count = std::size_t{n} * k;
    std::vector<float> out(count);
    if (format == WeightFormat::kF32) return f32;
    if (format == WeightFormat::kBF16) {
        for (std::size_t i = 0; i < count; ++i) out[i] = bf16_to_float(half[i]);
        return out;
    }
    if (format == WeightFormat::kF16) {
        for (std::size_t i = 0; i < count; ++i) out[i] = fp16_to_float(half[i]);
        return out;
    }
    const std::size_t groups = groups_per_row(*this), size = k / groups;
    for (std::size_t row = 0; row < n; ++row) {
        for (std::size_t g = 0; g < groups; ++g) {
            const float scale = scales[row * groups + g];
            for (std::size_t c = g * size; c < (g + 1) * size; ++c) {
                const std::size_t i = row * k + c;
                if (format == WeightFormat::kInt4Group) {
                    const int code = c % 2 == 0 ? codes[i / 2] & 15 : codes[i / 2] >> 4;
                    out[i] = static_cast<float>(code - zeros[row * groups + g]) * scale;
                } else {
                    out[i] = static_cast<float>(static_cast<std::int8_t>(codes[i])) * scale;
                }
            }
        }
    }
    return out;
}

Status LinearWeight::validate(const std::string& where) const {
    const auto bad = [&](const std::string& why) {
        return make_error(ErrorCode::kMalformed, std::string(weight_format_name(format)) + " weight: " + why, where);
    };
    if (n == 0 || k == 0) return bad("it has no rows or no columns");
    if (group != 0 && (is_dense(format) || format == WeightFormat::kInt8Channel)) return bad("this format has no groups");
    if (group != 0 && k % group != 0) return bad("group " + std::to_string(group) + " does not divide " + std::to_string(k));
    const std::size_t count = std::size_t{n} * k;
    const std::size_t groups = is_dense(format) ? 0 : std::size_t{n} * groups_per_row(*this);
    const bool int4 = format == WeightFormat::kInt4Group;
    if (int4 && k % 2 != 0) return bad("4-bit rows need an even number of columns");
    const auto expect = [&](std::size_t have, std::size_t want, const char* what) -> Status {
        if (have == want) return {};
        return bad(std::string(what) + ": " + std::to_string(have) + " values where " + std::to_string(want) + " belong");
    };
    TENPAK_RETURN_IF_ERROR(expect(f32.size(), format == WeightFormat::kF32 ? count : 0, "fp32 values"));
    TENPAK_RETURN_IF_ERROR(expect(half.size(), format == WeightFormat::kBF16 || format == WeightFormat::kF16 ? count : 0, "16-bit values"));
    TENPAK_RETURN_IF_ERROR(expect(codes.size(), is_dense(format) ? 0 : int4 ? count / 2 : count, "codes"));
    TENPAK_RETURN_IF_ERROR(expect(scales.size(), groups, "scales"));
    TENPAK_RETURN_IF_ERROR(expect(zeros.size(), int4 ? groups : 0, "zeros"));
    if (!bias.empty()) TENPAK_RETURN_IF_ERROR(expect(bias.size(), n, "biases"));
    for (const float s : scales) {
        if (!std::isfinite(s)) return make_error(ErrorCode::kNumeric, "a scale is not finite", where);
    }
    for (const std::uint8_t z : zeros) {
        if (z > 15) return bad("a zero is above 15");
    }
    return {};
}

}  // namespace tenpak::compute
