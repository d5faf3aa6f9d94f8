// SPDX-License-Identifier: Apache-2.0
#include "core/delta/low_rank.h"

#include <gtest/gtest.h>

#include <hwy/highway.h>

#include <cmath>
#include <random>

#include "core/base/hash.h"
#include "core/delta/low_rank_weight.h"
#include "core/delta/payload.h"

namespace tenpak::delta {
namespace {

/// Numbers of any size, by a generator that is the same everywhere.
Factors random_factors(std::uint32_t rows, std::uint32_t columns, std::uint32_t rank, unsigned bits,
                       std::uint64_t seed) {
    std::mt19937_64 g(seed);
    Factors f;
    f.rows = rows;
    f.columns = columns;
    f.rank = rank;
    f.exponent = static_cast<std::int16_t>(-12 - 2 * static_cast<int>(bits));
    f.noise = 508 - 4 * 13;
    const auto number = [&] {
        return static_cast<std::int16_t>(static_cast<std::int64_t>(g() % ((1u << bits) - 1)) - (1ll << (bits - 1)) + 1);
    };
    for (std::uint64_t i = 0; i < std::uint64_t{rows} * rank; ++i) f.u.push_back(number());
    for (std::uint64_t i = 0; i < std::uint64_t{columns} * rank; ++i) f.v.push_back(number());
    return f;
}

Bytes random_base(std::size_t n, FloatKind kind, std::uint64_t seed) {
    std::mt19937_64 g(seed);
    Bytes out;
    for (std::size_t i = 0; i < n; ++i) {
        // Mostly weights of a usual size (sum of four uniform ones), some of any bits: infinite, NaN, subnormal.
        double x = 0;
        for (int k = 0; k < 4; ++k) x += static_cast<double>(g() >> 40) * 0x1p-24 - 0.5;
        const auto f = static_cast<float>(x * 0.03);
        std::uint32_t w = kind == FloatKind::kBf16   ? float_to_bf16(f)
                          : kind == FloatKind::kFp16 ? float_to_fp16(f)
                                                     : std::bit_cast<std::uint32_t>(f);
        if (i % 13 == 0) w = static_cast<std::uint32_t>(g());
        for (unsigned b = 0; b < (kind == FloatKind::kFp32 ? 4u : 2u); ++b)
            out.push_back(static_cast<std::byte>(w >> (8 * b) & 0xffu));
    }
    return out;
}

struct Predicted {
    Bytes bytes;
    std::vector<std::uint8_t> keys;
    bool operator==(const Predicted&) const = default;
};
Predicted predict(const LowRankPredictor& p, std::uint64_t first, const Bytes& base, FloatKind kind) {
    Predicted r;
    r.bytes.resize(base.size());
    r.keys.resize(base.size() / (kind == FloatKind::kFp32 ? 4 : 2));
    const Status s = p.predict(first, base, kind, r.bytes, r.keys);
    EXPECT_TRUE(s.ok()) << (s.ok() ? "" : s.error().text());
    return r;
}

struct Case {
    std::uint32_t rows, columns, rank;
    unsigned bits;
    FloatKind kind;
    MergeRounding merge;
    std::uint64_t golden;  ///< XXH3 of the predicted bytes, then the keys
};
const Case kCases[] = {
    {37, 129, 16, 13, FloatKind::kBf16, MergeRounding::kNone, 11125042670360230175u},
    {37, 129, 16, 13, FloatKind::kBf16, MergeRounding::kBf16, 273269404025865285u},
    {64, 576, 7, 11, FloatKind::kBf16, MergeRounding::kNone, 12449803223659610358u},
    {5, 3000, 1, 13, FloatKind::kBf16, MergeRounding::kNone, 18278834987787717163u},
    {19, 517, 96, 16, FloatKind::kBf16, MergeRounding::kNone, 13148932095651020222u},
    {33, 130, 16, 13, FloatKind::kFp16, MergeRounding::kNone, 6466206762603450844u},
    {33, 130, 16, 13, FloatKind::kFp16, MergeRounding::kFp16, 18324498569540327988u},
    {33, 130, 9, 16, FloatKind::kFp32, MergeRounding::kNone, 6361318655527814442u},
    {33, 130, 64, 16, FloatKind::kFp32, MergeRounding::kBf16, 9483770932232174167u},
};

TEST(LowRank, PredictsTheSameBitsOnEveryTarget) {
    for (const Case& c : kCases) {
        Factors f = random_factors(c.rows, c.columns, c.rank, c.bits, c.rank);
        f.merge = c.merge;
        const auto p = LowRankPredictor::make(f);
        ASSERT_TRUE(p.ok());
        const Bytes base = random_base(std::size_t{c.rows} * c.columns, c.kind, 5);
        allow_vector_prediction(false);
        const Predicted plain = predict(*p, 0, base, c.kind);
        allow_vector_prediction(true);
        Bytes all = plain.bytes;
        for (const std::uint8_t k : plain.keys) all.push_back(static_cast<std::byte>(k));
        EXPECT_EQ(xxh3_64(all), c.golden) << c.rows << " x " << c.columns << ", rank " << c.rank;
        int targets = 0;
        for (std::int64_t rest = hwy::SupportedTargets(); rest != 0; rest &= rest - 1) {
            hwy::SetSupportedTargetsForTest(rest & -rest);
            hwy::GetChosenTarget().Update(hwy::SupportedTargets());
            EXPECT_TRUE(predict(*p, 0, base, c.kind) == plain) << hwy::TargetName(rest & -rest);
            ++targets;
        }
        hwy::SetSupportedTargetsForTest(0);
        hwy::GetChosenTarget().Update(hwy::SupportedTargets());
        EXPECT_GE(targets, 1);
    }
}

TEST(LowRank, PredictsAnyRangeAlike) {
    const Factors f = random_factors(41, 611, 20, 13, 3);
    const auto p = LowRankPredictor::make(f);
    ASSERT_TRUE(p.ok());
    const Bytes base = random_base(41 * 611, FloatKind::kBf16, 8);
    const Predicted whole = predict(*p, 0, base, FloatKind::kBf16);
    std::mt19937_64 g(1);
    for (int t = 0; t < 60; ++t) {
        const std::size_t first = g() % (41 * 611), n = g() % (41 * 611 - first) % (t % 2 == 0 ? 700 : 100000);
        const Bytes part(base.begin() + static_cast<std::ptrdiff_t>(2 * first),
                         base.begin() + static_cast<std::ptrdiff_t>(2 * (first + n)));
        const Predicted got = predict(*p, first, part, FloatKind::kBf16);
        EXPECT_TRUE(std::equal(got.bytes.begin(), got.bytes.end(),
                               whole.bytes.begin() + static_cast<std::ptrdiff_t>(2 * first)));
        EXPECT_TRUE(
            std::equal(got.keys.begin(), got.keys.end(), whole.keys.begin() + static_cast<std::ptrdiff_t>(first)));
    }
    Bytes out(4);
    EXPECT_FALSE(p->predict(41 * 611 - 1, std::span(base).first(4), FloatKind::kBf16, out, {}).ok());
    EXPECT_FALSE(p->predict(0, std::span(base).first(6), FloatKind::kBf16, out, {}).ok());
}

TEST(LowRank, RoundsAndClassifiesAsDefined) {
    // base 1.0, product 2^-9 x n: bf16 has units of 2^-7 above 1.
    const double scale = 0x1p-12;
    const auto one = static_cast<std::uint32_t>(float_to_bf16(1.0f));
    EXPECT_EQ(predict_weight(0, scale, one, FloatKind::kBf16, MergeRounding::kNone, 500).bits, one);
    EXPECT_EQ(predict_weight(17, scale, one, FloatKind::kBf16, MergeRounding::kNone, 500).bits, one + 1);
    EXPECT_EQ(predict_weight(16, scale, one, FloatKind::kBf16, MergeRounding::kNone, 500).bits,
              one);  // a tie goes to even
    EXPECT_EQ(predict_weight(15, scale, one, FloatKind::kBf16, MergeRounding::kNone, 500).key & 128, 0);
    EXPECT_EQ(predict_weight(17, scale, one, FloatKind::kBf16, MergeRounding::kNone, 500).key & 128, 128);
    // 15/4096 lies 1/4096 from the boundary: with an expected error of 1/4096 (-12 octaves) that is class 7.
    EXPECT_EQ(predict_weight(15, scale, one, FloatKind::kBf16, MergeRounding::kNone, 508 - 48).key, 7);
    EXPECT_EQ(predict_weight(0, scale, one, FloatKind::kBf16, MergeRounding::kNone, 508 - 48).key, 15);
    // Not finite: stays.
    EXPECT_EQ(predict_weight(99, scale, 0x7f80, FloatKind::kBf16, MergeRounding::kNone, 500).bits, 0x7f80u);
    EXPECT_EQ(predict_weight(99, scale, 0xffc1, FloatKind::kBf16, MergeRounding::kNone, 500).bits, 0xffc1u);
}

TEST(LowRank, FactorsComeBackFromBothForms) {
    for (const unsigned bits : {2u, 5u, 9u, 13u, 16u}) {
        Factors f = random_factors(70, 33, 12, bits, bits);
        for (std::size_t i = 0; i < f.u.size(); i += 12) {
            f.u[i] = 0;                                                             // a component that is zero
            if (bits < 14) f.u[i + 3] = static_cast<std::int16_t>(f.u[i + 3] * 4);  // one in steps of four
        }
        const Bytes raw = factors_to_bytes(f);
        ASSERT_EQ(raw.size(), factors_bytes(f));
        const auto a = factors_from_bytes(raw);
        ASSERT_TRUE(a.ok());
        EXPECT_EQ(factors_to_bytes(*a), raw);
        const Bytes stored = factors_encode(f);
        const auto b = factors_decode(stored, raw.size());
        ASSERT_TRUE(b.ok()) << b.error().text();
        EXPECT_EQ(factors_to_bytes(*b), raw);
    }
}

TEST(LowRank, FactorsCostTheirEntropy) {
    // Gaussian components of different sizes: log2(sigma sqrt(2 pi e)) bits a number.
    std::mt19937_64 g(2);
    std::normal_distribution<double> normal(0, 1);
    Factors f = random_factors(4096, 4096, 16, 2, 1);
    double entropy = 0;
    for (std::size_t c = 0; c < 16; ++c) {
        const double sigma = 1000 * std::pow(0.7, static_cast<double>(c));
        for (std::size_t i = 0; i < 4096; ++i) {
            f.u[i * 16 + c] = static_cast<std::int16_t>(std::lround(sigma * normal(g)));
            f.v[i * 16 + c] = static_cast<std::int16_t>(std::lround(sigma * normal(g)));
        }
        entropy += 2 * 4096 * std::log2(sigma * std::sqrt(2 * 3.14159265 * 2.71828183));
    }
    const double stored = 8.0 * static_cast<double>(factors_encode(f).size());
    EXPECT_LT(stored, entropy * 1.01);
    EXPECT_GT(stored, entropy * 0.995);
}

TEST(LowRank, DamagedFactorsAreRefusedOrDifferent) {
    const Factors f = random_factors(50, 40, 9, 12, 4);
    const Bytes raw = factors_to_bytes(f), stored = factors_encode(f);
    for (std::size_t n = 0; n < stored.size(); n += 7)
        EXPECT_FALSE(factors_decode(std::span(stored).first(n), raw.size()).ok() && n < kFactorsHeaderBytes);
    for (std::size_t n = 0; n < raw.size(); n += 11) EXPECT_FALSE(factors_from_bytes(std::span(raw).first(n)).ok());
    EXPECT_FALSE(factors_decode(stored, raw.size() + 2).ok());
    EXPECT_FALSE(factors_decode(stored, 0).ok());
    Bytes longer = stored;
    longer.push_back(std::byte{1});
    longer.push_back(std::byte{1});
    longer.push_back(std::byte{1});
    longer.push_back(std::byte{1});
    longer.push_back(std::byte{1});
    EXPECT_FALSE(factors_decode(longer, raw.size()).ok());
    std::mt19937_64 g(9);
    for (int t = 0; t < 3000; ++t) {
        Bytes bad = stored;
        for (std::uint64_t k = 0; k <= g() % 3; ++k)
            bad[t % 3 == 0 ? g() % 20 : g() % bad.size()] ^= static_cast<std::byte>(1u << g() % 8);
        const auto got = factors_decode(bad, raw.size());
        EXPECT_TRUE(!got.ok() || check_factors(*got).ok());
        Bytes bad_raw = raw;
        bad_raw[g() % 24] ^= static_cast<std::byte>(1u << g() % 8);
        const auto parsed = factors_from_bytes(bad_raw);
        EXPECT_TRUE(!parsed.ok() || factors_to_bytes(*parsed) == bad_raw);
    }
    // A header that asks for much memory.
    Bytes huge = raw;
    for (std::size_t i = 2; i < 12; ++i) huge[i] = std::byte{0xff};
    EXPECT_FALSE(factors_from_bytes(huge).ok());
    EXPECT_FALSE(factors_decode(huge, kMaxBlockBytes).ok());
}

}  // namespace
}  // namespace tenpak::delta
