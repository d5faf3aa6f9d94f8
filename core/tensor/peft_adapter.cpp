// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/peft_adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "core/base/json.h"

namespace tenpak {
namespace {

constexpr std::uint64_t kMaxConfig = 16u << 20;  ///< target_modules of thousands of experts are some hundred KB
constexpr std::uint64_t kMaxSide = 1u << 26, kMaxRank = 1u << 13;

Error malformed(std::string what, const std::string& where) {
    return make_error(ErrorCode::kMalformed, std::move(what), where);
}
Error unsupported(std::string what, const std::string& where) {
    return make_error(ErrorCode::kUnsupported, std::move(what), where,
                      "Merge the adapter with PEFT and take the merged model");
}

bool present(const Json& j, const char* key) {
    const auto it = j.find(key);
    return it != j.end() && !it->is_null() && !(it->is_boolean() && !it->get<bool>()) &&
           !((it->is_array() || it->is_object()) && it->empty());
}

/// lora_alpha of a module: PEFT matches keys as regular expressions at a dot; plain names are what is written in
/// practice.
double alpha_of(const std::string& module, double usual, const std::vector<std::pair<std::string, double>>& patterns) {
    for (const auto& [key, value] : patterns)
        if (module == key ||
            (module.size() > key.size() && module.ends_with(key) && module[module.size() - key.size() - 1] == '.'))
            return value;
    return usual;
}

struct Part {
    std::string module;
    char side = 'A';
    bool embedding = false;
};
/// "base_model.model.X.lora_A.weight", "….lora_A.default.weight", "….lora_embedding_B".
std::optional<Part> parse_name(std::string_view name) {
    static constexpr std::array<std::string_view, 4> kMarks{".lora_A.", ".lora_B.", ".lora_embedding_A",
                                                            ".lora_embedding_B"};
    for (const std::string_view mark : kMarks) {
        const std::size_t at = name.rfind(mark);
        if (at == name.npos || at == 0) continue;
        const bool embedding = mark.find("embedding") != mark.npos;
        const std::string_view rest = name.substr(at + mark.size());
        const bool fits = embedding
                              ? rest.empty() || (rest.front() == '.' && rest.find('.', 1) == rest.npos)
                              : rest == "weight" || (rest.ends_with(".weight") && rest.find('.') == rest.size() - 7);
        if (!fits) continue;
        return Part{std::string(name.substr(0, at)), mark[mark.size() - (embedding ? 1 : 2)], embedding};
    }
    return std::nullopt;
}

std::string without_prefix(std::string name) {
    constexpr std::string_view kPrefix = "base_model.model.";
    if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
    return name;
}

}  // namespace

bool PeftAdapter::is_adapter(const fs::path& dir) {
    std::error_code ec;
    return fs::is_regular_file(dir / "adapter_config.json", ec);
}

Result<std::shared_ptr<const PeftAdapter>> PeftAdapter::open(const fs::path& dir) {
    const std::string where = (dir / "adapter_config.json").string();
    TENPAK_ASSIGN(const std::string text, read_text_file(dir / "adapter_config.json", kMaxConfig));
    TENPAK_ASSIGN(const Json config, parse_json(text, where));
    const auto type = config.is_object() ? config.find("peft_type") : config.end();
    if (!config.is_object() || type == config.end() || !type->is_string())
        return malformed("\"peft_type\" is missing", where);
    if (*type != "LORA")
        return unsupported("an adapter of type " + type->get<std::string>().substr(0, 60) + "; this program reads LORA",
                           where);
    if (present(config, "use_dora")) return unsupported("a DoRA adapter (use_dora)", where);
    for (const char* key :
         {"use_qalora", "use_bdlora", "lora_bias", "layer_replication", "target_parameters", "trainable_token_indices",
          "alora_invocation_tokens", "arrow_config", "kasa_config", "monteclora_config"})
        if (present(config, key)) return unsupported(std::string("an adapter that uses \"") + key + "\"", where);
    if (const auto bias = config.find("bias");
        bias != config.end() && bias->is_string() && bias->get<std::string>() != "none")
        return unsupported("an adapter with trained biases (\"bias\")", where);
    auto adapter = std::make_shared<PeftAdapter>();
    adapter->path_ = dir;
    if (const auto base = config.find("base_model_name_or_path"); base != config.end() && base->is_string())
        adapter->base_model_ = base->get<std::string>();
    adapter->fan_in_fan_out_ = present(config, "fan_in_fan_out");
    const bool root_scale = present(config, "use_rslora");
    TENPAK_ASSIGN(const double alpha, json_get<double>(config, "lora_alpha", where));
    std::vector<std::pair<std::string, double>> patterns;
    if (present(config, "alpha_pattern")) {
        const Json& map = config["alpha_pattern"];
        if (!map.is_object()) return malformed("\"alpha_pattern\" must be an object", where);
        for (const auto& item : map.items()) {
            if (!item.value().is_number()) return malformed("\"alpha_pattern\" must hold numbers", where);
            if (item.key().find_first_of("\\^$*+?()[]{}|") != std::string::npos)
                return unsupported("an adapter whose alpha_pattern is a regular expression", where);
            patterns.emplace_back(item.key(), item.value().get<double>());
        }
    }
    std::error_code ec;
    if (!fs::exists(dir / "adapter_model.safetensors", ec)) {
        if (fs::exists(dir / "adapter_model.bin", ec))
            return make_error(ErrorCode::kUnsupported, "the adapter's weights are pickled (adapter_model.bin)",
                              dir.string(), "Save it again with safe_serialization=True");
        return make_error(ErrorCode::kNotFound, "there is no adapter_model.safetensors", dir.string());
    }
    TENPAK_ASSIGN(adapter->files_, ModelDirectory::open(dir / "adapter_model.safetensors"));

    struct Sides {
        const TensorInfo *a = nullptr, *b = nullptr;
        bool embedding = false;
    };
    std::map<std::string, Sides> found;
    for (const TensorInfo& t : adapter->files_->tensors()) {
        const std::string at = where + ", tensor " + t.name;
        if (t.name.find("lora_magnitude_vector") != t.name.npos)
            return unsupported("a DoRA adapter (it has magnitude vectors)", at);
        if (!is_float(t.dtype) || t.dtype == DType::kF64)
            return unsupported("adapter weights of type " + std::string(dtype_label(t.dtype)), at);
        if (const auto part = parse_name(t.name)) {
            Sides& s = found[without_prefix(part->module)];
            const TensorInfo*& side = part->side == 'A' ? s.a : s.b;
            if (side != nullptr) return unsupported("an adapter that has more than one LoRA for a module", at);
            if (t.shape.size() < 2) return malformed("a LoRA factor that is no matrix", at);
            side = &t;
            s.embedding = part->embedding;
            continue;
        }
        if (t.name.find("lora_") != t.name.npos)
            return unsupported("an adapter with a part that this program does not know", at);
        std::string name = without_prefix(t.name);
        for (const std::string_view mark : {".modules_to_save.default.", ".modules_to_save."}) {
            if (const std::size_t i = name.find(mark); i != name.npos) {
                name.replace(i, mark.size(), ".");
                break;
            }
        }
        adapter->replacements_.push_back({std::move(name), t});
    }
    for (const auto& [module, s] : found) {
        const std::string at = where + ", module " + module;
        if (s.a == nullptr || s.b == nullptr) return malformed("a LoRA module has only one of its two factors", at);
        LoraModule m;
        m.module = module;
        m.embedding = s.embedding;
        m.a = *s.a;
        m.b = *s.b;
        // A is (rank, inputs …); B is (outputs, rank), with ones behind for convolutions.
        const std::uint64_t rank = m.a.shape[0];
        if (rank == 0 || rank > kMaxRank || m.b.shape[1] != rank || m.b.elements() != m.b.shape[0] * rank ||
            m.a.elements() / rank > kMaxSide || m.b.shape[0] > kMaxSide)
            return malformed("the factors of a LoRA module do not fit each other", at);
        if (m.a.dtype != m.b.dtype) return unsupported("a LoRA module whose factors have different types", at);
        m.rank = static_cast<std::uint32_t>(rank);
        m.dtype = m.a.dtype;
        m.scale = alpha_of(module, alpha, patterns) /
                  (root_scale ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
        if (!std::isfinite(m.scale)) return malformed("a LoRA module has no finite scale", at);
        adapter->modules_.push_back(std::move(m));
    }
    if (adapter->modules_.empty() && adapter->replacements_.empty())
        return malformed("the adapter has no weights", where);
    return std::shared_ptr<const PeftAdapter>(std::move(adapter));
}

Result<std::vector<LoraTarget>> PeftAdapter::match(const ModelSource& base) const {
    std::vector<LoraTarget> targets;
    const auto& all = base.tensors();
    std::set<std::uint32_t> taken;
    for (std::uint32_t i = 0; i < modules_.size(); ++i) {
        const LoraModule& m = modules_[i];
        const std::string name = m.module + ".weight", where = path_.string() + ", module " + m.module;
        const TensorInfo* t = base.find(name);
        if (t == nullptr) {
            // Checkpoints differ in their prefix ("model."): one may lack what the other has.
            for (const TensorInfo& c : all) {
                const bool fits = c.name.size() > name.size()
                                      ? c.name.ends_with(name) && c.name[c.name.size() - name.size() - 1] == '.'
                                      : name.size() > c.name.size() && name.ends_with(c.name) &&
                                            name[name.size() - c.name.size() - 1] == '.';
                if (!fits) continue;
                if (t != nullptr)
                    return make_error(ErrorCode::kMismatch,
                                      "the base has more than one tensor that a LoRA module could mean", where);
                t = &c;
            }
        }
        if (t == nullptr)
            return make_error(ErrorCode::kMismatch, "the base has no tensor for a LoRA module", where,
                              "Is this the base that the adapter was trained on?");
        LoraTarget target;
        target.module = i;
        target.tensor = static_cast<std::uint32_t>(t - all.data());
        const std::uint64_t outputs = m.b.shape[0], inputs = m.a.elements() / m.rank;
        const std::uint64_t rows = t->shape.empty() ? 0 : t->shape[0], columns = rows == 0 ? 0 : t->elements() / rows;
        const bool straight = rows == outputs && columns == inputs, turned = rows == inputs && columns == outputs;
        if (m.embedding ? !turned : !straight && !turned)
            return make_error(ErrorCode::kMismatch,
                              "a LoRA module has other dimensions than the base's tensor " + t->name, where);
        target.transposed = m.embedding || (turned && (!straight || fan_in_fan_out_));
        target.rows = static_cast<std::uint32_t>(rows);
        target.columns = static_cast<std::uint32_t>(columns);
        if (!taken.insert(target.tensor).second)
            return make_error(ErrorCode::kMismatch, "two LoRA modules mean the same tensor of the base", where);
        targets.push_back(target);
    }
    return targets;
}

Result<LoraMatrices> PeftAdapter::load(const LoraTarget& target) const {
    const LoraModule& m = modules_[target.module];
    TENPAK_ASSIGN(const std::vector<float> a, files_->read_float(m.a));
    TENPAK_ASSIGN(const std::vector<float> b, files_->read_float(m.b));
    try {
        LoraMatrices r;
        r.rows = target.rows;
        r.columns = target.columns;
        r.rank = m.rank;
        r.scale = m.scale;
        r.dtype = m.dtype;
        if (!target.transposed) {
            r.up = b;
            r.down = a;
            return r;
        }
        r.up.resize(a.size());
        r.down.resize(b.size());
        for (std::size_t i = 0; i < r.rows; ++i)
            for (std::size_t c = 0; c < r.rank; ++c) r.up[i * r.rank + c] = a[c * r.rows + i];
        for (std::size_t j = 0; j < r.columns; ++j)
            for (std::size_t c = 0; c < r.rank; ++c) r.down[c * r.columns + j] = b[j * r.rank + c];
        return r;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the factors of a module",
                          path_.string() + ", module " + m.module);
    }
}

}  // namespace tenpak
