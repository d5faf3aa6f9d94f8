// SPDX-License-Identifier: Apache-2.0
#include "core/model/tokenizer_files.h"

#include <algorithm>


namespace tenpak::model {
namespace {

Json added_token(const std::string& content, bool special) { return {{"id", 0}, {"content", content}, {"special", special}, {"normalized", !special}}; }

/// Tokens that tokenizer_config.json ("added_tokens_decoder") and added_tokens.json list, in the order of their ids.
Status add_listed_tokens(const SideFiles& source, const Json& config, Json& root) {
    std::vector<std::pair<std::uint64_t, Json>> listed;
    if (config.is_object() && config.contains("added_tokens_decoder") && config.at("added_tokens_decoder").is_object()) {
        for (const auto& [id, entry] : config.at("added_tokens_decoder").items()) {
            const bool number = !id.empty() && id.size() < 10 && id.find_first_not_of("0123456789") == std::string::npos;
            if (!number || !entry.is_object()) return make_error(ErrorCode::kMalformed, "\"added_tokens_decoder\" has an entry that is no token", source.id + "/tokenizer_config.json");
            listed.emplace_back(std::stoull(id), entry);
        }
    } else {
        TENPAK_ASSIGN(const Json table, side_json(source, "added_tokens.json"));
        if (table.is_object()) {
            for (const auto& [text, id] : table.items()) {
                if (!id.is_number_unsigned()) return make_error(ErrorCode::kMalformed, "an id that is no number", source.id + "/added_tokens.json");
                listed.emplace_back(id.get<std::uint64_t>(), added_token(text, true));
            }
        }
    }
    std::sort(listed.begin(), listed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (auto& [id, token] : listed) {
        token["id"] = id;
        root["added_tokens"].push_back(std::move(token));
    }
    return {};
}

Json gpt2_document(Json vocab, Json merges) {
    const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
    Json root = {{"normalizer", nullptr}, {"pre_tokenizer", byte_level}, {"decoder", byte_level}, {"post_processor", nullptr}, {"added_tokens", Json::array()}};
    const char* const end = "<|endoftext|>";
    if (vocab.contains(end)) root["added_tokens"].push_back(added_token(end, true));
    root["model"] = {{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", std::move(merges)}};
    return root;
}

Result<Json> vocabulary_and_merges(const SideFiles& source, const Json& config) {
    for (const auto& [vocab_name, merges_name] : {std::pair{"vocab.json", "merges.txt"}, std::pair{"encoder.json", "vocab.bpe"}}) {
        TENPAK_ASSIGN(const auto merges_text, side_text(source, merges_name));
        TENPAK_ASSIGN(Json vocab, side_json(source, vocab_name));
        if (!merges_text || !vocab.is_object()) continue;
        Json merges = Json::array();
        for (std::size_t at = 0; at < merges_text->size();) {
            const auto end = std::min(merges_text->find('\n', at), merges_text->size());
            std::string line = merges_text->substr(at, end - at);
            if (!line.empty() && line.back() == '\r') line.pop_back();
            if (!line.empty()) merges.push_back(std::move(line));
            at = end + 1;
        }
        Json root = gpt2_document(std::move(vocab), std::move(merges));
        std::string kind = "GPT2Tokenizer";
        if (config.is_object() && config.contains("tokenizer_class") && config.at("tokenizer_class").is_string()) kind = config.at("tokenizer_class").get<std::string>();
        if (kind.ends_with("Fast")) kind.resize(kind.size() - 4);
        if (kind == "Qwen2Tokenizer") {
            root["normalizer"] = {{"type", "NFC"}};
            root["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Split"}, {"behavior", "Isolated"}, {"invert", false},
                {"pattern", {{"Regex", R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}}}},
                {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
        } else if (kind != "GPT2Tokenizer" && kind != "PreTrainedTokenizer") {
            return make_error(ErrorCode::kUnsupported, "how \"" + kind + "\" cuts text is not told by " + vocab_name + " and " + merges_name, source.id, "Get the model's tokenizer.json, too");
        }
        return root;
    }
    return Json();
}

}  // namespace

SideFiles side_files(const ModelSource& source) {
    return {source.id(), [&source](std::string_view name) { return source.read_side_file(name); }};
}
SideFiles side_files(const std::filesystem::path& folder) {
    return {folder.string(), [folder](std::string_view name) -> Result<Bytes> {
                std::error_code ec;
                if (!std::filesystem::exists(folder / name, ec)) return make_error(ErrorCode::kNotFound, "no such file", (folder / name).string());
                return read_file(folder / name);
            }};
}

Result<std::optional<std::string>> side_text(const SideFiles& files, const char* name) {
    auto bytes = files.read(name);
    if (bytes.ok()) return std::optional<std::string>(as_text(*bytes));
    if (bytes.error().code == ErrorCode::kNotFound) return std::optional<std::string>();
    return std::move(bytes).error();
}

Result<Json> side_json(const SideFiles& files, const char* name) {
    TENPAK_ASSIGN(const auto text, side_text(files, name));
    if (!text) return Json();
    return parse_json(*text, files.id + "/" + name);
}

Result<std::shared_ptr<const Tokenizer>> load_older_tokenizer(const SideFiles& source) {
    TENPAK_ASSIGN(const Json config, side_json(source, "tokenizer_config.json"));
    TENPAK_ASSIGN(const auto sentencepiece, side_text(source, "tokenizer.model"));
    Json root;
    std::string where = source.id;
    // A file of tiktoken's has the same name in some models: lines of base64.
    if (sentencepiece && !sentencepiece->empty() && (*sentencepiece)[0] != '\n') {
        return make_error(ErrorCode::kUnsupported, "tokenizer.model is not a SentencePiece model", source.id, "Get the model's tokenizer.json, too");
    }
    if (sentencepiece) {
        where += "/tokenizer.model";
        TENPAK_ASSIGN(root, sentencepiece_as_json(*sentencepiece, where));
        if (config.is_object() && config.contains("add_bos_token") && config.at("add_bos_token") == false) root["post_processor"] = nullptr;
    } else {
        TENPAK_ASSIGN(root, vocabulary_and_merges(source, config));
    }
    if (root.is_null()) {
        return make_error(ErrorCode::kNotFound, "the model has no tokenizer.json", source.id, "Text can be measured only with the model's own tokenizer: get the whole Hugging Face directory");
    }
    TENPAK_RETURN_IF_ERROR(add_listed_tokens(source, config, root));
    return build_tokenizer(root, where);
}

}  // namespace tenpak::model
