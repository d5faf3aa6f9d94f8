// SPDX-License-Identifier: Apache-2.0
// Filters, tests, methods and subscripts, as Jinja 3.1 and Python have them.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/model/characters.h"
#include "core/model/byte_level.h"
#include "core/model/jinja/interpreter.h"

namespace tenpak::model::jinja {
namespace {

bool python_space(std::string_view character) {
    const char32_t c = utf8_at(character, 0);
    return is_white_space(c) || (c >= 0x1c && c <= 0x1f);
}

std::string stripped(std::string_view s, const Value& chars, bool left, bool right) {
    const auto all = characters_of(s);
    const auto set = chars.is_string() ? characters_of(chars.string()) : std::vector<std::string_view>();
    const auto goes = [&](std::string_view c) { return chars.is_string() ? std::find(set.begin(), set.end(), c) != set.end() : python_space(c); };
    std::size_t begin = 0, end = all.size();
    while (left && begin < end && goes(all[begin])) ++begin;
    while (right && end > begin && goes(all[end - 1])) --end;
    std::string out;
    for (std::size_t i = begin; i < end; ++i) out += all[i];
    return out;
}

Result<std::string> replaced(std::string_view s, std::string_view from, std::string_view to, std::int64_t count) {
    std::string out;
    std::size_t at = 0;
    if (from.empty()) return template_error("replace of an empty text is not supported");
    while (count != 0) {
        const auto hit = s.find(from, at);
        if (hit == std::string_view::npos) break;
        out += s.substr(at, hit - at);
        out += to;
        if (out.size() > kMaxText) return template_error("a text becomes longer than 16 MiB");
        at = hit + from.size();
        --count;
    }
    out += s.substr(at);
    return out;
}

Result<Value> split_text(const std::string& s, const Value& separator, std::int64_t most, bool from_right) {
    List out;
    if (separator.is_string()) {
        const std::string& by = separator.string();
        if (by.empty()) return template_error("split by an empty text");
        std::vector<std::string> parts;
        if (from_right && most >= 0) {
            std::size_t end = s.size();
            while (most-- > 0) {
                const auto hit = end < by.size() ? std::string::npos : s.rfind(by, end - by.size());
                if (hit == std::string::npos) break;
                parts.push_back(s.substr(hit + by.size(), end - hit - by.size()));
                end = hit;
            }
            parts.push_back(s.substr(0, end));
            std::reverse(parts.begin(), parts.end());
        } else {
            std::size_t at = 0;
            for (auto hit = s.find(by); hit != std::string::npos && most != 0; hit = s.find(by, at), --most) {
                parts.push_back(s.substr(at, hit - at));
                at = hit + by.size();
            }
            parts.push_back(s.substr(at));
        }
        for (auto& p : parts) out.emplace_back(std::move(p));
    } else {
        if (most >= 0) return template_error("split by white space with a limit is not supported");
        std::string word;
        for (const auto c : characters_of(s)) {
            if (!python_space(c)) word += c;
            else if (!word.empty()) out.emplace_back(std::exchange(word, {}));
        }
        if (!word.empty()) out.emplace_back(std::move(word));
    }
    if (out.size() > kMaxItems) return template_error("a list becomes too long");
    return Value(std::move(out));
}

/// First letter of each word (or of the text) in upper case, the rest in lower.
std::string titled(const std::string& s, bool each_word) {
    std::string out;
    bool start = true;
    for (const auto c : characters_of(s)) {
        const std::string upper = upper_text(c), lower = lower_text(c);
        out += start ? upper : lower;
        if (each_word) start = upper == lower;  // no letter
        else start = false;
    }
    return out;
}

Result<Value> joined(const Value& items, const std::string& between, const Value& attribute) {
    TENPAK_ASSIGN(const List list, items_of(items));
    std::string out;
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (i != 0) out += between;
        Value v = list[i];
        if (attribute.is_string()) {
            TENPAK_ASSIGN(v, attribute_of(v, attribute.string()));
        }
        TENPAK_ASSIGN(const std::string text, to_text(v));
        out += text;
        if (out.size() > kMaxText) return template_error("a text becomes longer than 16 MiB");
    }
    return Value(std::move(out));
}

Result<std::string> need_string(const List& a, std::size_t i, const char* what) {
    if (i < a.size() && a[i].is_string()) return a[i].string();
    return template_error(std::string(what) + " needs a text");
}
std::int64_t integer_or(const Value& v, std::int64_t fallback) { return v.is_int() ? v.integer() : fallback; }

Result<Value> string_method(const std::string& s, const std::string& name, const List& a, const Named& named) {
    if (name == "strip" || name == "lstrip" || name == "rstrip") return Value(stripped(s, a.empty() ? Value(None{}) : a[0], name != "rstrip", name != "lstrip"));
    if (name == "upper") return Value(upper_text(s));
    if (name == "lower" || name == "casefold") return Value(lower_text(s));
    if (name == "title") return Value(titled(s, true));
    if (name == "capitalize") return Value(titled(s, false));
    if (name == "split" || name == "rsplit") return split_text(s, argument(a, named, 0, "sep"), integer_or(argument(a, named, 1, "maxsplit"), -1), name == "rsplit");
    if (name == "splitlines") {
        List out;
        std::string line;
        for (std::size_t i = 0; i < s.size(); ++i) {
            if (s[i] != '\n' && s[i] != '\r') {
                line += s[i];
                continue;
            }
            if (s[i] == '\r' && i + 1 < s.size() && s[i + 1] == '\n') ++i;
            out.emplace_back(std::exchange(line, {}));
        }
        if (!line.empty()) out.emplace_back(std::move(line));
        return Value(std::move(out));
    }
    if (name == "startswith" || name == "endswith") {
        const auto one = [&](const std::string& t) { return name == "startswith" ? s.starts_with(t) : s.ends_with(t); };
        if (!a.empty() && a[0].is_list()) {
            return Value(std::any_of(a[0].list().begin(), a[0].list().end(), [&](const Value& v) { return v.is_string() && one(v.string()); }));
        }
        TENPAK_ASSIGN(const std::string t, need_string(a, 0, name.c_str()));
        return Value(one(t));
    }
    if (name == "removeprefix" || name == "removesuffix") {
        TENPAK_ASSIGN(const std::string t, need_string(a, 0, name.c_str()));
        if (name == "removeprefix") return Value(s.starts_with(t) ? s.substr(t.size()) : s);
        return Value(s.ends_with(t) ? s.substr(0, s.size() - t.size()) : s);
    }
    if (name == "replace") {
        TENPAK_ASSIGN(const std::string from, need_string(a, 0, "replace"));
        TENPAK_ASSIGN(const std::string to, need_string(a, 1, "replace"));
        TENPAK_ASSIGN(std::string out, replaced(s, from, to, integer_or(argument(a, named, 2, "count"), -1)));
        return Value(std::move(out));
    }
    if (name == "find" || name == "rfind" || name == "index" || name == "count") {
        TENPAK_ASSIGN(const std::string t, need_string(a, 0, name.c_str()));
        if (name == "count") {
            std::int64_t n = 0;
            if (t.empty()) return Value(static_cast<std::int64_t>(character_count(s)) + 1);
            for (auto at = s.find(t); at != std::string::npos; at = s.find(t, at + t.size())) ++n;
            return Value(n);
        }
        const auto at = name == "rfind" ? s.rfind(t) : s.find(t);
        if (at == std::string::npos) {
            if (name == "index") return template_error("a text that is not there");
            return Value(std::int64_t{-1});
        }
        return Value(static_cast<std::int64_t>(character_count(std::string_view(s).substr(0, at))));
    }
    if (name == "join") return a.empty() ? Result<Value>(template_error("join needs a list")) : joined(a[0], s, None{});
    const auto all = characters_of(s);
    if (name == "isdigit" || name == "isnumeric" || name == "isdecimal") return Value(!all.empty() && std::all_of(all.begin(), all.end(), [](auto c) { return is_numeric(utf8_at(c, 0)); }));
    if (name == "isspace") return Value(!all.empty() && std::all_of(all.begin(), all.end(), python_space));
    if (name == "isalpha") return Value(!all.empty() && std::all_of(all.begin(), all.end(), [](auto c) { return is_word_character(utf8_at(c, 0)) && !is_numeric(utf8_at(c, 0)) && c != "_"; }));
    if (name == "isalnum") return Value(!all.empty() && std::all_of(all.begin(), all.end(), [](auto c) { return is_word_character(utf8_at(c, 0)) && c != "_"; }));
    if (name == "isupper") return Value(upper_text(s) == s && lower_text(s) != s);
    if (name == "islower") return Value(lower_text(s) == s && upper_text(s) != s);
    return template_error("a text has no \"" + name + "\"");
}
constexpr std::string_view kStringMethods[] = {"strip", "lstrip", "rstrip", "upper", "lower", "casefold", "title", "capitalize", "split", "rsplit", "splitlines", "startswith", "endswith", "removeprefix",
                                               "removesuffix", "replace", "find", "rfind", "index", "count", "join", "isdigit", "isnumeric", "isdecimal", "isspace", "isalpha", "isalnum", "isupper", "islower"};

List pairs_of(const Dict& d) {
    List out;
    for (const auto& [k, v] : d) out.emplace_back(List{k, v}, true);
    return out;
}

Result<Value> sorted(const Value& value, const Value& reverse, const Value& attribute, bool case_sensitive) {
    TENPAK_ASSIGN(const List list, items_of(value));
    std::vector<std::pair<Value, Value>> keyed;
    for (const Value& v : list) {
        Value key = v;
        if (attribute.is_string()) {
            TENPAK_ASSIGN(key, attribute_of(v, attribute.string()));
        } else if (attribute.is_int()) {
            TENPAK_ASSIGN(key, item_of(v, attribute));
        }
        if (!case_sensitive && key.is_string()) key = Value(lower_text(key.string()));
        keyed.emplace_back(std::move(key), v);
    }
    for (std::size_t i = 1; i < keyed.size(); ++i) {  // all comparable with the first: all comparable
        TENPAK_ASSIGN(const int c, compare(keyed[0].first, keyed[i].first));
        (void)c;
    }
    const bool down = reverse.truthy();
    std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& x, const auto& y) {
        const auto c = down ? compare(y.first, x.first) : compare(x.first, y.first);
        return c.ok() && *c < 0;
    });
    List out;
    for (auto& [k, v] : keyed) out.push_back(std::move(v));
    return Value(std::move(out));
}

