// SPDX-License-Identifier: Apache-2.0
// SentencePiece's precompiled normalization: a double-array trie from byte sequences to replacements (sentencepiece's
// normalizer.cc: uint32 size of the trie, the trie, the replacements, each ended by a zero byte; base64 in tokenizer.json).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace tenpak::model {

struct NormalizedText;

/// Immutable, thread-safe.
class PrecompiledCharsmap {
   public:
    static Result<std::shared_ptr<const PrecompiledCharsmap>> parse(std::string_view base64, const std::string& where);
    static Result<std::shared_ptr<const PrecompiledCharsmap>> from_bytes(std::string_view bytes, const std::string& where);
    /// As the reference library does: whole grapheme clusters below 6 bytes by their shortest prefix, else by characters.
    void apply(NormalizedText& t) const;

   private:
    /// Replacement of the shortest prefix that has one; null pointer: none.
    const char* find(std::string_view chunk) const;
    std::vector<std::uint32_t> trie_;
    std::string replacements_;
};

}  // namespace tenpak::model
