// SPDX-License-Identifier: Apache-2.0
#include "core/model/tokenizer.h"

#include <algorithm>
#include <new>
#include <unordered_map>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/model/added_tokens.h"
#include "core/model/byte_level.h"
#include "core/model/normalizer.h"
#include "core/model/pre_tokenizer.h"
#include "core/model/subword_model.h"
#include "core/model/template_processor.h"
#include "core/model/token_decoder.h"
#include "core/model/tokenizer_files.h"

namespace tenpak::model {
namespace {

constexpr std::size_t kMaxText = 1u << 30;

struct Parts {
    std::unique_ptr<SubwordModel> model;
    Normalizer normalizer;
    PreTokenizer pre;
    TemplateProcessor post;
    TokenDecoder decoder;
    TokenFinder raw, normalized;
    std::vector<std::string> texts;           // by id, as decoded
    std::vector<bool> exists, special;        // by id
    std::unordered_map<std::string, Token, TextHash, std::equal_to<>> added;
    std::size_t size = 0;
};

class ComposedTokenizer final : public Tokenizer {
   public:
    explicit ComposedTokenizer(Parts parts) : p_(std::move(parts)) {}

    Result<std::vector<Token>> encode(std::string_view text, bool add_special) const override {
        try {
            return encode_checked(text, add_special);
        } catch (const std::bad_alloc&) {
            return make_error(ErrorCode::kOutOfMemory, "not enough memory to tokenize the text");
        }
    }

    std::string decode(std::span<const Token> tokens, bool skip_special) const override {
        std::vector<std::string> texts;
        texts.reserve(tokens.size());
        for (const Token t : tokens) {
            if (!known(t) || (skip_special && is_special(t))) continue;
            texts.push_back(p_.texts[static_cast<std::size_t>(t)]);
        }
        auto text = p_.decoder.decode(std::move(texts));
        // A pattern of the decoder's that exceeds its limits on these tokens: their spelling is the best there is.
        if (!text.ok()) {
            std::string spelled;
            for (const Token t : tokens) spelled += known(t) ? p_.texts[static_cast<std::size_t>(t)] : "";
            return lossy_utf8(spelled);
        }
        return lossy_utf8(*text);
    }

    std::size_t vocabulary() const override { return p_.size; }
    std::optional<std::string> token_text(Token id) const override {
        if (!known(id)) return std::nullopt;
        return p_.texts[static_cast<std::size_t>(id)];
    }
    std::optional<Token> token_id(std::string_view text) const override {
        if (const auto a = p_.added.find(text); a != p_.added.end()) return a->second;
        const auto it = p_.model->vocabulary().find(text);
        if (it == p_.model->vocabulary().end()) return std::nullopt;
        return it->second;
    }
    bool is_special(Token id) const override { return known(id) && p_.special[static_cast<std::size_t>(id)]; }

   private:
    bool known(Token t) const { return t >= 0 && static_cast<std::size_t>(t) < p_.texts.size() && p_.exists[static_cast<std::size_t>(t)]; }

    Result<std::vector<Token>> encode_checked(std::string_view text, bool add_special) const {
        if (text.size() > kMaxText) return make_error(ErrorCode::kInvalidArgument, "the text is larger than 1 GiB");
        if (!is_valid_utf8(text)) return make_error(ErrorCode::kMalformed, "the text is not UTF-8", {}, "Convert it first, for example with iconv");
        std::vector<Token> out;
        WordMemo memo;
        for (const auto& piece : p_.raw.split(text)) {
            if (piece.id >= 0) {
                out.push_back(piece.id);
                continue;
            }
            NormalizedText clean{std::string(text.substr(piece.begin, piece.end - piece.begin)), 0};
            if (piece.begin == 0) clean.first = utf8_length(static_cast<unsigned char>(clean.text[0]));
            TENPAK_RETURN_IF_ERROR(p_.normalizer.apply(clean));
            for (const auto& part : p_.normalized.split(clean.text)) {
                if (part.id >= 0) {
                    out.push_back(part.id);
                    continue;
                }
                const bool whole = part.begin == 0 && part.end == clean.text.size();
                NormalizedText words{whole ? std::move(clean.text) : clean.text.substr(part.begin, part.end - part.begin), clean.first - std::min(clean.first, part.begin)};
                TENPAK_RETURN_IF_ERROR(encode_words(std::move(words), memo, out));
            }
        }
        return add_special ? p_.post.apply(std::move(out)) : out;
    }

