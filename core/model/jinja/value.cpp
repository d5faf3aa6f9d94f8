// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja/value.h"

#include <unicode/locid.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "core/model/byte_level.h"

namespace tenpak::model::jinja {
namespace {

constexpr int kMaxDepth = 64;

std::string float_text(double d) {
    if (std::isnan(d)) return "nan";
    if (std::isinf(d)) return d < 0 ? "-inf" : "inf";
    char s[64];
    // Python writes an exponent below 1e-4 and from 1e16 on.
    const double m = std::fabs(d);
    const bool plain = m == 0 || (m >= 1e-4 && m < 1e16);
    const auto end = std::to_chars(s, s + sizeof s, d, plain ? std::chars_format::fixed : std::chars_format::scientific).ptr;
    std::string text(s, end);
    if (plain && text.find('.') == std::string::npos) text += ".0";
    return text;
}

std::string python_quoted(std::string_view s) {  // Python's repr
    const char quote = s.find('\'') != std::string_view::npos && s.find('"') == std::string_view::npos ? '"' : '\'';
    std::string out(1, quote);
    for (const char c : s) {
        if (c == quote || c == '\\') out += {'\\', c};
        else if (c == '\n') out += "\\n";
        else if (c == '\r') out += "\\r";
        else if (c == '\t') out += "\\t";
        else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            char hex[8];
            std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
            out += hex;
        } else out += c;
    }
    return out + quote;
}

Status append_repr(const Value& v, std::string& out, int depth) {
    if (depth > kMaxDepth) return template_error("a value is nested too deep");
    if (out.size() > kMaxText) return template_error("a text becomes longer than 16 MiB");
    if (v.is_undefined()) out += "Undefined";
    else if (v.is_none()) out += "None";
    else if (v.is_bool()) out += v.integer() != 0 ? "True" : "False";
    else if (v.is_int()) out += std::to_string(v.integer());
    else if (v.is_float()) out += float_text(v.number());
    else if (v.is_string()) out += python_quoted(v.string());
    else if (v.is_list()) {
        out += v.is_tuple() ? '(' : '[';
        for (std::size_t i = 0; i < v.list().size(); ++i) {
            if (i != 0) out += ", ";
            TENPAK_RETURN_IF_ERROR(append_repr(v.list()[i], out, depth + 1));
        }
        if (v.is_tuple() && v.list().size() == 1) out += ',';
        out += v.is_tuple() ? ')' : ']';
    } else if (v.is_dict()) {
        out += '{';
        bool first = true;
        for (const auto& [key, value] : v.dict()) {
            if (!first) out += ", ";
            first = false;
            TENPAK_RETURN_IF_ERROR(append_repr(key, out, depth + 1));
            out += ": ";
            TENPAK_RETURN_IF_ERROR(append_repr(value, out, depth + 1));
        }
        out += '}';
    } else return template_error(std::string("a ") + v.type_name() + " cannot be printed");
    return {};
}

void append_json_string(std::string_view s, bool ascii, std::string& out) {
    out += '"';
    for (std::size_t at = 0; at < s.size();) {
        const auto first = static_cast<unsigned char>(s[at]);
        const std::size_t length = utf8_length(first);
        char hex[16];
        if (first == '"' || first == '\\') out += {'\\', static_cast<char>(first)};
        else if (first == '\n') out += "\\n";
        else if (first == '\r') out += "\\r";
        else if (first == '\t') out += "\\t";
        else if (first == '\b') out += "\\b";
        else if (first == '\f') out += "\\f";
        else if (first < 0x20 || (ascii && first == 0x7f)) {
            std::snprintf(hex, sizeof hex, first == 0x7f ? "%c" : "\\u%04x", static_cast<unsigned>(first));
            out += hex;
        } else if (ascii && first >= 0x80) {
            const char32_t c = utf8_at(s, at);
            if (c < 0x10000) std::snprintf(hex, sizeof hex, "\\u%04x", static_cast<unsigned>(c));
            else std::snprintf(hex, sizeof hex, "\\u%04x\\u%04x", static_cast<unsigned>(0xd800 + ((c - 0x10000) >> 10)), static_cast<unsigned>(0xdc00 + ((c - 0x10000) & 0x3ff)));
            out += hex;
        } else out.append(s, at, length);
        at += length;
    }
    out += '"';
}

class JsonWriter {
   public:
    explicit JsonWriter(const JsonStyle& style) : style_(style) {
        separator_ = !style.item_separator.empty() ? style.item_separator : style.indent >= 0 ? "," : ", ";
    }
    Status write(const Value& v, std::string& out, int depth) {
        if (depth > kMaxDepth) return template_error("a value is nested too deep for tojson");
        if (out.size() > kMaxText) return template_error("a text becomes longer than 16 MiB");
        if (v.is_none()) out += "null";
        else if (v.is_bool()) out += v.integer() != 0 ? "true" : "false";
        else if (v.is_int()) out += std::to_string(v.integer());
        else if (v.is_float()) out += std::isnan(v.number()) ? "NaN" : std::isinf(v.number()) ? (v.number() < 0 ? "-Infinity" : "Infinity") : float_text(v.number());
        else if (v.is_string()) append_json_string(v.string(), style_.ascii, out);
        else if (v.is_list()) {
            if (v.list().empty()) return out += "[]", Status();
            out += '[';
            for (std::size_t i = 0; i < v.list().size(); ++i) {
                if (i != 0) out += separator_;
                line(out, depth + 1);
                TENPAK_RETURN_IF_ERROR(write(v.list()[i], out, depth + 1));
            }
            line(out, depth);
            out += ']';
        } else if (v.is_dict()) {
            Dict d = v.dict();
            if (d.empty()) return out += "{}", Status();
            if (style_.sort_keys) {
                std::stable_sort(d.begin(), d.end(), [](const auto& a, const auto& b) { return a.first.is_string() && b.first.is_string() && a.first.string() < b.first.string(); });
            }
            out += '{';
            bool first = true;
            for (const auto& [key, value] : d) {
                if (!first) out += separator_;
                first = false;
                line(out, depth + 1);
                if (key.is_string()) append_json_string(key.string(), style_.ascii, out);
                else {
                    out += '"';
                    TENPAK_RETURN_IF_ERROR(write(key, out, depth + 1));
                    out += '"';
                }
                out += style_.key_separator;
                TENPAK_RETURN_IF_ERROR(write(value, out, depth + 1));
            }
            line(out, depth);
            out += '}';
        } else return template_error(std::string("a ") + v.type_name() + " cannot be written as JSON");
        return {};
    }

