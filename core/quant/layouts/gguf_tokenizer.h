// SPDX-License-Identifier: Apache-2.0
// tokenizer.json from a GGUF file's vocabulary and back. Byte-level BPE ("gpt2") and SentencePiece BPE ("llama").
#pragma once
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/quant/layouts/gguf_names.h"
#include "core/tensor/gguf.h"
#include "core/tensor/model_source.h"

namespace tenpak::quant {

/// kUnsupported for a kind of vocabulary or rule that is not known, kMalformed for lists that disagree.
Result<Json> tokenizer_from_gguf(const GgufHeader& header, const std::string& where);
/// tokenizer_config.json: special tokens, chat template.
Result<Json> tokenizer_config_from_gguf(const GgufHeader& header, const std::string& where);

struct GgufVocabulary {
    GgufMetadata values;             ///< tokenizer.*
    std::vector<std::string> notes;  ///< where llama.cpp may see other tokens in rare texts
};
/// `size`: rows of the embedding; ids without a token are filled up. kUnsupported where llama.cpp would tokenize otherwise.
Result<GgufVocabulary> gguf_from_tokenizer(const ModelSource& source, std::uint32_t size);

}  // namespace tenpak::quant
