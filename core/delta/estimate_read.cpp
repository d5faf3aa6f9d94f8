// SPDX-License-Identifier: Apache-2.0
#include "core/delta/estimate_read.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "core/base/hash.h"
#include "core/delta/encode_block.h"
#include "core/delta/low_rank_recover.h"
#include "core/delta/transform.h"
#include "core/delta/weight_coder.h"

namespace tenpak::delta {

namespace {

/// What a slice costs, roughly: bits of each difference, plus what a symbol costs anyway. Only its spread is used.
double slice_cost(std::span<const std::byte> raw, std::span<const std::byte> base, std::size_t size) {
    double bits = 0;
    const std::size_t n = raw.size() / size;
    for (std::size_t i = 0; i < n; ++i) {
        std::uint64_t x = 0, b = 0;
        std::memcpy(&x, raw.data() + i * size, size);
        std::memcpy(&b, base.data() + i * size, size);
        bits += std::bit_width(x > b ? x - b : b - x);
    }
    return n > 0 ? bits / static_cast<double>(n) : 0;
}

}  // namespace

namespace {

KnownRead known_of(const PlannedBlock& block, EncodedBlock&& e) {
    KnownRead k;
    k.block.raw = e.raw.size();
    k.block.stored = e.stored.size();
    k.block.elements = e.raw.size() / std::max(dtype_bits(block.dtype) / 8, 1u);
    k.changed = std::move(e.changed);
    k.block.changed = block.in_tensor() ? std::accumulate(k.changed.begin(), k.changed.end(), std::uint64_t{0}) : k.block.elements;
    k.block.method = e.low_rank ? "lowrank" : e.codec->name();
    k.predicted = e.codec->predicts();
    if (!k.predicted) k.content = xxh3_64(e.raw);
    return k;
}

}  // namespace

Result<KnownRead> read_known(const ModelSource& base, const ModelDirectory& model, const PlannedBlock& block) {
    TENPAK_ASSIGN(EncodedBlock e, encode_block(model, &base, block, nullptr));
    return known_of(block, std::move(e));
}

Result<std::vector<KnownRead>> read_low_rank(const ModelSource& base, const ModelDirectory& model, const TensorPair& pair, const std::vector<const PlannedBlock*>& blocks,
                                             const JobContext& ctx) {
    TENPAK_ASSIGN(const std::optional<TensorFactors> factors, recover_tensor(base, model, pair, 1, ctx));
    std::vector<KnownRead> known;
    for (const PlannedBlock* block : blocks) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        TENPAK_ASSIGN(EncodedBlock e, encode_block(model, &base, *block, factors ? &*factors : nullptr));
        known.push_back(known_of(*block, std::move(e)));
    }
    // The factors are part of the tensor as soon as one block needs them.
    const auto user = std::find_if(known.begin(), known.end(), [](const KnownRead& k) { return k.block.method == "lowrank"; });
    if (user != known.end()) {
        user->block.stored += factors->stored.size();
        user->block.rank = factors->factors.rank;
    }
    return known;
}

Result<Probe> read_probe(const ModelSource& base, const ModelDirectory& model, const TensorPair& pair, std::uint64_t block_weights, std::uint64_t seed,
                         const JobContext& ctx) {
    const TensorInfo& tensor = model.tensors()[pair.fine_tune];
    const TensorInfo* base_tensor = pair.base ? &base.tensors()[*pair.base] : nullptr;
    const std::size_t size = std::max(dtype_bits(tensor.dtype) / 8, 1u);
    const std::uint64_t weights = tensor.bytes / size, slice = kProbeWeights / kProbeSlices, stratum = weights / kProbeSlices;
    std::mt19937_64 random(seed);
    Bytes raw(kProbeWeights * size), predicted(base_tensor != nullptr ? raw.size() : 0);
    Probe p;
    p.bytes = raw.size();
    p.slices = kProbeSlices;
    p.elements = kProbeWeights;
    std::vector<double> costs;
    for (unsigned i = 0; i < kProbeSlices; ++i) {  // one slice at a random place of each eighth
        const std::uint64_t room = stratum > slice ? stratum - slice : 0;
        const std::uint64_t at = i * stratum + (room > 0 ? random() % room : 0);
        const std::span<std::byte> part(raw.data() + i * slice * size, slice * size);
        TENPAK_RETURN_IF_ERROR(model.read(tensor, at * size, part));
        if (base_tensor == nullptr) continue;
        TENPAK_ASSIGN(const Bytes other, predict_weights(base, *base_tensor, pair.base_weight + at, slice, pair.transform));
        std::copy(other.begin(), other.end(), predicted.begin() + static_cast<std::ptrdiff_t>(i * slice * size));
        costs.push_back(slice_cost(part, other, size));
    }
    p.changed = base_tensor != nullptr ? count_changed(raw, predicted, tensor.dtype) : p.elements;
    if (const auto kind = float_kind(tensor.dtype); kind && p.changed > 0) {
        // A whole block pays its tables once for more weights than a probe has.
        const double scale = static_cast<double>(std::min(block_weights, weights)) / static_cast<double>(kProbeWeights);
        const auto whole = [&](const WeightCost& c) { return c.data_bytes / static_cast<double>(raw.size()) + static_cast<double>(c.table_bytes) / (scale * static_cast<double>(raw.size())); };
        p.ratio = 1;
        p.method = "raw";
        if (const double r = whole(weight_cost(raw, {}, *kind)); r < p.ratio) {
            p.ratio = r;
            p.method = "standalone";
        }
        if (base_tensor != nullptr) {
            if (const double r = whole(weight_cost(raw, {predicted}, *kind)); r <= p.ratio) {
                p.ratio = r;
                p.method = "difference";
            }
        }
    } else if (p.changed > 0) {
        const Encoded e = encode_smallest(raw, predicted, tensor.dtype);
        p.ratio = static_cast<double>(e.stored.size()) / static_cast<double>(raw.size());
        p.method = e.codec->name();
    } else {
        p.method = "difference";  // "identical" is said only after all of it was compared
    }
    if (const auto matrix = matrix_of(base, model, pair); matrix && p.changed > 0) {
        TENPAK_ASSIGN(const LowRankScreen screen, screen_low_rank(*matrix, ctx));
        const double whole = 8 * static_cast<double>(tensor.bytes);
        if (screen.rank > 0 && screen.stored_bits < p.ratio * whole) {
            p.method = "lowrank";
            p.low = screen.low_bits / whole;
            p.high = screen.high_bits / whole;
            // Where most weights did not change, a piece does not tell how well the factors can be recovered: the truth lies
            // anywhere up to what the difference costs.
            constexpr double kTellingChange = 0.6;
            const bool telling = static_cast<double>(p.changed) >= kTellingChange * static_cast<double>(p.elements);
            if (!telling) p.high = std::max(p.high, p.ratio * 1.05);
            p.ratio = telling ? screen.stored_bits / whole : (p.low + p.high) / 2;
            p.telling = telling;
            return p;
        }
    }
    p.spread = 0.03;
    if (!costs.empty()) {
        double mean = 0, variance = 0;
        for (const double c : costs) mean += c / kProbeSlices;
        for (const double c : costs) variance += (c - mean) * (c - mean) / (kProbeSlices - 1);
        if (mean > 0) p.spread = std::sqrt(variance) / (mean + 1);  // + 1: the part of a symbol's cost that its size does not show
    }
    return p;
}

}  // namespace tenpak::delta
