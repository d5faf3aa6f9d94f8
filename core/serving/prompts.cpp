// SPDX-License-Identifier: Apache-2.0
#include "core/serving/prompts.h"

#include <filesystem>
#include <iterator>

#include "core/base/file.h"

namespace tenpak::serving {
namespace {

// Everyday words: one token each, with the space before them, in most vocabularies.
constexpr const char* kWords[] = {"time",  "year",  "people", "way",   "day",    "man",    "thing", "woman", "life",  "child", "world", "school", "state",  "family", "group",   "country",
                                  "hand",  "part",  "place",  "case",  "week",   "company", "system", "program", "question", "work", "government", "number", "night", "point", "home", "water",
                                  "room",  "mother", "area",  "money", "story",  "fact",   "month", "lot",   "right", "study", "book",  "eye",    "job",    "word",   "business", "issue",
                                  "side",  "kind",  "head",   "house", "service", "friend", "father", "power", "hour",  "game",  "line",  "end",    "member", "law",    "car",     "city"};

}  // namespace

PromptMaker::PromptMaker(std::shared_ptr<const model::Tokenizer> tokenizer, std::uint32_t tokens, std::uint64_t seed)
    : tokenizer_(std::move(tokenizer)), tokens_(tokens), random_(seed) {}

Result<Prompt> PromptMaker::next() {
    Prompt p;
    for (std::uint32_t i = 0; i < tokens_; ++i) {
        if (i != 0) p.text += ' ';
        p.text += kWords[random_() % std::size(kWords)];
    }
    if (!tokenizer_) return p;
    TENPAK_ASSIGN(p.tokens, tokenizer_->encode(p.text, true));
    // A word is at least one token, so there are never too few.
    if (p.tokens.size() < tokens_) return make_error(ErrorCode::kUnsupported, "the tokenizer makes fewer tokens than words", {}, "Leave --tokenizer out");
    p.tokens.resize(tokens_);
    p.text = tokenizer_->decode(p.tokens);
    return p;
}

Result<std::shared_ptr<const model::Tokenizer>> load_local_tokenizer(const std::string& path) {
    std::error_code ec;
    if (fs::is_directory(path, ec)) return model::load_tokenizer_folder(path);
    TENPAK_ASSIGN(const std::string text, read_text_file(path));
    return model::parse_tokenizer(text, path);
}

}  // namespace tenpak::serving
