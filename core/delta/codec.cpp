// SPDX-License-Identifier: Apache-2.0
#include "core/delta/codec.h"

#include <algorithm>
#include <cstring>

#include "core/delta/weight_coder.h"
#include "core/delta/zstd_codec.h"

namespace tenpak::delta {

namespace {

using Span = std::span<const std::byte>;

Error malformed(const char* what) { return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program"); }

class RawCodec : public Codec {
   public:
    std::string_view name() const override { return "raw"; }
    bool needs_base() const override { return false; }
    bool encode(Span raw, Span, DType, Bytes& out) const override {
        out.insert(out.end(), raw.begin(), raw.end());
        return true;
    }
    Status decode(Span stored, Span, std::span<std::byte> raw) const override {
        if (stored.size() != raw.size()) return malformed("a raw block has another size than its record says");
        if (!raw.empty()) std::memcpy(raw.data(), stored.data(), raw.size());
        return {};
    }
};

class IdenticalCodec : public Codec {
   public:
    std::string_view name() const override { return "identical"; }
    bool needs_base() const override { return true; }
    bool encode(Span raw, Span base, DType, Bytes&) const override {
        return raw.size() == base.size() && !raw.empty() && std::memcmp(raw.data(), base.data(), raw.size()) == 0;
    }
    Status decode(Span stored, Span base, std::span<std::byte> raw) const override {
        if (!stored.empty()) return malformed("a block said to equal the base has stored bytes");
        if (base.size() != raw.size()) return malformed("a block said to equal the base has another size");
        if (!raw.empty()) std::memcpy(raw.data(), base.data(), raw.size());
        return {};
    }
};

class ZstdCodec : public Codec {
   public:
    std::string_view name() const override { return "zstd"; }
    bool needs_base() const override { return false; }
    bool encode(Span raw, Span, DType dtype, Bytes& out) const override {
        return !raw.empty() && zstd_encode(raw, zstd_level(raw.size(), dtype == DType::kU8), out);
    }
    Status decode(Span stored, Span, std::span<std::byte> raw) const override { return zstd_decode(stored, raw); }
};

class WeightsCodec : public Codec {
   public:
    WeightsCodec(const char* name, bool with_base) : name_(name), with_base_(with_base) {}
    std::string_view name() const override { return name_; }
    bool needs_base() const override { return with_base_; }
    bool encode(Span raw, Span base, DType dtype, Bytes& out) const override {
        const auto kind = float_kind(dtype);
        if (!kind || raw.empty() || raw.size() % make_layout(static_cast<unsigned>(*kind), 0)->bytes != 0) return false;
        if (with_base_ && base.size() != raw.size()) return false;
        const std::size_t begin = out.size();
        if (encode_weights(raw, {with_base_ ? base : Span{}}, *kind, out) && out.size() - begin < raw.size()) return true;
        out.resize(begin);
        return false;
    }
    Status decode(Span stored, Span base, std::span<std::byte> raw) const override {
        if (!with_base_) return decode_weights(stored, {}, raw);
        if (base.size() != raw.size()) return malformed("a difference block and its base differ in size");
        return decode_weights(stored, {base}, raw);
    }

   private:
    const char* name_;
    bool with_base_;
};

const RawCodec kRaw;
const IdenticalCodec kIdentical;
const ZstdCodec kZstd;
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
    static const std::vector<const Codec*> all{&kIdentical, &kDifference, &kStandalone, &kZstd, &kRaw};
    return all;
}

const Codec* find_codec(std::string_view name) {
    for (const Codec* c : all_codecs())
        if (c->name() == name) return c;
    return nullptr;
}

Encoded encode_smallest(Span raw, Span base, DType dtype) {
    Encoded best{&kRaw, {}};
    if (raw.empty()) return best;
    if (kIdentical.encode(raw, base, dtype, best.stored)) {
        best.codec = &kIdentical;
        return best;
    }
    double size = static_cast<double>(raw.size());
    const auto keep = [&](const Codec& codec, Bytes&& stored) {
        if (static_cast<double>(stored.size()) >= size) return;
        size = static_cast<double>(stored.size());
        best = {&codec, std::move(stored)};
    };
    const auto kind = float_kind(dtype);
    if (kind && raw.size() % make_layout(static_cast<unsigned>(*kind), 0)->bytes == 0) {
        // Both are analysed; the smaller one is written, and both where they are so close that only bytes can tell.
        std::optional<WeightEncoder> difference;
        if (base.size() == raw.size()) difference.emplace(raw, Prediction{base}, *kind);
        const WeightEncoder alone(raw, {}, *kind);
        constexpr double kClose = 1.005, kFew = 16;
        if (difference && difference->cost().total() <= alone.cost().total() * kClose + kFew) {
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
    if (!kind || zstd_is_promising(raw, size)) {
        Bytes stored;
        if (kZstd.encode(raw, base, dtype, stored)) keep(kZstd, std::move(stored));
    }
    if (best.codec == &kRaw) {
        best.stored.clear();
        kRaw.encode(raw, base, dtype, best.stored);
    }
    return best;
}

}  // namespace tenpak::delta
