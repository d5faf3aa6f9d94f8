// SPDX-License-Identifier: Apache-2.0
// Text to tokens and back from tokenizer.json, token for token as the PyPI `tokenizers` library does.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/tensor/model_source.h"

namespace tenpak::model {

using Token = std::int32_t;

/// Immutable, thread-safe.
class Tokenizer {
   public:
    virtual ~Tokenizer() = default;
    /// `text` is UTF-8 (invalid bytes: kMalformed). add_special: apply the post-processor's template (BOS …).
    virtual Result<std::vector<Token>> encode(std::string_view text, bool add_special) const = 0;
    /// Ids that do not exist are left out; skip_special: those of special tokens, too. Always valid UTF-8.
    virtual std::string decode(std::span<const Token> tokens, bool skip_special = false) const = 0;
    virtual std::size_t vocabulary() const = 0;
    /// The token's own spelling ("Ġthe", "<0x0A>"); nothing for an id that does not exist.
    virtual std::optional<std::string> token_text(Token id) const = 0;
    virtual std::optional<Token> token_id(std::string_view text) const = 0;
    virtual bool is_special(Token id) const = 0;
};
/// From tokenizer.json; where there is none from tokenizer.model (SentencePiece), vocab.json with merges.txt, or
/// encoder.json with vocab.bpe. kUnsupported names the part that is not known; kNotFound when the model has no tokenizer.
Result<std::shared_ptr<const Tokenizer>> load_tokenizer(const ModelSource& source);
/// The same from a folder that may have no weights.
Result<std::shared_ptr<const Tokenizer>> load_tokenizer_folder(const std::filesystem::path& folder);
Result<std::shared_ptr<const Tokenizer>> parse_tokenizer(std::string_view tokenizer_json, const std::string& where);

}  // namespace tenpak::model
