// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "core/base/file.h"
#include "core/model/byte_level.h"
#include "core/model/regex.h"
#include "core/model/subword_model.h"
#include "core/model/tokenizer_files.h"

namespace tenpak::model {
namespace {

constexpr std::size_t kMaxPieces = 4u << 20;
const char* const kMeta = "\xe2\x96\x81";  // U+2581, which stands for a space

// Types of pieces and models: sentencepiece_model.proto
enum PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
enum ModelType { kUnigram = 1, kBpe = 2 };

struct Piece {
    std::string text;
    float score = 0;
    std::uint64_t type = kNormal;
};
struct Spm {
    std::vector<Piece> pieces;
    std::uint64_t model_type = kUnigram;
    bool byte_fallback = false, dummy_prefix = true, remove_spaces = true, escape_spaces = true, space_suffix = false;
    std::uint64_t unk_id = 0;
    std::int64_t bos_id = 1;
    std::string charsmap;
};

/// One field of a protobuf message.
struct Field {
    std::uint32_t number = 0;
    std::uint64_t value = 0;   // of a varint, or the bits of a fixed one
    std::string_view bytes;    // of a length-delimited one
    bool is_bytes = false;
};

class Reader {
   public:
    explicit Reader(std::string_view data) : data_(data) {}
    bool done() const { return at_ >= data_.size(); }
    bool next(Field& f) {
        std::uint64_t tag = 0;
        if (!varint(tag)) return false;
        f = {static_cast<std::uint32_t>(tag >> 3), 0, {}, false};
        switch (tag & 7) {
            case 0: return varint(f.value);
            case 1: return fixed(8, f.value);
            case 5: return fixed(4, f.value);
            case 2: {
                std::uint64_t length = 0;
                if (!varint(length) || length > data_.size() - at_) return false;
                f.bytes = data_.substr(at_, static_cast<std::size_t>(length));
                f.is_bytes = true;
                at_ += static_cast<std::size_t>(length);
                return true;
            }
            default: return false;
        }
    }

   private:
    bool varint(std::uint64_t& out) {
        out = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (at_ >= data_.size()) return false;
            const auto b = static_cast<unsigned char>(data_[at_++]);
            out |= std::uint64_t{b & 0x7fu} << shift;
            if (b < 0x80) return true;
        }
        return false;
    }
    bool fixed(std::size_t n, std::uint64_t& out) {
        if (data_.size() - at_ < n) return false;
        out = 0;
        std::memcpy(&out, data_.data() + at_, n);
        at_ += n;
        return true;
    }
    std::string_view data_;
    std::size_t at_ = 0;
};

bool read_piece(std::string_view bytes, Piece& p) {
    Reader r(bytes);
    for (Field f; !r.done();) {
        if (!r.next(f)) return false;
        if (f.number == 1 && f.is_bytes) p.text = f.bytes;
        if (f.number == 2) {
            const auto bits = static_cast<std::uint32_t>(f.value);
            std::memcpy(&p.score, &bits, 4);
        }
        if (f.number == 3) p.type = f.value;
    }
    return true;
}

bool read_trainer(std::string_view bytes, Spm& m) {
    Reader r(bytes);
    for (Field f; !r.done();) {
        if (!r.next(f)) return false;
        if (f.number == 3) m.model_type = f.value;
        if (f.number == 24) m.space_suffix = f.value != 0;
        if (f.number == 35) m.byte_fallback = f.value != 0;
        if (f.number == 40) m.unk_id = f.value;
        if (f.number == 41) m.bos_id = static_cast<std::int64_t>(f.value);
    }
    return true;
}

bool read_normalizer(std::string_view bytes, Spm& m) {
    Reader r(bytes);
    for (Field f; !r.done();) {
        if (!r.next(f)) return false;
        if (f.number == 2 && f.is_bytes) m.charsmap = f.bytes;
        if (f.number == 3) m.dummy_prefix = f.value != 0;
        if (f.number == 4) m.remove_spaces = f.value != 0;
        if (f.number == 5) m.escape_spaces = f.value != 0;
    }
    return true;
}

std::string encode_base64(std::string_view bytes) {
    static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : bytes) {
        bits = bits << 8 | static_cast<unsigned char>(c);
        for (count += 8; count >= 6; count -= 6) out += kAlphabet[bits >> (count - 6) & 63];
    }
    if (count > 0) out += kAlphabet[bits << (6 - count) & 63];
    return out;
}

