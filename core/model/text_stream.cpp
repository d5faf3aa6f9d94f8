// SPDX-License-Identifier: Apache-2.0
#include "core/model/text_stream.h"

namespace tenpak::model {

std::string TextStream::add(Token token) {
    window_.push_back(token);
    const std::string before = tokenizer_.decode(std::span(window_).first(shown_), skip_special_), all = tokenizer_.decode(window_, skip_special_);
    // A replacement character at the end may become a character once its other bytes are here.
    if (all.size() <= before.size() || all.ends_with("\xef\xbf\xbd")) return {};
    std::string out = all.substr(before.size());
    window_.erase(window_.begin(), window_.begin() + static_cast<std::ptrdiff_t>(shown_));
    shown_ = window_.size();
    return out;
}

std::string TextStream::finish() {
    const std::string before = tokenizer_.decode(std::span(window_).first(shown_), skip_special_), all = tokenizer_.decode(window_, skip_special_);
    shown_ = window_.size();
    return all.size() > before.size() ? all.substr(before.size()) : std::string();
}

}  // namespace tenpak::model
