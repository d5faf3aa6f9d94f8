// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "core/model/tokenizer_files.h"
#include "core/quant/layouts/gguf_pre_tokenizer.h"
#include "core/quant/layouts/gguf_tokenizer.h"

namespace tenpak::quant {
namespace {

// enum llama_token_type; SentencePiece numbers its pieces alike.
enum TokenType : std::int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct Lists {
    const std::vector<std::string>* tokens = nullptr;
    std::vector<std::int64_t> types;
    const GgufValue* scores = nullptr;
};

struct Reader {
    const GgufHeader& h;
    const std::string& where;
    Lists lists = {};

    Error malformed(const std::string& what) const { return make_error(ErrorCode::kMalformed, what, where); }

    Status read_lists() {
        const GgufValue* tokens = h.find("tokenizer.ggml.tokens");
        if (tokens == nullptr || !tokens->array || tokens->type != GgufType::kString || tokens->strings.empty()) return malformed("the file has no list of tokens");
        lists.tokens = &tokens->strings;
        for (const std::string& t : tokens->strings) {
            if (!is_valid_utf8(t)) return malformed("token " + std::to_string(&t - tokens->strings.data()) + " is not UTF-8");
        }
        lists.types.assign(tokens->strings.size(), kNormal);
        if (const GgufValue* types = h.find("tokenizer.ggml.token_type")) {
            if (types->integers.size() != lists.types.size()) return malformed("tokens and their types differ in number");
            lists.types = types->integers;
        }
        lists.scores = h.find("tokenizer.ggml.scores");
        if (lists.scores != nullptr && lists.scores->floats.size() != lists.types.size()) return malformed("tokens and their scores differ in number");
        return {};
    }

    /// -1: none.
    Result<std::int64_t> token(const char* name) const {
        const std::string key = std::string("tokenizer.ggml.") + name + "_token_id";
        if (h.find(key) == nullptr) return -1;
        TENPAK_ASSIGN(const auto id, h.integer(key, 0, where));
        return id < lists.tokens->size() ? static_cast<std::int64_t>(id) : -1;  // files name ids that are not there: none is meant
    }

    /// What goes in front of a text and behind it.
    Result<Json> post_processor(bool bos_by_default) const {
        TENPAK_ASSIGN(const bool add_bos, h.boolean("tokenizer.ggml.add_bos_token", bos_by_default, where));
        TENPAK_ASSIGN(const bool add_eos, h.boolean("tokenizer.ggml.add_eos_token", false, where));
        TENPAK_ASSIGN(const auto bos, token("bos"));
        TENPAK_ASSIGN(const auto eos, token("eos"));
        Json single = Json::array(), special = Json::object();
        const auto add = [&](std::int64_t id) {
            const std::string& text = (*lists.tokens)[static_cast<std::size_t>(id)];
            single.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
            special[text] = {{"id", text}, {"ids", {static_cast<std::uint64_t>(id)}}, {"tokens", {text}}};
        };
        if (add_bos && bos >= 0) add(bos);
        single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
        if (add_eos && eos >= 0) add(eos);
        if (special.empty()) return Json();
        return Json{{"type", "TemplateProcessing"}, {"single", std::move(single)}, {"special_tokens", std::move(special)}};
    }

    Json added_tokens() const {
        Json added = Json::array();
        for (std::size_t i = 0; i < lists.types.size(); ++i) {
            if (lists.types[i] != kControl && lists.types[i] != kUserDefined) continue;
            added.push_back({{"id", i}, {"content", (*lists.tokens)[i]}, {"special", lists.types[i] == kControl}, {"normalized", false}});
        }
        return added;
    }

