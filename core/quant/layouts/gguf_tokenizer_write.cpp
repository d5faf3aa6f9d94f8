// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <new>
#include <unordered_map>
#include <unordered_set>

#include "core/model/tokenizer.h"
#include "core/model/tokenizer_files.h"
#include "core/quant/layouts/gguf_pre_tokenizer.h"
#include "core/quant/layouts/gguf_tokenizer.h"

namespace tenpak::quant {
namespace {

enum TokenType : std::int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
const char* const kMeta = "\xe2\x96\x81";  // U+2581, which stands for a space

bool is(const Json& j, const char* key, const char* text) { return j.is_object() && j.contains(key) && j.at(key) == text; }
bool flag(const Json& j, const char* key, bool fallback) { return j.is_object() && j.contains(key) && j.at(key).is_boolean() ? j.at(key).get<bool>() : fallback; }
Json at_or_null(const Json& j, const char* key) { return j.is_object() && j.contains(key) ? j.at(key) : Json(); }

struct Writer {
    const ModelSource& source;
    std::uint32_t size;
    std::string where;
    Json root, config, model_config;
    std::shared_ptr<const model::Tokenizer> tokenizer;
    std::vector<std::string> tokens;
    std::vector<std::int64_t> types;
    std::vector<std::pair<std::string, std::string>> merges;
    GgufVocabulary out;

    Error unsupported(const std::string& what) const {
        return make_error(ErrorCode::kUnsupported, what, where, "llama.cpp would see other tokens than the model: choose another layout");
    }
    Error malformed(const std::string& what) const { return make_error(ErrorCode::kMalformed, what, where); }
    void put(const char* name, GgufValue v) { out.values.emplace_back(std::string("tokenizer.") + name, std::move(v)); }

    Status load() {
        const model::SideFiles files = model::side_files(source);
        TENPAK_ASSIGN(const auto text, model::side_text(files, "tokenizer.json"));
        if (text) {
            TENPAK_ASSIGN(root, parse_json(*text, where));
        } else {
            TENPAK_ASSIGN(const auto pieces, model::side_text(files, "tokenizer.model"));
            if (!pieces) return make_error(ErrorCode::kNotFound, "the model has no tokenizer.json", source.id(), "A GGUF file holds the vocabulary: get the whole Hugging Face directory");
            return make_error(ErrorCode::kUnsupported, "a vocabulary is written from tokenizer.json, which this model does not have", source.id(),
                              "transformers writes one: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)");
        }
        TENPAK_ASSIGN(tokenizer, model::load_tokenizer(source));
        TENPAK_ASSIGN(config, model::side_json(files, "tokenizer_config.json"));
        TENPAK_ASSIGN(model_config, model::side_json(files, "config.json"));
        return {};
    }

    Status read_tokens(bool byte_fallback) {
        const Json& m = root.at("model");
        tokens.assign(size, {});
        types.assign(size, kUnused);
        for (const auto& [text, id] : m.at("vocab").items()) {
            const auto i = id.is_number_unsigned() ? id.get<std::uint64_t>() : std::uint64_t{1} << 32;
            if (i >= size) return malformed("token \"" + text.substr(0, 60) + "\" has no row in the model's embedding of " + std::to_string(size));
            tokens[i] = text;
            const bool byte = byte_fallback && text.size() == 6 && text.starts_with("<0x") && text.ends_with('>');
            types[i] = byte ? kByte : kNormal;
        }
        if (is(m, "type", "BPE") && m.contains("unk_token") && m.at("unk_token").is_string() && byte_fallback) {
            if (const auto id = tokenizer->token_id(m.at("unk_token").get<std::string>())) types[static_cast<std::size_t>(*id)] = kUnknown;
        }
        const Json added = at_or_null(root, "added_tokens");
        bool strips = false;
        for (const Json& t : added.is_array() ? added : Json::array()) {
            if (!t.is_object() || !t.contains("content") || !t.at("content").is_string()) return malformed("\"added_tokens\" has an entry that is no token");
            const auto text = t.at("content").get<std::string>();
            const auto id = tokenizer->token_id(text);
            if (!id || static_cast<std::uint32_t>(*id) >= size) return malformed("token \"" + text.substr(0, 60) + "\" has no row in the model's embedding of " + std::to_string(size));
            const auto i = static_cast<std::size_t>(*id);
            tokens[i] = text;
            if (types[i] != kUnknown) types[i] = flag(t, "special", false) ? kControl : kUserDefined;
            strips = strips || flag(t, "lstrip", false) || flag(t, "rstrip", false) || flag(t, "single_word", false);
        }
        if (strips) out.notes.push_back("some special tokens take the spaces beside them; llama.cpp leaves those in the text");
        std::unordered_set<std::string_view> seen;
        for (const auto& t : tokens) seen.insert(t);
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            for (std::string name = "[PAD" + std::to_string(i) + "]"; tokens[i].empty(); name += "]") {
                if (seen.insert(name).second) tokens[i] = name;  // of use for its number alone; names are unique
            }
        }
        return {};
    }

