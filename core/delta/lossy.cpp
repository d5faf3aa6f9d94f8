// SPDX-License-Identifier: Apache-2.0
#include "core/delta/lossy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/base/half.h"
#include "core/base/thread_pool.h"
#include "core/delta/lossy_codecs.h"
#include "core/delta/lossy_low_rank.h"
#include "core/delta/predict.h"
#include "core/delta/weight_coder.h"

namespace tenpak::delta {

namespace {

constexpr std::array<std::pair<LossyMode, std::string_view>, 5> kModes{{{LossyMode::kLossless, "lossless"},
                                                                         {LossyMode::kInt8, "int8"},
                                                                         {LossyMode::kInt4, "int4"},
                                                                         {LossyMode::kBit1, "bit1"},
                                                                         {LossyMode::kLowRank, "lowrank"}}};
constexpr std::string_view kLosslessName = "lossless";
/// Tensors below this stay lossless: they are few, and tables cost more than they save.
constexpr std::uint64_t kFewWeights = 4096;
constexpr std::size_t kSampleBlocks = 2, kPieces = 4, kPieceWeights = 8192;
constexpr double kScaleBitsOfSigns = 16;

/// What a choice is made from: pieces of the tensor, one behind the other.
struct Pieces {
    Bytes base, weights;
    Predicted low_rank;        ///< where the tensor has factors: base with the low-rank term
    FloatKind kind = FloatKind::kBf16;
    double block_weights = 0;  ///< weights that share a block's tables
    std::size_t count() const { return weights.size() / (kind == FloatKind::kFp32 ? 4 : 2); }
};

/// Embeddings, norms and head tolerate crude steps badly and are few: BitDelta and adapters leave them as they are.
bool is_inner_matrix(const TensorInfo& t) {
    const std::string part = tensor_part(t.name);
    return part != "embeddings" && part != "norm" && part != "head";
}

LossyCandidate measure(const Pieces& s, const Quantizer& z, double change2, double lambda) {
    LossyCandidate c;
    c.codec = z.most == kInt4Most ? kInt4GroupsCodec : kInt8SparseCodec;
    c.step = z.step_value();
    c.threshold = z.threshold * c.step;
    Quantized q;
    if (!quantize(s.base, s.weights, s.kind, z, q)) {
        c.cost = HUGE_VAL;
        return c;
    }
    Bytes rebuilt(s.weights.size());
    dequantize(s.base, s.kind, z, q, rebuilt);
    const double n = static_cast<double>(s.count()), error2 = measure_error(s.base, s.weights, rebuilt, s.kind).error2 / n;
    const QuantizedCost bytes = quantized_cost(s.base, s.kind, z, q);
    c.bits_per_weight = 8 * (bytes.data / n + bytes.fixed / std::max(s.block_weights, n));
    c.change_error = std::sqrt(error2 / change2);
    c.cost = error2 / change2 + lambda * c.bits_per_weight;
    return c;
}

/// Where the levels 1 and 2.. are rebuilt: the mean of what they stand for, in 1/256 of a scale below the level.
void fit_levels(const Pieces& s, Quantizer& z) {
    Quantized q;
    if (!quantize(s.base, s.weights, s.kind, z, q)) return;
    std::array<double, 2> below{}, count{};
    const std::size_t bytes = s.kind == FloatKind::kFp32 ? 4 : 2;
    const auto value = [&](const Bytes& b, std::size_t i) {
        std::uint32_t w = 0;
        std::memcpy(&w, b.data() + i * bytes, bytes);
        return static_cast<double>(s.kind == FloatKind::kFp32 ? std::bit_cast<float>(w) : s.kind == FloatKind::kBf16 ? bf16_to_float(static_cast<std::uint16_t>(w)) : fp16_to_float(static_cast<std::uint16_t>(w)));
    };
    for (std::size_t i = 0; i < q.q.size(); ++i) {
        const int k = q.q[i] < 0 ? -q.q[i] : q.q[i];
        if (k == 0) continue;
        below[k > 1] += k - std::fabs(value(s.weights, i) - value(s.base, i)) / group_scale(z.step, q.codes[i >> z.group_log2]);
        count[k > 1] += 1;
    }
    const auto shrink = [&](unsigned i) { return count[i] > 0 ? static_cast<std::uint8_t>(std::clamp(std::lround(256 * below[i] / count[i]), 0l, 128l)) : std::uint8_t{0}; };
    z.shrink_one = shrink(0);
    z.shrink_more = shrink(1);
}

/// The best quantizer of one kind: step by octaves, then quarters, then threshold and levels.
LossyCandidate search(const Pieces& s, unsigned most, double change2, double lambda, Quantizer& best) {
    const double size = std::sqrt(change2);
    LossyCandidate found;
    found.cost = HUGE_VAL;
    const auto attempt = [&](Quantizer z) {
        const LossyCandidate c = measure(s, z, change2, lambda);
        if (c.cost >= found.cost) return false;
        found = c;
        best = z;
        return true;
    };
    const auto with_step = [&](double quarters) {
        Quantizer z;
        z.most = most;
        z.group_log2 = most == kInt4Most ? 6 : 7;
        z.threshold = 0.6;
        z.step = std::clamp<std::uint16_t>(float_to_bf16(static_cast<float>(size * std::exp2(quarters / 4))), 0x80, 0x7e80);
        return z;
    };
    // The cost falls, then rises with the step: from where an evenly spread error would be as large as aimed at, by octaves
    // downhill. Sparse changes go far up.
    double at = std::clamp(std::round(4 * std::log2(std::sqrt(12 * lambda / (2 * std::log(2.0))))), -20.0, 8.0);
    attempt(with_step(at));
    for (const double octave : {4.0, -4.0}) {
        bool moved = false;
        while (at + octave >= -24 && at + octave <= 32 && attempt(with_step(at + octave))) {
            at += octave;
            moved = true;
        }
        if (moved) break;
    }
    for (const double d : {-2.0, 2.0}) {
        if (attempt(with_step(at + d))) {
            at += d;
            break;
        }
    }
    for (const double d : {-1.0, 1.0})
        if (attempt(with_step(at + d))) break;
    for (const double t : {0.5, 0.75, 0.9}) {
        Quantizer z = best;
        z.threshold = t;
        attempt(z);
    }
    Quantizer z = best;
    fit_levels(s, z);
    attempt(z);
    return found;
}

Result<Pieces> read_sample(const ModelSource& base, const ModelDirectory& model, const BlockPlan& plan, const std::vector<std::uint32_t>& blocks, FloatKind kind,
                           const TensorFactors* factors) {
    Pieces s;
    s.kind = kind;
    const std::size_t bytes = kind == FloatKind::kFp32 ? 4 : 2, take = std::min(blocks.size(), kSampleBlocks);
    for (std::size_t k = 0; k < take; ++k) {
        const PlannedBlock& block = plan.blocks[blocks[(2 * k + 1) * blocks.size() / (2 * take)]];
        Bytes raw, predicted;
        TENPAK_RETURN_IF_ERROR(read_block(model, block, raw));
        TENPAK_RETURN_IF_ERROR(predict_from_base(base, block.base, block.transform, predicted));
        if (predicted.size() != raw.size()) continue;
        const std::size_t n = raw.size() / bytes, piece = std::min(kPieceWeights, std::max<std::size_t>(n / kPieces / 128 * 128, std::min<std::size_t>(n, 128)));
        for (std::size_t p = 0; p < kPieces; ++p) {
            const std::size_t from = std::min(n - std::min(n, piece), p * (n / kPieces)), m = std::min(piece, n - from);
            const auto append = [&](Bytes& to, const Bytes& of) {
                to.insert(to.end(), of.begin() + static_cast<std::ptrdiff_t>(from * bytes), of.begin() + static_cast<std::ptrdiff_t>((from + m) * bytes));
            };
            append(s.weights, raw);
            append(s.base, predicted);
            if (factors == nullptr) continue;
            Predicted piece_of;
            TENPAK_RETURN_IF_ERROR(add_low_rank(*factors->predictor, block.pieces[0].offset / bytes + from, kind, std::span(predicted).subspan(from * bytes, m * bytes), piece_of));
            s.low_rank.bytes.insert(s.low_rank.bytes.end(), piece_of.bytes.begin(), piece_of.bytes.end());
            s.low_rank.keys.insert(s.low_rank.keys.end(), piece_of.keys.begin(), piece_of.keys.end());
        }
        s.block_weights = std::max(s.block_weights, static_cast<double>(n));
    }
    return s;
}

LossyChoice choose(const Pieces& s, LossyMode mode, const TensorFactors* factors, std::uint64_t weights) {
    LossyChoice choice;
    const ErrorSums change = measure_error(s.base, s.weights, s.base, s.kind);  // the base in place of the fine-tune
    const double n = static_cast<double>(s.count()), change2 = change.error2 / n;
    if (!(change2 > 0)) {
        choice.why = "unchanged";
        return choice;
    }
    choice.lambda = lambda_of(mode);
    LossyCandidate lossless;
    lossless.codec = kLosslessName;
    const WeightCost cost = weight_cost(s.weights, Prediction(s.base), s.kind);
    lossless.bits_per_weight = 8 * (cost.data_bytes / n + static_cast<double>(cost.table_bytes) / std::max(s.block_weights, n));
    // Where few weights differ another lossless way may be shorter.
    const DType dtype = s.kind == FloatKind::kFp32 ? DType::kF32 : s.kind == FloatKind::kBf16 ? DType::kBF16 : DType::kF16;
    lossless.bits_per_weight = std::min(lossless.bits_per_weight, 8 * static_cast<double>(encode_smallest(s.weights, Prediction(s.base), dtype).stored.size()) / n);
    const double factor_bits = factors != nullptr ? 8 * static_cast<double>(factors->stored.size()) / static_cast<double>(weights) : 0;
    if (factors != nullptr && mode != LossyMode::kLowRank) {
        const WeightCost residual = weight_cost(s.weights, s.low_rank.view(), s.kind);
        lossless.bits_per_weight = std::min(lossless.bits_per_weight, factor_bits + 8 * (residual.data_bytes / n + static_cast<double>(residual.table_bytes) / std::max(s.block_weights, n)));
    }
    if (mode == LossyMode::kBit1 || mode == LossyMode::kLowRank) {
        // Nothing to weigh: lossless only where it is not even larger.
        if (mode == LossyMode::kLowRank && factors == nullptr) {
            choice.why = "has no factors of that rank";
            return choice;
        }
        LossyCandidate lossy;
        lossy.codec = mode == LossyMode::kBit1 ? kBit1Codec : kLowRankMethod;
        lossy.bits_per_weight = lossy.cost = mode == LossyMode::kBit1 ? 1 : factor_bits;
        lossless.cost = lossless.bits_per_weight;
        if (mode == LossyMode::kLowRank) lossy.change_error = measure_error(s.base, s.weights, s.low_rank.bytes, s.kind).change_relative();
        choice.considered = {lossless, lossy};
        if (lossless.bits_per_weight <= lossy.bits_per_weight) choice.why = "lossless is smaller";
        else choice.codec = lossy.codec;
        return choice;
    }
    lossless.cost = choice.lambda * lossless.bits_per_weight;
    choice.considered.push_back(lossless);
    Quantizer eight, four;
    choice.considered.push_back(search(s, kInt8Most, change2, choice.lambda, eight));
    choice.considered.push_back(search(s, kInt4Most, change2, choice.lambda, four));
    // Equal costs within a hundredth: 4 bits are enough for the values, and decode faster.
    constexpr double kEqual = 1.01;
    const double c8 = choice.considered[1].cost, c4 = choice.considered[2].cost;
    if (lossless.cost <= std::min(c8, c4)) {
        choice.why = "lossless costs less";
    } else if (c4 <= kEqual * c8) {
        choice.codec = kInt4GroupsCodec;
        choice.quantizer = four;
    } else {
        choice.codec = kInt8SparseCodec;
        choice.quantizer = eight;
    }
    return choice;
}

}  // namespace

std::string_view lossy_mode_name(LossyMode mode) {
    for (const auto& [m, name] : kModes)
        if (m == mode) return name;
    return {};
}
std::optional<LossyMode> lossy_mode_from_name(std::string_view name) {
    for (const auto& [m, n] : kModes)
        if (n == name) return m;
    return std::nullopt;
}

Result<FactorMap> truncate_factors(const ModelSource& base, const ModelDirectory& model, const PairPlan& pairs, std::uint32_t rank, unsigned threads, const JobContext& ctx) {
    FactorMap map;
    std::uint64_t done = 0, total = 0;
    for (const TensorPair& p : pairs.pairs) total += model.tensors()[p.fine_tune].bytes;
    for (const TensorPair& p : pairs.pairs) {
        const TensorInfo& t = model.tensors()[p.fine_tune];
        done += t.bytes;
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const auto matrix = matrix_of(base, model, p);
        if (!matrix || t.elements() < kFewWeights || !is_inner_matrix(t)) continue;
        TENPAK_ASSIGN(std::optional<Factors> f, truncate_to_rank(*matrix, rank, threads, ctx));
        if (f) {
            TENPAK_ASSIGN(TensorFactors prepared, prepare_factors(std::move(*f)));
            map.emplace(p.fine_tune, std::move(prepared));
        }
        ctx.report({"lowrank", done, total, "bytes", t.name});
    }
    return map;
}

double lambda_of(LossyMode mode) {
    // Aimed at errors of 4 % (int8) and 15 % (int4) of the change: perplexity changes by about the square of that, of what
    // the fine-tune changed it by.
    if (mode == LossyMode::kInt8) return 2 * std::log(2.0) * 0.04 * 0.04;
    if (mode == LossyMode::kInt4) return 2 * std::log(2.0) * 0.15 * 0.15;
    return 0;
}

Result<std::vector<LossyChoice>> choose_lossy(const ModelSource& base, const ModelDirectory& model, const BlockPlan& plan, const LossyOptions& options,
                                              const FactorMap& factors, unsigned threads, const JobContext& ctx) {
    const auto& tensors = model.tensors();
    std::vector<LossyChoice> choices(tensors.size());
    std::vector<std::vector<std::uint32_t>> blocks(tensors.size());
    for (std::uint32_t b = 0; b < plan.blocks.size(); ++b) {
        for (const BlockPiece& p : plan.blocks[b].pieces) blocks[p.tensor].push_back(b);
    }
    std::vector<std::uint32_t> work;
    for (std::uint32_t i = 0; i < tensors.size(); ++i) {
        bool alone = true, predicted = true;
        for (const std::uint32_t b : blocks[i]) {
            alone &= plan.blocks[b].pieces.size() == 1;
            predicted &= !plan.blocks[b].base.empty();
        }
        const TensorInfo& t = tensors[i];
        if (!float_kind(t.dtype)) choices[i].why = "no floating-point weights";
        else if (t.shape.size() < 2 || t.elements() < kFewWeights || !alone) choices[i].why = "small";
        else if (blocks[i].empty() || !predicted) choices[i].why = "not in the base";
        else if ((options.mode == LossyMode::kBit1 || options.mode == LossyMode::kLowRank) && !is_inner_matrix(t)) choices[i].why = "embedding, norm or head";
        else work.push_back(i);
    }
    std::uint64_t done = 0;
    const std::function<Result<LossyChoice>(std::size_t)> one = [&](std::size_t k) -> Result<LossyChoice> {
        try {
            const std::uint32_t i = work[k];
            const auto f = factors.find(i);
            const TensorFactors* of = f != factors.end() ? &f->second : nullptr;
            TENPAK_ASSIGN(const Pieces s, read_sample(base, model, plan, blocks[i], *float_kind(tensors[i].dtype), of));
            if (s.count() == 0) return LossyChoice{};
            return choose(s, options.mode, of, tensors[i].elements());
        } catch (const std::bad_alloc&) {
            return make_error(ErrorCode::kOutOfMemory, "not enough memory to look at a tensor", tensors[work[k]].name, "Use fewer threads");
        }
    };
    const std::function<Status(std::size_t, LossyChoice&&)> keep = [&](std::size_t k, LossyChoice&& c) -> Status {
        choices[work[k]] = std::move(c);
        ctx.report({"choose", ++done, work.size(), "tensors", tensors[work[k]].name});
        return {};
    };
    TENPAK_RETURN_IF_ERROR(parallel_ordered<LossyChoice>(work.size(), threads, 2 * threads, ctx, one, keep));
    return choices;
}

BlockRows block_rows(const ModelDirectory& model, const PlannedBlock& block) {
    if (block.pieces.size() != 1) return {};
    const TensorInfo& t = model.tensors()[block.first_tensor()];
    const unsigned bits = dtype_bits(t.dtype);
    if (t.shape.size() < 2 || t.shape[0] == 0 || bits == 0) return {};
    const std::uint64_t row = t.elements() / t.shape[0];
    return {row, row > 0 ? block.pieces[0].offset * 8 / bits % row : 0};
}

std::optional<LossyBlock> encode_lossy(std::span<const std::byte> raw, std::span<const std::byte> base, DType dtype, const LossyChoice& choice,
                                       const BlockRows& rows, bool bytes) {
    const auto kind = float_kind(dtype);
    if (!kind || raw.empty() || raw.size() != base.size()) return std::nullopt;
    LossyBlock b;
    b.rebuilt.resize(raw.size());
    if (choice.codec == kBit1Codec) {
        // A scale costs as much as sixteen signs: short rows share one.
        constexpr std::uint64_t kLeast = 16 * static_cast<std::uint64_t>(kScaleBitsOfSigns);
        const std::uint64_t row = std::max<std::uint64_t>(rows.row_length, 1), together = (kLeast + row - 1) / row;
        const SignGroups groups{row * together, together == 1 ? rows.first_column : 0};
        std::vector<std::uint16_t> scales;
        std::vector<std::uint8_t> bits;
        if (!quantize_signs(base, raw, *kind, groups, scales, bits)) return std::nullopt;
        dequantize_signs(base, *kind, groups, scales, bits, b.rebuilt);
        if (bytes) encode_signs(*kind, groups, scales, bits, b.stored);
        return b;
    }
    Quantized q;
    if (!quantize(base, raw, *kind, choice.quantizer, q)) return std::nullopt;
    dequantize(base, *kind, choice.quantizer, q, b.rebuilt);
    if (bytes) encode_quantized(base, *kind, choice.quantizer, q, b.stored);
    return b;
}

}  // namespace tenpak::delta
