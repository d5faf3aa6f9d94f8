// SPDX-License-Identifier: Apache-2.0
#include "core/model/normalizer.h"

#include <unicode/normalizer2.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>

#include <mutex>

#include "core/model/byte_level.h"
#include "core/model/characters.h"
#include "core/model/precompiled_charsmap.h"
#include "core/model/split_pattern.h"

namespace tenpak::model {
namespace {

constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxContent = 4096;          // of Prepend and Replace
constexpr std::size_t kMaxNormalized = 1u << 31;  // ICU's lengths are 32 bit

/// The reference library normalizes by the data of Unicode 11: what is newer stays as it is.
const icu::Normalizer2* instance(const std::string& form) {
    static std::once_flag once;
    static std::unique_ptr<icu::FilteredNormalizer2> filtered[4];
    std::call_once(once, [] {
        UErrorCode status = U_ZERO_ERROR;
        static const icu::UnicodeSet old(icu::UnicodeString("[:age=11.0:]"), status);
        const icu::Normalizer2* plain[4] = {icu::Normalizer2::getNFCInstance(status), icu::Normalizer2::getNFDInstance(status), icu::Normalizer2::getNFKCInstance(status),
                                            icu::Normalizer2::getNFKDInstance(status)};
        if (U_FAILURE(status)) return;
        for (int i = 0; i < 4; ++i) filtered[i] = std::make_unique<icu::FilteredNormalizer2>(*plain[i], old);
    });
    return filtered[form == "NFC" ? 0 : form == "NFD" ? 1 : form == "NFKC" ? 2 : 3].get();
}

Result<std::string> unicode_form(const std::string& form, std::string_view text) {
    const icu::Normalizer2* normalizer = instance(form);
    if (normalizer == nullptr) return make_error(ErrorCode::kInternal, "ICU has no " + form + " data");
    UErrorCode status = U_ZERO_ERROR;
    std::string out;
    icu::StringByteSink<std::string> sink(&out);
    normalizer->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, status);
    if (U_FAILURE(status)) return make_error(ErrorCode::kMalformed, "the text cannot be normalized to " + form);
    return out;
}

Status apply_form(const std::string& form, NormalizedText& t) {
    TENPAK_ASSIGN(const std::string head, unicode_form(form, std::string_view(t.text).substr(0, t.first)));
    TENPAK_ASSIGN(t.text, unicode_form(form, t.text));
    t.first = std::min(head.size(), t.text.size());
    return {};
}

/// map(character, out) appends what the character becomes, nothing to remove it.
template <class Map>
Status map_characters(NormalizedText& t, const Map& map) {
    std::string out;
    out.reserve(t.text.size());
    std::size_t first = 0;
    for (std::size_t at = 0; at < t.text.size();) {
        const char32_t c = utf8_at(t.text, at);
        at += utf8_length(static_cast<unsigned char>(t.text[at]));
        map(c, out);
        if (at <= t.first) first = out.size();
    }
    t = {std::move(out), first};
    return {};
}

Status strip(NormalizedText& t, bool left, bool right) {
    std::size_t begin = 0, end = t.text.size();
    while (left && begin < end && is_white_space(utf8_at(t.text, begin))) begin += utf8_length(static_cast<unsigned char>(t.text[begin]));
    while (right && end > begin) {
        std::size_t at = end - 1;
        while (at > begin && (static_cast<unsigned char>(t.text[at]) & 0xc0u) == 0x80u) --at;
        if (!is_white_space(utf8_at(t.text, at))) break;
        end = at;
    }
    t.text = t.text.substr(begin, end - begin);
    t.first = std::min(t.first - std::min(t.first, begin), t.text.size());
    return {};
}

Status replace(NormalizedText& t, const SplitPattern& pattern, const std::string& content) {
    std::vector<Regex::Match> matches;
    TENPAK_RETURN_IF_ERROR(pattern.find_all(t.text, matches));
    if (matches.empty()) return {};
    if (t.text.size() + matches.size() * content.size() > kMaxNormalized) return make_error(ErrorCode::kMalformed, "a normalizer makes the text too large");
    std::string out;
    out.reserve(t.text.size() + matches.size() * content.size());
    std::size_t at = 0, first = 0;
    for (const auto& m : matches) {
        out.append(t.text, at, m.begin - at);
        if (at < t.first) first = out.size() - (m.begin > t.first ? m.begin - t.first : 0);
        out += content;
        if (m.end <= t.first) first = out.size();  // what is put in counts as the last character taken out
        at = m.end;
    }
    const std::size_t before = out.size();
    out.append(t.text, at, std::string::npos);
    if (at < t.first) first = before + (t.first - at);
    t = {std::move(out), first};
    return {};
}

void nmt(char32_t c, std::string& out) {  // neural machine translation's own cleaning, of SentencePiece
    if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f) return;
    const bool space = c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd;
    append_utf8(out, space ? U' ' : c);
}

Result<bool> flag(const Json& j, const char* key, bool fallback, const std::string& where) {
    if (!j.contains(key) || j.at(key).is_null()) return fallback;
    return json_get<bool>(j, key, where);
}

}  // namespace

