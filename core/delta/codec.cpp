// SPDX-License-Identifier: Apache-2.0
#include "core/delta/codec.h"

#include <algorithm>
#include <cstring>

#include "core/delta/lossy_codecs.h"
#include "core/delta/low_rank.h"
#include "core/delta/sparse_codec.h"
#include "core/delta/weight_coder.h"
#include "core/delta/zstd_codec.h"

namespace tenpak::delta {

namespace {

using Span = std::span<const std::byte>;

Error malformed(const char* what) { return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program"); }

class RawCodec : public Codec {
   public:
    std::string_view name() const override { return "raw"; }
    bool predicts() const override { return false; }
    bool encode(Span raw, const Prediction&, DType, Bytes& out) const override {
        out.insert(out.end(), raw.begin(), raw.end());
        return true;
    }
    Status decode(Span stored, const Prediction&, std::span<std::byte> raw) const override {
        if (stored.size() != raw.size()) return malformed("a raw block has another size than its record says");
        if (!raw.empty()) std::memcpy(raw.data(), stored.data(), raw.size());
        return {};
    }
};

class IdenticalCodec : public Codec {
   public:
    std::string_view name() const override { return "identical"; }
    bool predicts() const override { return true; }
    bool encode(Span raw, const Prediction& p, DType, Bytes&) const override {
        return raw.size() == p.bytes.size() && !raw.empty() && std::memcmp(raw.data(), p.bytes.data(), raw.size()) == 0;
    }
    Status decode(Span stored, const Prediction& p, std::span<std::byte> raw) const override {
        if (!stored.empty()) return malformed("a block said to equal its prediction has stored bytes");
        if (p.bytes.size() != raw.size()) return malformed("a block said to equal its prediction has another size");
        if (!raw.empty()) std::memcpy(raw.data(), p.bytes.data(), raw.size());
        return {};
    }
};

class ZstdCodec : public Codec {
   public:
    std::string_view name() const override { return "zstd"; }
    bool predicts() const override { return false; }
    bool encode(Span raw, const Prediction&, DType dtype, Bytes& out) const override {
        return !raw.empty() && zstd_encode(raw, zstd_level(raw.size(), dtype == DType::kU8), out);
    }
    Status decode(Span stored, const Prediction&, std::span<std::byte> raw) const override { return zstd_decode(stored, raw); }
};

class SparseCodec : public Codec {
   public:
    std::string_view name() const override { return "sparse"; }
    bool predicts() const override { return true; }
    bool encode(Span raw, const Prediction& p, DType dtype, Bytes& out) const override {
        return dtype_bits(dtype) >= 8 && sparse_encode(raw, p.bytes, dtype_bits(dtype) / 8, out);
    }
    Status decode(Span stored, const Prediction& p, std::span<std::byte> raw) const override {
        if (p.bytes.size() != raw.size()) return malformed("a sparse block and its prediction differ in size");
        return sparse_decode(stored, p.bytes, raw);
    }
};

/// zstd with the prediction in front of the block, for bytes that are no weights: text that was edited.
class PatchCodec : public Codec {
   public:
    std::string_view name() const override { return kPatchCodec; }
    bool predicts() const override { return true; }
    bool encode(Span raw, const Prediction& p, DType dtype, Bytes& out) const override {
        return !raw.empty() && !p.bytes.empty() && zstd_encode(raw, zstd_level(raw.size(), dtype == DType::kU8), out, p.bytes);
    }
    Status decode(Span stored, const Prediction& p, std::span<std::byte> raw) const override {
        if (p.bytes.empty()) return malformed("a patch block has nothing to patch");
        return zstd_decode(stored, raw, p.bytes);
    }
};

class FactorsCodec : public Codec {
   public:
    std::string_view name() const override { return kFactorsCodec; }
    bool predicts() const override { return false; }
    bool encode(Span raw, const Prediction&, DType, Bytes& out) const override {
        const auto factors = factors_from_bytes(raw);
        if (!factors.ok()) return false;
        const Bytes stored = factors_encode(*factors);
        out.insert(out.end(), stored.begin(), stored.end());
        return true;
    }
    Status decode(Span stored, const Prediction&, std::span<std::byte> raw) const override {
        TENPAK_ASSIGN(const Factors factors, factors_decode(stored, raw.size()));
        const Bytes bytes = factors_to_bytes(factors);
        if (bytes.size() != raw.size()) return malformed("factors have another size than their record says");
        std::copy(bytes.begin(), bytes.end(), raw.begin());
        return {};
    }
};

class WeightsCodec : public Codec {
   public:
    WeightsCodec(const char* name, bool with_base) : name_(name), with_base_(with_base) {}
    std::string_view name() const override { return name_; }
    bool predicts() const override { return with_base_; }
    bool encode(Span raw, const Prediction& p, DType dtype, Bytes& out) const override {
        const auto kind = float_kind(dtype);
        if (!kind || raw.empty() || raw.size() % make_layout(static_cast<unsigned>(*kind), 0)->bytes != 0) return false;
        if (with_base_ && p.bytes.size() != raw.size()) return false;
        const std::size_t begin = out.size();
        if (encode_weights(raw, with_base_ ? p : Prediction{}, *kind, out) && out.size() - begin < raw.size()) return true;
        out.resize(begin);
        return false;
    }
    Status decode(Span stored, const Prediction& p, std::span<std::byte> raw) const override {
        if (!with_base_) return decode_weights(stored, {}, raw);
        if (p.bytes.size() != raw.size()) return malformed("a difference block and its prediction differ in size");
        return decode_weights(stored, p, raw);
    }

   private:
    const char* name_;
    bool with_base_;
};

const RawCodec kRaw;
const IdenticalCodec kIdentical;
const ZstdCodec kZstd;
const SparseCodec kSparse;
const PatchCodec kPatch;
const FactorsCodec kFactors;
const WeightsCodec kDifference("difference", true);
const WeightsCodec kStandalone("standalone", false);

/// Whether zstd could beat `best` bytes, judged by the ratio of a piece from the middle.
bool zstd_is_promising(Span raw, double best) {
    constexpr std::size_t kPiece = 64u << 10;
    const std::size_t n = std::min(kPiece, raw.size());
    const Span piece = raw.subspan((raw.size() - n) / 2 & ~std::size_t{3}, n);
    Bytes out;
    if (!zstd_encode(piece, 1, out)) return false;
    return static_cast<double>(out.size()) / static_cast<double>(n) < best / static_cast<double>(raw.size());
}

}  // namespace

const std::vector<const Codec*>& all_codecs() {
    static const std::vector<const Codec*> all{&kIdentical, &kSparse, &kDifference, &kStandalone, &kFactors, &kPatch, &kZstd, &kRaw};
    return all;
}

std::string method_of(const BlockInfo& info) { return info.factors || info.codec == kFactorsCodec ? "lowrank" : info.codec; }

const Codec* find_codec(std::string_view name) {
    for (const auto* list : {&all_codecs(), &lossy_codecs()})
        for (const Codec* c : *list)
            if (c->name() == name) return c;
    return nullptr;
}

Encoded encode_smallest(Span raw, const Prediction& prediction, DType dtype) {
    Encoded best{&kRaw, {}};
    if (raw.empty()) return best;
    if (kIdentical.encode(raw, prediction, dtype, best.stored)) {
        best.codec = &kIdentical;
        return best;
    }
    double size = static_cast<double>(raw.size());
    const auto keep = [&](const Codec& codec, Bytes&& stored) {
        if (static_cast<double>(stored.size()) >= size) return;
        size = static_cast<double>(stored.size());
        best = {&codec, std::move(stored)};
    };
    if (prediction.bytes.size() == raw.size()) {
        Bytes stored;
        if (kSparse.encode(raw, prediction, dtype, stored)) keep(kSparse, std::move(stored));
    }
    const auto kind = float_kind(dtype);
    if (kind && raw.size() % make_layout(static_cast<unsigned>(*kind), 0)->bytes == 0) {
        // Both are analysed; the smaller one is written, and both where they are so close that only bytes can tell.
        std::optional<WeightEncoder> difference;
        if (prediction.bytes.size() == raw.size()) difference.emplace(raw, prediction, *kind);
        const WeightEncoder alone(raw, {}, *kind);
        constexpr double kClose = 1.005, kFew = 16;
        // Sparse blocks decode several times as fast: worth a little.
        constexpr double kSparseBonus = 0.98;
        const bool sparse = best.codec == &kSparse && difference && size * kSparseBonus <= difference->cost().total();
        if (!sparse && difference && difference->cost().total() <= alone.cost().total() * kClose + kFew) {
            Bytes stored;
            difference->write(stored);
            keep(kDifference, std::move(stored));
        }
        if (!alone.possible()) {
            // Stored raw or by zstd below, unless the difference did it.
        } else if (!difference || alone.cost().total() <= difference->cost().total() * kClose + kFew) {
            Bytes stored;
            alone.write(stored);
            keep(kStandalone, std::move(stored));
        }
    }
    if (!kind && !prediction.bytes.empty()) {
        Bytes stored;
        if (kPatch.encode(raw, prediction, dtype, stored)) keep(kPatch, std::move(stored));
    }
    if (!kind || zstd_is_promising(raw, size)) {
        Bytes stored;
        if (kZstd.encode(raw, prediction, dtype, stored)) keep(kZstd, std::move(stored));
    }
    if (best.codec == &kRaw) {
        best.stored.clear();
        kRaw.encode(raw, prediction, dtype, best.stored);
    }
    return best;
}

}  // namespace tenpak::delta