   private:
    void line(std::string& out, int depth) const {
        if (style_.indent < 0) return;
        out += '\n';
        out.append(static_cast<std::size_t>(style_.indent) * static_cast<std::size_t>(depth), ' ');
    }
    const JsonStyle& style_;
    std::string separator_;
};

}  // namespace

Error template_error(std::string what) { return make_error(ErrorCode::kMalformed, "the chat template cannot be used: " + std::move(what)); }

Value Value::from_json(const OrderedJson& j) {
    if (j.is_null()) return None{};
    if (j.is_boolean()) return j.get<bool>();
    if (j.is_number_integer()) return j.get<std::int64_t>();
    if (j.is_number()) return j.get<double>();
    if (j.is_string()) return j.get<std::string>();
    if (j.is_array()) {
        List l;
        for (const auto& x : j) l.push_back(from_json(x));
        return l;
    }
    Dict d;
    for (const auto& [key, x] : j.items()) d.emplace_back(key, from_json(x));
    return d;
}

bool Value::truthy() const {
    if (is_undefined() || is_none()) return false;
    if (is_bool() || is_int()) return integer() != 0;
    if (is_float()) return number() != 0;
    if (is_string()) return !string().empty();
    if (is_list()) return !list().empty();
    if (is_dict()) return !dict().empty();
    return true;
}

