// SPDX-License-Identifier: Apache-2.0
#include "core/model/characters.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <map>

namespace tenpak::model {
namespace {

enum Category : std::uint8_t { kLu, kLl, kLt, kLm, kLo, kM, kNd, kN, kN17, kP, kS };
struct Newer {
    char32_t first, last;
    Category category;
};
constexpr Newer kNewer[] = {
#include "core/model/unicode_newer.inc"
};
struct NewerCase {
    char32_t first, last, lower;  // lower case of `first`; those behind it follow
};
// Capital letters of Unicode 15.1 to 17.
constexpr NewerCase kNewerCase[] = {{0x1c89, 0x1c89, 0x1c8a}, {0xa7cb, 0xa7cb, 0x264},     {0xa7cc, 0xa7cc, 0xa7cd},       {0xa7ce, 0xa7ce, 0xa7cf},
                                    {0xa7d2, 0xa7d2, 0xa7d3}, {0xa7d4, 0xa7d4, 0xa7d5},     {0xa7da, 0xa7da, 0xa7db},       {0xa7dc, 0xa7dc, 0x19b},
                                    {0x10d50, 0x10d65, 0x10d70}, {0x16ea0, 0x16eb8, 0x16ebb}};

const Newer* newer(char32_t c) {
    const auto* it = std::upper_bound(std::begin(kNewer), std::end(kNewer), c, [](char32_t v, const Newer& n) { return v < n.first; });
    if (it == std::begin(kNewer)) return nullptr;
    --it;
    return c <= it->last ? it : nullptr;
}
std::uint32_t mask(char32_t c) { return U_GET_GC_MASK(static_cast<UChar32>(c)); }
bool has(char32_t c, UProperty property) { return u_hasBinaryProperty(static_cast<UChar32>(c), property) != 0; }
bool older_than_or(char32_t c, int major) {
    UVersionInfo age;
    u_charAge(static_cast<UChar32>(c), age);
    return age[0] != 0 && (age[0] < major || (age[0] == major && age[1] == 0));
}

}  // namespace

bool is_white_space(char32_t c) { return c < 0x80 ? c == ' ' || (c >= 9 && c <= 13) : has(c, UCHAR_WHITE_SPACE); }

bool is_word_character(char32_t c) {
    if (has(c, UCHAR_ALPHABETIC) || (mask(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0 || has(c, UCHAR_JOIN_CONTROL)) return true;
    const Newer* n = newer(c);
    return n != nullptr && n->category <= kNd;
}

bool is_numeric(char32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    if ((mask(c) & U_GC_N_MASK) != 0) return true;
    const Newer* n = newer(c);
    return n != nullptr && (n->category == kNd || n->category == kN || n->category == kN17);
}

bool is_punctuation(char32_t c) {
    if (c < 0x80) return (c >= 0x21 && c <= 0x2f) || (c >= 0x3a && c <= 0x40) || (c >= 0x5b && c <= 0x60) || (c >= 0x7b && c <= 0x7e);
    // Two characters were punctuation in Unicode 8 and are not now.
    return c == 0x166d || c == 0x111c9 || ((mask(c) & U_GC_P_MASK) != 0 && older_than_or(c, 8));
}

bool is_control(char32_t c) { return (mask(c) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) != 0 && older_than_or(c, 8); }
bool is_combining_mark(char32_t c) { return c >= 0x300 && ((mask(c) & U_GC_M_MASK) != 0 && older_than_or(c, 9)); }
bool is_nonspacing_mark(char32_t c) { return c >= 0x300 && ((mask(c) & U_GC_MN_MASK) != 0 && older_than_or(c, 8)); }

bool is_cjk_ideograph(char32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

void append_utf8(std::string& out, char32_t c) {
    const auto byte = [&](char32_t b) { out += static_cast<char>(static_cast<unsigned char>(b)); };
    if (c < 0x80) {
        byte(c);
    } else if (c < 0x800) {
        byte(0xc0 | c >> 6);
        byte(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        byte(0xe0 | c >> 12);
        byte(0x80 | (c >> 6 & 0x3f));
        byte(0x80 | (c & 0x3f));
    } else {
        byte(0xf0 | c >> 18);
        byte(0x80 | (c >> 12 & 0x3f));
        byte(0x80 | (c >> 6 & 0x3f));
        byte(0x80 | (c & 0x3f));
    }
}

void append_lower(std::string& out, char32_t c) {
    if (c == 0x130) {
        out += "i\xcc\x87";
        return;
    }
    for (const NewerCase& n : kNewerCase) {
        if (c >= n.first && c <= n.last) return append_utf8(out, n.lower + (c - n.first));
    }
    append_utf8(out, static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))));
}

const std::string& newer_characters(std::string_view category) {
    static const auto table = [] {
        struct Name {
            const char* name;
            Category first, last;
        };
        std::map<std::string, std::string, std::less<>> t;
        for (const Name& n : {Name{"L", kLu, kLo}, Name{"Lu", kLu, kLu}, Name{"Ll", kLl, kLl}, Name{"Lt", kLt, kLt}, Name{"Lm", kLm, kLm}, Name{"Lo", kLo, kLo}, Name{"M", kM, kM},
                              Name{"N", kNd, kN}, Name{"Nd", kNd, kNd}, Name{"P", kP, kP}, Name{"S", kS, kS}}) {
            for (const Newer& r : kNewer) {
                if (r.category < n.first || r.category > n.last) continue;
                char text[48];
                std::snprintf(text, sizeof text, "\\x{%x}-\\x{%x}", static_cast<unsigned>(r.first), static_cast<unsigned>(r.last));
                t[n.name] += text;
            }
        }
        return t;
    }();
    static const std::string none;
    const auto it = table.find(category);
    return it == table.end() ? none : it->second;
}

}  // namespace tenpak::model