/// map, select, reject, selectattr, rejectattr
Result<Value> filtered(const std::string& name, const Value& value, const List& a, const Named& named) {
    TENPAK_ASSIGN(const List list, items_of(value));
    List out;
    if (name == "map") {
        const Value attribute = argument({}, named, 0, "attribute");
        for (const Value& v : list) {
            if (attribute.is_string()) {
                Value part = v;
                for (std::size_t at = 0; at <= attribute.string().size();) {  // "a.b"
                    const auto dot = std::min(attribute.string().find('.', at), attribute.string().size());
                    TENPAK_ASSIGN(part, attribute_of(part, attribute.string().substr(at, dot - at)));
                    at = dot + 1;
                }
                if (part.is_undefined()) {
                    const Value fallback = argument({}, named, 0, "default");
                    if (!fallback.is_undefined()) part = fallback;
                }
                out.push_back(std::move(part));
            } else {
                TENPAK_ASSIGN(const std::string filter, need_string(a, 0, "map"));
                TENPAK_ASSIGN(Value mapped, apply_filter(filter, v, List(a.begin() + 1, a.end()), named));
                out.push_back(std::move(mapped));
            }
        }
        return Value(std::move(out));
    }
    const bool by_attribute = name.ends_with("attr"), keep = name.starts_with("select");
    const std::size_t test_at = by_attribute ? 1 : 0;
    for (const Value& v : list) {
        Value subject = v;
        if (by_attribute) {
            TENPAK_ASSIGN(const std::string attribute, need_string(a, 0, name.c_str()));
            TENPAK_ASSIGN(subject, attribute_of(v, attribute));
        }
        bool holds = subject.truthy();
        if (a.size() > test_at) {
            TENPAK_ASSIGN(const std::string test, need_string(a, test_at, name.c_str()));
            TENPAK_ASSIGN(holds, apply_test(test, subject, List(a.begin() + static_cast<std::ptrdiff_t>(test_at) + 1, a.end())));
        }
        if (holds == keep) out.push_back(v);
    }
    return Value(std::move(out));
}

