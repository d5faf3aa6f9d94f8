// SPDX-License-Identifier: Apache-2.0
#include "core/model/byte_level.h"

#include <cstdint>
#include <unordered_map>

namespace tenpak::model {
namespace {

std::string encode(char32_t c) {
    if (c < 0x80) return {static_cast<char>(c)};
    return {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};  // the alphabet ends at U+0143
}

const std::unordered_map<char32_t, std::uint8_t>& character_bytes() {
    static const auto map = [] {
        std::unordered_map<char32_t, std::uint8_t> m;
        for (unsigned b = 0; b < 256; ++b) m[utf8_at(byte_characters()[b], 0)] = static_cast<std::uint8_t>(b);
        return m;
    }();
    return map;
}

}  // namespace

const std::array<std::string, 256>& byte_characters() {
    static const auto table = [] {
        std::array<std::string, 256> t;
        char32_t next = 256;
        for (char32_t b = 0; b < 256; ++b) {
            const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
            t[b] = encode(printable ? b : next++);
        }
        return t;
    }();
    return table;
}

std::size_t utf8_length(unsigned char first) { return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4; }

char32_t utf8_at(std::string_view s, std::size_t at) {
    const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(s[at + i])); };
    switch (utf8_length(static_cast<unsigned char>(s[at]))) {
        case 1: return byte(0);
        case 2: return (byte(0) & 0x1f) << 6 | (byte(1) & 0x3f);
        case 3: return (byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
        default: return (byte(0) & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
    }
}

std::string bytes_of_token(std::string_view token) {
    std::string out;
    for (std::size_t i = 0; i < token.size(); i += utf8_length(static_cast<unsigned char>(token[i]))) {
        const auto it = character_bytes().find(utf8_at(token, i));
        if (it == character_bytes().end()) return std::string(token);
        out += static_cast<char>(it->second);
    }
    return out;
}

std::string lossy_utf8(std::string_view s) {
    std::string out;
    const auto at = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
    for (std::size_t i = 0; i < s.size();) {
        const unsigned a = at(i), b = at(i + 1);
        std::size_t want = 0;
        bool second = false;  // whether the second byte may follow the first
        if (a < 0x80) want = 1, second = true;
        else if (a >= 0xc2 && a <= 0xdf) want = 2, second = b >= 0x80 && b <= 0xbf;
        else if (a >= 0xe0 && a <= 0xef) want = 3, second = b >= (a == 0xe0 ? 0xa0u : 0x80u) && b <= (a == 0xed ? 0x9fu : 0xbfu);
        else if (a >= 0xf0 && a <= 0xf4) want = 4, second = b >= (a == 0xf0 ? 0x90u : 0x80u) && b <= (a == 0xf4 ? 0x8fu : 0xbfu);
        std::size_t good = want == 0 ? 0 : want == 1 ? 1 : second ? 2 : 1;
        while (good >= 2 && good < want && (at(i + good) & 0xc0u) == 0x80u) ++good;
        if (want != 0 && good == want) {
            out.append(s, i, want);
            i += want;
        } else {
            out += "\xef\xbf\xbd";
            i += std::max<std::size_t>(good, 1);
        }
    }
    return out;
}

}  // namespace tenpak::model
