// SPDX-License-Identifier: Apache-2.0
#include "core/model/token_decoder.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/model/byte_level.h"
#include "core/model/split_pattern.h"

namespace tenpak::model {
namespace {

constexpr int kMaxDepth = 8;
using Tokens = std::vector<std::string>;

std::string join(const Tokens& tokens, std::string_view between) {
    std::string out;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (i != 0) out += between;
        out += tokens[i];
    }
    return out;
}

int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/// "<0x0A>" to its byte; -1 for any other token.
int byte_of(const std::string& token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
    // The reference's number parser takes a plus sign, too.
    const int high = token[3] == '+' ? 0 : hex_digit(token[3]), low = hex_digit(token[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Status byte_fallback(Tokens& tokens) {
    Tokens out;
    std::string bytes;
    const auto flush = [&] {
        if (bytes.empty()) return;
        if (is_valid_utf8(bytes)) out.push_back(bytes);
        else out.insert(out.end(), bytes.size(), "\xef\xbf\xbd");
        bytes.clear();
    };
    for (std::string& t : tokens) {
        const int b = byte_of(t);
        if (b >= 0) {
            bytes += static_cast<char>(b);
            continue;
        }
        flush();
        out.push_back(std::move(t));
    }
    flush();
    tokens = std::move(out);
    return {};
}

Status byte_level(Tokens& tokens) {
    std::string bytes;
    for (const std::string& t : tokens) bytes += bytes_of_token(t);
    tokens = {lossy_utf8(bytes)};
    return {};
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    std::string out;
    std::size_t at = 0;
    for (std::size_t hit = text.find(from); hit != std::string::npos; hit = text.find(from, at)) {
        out.append(text, at, hit - at);
        out += to;
        at = hit + from.size();
    }
    if (at != 0) text = out.append(text, at, std::string::npos);
}

/// Cuts up to `start` and `stop` of the character off the ends.
void strip_token(std::string& t, const std::string& content, std::size_t start, std::size_t stop) {
    std::size_t begin = 0, end = t.size();
    for (; start > 0 && std::string_view(t).substr(begin, content.size()) == content; --start) begin += content.size();
    for (; stop > 0 && end >= begin + content.size() && std::string_view(t).substr(end - content.size(), content.size()) == content; --stop) end -= content.size();
    t = t.substr(begin, end - begin);
}

void clean_up(std::string& t) {  // English punctuation, as the WordPiece decoder does
    static constexpr std::pair<const char*, const char*> kRules[] = {{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"},
                                                                     {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : kRules) replace_all(t, from, to);
}

Result<std::string> character_option(const Json& d, const char* key, const std::string& where) {
    TENPAK_ASSIGN(auto text, json_get<std::string>(d, key, where));
    if (text.empty() || utf8_length(static_cast<unsigned char>(text[0])) != text.size()) return make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" must be one character", where);
    return text;
}

}  // namespace

Status TokenDecoder::add(const Json& d, const std::string& where, int depth) {
    if (depth > kMaxDepth) return make_error(ErrorCode::kMalformed, "decoders nested too deep", where);
    if (steps_.size() > 256) return make_error(ErrorCode::kMalformed, "more than 256 decoders", where);
    TENPAK_ASSIGN(const auto type, json_get<std::string>(d, "type", where));
    const auto each = [&](auto change) {
        steps_.push_back([change](Tokens& tokens) -> Status {
            for (std::size_t i = 0; i < tokens.size(); ++i) change(tokens[i], i, tokens.size());
            return {};
        });
    };
    if (type == "Sequence") {
        TENPAK_ASSIGN(const Json list, json_get<Json>(d, "decoders", where));
        if (!list.is_array()) return make_error(ErrorCode::kMalformed, "\"decoders\" must be a list", where);
        for (const Json& p : list) TENPAK_RETURN_IF_ERROR(add(p, where, depth + 1));
    } else if (type == "ByteLevel") {
        steps_.emplace_back(byte_level);
    } else if (type == "ByteFallback") {
        steps_.emplace_back(byte_fallback);
    } else if (type == "Fuse") {
        steps_.push_back([](Tokens& tokens) -> Status {
            tokens = {join(tokens, "")};
            return {};
        });
    } else if (type == "Replace") {
        TENPAK_ASSIGN(const Json description, json_get<Json>(d, "pattern", where));
        TENPAK_ASSIGN(const auto pattern, SplitPattern::parse(description, where));
        TENPAK_ASSIGN(const auto content, json_get<std::string>(d, "content", where));
        steps_.push_back([pattern, content](Tokens& tokens) -> Status {
            std::vector<Regex::Match> matches;
            for (std::string& t : tokens) {
                matches.clear();
                if (!t.empty()) TENPAK_RETURN_IF_ERROR(pattern.find_all(t, matches));
                std::string out;
                std::size_t at = 0;
                for (const auto& m : matches) {
                    out.append(t, at, m.begin - at);
                    out += content;
                    at = m.end;
                }
                t = out.append(t, at, std::string::npos);
            }
            return {};
        });
    } else if (type == "Strip") {
        TENPAK_ASSIGN(const auto content, character_option(d, "content", where));
        TENPAK_ASSIGN(const auto start, json_get<std::uint64_t>(d, "start", where));
        TENPAK_ASSIGN(const auto stop, json_get<std::uint64_t>(d, "stop", where));
        each([content, start, stop](std::string& t, std::size_t, std::size_t) { strip_token(t, content, start, stop); });
    } else if (type == "Metaspace") {
        TENPAK_ASSIGN(const auto replacement, character_option(d, "replacement", where));
        bool prefix = true;
        if (d.contains("prepend_scheme") && !d.at("prepend_scheme").is_null()) {
            TENPAK_ASSIGN(const auto scheme, json_get<std::string>(d, "prepend_scheme", where));
            prefix = scheme != "never";
        } else if (d.contains("add_prefix_space") && !d.at("add_prefix_space").is_null()) {
            TENPAK_ASSIGN(prefix, json_get<bool>(d, "add_prefix_space", where));
        }
        each([replacement, prefix](std::string& t, std::size_t i, std::size_t) { replace_all(t, replacement, i == 0 && prefix ? "" : " "); });
    } else if (type == "BPEDecoder") {
        TENPAK_ASSIGN(const auto suffix, json_get<std::string>(d, "suffix", where));
        if (suffix.empty()) return make_error(ErrorCode::kUnsupported, "a BPEDecoder with an empty suffix is not supported", where);
        each([suffix](std::string& t, std::size_t i, std::size_t n) { replace_all(t, suffix, i + 1 == n ? "" : " "); });
    } else if (type == "WordPiece") {
        TENPAK_ASSIGN(const auto prefix, json_get<std::string>(d, "prefix", where));
        TENPAK_ASSIGN(const bool cleanup, json_get<bool>(d, "cleanup", where));
        each([prefix, cleanup](std::string& t, std::size_t i, std::size_t) {
            if (i != 0 && t.starts_with(prefix)) t.erase(0, prefix.size());
            else if (i != 0) t.insert(t.begin(), ' ');
            if (cleanup) clean_up(t);
        });
    } else {
        return make_error(ErrorCode::kUnsupported, "decoder \"" + type + "\" is not known", where, "Known: ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, BPEDecoder, WordPiece, Sequence");
    }
    return {};
}

Result<TokenDecoder> TokenDecoder::parse(const Json& description, const std::string& where) {
    TokenDecoder d;
    d.join_with_spaces_ = description.is_null();
    if (!description.is_null()) TENPAK_RETURN_IF_ERROR(d.add(description, where, 0));
    return d;
}

Result<std::string> TokenDecoder::decode(std::vector<std::string> tokens) const {
    for (const Step& step : steps_) TENPAK_RETURN_IF_ERROR(step(tokens));
    return join(tokens, join_with_spaces_ ? " " : "");
}

}  // namespace tenpak::model
