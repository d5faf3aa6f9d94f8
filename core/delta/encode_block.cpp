// SPDX-License-Identifier: Apache-2.0
#include "core/delta/encode_block.h"

#include <cstring>

namespace tenpak::delta {

namespace {

/// Whether the block's prediction can have a low-rank term: it lies in one tensor, and not all of it is as in the base.
bool takes_factors(const PlannedBlock& block, const Bytes& raw, const Bytes& predicted) {
    return block.pieces.size() == 1 && !block.base.empty() && predicted.size() == raw.size() && std::memcmp(raw.data(), predicted.data(), raw.size()) != 0;
}

bool all_finite(std::span<const std::byte> weights, FloatKind kind) {
    const auto check = [&](auto word, std::uint32_t magnitude, std::uint32_t infinite) {
        bool finite = true;
        for (std::size_t i = 0; i < weights.size() / sizeof word; ++i) finite &= (load_weight<decltype(word)>(weights.data(), i) & magnitude) < infinite;
        return finite;
    };
    if (kind == FloatKind::kFp32) return check(std::uint32_t{}, 0x7fffffffu, 0x7f800000u);
    return check(std::uint16_t{}, 0x7fffu, kind == FloatKind::kBf16 ? 0x7f80u : 0x7c00u);
}

/// Adds the tensor's low-rank term to the prediction.
Status add_factors(const PlannedBlock& block, const TensorFactors& factors, EncodedBlock& e) {
    e.factors_weight = block.pieces.front().offset * 8 / dtype_bits(block.dtype);
    e.low_rank = true;
    std::swap(e.predicted.base, e.predicted.bytes);
    return add_low_rank(*factors.predictor, e.factors_weight, *float_kind(block.dtype), e.predicted.base, e.predicted);
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

Result<EncodedBlock> encode_block(const ModelDirectory& model, const ModelSource* base, const PlannedBlock& block, const TensorFactors* factors, const LossyChoice* choice) {
    EncodedBlock e;
    TENPAK_RETURN_IF_ERROR(read_block(model, block, e.raw));
    if (!block.base.empty()) TENPAK_RETURN_IF_ERROR(predict_from_base(*base, block.base, block.transform, e.predicted.bytes));
    e.changed = count_pieces(block, e.raw, e.predicted.bytes);
    std::optional<LossyBlock> lossy;
    if (choice != nullptr && !choice->codec.empty() && choice->codec != kLowRankMethod && takes_factors(block, e.raw, e.predicted.bytes)) {
        lossy = encode_lossy(e.raw, e.predicted.bytes, block.dtype, *choice, block_rows(model, block));
    } else if (factors != nullptr && takes_factors(block, e.raw, e.predicted.bytes)) {
        TENPAK_RETURN_IF_ERROR(add_factors(block, *factors, e));
        // An infinity or NaN that only the fine-tune has is not to be lost: the residual is coded instead.
        if (choice != nullptr && choice->codec == kLowRankMethod && all_finite(e.raw, *float_kind(block.dtype)) && all_finite(e.predicted.bytes, *float_kind(block.dtype))) lossy = LossyBlock{{}, e.predicted.bytes};
    }
    const auto kind = float_kind(block.dtype);
    if (const Bytes& before = e.low_rank ? e.predicted.base : e.predicted.bytes; choice != nullptr && kind && block.in_tensor() && before.size() == e.raw.size())
        e.error = measure_error(before, e.raw, lossy ? lossy->rebuilt : e.raw, *kind);
    if (lossy) {
        e.lossy = lossy->rebuilt != e.raw;
        e.raw = std::move(lossy->rebuilt);
    }
    if (lossy && choice->codec != kLowRankMethod) {
        e.codec = find_codec(choice->codec);
        e.stored = std::move(lossy->stored);
        return e;
    }
    Encoded encoded = encode_smallest(e.raw, e.predicted.view(), block.dtype);
    e.codec = encoded.codec;
    e.stored = std::move(encoded.stored);
    e.low_rank = e.low_rank && e.codec->predicts();
    if (!e.low_rank) e.factors_weight = 0;
    return e;
}

Result<Bytes> rebuild_lossy(const ModelDirectory& model, const ModelSource& base, const PlannedBlock& block, const TensorFactors* factors, const LossyChoice& choice) {
    EncodedBlock e;
    TENPAK_RETURN_IF_ERROR(read_block(model, block, e.raw));
    TENPAK_RETURN_IF_ERROR(predict_from_base(base, block.base, block.transform, e.predicted.bytes));
    if (choice.codec == kLowRankMethod && factors != nullptr) {
        TENPAK_RETURN_IF_ERROR(add_factors(block, *factors, e));
        return std::move(e.predicted.bytes);
    }
    auto again = encode_lossy(e.raw, e.predicted.bytes, block.dtype, choice, block_rows(model, block), false);
    if (!again) return make_error(ErrorCode::kIo, "the file changed while it was read", block.name, "Try again when nothing writes there");
    return std::move(again->rebuilt);
}

}  // namespace tenpak::delta
