// SPDX-License-Identifier: Apache-2.0
#include "core/delta/gpu_blocks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/compute/cuda/weight_warp.h"
#include "core/delta/payload.h"
#include "core/delta/prediction.h"

namespace tenpak::delta {

namespace {

Error malformed(const char* what) { return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program"); }

void append(Bytes& out, const void* p, std::size_t size) {
    if (size == 0) return;
    out.resize(out.size() + size);
    std::memcpy(out.data() + out.size() - size, p, size);
}
void align(Bytes& out) { out.resize((out.size() + 3) / 4 * 4); }

/// The header of a weights block: FORMAT of tenpak_weight_block.
void append_header(GpuImage& image, tenpak_weight_block& b, const WeightModel& model, const DecodeTables& tables, const Codes& codes) {
    std::vector<std::uint32_t> symbols, context_begin{0};
    std::vector<std::uint8_t> first;
    const unsigned shift = model.precision - 7;
    for (std::size_t c = 0; c < model.contexts.size(); ++c) {
        const ContextTable& t = model.contexts[c];
        std::uint32_t cumulative = 0;
        std::size_t j = 0;
        for (std::size_t i = 0; i < t.live.size(); ++i) {
            symbols.push_back(cumulative | static_cast<std::uint32_t>(codes.of[c][i]) << 12 | static_cast<std::uint32_t>(t.frequency[i]) << 20);
            cumulative += t.frequency[i];
            for (; j < 128 && j << shift < cumulative; ++j) first.push_back(static_cast<std::uint8_t>(i));
        }
        context_begin.push_back(static_cast<std::uint32_t>(symbols.size()));
    }
    std::array<std::uint32_t, 256> begin{}, info{};
    for (std::size_t i = 0; i < 256; ++i) {
        const DecodeTables::Symbol& s = tables.symbols[i];
        begin[i] = s.begin;
        info[i] = s.raw_bits | (s.negative ? 1u << 8 : 0) | (s.kept ? 1u << 9 : 0) | (s.absolute ? 1u << 10 : 0);
    }
    b.entries = static_cast<std::uint32_t>(symbols.size());
    b.contexts = static_cast<std::uint32_t>(model.contexts.size());
    b.keys_count = static_cast<std::uint32_t>(tables.context_of.size());
    append(image.bytes, symbols.data(), 4 * symbols.size());
    append(image.bytes, context_begin.data(), 4 * context_begin.size());
    append(image.bytes, first.data(), first.size());
    append(image.bytes, tables.context_of.data(), tables.context_of.size());
    align(image.bytes);
    append(image.bytes, begin.data(), sizeof begin);
    append(image.bytes, info.data(), sizeof info);
}

Status append_weights(GpuImage& image, tenpak_weight_block& b, std::span<const std::byte> stored, std::uint64_t raw_bytes, const GpuPrediction& prediction) {
    TENPAK_ASSIGN(const Payload p, parse_payload(stored));
    if (raw_bytes % p.layout.bytes != 0) return malformed("a weights block does not hold whole weights");
    if (p.keyed && !(prediction.predicted && prediction.keyed)) return malformed("a weights block has keys that its prediction lacks");
    const KeyKind keys = p.keyed ? KeyKind::kGiven : prediction.predicted ? KeyKind::kExponent : KeyKind::kNone;
    TENPAK_ASSIGN(const WeightModel model, read_model(p.model, p.layout, p.precision, keys));
    DecodeTables tables;
    tables.assign(model);
    b.kind = TENPAK_BLOCK_WEIGHTS;
    b.keys = keys == KeyKind::kGiven ? TENPAK_KEYS_GIVEN : keys == KeyKind::kExponent ? TENPAK_KEYS_EXPONENT : TENPAK_KEYS_NONE;
    b.weight_bytes = static_cast<std::uint8_t>(p.layout.bytes);
    b.lanes_log2 = static_cast<std::uint8_t>(std::countr_zero(p.lanes));
    b.precision = static_cast<std::uint8_t>(p.precision);
    b.dropped = static_cast<std::uint8_t>(p.layout.dropped);
    b.mantissa = static_cast<std::uint8_t>(p.layout.mantissa);
    b.most_raw_bits = static_cast<std::uint8_t>(tables.most_raw_bits);
    b.sign = p.layout.sign_mask();
    append_header(image, b, model, tables, Codes(model));
    b.words_offset = image.bytes.size();
    b.words = static_cast<std::uint32_t>((p.words.size() - 4 * p.lanes) / 2);
    for (unsigned i = 0; i < p.lanes; ++i) {
        std::uint32_t state = 0;
        std::memcpy(&state, p.words.data() + 4 * i, 4);
        if (state < kRansLow) return malformed("a weights block begins in an impossible state");
    }
    append(image.bytes, p.words.data(), p.words.size());
    align(image.bytes);
    return {};
}

template <class Word>
std::uint32_t decode_on_host(const tenpak_weight_block& b, const std::byte* image, const std::byte* predictions, const std::uint8_t* keys, std::byte* output) {
    // Copies, so that words are aligned as on the GPU wherever the caller's bytes lie.
    const std::size_t n = static_cast<std::size_t>(b.bytes) / sizeof(Word);
    std::vector<std::uint32_t> header(tenpak_weight_header_bytes(b.entries, b.contexts, b.keys_count) / 4), words((4u << b.lanes_log2) / 4 + b.words / 2 + 1);
    std::memcpy(header.data(), image + b.image_offset, 4 * header.size());
    std::memcpy(words.data(), image + b.words_offset, (std::size_t{4} << b.lanes_log2) + 2 * std::size_t{b.words});
    std::vector<Word> predicted(b.keys != TENPAK_KEYS_NONE ? n : 0), out(n);
    if (!predicted.empty()) std::memcpy(predicted.data(), predictions + b.prediction_offset, b.bytes);
    const std::uint32_t status = compute::decode_weights_by_warp<Word>(compute::HostWarp{}, b, compute::WeightHeader(b, header.data()), words.data(), predicted.data(),
                                                                      b.keys == TENPAK_KEYS_GIVEN ? keys + b.keys_offset : nullptr, out.data());
    std::memcpy(output + b.output_offset, out.data(), b.bytes);
    return status;
}

}  // namespace

Status append_gpu_block(GpuImage& image, std::string_view codec, std::span<const std::byte> stored, std::uint64_t raw_bytes, const GpuPrediction& prediction) {
    if (raw_bytes == 0 || raw_bytes > kMaxBlockBytes) return malformed("a block has an impossible size");
    align(image.bytes);
    tenpak_weight_block b{};
    b.image_offset = image.bytes.size();
    b.prediction_offset = prediction.offset;
    b.keys_offset = prediction.keys_offset;
    b.output_offset = (image.output_bytes + 15) / 16 * 16;
    b.bytes = raw_bytes;
    const std::size_t before = image.bytes.size();
    Status s;
    if (codec == "identical") {
        if (!stored.empty() || !prediction.predicted) return malformed("a block said to equal the base has stored bytes or no base");
        b.kind = TENPAK_BLOCK_PREDICTED;
    } else if (codec == "raw") {
        if (stored.size() != raw_bytes) return malformed("a raw block has another size than its record says");
        b.kind = TENPAK_BLOCK_STORED;
        append(image.bytes, stored.data(), stored.size());
    } else if (codec == "difference") {
        if (!prediction.predicted) return malformed("a difference block has no base");
        s = append_weights(image, b, stored, raw_bytes, prediction);
    } else if (codec == "standalone") {
        s = append_weights(image, b, stored, raw_bytes, {});
    } else {
        return make_error(ErrorCode::kUnsupported, "blocks of codec " + std::string(codec) + " are not decoded on the GPU");
    }
    if (!s.ok()) {
        image.bytes.resize(before);
        return s;
    }
    image.output_bytes = b.output_offset + raw_bytes;
    image.blocks.push_back(b);
    return {};
}

Status run_gpu_image_on_host(const GpuImage& image, std::span<const std::byte> predictions, std::span<const std::uint8_t> keys, std::span<std::byte> output) {
    for (const tenpak_weight_block& b : image.blocks) {
        const bool predicted = b.kind == TENPAK_BLOCK_PREDICTED || (b.kind == TENPAK_BLOCK_WEIGHTS && b.keys != TENPAK_KEYS_NONE);
        const auto inside = [](std::uint64_t offset, std::uint64_t size, std::uint64_t all) { return offset <= all && size <= all - offset; };
        if (!inside(b.output_offset, b.bytes, output.size()) || (predicted && !inside(b.prediction_offset, b.bytes, predictions.size())) ||
            (b.keys == TENPAK_KEYS_GIVEN && !inside(b.keys_offset, b.bytes / b.weight_bytes, keys.size())))
            return make_error(ErrorCode::kInvalidArgument, "a block lies outside its buffers");
        if (b.kind == TENPAK_BLOCK_PREDICTED) std::memcpy(output.data() + b.output_offset, predictions.data() + b.prediction_offset, b.bytes);
        if (b.kind == TENPAK_BLOCK_STORED) std::memcpy(output.data() + b.output_offset, image.bytes.data() + b.image_offset, b.bytes);
        if (b.kind != TENPAK_BLOCK_WEIGHTS) continue;
        const std::uint32_t status = b.weight_bytes == 2 ? decode_on_host<std::uint16_t>(b, image.bytes.data(), predictions.data(), keys.data(), output.data())
                                                         : decode_on_host<std::uint32_t>(b, image.bytes.data(), predictions.data(), keys.data(), output.data());
        if (status != compute::kWeightsGood) return malformed("a weights block does not end where it must");
    }
    return {};
}

}  // namespace tenpak::delta