    Status read_merges() {
        const Json list = at_or_null(root.at("model"), "merges");
        if (!list.is_array()) return malformed("the tokenizer has no list of merges");
        for (const Json& m : list) {
            if (m.is_array() && m.size() == 2 && m[0].is_string() && m[1].is_string()) {
                merges.emplace_back(m[0].get<std::string>(), m[1].get<std::string>());
                continue;
            }
            const auto text = m.is_string() ? m.get<std::string>() : std::string();
            const auto space = text.find(' ', 1);
            if (space == text.npos) return malformed("a merge that is no pair of tokens");
            merges.emplace_back(text.substr(0, space), text.substr(space + 1));
        }
        return {};
    }

    Status byte_level() {
        const bool ignore_merges = flag(root.at("model"), "ignore_merges", false);
        TENPAK_ASSIGN(const GgufPreTokenizer pre, recognize_pre_tokenizer(at_or_null(root, "pre_tokenizer"), ignore_merges, where));
        const Json normalizer = at_or_null(root, "normalizer");
        if (is(normalizer, "type", "NFC")) out.notes.push_back("llama.cpp does not compose characters first (NFC), as this tokenizer does: decomposed accents give other tokens there");
        else if (!normalizer.is_null()) return unsupported("the tokenizer changes the text first (" + normalizer.value("type", "normalizer") + ")");
        put("ggml.model", GgufValue::text("gpt2"));
        put("ggml.pre", GgufValue::text(pre.name));
        TENPAK_RETURN_IF_ERROR(read_tokens(false));
        TENPAK_RETURN_IF_ERROR(read_merges());
        std::vector<std::string> lines;
        for (const auto& [a, b] : merges) {
            if (a.find(' ') != a.npos || b.find(' ') != b.npos) return unsupported("a merge of tokens with spaces");
            lines.push_back(a + " " + b);
        }
        put("ggml.tokens", GgufValue::texts(tokens));
        put("ggml.token_type", GgufValue::i32s(types));
        put("ggml.merges", GgufValue::texts(std::move(lines)));
        return {};
    }

    /// Is a space put in front of the text? Nothing where the rules are not SentencePiece's.
    Result<bool> space_prefix() {
        std::vector<Json> steps;
        const Json normalizer = at_or_null(root, "normalizer"), pre = at_or_null(root, "pre_tokenizer");
        if (is(normalizer, "type", "Sequence")) {
            for (const Json& n : at_or_null(normalizer, "normalizers")) steps.push_back(n);
        } else if (!normalizer.is_null()) {
            steps.push_back(normalizer);
        }
        bool prefix = false, escaped = false;
        for (const Json& n : steps) {
            const Json pattern = at_or_null(n, "pattern");
            if (is(n, "type", "Prepend") && !escaped && is(n, "prepend", kMeta)) prefix = true;
            else if (is(n, "type", "Replace") && is(pattern, "String", " ") && is(n, "content", kMeta)) escaped = true;
            else return unsupported("the tokenizer changes the text first (" + n.value("type", "normalizer") + ")");
        }
        // Behind an escape no space is left that could be cut at.
        if (escaped && (pre.is_null() || (is(pre, "type", "Split") && is(at_or_null(pre, "pattern"), "String", " ")))) return prefix;
        if (steps.empty() && is(pre, "type", "Metaspace") && is(pre, "replacement", kMeta) && !flag(pre, "split", true)) {
            const std::string scheme = pre.value("prepend_scheme", flag(pre, "add_prefix_space", true) ? "always" : "never");
            if (scheme != "never") out.notes.push_back("llama.cpp puts a space in front of every text, this tokenizer not where one is there already" + std::string(scheme == "first" ? ", and not behind special tokens" : ""));
            return scheme != "never";
        }
        return unsupported("the tokenizer cuts text otherwise than SentencePiece");
    }

