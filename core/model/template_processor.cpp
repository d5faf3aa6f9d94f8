// SPDX-License-Identifier: Apache-2.0
#include "core/model/template_processor.h"

namespace tenpak::model {
namespace {

constexpr int kMaxDepth = 8;

Result<std::vector<Token>> special_ids(const Json& d, const std::string& name, const std::string& where) {
    TENPAK_ASSIGN(const Json table, json_get<Json>(d, "special_tokens", where));
    TENPAK_ASSIGN(const Json entry, json_get<Json>(table, name.c_str(), where));
    TENPAK_ASSIGN(const Json ids, json_get<Json>(entry, "ids", where));
    std::vector<Token> out;
    if (!ids.is_array()) return make_error(ErrorCode::kMalformed, "\"ids\" must be a list", where);
    for (const Json& id : ids) {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() > INT32_MAX) return make_error(ErrorCode::kMalformed, "the id of a special token must be a non-negative integer", where);
        out.push_back(id.get<Token>());
    }
    return out;
}

/// ["</s>", 2]
Result<Token> token_pair(const Json& d, const char* key, const std::string& where) {
    TENPAK_ASSIGN(const Json pair, json_get<Json>(d, key, where));
    if (!pair.is_array() || pair.size() != 2 || !pair[1].is_number_unsigned() || pair[1].get<std::uint64_t>() > INT32_MAX) {
        return make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" must be [token, id]", where);
    }
    return pair[1].get<Token>();
}

}  // namespace

void TemplateProcessor::wrap(const std::vector<Token>& before, const std::vector<Token>& after) {
    before_.insert(before_.begin(), before.begin(), before.end());
    after_.insert(after_.end(), after.begin(), after.end());
}

Status TemplateProcessor::add(const Json& d, const std::string& where, int depth) {
    if (depth > kMaxDepth) return make_error(ErrorCode::kMalformed, "post-processors nested too deep", where);
    TENPAK_ASSIGN(const auto type, json_get<std::string>(d, "type", where));
    if (type == "ByteLevel") return {};
    if (type == "Sequence") {
        TENPAK_ASSIGN(const Json list, json_get<Json>(d, "processors", where));
        if (!list.is_array()) return make_error(ErrorCode::kMalformed, "\"processors\" must be a list", where);
        for (const Json& p : list) TENPAK_RETURN_IF_ERROR(add(p, where, depth + 1));
        return {};
    }
    if (type == "BertProcessing" || type == "RobertaProcessing") {
        TENPAK_ASSIGN(const Token cls, token_pair(d, "cls", where));
        TENPAK_ASSIGN(const Token sep, token_pair(d, "sep", where));
        wrap({cls}, {sep});
        return {};
    }
    if (type != "TemplateProcessing") {
        return make_error(ErrorCode::kUnsupported, "post-processor \"" + type + "\" is not known", where,
                          "Known: TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence");
    }
    TENPAK_ASSIGN(const Json single, json_get<Json>(d, "single", where));
    if (!single.is_array()) return make_error(ErrorCode::kMalformed, "\"single\" must be a list", where);
    std::vector<Token> before, after;
    bool seen = false;
    for (const Json& item : single) {
        if (item.is_object() && item.contains("Sequence")) {
            if (seen) return make_error(ErrorCode::kUnsupported, "a template that repeats the text is not supported", where);
            seen = true;
            continue;
        }
        TENPAK_ASSIGN(const Json special, json_get<Json>(item, "SpecialToken", where));
        TENPAK_ASSIGN(const auto name, json_get<std::string>(special, "id", where));
        TENPAK_ASSIGN(const auto ids, special_ids(d, name, where));
        auto& to = seen ? after : before;
        to.insert(to.end(), ids.begin(), ids.end());
    }
    if (!seen) return make_error(ErrorCode::kMalformed, "a template without the text", where);
    wrap(before, after);
    return {};
}

Result<TemplateProcessor> TemplateProcessor::parse(const Json& description, const std::string& where) {
    TemplateProcessor p;
    if (!description.is_null()) TENPAK_RETURN_IF_ERROR(p.add(description, where, 0));
    return p;
}

std::vector<Token> TemplateProcessor::apply(std::vector<Token> text) const {
    text.insert(text.begin(), before_.begin(), before_.end());
    text.insert(text.end(), after_.begin(), after_.end());
    return text;
}

}  // namespace tenpak::model