Result<Value> json_filter(const Value& value, const List& a, const Named& named) {
    JsonStyle style;
    const Value ascii = argument(a, named, 0, "ensure_ascii"), indent = argument(a, named, 1, "indent"), separators = argument(a, named, 2, "separators"), sort = argument(a, named, 3, "sort_keys");
    style.ascii = ascii.truthy();
    if (indent.is_int()) style.indent = static_cast<int>(std::clamp<std::int64_t>(indent.integer(), 0, 16));
    if (separators.is_list() && separators.list().size() == 2 && separators.list()[0].is_string() && separators.list()[1].is_string()) {
        style.item_separator = separators.list()[0].string();
        style.key_separator = separators.list()[1].string();
    }
    style.sort_keys = sort.truthy();
    TENPAK_ASSIGN(std::string text, to_json(value, style));
    return Value(std::move(text));
}

Result<Value> indented(const std::string& s, const List& a, const Named& named) {
    const Value width = argument(a, named, 0, "width"), first = argument(a, named, 1, "first"), blank = argument(a, named, 2, "blank");
    const std::string by = width.is_string() ? width.string() : std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(integer_or(width, 4), 0, 256)), ' ');
    std::string out;
    bool start = first.truthy();
    for (std::size_t at = 0; at <= s.size();) {
        const auto end = std::min(s.find('\n', at), s.size());
        if (start && (end > at || blank.truthy() || at == 0)) out += by;
        out += s.substr(at, end - at);
        if (end < s.size()) out += '\n';
        start = true;
        at = end + 1;
        if (out.size() > kMaxText) return template_error("a text becomes longer than 16 MiB");
    }
    return Value(std::move(out));
}

