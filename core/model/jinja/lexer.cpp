// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja/lexer.h"

#include <algorithm>

#include "core/model/characters.h"
#include "core/model/jinja/value.h"

namespace tenpak::model::jinja {
namespace {

constexpr std::size_t kMaxSource = 1u << 20;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
   public:
    explicit Lexer(std::string source) : s_(std::move(source)) {}

    Result<std::vector<LexToken>> run() {
        while (at_ < s_.size()) {
            const auto open = find_tag(at_);
            std::string text = s_.substr(at_, std::min(open, s_.size()) - at_);
            if (open == std::string::npos) {
                add_text(std::move(text));
                break;
            }
            const char kind = s_[open + 1];
            std::size_t inside = open + 2;
            const char control = inside < s_.size() ? s_[inside] : '\0';
            if (control == '-') {
                while (!text.empty() && is_space(text.back())) text.pop_back();
                ++inside;
            } else if (control == '+') {
                ++inside;
            } else if (kind != '{') {
                strip_line_start(text, open);
            }
            add_text(std::move(text));
            count_lines(at_, open);
            at_ = inside;
            if (kind == '#') {
                TENPAK_RETURN_IF_ERROR(comment());
            } else if (kind == '%' && at_raw()) {
                TENPAK_RETURN_IF_ERROR(raw());
            } else {
                TENPAK_RETURN_IF_ERROR(code(kind == '{'));
            }
        }
        out_.push_back({TokenKind::kEnd, "", line_});
        return std::move(out_);
    }

   private:
    Error error(const std::string& what) const { return template_error(what + " (line " + std::to_string(line_) + ")"); }
    void count_lines(std::size_t from, std::size_t to) { line_ += static_cast<std::size_t>(std::count(s_.begin() + static_cast<std::ptrdiff_t>(from), s_.begin() + static_cast<std::ptrdiff_t>(to), '\n')); }
    void add_text(std::string text) {
        if (!text.empty()) out_.push_back({TokenKind::kText, std::move(text), line_});
    }
    std::size_t find_tag(std::size_t from) const {
        for (std::size_t i = s_.find('{', from); i != std::string::npos && i + 1 < s_.size(); i = s_.find('{', i + 1)) {
            if (s_[i + 1] == '{' || s_[i + 1] == '%' || s_[i + 1] == '#') return i;
        }
        return std::string::npos;
    }
    /// lstrip_blocks: white space between the start of the line and a block's tag goes.
    void strip_line_start(std::string& text, std::size_t open) const {
        std::size_t keep = text.size();
        while (keep > 0 && is_space(text[keep - 1]) && text[keep - 1] != '\n') --keep;
        const bool line_start = keep > 0 ? text[keep - 1] == '\n' : (open - text.size() == 0 || s_[open - text.size() - 1] == '\n');
        if (line_start) text.resize(keep);
    }
    /// Behind a tag: "-" took white space, and trim_blocks takes one newline.
    void after_tag(bool minus, bool plus, bool block) {
        if (minus) {
            const std::size_t begin = at_;
            while (at_ < s_.size() && is_space(s_[at_])) ++at_;
            count_lines(begin, at_);
        } else if (block && !plus && at_ < s_.size() && s_[at_] == '\n') {
            ++at_;
            ++line_;
        }
    }

    Status comment() {
        const auto close = s_.find("#}", at_);
        if (close == std::string::npos) return error("a comment without end");
        const bool minus = close > at_ && s_[close - 1] == '-', plus = close > at_ && s_[close - 1] == '+';
        count_lines(at_, close);
        at_ = close + 2;
        after_tag(minus, plus, true);
        return {};
    }

    bool word_tag(std::size_t from, std::string_view word, std::size_t& end, bool& minus, bool& plus) const {
        std::size_t i = from;
        while (i < s_.size() && is_space(s_[i])) ++i;
        if (s_.compare(i, word.size(), word) != 0) return false;
        i += word.size();
        while (i < s_.size() && is_space(s_[i])) ++i;
        minus = i < s_.size() && s_[i] == '-';
        plus = i < s_.size() && s_[i] == '+';
        if (minus || plus) ++i;
        if (s_.compare(i, 2, "%}") != 0) return false;
        end = i + 2;
        return true;
    }
    bool at_raw() const {
        std::size_t end = 0;
        bool minus = false, plus = false;
        return word_tag(at_, "raw", end, minus, plus);
    }
    Status raw() {
        std::size_t end = 0;
        bool minus = false, plus = false;
        (void)word_tag(at_, "raw", end, minus, plus);
        at_ = end;
        after_tag(minus, plus, true);
        for (std::size_t i = s_.find("{%", at_); i != std::string::npos; i = s_.find("{%", i + 2)) {
            std::size_t inside = i + 2;
            const bool strip = inside < s_.size() && s_[inside] == '-', keep = inside < s_.size() && s_[inside] == '+';
            if (strip || keep) ++inside;
            if (!word_tag(inside, "endraw", end, minus, plus)) continue;
            std::string text = s_.substr(at_, i - at_);
            if (strip) {
                while (!text.empty() && is_space(text.back())) text.pop_back();
            } else if (!keep) {
                strip_line_start(text, i);
            }
            add_text(std::move(text));
            count_lines(at_, end);
            at_ = end;
            after_tag(minus, plus, true);
            return {};
        }
        return error("raw without endraw");
    }

