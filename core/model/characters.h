// SPDX-License-Identifier: Apache-2.0
// What the reference library takes a character for. Its parts follow different versions of Unicode: normalization 11,
// accents 9, punctuation and control characters 8, regular expressions 16, numbers and lower case 17. ICU's data are cut
// down, or added to by unicode_newer.inc, so that tokens are equal for characters old and new.
#pragma once
#include <string>
#include <string_view>

namespace tenpak::model {

bool is_white_space(char32_t c);          ///< White_Space
bool is_word_character(char32_t c);       ///< \w of Unicode TS 18: letters, marks, decimal digits, connectors, joiners
bool is_numeric(char32_t c);              ///< N
bool is_punctuation(char32_t c);          ///< P, and ASCII's symbols
bool is_control(char32_t c);              ///< Cc, Cf, Co
bool is_combining_mark(char32_t c);       ///< M
bool is_nonspacing_mark(char32_t c);      ///< Mn
bool is_cjk_ideograph(char32_t c);        ///< what BERT calls a Chinese character
/// Appends the lower case of `c` without context: one character, or two for U+0130.
void append_lower(std::string& out, char32_t c);
void append_utf8(std::string& out, char32_t c);
/// Ranges for a regular expression's class, "\x{..}-\x{..}…", of the characters newer than PCRE2's data in a general
/// category ("L", "Lu", "Nd", …); empty for another name.
const std::string& newer_characters(std::string_view category);

}  // namespace tenpak::model