Result<Value> to_number(const Value& v, const Value& fallback, bool real) {
    if (v.is_number()) {
        if (real) return Value(v.number());
        if (v.is_float()) return std::fabs(v.number()) < 9e18 ? Result<Value>(Value(static_cast<std::int64_t>(v.number()))) : template_error("a number is too large");
        return Value(v.integer());
    }
    if (v.is_string()) {
        const std::string s = stripped(v.string(), None{}, true, true);
        double d = 0;
        const auto r = std::from_chars(s.data(), s.data() + s.size(), d);
        if (!s.empty() && r.ptr == s.data() + s.size() && r.ec == std::errc()) return real ? Value(d) : std::fabs(d) < 9e18 ? Value(static_cast<std::int64_t>(d)) : Value(std::int64_t{0});
    }
    if (!fallback.is_undefined()) return fallback;
    return real ? Value(0.0) : Value(std::int64_t{0});
}

}  // namespace

Result<List> items_of(const Value& v) {
    if (v.is_undefined()) return List();
    if (v.is_list()) return v.list();
    List out;
    if (v.is_dict()) {
        for (const auto& entry : v.dict()) out.push_back(entry.first);
        return out;
    }
    if (v.is_string()) {
        for (const auto c : characters_of(v.string())) out.emplace_back(std::string(c));
        if (out.size() > kMaxItems) return template_error("a list becomes too long");
        return out;
    }
    return template_error(std::string("a ") + v.type_name() + " has no items");
}

Result<Value> attribute_of(const Value& v, const std::string& name) {
    if (v.is_undefined()) return template_error("\"" + v.undefined().name + "\" is undefined");
    if (v.is_namespace()) {
        const Value* found = v.find(Value(name));
        return found != nullptr ? *found : Value(Undefined{name});
    }
    const Value method = find_method(v, name);
    if (!method.is_undefined()) return method;
    if (v.is_dict()) {
        const Value* found = v.find(Value(name));
        if (found != nullptr) return *found;
    }
    return Value(Undefined{name});
}

