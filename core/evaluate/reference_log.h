// SPDX-License-Identifier: Apache-2.0
// What a reference model predicted on a text, kept in a file, so that candidates are compared with it without running it
// again: per scored token the target's log-probability and the likeliest tokens' (the full log-softmax of a large text is
// 37 GiB for a vocabulary of 128k; this is some 100 MB). Byte layout, little-endian:
//
//   "TPREFLOG"  u32 version 1  u32 length of the header  header: JSON {convention, context, vocab, top_k, rows, windows,
//               text_sha256 (of the tokens as i32), model}
//   rows        per scored token: f32 target's ln p, u16 count, u16 samples, (count + samples) x (u32 token, f32 ln p). First
//               the likeliest, descending; count is top_k, or less where what is left over has less than 1e-6 of the
//               probability. Then tokens drawn from what is left over, in proportion to their probability: the divergence
//               over the rest is its mass times the mean over these, which is unbiased (a lump would fall short).
//   u64         XXH3 of all bytes before it (accidents, not trust)
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/evaluate/windows.h"

namespace tenpak::evaluate {

inline constexpr std::uint32_t kDefaultTopK = 48, kTailSamples = 16;

struct LikelyToken {
    std::uint32_t token = 0;
    float log_probability = 0;
};
/// One scored position.
struct ReferenceRow {
    float target = 0;                 ///< ln p of the token that came
    std::vector<LikelyToken> likely;  ///< descending, at least one
    std::vector<LikelyToken> sampled; ///< kTailSamples of the others, or none
};
/// What two runs must have in common for their rows to be the same positions.
struct ReferenceHeader {
    std::string convention;
    std::uint32_t context = 0, vocab = 0, top_k = kDefaultTopK;
    std::uint64_t rows = 0, windows = 0;
    std::string text_sha256, model;
};
ReferenceHeader reference_header(const WindowPlan& plan, std::span<const model::Token> text, std::uint32_t vocab, std::string model);

/// The row of one position from its logits; `total`: their log_sum_exp. Thread-safe.
ReferenceRow reference_row(std::span<const float> logits, double total, std::size_t target, std::uint32_t top_k);
/// Kullback-Leibler divergence of a candidate from the row, in nats: exact over the likeliest tokens, estimated without
/// bias over the rest.
double kl_from_row(const ReferenceRow& row, std::span<const float> logits, double total);

/// Writes rows in order; the file appears whole at commit() or not at all. One thread.
class ReferenceWriter {
   public:
    static Result<ReferenceWriter> create(const fs::path& path, const ReferenceHeader& header);
    Status add(const ReferenceRow& row);
    Status commit();  ///< kInternal when the number of rows is not the header's

   private:
    ReferenceWriter(AtomicFile file, std::uint64_t rows) : file_(std::move(file)), left_(rows) {}
    AtomicFile file_;
    std::uint64_t left_;
    Bytes all_;  ///< everything so far: it is written at once, with its checksum
};

/// Reads rows in order. One thread.
class ReferenceReader {
   public:
    /// kMalformed (no such file, cut, rows that cannot be), kIntegrity (checksum).
    static Result<ReferenceReader> open(const fs::path& path);
    const ReferenceHeader& header() const { return header_; }
    /// kMismatch, saying what differs, when the positions are not those of `other`.
    Status check_same(const ReferenceHeader& other) const;
    Result<ReferenceRow> next();  ///< kInternal behind the last row

   private:
    ReferenceReader() = default;
    ReferenceHeader header_;
    Bytes data_;
    std::size_t at_ = 0, end_ = 0;
    std::string where_;
};
/// True when the file begins as a reference log does.
bool is_reference_log(const fs::path& path);

}  // namespace tenpak::evaluate
