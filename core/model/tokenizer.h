// SPDX-License-Identifier: Apache-2.0
// Text to tokens and back from tokenizer.json, token for token as the PyPI `tokenizers` library does.
#pragma once
#include <cstdint>
#include <memory>
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
    virtual std::string decode(std::span<const Token> tokens) const = 0;
    virtual std::size_t vocabulary() const = 0;
};
/// kUnsupported names the part of tokenizer.json that is not known; kNotFound when the model has none.
Result<std::shared_ptr<const Tokenizer>> load_tokenizer(const ModelSource& source);
Result<std::shared_ptr<const Tokenizer>> parse_tokenizer(std::string_view tokenizer_json, const std::string& where);

}  // namespace tenpak::model
