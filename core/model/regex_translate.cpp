// SPDX-License-Identifier: Apache-2.0
// From Oniguruma's syntax (github.com/kkos/oniguruma, doc/RE) to PCRE2's (pcre2pattern(3)).
#include "core/model/characters.h"
#include "core/model/regex.h"

namespace tenpak::model {
namespace {

// Unicode's White_Space: PCRE2's \s has one character more (U+180E).
const char* const kSpace = "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

const std::string& digits() {
    static const std::string s = "\\p{Nd}" + newer_characters("Nd");
    return s;
}
/// Oniguruma's \w: alphabetic characters, marks, decimal digits, connectors; of other numbers those in Latin-1.
const std::string& word() {
    static const std::string s =
        "\\p{Alphabetic}\\p{M}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}" + digits() + newer_characters("L") + newer_characters("M");
    return s;
}

class Translator {
   public:
    Translator(const std::string& pattern, const std::string& where) : p_(pattern), where_(where) {}

    Result<std::string> run() {
        while (at_ < p_.size()) {
            const char c = p_[at_++];
            if (c == '\\') {
                TENPAK_RETURN_IF_ERROR(escape());
            } else if (in_class_) {
                TENPAK_RETURN_IF_ERROR(inside_class(c));
            } else if (c == '[') {
                in_class_ = true;
                out_ += c;
                if (peek() == '^') out_ += p_[at_++];
                if (peek() == ']') return refuse("\"]\" first in a class");
            } else if (c == '(' && peek() == '?') {
                TENPAK_RETURN_IF_ERROR(group());
            } else if (c == '(' && peek() == '*') {
                return refuse("(*");  // a verb of PCRE2's
            } else if (c == '{' && peek() == ',') {
                out_ += "{0";
            } else if (c == '}' && (peek() == '+' || peek() == '?') && quantifier_before()) {
                return refuse(std::string("}") + peek());  // Ruby: another quantifier; PCRE2: possessive, lazy
            } else {
                out_ += c;
            }
        }
        if (in_class_) return make_error(ErrorCode::kMalformed, "a pattern has a class without end", where_ + ": " + p_);
        return std::move(out_);
    }

   private:
    char peek() const { return at_ < p_.size() ? p_[at_] : '\0'; }
    Error refuse(const std::string& what) const {
        return make_error(ErrorCode::kUnsupported, "a pattern uses " + what + ", which is not supported", where_ + ": " + p_);
    }
    bool quantifier_before() const {
        const auto open = out_.rfind('{');
        if (open == std::string::npos || open + 1 >= out_.size()) return false;
        return out_.find_first_not_of("0123456789,", open + 1) == std::string::npos;
    }
    void add_class(const std::string& members) { out_ += in_class_ ? members : "[" + members + "]"; }
    Status add_negated(const std::string& members, const char* name) {
        if (in_class_) return refuse(std::string("\\") + name + " in a class");
        out_ += "[^" + members + "]";
        return {};
    }

    Status inside_class(char c) {
        if (c == '[') return refuse("a class in a class");
        if (c == '&' && peek() == '&') return refuse("&& in a class");
        if (c == ']') in_class_ = false;
        out_ += c;
        return {};
    }

    Status group() {  // at_ is at the '?'
        const auto rest = std::string_view(p_).substr(at_);
        for (const char* plain : {"?:", "?=", "?!", "?<=", "?<!", "?>"}) {
            if (!rest.starts_with(plain)) continue;
            out_ += "(" + std::string(plain);
            at_ += std::string_view(plain).size();
            return {};
        }
        std::string flags = "(?";
        std::size_t i = at_ + 1;
        for (; i < p_.size() && p_[i] != ':' && p_[i] != ')'; ++i) {
            if (std::string_view("imx-").find(p_[i]) == std::string_view::npos) return refuse("(?" + std::string(1, p_[i]));
            flags += p_[i] == 'm' ? 's' : p_[i];  // Ruby's m: the dot takes newlines
        }
        if (i == p_.size()) return refuse("(?");
        out_ += flags + p_[i];
        at_ = i + 1;
        return {};
    }