    Status code(bool print) {
        out_.push_back({print ? TokenKind::kPrintBegin : TokenKind::kBlockBegin, "", line_});
        std::string brackets;
        const std::string close = print ? "}}" : "%}";
        while (true) {
            while (at_ < s_.size() && is_space(s_[at_])) line_ += s_[at_++] == '\n';
            if (at_ >= s_.size()) return error("a tag without end");
            if (brackets.empty()) {
                const bool sign = s_[at_] == '-' || (!print && s_[at_] == '+');
                if (s_.compare(at_ + (sign ? 1 : 0), 2, close) == 0) {
                    const bool minus = s_[at_] == '-', plus = s_[at_] == '+';
                    at_ += sign ? 3 : 2;
                    out_.push_back({print ? TokenKind::kPrintEnd : TokenKind::kBlockEnd, "", line_});
                    after_tag(minus, plus, !print);
                    return {};
                }
            }
            const char c = s_[at_];
            if (c == '"' || c == '\'') {
                TENPAK_RETURN_IF_ERROR(string(c));
            } else if (is_digit(c)) {
                number();
            } else if (is_name_start(c)) {
                const std::size_t begin = at_;
                while (at_ < s_.size() && (is_name_start(s_[at_]) || is_digit(s_[at_]))) ++at_;
                out_.push_back({TokenKind::kName, s_.substr(begin, at_ - begin), line_});
            } else {
                static constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
                std::string op(1, c);
                for (const auto two : kTwo) {
                    if (s_.compare(at_, 2, two) == 0) op = two;
                }
                if (op.size() == 1 && std::string_view("+-*/%~<>=.,:|()[]{};!").find(c) == std::string_view::npos) return error("an unexpected character");
                if (c == '(' || c == '[' || c == '{') brackets += c;
                if (c == ')' || c == ']' || c == '}') {
                    const char want = c == ')' ? '(' : c == ']' ? '[' : '{';
                    if (brackets.empty() || brackets.back() != want) return error("brackets that do not match");
                    brackets.pop_back();
                }
                at_ += op.size();
                out_.push_back({TokenKind::kOperator, std::move(op), line_});
            }
        }
    }

    void number() {
        const std::size_t begin = at_;
        bool real = false;
        while (at_ < s_.size() && (is_digit(s_[at_]) || (s_[at_] == '_' && at_ + 1 < s_.size() && is_digit(s_[at_ + 1])))) ++at_;
        if (at_ + 1 < s_.size() && s_[at_] == '.' && is_digit(s_[at_ + 1])) {
            real = true;
            ++at_;
            while (at_ < s_.size() && is_digit(s_[at_])) ++at_;
        }
        if (at_ + 1 < s_.size() && (s_[at_] == 'e' || s_[at_] == 'E') && (is_digit(s_[at_ + 1]) || (at_ + 2 < s_.size() && (s_[at_ + 1] == '-' || s_[at_ + 1] == '+') && is_digit(s_[at_ + 2])))) {
            real = true;
            at_ += 2;
            while (at_ < s_.size() && is_digit(s_[at_])) ++at_;
        }
        std::string text = s_.substr(begin, at_ - begin);
        std::erase(text, '_');
        out_.push_back({real ? TokenKind::kFloat : TokenKind::kInteger, std::move(text), line_});
    }

    Status string(char quote) {
        std::string out;
        const std::size_t line = line_;
        for (++at_; at_ < s_.size() && s_[at_] != quote; ++at_) {
            char c = s_[at_];
            if (c == '\n') ++line_;
            if (c != '\\' || at_ + 1 >= s_.size()) {
                out += c;
                continue;
            }
            c = s_[++at_];
            switch (c) {
                case 'n': out += '\n'; break;
                case 't': out += '\t'; break;
                case 'r': out += '\r'; break;
                case 'b': out += '\b'; break;
                case 'f': out += '\f'; break;
                case 'v': out += '\v'; break;
                case 'a': out += '\a'; break;
                case '0': out += '\0'; break;
                case '\\': case '\'': case '"': out += c; break;
                case '\n': ++line_; break;
                case 'x': case 'u': case 'U': {
                    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
                    const std::string hex = s_.substr(at_ + 1, digits);
                    if (hex.size() != digits || hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) return error("a string with a wrong escape");
                    const auto code = static_cast<char32_t>(std::stoul(hex, nullptr, 16));
                    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return error("a string with an escape that is no character");
                    append_utf8(out, code);
                    at_ += digits;
                    break;
                }
                default: out += {'\\', c};  // as Python keeps an escape that it does not know
            }
        }
        if (at_ >= s_.size()) return error("a string without end");
        ++at_;
        out_.push_back({TokenKind::kString, std::move(out), line});
        return {};
    }

    std::string s_;
    std::size_t at_ = 0, line_ = 1;
    std::vector<LexToken> out_;
};

}  // namespace

Result<std::vector<LexToken>> tokenize(std::string_view source) {
    if (source.size() > kMaxSource) return template_error("it is longer than 1 MiB");
    std::string s;
    s.reserve(source.size());
    for (std::size_t i = 0; i < source.size(); ++i) {
        if (source[i] == '\r') {
            s += '\n';
            if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
        } else s += source[i];
    }
    if (!s.empty() && s.back() == '\n') s.pop_back();
    return Lexer(std::move(s)).run();
}

}  // namespace tenpak::model::jinja
