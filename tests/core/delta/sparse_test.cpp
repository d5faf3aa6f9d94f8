// SPDX-License-Identifier: Apache-2.0
#include "core/delta/sparse_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "core/delta/weight_coder.h"
#include "tests/core/delta/synthetic.h"

namespace tenpak::delta {
namespace {

Bytes random_bytes(std::size_t n, std::mt19937& g) {
    Bytes b(n);
    for (auto& x : b) x = static_cast<std::byte>(g());
    return b;
}

TEST(Sparse, EveryElementSizeAndPlaceComesBack) {
    std::mt19937 g(2);
    for (const std::size_t element : {1u, 2u, 4u, 8u}) {
        for (const std::size_t n : {16u, 17u, 1000u, 100000u}) {
            const Bytes base = random_bytes(n * element, g);
            for (const std::size_t changes : {std::size_t{1}, n / 40 + 1, n / 17 + 1}) {
                Bytes raw = base;
                for (std::size_t k = 0; k < changes; ++k) {
                    const std::size_t i = k == 0 ? 0 : k == 1 ? n - 1 : g() % n;
                    if (g() % 2 == 0) raw[i * element] ^= std::byte{1};
                    else std::generate_n(raw.begin() + static_cast<std::ptrdiff_t>(i * element), element, [&] { return static_cast<std::byte>(g()); });
                }
                if (raw == base) raw[0] ^= std::byte{0x80};
                Bytes stored, back(raw.size());
                if (!sparse_encode(raw, base, element, stored)) {
                    EXPECT_LT(n, 40u);
                    continue;
                }
                const Status s = sparse_decode(stored, base, back);
                ASSERT_TRUE(s.ok()) << s.error().text();
                ASSERT_TRUE(back == raw);
                Bytes longer = stored;
                longer.push_back(std::byte{0});  // the shortest form has no zero at its end
                EXPECT_FALSE(sparse_decode(longer, base, back).ok());
                longer.insert(longer.end(), 4, std::byte{1});
                EXPECT_FALSE(sparse_decode(longer, base, back).ok());
            }
        }
    }
}

TEST(Sparse, ExtremeDifferencesComeBack) {
    for (const std::size_t element : {1u, 2u, 4u, 8u}) {
        const std::size_t n = 64;
        for (const std::byte from : {std::byte{0}, std::byte{0xff}}) {
            for (const std::byte top : {std::byte{0x80}, std::byte{0x7f}, std::byte{0}}) {
                const Bytes base(n * element, from);
                Bytes raw = base;
                raw[5 * element + element - 1] = top;
                raw[60 * element] ^= std::byte{0xff};
                Bytes stored, back(raw.size());
                ASSERT_TRUE(sparse_encode(raw, base, element, stored));
                ASSERT_TRUE(sparse_decode(stored, base, back).ok());
                EXPECT_TRUE(back == raw);
            }
        }
    }
}

TEST(Sparse, RefusesWhatItIsNotFor) {
    std::mt19937 g(4);
    const Bytes base = random_bytes(1000, g), other = random_bytes(1000, g);
    Bytes out;
    EXPECT_FALSE(sparse_encode(base, base, 2, out));
    EXPECT_FALSE(sparse_encode(other, base, 2, out));
    EXPECT_FALSE(sparse_encode(base, std::span(base).first(998), 2, out));
    EXPECT_FALSE(sparse_encode(base, base, 3, out));
    EXPECT_FALSE(sparse_encode({}, {}, 2, out));
    EXPECT_TRUE(out.empty());
}

TEST(Sparse, SmallerThanDifferenceWhereFewWeightsChange) {
    std::mt19937 g(6);
    const auto [base, fine] = test::synthetic_pair(512, 1024, 0.02, DType::kBF16);
    for (const double density : {0.00001, 0.0001, 0.001, 0.003}) {
        Bytes raw = base;
        std::uniform_real_distribution<double> u(0, 1);
        std::size_t changed = 0;
        for (std::size_t i = 0; i < raw.size() / 2; ++i) {
            if (u(g) >= density) continue;
            std::uint16_t w = 0;
            std::memcpy(&w, raw.data() + 2 * i, 2);
            w = static_cast<std::uint16_t>(w + (g() % 2 != 0 ? 1 : -1));
            std::memcpy(raw.data() + 2 * i, &w, 2);
            ++changed;
        }
        Bytes sparse, difference, back(raw.size());
        ASSERT_TRUE(sparse_encode(raw, base, 2, sparse));
        ASSERT_TRUE(sparse_decode(sparse, base, back).ok());
        ASSERT_TRUE(back == raw);
        ASSERT_TRUE(encode_weights(raw, {base}, FloatKind::kBf16, difference));
        const double n = static_cast<double>(raw.size() / 2), p = static_cast<double>(changed) / n;
        const double entropy = n * (-p * std::log2(p) - (1 - p) * std::log2(1 - p)) / 8 + static_cast<double>(changed) / 8;
        std::printf("density %g: %zu changes, sparse %zu bytes, difference %zu, entropy %.0f\n", density, changed, sparse.size(), difference.size(), entropy);
        EXPECT_LT(sparse.size(), difference.size());
        EXPECT_LT(static_cast<double>(sparse.size()), 1.04 * entropy + 16);
    }
}

TEST(Sparse, HostileInputIsRefusedOrDecodesToSomething) {
    std::mt19937 g(8);
    const Bytes base = random_bytes(4000, g);
    Bytes raw = base, stored, back(raw.size());
    for (int k = 0; k < 60; ++k) raw[g() % raw.size()] ^= static_cast<std::byte>(1 + g() % 255);
    ASSERT_TRUE(sparse_encode(raw, base, 2, stored));
    for (int i = 0; i < 5000; ++i) {
        Bytes bad = stored;
        bad[i % 3 == 0 ? g() % 4 : g() % bad.size()] ^= static_cast<std::byte>(1 + g() % 255);
        if (i % 5 == 0) bad.resize(g() % bad.size());
        const Status s = sparse_decode(bad, base, back);
        EXPECT_TRUE(s.ok() || s.error().code == ErrorCode::kMalformed);
    }
    EXPECT_FALSE(sparse_decode({}, base, back).ok());
    EXPECT_FALSE(sparse_decode(stored, std::span(base).first(3998), back).ok());
    Bytes odd(3999);
    EXPECT_FALSE(sparse_decode(stored, std::span(base).first(3999), odd).ok());
}

}  // namespace
}  // namespace tenpak::delta
