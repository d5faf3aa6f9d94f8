// SPDX-License-Identifier: Apache-2.0
// What each fuzz target does with one input. The same functions run under libFuzzer (preset fuzz) and, with a fixed
// sequence of mutations, in every CI run (replay_test.cpp). A broken promise ends the program (std::abort).
#pragma once
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace tenpak::fuzz {

using Input = std::span<const std::byte>;

void safetensors_target(Input input);  ///< the header of a .safetensors file
void gguf_target(Input input);         ///< the header of a .gguf file, and blocks of its tensors
void manifest_target(Input input);     ///< manifest.json, as it is and in canonical form
void artifact_target(Input input);     ///< a .tnpk file, as it is and with a header made right for it
void tokenizer_target(Input input);     ///< tokenizer.json, and texts by what it makes
void sentencepiece_target(Input input); ///< tokenizer.model
void chat_template_target(Input input); ///< a chat template, and a conversation by it
void bundle_target(Input input);       ///< signature.sig and model.sig, their payloads and the HMAC document
void serving_target(Input input);      ///< what a server of language models answers: event streams, log-probabilities
void checkpoint_target(Input input);   ///< a quantized checkpoint: its settings on the first line, then a .safetensors file

struct Target {
    const char* name;
    void (*run)(Input);
    std::vector<std::string> (*seeds)();  ///< valid inputs to start from
};
const std::vector<Target>& targets();

std::vector<std::string> safetensors_seeds();
std::vector<std::string> gguf_seeds();
std::vector<std::string> manifest_seeds();
std::vector<std::string> artifact_seeds();
std::vector<std::string> bundle_seeds();
std::vector<std::string> serving_seeds();
std::vector<std::string> tokenizer_seeds();
std::vector<std::string> sentencepiece_seeds();
std::vector<std::string> chat_template_seeds();
std::vector<std::string> checkpoint_seeds();

}  // namespace tenpak::fuzz
