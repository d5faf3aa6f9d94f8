// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/compressed_tensors_config.h"

#include <algorithm>
#include <set>

#include "core/quant/layouts/int8_form.h"
#include "core/quant/layouts/integer_groups.h"
#include "core/tensor/model_source.h"

namespace tenpak::quant {
namespace {

using compute::WeightFormat;

// "model.layers.3.mlp.down_proj" -> "layers", 3, "mlp.down_proj"; layer -1 and the whole name behind where there is none.
struct ModuleName {
    std::string stack;
    int layer = -1;
    std::string rest;
};
ModuleName split_module(const std::string& module) {
    const TensorPlace place = tensor_place(module);
    if (place.layer < 0) return {"", -1, module};
    const std::string number = "." + std::to_string(place.layer) + ".";
    const std::size_t at = module.find(number);
    if (at == std::string::npos || at == 0) return {"", -1, module};
    const std::size_t begin = module.rfind('.', at - 1);
    return {module.substr(begin == std::string::npos ? 0 : begin + 1, at - (begin == std::string::npos ? 0 : begin + 1)), place.layer, module.substr(at + number.size())};
}

std::string escaped(const std::string& name) {
    std::string out;
    for (const char c : name) {
        if (c == '.') out += '\\';
        out += c;
    }
    return out;
}

Json weights_json(const CompressedScheme& s) {
    Json j = {{"num_bits", s.bits}, {"type", s.floating ? "float" : "int"}, {"symmetric", s.symmetric}, {"dynamic", false},
              {"block_structure", nullptr}, {"observer", "minmax"}, {"observer_kwargs", Json::object()}};
    j["strategy"] = s.group == 0 ? "channel" : "group";
    j["group_size"] = s.group == 0 ? Json() : Json(s.group);
    j["actorder"] = s.group_index ? Json("group") : Json();
    return j;
}

// Name patterns that match the modules of scheme `s` and no module of another scheme.
Json targets_of(const CompressedScheme& s, const std::map<std::string, CompressedScheme>& modules, bool several) {
    if (!several) return {"Linear"};
    struct Use { std::set<int> layers; bool only = true; };
    std::map<std::pair<std::string, std::string>, Use> uses;  // stack and projection path -> where it has this scheme
    for (const auto& [module, scheme] : modules) {
        const ModuleName name = split_module(module);
        Use& use = uses[{name.stack, name.rest}];
        if (scheme == s) {
            use.layers.insert(name.layer);
        } else {
            use.only = false;
        }
    }
    Json targets = Json::array();
    for (const auto& [path, use] : uses) {
        if (use.layers.empty()) continue;
        if (*use.layers.begin() < 0) {
            targets.push_back(path.second);
        } else if (use.only) {
            targets.push_back("re:.*\\." + escaped(path.second) + "$");
        } else {
            std::string list;
            for (const int l : use.layers) list += (list.empty() ? "" : "|") + std::to_string(l);
            targets.push_back("re:.*" + path.first + "\\.(" + list + ")\\." + escaped(path.second) + "$");
        }
    }
    return targets;
}

}  // namespace

std::uint32_t shared_zeros_group(std::span<const std::pair<std::uint32_t, std::uint32_t>> groups) {
    const bool several = std::any_of(groups.begin(), groups.end(), [&](const auto& g) { return g.first != groups.front().first; });
    return several ? common_group(groups).value_or(0) : 0;
}

CompressedScheme compressed_scheme(const compute::LinearWeight& w, std::uint32_t zeros_group) {
    CompressedScheme s;
    s.floating = w.format == WeightFormat::kFp8Channel;
    s.activations = s.floating || w.format == WeightFormat::kInt8Channel;
    s.bits = w.format == WeightFormat::kInt4Group ? 4 : 8;
    s.symmetric = s.bits == 8 || w.symmetric;
    const std::uint32_t group = group_of(w);
    if (s.activations) return s;
    const bool usual = group == 128 || group == 64 || group == 32;
    if (!s.symmetric && zeros_group != 0) {
        s.group = zeros_group;
    } else if (group == 256) {
        s.group = 128;
    } else if (group != w.k || usual) {
        s.group = group;  // widths that no group divides have one group a row: "channel" is what serving kernels call that
    }
    s.group_index = !w.group_index.empty() && s.group != 0;
    return s;
}

Json compressed_tensors_config(const std::map<std::string, CompressedScheme>& modules, const std::vector<std::string>& ignore) {
    std::set<CompressedScheme> schemes;
    std::set<std::string> formats;
    for (const auto& [name, s] : modules) {
        schemes.insert(s);
        formats.insert(s.format());
    }
    Json groups = Json::object();
    for (const CompressedScheme& s : schemes) {
        Json group;
        group["weights"] = weights_json(s);
        group["input_activations"] = nullptr;
        if (s.activations) {
            group["input_activations"] = {{"num_bits", 8}, {"type", s.floating ? "float" : "int"}, {"symmetric", true}, {"strategy", "token"}, {"dynamic", true}};
        }
        group["output_activations"] = nullptr;
        group["targets"] = targets_of(s, modules, schemes.size() > 1);
        if (formats.size() > 1) group["format"] = s.format();
        groups["group_" + std::to_string(groups.size())] = group;
    }
    return {{"quant_method", "compressed-tensors"}, {"format", formats.size() == 1 ? *formats.begin() : "mixed-precision"},
            {"quantization_status", "compressed"}, {"global_compression_ratio", nullptr}, {"kv_cache_scheme", nullptr},
            {"ignore", ignore}, {"config_groups", groups}};
}

}  // namespace tenpak::quant