bool Value::equals(const Value& o) const {
    if (is_number() && o.is_number()) return is_float() || o.is_float() ? number() == o.number() : integer() == o.integer();
    if (v_.index() != o.v_.index()) return false;
    if (is_undefined() || is_none()) return true;
    if (is_string()) return string() == o.string();
    if (is_list()) {
        return tuple_ == o.tuple_ && list().size() == o.list().size() && std::equal(list().begin(), list().end(), o.list().begin(), [](const Value& a, const Value& b) { return a.equals(b); });
    }
    if (is_dict()) {
        if (dict().size() != o.dict().size()) return false;
        return std::all_of(dict().begin(), dict().end(), [&](const auto& entry) {
            const Value* other = o.find(entry.first);
            return other != nullptr && entry.second.equals(*other);
        });
    }
    return same_object(o);
}

bool Value::same_object(const Value& o) const {
    if (v_.index() != o.v_.index()) return false;
    return std::visit(
        [&](const auto& a) {
            using T = std::decay_t<decltype(a)>;
            const auto& b = std::get<T>(o.v_);
            if constexpr (std::is_same_v<T, Undefined> || std::is_same_v<T, None>) return true;
            else return a == b;
        },
        v_);
}

const char* Value::type_name() const {
    static constexpr const char* kNames[] = {"undefined value", "NoneType", "bool", "int", "float", "str", "list", "dict", "function", "namespace"};
    return is_tuple() ? "tuple" : kNames[v_.index()];
}

const Value* Value::find(const Value& key) const {
    const Dict& d = is_namespace() ? attributes() : dict();
    for (const auto& [k, v] : d) {
        if (k.equals(key)) return &v;
    }
    return nullptr;
}

Result<std::string> to_text(const Value& v) {
    if (v.is_undefined()) return std::string();
    if (v.is_string()) return v.string();
    return to_repr(v);
}

Result<std::string> to_repr(const Value& v) {
    std::string out;
    TENPAK_RETURN_IF_ERROR(append_repr(v, out, 0));
    return out;
}

Result<std::string> to_json(const Value& v, const JsonStyle& style) {
    std::string out;
    TENPAK_RETURN_IF_ERROR(JsonWriter(style).write(v, out, 0));
    return out;
}

Result<int> compare(const Value& a, const Value& b) {
    const auto sign = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
    if (a.is_number() && b.is_number()) return a.is_float() || b.is_float() ? sign(a.number(), b.number()) : sign(a.integer(), b.integer());
    if (a.is_string() && b.is_string()) return sign(a.string(), b.string());
    if (a.is_list() && b.is_list()) {
        for (std::size_t i = 0; i < std::min(a.list().size(), b.list().size()); ++i) {
            if (a.list()[i].is_list()) return template_error("lists of lists cannot be compared");
            TENPAK_ASSIGN(const int c, compare(a.list()[i], b.list()[i]));
            if (c != 0) return c;
        }
        return sign(a.list().size(), b.list().size());
    }
    return template_error(std::string("a ") + a.type_name() + " cannot be compared with a " + b.type_name());
}

std::size_t character_count(std::string_view s) {
    return static_cast<std::size_t>(std::count_if(s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; }));
}

std::vector<std::string_view> characters_of(std::string_view s) {
    std::vector<std::string_view> out;
    for (std::size_t at = 0; at < s.size();) {
        const std::size_t length = std::min(utf8_length(static_cast<unsigned char>(s[at])), s.size() - at);
        out.push_back(s.substr(at, length));
        at += length;
    }
    return out;
}

std::string upper_text(std::string_view s) {
    std::string out;
    icu::UnicodeString::fromUTF8(icu::StringPiece(s.data(), static_cast<std::int32_t>(s.size()))).toUpper(icu::Locale::getRoot()).toUTF8String(out);
    return out;
}
std::string lower_text(std::string_view s) {
    std::string out;
    icu::UnicodeString::fromUTF8(icu::StringPiece(s.data(), static_cast<std::int32_t>(s.size()))).toLower(icu::Locale::getRoot()).toUTF8String(out);
    return out;
}

}  // namespace tenpak::model::jinja
