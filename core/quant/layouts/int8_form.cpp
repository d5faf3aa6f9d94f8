// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/int8_form.h"

#include <cstdio>

namespace tenpak::quant {

using compute::LinearWeight;
using compute::WeightFormat;

LinearWeight as_int8_group(const LinearWeight& w) {
    LinearWeight q;
    q.format = WeightFormat::kInt8Group;
    q.n = w.n;
    q.k = w.k;
    q.group = group_of(w);
    q.scales = w.scales;
    q.bias = w.bias;
    q.group_index = w.group_index;
    const std::size_t count = std::size_t{w.n} * w.k, groups = w.k / q.group;
    q.codes.resize(count);
    std::size_t kept = 0;  // of kInt4Sparse: nibbles of `low` used so far; groups follow one another
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t column = i % w.k, row = i / w.k;
        const std::size_t g = row * groups + (w.group_index.empty() ? column / q.group : w.group_index[column]);
        const auto code = static_cast<int>(nibble_at(w.codes, i));
        int value = 0;
        if (w.format == WeightFormat::kInt4Residual) {
            value = 4 * code + (w.low[i / 4] >> (i % 4 * 2) & 3) - w.zeros[g];
        } else if ((w.mask[i / 8] >> (i % 8) & 1) != 0) {
            value = static_cast<std::int8_t>(code << 4 | static_cast<int>(nibble_at(w.low, kept++)));
        } else {
            value = (code - 8) * w.multiples[g];
        }
        q.codes[i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(value));
    }
    return q;
}

std::vector<std::uint32_t> split_group_index(const LinearWeight& w, std::uint32_t repeat) {
    const std::uint32_t part = group_of(w) / repeat;
    std::vector<std::uint32_t> members(w.k / group_of(w)), out(w.k);
    for (std::uint32_t c = 0; c < w.k; ++c) {
        const std::uint32_t g = w.group_index[c];
        out[c] = g * repeat + members[g]++ / part;
    }
    return out;
}

std::string int8_form_note(const QuantizedModel& model) {
    std::uint64_t written = 0, weights = 0;
    std::size_t count = 0;
    for (const auto& [name, w] : model.weights.linears) {
        const std::uint64_t n = std::uint64_t{w.n} * w.k, bias = std::uint64_t{w.bias.size()} * 2;
        const bool eight = has_int8_form(w.format);
        count += eight ? 1 : 0;
        weights += n;
        written += eight ? n + std::uint64_t{w.scales.size()} * 2 : w.stored_bytes() - bias;
    }
    if (count == 0) return {};
    const std::size_t all = model.weights.linears.size();
    char bits[96];
    std::snprintf(bits, sizeof bits, "%.3f bits a weight instead of %.3f", 8.0 * static_cast<double>(written) / static_cast<double>(weights), model.bits_per_weight);
    return "no serving engine has a layout for INT4 with a residual or a sparse part: " + (count == all ? "all" : std::to_string(count) + " of " + std::to_string(all)) +
           " linears are written as INT8 groups with exactly the same values, so the served model takes " + bits + " and is as fast as INT8 there";
}

}  // namespace tenpak::quant
