// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/integer_groups.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "core/base/half.h"
#include "core/model/weight_loader.h"
#include "core/quant/layouts/int8_form.h"

namespace tenpak::quant {

using compute::LinearWeight;

std::optional<std::uint32_t> common_group(std::span<const std::pair<std::uint32_t, std::uint32_t>> groups) {
    std::uint32_t common = 0;
    bool rows = true;
    for (const auto& [group, k] : groups) {
        common = std::gcd(common, group);
        rows = rows && group == k;
    }
    for (const std::uint32_t g : {128u, 64u, 32u, 16u}) {
        if (common % g == 0 && common != 0) return g;
    }
    if (rows) return 0;
    return std::nullopt;
}

Result<std::uint32_t> common_group(const QuantizedModel& model, const char* layout) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> groups;
    std::string odd;
    for (const auto& [name, w] : model.weights.linears) {
        if (is_dense(w.format)) {
            return make_error(ErrorCode::kUnsupported, std::string(layout) + " files have one format for all linears, but this one stays in 16 bit", name,
                              "--layout compressed-tensors mixes formats");
        }
        groups.emplace_back(group_of(w), w.k);
        if (group_of(w) % 16 != 0) odd = name;
    }
    if (const auto common = common_group(groups)) return *common;
    return make_error(ErrorCode::kUnsupported, std::string(layout) + " files have one group size for all linears, and no size fits this one and the others", odd,
                      "--layout compressed-tensors mixes group sizes");
}

std::uint32_t repeat_of(const LinearWeight& w, std::uint32_t common) { return common == 0 ? 1 : group_of(w) / common; }

Status plan_fp16_scales(const std::string& module, const LinearWeight& w, std::uint32_t repeat, Plan& plan) {
    for (const float s : w.scales) {
        if (std::isinf(fp16_to_float(float_to_fp16(s)))) {
            return make_error(ErrorCode::kUnsupported, "a scale of " + std::to_string(s) + " is beyond fp16, which this layout stores scales in", module, "--layout compressed-tensors stores them in bf16");
        }
    }
    const std::uint32_t groups = w.k / group_of(w);
    plan.push_back({module + ".scales", DType::kF16, {std::uint64_t{groups} * repeat, w.n}, [&w, groups, repeat]() -> Result<Bytes> {
        std::vector<std::uint16_t> out(w.scales.size() * repeat);
        for (std::size_t row = 0; row < w.n; ++row) {
            for (std::size_t g = 0; g < std::size_t{groups} * repeat; ++g) out[g * w.n + row] = float_to_fp16(w.scales[row * groups + g / repeat]);
        }
        return raw_bytes(out);
    }});
    return {};
}

std::vector<std::string> group_layout_notes(const QuantizedModel& model) {
    std::vector<std::string> notes;
    const auto common = common_group(model, "");
    std::size_t rounded = 0, cut = 0;
    for (const auto& [name, w] : model.weights.linears) {
        for (const float s : w.scales) rounded += fp16_to_float(float_to_fp16(s)) != s ? 1 : 0;
        cut += common.ok() && repeat_of(w, *common) > 1 ? 1 : 0;
    }
    if (cut > 0) {
        notes.push_back("the layout has one group size, " + std::to_string(*common) + ": the larger groups of " + std::to_string(cut) +
                        (cut == 1 ? " tensor are" : " tensors are") + " written in parts with the same scale, equal values");
    }
    if (rounded > 0) notes.push_back(std::to_string(rounded) + (rounded == 1 ? " scale is" : " scales are") + " too fine for fp16, which this layout stores scales in: rounded by at most 2^-25");
    if (std::string note = int8_form_note(model); !note.empty()) notes.push_back(std::move(note));
    return notes;
}

Bytes transposed_words(std::span<const std::uint32_t> words, std::size_t rows, std::size_t columns) {
    return raw_bytes(model::transposed(std::vector<std::uint32_t>(words.begin(), words.end()), rows, columns));
}

}  // namespace tenpak::quant
