// SPDX-License-Identifier: Apache-2.0
#include "core/quant/packed_rows.h"

namespace tenpak::quant {

using compute::LinearWeight;
using compute::WeightFormat;

LinearWeight make_grouped(std::uint32_t n, std::uint32_t k, const GroupFormat& format) {
    LinearWeight q;
    q.format = format.bits > 4 ? WeightFormat::kInt4Residual : WeightFormat::kInt4Group;
    q.n = n;
    q.k = k;
    q.group = format.group;
    q.symmetric = format.symmetric;
    q.codes.resize(std::size_t{n} * (k / 2));
    q.scales.resize(std::size_t{n} * (k / format.group));
    q.zeros.resize(q.scales.size());
    if (format.bits > 4) q.low.resize(std::size_t{n} * (k / 4));
    return q;
}

void set_grouped_row(LinearWeight& weight, std::uint32_t row, const std::uint16_t* codes, const Grid* grids) {
    const bool residual = weight.format == WeightFormat::kInt4Residual;
    const auto high = [&](std::uint32_t c) { return static_cast<unsigned>(residual ? codes[c] >> 2 : codes[c]); };
    std::uint8_t* packed = weight.codes.data() + std::size_t{row} * (weight.k / 2);
    for (std::uint32_t c = 0; c + 1 < weight.k; c += 2) packed[c / 2] = static_cast<std::uint8_t>(high(c) | high(c + 1) << 4);
    for (std::uint32_t c = 0; residual && c < weight.k; c += 4) {
        weight.low[(std::size_t{row} * weight.k + c) / 4] =
            static_cast<std::uint8_t>((codes[c] & 3u) | (codes[c + 1] & 3u) << 2 | (codes[c + 2] & 3u) << 4 | (codes[c + 3] & 3u) << 6);
    }
    const std::uint32_t groups = weight.k / weight.group;
    for (std::uint32_t g = 0; g < groups; ++g) {
        weight.scales[std::size_t{row} * groups + g] = grids[g].scale;
        weight.zeros[std::size_t{row} * groups + g] = static_cast<std::uint8_t>(grids[g].zero);
    }
}

LinearWeight make_sparse(std::uint32_t n, std::uint32_t k, std::uint32_t group) {
    LinearWeight q;
    q.format = WeightFormat::kInt4Sparse;
    q.n = n;
    q.k = k;
    q.group = group;
    q.codes.resize(std::size_t{n} * (k / 2));
    q.low.resize(std::size_t{n} * (k / 8));
    q.mask.resize(q.low.size());
    q.scales.resize(std::size_t{n} * (k / group));
    q.multiples.resize(q.scales.size());
    return q;
}

void set_sparse_row(LinearWeight& weight, std::uint32_t row, const std::uint16_t* codes, const std::vector<SparseGroup>& groups) {
    std::uint8_t* packed = weight.codes.data() + std::size_t{row} * (weight.k / 2);
    std::uint8_t* low = weight.low.data() + std::size_t{row} * (weight.k / 8);
    std::uint8_t* mask = weight.mask.data() + std::size_t{row} * (weight.k / 8);
    std::uint32_t kept = 0;
    for (std::uint32_t c = 0; c < weight.k; ++c) {
        const bool keep = (codes[c] & SparseGroup::kKept) != 0;
        const unsigned nibble = (keep ? codes[c] >> 4 : codes[c]) & 15u;
        packed[c / 2] = static_cast<std::uint8_t>(packed[c / 2] | nibble << (c % 2 * 4));
        if (!keep) continue;
        mask[c / 8] = static_cast<std::uint8_t>(mask[c / 8] | 1u << (c % 8));
        low[kept / 2] = static_cast<std::uint8_t>(low[kept / 2] | (codes[c] & 15u) << (kept % 2 * 4));
        ++kept;
    }
    for (std::size_t g = 0; g < groups.size(); ++g) {
        weight.scales[row * groups.size() + g] = groups[g].scale;
        weight.multiples[row * groups.size() + g] = static_cast<std::uint8_t>(groups[g].multiple);
    }
}

}  // namespace tenpak::quant
