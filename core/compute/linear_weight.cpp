// SPDX-License-Identifier: Apache-2.0
#include "core/compute/linear_weight.h"

#include <bit>
#include <cmath>

#include "core/base/float8.h"
#include "core/base/half.h"
#include "core/base/nf4.h"

namespace tenpak::compute {
namespace {

bool is_dense(WeightFormat f) { return f == WeightFormat::kF32 || f == WeightFormat::kBF16 || f == WeightFormat::kF16; }
bool is_per_row(WeightFormat f) { return f == WeightFormat::kInt8Channel || f == WeightFormat::kFp8Channel; }
bool has_nibbles(WeightFormat f) {
    return f == WeightFormat::kInt4Group || f == WeightFormat::kInt4Residual || f == WeightFormat::kInt4Sparse || f == WeightFormat::kNf4Group;
}
bool has_zeros(WeightFormat f) { return f == WeightFormat::kInt4Group || f == WeightFormat::kInt4Residual; }
std::size_t groups_per_row(const LinearWeight& w) { return w.group == 0 ? 1 : w.k / w.group; }

// One row of a quantized weight.
struct Row {
    const LinearWeight& w;
    std::size_t row, groups, size;
    std::size_t at(std::size_t c) const { return row * w.k + c; }
    int nibble(std::size_t c) const { return at(c) % 2 == 0 ? w.codes[at(c) / 2] & 15 : w.codes[at(c) / 2] >> 4; }
    std::size_t group_of(std::size_t c) const { return row * groups + (w.group_index.empty() ? c / size : w.group_index[c]); }
};

// Groups of sparse weights are always neighbours: the kept ones are counted off.
void dequantize_sparse(const Row& r, float* out) {
    const LinearWeight& w = r.w;
    for (std::size_t g = 0; g < r.groups; ++g) {
        const float scale = w.scales[r.row * r.groups + g];
        const int multiple = w.multiples[r.row * r.groups + g];
        std::size_t kept = (r.row * w.k + g * r.size) / 4;  // nibbles of `low` before this group
        for (std::size_t c = g * r.size; c < (g + 1) * r.size; ++c) {
            if ((w.mask[r.at(c) / 8] >> (r.at(c) % 8) & 1) != 0) {
                const int low = kept % 2 == 0 ? w.low[kept / 2] & 15 : w.low[kept / 2] >> 4;
                ++kept;
                out[c] = static_cast<float>(static_cast<std::int8_t>(r.nibble(c) << 4 | low)) * scale;
            } else {
                out[c] = static_cast<float>((r.nibble(c) - 8) * multiple) * scale;
            }
        }
    }
}

float value_of(const Row& r, std::size_t c) {
    const LinearWeight& w = r.w;
    const std::size_t g = r.group_of(c), i = r.at(c);
    switch (w.format) {
        case WeightFormat::kInt4Group: return static_cast<float>(r.nibble(c) - w.zeros[g]) * w.scales[g];
        case WeightFormat::kInt4Residual: return static_cast<float>(4 * r.nibble(c) + (w.low[i / 4] >> (i % 4 * 2) & 3) - w.zeros[g]) * w.scales[g];
        case WeightFormat::kNf4Group: return kNf4Levels[static_cast<std::size_t>(r.nibble(c))] * w.scales[g];
        case WeightFormat::kFp8Channel: return e4m3_to_float(w.codes[i]) * w.scales[g];
        default: return static_cast<float>(static_cast<std::int8_t>(w.codes[i])) * w.scales[g];
    }
}

}  // namespace

const char* weight_format_name(WeightFormat f) {
    switch (f) {
        case WeightFormat::kF32: return "fp32";
        case WeightFormat::kBF16: return "bf16";
        case WeightFormat::kF16: return "fp16";
        case WeightFormat::kInt8Channel: return "int8";
        case WeightFormat::kInt8Group: return "int8 group";
        case WeightFormat::kInt4Group: return "int4 group";
        case WeightFormat::kInt4Residual: return "int4+int2 group";
        case WeightFormat::kInt4Sparse: return "int4+sparse group";
        case WeightFormat::kNf4Group: return "nf4";
        case WeightFormat::kFp8Channel: return "fp8";
    }
    return "unknown";
}

std::uint64_t LinearWeight::stored_bytes() const {
    const std::uint64_t weights = std::uint64_t{n} * k;
    const std::uint64_t extra = std::uint64_t{bias.size()} * 2 + std::uint64_t{group_index.size()} * 4;
    if (format == WeightFormat::kF32) return weights * 4 + std::uint64_t{bias.size()} * 4;
    if (is_dense(format)) return weights * 2 + extra;
    const std::uint64_t groups = std::uint64_t{n} * groups_per_row(*this);
    switch (format) {
        // Zeros are packed (two to a byte, or four to three) along the rows; a symmetric weight needs none.
        case WeightFormat::kInt4Group: return (weights + 1) / 2 + groups * 2 + (symmetric ? 0 : (groups + 1) / 2) + extra;
        case WeightFormat::kInt4Residual: return (weights * 6 + 7) / 8 + groups * 2 + (symmetric ? 0 : (groups * 6 + 7) / 8) + extra;
        case WeightFormat::kInt4Sparse: return weights / 2 + mask.size() + low.size() + groups * 2 + (groups + 1) / 2 + extra;
        case WeightFormat::kNf4Group:
            return (weights + 1) / 2 + (scale_codes.empty() ? groups * 4 : groups + nested_scales.size() * 4 + 4) + extra;
        case WeightFormat::kFp8Channel: return weights + groups * 4 + extra;
        default: return weights + groups * (outlier_threshold > 0 ? 4 : 2) + extra;
    }
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
    const std::size_t groups = groups_per_row(*this);
    for (std::size_t row = 0; row < n; ++row) {
        const Row r{*this, row, groups, k / groups};
        if (format == WeightFormat::kInt4Sparse) {
            dequantize_sparse(r, out.data() + row * k);
            continue;
        }
        for (std::size_t c = 0; c < k; ++c) out[row * k + c] = value_of(r, c);
    }
    return out;
}

Status LinearWeight::validate(const std::string& where) const {
    const auto bad = [&](const std::string& why) {
        return make_error(ErrorCode::kMalformed, std::string(weight_format_name(format)) + " weight: " + why, where);
    };
    if (n == 0 || k == 0) return bad("it has no rows or no columns");
    if (group != 0 && (is_dense(format) || is_per_row(format))) return bad("this format has no groups");
    if (group != 0 && k % group != 0) return bad("group " + std::to_string(group) + " does not divide " + std::to_string(k));
    const std::size_t count = std::size_t{n} * k;
    const std::size_t groups = is_dense(format) ? 0 : std::size_t{n} * groups_per_row(*this);
    const bool nibbles = has_nibbles(format), residual = format == WeightFormat::kInt4Residual, sparse = format == WeightFormat::kInt4Sparse;
    const std::size_t size = k / groups_per_row(*this);
    if (nibbles && k % 2 != 0) return bad("4-bit rows need an even number of columns");
    if (residual && k % 4 != 0) return bad("rows need a multiple of 4 columns");
    if (sparse && size % 8 != 0) return bad("groups need a multiple of 8 columns");
    const auto expect = [&](std::size_t have, std::size_t want, const char* what) -> Status {
        if (have == want) return {};
        return bad(std::string(what) + ": " + std::to_string(have) + " values where " + std::to_string(want) + " belong");
    };
    TENPAK_RETURN_IF_ERROR(expect(f32.size(), format == WeightFormat::kF32 ? count : 0, "fp32 values"));
    TENPAK_RETURN_IF_ERROR(expect(half.size(), format == WeightFormat::kBF16 || format == WeightFormat::kF16 ? count : 0, "16-bit values"));
    TENPAK_RETURN_IF_ERROR(expect(codes.size(), is_dense(format) ? 0 : nibbles ? count / 2 : count, "codes"));
    TENPAK_RETURN_IF_ERROR(expect(scales.size(), groups, "scales"));
    TENPAK_RETURN_IF_ERROR(expect(zeros.size(), has_zeros(format) ? groups : 0, "zeros"));
    TENPAK_RETURN_IF_ERROR(expect(low.size(), residual ? count / 4 : sparse ? count / 8 : 0, "residuals"));
    TENPAK_RETURN_IF_ERROR(expect(mask.size(), sparse ? count / 8 : 0, "mask bytes"));
    TENPAK_RETURN_IF_ERROR(expect(multiples.size(), sparse ? groups : 0, "multiples"));
    if (!bias.empty()) TENPAK_RETURN_IF_ERROR(expect(bias.size(), n, "biases"));
    if (!(outlier_threshold >= 0) || (outlier_threshold > 0 && format != WeightFormat::kInt8Channel)) return bad("outliers are of int8 weights only");
    for (const float s : scales) {
        if (!std::isfinite(s)) return make_error(ErrorCode::kNumeric, "a scale is not finite", where);
    }
    for (const std::uint8_t z : zeros) {
        if (z > (residual ? 63 : 15)) return bad("a zero is above " + std::to_string(residual ? 63 : 15));
    }
    for (const std::uint8_t m : multiples) {
        if (m == 0 || m > 15) return bad("a multiple is not 1 to 15");
    }
    for (std::size_t g = 0; sparse && g < groups; ++g) {
        unsigned kept = 0;
        for (std::size_t i = g * size / 8; i < (g + 1) * size / 8; ++i) kept += static_cast<unsigned>(std::popcount(mask[i]));
        if (kept != size / 4) return bad("a group keeps " + std::to_string(kept) + " weights where " + std::to_string(size / 4) + " belong");
    }
    if (!group_index.empty()) {
        if (is_dense(format) || is_per_row(format) || sparse) return bad("this format has no group index");
        TENPAK_RETURN_IF_ERROR(expect(group_index.size(), k, "group indices"));
        std::vector<std::size_t> members(k / size);
        for (const std::uint32_t g : group_index) {
            if (g >= members.size()) return bad("a group index is above " + std::to_string(members.size() - 1));
            ++members[g];
        }
        for (const std::size_t m : members) {
            if (m != size) return bad("a group has " + std::to_string(m) + " columns where " + std::to_string(size) + " belong");
        }
    }
    if (!scale_codes.empty() || !nested_scales.empty()) {
        if (format != WeightFormat::kNf4Group) return bad("only nf4 has quantized scales");
        TENPAK_RETURN_IF_ERROR(expect(scale_codes.size(), groups, "scale codes"));
        TENPAK_RETURN_IF_ERROR(expect(nested_scales.size(), (groups + 255) / 256, "nested scales"));
    }
    if (format == WeightFormat::kFp8Channel) {
        for (const std::uint8_t c : codes) {
            if ((c & 0x7f) == 0x7f) return make_error(ErrorCode::kNumeric, "an fp8 code is NaN", where);
        }
    }
    return {};
}

}  // namespace tenpak::compute
