// SPDX-License-Identifier: Apache-2.0
#include "core/signing/encoding.h"

namespace tenpak::signing {

std::string to_base64(std::span<const std::byte> b) {
    static const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string s;
    s.reserve((b.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < b.size(); i += 3) {
        std::uint32_t v = 0;
        for (std::size_t k = 0; k < 3; ++k) v = v << 8 | (i + k < b.size() ? std::to_integer<std::uint32_t>(b[i + k]) : 0);
        for (std::size_t k = 0; k < 4; ++k) s += i + k <= b.size() ? digits[v >> (18 - 6 * k) & 63] : '=';
    }
    return s;
}

std::optional<Bytes> from_base64(std::string_view s) {
    std::size_t padding = 0;
    while (padding < 2 && !s.empty() && s.back() == '=') {
        s.remove_suffix(1);
        ++padding;
    }
    if (s.size() % 4 == 1 || (padding > 0 && (s.size() + padding) % 4 != 0)) return std::nullopt;
    Bytes out;
    out.reserve(s.size() / 4 * 3 + 2);
    std::uint32_t v = 0;
    unsigned bits = 0;
    for (const char c : s) {
        std::uint32_t d = 0;
        if (c >= 'A' && c <= 'Z') d = static_cast<std::uint32_t>(c - 'A');
        else if (c >= 'a' && c <= 'z') d = static_cast<std::uint32_t>(c - 'a') + 26;
        else if (c >= '0' && c <= '9') d = static_cast<std::uint32_t>(c - '0') + 52;
        else if (c == '+' || c == '-') d = 62;
        else if (c == '/' || c == '_') d = 63;
        else return std::nullopt;
        v = v << 6 | d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out.push_back(static_cast<std::byte>(v >> bits & 255));
        }
    }
    // Bits behind the last byte must be zero: otherwise one signature had several spellings.
    if ((v & ((1u << bits) - 1)) != 0) return std::nullopt;
    return out;
}

}  // namespace tenpak::signing