    Status encode_words(NormalizedText text, WordMemo& memo, std::vector<Token>& out) const {
        TENPAK_ASSIGN(const Words words, p_.pre.words(std::move(text)));
        for (std::size_t i = 0; i < words.ranges.size(); ++i) TENPAK_RETURN_IF_ERROR(p_.model->encode(words[i], memo, out));
        return {};
    }

    Parts p_;
};

Status index_tokens(const std::vector<AddedToken>& added, Parts& p, const std::string& where) {
    Token top = -1;
    for (const auto& [text, id] : p.model->vocabulary()) top = std::max(top, id);
    for (const AddedToken& t : added) top = std::max(top, t.id);
    const std::size_t count = p.model->vocabulary().size() + added.size();
    // Ids are a table's index: a hostile one must not make it huge.
    if (top >= 0 && static_cast<std::size_t>(top) + 1 > 4 * count + 65536) {
        return make_error(ErrorCode::kMalformed, "token id " + std::to_string(top) + " is far above the size of the vocabulary", where);
    }
    p.texts.resize(static_cast<std::size_t>(top + 1));
    p.exists.resize(p.texts.size());
    p.special.resize(p.texts.size());
    const auto put = [&](Token id, const std::string& text) {
        p.texts[static_cast<std::size_t>(id)] = text;
        p.exists[static_cast<std::size_t>(id)] = true;
    };
    p.size = p.model->vocabulary().size();
    for (const auto& [text, id] : p.model->vocabulary()) put(id, text);
    for (const AddedToken& t : added) {
        // Decoding undoes what normalizing did.
        std::string spelled = t.content;
        if (t.normalized) {
            TENPAK_ASSIGN(spelled, p.normalizer.apply(t.content));
        }
        put(t.id, spelled);
        p.special[static_cast<std::size_t>(t.id)] = t.special;
        p.added[t.content] = t.id;
        if (p.model->vocabulary().find(t.content) == p.model->vocabulary().end()) ++p.size;
    }
    return {};
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> build_tokenizer(const Json& root, const std::string& where) {
    if (!root.is_object() || !root.contains("model")) return make_error(ErrorCode::kMalformed, "\"model\" is missing", where);
    const auto part = [&](const char* key) { return root.contains(key) ? root.at(key) : Json(); };
    TENPAK_ASSIGN(auto normalizer, Normalizer::parse(part("normalizer"), where));
    TENPAK_ASSIGN(auto pre, PreTokenizer::parse(part("pre_tokenizer"), where));
    TENPAK_ASSIGN(auto model, SubwordModel::parse(root.at("model"), where));
    TENPAK_ASSIGN(auto post, TemplateProcessor::parse(part("post_processor"), where));
    TENPAK_ASSIGN(auto decoder, TokenDecoder::parse(part("decoder"), where));
    TENPAK_ASSIGN(auto added, parse_added_tokens(part("added_tokens"), *model, where));

    Parts p{std::move(model), std::move(normalizer), std::move(pre), std::move(post), std::move(decoder), TokenFinder({}), TokenFinder({}), {}, {}, {}, {}, 0};
    TENPAK_RETURN_IF_ERROR(index_tokens(added, p, where));
    std::vector<AddedToken> raw, normalized;
    for (AddedToken& t : added) {
        if (!t.normalized) {
            raw.push_back(std::move(t));
            continue;
        }
        TENPAK_ASSIGN(t.content, p.normalizer.apply(t.content));
        if (!t.content.empty()) normalized.push_back(std::move(t));
    }
    p.raw = TokenFinder(std::move(raw));
    p.normalized = TokenFinder(std::move(normalized));
    return std::shared_ptr<const Tokenizer>(std::make_shared<ComposedTokenizer>(std::move(p)));
}

Result<std::shared_ptr<const Tokenizer>> parse_tokenizer(std::string_view tokenizer_json, const std::string& where) {
    try {
        TENPAK_ASSIGN(const Json root, parse_json(tokenizer_json, where));
        return build_tokenizer(root, where);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the tokenizer", where);
    }
}

namespace {
Result<std::shared_ptr<const Tokenizer>> load_from(const SideFiles& files) {
    TENPAK_ASSIGN(const auto text, side_text(files, "tokenizer.json"));
    if (text) return parse_tokenizer(*text, files.id + "/tokenizer.json");
    try {
        return load_older_tokenizer(files);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the tokenizer", files.id);
    }
}
}  // namespace

Result<std::shared_ptr<const Tokenizer>> load_tokenizer(const ModelSource& source) { return load_from(side_files(source)); }
Result<std::shared_ptr<const Tokenizer>> load_tokenizer_folder(const std::filesystem::path& folder) { return load_from(side_files(folder)); }

}  // namespace tenpak::model
