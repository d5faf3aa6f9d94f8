// SPDX-License-Identifier: Apache-2.0
// Tokenizers of directories without tokenizer.json, told as tokenizer.json tells them.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/model/tokenizer.h"

namespace tenpak::model {

/// The files beside a model's weights: kNotFound for one that is not there.
struct SideFiles {
    std::string id;  ///< for messages
    std::function<Result<Bytes>(std::string_view name)> read;
};
SideFiles side_files(const ModelSource& source);
SideFiles side_files(const std::filesystem::path& folder);
/// The file's text; nothing where there is none.
Result<std::optional<std::string>> side_text(const SideFiles& files, const char* name);
/// The file's document; null where there is none.
Result<Json> side_json(const SideFiles& files, const char* name);

/// `root` as the document of tokenizer.json.
Result<std::shared_ptr<const Tokenizer>> build_tokenizer(const Json& root, const std::string& where);

/// From tokenizer.model, vocab.json with merges.txt, or encoder.json with vocab.bpe; kNotFound where none is there.
Result<std::shared_ptr<const Tokenizer>> load_older_tokenizer(const SideFiles& files);

/// A SentencePiece model (protobuf; sentencepiece_model.proto): BPE or unigram, with its normalization.
Result<Json> sentencepiece_as_json(std::string_view bytes, const std::string& where);

}  // namespace tenpak::model
