// SPDX-License-Identifier: Apache-2.0
#include "core/serving/sse.h"

namespace tenpak::serving {

Status SseParser::push(std::string_view bytes, const OnEvent& on_event) {
    while (!bytes.empty()) {
        if (after_cr_ && bytes.front() == '\n') bytes.remove_prefix(1);  // the second half of CRLF
        after_cr_ = false;
        const std::size_t end = bytes.find_first_of("\r\n");
        const std::string_view piece = bytes.substr(0, end);
        if (piece.size() > cap_ - line_.size()) return make_error(ErrorCode::kMalformed, "a line of the event stream is longer than " + std::to_string(cap_) + " bytes");
        line_ += piece;
        if (end == std::string_view::npos) return {};
        after_cr_ = bytes[end] == '\r';
        bytes.remove_prefix(end + 1);
        TENPAK_RETURN_IF_ERROR(end_line(on_event));
    }
    return {};
}

Status SseParser::end_line(const OnEvent& on_event) {
    const std::string line = std::move(line_);
    line_.clear();
    std::string_view text = line;
    if (first_line_ && text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    first_line_ = false;
    if (text.empty()) {
        if (!has_data_) return {};
        has_data_ = false;
        const std::string data = std::move(data_);
        data_.clear();
        return on_event(data);
    }
    const std::size_t colon = text.find(':');
    if (text.substr(0, colon) != "data") return {};
    std::string_view value = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (value.size() + 1 > cap_ - data_.size()) return make_error(ErrorCode::kMalformed, "an event of the stream is longer than " + std::to_string(cap_) + " bytes");
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
    return {};
}

}  // namespace tenpak::serving
