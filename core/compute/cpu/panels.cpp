// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cpu/panels.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "core/base/half.h"

namespace tenpak::compute::cpu {
namespace {

constexpr std::uint32_t round_up(std::uint32_t v, std::uint32_t to) { return (v + to - 1) / to * to; }

ScaleKind scale_kind_of(const std::vector<float>& scales) {
    bool bf16 = true, fp16 = true;
    for (const float s : scales) {
        bf16 = bf16 && bf16_to_float(float_to_bf16(s)) == s;
        fp16 = fp16 && fp16_to_float(float_to_fp16(s)) == s;
    }
    return bf16 ? ScaleKind::kBF16 : fp16 ? ScaleKind::kF16 : ScaleKind::kF32;
}

void pack_dense(const LinearWeight& w, Panels& out, std::size_t p) {
    std::uint8_t* dst = out.data.data() + p * out.panel_bytes;
    std::memset(dst, 0, out.panel_bytes);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const std::size_t row = p * kLanes + lane;
        if (row >= w.n) break;
        if (w.format == WeightFormat::kF32) {
            float* f = reinterpret_cast<float*>(dst);
            for (std::size_t c = 0; c < w.k; ++c) f[c * kLanes + lane] = w.f32[row * w.k + c];
        } else if (w.format == WeightFormat::kF16) {
            auto* h = reinterpret_cast<std::uint16_t*>(dst);
            for (std::size_t c = 0; c < w.k; ++c) h[c * kLanes + lane] = w.half[row * w.k + c];
        } else if (w.format == WeightFormat::kBF16) {
            auto* h = reinterpret_cast<std::uint16_t*>(dst);
            for (std::size_t c = 0; c < w.k; ++c) h[c / 2 * 2 * kLanes + lane * 2 + c % 2] = w.half[row * w.k + c];
        } else {
            std::int32_t sum = 0;
            for (std::size_t c = 0; c < w.k; ++c) {
                const std::uint8_t code = w.codes[row * w.k + c];
                dst[c / 4 * 4 * kLanes + lane * 4 + c % 4] = code;
                sum += static_cast<std::int8_t>(code);
            }
            out.row_sums[row] = sum;
            out.row_scales[row] = w.scales[row];
        }
    }
}

void pack_grouped(const LinearWeight& w, Panels& out, std::size_t p) {
    const bool int4 = w.format == WeightFormat::kInt4Group;
    const std::size_t size = out.group, scale_bytes = out.scale_kind == ScaleKind::kF32 ? 4 : 2;
    for (std::size_t g = 0; g < out.groups; ++g) {
        std::uint8_t* header = out.data.data() + p * out.panel_bytes + g * out.group_bytes();
        std::uint8_t* zeros = header + scale_bytes * kLanes;
        std::uint8_t* codes = header + out.header_bytes();
        std::memset(header, 0, out.group_bytes());
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            const std::size_t row = p * kLanes + lane;
            if (row >= w.n) break;
            const float scale = w.scales[row * out.groups + g];
            const std::uint8_t zero = int4 ? w.zeros[row * out.groups + g] : std::uint8_t{0};
            if (!out.symmetric) zeros[lane] = zero;
            if (out.scale_kind == ScaleKind::kF32) {
                std::memcpy(header + lane * 4, &scale, 4);
            } else {
                const std::uint16_t h = out.scale_kind == ScaleKind::kBF16 ? float_to_bf16(scale) : float_to_fp16(scale);
                std::memcpy(header + lane * 2, &h, 2);
            }
            for (std::size_t c = 0; c < out.group_padded; ++c) {
                const std::size_t i = row * w.k + g * size + c;
                if (int4) {
                    const unsigned code = c >= size ? zero : i % 2 == 0 ? w.codes[i / 2] & 15u : w.codes[i / 2] >> 4;
                    std::uint8_t& byte = codes[c / 8 * 4 * kLanes + lane * 4 + c % 4];
                    byte = static_cast<std::uint8_t>(byte | code << (c % 8 < 4 ? 0 : 4));
                } else if (c < size) {
                    codes[c / 4 * 4 * kLanes + lane * 4 + c % 4] = w.codes[i];
                }
            }
        }
    }
}

