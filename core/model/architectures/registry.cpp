// SPDX-License-Identifier: Apache-2.0
#include "core/model/architectures/architecture.h"

namespace tenpak::model {

std::span<const Architecture> architectures() {
    static const Architecture list[] = {
        {"LlamaForCausalLM", read_llama, llama_layer, llama_outer},        // Llama 1, 2, 3, SmolLM2, TinyLlama …
        {"LLaMAForCausalLM", read_llama, llama_layer, llama_outer},        // the first conversions of Llama 1
        {"MistralForCausalLM", read_mistral, llama_layer, llama_outer},
        {"Qwen2ForCausalLM", read_qwen2, llama_layer, llama_outer},        // and Qwen 2.5
        {"Qwen3ForCausalLM", read_qwen3, llama_layer, llama_outer},
        {"SmolLM3ForCausalLM", read_smollm3, llama_layer, llama_outer},
        {"Gemma2ForCausalLM", read_gemma2, gemma2_layer, llama_outer},
        {"Phi3ForCausalLM", read_phi3, phi3_layer, llama_outer},
        {"GPT2LMHeadModel", read_gpt2, gpt2_layer, gpt2_outer},
        {"GPTNeoXForCausalLM", read_gpt_neox, gpt_neox_layer, gpt_neox_outer},  // and Pythia
    };
    return list;
}

}  // namespace tenpak::model
