// SPDX-License-Identifier: Apache-2.0
#include "core/delta/encode_block.h"

#include <cstring>

namespace tenpak::delta {

namespace {

/// Whether the block's prediction can have a low-rank term: it lies in one tensor, and not all of it is as in the base.
bool takes_factors(const PlannedBlock& block, const Bytes& raw, const Bytes& predicted) {
    return block.pieces.size() == 1 && !block.base.empty() && predicted.size() == raw.size() && std::memcmp(raw.data(), predicted.data(), raw.size()) != 0;
}

std::vector<std::uint64_t> count_pieces(const PlannedBlock& block, std::span<const std::byte> raw, std::span<const std::byte> predicted) {
    std::vector<std::uint64_t> changed;
    std::size_t at = 0;
    for (const BlockPiece& p : block.pieces) {
        changed.push_back(predicted.size() == raw.size() ? count_changed(raw.subspan(at, p.size), predicted.subspan(at, p.size), block.dtype)
                                                         : p.size / std::max(dtype_bits(block.dtype) / 8, 1u));
        at += p.size;
    }
    return changed;
}

}  // namespace

std::uint64_t count_changed(std::span<const std::byte> a, std::span<const std::byte> b, DType t) {
    const std::size_t size = std::max(dtype_bits(t) / 8, 1u), n = a.size() / size;
    std::uint64_t changed = 0;
    const auto count = [&](auto word) {
        for (std::size_t i = 0; i < n; ++i) {
            decltype(word) x, y;
            std::memcpy(&x, a.data() + i * sizeof x, sizeof x);
            std::memcpy(&y, b.data() + i * sizeof y, sizeof y);
            changed += x != y ? 1 : 0;
        }
    };
    if (size == 2) count(std::uint16_t{});
    else if (size == 4) count(std::uint32_t{});
    else if (size == 8) count(std::uint64_t{});
    else count(std::uint8_t{});
    return changed;
}

Result<EncodedBlock> encode_block(const ModelDirectory& model, const ModelSource* base, const PlannedBlock& block, const TensorFactors* factors) {
    EncodedBlock e;
    TENPAK_RETURN_IF_ERROR(read_block(model, block, e.raw));
    if (!block.base.empty()) TENPAK_RETURN_IF_ERROR(predict_from_base(*base, block.base, block.transform, e.predicted.bytes));
    e.changed = count_pieces(block, e.raw, e.predicted.bytes);
    if (factors != nullptr && takes_factors(block, e.raw, e.predicted.bytes)) {
        e.factors_weight = block.pieces.front().offset * 8 / dtype_bits(block.dtype);
        std::swap(e.predicted.base, e.predicted.bytes);
        TENPAK_RETURN_IF_ERROR(add_low_rank(*factors->predictor, e.factors_weight, *float_kind(block.dtype), e.predicted.base, e.predicted));
        e.low_rank = true;
    }
    Encoded encoded = encode_smallest(e.raw, e.predicted.view(), block.dtype);
    e.codec = encoded.codec;
    e.stored = std::move(encoded.stored);
    e.low_rank = e.low_rank && e.codec->predicts();
    if (!e.low_rank) e.factors_weight = 0;
    return e;
}

}  // namespace tenpak::delta
