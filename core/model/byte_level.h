// SPDX-License-Identifier: Apache-2.0
// GPT-2's byte alphabet: every byte is a printable character (openai/gpt-2 encoder.py, bytes_to_unicode).
#pragma once
#include <array>
#include <string>
#include <string_view>

namespace tenpak::model {

/// The UTF-8 character that stands for each byte.
const std::array<std::string, 256>& byte_characters();
/// Bytes of a token in that alphabet; the token's own bytes where a character is none of it.
std::string bytes_of_token(std::string_view token);
/// UTF-8 with every ill-formed sequence replaced by U+FFFD, one for each maximal subpart (Unicode 15, 3.9).
std::string lossy_utf8(std::string_view bytes);
/// Length of the character that begins at s[0], which is valid UTF-8.
std::size_t utf8_length(unsigned char first);
/// Code point at `at` of valid UTF-8.
char32_t utf8_at(std::string_view s, std::size_t at);

}  // namespace tenpak::model
