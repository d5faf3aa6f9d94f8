// SPDX-License-Identifier: Apache-2.0
#include "core/quant/compressed_tensors_config.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/quant/export_layout.h"
#include "core/tensor/model_source.h"

namespace tenpak::quant {
namespace {

// The group size a tensor is exported with; 0: one scale a row.
std::uint32_t exported_group(const compute::LinearWeight& w) {
    if (w.group == 0) return 0;
    if (w.group == 256) return 128;
    // Widths that no group divides have one group a row: "channel" is what serving kernels call that.
    return w.group == w.k && w.group != 128 && w.group != 64 && w.group != 32 ? 0 : w.group;
}

Json weight_scheme(const Candidate& c, std::uint32_t group) {
    Json j = {{"num_bits", c.bits}, {"type", "int"}, {"symmetric", c.symmetric}, {"dynamic", false}, {"actorder", nullptr},
              {"block_structure", nullptr}, {"observer", "minmax"}, {"observer_kwargs", Json::object()}};
    j["strategy"] = group == 0 ? "channel" : "group";
    j["group_size"] = group == 0 ? Json() : Json(group);
    return j;
}

Error unsupported(const std::string& what, const std::string& where) {
    return make_error(ErrorCode::kUnsupported, what, where,
                      "Read are compressed-tensors pack-quantized (4 and 8 bit) and int-quantized (8 bit, dynamic activations)");
}

Status check_group(const Json& group, bool int_quantized, const std::string& where) {
    TENPAK_ASSIGN(const Json weights, json_get<Json>(group, "weights", where));
    if (!weights.is_object()) return unsupported("a config group without weight quantization", where);
    TENPAK_ASSIGN(const unsigned bits, json_get<unsigned>(weights, "num_bits", where));
    TENPAK_ASSIGN(const std::string type, json_get<std::string>(weights, "type", where));
    TENPAK_ASSIGN(const std::string strategy, json_get<std::string>(weights, "strategy", where));
    const bool strategy_known = strategy == "channel" || (strategy == "group" && !int_quantized);
    if (type != "int" || !strategy_known || !(bits == 8 || (bits == 4 && !int_quantized))) {
        return unsupported("quantization scheme " + std::to_string(bits) + "-bit " + type + " with strategy \"" + strategy + "\"", where);
    }
    const Json order = weights.value("actorder", Json());
    if (order == Json("group") || order == Json("dynamic") || order == Json(true)) return unsupported("activation order with a group index", where);
    const Json input = group.value("input_activations", Json());
    if (!int_quantized) {
        if (!input.is_null()) return unsupported("pack-quantized weights with quantized activations", where);
        return {};
    }
    if (!input.is_object() || input.value("num_bits", Json()) != Json(8) || input.value("type", Json("int")) != Json("int") ||
        input.value("dynamic", Json()) != Json(true) || input.value("strategy", Json()) != Json("token") || input.value("symmetric", Json(true)) != Json(true)) {
        return unsupported("int-quantized activations other than 8 bit, dynamic, per token, symmetric", where);
    }
    return {};
}

}  // namespace

Json compressed_tensors_config(const QuantizedModel& model) {
    const Candidate& c = model.candidate;
    std::map<std::uint32_t, std::set<std::string>> projections;  // exported group -> "down_proj", …
    std::map<std::uint32_t, std::size_t> tensors;
    for (const auto& [name, w] : model.weights.linears) {
        const std::uint32_t group = exported_group(w);
        projections[group].insert(tensor_place(name).projection);
        ++tensors[group];
    }
    const auto main = std::max_element(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    Json groups = Json::object();
    for (const auto& [group, names] : projections) {
        Json scheme;
        scheme["weights"] = weight_scheme(c, group);
        scheme["input_activations"] = nullptr;
        if (c.rounds_activations()) {
            scheme["input_activations"] = {{"num_bits", 8}, {"type", "int"}, {"symmetric", true}, {"strategy", "token"}, {"dynamic", true}};
        }
        scheme["output_activations"] = nullptr;
        scheme["targets"] = Json::array();
        if (group == main->first) {
            scheme["targets"].push_back("Linear");
        } else {
            for (const std::string& p : names) scheme["targets"].push_back("re:.*\\." + p + "$");
        }
        groups["group_" + std::to_string(groups.size())] = scheme;
    }
    return {{"quant_method", "compressed-tensors"}, {"format", c.rounds_activations() ? "int-quantized" : "pack-quantized"},
            {"quantization_status", "compressed"}, {"global_compression_ratio", nullptr}, {"kv_cache_scheme", nullptr},
            {"ignore", {"lm_head"}}, {"config_groups", groups}};
}

std::vector<std::string> compressed_tensors_notes(const QuantizedModel& model) {
    std::vector<std::string> notes;
    bool wide = false, zeros = false;
    for (const auto& [name, w] : model.weights.linears) {
        wide |= w.group == 256;
        zeros |= w.format == compute::WeightFormat::kInt4Group && !w.symmetric;
    }
    if (wide) notes.emplace_back("groups of 256 are written as two of 128 with the same scale: equal values, 0.08 bits a weight more, fast kernels everywhere");
    if (zeros) {
        // compressed-tensors 0.15 to 0.20 sizes packed zero points wrongly when transformers prepares the model.
        notes.emplace_back("vLLM loads this as it is; transformers needs quantization_config=CompressedTensorsConfig(dequantize=True), because of its packed zero points");
    }
    return notes;
}

Result<CompressedScheme> parse_compressed_scheme(const Json& config, const std::string& where) {
    CompressedScheme s;
    const Json q = config.is_object() ? config.value("quantization_config", Json()) : Json();
    if (q.is_null()) return s;
    if (!q.is_object()) return make_error(ErrorCode::kMalformed, "\"quantization_config\" must be an object", where);
    TENPAK_ASSIGN(const std::string method, json_get<std::string>(q, "quant_method", where));
    if (method != "compressed-tensors") return unsupported("quantization method \"" + method + "\"", where);
    TENPAK_ASSIGN(const std::string format, json_get<std::string>(q, "format", where));
    if (format != "pack-quantized" && format != "int-quantized") return unsupported("compressed-tensors format \"" + format + "\"", where);
    s.int_quantized = format == "int-quantized";
    if (q.value("quantization_status", Json("compressed")) != Json("compressed")) return unsupported("weights that are quantized, but not compressed", where);
    if (!q.value("kv_cache_scheme", Json()).is_null()) return unsupported("a quantized KV cache", where);
    TENPAK_ASSIGN(const Json groups, json_get<Json>(q, "config_groups", where));
    if (!groups.is_object() || groups.empty()) return make_error(ErrorCode::kMalformed, "\"config_groups\" must name at least one group", where);
    for (const auto& [name, group] : groups.items()) TENPAK_RETURN_IF_ERROR(check_group(group, s.int_quantized, where + ", " + name));
    s.quantized = true;
    return s;
}

}  // namespace tenpak::quant
