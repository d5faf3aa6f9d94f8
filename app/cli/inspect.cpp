// SPDX-License-Identifier: Apache-2.0
// tenpak inspect MODEL
#include <algorithm>
#include <cstdio>
#include <map>

#include "app/cli/command.h"
#include "core/artifact/artifact.h"
#include "core/quant/layouts/gguf_model.h"
#include "core/tensor/model_source.h"

namespace tenpak::cli {
namespace {

/// The first of config.json's architectures; "unknown" where the model does not say. A broken config.json is an error.
Result<std::string> architecture(const Result<Bytes>& config, const std::string& where) {
    if (!config.ok()) {
        if (config.error().code == ErrorCode::kNotFound) return std::string("unknown");
        return config.error();
    }
    TENPAK_ASSIGN(const Json j, parse_json(as_text(*config), where));
    const auto list = j.is_object() ? j.find("architectures") : j.end();
    if (list == j.end() || !list->is_array() || list->empty() || !list->front().is_string()) return std::string("unknown");
    return list->front().get<std::string>();
}

/// What the command prints, from a model of either kind.
struct Facts {
    std::string architecture;
    std::uint64_t file_bytes = 0;
    std::vector<TensorInfo> tensors;
    std::vector<std::string> ignored;
    OrderedJson artifact;  ///< null for a folder or a file
};

Result<Facts> read_facts(const std::string& path, const std::string& base) {
    Facts f;
    std::error_code ec;
    if (looks_like_artifact(path) && std::filesystem::exists(path, ec)) {
        TENPAK_ASSIGN(const auto a, Artifact::open(path));
        TENPAK_ASSIGN(f.architecture, architecture(a->read_side_file("config.json"), path + ", config.json"));
        TENPAK_ASSIGN(f.tensors, a->tensors());
        f.file_bytes = a->raw_bytes();
        f.artifact = {{"stored_bytes", a->stored_bytes()}, {"codec", a->model().codec}, {"base", a->model().base ? OrderedJson(a->model().base->id) : OrderedJson()},
                      {"signature", a->signature_scheme()}};
        if (!base.empty()) {  // opening the two together checks that they belong together
            TENPAK_ASSIGN(const auto together, open_model(path, base));
            f.artifact["base_fits"] = together->tensors().size() == f.tensors.size();
        }
        return f;
    }
    if (quant::GgufModel::is_gguf(path)) {
        TENPAK_ASSIGN(const auto m, quant::GgufModel::open(path));
        TENPAK_ASSIGN(f.architecture, architecture(m->read_side_file("config.json"), path + ", config.json"));
        f.tensors = m->tensors();
        for (const TensorInfo& t : f.tensors) f.file_bytes += m->stored_tensor(*m->find(t.name)).bytes;
        return f;
    }
    TENPAK_ASSIGN(const auto m, ModelDirectory::open(path));
    TENPAK_ASSIGN(f.architecture, architecture(m->read_side_file("config.json"), path + ", config.json"));
    for (const std::uint32_t i : layer_order(m->tensors())) f.tensors.push_back(m->tensors()[i]);
    f.file_bytes = m->total_bytes();
    f.ignored = m->ignored();
    return f;
}

std::string shape_text(const std::vector<std::uint64_t>& shape) {
    std::string s;
    for (const std::uint64_t d : shape) s += (s.empty() ? "" : " x ") + std::to_string(d);
    return s.empty() ? "scalar" : s;
}

Result<int> run(const Context& ctx, const std::string& path, const std::string& base) {
    TENPAK_ASSIGN(const Facts f, read_facts(path, base));
    std::uint64_t parameters = 0, bytes = 0;
    std::map<DType, std::uint64_t> by_type;
    OrderedJson tensors = OrderedJson::array();
    std::string table;
    for (const TensorInfo& t : f.tensors) {
        parameters += t.elements();
        bytes += t.bytes;
        by_type[t.dtype] += t.bytes;
        const TensorPlace place = tensor_place(t.name);
        tensors.push_back({{"name", t.name}, {"dtype", dtype_label(t.dtype)}, {"shape", t.shape}, {"bytes", t.bytes}, {"layer", place.layer}, {"projection", place.projection}});
        table += "  " + std::string(dtype_label(t.dtype)) + "  " + shape_text(t.shape) + "  " + t.name + "\n";
    }
    std::string main_type = "none";
    std::uint64_t most = 0;
    OrderedJson types = OrderedJson::object();
    for (const auto& [type, n] : by_type) {
        types[std::string(dtype_label(type))] = n;
        if (n >= most) main_type = dtype_label(type), most = n;
    }
    OrderedJson j = {{"path", path}, {"architecture", f.architecture}, {"parameters", parameters}, {"bytes", bytes}, {"dtype", main_type},
                     {"dtypes", types}, {"file_bytes", f.file_bytes}, {"ignored", f.ignored}, {"tensors", std::move(tensors)}};
    std::string text = path + ": " + f.architecture + ", " + std::to_string(parameters) + " parameters, " + format_bytes(static_cast<double>(bytes)) + " of weights";
    for (const auto& [type, n] : types.items()) text += std::string(type == types.begin().key() ? " (" : ", ") + type + " " + format_bytes(n.get<double>());
    text += std::string(types.empty() ? "" : ")") + ", " + std::to_string(f.tensors.size()) + " tensors, all files " + format_bytes(static_cast<double>(f.file_bytes)) + "\n";
    if (!f.artifact.is_null()) {
        j["artifact"] = f.artifact;
        text += "stored in " + format_bytes(f.artifact["stored_bytes"].get<double>()) +
                (f.artifact["base"].is_string() ? ", needs the base " + f.artifact["base"].get<std::string>() : std::string(", needs no base")) + "\n";
    }
    for (const std::string& i : f.ignored) text += "left out: " + i + "\n";
    // Names are data: control characters in them must not reach the terminal.
    std::string safe;
    for (const char c : text + table) {
        const auto u = static_cast<unsigned char>(c);
        if ((u < 0x20 && c != '\n') || u == 0x7f) {
            char hex[8];
            std::snprintf(hex, sizeof hex, "\\x%02x", u);
            safe += hex;
        } else {
            safe += c;
        }
    }
    print_result(ctx, j, safe);
    return 0;
}

}  // namespace

void add_inspect(CLI::App& app, Context& ctx) {
    auto* cmd = app.add_subcommand("inspect", "What a model is: architecture, parameters, tensors");
    const auto path = std::make_shared<std::string>();
    cmd->add_option("MODEL", *path, "Folder in Hugging Face layout, .safetensors file or .tnpk")->required();
    const auto base = std::make_shared<std::string>();
    cmd->add_option("--base", *base, "Base of a .tnpk that is a delta: checks that it is the recorded one");
    cmd->callback([&ctx, path, base] { ctx.run = [&ctx, path, base] { return run(ctx, *path, *base); }; });
}

}  // namespace tenpak::cli