    Result<Json> byte_level() const {
        TENPAK_ASSIGN(const auto name, h.text("tokenizer.ggml.pre", "default", where));
        TENPAK_ASSIGN(auto pre, make_pre_tokenizer(name, where));
        const GgufValue* merges = h.find("tokenizer.ggml.merges");
        if (merges == nullptr || !merges->array || merges->type != GgufType::kString) return malformed("the file has no list of merges");
        Json vocab = Json::object(), list = Json::array();
        for (std::size_t i = 0; i < lists.tokens->size(); ++i) {
            const std::string& text = (*lists.tokens)[i];
            if (!text.empty()) vocab[text] = i;
        }
        for (const std::string& m : merges->strings) {
            if (!is_valid_utf8(m)) return malformed("a merge is not UTF-8");
            list.push_back(m);
        }
        Json root;
        root["model"] = {{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", std::move(list)}, {"ignore_merges", pre.first.ignore_merges}};
        root["normalizer"] = nullptr;
        if (name == "qwen2") root["normalizer"] = {{"type", "NFC"}};  // the model's own, which llama.cpp leaves out
        root["pre_tokenizer"] = std::move(pre.second);
        root["decoder"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
        TENPAK_ASSIGN(root["post_processor"], post_processor(pre.first.adds_bos));
        root["added_tokens"] = added_tokens();
        return root;
    }

    // SentencePiece: written as its own file format, which the engine reads as any model's tokenizer.model.
    Result<Json> sentencepiece() const {
        if (lists.scores == nullptr) return malformed("the file has no scores of tokens");
        std::string out;
        const auto varint = [](std::string& to, std::uint64_t v) {
            for (; v > 127; v >>= 7) to += static_cast<char>(v | 128);
            to += static_cast<char>(v);
        };
        const auto bytes = [&](std::string& to, unsigned field, std::string_view v) {
            varint(to, field << 3 | 2u);
            varint(to, v.size());
            to += v;
        };
        const auto number = [&](std::string& to, unsigned field, std::uint64_t v) {
            varint(to, field << 3);
            varint(to, v);
        };
        bool byte_fallback = false;
        for (std::size_t i = 0; i < lists.tokens->size(); ++i) {
            std::string piece;
            bytes(piece, 1, (*lists.tokens)[i]);
            const auto score = static_cast<float>(lists.scores->floats[i]);
            char raw[4];
            std::memcpy(raw, &score, 4);
            varint(piece, 2u << 3 | 5u);
            piece.append(raw, 4);
            const std::int64_t type = lists.types[i];
            byte_fallback = byte_fallback || type == kByte;
            number(piece, 3, static_cast<std::uint64_t>(type >= kNormal && type <= kByte ? type : std::int64_t{kUnused}));
            bytes(out, 1, piece);
        }
        TENPAK_ASSIGN(const auto unknown, token("unknown"));
        TENPAK_ASSIGN(const bool prefix, h.boolean("tokenizer.ggml.add_space_prefix", true, where));
        TENPAK_ASSIGN(const bool remove, h.boolean("tokenizer.ggml.remove_extra_whitespaces", false, where));
        std::string trainer, normalizer;
        number(trainer, 3, 2);  // BPE
        number(trainer, 35, byte_fallback ? 1 : 0);
        number(trainer, 40, unknown < 0 ? 0 : static_cast<std::uint64_t>(unknown));
        number(normalizer, 3, prefix ? 1 : 0);
        number(normalizer, 4, remove ? 1 : 0);
        number(normalizer, 5, 1);
        bytes(out, 2, trainer);
        bytes(out, 3, normalizer);
        TENPAK_ASSIGN(Json root, model::sentencepiece_as_json(out, where));
        TENPAK_ASSIGN(root["post_processor"], post_processor(true));
        return root;
    }
};

}  // namespace

Result<Json> tokenizer_from_gguf(const GgufHeader& header, const std::string& where) {
    Reader r{header, where};
    TENPAK_RETURN_IF_ERROR(r.read_lists());
    TENPAK_ASSIGN(const auto kind, header.text("tokenizer.ggml.model", "", where));
    if (kind == "gpt2") return r.byte_level();
    if (kind == "llama") return r.sentencepiece();
    return make_error(ErrorCode::kUnsupported, "a vocabulary of kind \"" + kind + "\" cannot be read", where, "Known: gpt2 (byte-level BPE), llama (SentencePiece BPE)");
}

Result<Json> tokenizer_config_from_gguf(const GgufHeader& header, const std::string& where) {
    Reader r{header, where};
    TENPAK_RETURN_IF_ERROR(r.read_lists());
    Json j = Json::object();
    for (const auto& [name, key] : {std::pair{"bos", "bos_token"}, {"eos", "eos_token"}, {"unknown", "unk_token"}, {"padding", "pad_token"}}) {
        TENPAK_ASSIGN(const auto id, r.token(name));
        if (id >= 0) j[key] = (*r.lists.tokens)[static_cast<std::size_t>(id)];
    }
    TENPAK_ASSIGN(const auto chat, header.text("tokenizer.chat_template", "", where));
    if (!chat.empty() && is_valid_utf8(chat)) j["chat_template"] = chat;
    return j;
}

}  // namespace tenpak::quant
