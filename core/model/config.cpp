// SPDX-License-Identifier: Apache-2.0
#include "core/model/config.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/model/architectures/architecture.h"

namespace tenpak::model {
namespace {

constexpr std::uint64_t kMaxConfigBytes = 1 << 20;

Result<std::string> architecture_of(const Json& j, const std::string& where) {
    if (!j.is_object() || !j.contains("architectures") || j.at("architectures").is_null()) return make_error(ErrorCode::kMalformed, "\"architectures\" is missing", where);
    const Json& a = j.at("architectures");
    if (!a.is_array() || a.empty() || !a.front().is_string()) return make_error(ErrorCode::kMalformed, "\"architectures\" must be a list of names", where);
    return a.front().get<std::string>();
}

Result<Json> load_config(const ModelSource& source, std::string& where) {
    where = source.id() + "/config.json";
    auto bytes = source.read_side_file("config.json");
    if (!bytes.ok()) {
        if (bytes.error().code != ErrorCode::kNotFound) return std::move(bytes).error();
        return make_error(ErrorCode::kNotFound, "the model has no config.json", source.id(),
                          "Running a model needs its whole Hugging Face directory, not only the weights");
    }
    JsonLimits limits;
    limits.max_bytes = kMaxConfigBytes;
    return parse_json(as_text(*bytes), where, limits);
}

/// Checkpoints of the bare model (GPT-2 as published) leave the prefix out.
void find_prefix(const ModelSource& source, ModelConfig& c) {
    if (source.find(model_layout(c).embedding) != nullptr) return;
    const std::string with = c.prefix;
    c.prefix.clear();
    if (source.find(model_layout(c).embedding) == nullptr) c.prefix = with;  // the loader will name what is missing
}

}  // namespace

std::vector<std::string> known_architectures() {
    std::vector<std::string> names;
    for (const Architecture& a : architectures()) names.emplace_back(a.name);
    return names;
}

Result<ModelConfig> read_config(const ModelSource& source) {
    std::string where;
    TENPAK_ASSIGN(const Json j, load_config(source, where));
    ModelConfig c;
    TENPAK_ASSIGN(c.architecture, architecture_of(j, where));
    const auto known = architectures();
    const auto family = std::find_if(known.begin(), known.end(), [&](const Architecture& a) { return c.architecture == a.name; });
    if (family == known.end()) {
        std::string list;
        for (const auto& k : known) list += (list.empty() ? "" : ", ") + std::string(k.name);
        return make_error(ErrorCode::kUnsupported, "architecture " + c.architecture + " cannot be run yet", where, "Known: " + list);
    }
    c.family = &*family;
    const ConfigReader reader(j, where);
    TENPAK_ASSIGN(c.model_type, reader.value<std::string>("model_type", "llama"));
    TENPAK_RETURN_IF_ERROR(family->read(reader, c));
    find_prefix(source, c);
    return c;
}

std::string architecture_or_unknown(const ModelSource& source) {
    std::string where;
    const auto j = load_config(source, where);
    if (!j.ok()) return "unknown";
    auto a = architecture_of(*j, where);
    return a.ok() ? *a : "unknown";
}

}  // namespace tenpak::model