    /// llama.cpp joins the neighbours whose whole has the highest score; tokenizer.json lists pairs in the order of joining.
    /// The same, where a token's pairs stand together and no pair is left out.
    Result<std::vector<double>> scores() const {
        std::unordered_map<std::string_view, std::size_t> ids;
        for (std::size_t i = 0; i < tokens.size(); ++i) ids.emplace(tokens[i], i);
        std::vector<double> out_scores(tokens.size(), -1e6);
        std::vector<std::uint32_t> pairs(tokens.size(), 0);
        std::size_t last = tokens.size();
        double rank = 0;
        for (const auto& [a, b] : merges) {
            const std::string whole = a + b;
            const auto it = ids.find(whole);
            if (it == ids.end()) return malformed("a merge gives \"" + whole.substr(0, 60) + "\", which is no token");
            if (it->second != last) {
                if (pairs[it->second] != 0) return unsupported("pairs of one token do not stand together in the list of merges (\"" + whole.substr(0, 60) + "\")");
                last = it->second;
                out_scores[last] = -(rank++);
            }
            ++pairs[last];
        }
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            if (types[i] != kNormal) continue;
            std::uint32_t ways = 0;
            const std::string_view text = tokens[i];
            for (std::size_t cut = 1; cut < text.size(); ++cut) {
                if ((static_cast<unsigned char>(text[cut]) & 0xc0u) == 0x80u) continue;
                const auto a = ids.find(text.substr(0, cut)), b = ids.find(text.substr(cut));
                ways += a != ids.end() && b != ids.end() && types[a->second] == kNormal && types[b->second] == kNormal ? 1u : 0u;
            }
            if (ways > pairs[i]) return unsupported("token \"" + tokens[i].substr(0, 60) + "\" can be put together in ways that the merges do not list");
        }
        return out_scores;
    }

    Status sentencepiece() {
        if (flag(root.at("model"), "ignore_merges", false)) return unsupported("words that are tokens are not merged up");
        TENPAK_ASSIGN(const bool prefix, space_prefix());
        put("ggml.model", GgufValue::text("llama"));
        put("ggml.pre", GgufValue::text("default"));
        TENPAK_RETURN_IF_ERROR(read_tokens(true));
        TENPAK_RETURN_IF_ERROR(read_merges());
        TENPAK_ASSIGN(auto s, scores());
        // Spaces in tokens that are cut out of the raw text are spaces there.
        std::vector<std::string> written = tokens;
        for (std::size_t i = 0; i < written.size(); ++i) {
            if (types[i] != kUserDefined) continue;
            for (std::size_t at = 0; (at = written[i].find(kMeta, at)) != std::string::npos;) written[i].replace(at, 3, " ");
        }
        put("ggml.tokens", GgufValue::texts(std::move(written)));
        put("ggml.scores", GgufValue::f32s(std::move(s)));
        put("ggml.token_type", GgufValue::i32s(types));
        put("ggml.add_space_prefix", GgufValue::boolean(prefix));
        return {};
    }

    std::optional<std::uint32_t> named(const char* key) const {
        const Json t = at_or_null(config, key);
        const Json& text = t.is_object() && t.contains("content") ? t.at("content") : t;
        if (!text.is_string()) return std::nullopt;
        const auto id = tokenizer->token_id(text.get<std::string>());
        return id ? std::optional(static_cast<std::uint32_t>(*id)) : std::nullopt;
    }
    std::optional<std::uint32_t> numbered(const char* key) const {
        Json id = at_or_null(model_config, key);
        if (id.is_array() && !id.empty()) id = Json(id.front());
        return id.is_number_unsigned() && id.get<std::uint64_t>() < size ? std::optional(id.get<std::uint32_t>()) : std::nullopt;
    }

