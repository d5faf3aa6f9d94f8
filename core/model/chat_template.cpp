// SPDX-License-Identifier: Apache-2.0
#include "core/model/chat_template.h"

#include "core/model/jinja/interpreter.h"
#include "core/model/tokenizer_files.h"

namespace tenpak::model {

struct ChatTemplate::Impl {
    std::shared_ptr<const jinja::Body> body;
    OrderedJson defaults = OrderedJson::object();
    std::string where;
};

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, const std::string& where) {
    auto impl = std::make_shared<Impl>();
    impl->where = where;
    if (!is_valid_utf8(source)) return make_error(ErrorCode::kMalformed, "the chat template is not UTF-8", where);
    auto body = jinja::parse_template(source);
    if (!body.ok()) {
        Error e = std::move(body).error();
        e.where = where;
        return e;
    }
    impl->body = *body;
    ChatTemplate t;
    t.impl_ = std::move(impl);
    return t;
}

Result<ChatTemplate> ChatTemplate::load(const ModelSource& source) {
    const SideFiles files = side_files(source);
    TENPAK_ASSIGN(auto text, side_text(files, "chat_template.jinja"));
    TENPAK_ASSIGN(const Json config, side_json(files, "tokenizer_config.json"));
    std::string where = files.id + "/chat_template.jinja";
    if (!text && config.is_object() && config.contains("chat_template")) {
        const Json& t = config.at("chat_template");
        where = files.id + "/tokenizer_config.json";
        if (t.is_string()) text = t.get<std::string>();
        if (t.is_array()) {
            for (const Json& named : t) {
                const bool known = named.is_object() && named.contains("name") && named.contains("template") && named.at("template").is_string();
                if (known && (!text || named.at("name") == "default")) text = named.at("template").get<std::string>();
            }
        }
    }
    if (!text) return make_error(ErrorCode::kNotFound, "the model has no chat template", files.id, "It is no chat model: give it a plain text with --prompt");
    TENPAK_ASSIGN(const ChatTemplate parsed, parse(*text, where));
    auto impl = std::make_shared<Impl>(*parsed.impl_);
    if (config.is_object()) {
        for (const char* name : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"}) {
            if (!config.contains(name)) continue;
            const Json& v = config.at(name);
            if (v.is_string()) impl->defaults[name] = v.get<std::string>();
            else if (v.is_object() && v.contains("content") && v.at("content").is_string()) impl->defaults[name] = v.at("content").get<std::string>();
        }
    }
    ChatTemplate t;
    t.impl_ = std::move(impl);
    return t;
}

Result<std::string> ChatTemplate::render(const OrderedJson& variables, const ChatOptions& options) const {
    try {
        OrderedJson all = impl_->defaults;
        // As transformers passes them: there, but none.
        for (const char* name : {"tools", "documents"}) all[name] = nullptr;
        all["add_generation_prompt"] = options.add_generation_prompt;
        if (variables.is_object()) {
            for (const auto& [name, value] : variables.items()) all[name] = value;
        }
        jinja::Dict dict;
        for (const auto& [name, value] : all.items()) dict.emplace_back(name, jinja::Value::from_json(value));
        jinja::RenderOptions render_options;
        render_options.now = options.now;
        auto text = jinja::render(*impl_->body, dict, render_options);
        if (text.ok()) return text;
        Error e = std::move(text).error();
        e.where = e.where.empty() ? impl_->where : impl_->where + " " + e.where;
        return e;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the chat template", impl_->where);
    }
}

}  // namespace tenpak::model
