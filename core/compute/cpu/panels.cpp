// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cpu/panels.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/base/half.h"
#include "core/base/nf4.h"

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
            constexpr std::size_t kPairs[4] = {0, 2, 1, 3};
            const bool fp8 = w.format == WeightFormat::kFp8Channel;
            for (std::size_t c = 0; c < w.k; ++c) dst[c / 4 * 4 * kLanes + lane * 4 + (fp8 ? kPairs[c % 4] : c % 4)] = w.codes[row * w.k + c];
            out.row_scales[row] = w.scales[row];
        }
    }
}

unsigned nibble(const LinearWeight& w, std::size_t i) { return i % 2 == 0 ? w.codes[i / 2] & 15u : w.codes[i / 2] >> 4; }

/// Where the nibble of column c of a group lies among its codes; the upper half of the byte where c % 8 >= 4.
std::size_t nibble_at(std::size_t c, std::size_t lane) { return c / 8 * 4 * kLanes + lane * 4 + c % 4; }
void put_nibble(std::uint8_t* codes, std::size_t c, std::size_t lane, unsigned code) {
    std::uint8_t& byte = codes[nibble_at(c, lane)];
    byte = static_cast<std::uint8_t>(byte | code << (c % 8 < 4 ? 0 : 4));
}

void put_scale(const Panels& out, std::uint8_t* header, std::size_t lane, float scale) {
    if (out.scale_kind == ScaleKind::kF32) {
        std::memcpy(header + lane * 4, &scale, 4);
    } else {
        const std::uint16_t h = out.scale_kind == ScaleKind::kBF16 ? float_to_bf16(scale) : float_to_fp16(scale);
        std::memcpy(header + lane * 2, &h, 2);
    }
}

/// A panel's group of int4+sparse, all lanes: nibbles, masks and the low nibbles of what is kept.
void pack_sparse(const LinearWeight& w, const Panels& out, std::size_t p, std::size_t g, std::uint8_t* header) {
    const std::size_t size = out.group, quads = size / 4;
    std::uint8_t* multiples = header + out.scale_bytes();
    std::uint8_t* lows = multiples + kLanes;
    std::uint8_t* codes = header + out.header_bytes();
    std::uint8_t* masks = codes + size * kLanes / 2;
    std::size_t kept[kLanes] = {};
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const std::size_t row = p * kLanes + lane;
        if (row >= w.n) continue;
        multiples[lane] = w.multiples[row * out.groups + g];
        kept[lane] = (row * w.k + g * size) / 4;  // nibbles of w.low before this group
        for (std::size_t c = 0; c < size; ++c) put_nibble(codes, c, lane, nibble(w, row * w.k + g * size + c));
    }
    for (std::size_t q = 0; q < quads; ++q) {
        std::uint64_t mask = 0;
        unsigned count = 0;
        for (std::size_t lane = 0; lane < kLanes && p * kLanes + lane < w.n; ++lane) {
            for (std::size_t j = 0; j < 4; ++j) {
                const std::size_t i = (p * kLanes + lane) * w.k + g * size + 4 * q + j;
                if ((w.mask[i / 8] >> (i % 8) & 1) == 0) continue;
                const std::size_t from = kept[lane]++;
                const unsigned low = from % 2 == 0 ? w.low[from / 2] & 15u : w.low[from / 2] >> 4;
                lows[count / 2] = static_cast<std::uint8_t>(lows[count / 2] | low << (count % 2 * 4));
                mask |= std::uint64_t{1} << (4 * lane + j);
                ++count;
            }
        }
        std::memcpy(masks + 8 * q, &mask, 8);
        lows += (count + 1) / 2;
    }
}

void pack_grouped(const LinearWeight& w, Panels& out, std::size_t p) {
    const bool bytes = w.format == WeightFormat::kInt8Group, residual = w.format == WeightFormat::kInt4Residual;
    const std::size_t size = out.group;
    std::memset(out.data.data() + p * out.panel_bytes, 0, out.panel_bytes);
    for (std::size_t g = 0; g < out.groups; ++g) {
        std::uint8_t* header = out.data.data() + p * out.panel_bytes + out.group_offset(g);
        std::uint8_t* zeros = header + out.scale_bytes();
        std::uint8_t* codes = header + out.header_bytes();
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            const std::size_t row = p * kLanes + lane;
            if (row >= w.n) break;
            if (out.nested()) {
                out.data.data()[p * out.panel_bytes + out.scale_code_offset(g) + lane] = w.scale_codes[row * out.groups + g];
            } else {
                put_scale(out, header, lane, w.scales[row * out.groups + g]);
            }
            if (w.format == WeightFormat::kInt4Sparse) continue;
            const unsigned zero = w.zeros.empty() ? w.format == WeightFormat::kNf4Group ? 7u : 0u : w.zeros[row * out.groups + g];
            if (!out.symmetric) zeros[lane] = static_cast<std::uint8_t>(zero);
            for (std::size_t c = 0; c < out.group_padded; ++c) {
                const std::size_t position = g * size + c, i = row * w.k + (c >= size || out.order.empty() ? position : out.order[position]);
                if (bytes) {
                    if (c < size) codes[c / 4 * 4 * kLanes + lane * 4 + c % 4] = w.codes[i];
                } else if (residual) {
                    const unsigned code = c >= size ? zero : 4 * nibble(w, i) + (w.low[i / 4] >> (i % 4 * 2) & 3u);
                    std::uint8_t* block = codes + c / 16 * 12 * kLanes;
                    put_nibble(block, c % 16, lane, code >> 2);
                    std::uint8_t& low = block[8 * kLanes + lane * 4 + c % 4];
                    low = static_cast<std::uint8_t>(low | (code & 3u) << (c % 16 / 4 * 2));
                } else {
                    put_nibble(codes, c, lane, c >= size ? zero : nibble(w, i));
                }
            }
        }
        if (w.format == WeightFormat::kInt4Sparse) pack_sparse(w, out, p, g, header);
    }
}