Json bpe_model(const Spm& m) {
    Json vocab = Json::object();
    Vocabulary normal;  // only normal pieces are merged
    for (std::size_t i = 0; i < m.pieces.size(); ++i) {
        vocab[m.pieces[i].text] = i;
        if (m.pieces[i].type == kNormal) normal.emplace(m.pieces[i].text, static_cast<Token>(i));
    }
    struct Merge {
        float score;
        std::size_t piece;
        std::string_view left, right;
    };
    std::vector<Merge> merges;
    for (std::size_t i = 0; i < m.pieces.size(); ++i) {
        const std::string_view text = m.pieces[i].text;
        if (m.pieces[i].type != kNormal || text.size() > 1024) continue;
        for (std::size_t at = 1; at < text.size(); ++at) {
            if ((static_cast<unsigned char>(text[at]) & 0xc0u) == 0x80u) continue;
            const auto left = text.substr(0, at), right = text.substr(at);
            if (normal.contains(left) && normal.contains(right)) merges.push_back({m.pieces[i].score, i, left, right});
        }
    }
    std::sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
        if (a.score != b.score) return a.score > b.score;
        if (a.piece != b.piece) return a.piece < b.piece;
        return a.left != b.left ? a.left < b.left : a.right < b.right;
    });
    Json list = Json::array();
    for (const Merge& x : merges) list.push_back({std::string(x.left), std::string(x.right)});
    return {{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", std::move(list)}, {"fuse_unk", true}, {"byte_fallback", m.byte_fallback}};
}

Json unigram_model(const Spm& m) {
    // A user-defined piece outweighs whatever else could stand for its characters (sentencepiece, unigram_model.cc).
    float best = -1e30f;
    for (const Piece& p : m.pieces) best = p.type == kNormal ? std::max(best, p.score) : best;
    const auto score = [&](const Piece& p) {
        if (p.type != kUserDefined) return static_cast<double>(p.score);
        const auto characters = std::count_if(p.text.begin(), p.text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; });
        return static_cast<double>(static_cast<float>(characters) * best - 0.1f);
    };
    Json vocab = Json::array();
    for (const Piece& p : m.pieces) vocab.push_back({p.text, score(p)});
    return {{"type", "Unigram"}, {"vocab", std::move(vocab)}, {"unk_id", m.unk_id}, {"byte_fallback", m.byte_fallback}};
}

Json replace(const char* kind, const char* pattern, const char* content) { return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}}; }

Json as_json(const Spm& m) {
    Json root;
    root["model"] = m.model_type == kBpe ? bpe_model(m) : unigram_model(m);
    Json normalizers = Json::array(), pre = nullptr, decoders = Json::array(), added = Json::array();
    if (!m.charsmap.empty()) normalizers.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(m.charsmap)}});
    if (m.remove_spaces) {
        normalizers.push_back(replace("Regex", "\\A +| +\\z", ""));
        normalizers.push_back(replace("Regex", " {2,}", " "));
    }
    if (m.dummy_prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", " "}});
    if (m.escape_spaces) normalizers.push_back(replace("String", " ", kMeta));
    // BPE: user-defined pieces are always found whole, the longest first.
    std::vector<std::string_view> whole;
    for (std::size_t i = 0; i < m.pieces.size(); ++i) {
        const Piece& p = m.pieces[i];
        if (p.type == kUserDefined && m.model_type == kBpe && !p.text.empty()) whole.push_back(p.text);
        if (p.type == kControl || p.type == kUnknown) added.push_back({{"id", i}, {"content", p.text}, {"special", true}, {"normalized", false}});
    }
    if (!whole.empty()) {
        std::stable_sort(whole.begin(), whole.end(), [](auto a, auto b) { return a.size() > b.size(); });
        std::string pattern;
        for (const auto& w : whole) pattern += (pattern.empty() ? "" : "|") + Regex::escaped(w);
        pre = {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
        root["model"]["ignore_merges"] = true;
    }
    decoders.push_back(replace("String", kMeta, " "));
    if (m.byte_fallback) decoders.push_back({{"type", "ByteFallback"}});
    decoders.push_back({{"type", "Fuse"}});
    if (m.dummy_prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1u}, {"stop", 0u}});
    root["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
    root["pre_tokenizer"] = std::move(pre);
    root["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
    root["added_tokens"] = std::move(added);
    root["post_processor"] = nullptr;
    if (m.model_type == kBpe && m.bos_id >= 0 && static_cast<std::size_t>(m.bos_id) < m.pieces.size()) {
        const std::string bos = m.pieces[static_cast<std::size_t>(m.bos_id)].text;
        root["post_processor"] = {{"type", "TemplateProcessing"},
                                  {"single", {{{"SpecialToken", {{"id", bos}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
                                  {"special_tokens", {{bos, {{"id", bos}, {"ids", {static_cast<std::uint64_t>(m.bos_id)}}, {"tokens", {bos}}}}}}};
    }
    return root;
}

}  // namespace

Result<Json> sentencepiece_as_json(std::string_view bytes, const std::string& where) {
    const auto bad = [&](const std::string& what) { return make_error(ErrorCode::kMalformed, what, where); };
    Spm m;
    Reader r(bytes);
    for (Field f; !r.done();) {
        if (!r.next(f)) return bad("not a SentencePiece model");
        if (!f.is_bytes) continue;
        if (f.number == 1) {
            if (m.pieces.size() >= kMaxPieces) return bad("the vocabulary is too large");
            Piece p;
            if (!read_piece(f.bytes, p)) return bad("not a SentencePiece model");
            if (!is_valid_utf8(p.text)) return bad("piece " + std::to_string(m.pieces.size()) + " is not UTF-8");
            if (!(p.score > -1e30f && p.score < 1e30f)) return bad("piece " + std::to_string(m.pieces.size()) + " has a score that is no number");
            m.pieces.push_back(std::move(p));
        } else if ((f.number == 2 && !read_trainer(f.bytes, m)) || (f.number == 3 && !read_normalizer(f.bytes, m))) {
            return bad("not a SentencePiece model");
        }
    }
    if (m.pieces.empty()) return bad("a SentencePiece model without pieces");
    if (m.model_type != kBpe && m.model_type != kUnigram) return make_error(ErrorCode::kUnsupported, "a SentencePiece model of words or characters is not supported", where, "Known: BPE, unigram");
    if (m.space_suffix) return make_error(ErrorCode::kUnsupported, "a SentencePiece model with spaces behind words is not supported", where);
    return as_json(m);
}

}  // namespace tenpak::model
