// SPDX-License-Identifier: Apache-2.0
#include "core/delta/estimate_read.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "core/base/hash.h"
#include "core/delta/codec.h"
#include "core/delta/predict.h"
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

std::vector<std::uint64_t> count_changed(const PlannedBlock& block, std::span<const std::byte> raw, std::span<const std::byte> predicted) {
    std::vector<std::uint64_t> changed;
    std::size_t at = 0;
    for (const BlockPiece& p : block.pieces) {
        changed.push_back(predicted.size() == raw.size() ? count_changed(raw.subspan(at, p.size), predicted.subspan(at, p.size), block.dtype)
                                                         : p.size / std::max(dtype_bits(block.dtype) / 8, 1u));
        at += p.size;
    }
    return changed;
}

Result<KnownRead> read_known(const ModelSource& base, const ModelDirectory& model, const PlannedBlock& block) {
    Bytes raw, predicted;
    TENPAK_RETURN_IF_ERROR(read_block(model, block, raw));
    if (!block.base.empty()) {
        TENPAK_ASSIGN(predicted, predict_from_base(base, block.base, block.transform));
    }
    const Encoded e = encode_smallest(raw, predicted, block.dtype);
    KnownRead k;
    k.block.raw = raw.size();
    k.block.stored = e.stored.size();
    k.block.elements = raw.size() / std::max(dtype_bits(block.dtype) / 8, 1u);
    k.changed = count_changed(block, raw, predicted);
    k.block.changed = block.in_tensor() ? std::accumulate(k.changed.begin(), k.changed.end(), std::uint64_t{0}) : k.block.elements;
    k.block.method = e.codec->name();
    k.predicted = e.codec->predicts();
    if (!k.predicted) k.content = xxh3_64(raw);
    return k;
}

Result<Probe> read_probe(const ModelSource& base, const ModelDirectory& model, const TensorPair& pair, std::uint64_t block_weights, std::uint64_t seed) {
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
        const unsigned base_bits = dtype_bits(base_tensor->dtype);
        TENPAK_ASSIGN(const Bytes other, predict_from_base(base, {{base_tensor->name, (pair.base_weight + at) * base_bits / 8, slice * base_bits / 8, false}}, pair.transform));
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