/// Whether the scales are what the codes of double quantization say, by the map that is known here.
bool scales_are_nested(const LinearWeight& w) {
    if (w.scale_codes.empty()) return false;
    const auto& map = dynamic_levels();
    for (std::size_t i = 0; i < w.scales.size(); ++i) {
        const float s = map[w.scale_codes[i]] * w.nested_scales[i / 256] + w.nested_offset;
        if (!(std::fabs(s - w.scales[i]) <= 1e-6f * std::fabs(w.scales[i]) + 2e-7f * std::fabs(w.nested_offset))) return false;
    }
    return true;
}

/// The columns sorted by group, stable.
std::vector<std::uint32_t> sorted_columns(const LinearWeight& w) {
    std::vector<std::uint32_t> order(w.k);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return w.group_index[a] < w.group_index[b]; });
    if (std::is_sorted(order.begin(), order.end())) order.clear();
    return order;
}

void set_groups(const LinearWeight& w, Panels& out) {
    const std::uint8_t middle = w.format == WeightFormat::kInt4Residual ? 32 : 8;
    out.group = w.group == 0 ? w.k : w.group;
    out.groups = w.k / out.group;
    out.group_padded = round_up(out.group, w.format == WeightFormat::kInt4Residual ? 16 : 8);
    out.padded = out.groups * out.group_padded;
    out.symmetric = std::all_of(w.zeros.begin(), w.zeros.end(), [&](std::uint8_t z) { return z == middle; });
    if (!w.group_index.empty()) out.order = sorted_columns(w);
    if (!scales_are_nested(w)) {
        out.scale_kind = scale_kind_of(w.scales);
        return;
    }
    out.scale_kind = ScaleKind::kNested;
    out.map = dynamic_levels().data();
    out.nested_scales = w.nested_scales;
    out.nested_scales.resize((std::size_t{out.panels} * kLanes * out.groups + 255) / 256, 0.0f);  // of the last panel's missing rows, too
    out.nested_offset = w.nested_offset;
    out.nested_begins.resize(std::size_t{out.panels} * out.groups);
    for (std::size_t p = 0; p < out.panels; ++p) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            const std::size_t first = (p * kLanes + lane) * out.groups;
            for (std::size_t g = 0; g < out.groups; g += 256 - (first + g) % 256) out.nested_begins[p * out.groups + g] = 1;
        }
    }
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

std::uint64_t Panels::bytes() const {
    return panel_bytes * panels + (row_scales.size() + bias.size() + order.size() + nested_scales.size()) * 4 + nested_begins.size() + (onednn ? onednn->bytes() : 0);
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

Result<std::unique_ptr<Panels>> pack_panels(const LinearWeight& w, ThreadPool& pool) {
    TENPAK_RETURN_IF_ERROR(w.validate("linear weight"));
    auto out = std::make_unique<Panels>();
    out->format = w.format;
    out->rows = w.n;
    out->columns = w.k;
    out->panels = round_up(w.n, kLanes) / kLanes;
    out->outlier_threshold = w.outlier_threshold;
    std::size_t column = 0;  // bytes of sixteen rows
    switch (w.format) {
        case WeightFormat::kF32: out->padded = w.k, column = 64; break;
        case WeightFormat::kBF16:
        case WeightFormat::kF16: out->padded = round_up(w.k, 32), column = 32; break;
        case WeightFormat::kInt8Channel: out->padded = round_up(w.k, 64), column = 16; break;
        case WeightFormat::kFp8Channel: out->padded = round_up(w.k, 32), column = 16; break;
        case WeightFormat::kInt8Group:
        case WeightFormat::kInt4Group:
        case WeightFormat::kInt4Residual:
        case WeightFormat::kInt4Sparse:
        case WeightFormat::kNf4Group: set_groups(w, *out); break;
    }
    if (!out->grouped()) out->panel_bytes = out->padded * column;
    else if (out->nested()) out->panel_bytes = out->group_offset(out->groups - 1) + out->group_bytes();
    else out->panel_bytes = out->groups * out->group_bytes();
    if (!out->data.resize(out->panel_bytes * out->panels)) {
        return make_error(ErrorCode::kOutOfMemory, "no memory for a packed weight of " + std::to_string(out->panel_bytes * out->panels) + " bytes");
    }
    const std::size_t lanes = std::size_t{out->panels} * kLanes;
    if (w.format == WeightFormat::kInt8Channel || w.format == WeightFormat::kFp8Channel) out->row_scales.assign(lanes, 0);
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
