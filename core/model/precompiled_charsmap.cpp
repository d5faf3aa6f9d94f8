// SPDX-License-Identifier: Apache-2.0
#include "core/model/precompiled_charsmap.h"

#include <unicode/brkiter.h>
#include <unicode/utext.h>

#include <array>
#include <cstring>

#include "core/base/file.h"
#include "core/model/byte_level.h"
#include "core/model/normalizer.h"

namespace tenpak::model {
namespace {

Result<std::string> decode_base64(std::string_view text, const std::string& where) {
    static const auto values = [] {
        std::array<std::int8_t, 256> v;
        v.fill(-1);
        const std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (std::size_t i = 0; i < alphabet.size(); ++i) v[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i);
        return v;
    }();
    while (!text.empty() && text.back() == '=') text.remove_suffix(1);
    std::string out;
    out.reserve(text.size() * 3 / 4);
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
        const int v = values[static_cast<unsigned char>(c)];
        if (v < 0) return make_error(ErrorCode::kMalformed, "\"precompiled_charsmap\" is not base64", where);
        bits = bits << 6 | static_cast<std::uint32_t>(v);
        if ((count += 6) >= 8) {
            count -= 8;
            out += static_cast<char>(bits >> count & 0xff);
        }
    }
    return out;
}

/// Appends characters and keeps NormalizedText::first: each comes from one character of the old text, stands behind one
/// that does (change > 0), or takes `-change` following ones with it. One is held back, since it may take more.
class Writer {
   public:
    explicit Writer(const NormalizedText& from) : from_(from) { out_.reserve(from.text.size()); }
    void add(std::string_view character, int change) {
        flush();
        held_ = character;
        change_ = change;
        holding_ = true;
    }
    void take_more(int characters) {
        if (holding_) change_ -= characters;
    }
    NormalizedText finish() {
        flush();
        return {std::move(out_), first_};
    }

   private:
    void skip(int characters) {
        for (; characters > 0 && at_ < from_.text.size(); --characters) at_ += utf8_length(static_cast<unsigned char>(from_.text[at_]));
    }
    void flush() {
        if (!holding_) return;
        const std::size_t source = change_ > 0 ? (at_ < 1 ? 0 : at_ - 1) : at_;
        out_ += held_;
        if (source < from_.first || (change_ > 0 && at_ < 1 && from_.first > 0)) first_ = out_.size();
        if (change_ <= 0) skip(1 - change_);
        holding_ = false;
    }

    const NormalizedText& from_;
    std::string out_;
    std::string_view held_;
    int change_ = 0;
    bool holding_ = false;
    std::size_t at_ = 0, first_ = 0;
};

int count_characters(std::string_view s) {
    int n = 0;
    for (const char c : s) n += (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
    return n;
}

void replace(Writer& w, std::string_view old_part, std::string_view new_part) {
    const int old_count = count_characters(old_part), new_count = count_characters(new_part);
    int i = 0;
    for (std::size_t at = 0; at < new_part.size(); ++i) {
        const std::size_t length = utf8_length(static_cast<unsigned char>(new_part[at]));
        w.add(new_part.substr(at, length), i < old_count ? 0 : 1);
        at += length;
    }
    if (new_count < old_count) w.take_more(old_count - new_count);
}

}  // namespace

Result<std::shared_ptr<const PrecompiledCharsmap>> PrecompiledCharsmap::parse(std::string_view base64, const std::string& where) {
    TENPAK_ASSIGN(const std::string bytes, decode_base64(base64, where));
    return from_bytes(bytes, where);
}

Result<std::shared_ptr<const PrecompiledCharsmap>> PrecompiledCharsmap::from_bytes(std::string_view bytes, const std::string& where) {
    const auto bad = [&](const char* what) { return make_error(ErrorCode::kMalformed, std::string("\"precompiled_charsmap\" ") + what, where); };
    std::uint32_t size = 0;
    if (bytes.size() < 4) return bad("is too short");
    std::memcpy(&size, bytes.data(), 4);  // little-endian, as all platforms here
    if (size % 4 != 0 || size > bytes.size() - 4 || size == 0) return bad("has a wrong size of its trie");
    auto map = std::make_shared<PrecompiledCharsmap>();
    map->trie_.resize(size / 4);
    std::memcpy(map->trie_.data(), bytes.data() + 4, size);
    map->replacements_.assign(bytes.substr(4 + size));
    map->replacements_ += '\0';
    if (!is_valid_utf8(map->replacements_)) return bad("has replacements that are not UTF-8");
    return std::shared_ptr<const PrecompiledCharsmap>(std::move(map));
}

const char* PrecompiledCharsmap::find(std::string_view chunk) const {
    // Darts-clone's units: offset in bits 10..30 (8 more bits left when bit 9 is set), label in bits 0..7 and 31, bit 8:
    // a leaf follows; a leaf holds its value in bits 0..30.
    const auto offset = [](std::uint32_t u) { return (u >> 10) << ((u & (1u << 9)) >> 6); };
    std::size_t node = 0;
    node ^= offset(trie_[0]);
    for (const char ch : chunk) {
        const auto c = static_cast<unsigned char>(ch);
        if (c == 0) return nullptr;
        node ^= c;
        if (node >= trie_.size()) return nullptr;
        const std::uint32_t unit = trie_[node];
        if ((unit & (1u << 31 | 0xffu)) != c) return nullptr;
        node ^= offset(unit);
        if (node >= trie_.size()) return nullptr;
        if ((unit >> 8 & 1u) == 1) {
            const std::size_t at = trie_[node] & ((1u << 31) - 1);
            if (at >= replacements_.size()) return nullptr;
            // A place inside of a character is a malformed map; nothing is replaced then.
            if ((static_cast<unsigned char>(replacements_[at]) & 0xc0u) == 0x80u) return nullptr;
            return replacements_.data() + at;
        }
    }
    return nullptr;
}

void PrecompiledCharsmap::apply(NormalizedText& t) const {
    if (t.text.empty()) return;
    Writer w(t);
    bool changed = false;
    const auto one_by_one = [&](std::string_view cluster) {
        for (std::size_t at = 0; at < cluster.size();) {
            const auto part = cluster.substr(at, utf8_length(static_cast<unsigned char>(cluster[at])));
            at += part.size();
            if (const char* r = find(part)) {
                changed = true;
                replace(w, part, r);
            } else {
                w.add(part, 0);
            }
        }
    };
    UErrorCode status = U_ZERO_ERROR;
    UText u = UTEXT_INITIALIZER;
    utext_openUTF8(&u, t.text.data(), static_cast<std::int64_t>(t.text.size()), &status);
    const std::unique_ptr<icu::BreakIterator> breaks(icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
    if (U_SUCCESS(status)) breaks->setText(&u, status);
    if (U_FAILURE(status)) {
        one_by_one(t.text);
    } else {
        for (std::int32_t begin = breaks->first(), end = breaks->next(); end != icu::BreakIterator::DONE; begin = end, end = breaks->next()) {
            const auto cluster = std::string_view(t.text).substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
            const char* whole = cluster.size() < 6 ? find(cluster) : nullptr;
            if (whole == nullptr) {
                one_by_one(cluster);
                continue;
            }
            changed = true;
            replace(w, cluster, whole);
        }
    }
    utext_close(&u);
    if (changed) t = w.finish();
}

}  // namespace tenpak::model