Status Normalizer::add(const Json& d, const std::string& where, int depth) {
    if (depth > kMaxDepth) return make_error(ErrorCode::kMalformed, "normalizers nested too deep", where);
    TENPAK_ASSIGN(const auto type, json_get<std::string>(d, "type", where));
    const auto characters = [&](auto map) { steps_.push_back([map](NormalizedText& t) { return map_characters(t, map); }); };
    if (type == "Sequence") {
        TENPAK_ASSIGN(const Json list, json_get<Json>(d, "normalizers", where));
        if (!list.is_array()) return make_error(ErrorCode::kMalformed, "\"normalizers\" must be a list", where);
        for (const Json& n : list) TENPAK_RETURN_IF_ERROR(add(n, where, depth + 1));
    } else if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
        steps_.push_back([type](NormalizedText& t) { return apply_form(type, t); });
    } else if (type == "Lowercase") {
        characters([](char32_t c, std::string& out) { append_lower(out, c); });
    } else if (type == "StripAccents") {
        characters([](char32_t c, std::string& out) {
            if (!is_combining_mark(c)) append_utf8(out, c);
        });
    } else if (type == "Nmt") {
        characters(nmt);
    } else if (type == "ByteLevel") {
        characters([](char32_t c, std::string& out) {
            std::string bytes;
            append_utf8(bytes, c);
            for (const char b : bytes) out += byte_characters()[static_cast<unsigned char>(b)];
        });
    } else if (type == "Strip") {
        TENPAK_ASSIGN(const bool left, json_get<bool>(d, "strip_left", where));
        TENPAK_ASSIGN(const bool right, json_get<bool>(d, "strip_right", where));
        steps_.push_back([left, right](NormalizedText& t) { return strip(t, left, right); });
    } else if (type == "Prepend") {
        TENPAK_ASSIGN(const auto text, json_get<std::string>(d, "prepend", where));
        if (text.size() > kMaxContent) return make_error(ErrorCode::kMalformed, "what is prepended is longer than 4 KiB", where);
        steps_.push_back([text](NormalizedText& t) -> Status {
            if (t.text.empty()) return {};
            t.text.insert(0, text);
            if (t.first > 0) t.first += text.size();
            return {};
        });
    } else if (type == "Replace") {
        TENPAK_ASSIGN(const Json description, json_get<Json>(d, "pattern", where));
        TENPAK_ASSIGN(const auto pattern, SplitPattern::parse(description, where));
        TENPAK_ASSIGN(const auto content, json_get<std::string>(d, "content", where));
        if (content.size() > kMaxContent) return make_error(ErrorCode::kMalformed, "a replacement is longer than 4 KiB", where);
        steps_.push_back([pattern, content](NormalizedText& t) { return replace(t, pattern, content); });
    } else if (type == "Precompiled") {
        TENPAK_ASSIGN(const auto encoded, json_get<std::string>(d, "precompiled_charsmap", where));
        TENPAK_ASSIGN(const auto map, PrecompiledCharsmap::parse(encoded, where));
        steps_.push_back([map](NormalizedText& t) -> Status {
            map->apply(t);
            return {};
        });
    } else if (type == "BertNormalizer") {
        TENPAK_ASSIGN(const bool lower, flag(d, "lowercase", true, where));
        TENPAK_ASSIGN(const bool clean, flag(d, "clean_text", true, where));
        TENPAK_ASSIGN(const bool chinese, flag(d, "handle_chinese_chars", true, where));
        TENPAK_ASSIGN(const bool accents, flag(d, "strip_accents", lower, where));
        if (clean) {
            characters([](char32_t c, std::string& out) {
                const bool line = c == 9 || c == 10 || c == 13;
                if (c == 0 || c == 0xfffd || (!line && is_control(c))) return;
                append_utf8(out, line || is_white_space(c) ? U' ' : c);
            });
        }
        if (chinese) {
            characters([](char32_t c, std::string& out) {
                if (is_cjk_ideograph(c)) out += ' ';
                append_utf8(out, c);
                if (is_cjk_ideograph(c)) out += ' ';
            });
        }
        if (accents) {
            steps_.push_back([](NormalizedText& t) { return apply_form("NFD", t); });
            characters([](char32_t c, std::string& out) {
                if (!is_nonspacing_mark(c)) append_utf8(out, c);
            });
        }
        if (lower) characters([](char32_t c, std::string& out) { append_lower(out, c); });
    } else {
        return make_error(ErrorCode::kUnsupported, "normalizer \"" + type + "\" is not known", where,
                          "Known: NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Replace, Prepend, Precompiled, Nmt, ByteLevel, BertNormalizer, Sequence");
    }
    if (steps_.size() > 256) return make_error(ErrorCode::kMalformed, "more than 256 normalizers", where);
    return {};
}

Result<Normalizer> Normalizer::parse(const Json& description, const std::string& where) {
    Normalizer n;
    if (!description.is_null()) TENPAK_RETURN_IF_ERROR(n.add(description, where, 0));
    return n;
}

Status Normalizer::apply(NormalizedText& t) const {
    for (const Step& step : steps_) {
        TENPAK_RETURN_IF_ERROR(step(t));
        if (t.text.size() >= kMaxNormalized) return make_error(ErrorCode::kMalformed, "a normalizer makes the text larger than 2 GiB");
    }
    return {};
}

Result<std::string> Normalizer::apply(std::string_view text) const {
    NormalizedText t{std::string(text), 0};
    TENPAK_RETURN_IF_ERROR(apply(t));
    return std::move(t.text);
}

}  // namespace tenpak::model