    /// What the tokenizer itself puts around a text, found by trying.
    Status special_tokens() {
        TENPAK_ASSIGN(const auto with, tokenizer->encode("a", true));
        TENPAK_ASSIGN(const auto without, tokenizer->encode("a", false));
        const auto middle = std::search(with.begin(), with.end(), without.begin(), without.end());
        const auto before = middle - with.begin(), after = with.end() - middle - static_cast<std::ptrdiff_t>(without.size());
        if (middle == with.end() || before > 1 || after > 1) return unsupported("the tokenizer puts more than one token in front of a text or behind it");
        const auto id = [&](std::optional<std::uint32_t> first, std::optional<std::uint32_t> second) { return first ? first : second; };
        auto bos = id(named("bos_token"), numbered("bos_token_id")), eos = id(named("eos_token"), numbered("eos_token_id"));
        if (before == 1) bos = static_cast<std::uint32_t>(with.front());
        if (after == 1) eos = static_cast<std::uint32_t>(with.back());
        if (bos) put("ggml.bos_token_id", GgufValue::u32(*bos));
        if (eos) put("ggml.eos_token_id", GgufValue::u32(*eos));
        if (const auto pad = id(named("pad_token"), numbered("pad_token_id"))) put("ggml.padding_token_id", GgufValue::u32(*pad));
        if (const auto unknown = named("unk_token")) put("ggml.unknown_token_id", GgufValue::u32(*unknown));
        put("ggml.add_bos_token", GgufValue::boolean(before == 1));
        put("ggml.add_eos_token", GgufValue::boolean(after == 1));
        return {};
    }

    Status chat_template() {
        const model::SideFiles files = model::side_files(source);
        TENPAK_ASSIGN(auto text, model::side_text(files, "chat_template.jinja"));
        const Json inner = at_or_null(config, "chat_template");
        if (!text && inner.is_string()) text = inner.get<std::string>();
        if (!text && inner.is_array()) {
            for (const Json& t : inner) {
                if (is(t, "name", "default") && t.contains("template") && t.at("template").is_string()) text = t.at("template").get<std::string>();
            }
        }
        if (text && !text->empty()) put("chat_template", GgufValue::text(*text));
        return {};
    }

    Status run() {
        TENPAK_RETURN_IF_ERROR(load());
        const Json m = at_or_null(root, "model");
        if (!m.is_object() || !is(m, "type", "BPE") || !at_or_null(m, "vocab").is_object()) {
            return unsupported("a vocabulary of kind " + (m.is_object() ? m.value("type", std::string("unknown")) : "unknown") + " is not written (byte-level BPE and SentencePiece BPE are)");
        }
        if (!at_or_null(m, "dropout").is_null() && m.at("dropout") != 0.0) return unsupported("the tokenizer is random (dropout)");
        for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
            const Json v = at_or_null(m, key);
            if (!v.is_null() && v != "") return unsupported(std::string("\"") + key + "\" is not known there");
        }
        TENPAK_RETURN_IF_ERROR(flag(m, "byte_fallback", false) ? sentencepiece() : byte_level());
        TENPAK_RETURN_IF_ERROR(special_tokens());
        return chat_template();
    }
};

}  // namespace

Result<GgufVocabulary> gguf_from_tokenizer(const ModelSource& source, std::uint32_t size) {
    try {
        Writer w{.source = source, .size = size, .where = source.id() + "/tokenizer.json", .root = {}, .config = {}, .model_config = {}, .tokenizer = {}, .tokens = {}, .types = {}, .merges = {}, .out = {}};
        TENPAK_RETURN_IF_ERROR(w.run());
        return std::move(w.out);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the vocabulary", source.id());
    } catch (const Json::exception& e) {
        return make_error(ErrorCode::kMalformed, std::string("tokenizer.json is not what it should be: ") + e.what(), source.id());
    }
}

}  // namespace tenpak::quant
