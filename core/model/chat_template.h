// SPDX-License-Identifier: Apache-2.0
// A conversation as the text that a model was trained on: the model's own chat template, in the dialect of Jinja that
// transformers renders (trim_blocks, lstrip_blocks, tojson without ASCII escapes, raise_exception, strftime_now).
#pragma once
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/tensor/model_source.h"

namespace tenpak::model {

struct ChatOptions {
    bool add_generation_prompt = true;
    std::time_t now = 0;  ///< for strftime_now; 0: the clock's
};

/// Immutable, thread-safe.
class ChatTemplate {
   public:
    /// kUnsupported names a construct that is not known; kMalformed has the line.
    static Result<ChatTemplate> parse(std::string_view source, const std::string& where);
    /// chat_template.jinja, or "chat_template" of tokenizer_config.json (of several the one named "default"); with the names
    /// of special tokens from there. kNotFound when the model has none.
    static Result<ChatTemplate> load(const ModelSource& source);
    /// `variables`: "messages" and whatever else the template asks for ("tools", "enable_thinking", …); they go before
    /// what the file gives (bos_token, …). kInvalidArgument when the template refuses the conversation. A template that
    /// takes too many steps or too much memory: kMalformed.
    Result<std::string> render(const OrderedJson& variables, const ChatOptions& options = {}) const;

   private:
    struct Impl;
    std::shared_ptr<const Impl> impl_;
};

}  // namespace tenpak::model
