// SPDX-License-Identifier: Apache-2.0
// llama.cpp cuts text into words by rules that a GGUF file only names ("tokenizer.ggml.pre"; src/llama-vocab.cpp). Another
// name, other tokens: the name is chosen by what tokenizer.json does, and where none does the same, nothing is written.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/json.h"

namespace tenpak::quant {

struct GgufPreTokenizer {
    std::string name;            ///< the first of its names is what is written
    bool ignore_merges = false;  ///< a word that is a token is not merged up from its bytes
    bool adds_bos = false;       ///< where the file does not say
};
/// Of "pre_tokenizer" in tokenizer.json, whose model has this "ignore_merges". kUnsupported where llama.cpp has none like it.
Result<GgufPreTokenizer> recognize_pre_tokenizer(const Json& pre_tokenizer, bool ignore_merges, const std::string& where);
/// The "pre_tokenizer" of tokenizer.json that does what llama.cpp does by this name; kUnsupported for an unknown one.
Result<std::pair<GgufPreTokenizer, Json>> make_pre_tokenizer(std::string_view name, const std::string& where);

}  // namespace tenpak::quant
