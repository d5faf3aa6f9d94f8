// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/reference_log.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/evaluate/softmax.h"

namespace tenpak::evaluate {
namespace {

constexpr char kMagic[] = "TPREFLOG";
constexpr std::size_t kMagicBytes = 8, kFixedBytes = 16, kTrailerBytes = 8;
constexpr std::uint32_t kVersion = 1, kMaxHeader = 64 * 1024, kMaxTopK = 4096;
constexpr double kNegligible = 1e-6;  // probability left over
constexpr std::uint64_t kMaxFile = std::uint64_t{16} << 30;

template <class T>
void put(Bytes& out, T value) {
    const auto* p = reinterpret_cast<const std::byte*>(&value);
    out.insert(out.end(), p, p + sizeof value);
}
template <class T>
T get(const std::byte* p) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

Error damaged(const std::string& where, std::string what) {
    return make_error(ErrorCode::kMalformed, std::move(what), where, "Make the reference anew with --save-reference");
}

/// A number in 0..1 that only depends on `bits` (SplitMix64).
double uniform(std::uint64_t bits) {
    bits += 0x9e3779b97f4a7c15u;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
    return static_cast<double>((bits ^ bits >> 31) >> 11) * 0x1p-53;
}

/// Systematic sampling: kTailSamples equal steps through the cumulated probability of what is not among the likeliest.
void sample_rest(ReferenceRow& row, std::span<const float> logits, double total) {
    constexpr std::size_t kBlock = 1024;
    std::vector<float> rest(logits.begin(), logits.end());
    for (const LikelyToken& t : row.likely) rest[t.token] = static_cast<float>(total) - 200;  // e^-200 is nothing
    std::vector<double> blocks;
    double mass = 0;
    for (std::size_t at = 0; at < rest.size(); at += kBlock) {
        blocks.push_back(std::exp(log_sum_exp(rest.data() + at, std::min(kBlock, rest.size() - at)) - total));
        mass += blocks.back();
    }
    double at_least = uniform(std::bit_cast<std::uint64_t>(total) ^ std::bit_cast<std::uint32_t>(row.target)) * mass / kTailSamples;
    double before = 0;
    for (std::size_t b = 0; b < blocks.size() && row.sampled.size() < kTailSamples; before += blocks[b], ++b) {
        if (before + blocks[b] <= at_least) continue;
        double sum = before;
        for (std::size_t v = b * kBlock; v < std::min(rest.size(), (b + 1) * kBlock); ++v) {
            const double lp = static_cast<double>(rest[v]) - total;
            sum += std::exp(lp);
            for (; sum > at_least && row.sampled.size() < kTailSamples; at_least += mass / kTailSamples) {
                row.sampled.push_back({static_cast<std::uint32_t>(v), static_cast<float>(lp)});
            }
        }
    }
}

}  // namespace

ReferenceHeader reference_header(const WindowPlan& plan, std::span<const model::Token> text, std::uint32_t vocab, std::string model) {
    ReferenceHeader h;
    h.convention = plan.convention;
    h.context = plan.context;
    h.vocab = vocab;
    h.rows = plan.scored();
    h.windows = plan.windows.size();
    h.text_sha256 = to_hex(sha256(std::as_bytes(text)));
    h.model = std::move(model);
    return h;
}

ReferenceRow reference_row(std::span<const float> logits, double total, std::size_t target, std::uint32_t top_k) {
    ReferenceRow row;
    row.target = static_cast<float>(static_cast<double>(logits[target]) - total);
    const std::size_t k = std::min<std::size_t>(top_k, logits.size());
    std::vector<std::uint32_t> order;
    // A heap of the k largest, its smallest on top: most logits fail its first comparison.
    const auto larger = [&](std::uint32_t a, std::uint32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
    for (std::uint32_t v = 0; v < logits.size(); ++v) {
        if (order.size() < k) {
            order.push_back(v);
            std::push_heap(order.begin(), order.end(), larger);
        } else if (logits[v] > logits[order.front()]) {
            std::pop_heap(order.begin(), order.end(), larger);
            order.back() = v;
            std::push_heap(order.begin(), order.end(), larger);
        }
    }
    std::sort_heap(order.begin(), order.end(), larger);
    double left = 1;
    for (const std::uint32_t v : order) {
        const double lp = static_cast<double>(logits[v]) - total;
        row.likely.push_back({v, static_cast<float>(lp)});
        left -= std::exp(lp);
        if (left < kNegligible) break;
    }
    if (left >= kNegligible && order.size() < logits.size()) sample_rest(row, logits, total);
    return row;
}

double kl_from_row(const ReferenceRow& row, std::span<const float> logits, double total) {
    double kl = 0, left = 1, rest = 0;
    const auto ratio = [&](const LikelyToken& t) { return static_cast<double>(t.log_probability) - (static_cast<double>(logits[t.token]) - total); };
    for (const LikelyToken& t : row.likely) {
        const double p = std::exp(static_cast<double>(t.log_probability));
        kl += p * ratio(t);
        left -= p;
    }
    for (const LikelyToken& t : row.sampled) rest += ratio(t);
    if (!row.sampled.empty()) kl += std::max(0.0, left) * rest / static_cast<double>(row.sampled.size());
    return kl;
}

Result<ReferenceWriter> ReferenceWriter::create(const fs::path& path, const ReferenceHeader& h) {
    TENPAK_ASSIGN(AtomicFile file, AtomicFile::create(path));
    ReferenceWriter w(std::move(file), h.rows);
    const std::string json = canonical_json({{"convention", h.convention}, {"context", h.context}, {"vocab", h.vocab}, {"top_k", h.top_k}, {"rows", h.rows},
                                             {"windows", h.windows}, {"text_sha256", h.text_sha256}, {"model", h.model}});
    const auto magic = as_bytes(std::string_view(kMagic, kMagicBytes));
    w.all_.insert(w.all_.end(), magic.begin(), magic.end());
    put(w.all_, kVersion);
    put(w.all_, static_cast<std::uint32_t>(json.size()));
    const auto bytes = as_bytes(json);
    w.all_.insert(w.all_.end(), bytes.begin(), bytes.end());
    return w;
}

Status ReferenceWriter::add(const ReferenceRow& row) {
    if (left_ == 0) return make_error(ErrorCode::kInternal, "more rows than the reference's header says");
    --left_;
    put(all_, row.target);
    put(all_, static_cast<std::uint16_t>(row.likely.size()));
    put(all_, static_cast<std::uint16_t>(row.sampled.size()));
    for (const auto* list : {&row.likely, &row.sampled}) {
        for (const LikelyToken& t : *list) {
            put(all_, t.token);
            put(all_, t.log_probability);
        }
    }
    return {};
}

Status ReferenceWriter::commit() {
    if (left_ != 0) return make_error(ErrorCode::kInternal, "fewer rows than the reference's header says");
    put(all_, xxh3_64(all_));
    TENPAK_RETURN_IF_ERROR(file_.write(all_));
    return file_.commit();
}

bool is_reference_log(const fs::path& path) {
    std::error_code ec;
    if (!fs::is_regular_file(path, ec)) return false;
    const auto file = File::open(path);
    if (!file.ok() || file->size() < kFixedBytes) return false;
    std::byte head[kMagicBytes];
    return file->read_at(0, head).ok() && std::memcmp(head, kMagic, kMagicBytes) == 0;
}

Result<ReferenceReader> ReferenceReader::open(const fs::path& path) {
    ReferenceReader r;
    r.where_ = path.string();
    TENPAK_ASSIGN(r.data_, read_file(path, kMaxFile));
    if (r.data_.size() < kFixedBytes + kTrailerBytes || std::memcmp(r.data_.data(), kMagic, kMagicBytes) != 0) return damaged(r.where_, "this is no reference file");
    if (get<std::uint32_t>(r.data_.data() + 8) != kVersion) return damaged(r.where_, "a reference file of another version");
    r.end_ = r.data_.size() - kTrailerBytes;
    if (xxh3_64(std::span(r.data_).first(r.end_)) != get<std::uint64_t>(r.data_.data() + r.end_)) {
        return make_error(ErrorCode::kIntegrity, "the reference file is damaged: its checksum does not match", r.where_, "Make the reference anew with --save-reference");
    }
    const auto length = get<std::uint32_t>(r.data_.data() + 12);
    if (length > kMaxHeader || length > r.end_ - kFixedBytes) return damaged(r.where_, "the reference's header is longer than the file");
    TENPAK_ASSIGN(const Json j, parse_json(as_text(std::span(r.data_).subspan(kFixedBytes, length)), r.where_));
    ReferenceHeader& h = r.header_;
    TENPAK_ASSIGN(h.convention, json_get<std::string>(j, "convention", r.where_));
    TENPAK_ASSIGN(h.text_sha256, json_get<std::string>(j, "text_sha256", r.where_));
    TENPAK_ASSIGN(h.model, json_get<std::string>(j, "model", r.where_));
    TENPAK_ASSIGN(h.context, json_get<std::uint32_t>(j, "context", r.where_));
    TENPAK_ASSIGN(h.vocab, json_get<std::uint32_t>(j, "vocab", r.where_));
    TENPAK_ASSIGN(h.top_k, json_get<std::uint32_t>(j, "top_k", r.where_));
    TENPAK_ASSIGN(h.rows, json_get<std::uint64_t>(j, "rows", r.where_));
    TENPAK_ASSIGN(h.windows, json_get<std::uint64_t>(j, "windows", r.where_));
    r.at_ = kFixedBytes + length;
    return r;
}

Status ReferenceReader::check_same(const ReferenceHeader& o) const {
    const auto differs = [&](const std::string& what) {
        return make_error(ErrorCode::kMismatch, "the reference was made with " + what, where_, "Make it anew with the same text and options");
    };
    if (header_.vocab != o.vocab) return differs("a vocabulary of " + std::to_string(header_.vocab) + ", this model has " + std::to_string(o.vocab));
    if (header_.convention != o.convention) return differs("convention " + header_.convention + ", not " + o.convention);
    if (header_.text_sha256 != o.text_sha256) return differs("another text or tokenizer");
    if (header_.rows != o.rows || header_.windows != o.windows) return differs(std::to_string(header_.windows) + " windows, not " + std::to_string(o.windows));
    return {};
}

Result<ReferenceRow> ReferenceReader::next() {
    if (end_ - at_ < 8) return damaged(where_, "the reference ends early");
    ReferenceRow row;
    row.target = get<float>(data_.data() + at_);
    const std::size_t likely = get<std::uint16_t>(data_.data() + at_ + 4), count = likely + get<std::uint16_t>(data_.data() + at_ + 6);
    at_ += 8;
    if (likely == 0 || count > kMaxTopK || count * 8 > end_ - at_) return damaged(where_, "a row of the reference has an impossible length");
    const auto fits = [](float lp) { return std::isfinite(lp) && lp < 1e-3f; };
    bool good = fits(row.target);
    for (std::size_t i = 0; i < count; ++i, at_ += 8) {
        const LikelyToken t{get<std::uint32_t>(data_.data() + at_), get<float>(data_.data() + at_ + 4)};
        good &= t.token < header_.vocab && fits(t.log_probability);
        (i < likely ? row.likely : row.sampled).push_back(t);
    }
    if (!good) return damaged(where_, "a row of the reference holds impossible values");
    return row;
}

}  // namespace tenpak::evaluate
