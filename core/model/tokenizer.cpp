// SPDX-License-Identifier: Apache-2.0
#include "core/model/tokenizer.h"

#include <algorithm>
#include <new>
#include <unordered_map>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/model/added_tokens.h"
#include "core/model/bpe.h"
#include "core/model/byte_level.h"
#include "core/model/normalizer.h"
#include "core/model/pre_tokenizer.h"
#include "core/model/template_processor.h"

namespace tenpak::model {
namespace {

constexpr std::size_t kMaxText = 1u << 30;

class BpeTokenizer final : public Tokenizer {
   public:
    BpeTokenizer(Bpe bpe, Normalizer normalizer, std::unique_ptr<PreTokenizer> pre, TemplateProcessor post, TokenFinder raw, TokenFinder normalized,
                 std::vector<std::string> texts, std::size_t size)
        : bpe_(std::move(bpe)), normalizer_(std::move(normalizer)), pre_(std::move(pre)), post_(std::move(post)), raw_(std::move(raw)),
          normalized_(std::move(normalized)), texts_(std::move(texts)), size_(size) {}

    Result<std::vector<Token>> encode(std::string_view text, bool add_special) const override {
        try {
            return encode_checked(text, add_special);
        } catch (const std::bad_alloc&) {
            return make_error(ErrorCode::kOutOfMemory, "not enough memory to tokenize the text");
        }
    }

    std::string decode(std::span<const Token> tokens) const override {
        std::string bytes;
        for (const Token t : tokens) {
            if (t >= 0 && static_cast<std::size_t>(t) < texts_.size()) bytes += bytes_of_token(texts_[static_cast<std::size_t>(t)]);
        }
        return lossy_utf8(bytes);
    }
    std::size_t vocabulary() const override { return size_; }

   private:
    using Memo = std::unordered_map<std::string, std::vector<Token>>;  // words repeat

    Result<std::vector<Token>> encode_checked(std::string_view text, bool add_special) const {
        if (text.size() > kMaxText) return make_error(ErrorCode::kInvalidArgument, "the text is larger than 1 GiB");
        if (!is_valid_utf8(text)) return make_error(ErrorCode::kMalformed, "the text is not UTF-8", {}, "Convert it first, for example with iconv");
        std::vector<Token> out;
        Memo memo;
        for (const auto& piece : raw_.split(text)) {
            if (piece.id >= 0) {
                out.push_back(piece.id);
                continue;
            }
            TENPAK_ASSIGN(const std::string clean, normalizer_.apply(piece.text));
            for (const auto& part : normalized_.split(clean)) {
                if (part.id >= 0) out.push_back(part.id);
                else TENPAK_RETURN_IF_ERROR(encode_words(part.text, memo, out));
            }
        }
        return add_special ? post_.apply(std::move(out)) : out;
    }

    Status encode_words(std::string_view text, Memo& memo, std::vector<Token>& out) const {
        TENPAK_ASSIGN(auto words, pre_->words(text));
        for (std::string& word : words) {
            auto it = memo.find(word);
            if (it == memo.end()) {
                std::vector<Token> ids;
                bpe_.encode(word, ids);
                it = memo.emplace(std::move(word), std::move(ids)).first;
            }
            out.insert(out.end(), it->second.begin(), it->second.end());
        }
        return {};
    }

    Bpe bpe_;
    Normalizer normalizer_;
    std::unique_ptr<PreTokenizer> pre_;
    TemplateProcessor post_;
    TokenFinder raw_, normalized_;
    std::vector<std::string> texts_;  // by id
    std::size_t size_;
};

Status check_decoder(const Json& d, const std::string& where) {
    if (d.is_null()) return {};
    TENPAK_ASSIGN(const auto type, json_get<std::string>(d, "type", where));
    if (type == "ByteLevel") return {};
    return make_error(ErrorCode::kUnsupported, "decoder \"" + type + "\" is not built yet", where, "Known: ByteLevel");
}

Result<std::shared_ptr<const Tokenizer>> build(const Json& root, const std::string& where) {
    const auto part = [&](const char* key) { return root.contains(key) ? root.at(key) : Json(); };
    TENPAK_ASSIGN(const Json model, json_get<Json>(root, "model", where));
    // The pre-tokenizer first: its absence explains a SentencePiece vocabulary better than the model's options do.
    TENPAK_ASSIGN(auto normalizer, Normalizer::parse(part("normalizer"), where));
    TENPAK_ASSIGN(auto pre, PreTokenizer::parse(part("pre_tokenizer"), where));
    TENPAK_ASSIGN(Bpe bpe, Bpe::parse(model, where));
    TENPAK_ASSIGN(auto post, TemplateProcessor::parse(part("post_processor"), where));
    TENPAK_RETURN_IF_ERROR(check_decoder(part("decoder"), where));
    TENPAK_ASSIGN(auto added, parse_added_tokens(part("added_tokens"), where));

    std::unordered_map<std::string, Token> all = bpe.vocabulary();
    for (const AddedToken& t : added) all[t.content] = t.id;
    Token top = -1;
    for (const auto& [text, id] : all) top = std::max(top, id);
    // Ids are a table's index below: a hostile one must not make it huge.
    if (static_cast<std::size_t>(top) + 1 > 4 * all.size() + 65536) return make_error(ErrorCode::kMalformed, "token id " + std::to_string(top) + " is far above the size of the vocabulary", where);
    std::vector<std::string> texts(static_cast<std::size_t>(top + 1));
    for (const auto& [text, id] : all) texts[static_cast<std::size_t>(id)] = text;

    std::vector<AddedToken> raw, normalized;
    for (AddedToken& t : added) {
        if (!t.normalized) {
            raw.push_back(std::move(t));
            continue;
        }
        TENPAK_ASSIGN(t.content, normalizer.apply(t.content));
        if (!t.content.empty()) normalized.push_back(std::move(t));
    }
    const std::size_t size = all.size();
    return std::shared_ptr<const Tokenizer>(std::make_shared<BpeTokenizer>(std::move(bpe), std::move(normalizer), std::move(pre), std::move(post), TokenFinder(std::move(raw)),
                                                                           TokenFinder(std::move(normalized)), std::move(texts), size));
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> parse_tokenizer(std::string_view tokenizer_json, const std::string& where) {
    try {
        TENPAK_ASSIGN(const Json root, parse_json(tokenizer_json, where));
        return build(root, where);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the tokenizer", where);
    }
}

Result<std::shared_ptr<const Tokenizer>> load_tokenizer(const ModelSource& source) {
    auto bytes = source.read_side_file("tokenizer.json");
    if (!bytes.ok()) {
        if (bytes.error().code != ErrorCode::kNotFound) return std::move(bytes).error();
        return make_error(ErrorCode::kNotFound, "the model has no tokenizer.json", source.id(), "Text can be measured only with the model's own tokenizer: get the whole Hugging Face directory");
    }
    return parse_tokenizer(as_text(*bytes), source.id() + "/tokenizer.json");
}

}  // namespace tenpak::model
