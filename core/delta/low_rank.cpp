// SPDX-License-Identifier: Apache-2.0
#include "core/delta/low_rank.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "core/delta/low_rank_kernels.h"
#include "core/delta/payload.h"

namespace tenpak::delta {

namespace {

constexpr std::uint8_t kVersion = 1;
/// Columns of V that are worked on together: with 16 components they take 32 KiB.
constexpr std::size_t kTileWords = 8192;
constexpr std::size_t kPadding = 64;  ///< words behind a row of V that vector loads may touch

Error malformed(const char* what) {
    return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program");
}

template <class T>
void put(Bytes& out, T v) {
    const std::size_t at = out.size();
    out.resize(at + sizeof v);
    std::memcpy(out.data() + at, &v, sizeof v);
}
template <class T>
T get(std::span<const std::byte> in, std::size_t at) {
    T v;
    std::memcpy(&v, in.data() + at, sizeof v);
    return v;
}

std::uint32_t pair_word(std::int16_t low, std::int16_t high) {
    return static_cast<std::uint32_t>(static_cast<std::uint16_t>(low)) |
           static_cast<std::uint32_t>(static_cast<std::uint16_t>(high)) << 16;
}

}  // namespace

std::uint64_t factors_bytes(const Factors& f) {
    return kFactorsHeaderBytes + 2ull * f.rank * (std::uint64_t{f.rows} + f.columns);
}

Status check_factors(const Factors& f) {
    if (f.rows == 0 || f.columns == 0 || f.rank == 0 || f.rank > kMaxFactorRank)
        return malformed("factors have an impossible shape");
    if (f.exponent < -600 || f.exponent > 60 || f.noise < 40 || f.noise > 980)
        return malformed("factors have an impossible scale");
    if (static_cast<unsigned>(f.merge) > 2) return malformed("factors have an unknown way of rounding");
    if (factors_bytes(f) > kMaxBlockBytes) return malformed("factors are larger than a block may be");
    if (f.u.size() != std::size_t{f.rows} * f.rank || f.v.size() != std::size_t{f.columns} * f.rank)
        return malformed("factors differ from their shape");
    const auto bad = [](std::int16_t x) { return x == -32768; };
    if (std::any_of(f.u.begin(), f.u.end(), bad) || std::any_of(f.v.begin(), f.v.end(), bad))
        return malformed("a factor is out of range");
    return {};
}

Bytes factors_to_bytes(const Factors& f) {
    Bytes out;
    out.reserve(static_cast<std::size_t>(factors_bytes(f)));
    put(out, kVersion);
    put(out, static_cast<std::uint8_t>(f.merge));
    put(out, f.rows);
    put(out, f.columns);
    put(out, static_cast<std::uint16_t>(f.rank));
    put(out, f.exponent);
    put(out, f.noise);
    put(out, std::uint16_t{0});
    for (const auto* part : {&f.u, &f.v}) {
        const std::size_t at = out.size();
        out.resize(at + part->size() * 2);
        if (!part->empty()) std::memcpy(out.data() + at, part->data(), part->size() * 2);
    }
    return out;
}

Result<Factors> factors_from_bytes(std::span<const std::byte> bytes) {
    if (bytes.size() < kFactorsHeaderBytes) return malformed("factors end early");
    if (static_cast<std::uint8_t>(bytes[0]) != kVersion)
        return make_error(ErrorCode::kUnsupported,
                          "factors have version " + std::to_string(static_cast<unsigned>(bytes[0])), {},
                          "A newer tenpak reads it");
    if (get<std::uint16_t>(bytes, 16) != 0) return malformed("factors have bytes that must be zero");
    Factors f;
    f.merge = static_cast<MergeRounding>(bytes[1]);
    f.rows = get<std::uint32_t>(bytes, 2);
    f.columns = get<std::uint32_t>(bytes, 6);
    f.rank = get<std::uint16_t>(bytes, 10);
    f.exponent = get<std::int16_t>(bytes, 12);
    f.noise = get<std::uint16_t>(bytes, 14);
    if (f.rank > kMaxFactorRank || factors_bytes(f) != bytes.size())
        return malformed("factors have another size than their shape says");
    f.u.resize(std::size_t{f.rows} * f.rank);
    f.v.resize(std::size_t{f.columns} * f.rank);
    if (!f.u.empty()) std::memcpy(f.u.data(), bytes.data() + kFactorsHeaderBytes, f.u.size() * 2);
    if (!f.v.empty()) std::memcpy(f.v.data(), bytes.data() + kFactorsHeaderBytes + f.u.size() * 2, f.v.size() * 2);
    TENPAK_RETURN_IF_ERROR(check_factors(f));
    return f;
}

struct LowRankPredictor::Impl {
    std::uint32_t rows = 0, columns = 0, pairs = 0, group = 0;
    std::size_t stride = 0, tile = 0;
    double scale = 0;
    std::int32_t noise = 0;
    MergeRounding merge = MergeRounding::kNone;
    std::vector<std::int32_t> u;  ///< [rows][pairs]
    std::vector<std::int32_t> v;  ///< [pairs][stride]
};

Result<LowRankPredictor> LowRankPredictor::make(const Factors& f) {
    TENPAK_RETURN_IF_ERROR(check_factors(f));
    try {
        auto p = std::make_unique<Impl>();
        p->rows = f.rows;
        p->columns = f.columns;
        p->pairs = (f.rank + 1) / 2;
        p->stride =
            (std::size_t{f.columns} + 15) / 16 * 16 + 16;  // not a power of two: rows of V fight less for cache sets
        p->tile = std::max<std::size_t>(256, kTileWords / p->pairs / 64 * 64);
        p->scale = std::ldexp(1.0, f.exponent);
        p->noise = f.noise;
        p->merge = f.merge;
        p->u.resize(std::size_t{f.rows} * p->pairs);
        p->v.resize(p->stride * p->pairs + kPadding);
        std::vector<std::int32_t> most_u(f.rank), most_v(f.rank);
        for (std::size_t i = 0; i < f.rows; ++i) {
            const std::int16_t* from = f.u.data() + i * f.rank;
            for (std::size_t c = 0; c < f.rank; ++c) most_u[c] = std::max(most_u[c], std::abs(std::int32_t{from[c]}));
            for (std::size_t k = 0; k < p->pairs; ++k)
                p->u[i * p->pairs + k] = static_cast<std::int32_t>(
                    pair_word(from[2 * k], 2 * k + 1 < f.rank ? from[2 * k + 1] : std::int16_t{0}));
        }
        for (std::size_t j = 0; j < f.columns; ++j) {
            const std::int16_t* from = f.v.data() + j * f.rank;
            for (std::size_t c = 0; c < f.rank; ++c) most_v[c] = std::max(most_v[c], std::abs(std::int32_t{from[c]}));
            for (std::size_t k = 0; k < p->pairs; ++k)
                p->v[k * p->stride + j] = static_cast<std::int32_t>(
                    pair_word(from[2 * k], 2 * k + 1 < f.rank ? from[2 * k + 1] : std::int16_t{0}));
        }
        // The largest group size that no run of pairs can overflow: a pair alone always fits (2 x 32767^2 < 2^31).
        std::vector<std::int64_t> most(p->pairs);
        for (std::size_t c = 0; c < f.rank; ++c) most[c / 2] += std::int64_t{most_u[c]} * most_v[c];
        std::int64_t all = 0, largest = 1;
        for (const std::int64_t m : most) {
            all += m;
            largest = std::max(largest, m);
        }
        constexpr std::int64_t kLimit = 0x7fffffff;
        p->group =
            all <= kLimit ? p->pairs : static_cast<std::uint32_t>(std::min<std::int64_t>(p->pairs, kLimit / largest));
        return LowRankPredictor(std::move(p));
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the factors of a tensor");
    }
}

LowRankPredictor::LowRankPredictor(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
LowRankPredictor::LowRankPredictor(LowRankPredictor&&) noexcept = default;
LowRankPredictor& LowRankPredictor::operator=(LowRankPredictor&&) noexcept = default;
LowRankPredictor::~LowRankPredictor() = default;

std::uint32_t LowRankPredictor::rows() const { return impl_->rows; }
std::uint32_t LowRankPredictor::columns() const { return impl_->columns; }
std::size_t LowRankPredictor::memory_bytes() const { return sizeof(Impl) + 4 * (impl_->u.size() + impl_->v.size()); }

Status LowRankPredictor::predict(std::uint64_t first_weight, std::span<const std::byte> base, FloatKind kind,
                                 std::span<std::byte> predicted, std::span<std::uint8_t> keys) const {
    const Impl& p = *impl_;
    const std::size_t bytes = kind == FloatKind::kFp32 ? 4 : 2, n = base.size() / bytes;
    const std::uint64_t all = std::uint64_t{p.rows} * p.columns;
    if (base.size() % bytes != 0 || first_weight > all || n > all - first_weight || predicted.size() != base.size() ||
        (!keys.empty() && keys.size() != n))
        return make_error(ErrorCode::kInvalidArgument, "a block lies outside the matrix of its factors");
    const std::uint64_t last = first_weight + n;
    PredictJob job;
    job.stride = p.stride;
    job.pairs = p.pairs;
    job.group = p.group;
    job.scale = p.scale;
    job.noise = p.noise;
    job.kind = kind;
    job.merge = p.merge;
    for (std::uint64_t tile = 0; tile < p.columns; tile += p.tile) {
        const std::uint64_t tile_end = std::min<std::uint64_t>(p.columns, tile + p.tile);
        for (std::uint64_t row = first_weight / p.columns; row * p.columns < last; ++row) {
            const std::uint64_t begin = std::max(row * p.columns + tile, first_weight),
                                end = std::min(row * p.columns + tile_end, last);
            if (begin >= end) continue;
            const auto at = static_cast<std::size_t>(begin - first_weight);
            job.u = p.u.data() + row * p.pairs;
            job.v = p.v.data() + (begin - row * p.columns);
            job.columns = static_cast<std::size_t>(end - begin);
            job.base = base.data() + at * bytes;
            job.predicted = predicted.data() + at * bytes;
            job.keys = keys.empty() ? nullptr : keys.data() + at;
            predict_piece(job);
        }
    }
    return {};
}

}  // namespace tenpak::delta