Result<Value> item_of(const Value& v, const Value& key) {
    if (v.is_undefined()) return template_error("\"" + v.undefined().name + "\" is undefined");
    if (v.is_dict() || v.is_namespace()) {
        const Value* found = v.find(key);
        if (found != nullptr) return *found;
        if (key.is_string()) return attribute_of(v, key.string());
        return Value(Undefined{"an entry"});
    }
    if (key.is_string()) return attribute_of(v, key.string());
    if (!key.is_int() && !key.is_bool()) return Value(Undefined{"an item"});
    std::int64_t i = key.integer();
    if (v.is_list()) {
        const auto n = static_cast<std::int64_t>(v.list().size());
        if (i < 0) i += n;
        if (i >= 0 && i < n) return v.list()[static_cast<std::size_t>(i)];
    } else if (v.is_string()) {
        const auto all = characters_of(v.string());
        if (i < 0) i += static_cast<std::int64_t>(all.size());
        if (i >= 0 && i < static_cast<std::int64_t>(all.size())) return Value(std::string(all[static_cast<std::size_t>(i)]));
    }
    return Value(Undefined{"item " + std::to_string(key.integer())});
}

Result<bool> contains(const Value& container, const Value& item) {
    if (container.is_string()) {
        if (!item.is_string()) return template_error(std::string("a ") + item.type_name() + " in a text");
        return container.string().find(item.string()) != std::string::npos;
    }
    if (container.is_dict()) return container.find(item) != nullptr;
    if (container.is_list()) return std::any_of(container.list().begin(), container.list().end(), [&](const Value& v) { return v.equals(item); });
    if (container.is_undefined()) return false;
    return template_error(std::string("a ") + container.type_name() + " contains nothing");
}

Value find_method(const Value& v, const std::string& name) {
    if (v.is_string()) {
        if (std::find(std::begin(kStringMethods), std::end(kStringMethods), name) == std::end(kStringMethods)) return Undefined{name};
        return Function([v, name](const List& a, const Named& named) { return string_method(v.string(), name, a, named); });
    }
    if (v.is_dict()) {
        if (name == "items") return Function([v](const List&, const Named&) -> Result<Value> { return Value(pairs_of(v.dict())); });
        if (name == "keys") {
            return Function([v](const List&, const Named&) -> Result<Value> {
                TENPAK_ASSIGN(List keys, items_of(v));
                return Value(std::move(keys));
            });
        }
        if (name == "values") {
            return Function([v](const List&, const Named&) -> Result<Value> {
                List out;
                for (const auto& entry : v.dict()) out.push_back(entry.second);
                return Value(std::move(out));
            });
        }
        if (name == "get") {
            return Function([v](const List& a, const Named&) -> Result<Value> {
                if (a.empty()) return template_error("get needs a key");
                const Value* found = v.find(a[0]);
                return found != nullptr ? *found : a.size() > 1 ? a[1] : Value(None{});
            });
        }
        if (name == "copy") return Function([v](const List&, const Named&) -> Result<Value> { return v; });
    }
    if (v.is_list() && (name == "index" || name == "count")) {
        return Function([v, name](const List& a, const Named&) -> Result<Value> {
            if (a.empty()) return template_error(name + " needs a value");
            std::int64_t n = 0;
            for (std::size_t i = 0; i < v.list().size(); ++i) {
                if (!v.list()[i].equals(a[0])) continue;
                if (name == "index") return Value(static_cast<std::int64_t>(i));
                ++n;
            }
            return name == "count" ? Result<Value>(Value(n)) : template_error("a value that is not in the list");
        });
    }
    return Undefined{name};
}

