// SPDX-License-Identifier: Apache-2.0
#include "core/delta/lossy_codecs.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/delta/payload.h"
#include "core/delta/range_coder.h"
#include "core/delta/weight_coder.h"

namespace tenpak::delta {

namespace {

using Span = std::span<const std::byte>;

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kQuantizedHeader = 6;

Error malformed(const char* what) { return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program"); }

std::size_t width(FloatKind kind) { return kind == FloatKind::kFp32 ? 4 : 2; }

/// A code in unary; how long it gets depends on whether the group before had one.
struct ScaleModels {
    std::array<std::array<AdaptiveBit, kMostScaleCode>, 2> bits{};
};

Bytes encode_codes(std::span<const std::uint8_t> codes) {
    Bytes out;
    RangeEncoder encoder(out);
    ScaleModels models;
    unsigned before = 0;
    for (const unsigned code : codes) {
        auto& m = models.bits[before > 0 ? 1 : 0];
        for (unsigned i = 0; i < kMostScaleCode; ++i) {
            encoder.bit(m[i], i < code);
            if (i >= code) break;
        }
        before = code;
    }
    encoder.finish();
    return out;
}

void decode_codes(Span stored, std::vector<std::uint8_t>& codes) {
    RangeDecoder decoder(stored);
    ScaleModels models;
    unsigned before = 0;
    for (auto& code : codes) {
        auto& m = models.bits[before > 0 ? 1 : 0];
        unsigned c = 0;
        while (c < kMostScaleCode && decoder.bit(m[c])) ++c;
        code = static_cast<std::uint8_t>(before = c);
    }
}

Span bytes_of(const std::vector<std::uint16_t>& words) { return std::as_bytes(std::span(words)); }

Bytes pack_nibbles(std::span<const std::int8_t> q) {
    Bytes out((q.size() + 1) / 2);
    for (std::size_t i = 0; i < q.size(); ++i) {
        const unsigned v = static_cast<unsigned>(q[i] + 8) & 15u;
        out[i / 2] |= static_cast<std::byte>(i % 2 == 0 ? v : v << 4);
    }
    return out;
}

class QuantizedCodec : public Codec {
   public:
    QuantizedCodec(std::string_view name, unsigned most) : name_(name), most_(most) {}
    std::string_view name() const override { return name_; }
    bool predicts() const override { return true; }
    bool encode(Span, const Prediction&, DType, Bytes&) const override { return false; }
    Status decode(Span stored, const Prediction& p, std::span<std::byte> raw) const override {
        if (stored.size() < kQuantizedHeader) return malformed("a block of quantized changes ends early");
        if (static_cast<unsigned>(stored[0]) != kVersion) return make_error(ErrorCode::kUnsupported, "unknown version of a block of quantized changes", {}, "A newer tenpak reads it");
        const auto flags = static_cast<unsigned>(stored[1]);
        if ((flags & 3u) > 2 || (flags & 8u) != 0 || flags >> 4 > 8) return malformed("a block of quantized changes has an impossible header");
        const auto kind = static_cast<FloatKind>(flags & 3u);
        const bool nibbles = (flags & 4u) != 0;
        Quantizer z;
        z.most = most_;
        z.group_log2 = 4 + (flags >> 4);
        std::memcpy(&z.step, stored.data() + 2, 2);
        z.shrink_one = static_cast<std::uint8_t>(stored[4]);
        z.shrink_more = static_cast<std::uint8_t>(stored[5]);
        if (z.step < 0x80 || z.step >= 0x7f80 || z.shrink_one > 128 || z.shrink_more > 128 || (nibbles && most_ != kInt4Most))
            return malformed("a block of quantized changes has an impossible header");
        if (raw.empty() || raw.size() > kMaxBlockBytes || raw.size() % width(kind) != 0 || p.bytes.size() != raw.size())
            return malformed("a block of quantized changes and its prediction differ in size");
        const std::size_t n = raw.size() / width(kind), group = std::size_t{1} << z.group_log2;
        Span rest = stored.subspan(kQuantizedHeader);
        std::uint64_t code_bytes = 0;
        if (!get_varint(rest, code_bytes) || code_bytes > rest.size()) return malformed("a block of quantized changes ends early");
        Quantized values;
        values.codes.resize((n + group - 1) / group);
        const Span codes = rest.first(static_cast<std::size_t>(code_bytes));
        decode_codes(codes, values.codes);
        if (const Bytes again = encode_codes(values.codes); !std::equal(again.begin(), again.end(), codes.begin(), codes.end()))
            return malformed("the scales of a block of quantized changes are not in their shortest form");
        rest = rest.subspan(static_cast<std::size_t>(code_bytes));
        values.q.resize(n);
        if (nibbles) {
            if (rest.size() != (n + 1) / 2) return malformed("a block of quantized changes has another length than its weights need");
            for (std::size_t i = 0; i < n; ++i) {
                const unsigned v = static_cast<unsigned>(rest[i / 2]) >> (i % 2 * 4) & 15u;
                if (v == 0) return malformed("a quantized change is out of its range");
                values.q[i] = static_cast<std::int8_t>(static_cast<int>(v) - 8);
            }
            if (n % 2 != 0 && static_cast<unsigned>(rest.back()) >> 4 != 0) return malformed("a block of quantized changes has bits behind its end");
        } else {
            std::vector<std::uint16_t> context, coded(n);
            exponent_words(p.bytes, kind, context);
            TENPAK_RETURN_IF_ERROR(decode_weights(rest, Prediction(bytes_of(context)), std::as_writable_bytes(std::span(coded))));
            const int most = static_cast<int>(most_);
            bool fits = true;
            for (std::size_t i = 0; i < n; ++i) {
                const int q = static_cast<int>(coded[i]) - static_cast<int>(context[i]);
                fits &= q >= -most && q <= most;
                values.q[i] = static_cast<std::int8_t>(q);
            }
            if (!fits) return malformed("a quantized change is out of its range");
        }
        dequantize(p.bytes, kind, z, values, raw);
        return {};
    }

   private:
    std::string_view name_;
    unsigned most_;
};

class SignsCodec : public Codec {
   public:
    std::string_view name() const override { return kBit1Codec; }
    bool predicts() const override { return true; }
    bool encode(Span, const Prediction&, DType, Bytes&) const override { return false; }
    Status decode(Span stored, const Prediction& p, std::span<std::byte> raw) const override {
        if (stored.size() < 2) return malformed("a block of signs ends early");
        if (static_cast<unsigned>(stored[0]) != kVersion) return make_error(ErrorCode::kUnsupported, "unknown version of a block of signs", {}, "A newer tenpak reads it");
        if (static_cast<unsigned>(stored[1]) > 2) return malformed("a block of signs has an impossible header");
        const auto kind = static_cast<FloatKind>(stored[1]);
        Span rest = stored.subspan(2);
        SignGroups groups;
        if (!get_varint(rest, groups.group) || !get_varint(rest, groups.first) || groups.group == 0 || groups.first >= groups.group)
            return malformed("a block of signs has an impossible header");
        if (raw.empty() || raw.size() > kMaxBlockBytes || raw.size() % width(kind) != 0 || p.bytes.size() != raw.size())
            return malformed("a block of signs and its prediction differ in size");
        const std::size_t n = raw.size() / width(kind);
        const std::uint64_t count = groups.count(n);
        if (rest.size() != 2 * count + (n + 7) / 8) return malformed("a block of signs has another length than its weights need");
        std::vector<std::uint16_t> scales(static_cast<std::size_t>(count));
        std::memcpy(scales.data(), rest.data(), 2 * scales.size());
        for (const std::uint16_t s : scales)
            if (s >= 0x7f80) return malformed("a scale of a block of signs is no positive number");
        std::vector<std::uint8_t> bits((n + 7) / 8);
        std::memcpy(bits.data(), rest.data() + 2 * scales.size(), bits.size());
        if (n % 8 != 0 && bits.back() >> (n % 8) != 0) return malformed("a block of signs has bits behind its end");
        dequantize_signs(p.bytes, kind, groups, scales, bits, raw);
        return {};
    }
};

std::vector<std::uint16_t> coded_words(Span base, FloatKind kind, const Quantized& values, std::vector<std::uint16_t>& context) {
    exponent_words(base, kind, context);
    std::vector<std::uint16_t> coded(context.size());
    for (std::size_t i = 0; i < coded.size(); ++i) coded[i] = static_cast<std::uint16_t>(context[i] + values.q[i]);
    return coded;
}

}  // namespace

const std::vector<const Codec*>& lossy_codecs() {
    static const QuantizedCodec int8(kInt8SparseCodec, kInt8Most), int4(kInt4GroupsCodec, kInt4Most);
    static const SignsCodec signs;
    static const std::vector<const Codec*> all{&int8, &int4, &signs};
    return all;
}

void encode_quantized(Span base, FloatKind kind, const Quantizer& z, const Quantized& values, Bytes& out) {
    std::vector<std::uint16_t> context;
    const std::vector<std::uint16_t> coded = coded_words(base, kind, values, context);
    Bytes payload;
    const bool possible = encode_weights(bytes_of(coded), Prediction(bytes_of(context)), FloatKind::kBf16, payload);
    const bool nibbles = z.most == kInt4Most && (!possible || payload.size() >= (values.q.size() + 1) / 2);
    if (nibbles) payload = pack_nibbles(values.q);
    const Bytes codes = encode_codes(values.codes);
    out.push_back(std::byte{kVersion});
    out.push_back(static_cast<std::byte>(static_cast<unsigned>(kind) | (nibbles ? 4u : 0u) | (z.group_log2 - 4) << 4));
    const auto step = std::as_bytes(std::span(&z.step, 1));
    out.insert(out.end(), step.begin(), step.end());
    out.push_back(static_cast<std::byte>(z.shrink_one));
    out.push_back(static_cast<std::byte>(z.shrink_more));
    put_varint(out, codes.size());
    out.insert(out.end(), codes.begin(), codes.end());
    out.insert(out.end(), payload.begin(), payload.end());
}

QuantizedCost quantized_cost(Span base, FloatKind kind, const Quantizer& z, const Quantized& values) {
    std::vector<std::uint16_t> context;
    const std::vector<std::uint16_t> coded = coded_words(base, kind, values, context);
    const WeightCost payload = weight_cost(bytes_of(coded), Prediction(bytes_of(context)), FloatKind::kBf16);
    QuantizedCost c{payload.data_bytes, kQuantizedHeader + 2.0 + static_cast<double>(payload.table_bytes)};
    if (z.most == kInt4Most && payload.total() >= static_cast<double>(values.q.size()) / 2) c = {static_cast<double>(values.q.size()) / 2, kQuantizedHeader + 2.0};
    c.data += static_cast<double>(encode_codes(values.codes).size());
    return c;
}

void encode_signs(FloatKind kind, const SignGroups& groups, std::span<const std::uint16_t> scales, std::span<const std::uint8_t> bits, Bytes& out) {
    out.push_back(std::byte{kVersion});
    out.push_back(static_cast<std::byte>(kind));
    put_varint(out, groups.group);
    put_varint(out, groups.first);
    const auto s = std::as_bytes(scales), b = std::as_bytes(bits);
    out.insert(out.end(), s.begin(), s.end());
    out.insert(out.end(), b.begin(), b.end());
}

}  // namespace tenpak::delta
