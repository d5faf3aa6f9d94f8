// SPDX-License-Identifier: Apache-2.0
#include "core/base/json.h"
#include "core/evaluate/multiple_choice.h"

namespace tenpak::evaluate {
namespace {

constexpr std::uint64_t kMaxFile = 256u << 20;
constexpr std::size_t kMaxLine = 1u << 20, kMinChoices = 2, kMaxChoices = 64;

std::string without_trailing_space(std::string s) {
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\n' || s.back() == '\r')) s.pop_back();
    return s;
}

Result<std::size_t> answer_of(const Json& j, const std::vector<std::string>& choices, const std::string& where) {
    const auto it = j.find("answer");
    if (it == j.end()) return make_error(ErrorCode::kMalformed, "\"answer\" is missing", where);
    if (it->is_number_unsigned() && it->get<std::uint64_t>() < choices.size()) return it->get<std::size_t>();
    if (it->is_string()) {
        const auto& s = it->get_ref<const std::string&>();
        for (std::size_t i = 0; i < choices.size(); ++i) {
            if (s == choices[i]) return i;
        }
        if (s.size() == 1 && s[0] >= 'A' && static_cast<std::size_t>(s[0] - 'A') < choices.size()) return static_cast<std::size_t>(s[0] - 'A');
    }
    return make_error(ErrorCode::kMalformed, "\"answer\" must be an index from 0 to " + std::to_string(choices.size() - 1) + ", a letter or one of the choices", where);
}

Result<ChoiceItem> parse_item(std::string_view line, const std::string& where) {
    TENPAK_ASSIGN(const Json j, parse_json(line, where, {.max_bytes = kMaxLine, .max_depth = 8}));
    if (!j.is_object()) return make_error(ErrorCode::kMalformed, "an item must be an object", where);
    ChoiceItem item;
    if (j.contains("context")) {
        TENPAK_ASSIGN(item.context, json_get<std::string>(j, "context", where));
        item.context = without_trailing_space(std::move(item.context));
    } else {
        TENPAK_ASSIGN(const std::string question, json_get<std::string>(j, "question", where));
        item.context = "Question: " + without_trailing_space(question) + "\nAnswer:";
    }
    if (item.context.empty()) return make_error(ErrorCode::kMalformed, "an item needs a context that is not empty", where);
    TENPAK_ASSIGN(const Json choices, json_get<Json>(j, "choices", where));
    if (!choices.is_array() || choices.size() < kMinChoices || choices.size() > kMaxChoices) {
        return make_error(ErrorCode::kMalformed, "\"choices\" must be a list of 2 to 64 texts", where);
    }
    for (const Json& c : choices) {
        if (!c.is_string() || c.get_ref<const std::string&>().empty()) return make_error(ErrorCode::kMalformed, "a choice must be a text that is not empty", where);
        item.choices.push_back(c.get<std::string>());
    }
    TENPAK_ASSIGN(item.answer, answer_of(j, item.choices, where));
    return item;
}

}  // namespace

Result<std::vector<ChoiceItem>> parse_choice_items(std::string_view jsonl, const std::string& where) {
    std::vector<ChoiceItem> items;
    for (std::size_t at = 0, number = 1; at < jsonl.size(); ++number) {
        const std::size_t end = std::min(jsonl.find('\n', at), jsonl.size());
        const std::string_view line = jsonl.substr(at, end - at);
        at = end + 1;
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        TENPAK_ASSIGN(ChoiceItem item, parse_item(line, where + ", line " + std::to_string(number)));
        items.push_back(std::move(item));
    }
    if (items.empty()) return make_error(ErrorCode::kMalformed, "no items", where, "One JSON object a line: {\"question\": …, \"choices\": […], \"answer\": 0}");
    return items;
}

Result<std::vector<ChoiceItem>> read_choice_items(const fs::path& path) {
    TENPAK_ASSIGN(const std::string text, read_text_file(path, kMaxFile));
    return parse_choice_items(text, path.string());
}

}  // namespace tenpak::evaluate
