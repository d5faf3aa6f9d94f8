// SPDX-License-Identifier: Apache-2.0
#include "core/model/unigram.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "core/model/byte_level.h"

namespace tenpak::model {
namespace {

constexpr double kUnknownPenalty = 10;  // below the least likely token (sentencepiece, unigram_model.cc)
constexpr std::size_t kMaxNodes = 64u << 20;

/// A score as the reference library reads it: its digits as one integer, divided by a power of ten, which is a unit in
/// the last place away from the nearest double now and then. Equal sums decide between segmentations, so it matters.
double reference_rounding(double value) {
    char text[64];
    const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
    std::uint64_t digits = 0;
    int exponent = 0;
    bool negative = false, fraction = false;
    const char* p = text;
    for (; p < end && *p != 'e'; ++p) {
        if (*p == '-') negative = true;
        else if (*p == '.') fraction = true;
        else if (*p < '0' || *p > '9') return value;  // infinity
        else {
            digits = digits * 10 + static_cast<std::uint64_t>(*p - '0');
            if (fraction) --exponent;
        }
    }
    int e = 0;
    if (p < end) std::from_chars(p + (p[1] == '+' ? 2 : 1), end, e);
    exponent += e;
    if (exponent >= 0 || exponent < -300) return value;  // does not occur in scores
    double power = 1;
    const std::string spelled = "1e" + std::to_string(-exponent);
    std::from_chars(spelled.data(), spelled.data() + spelled.size(), power);
    const double magnitude = static_cast<double>(digits) / power;
    return negative ? -magnitude : magnitude;
}

}  // namespace

Result<std::unique_ptr<Unigram>> Unigram::parse(const Json& model, const std::string& where) {
    auto u = std::make_unique<Unigram>();
    if (!model.is_object() || !model.contains("vocab") || !model.at("vocab").is_array()) return make_error(ErrorCode::kMalformed, "a Unigram model needs \"vocab\", a list", where);
    const Json& vocab = model.at("vocab");
    if (vocab.size() >= INT32_MAX) return make_error(ErrorCode::kMalformed, "the vocabulary is too large", where);
    u->vocabulary_.reserve(vocab.size());
    u->ends_.push_back(-1);
    double least = std::numeric_limits<double>::infinity();
    for (const Json& entry : vocab) {
        if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
            return make_error(ErrorCode::kMalformed, "entry " + std::to_string(u->scores_.size()) + " of \"vocab\" is not [token, score]", where);
        }
        const auto id = static_cast<Token>(u->scores_.size());
        const auto& text = entry[0].get_ref<const std::string&>();
        u->scores_.push_back(reference_rounding(entry[1].get<double>()));
        least = std::min(least, u->scores_.back());
        u->vocabulary_[text] = id;  // the last of equal ones
        TENPAK_RETURN_IF_ERROR(u->add_to_trie(text, id, where));
    }
    if (model.contains("unk_id") && !model.at("unk_id").is_null()) {
        TENPAK_ASSIGN(const auto unknown, json_get<std::uint64_t>(model, "unk_id", where));
        if (unknown >= u->scores_.size()) return make_error(ErrorCode::kMalformed, "\"unk_id\" is outside of the vocabulary", where);
        u->unknown_ = static_cast<Token>(unknown);
    }
    if (model.contains("byte_fallback") && !model.at("byte_fallback").is_null()) {
        TENPAK_ASSIGN(u->byte_fallback_, json_get<bool>(model, "byte_fallback", where));
    }
    u->unknown_score_ = least - kUnknownPenalty;
    return u;
}

Status Unigram::add_to_trie(std::string_view text, Token id, const std::string& where) {
    std::uint32_t node = 0;
    for (const char c : text) {
        std::uint32_t& next = edges_[std::uint64_t{node} << 8 | static_cast<unsigned char>(c)];
        if (next == 0) {  // the root is nobody's child
            if (ends_.size() >= kMaxNodes) return make_error(ErrorCode::kMalformed, "the vocabulary is too large", where);
            next = static_cast<std::uint32_t>(ends_.size());
            ends_.push_back(-1);
        }
        node = next;
    }
    if (node != 0) ends_[node] = id;
    return {};
}

Status Unigram::segment(std::string_view word, std::vector<std::pair<std::size_t, std::size_t>>& parts) const {
    constexpr std::size_t kUnreached = SIZE_MAX;
    struct Node {
        double score = 0;
        std::size_t begin = kUnreached;
        Token id = -1;
    };
    std::vector<Node> best(word.size() + 1);
    for (std::size_t at = 0; at < word.size();) {
        const double here = best[at].score;
        const std::size_t length = utf8_length(static_cast<unsigned char>(word[at]));
        const auto reach = [&](std::size_t end, double score, Token id) {
            Node& n = best[end];
            if (n.begin == kUnreached || score > n.score) n = {score, at, id};
        };
        bool single = false;
        std::uint32_t node = 0;
        for (std::size_t end = at; end < word.size();) {
            const std::uint32_t* next = edges_.find(std::uint64_t{node} << 8 | static_cast<unsigned char>(word[end]));
            if (next == nullptr) break;
            node = *next;
            ++end;
            if (ends_[node] < 0) continue;
            reach(end, scores_[static_cast<std::size_t>(ends_[node])] + here, ends_[node]);
            single = single || end - at == length;
        }
        if (!single) {
            if (unknown_ < 0) return make_error(ErrorCode::kMalformed, "the text has a character that the tokenizer has no token for, and no \"unk_id\"");
            reach(at + length, unknown_score_ + here, unknown_);
        }
        at += length;
    }
    bool in_unknown = false;
    for (std::size_t end = word.size(); end > 0; end = best[end].begin) {
        const bool unknown = best[end].id == unknown_ && unknown_ >= 0;
        if (unknown && in_unknown) parts.back().first = best[end].begin;  // neighbours without token are one
        else parts.emplace_back(best[end].begin, end);
        in_unknown = unknown;
    }
    std::reverse(parts.begin(), parts.end());
    return {};
}

Status Unigram::append_ids(std::string_view text, std::vector<Token>& out) const {
    const auto it = vocabulary_.find(text);
    if (it != vocabulary_.end()) {
        out.push_back(it->second);
        return {};
    }
    if (byte_fallback_) {
        const std::size_t before = out.size();
        bool all = true;
        for (const char c : text) {
            const auto byte = vocabulary_.find(byte_token(static_cast<unsigned char>(c)));
            if (!(all = byte != vocabulary_.end())) break;
            out.push_back(byte->second);
        }
        if (all) return {};
        out.resize(before);
    }
    if (unknown_ < 0) return make_error(ErrorCode::kMalformed, "the text has a character that the tokenizer has no token for, and no \"unk_id\"");
    out.push_back(unknown_);
    return {};
}

Status Unigram::encode(std::string_view word, WordMemo& memo, std::vector<Token>& out) const {
    if (const auto* known = memo.find(word)) {
        out.insert(out.end(), known->begin(), known->end());
        return {};
    }
    std::vector<std::pair<std::size_t, std::size_t>> parts;
    TENPAK_RETURN_IF_ERROR(segment(word, parts));
    const std::size_t before = out.size();
    for (const auto& [begin, end] : parts) TENPAK_RETURN_IF_ERROR(append_ids(word.substr(begin, end - begin), out));
    memo.keep(word, {out.begin() + static_cast<std::ptrdiff_t>(before), out.end()});
    return {};
}

}  // namespace tenpak::model