// Formats without a layout of their own are kept as fp32.
bool has_panels(const LinearWeight& w) {
    return w.format <= WeightFormat::kInt4Group && w.group_index.empty() && w.outlier_threshold == 0;
}

}  // namespace

void* allocate_aligned(std::size_t bytes) {
    constexpr std::size_t kHuge = 2u << 20;
    if (bytes < 2 * kHuge) return std::aligned_alloc(64, bytes);
    void* p = std::aligned_alloc(kHuge, (bytes + kHuge - 1) / kHuge * kHuge);
    // Only the huge pages that are filled: the rest of the last one would be memory for nothing.
    if (p != nullptr) madvise(p, bytes / kHuge * kHuge, MADV_HUGEPAGE);
    return p;
}

bool Panels::read_row(std::uint32_t index, float* out) const {
    if (index >= rows || !(format == WeightFormat::kF32 || format == WeightFormat::kBF16 || format == WeightFormat::kF16)) return false;
    const std::uint8_t* p = panel(index / kLanes);
    const std::size_t lane = index % kLanes;
    const auto* h = reinterpret_cast<const std::uint16_t*>(p);
    for (std::size_t c = 0; c < columns; ++c) {
        if (format == WeightFormat::kF32) out[c] = reinterpret_cast<const float*>(p)[c * kLanes + lane];
        else if (format == WeightFormat::kF16) out[c] = fp16_to_float(h[c * kLanes + lane]);
        else out[c] = bf16_to_float(h[c / 2 * 2 * kLanes + lane * 2 + c % 2]);
    }
    return true;
}

Result<std::unique_ptr<Panels>> pack_panels(const LinearWeight& given, ThreadPool& pool) {
    TENPAK_RETURN_IF_ERROR(given.validate("linear weight"));
    LinearWeight plain;
    const bool own = has_panels(given);
    if (!own) {
        plain.n = given.n;
        plain.k = given.k;
        plain.f32 = given.dequantize();
        plain.bias = given.bias;
    }
    const LinearWeight& w = own ? given : plain;
    auto out = std::make_unique<Panels>();
    out->format = w.format;
    out->rows = w.n;
    out->columns = w.k;
    out->panels = round_up(w.n, kLanes) / kLanes;
    switch (w.format) {
        case WeightFormat::kF32: out->padded = w.k; break;
        case WeightFormat::kBF16:
        case WeightFormat::kF16: out->padded = round_up(w.k, 32); break;
        case WeightFormat::kInt8Channel: out->padded = round_up(w.k, 64); break;
        case WeightFormat::kInt8Group:
        case WeightFormat::kInt4Group:
            out->group = w.group == 0 ? w.k : w.group;
            out->groups = w.k / out->group;
            out->group_padded = round_up(out->group, 8);
            out->padded = out->groups * out->group_padded;
            out->scale_kind = scale_kind_of(w.scales);
            out->symmetric = std::all_of(w.zeros.begin(), w.zeros.end(), [](std::uint8_t z) { return z == 8; });
            break;
        default: return make_error(ErrorCode::kUnsupported, std::string("no panels for ") + weight_format_name(w.format) + " weights");
    }
    const std::size_t column = w.format == WeightFormat::kF32 ? 64 : w.format == WeightFormat::kInt8Channel ? 16 : 32;
    out->panel_bytes = out->grouped() ? out->groups * out->group_bytes() : out->padded * column;
    if (!out->data.resize(out->panel_bytes * out->panels)) {
        return make_error(ErrorCode::kOutOfMemory, "no memory for a packed weight of " + std::to_string(out->panel_bytes * out->panels) + " bytes");
    }
    const std::size_t lanes = std::size_t{out->panels} * kLanes;
    if (w.format == WeightFormat::kInt8Channel) {
        out->row_scales.assign(lanes, 0);
        out->row_sums.assign(lanes, 0);
    }
    if (!w.bias.empty()) {
        out->bias = w.bias;
        out->bias.resize(lanes, 0);
    }
    pool.parallel_for(out->panels, [&](std::size_t p, unsigned) {
        if (out->grouped()) pack_grouped(w, *out, p);
        else pack_dense(w, *out, p);
    });
    return out;
}

}  // namespace tenpak::compute::cpu
