// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/targets.h"

namespace tenpak::fuzz {

const std::vector<Target>& targets() {
    static const std::vector<Target> all{
        {"safetensors", safetensors_target, safetensors_seeds},
        {"gguf", gguf_target, gguf_seeds},
        {"manifest", manifest_target, manifest_seeds},
        {"artifact", artifact_target, artifact_seeds},
        {"bundle", bundle_target, bundle_seeds},
        {"serving", serving_target, serving_seeds},
        {"tokenizer", tokenizer_target, tokenizer_seeds},
        {"sentencepiece", sentencepiece_target, sentencepiece_seeds},
        {"chat_template", chat_template_target, chat_template_seeds},
        {"checkpoint", checkpoint_target, checkpoint_seeds},
    };
    return all;
}

}  // namespace tenpak::fuzz