Result<Value> apply_filter(const std::string& name, const Value& v, const List& a, const Named& named) {
    if (name == "default" || name == "d") {
        const Value fallback = argument(a, named, 0, "default_value"), boolean = argument(a, named, 1, "boolean");
        if (v.is_undefined() || (boolean.truthy() && !v.truthy())) return fallback.is_undefined() ? Value("") : fallback;
        return v;
    }
    if (name == "tojson") return json_filter(v, a, named);
    if (name == "trim" || name == "upper" || name == "lower" || name == "title" || name == "capitalize" || name == "indent" || name == "string" || name == "safe") {
        TENPAK_ASSIGN(const std::string text, to_text(v));
        if (name == "trim") return Value(stripped(text, argument(a, named, 0, "chars"), true, true));
        if (name == "upper") return Value(upper_text(text));
        if (name == "lower") return Value(lower_text(text));
        if (name == "title") return Value(titled(text, true));
        if (name == "capitalize") return Value(titled(text, false));
        if (name == "indent") return indented(text, a, named);
        return Value(text);
    }
    if (name == "length" || name == "count") {
        if (v.is_string()) return Value(static_cast<std::int64_t>(character_count(v.string())));
        if (v.is_dict()) return Value(static_cast<std::int64_t>(v.dict().size()));
        if (v.is_list()) return Value(static_cast<std::int64_t>(v.list().size()));
        if (v.is_undefined()) return Value(std::int64_t{0});
        return template_error(std::string("a ") + v.type_name() + " has no length");
    }
    if (name == "replace") {
        TENPAK_ASSIGN(const std::string text, to_text(v));
        return string_method(text, "replace", a, named);
    }
    if (name == "join") {
        const Value between = argument(a, named, 0, "d");
        TENPAK_ASSIGN(const std::string text, to_text(between));
        return joined(v, text, argument(a, named, 1, "attribute"));
    }
    if (name == "items") {
        if (v.is_undefined()) return Value(List());
        if (!v.is_dict()) return template_error(std::string("a ") + v.type_name() + " has no items");
        return Value(pairs_of(v.dict()));
    }
    if (name == "dictsort") {
        if (!v.is_dict()) return template_error("dictsort needs a dict");
        const Value by = argument(a, named, 1, "by");
        return sorted(Value(pairs_of(v.dict())), argument(a, named, 2, "reverse"), Value(std::int64_t{by.is_string() && by.string() == "value"}), argument(a, named, 0, "case_sensitive").truthy());
    }
    if (name == "list") {
        TENPAK_ASSIGN(List l, items_of(v));
        return Value(std::move(l));
    }
    if (name == "map" || name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr") return filtered(name, v, a, named);
    if (name == "first" || name == "last") {
        TENPAK_ASSIGN(const List l, items_of(v));
        if (l.empty()) return Value(Undefined{name});
        return name == "first" ? l.front() : l.back();
    }
    if (name == "reverse") {
        TENPAK_ASSIGN(List l, items_of(v));
        std::reverse(l.begin(), l.end());
        return v.is_string() ? joined(Value(std::move(l)), "", None{}) : Result<Value>(Value(std::move(l)));
    }
    if (name == "sort") return sorted(v, argument(a, named, 0, "reverse"), argument(a, named, 2, "attribute"), argument(a, named, 1, "case_sensitive").truthy());
    if (name == "unique") {
        TENPAK_ASSIGN(const List l, items_of(v));
        List out;
        if (l.size() > 10'000) return template_error("unique of too long a list");
        for (const Value& x : l) {
            const auto fold = [](const Value& y) { return y.is_string() ? Value(lower_text(y.string())) : y; };
            if (std::none_of(out.begin(), out.end(), [&](const Value& y) { return fold(y).equals(fold(x)); })) out.push_back(x);
        }
        return Value(std::move(out));
    }
    if (name == "int" || name == "float") return to_number(v, argument(a, named, 0, "default"), name == "float");
    if (name == "abs") {
        if (!v.is_number()) return template_error("abs needs a number");
        return v.is_float() ? Value(std::fabs(v.number())) : Value(v.integer() < 0 ? -v.integer() : v.integer());
    }
    if (name == "round") {
        if (!v.is_number()) return template_error("round needs a number");
        const double scale = std::pow(10.0, static_cast<double>(std::clamp<std::int64_t>(integer_or(argument(a, named, 0, "precision"), 0), -15, 15)));
        return Value(std::nearbyint(v.number() * scale) / scale);
    }
    if (name == "min" || name == "max" || name == "sum") {
        TENPAK_ASSIGN(const List l, items_of(v));
        if (name == "sum") {
            double sum = 0;
            bool real = false;
            for (const Value& x : l) {
                if (!x.is_number()) return template_error("sum needs numbers");
                real = real || x.is_float();
                sum += x.number();
            }
            return real ? Value(sum) : Value(static_cast<std::int64_t>(sum));
        }
        if (l.empty()) return Value(Undefined{name});
        TENPAK_ASSIGN(const Value order, sorted(v, Value(name == "max"), None{}, false));
        return order.list().front();
    }
    if (name == "escape" || name == "e") {
        TENPAK_ASSIGN(const std::string text, to_text(v));
        std::string out;
        for (const char c : text) {
            if (c == '&') out += "&amp;";
            else if (c == '<') out += "&lt;";
            else if (c == '>') out += "&gt;";
            else if (c == '"') out += "&#34;";
            else if (c == '\'') out += "&#39;";
            else out += c;
        }
        return Value(std::move(out));
    }
    return make_error(ErrorCode::kUnsupported, "the chat template uses the filter \"" + name + "\", which is not known");
}

Result<bool> apply_test(const std::string& name, const Value& v, const List& a) {
    if (name == "defined") return !v.is_undefined();
    if (name == "undefined") return v.is_undefined();
    if (name == "none") return v.is_none();
    if (name == "string") return v.is_string();
    if (name == "boolean") return v.is_bool();
    if (name == "integer") return v.is_int();
    if (name == "float") return v.is_float();
    if (name == "number") return v.is_number();
    if (name == "mapping") return v.is_dict();
    if (name == "iterable") return v.is_list() || v.is_dict() || v.is_string() || v.is_undefined();
    if (name == "sequence") return v.is_list() || v.is_dict() || v.is_string() || v.is_undefined();
    if (name == "callable") return v.is_function();
    if (name == "true") return v.is_bool() && v.truthy();
    if (name == "false") return v.is_bool() && !v.truthy();
    if (name == "lower") return v.is_string() && lower_text(v.string()) == v.string() && upper_text(v.string()) != v.string();
    if (name == "upper") return v.is_string() && upper_text(v.string()) == v.string() && lower_text(v.string()) != v.string();
    if (name == "odd" || name == "even" || name == "divisibleby") {
        if (!v.is_int()) return template_error("\"" + name + "\" needs an integer");
        const std::int64_t by = name == "divisibleby" ? (a.empty() ? 0 : integer_or(a[0], 0)) : 2;
        if (by == 0) return template_error("a division by zero");
        return (v.integer() % by == 0) == (name != "odd");
    }
    if (a.empty()) {
        if (name == "eq" || name == "in" || name == "ne") return template_error("\"" + name + "\" needs a value");
    } else {
        if (name == "eq" || name == "equalto" || name == "==") return v.equals(a[0]);
        if (name == "ne" || name == "!=") return !v.equals(a[0]);
        if (name == "in") return contains(a[0], v);
        if (name == "sameas") return v.same_object(a[0]);
        if (name == "lt" || name == "lessthan" || name == "<" || name == "le" || name == "<=" || name == "gt" || name == "greaterthan" || name == ">" || name == "ge" || name == ">=") {
            TENPAK_ASSIGN(const int c, compare(v, a[0]));
            if (name == "lt" || name == "lessthan" || name == "<") return c < 0;
            if (name == "le" || name == "<=") return c <= 0;
            if (name == "gt" || name == "greaterthan" || name == ">") return c > 0;
            return c >= 0;
        }
    }
    return make_error(ErrorCode::kUnsupported, "the chat template uses the test \"" + name + "\", which is not known");
}

}  // namespace tenpak::model::jinja