    Status property(bool negated) {  // behind \p or \P
        if (peek() != '{') return refuse("\\p without braces");
        const auto close = p_.find('}', at_);
        if (close == std::string::npos) return refuse("\\p without end");
        std::string name = p_.substr(at_ + 1, close - at_ - 1);
        at_ = close + 1;
        if (!name.empty() && name[0] == '^') {
            negated = !negated;
            name.erase(0, 1);
        }
        if (name.empty() || name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_&") != std::string::npos) return refuse("\\p{" + name + "}");
        static constexpr std::pair<const char*, const char*> kLong[] = {{"Letter", "L"}, {"Mark", "M"}, {"Number", "N"}, {"Punctuation", "P"}, {"Symbol", "S"}, {"Separator", "Z"}};
        for (const auto& [name_long, name_short] : kLong) {
            if (name == name_long) name = name_short;
        }
        std::string members;
        if (name.size() <= 2) members = "\\p{" + name + "}" + newer_characters(name);
        // PCRE2 means script extensions where no kind is given, Oniguruma the script itself.
        else if (name == "Han") members = "\\p{sc:Han}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}";
        else if (name == "Alphabetic" || name == "Alpha") members = "\\p{Alphabetic}" + newer_characters("L");
        else if (name == "Any") members = "\\x{0}-\\x{10ffff}";
        else if (name.starts_with("Is") || name.starts_with("In") || name == "Word" || name == "Digit" || name == "Space" || name == "Upper" || name == "Lower" || name == "Punct" ||
                 name == "Alnum" || name == "Cntrl" || name == "Graph" || name == "Print" || name == "Blank" || name == "XDigit" || name == "Emoji")
            return refuse("\\p{" + name + "}");
        else members = "\\p{sc:" + name + "}";
        if (negated && in_class_) return refuse("\\P in a class");
        if (negated) out_ += "[^" + members + "]";
        else add_class(members);
        return {};
    }

    Status escape() {
        if (at_ >= p_.size()) return make_error(ErrorCode::kMalformed, "a pattern ends with a backslash", where_ + ": " + p_);
        const char e = p_[at_++];
        switch (e) {
            case 's': add_class(kSpace); return {};
            case 'S': return add_negated(kSpace, "S");
            case 'd': add_class(digits()); return {};
            case 'D': return add_negated(digits(), "D");
            case 'w': add_class(word()); return {};
            case 'W': return add_negated(word(), "W");
            case 'h': add_class("0-9a-fA-F"); return {};
            case 'H': return add_negated("0-9a-fA-F", "H");
            case 'p': return property(false);
            case 'P': return property(true);
            case 'v': out_ += "\\x{b}"; return {};
            case 'n': case 'r': case 't': case 'f': case 'a': case 'e': out_ += {'\\', e}; return {};
            case 'A': case 'z':
                if (in_class_) break;
                out_ += {'\\', e};
                return {};
            case 'b': case 'B': {
                if (in_class_) break;
                const std::string w = "[" + word() + "]";
                out_ += e == 'b' ? "(?:(?<=" + w + ")(?!" + w + ")|(?<!" + w + ")(?=" + w + "))" : "(?:(?<=" + w + ")(?=" + w + ")|(?<!" + w + ")(?!" + w + "))";
                return {};
            }
            case 'x': return hex(peek() == '{' ? 0 : 2);
            case 'u': return hex(4);
            default: break;
        }
        const auto u = static_cast<unsigned char>(e);
        if (u >= 0x80 || std::string_view("0123456789").find(e) != std::string_view::npos || (e >= 'a' && e <= 'z') || (e >= 'A' && e <= 'Z')) return refuse(std::string("\\") + e);
        out_ += {'\\', e};
        return {};
    }

    Status hex(std::size_t digits_wanted) {
        std::size_t begin = at_, length = digits_wanted;
        if (digits_wanted == 0) {
            const auto close = p_.find('}', at_);
            if (close == std::string::npos) return refuse("\\x{ without end");
            begin = at_ + 1;
            length = close - begin;
            at_ = close + 1;
        } else {
            at_ = std::min(at_ + digits_wanted, p_.size());
        }
        const std::string text = p_.substr(begin, length);
        if (text.size() != length || text.empty() || text.size() > 6 || text.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) return refuse("\\x" + text);
        if (digits_wanted == 2 && text[0] > '7') return refuse("\\x" + text);  // a byte of UTF-8 to Oniguruma
        out_ += "\\x{" + text + "}";
        return {};
    }

    const std::string& p_;
    const std::string& where_;
    std::string out_;
    std::size_t at_ = 0;
    bool in_class_ = false;
};

}  // namespace

Result<std::string> translate_pattern(const std::string& pattern, const std::string& where) { return Translator(pattern, where).run(); }

}  // namespace tenpak::model
