// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/linear_forms.h"

#include "core/model/layout.h"
#include "core/quant/layouts/bitsandbytes.h"
#include "core/quant/layouts/int8_form.h"
#include "core/quant/layouts/integer_groups.h"

namespace tenpak::quant {
namespace {

using compute::WeightFormat;

// Calls make(stored) for every linear, and numbers those that engines fuse.
template <class Make>
std::vector<LinearForm> forms_of(const model::ModelConfig& config, const Make& make) {
    std::vector<LinearForm> forms;
    std::uint32_t fused = 0;
    for (std::uint32_t l = 0; l < config.layers; ++l) {
        const model::LayerLayout layout = model::layer_layout(config, l);
        for (const auto& members : layout.groups()) {
            for (const std::size_t i : members) {
                const model::StoredLinear& s = layout.linears[i];
                LinearForm f = make(s);
                f.name = s.name;
                f.n = s.n;
                f.k = s.k;
                f.transposed = s.transposed;
                f.fused = fused;
                if (f.group == 0) f.group = f.k;
                forms.push_back(std::move(f));
            }
            ++fused;
        }
    }
    return forms;
}

std::string refuse_awq(const LinearForm& f) {
    if (f.format != WeightFormat::kInt4Group) return std::string("AutoAWQ files hold 4-bit groups, not ") + weight_format_name(f.format) + " weights";
    if (f.group_index) return "AutoAWQ files hold no group index (desc_act)";
    if (f.n % 8 != 0) return "AutoAWQ packs eight outputs to a word, but there are " + std::to_string(f.n);
    return {};
}

std::string refuse_gptq(const LinearForm& f, unsigned bits) {
    if (f.format != WeightFormat::kInt4Group && f.format != WeightFormat::kInt8Group && !has_int8_form(f.format)) {
        return std::string("GPTQ files hold 4- and 8-bit groups, not ") + weight_format_name(f.format) + " weights";
    }
    const unsigned own = f.format == WeightFormat::kInt4Group ? 4 : 8, per = 32 / own;
    if (own != bits) return "GPTQ files have one number of bits for all linears";
    if (f.n % per != 0 || f.k % per != 0) return "GPTQ packs " + std::to_string(per) + " weights to a word, which " + std::to_string(f.n) + " x " + std::to_string(f.k) + " is not made of";
    return {};
}

std::string refuse_compressed(const LinearForm& f) {
    switch (f.format) {
        case WeightFormat::kNf4Group: return "compressed-tensors holds no NF4 weights";
        case WeightFormat::kInt8Channel: return f.outlier_threshold > 0 ? "compressed-tensors does not hold LLM.int8's outlier columns" : std::string();
        default: return {};
    }
}

std::string refuse_bitsandbytes(const LinearForm& f, WeightFormat first) {
    if (f.format != WeightFormat::kNf4Group && f.format != WeightFormat::kInt8Channel) {
        return std::string("bitsandbytes files hold NF4 and LLM.int8, not ") + weight_format_name(f.format) + " weights";
    }
    if (f.format != first) return "bitsandbytes files hold one format for all linears";
    if (f.format == WeightFormat::kNf4Group && !is_block_size(f.group)) return "bitsandbytes has no blocks of " + std::to_string(f.group);
    return {};
}

}  // namespace

std::vector<LinearForm> planned_forms(const model::ModelConfig& config, const Candidate& candidate) {
    if (candidate.method == Method::kMixed) return {};
    return forms_of(config, [&](const model::StoredLinear& s) {
        LinearForm f;
        f.format = candidate.format;
        f.group = candidate.group == 0 ? s.k : group_for(candidate.group, s.k);
        f.symmetric = candidate.symmetric;
        f.group_index = candidate.act_order && f.group != s.k;
        f.outlier_threshold = candidate.outlier_threshold;
        return f;
    });
}

std::vector<LinearForm> actual_forms(const model::ModelConfig& config, const QuantizedModel& model) {
    return forms_of(config, [&](const model::StoredLinear& s) {
        LinearForm f;
        const auto it = model.weights.linears.find(s.name);
        if (it == model.weights.linears.end()) return f;
        const compute::LinearWeight& w = it->second;
        f.format = w.format;
        f.group = w.group;
        f.symmetric = w.symmetric;
        f.group_index = !w.group_index.empty();
        f.outlier_threshold = w.outlier_threshold;
        return f;
    });
}

Status check_forms(Layout layout, const std::vector<LinearForm>& forms, const std::string& candidate) {
    if (layout == Layout::kBf16) return {};
    const auto refuse = [&](const std::string& why, const std::string& where) {
        return make_error(ErrorCode::kUnsupported, std::string("layout ") + layout_name(layout) + " cannot hold " + candidate + ": " + why, where);
    };
    std::vector<std::pair<std::uint32_t, std::uint32_t>> groups;
    const LinearForm* first = nullptr;  // of the quantized ones
    const bool one_format = layout == Layout::kAutoAwq || layout == Layout::kGptq || layout == Layout::kGptqV2;
    for (const LinearForm& f : forms) {
        if (f.transposed) return refuse("weights that are stored transposed (Conv1D) have no form there", f.name);
        if (is_dense(f.format)) {
            if (one_format) return refuse("this linear stays in 16 bit", f.name);
            continue;
        }
        if (first == nullptr) first = &f;
        groups.emplace_back(f.group, f.k);
        std::string why;
        switch (layout) {
            case Layout::kAutoAwq: why = refuse_awq(f); break;
            case Layout::kGptq:
            case Layout::kGptqV2: why = refuse_gptq(f, first->format == WeightFormat::kInt4Group ? 4 : 8); break;
            case Layout::kCompressedTensors: why = refuse_compressed(f); break;
            case Layout::kBitsandbytes: why = refuse_bitsandbytes(f, first->format); break;
            default: break;
        }
        if (!why.empty()) return refuse(why, f.name);
    }
    if (one_format && !common_group(groups).has_value()) return refuse("it has one group size for all linears, and none fits all of them", {});
    return {};
}

}  // namespace tenpak::quant
