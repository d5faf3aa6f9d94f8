// SPDX-License-Identifier: Apache-2.0
// The weights payload: every decoder gives what the scalar one gives, on good and on damaged payloads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "core/delta/payload.h"
#include "core/delta/weight_coder.h"
#include "core/delta/weight_decode_bulk.h"
#include "tests/core/delta/synthetic.h"

namespace tenpak::delta {
namespace {

using test::synthetic_pair;

std::vector<std::string> decoders() {
    auto names = bulk_decoders();
    names.emplace_back("scalar");
    return names;
}

class Weights : public ::testing::Test {
   protected:
    void TearDown() override { choose_bulk_decoder(""); }
};

/// Encodes and expects every decoder to give it back. Returns the stored bytes.
Bytes expect_round_trip(const Bytes& raw, const Prediction& prediction, FloatKind kind, const char* what) {
    Bytes stored;
    EXPECT_TRUE(encode_weights(raw, prediction, kind, stored)) << what;
    for (const std::string& d : decoders()) {
        EXPECT_TRUE(choose_bulk_decoder(d));
        Bytes back(raw.size(), std::byte{0xa5});
        const Status s = decode_weights(stored, prediction, back);
        EXPECT_TRUE(s.ok()) << what << ", " << d << ": " << s.error().text();
        EXPECT_TRUE(back == raw) << what << ", " << d;
    }
    choose_bulk_decoder("");
    return stored;
}

/// Every decoder refuses the payload, or all give the same weights.
void expect_agreement(const Bytes& stored, const Prediction& prediction, std::size_t size) {
    choose_bulk_decoder("scalar");
    Bytes first(size);
    const bool ok = decode_weights(stored, prediction, first).ok();
    for (const std::string& d : bulk_decoders()) {
        choose_bulk_decoder(d);
        Bytes other(size);
        EXPECT_EQ(decode_weights(stored, prediction, other).ok(), ok) << d;
        EXPECT_TRUE(!ok || other == first) << d;
    }
    choose_bulk_decoder("");
}

struct Type {
    DType type;
    FloatKind kind;
    std::size_t size;
};
const std::vector<Type> kTypes{{DType::kBF16, FloatKind::kBf16, 2}, {DType::kF16, FloatKind::kFp16, 2}, {DType::kF32, FloatKind::kFp32, 4}};

/// Keys as a low-rank predictor gives them: how near the exact prediction is to a rounding boundary, and on which side.
std::vector<std::uint8_t> random_keys(std::size_t n, unsigned classes, std::mt19937& g) {
    std::vector<std::uint8_t> keys(n);
    for (auto& k : keys) k = static_cast<std::uint8_t>(g() % classes * (127 / classes) | (g() % 2 != 0 ? kMirror : 0));
    return keys;
}

Bytes head(const Bytes& b, std::size_t n) { return Bytes(b.begin(), b.begin() + static_cast<std::ptrdiff_t>(n)); }

TEST_F(Weights, EveryLengthAndTypeComesBack) {
    for (const Type& t : kTypes) {
        const auto [base, fine] = synthetic_pair(300, 250, 0.01, t.type);
        std::vector<std::size_t> lengths{511, 512, 513, 2047, 2048, 2049, 2051, 16383, 16384, 16385, 16415, 16416, 16417, 16447, 16448, 16449, 16511, 70001};
        for (std::size_t n = 1; n <= 300; ++n) lengths.push_back(n);
        for (const std::size_t n : lengths) {
            const Bytes f = head(fine, n * t.size), b = head(base, n * t.size);
            expect_round_trip(f, {b}, t.kind, "difference");
            expect_round_trip(f, {}, t.kind, "standalone");
        }
    }
}

TEST_F(Weights, EverySizeOfChangeComesBack) {
    for (const Type& t : kTypes) {
        for (const double alpha : {1e-5, 0.0005, 0.01, 0.3, 30.0}) {
            auto [base, fine] = synthetic_pair(150, 333, alpha, t.type);
            expect_round_trip(fine, {base}, t.kind, "plain");
            for (std::size_t i = 0; i < 2000 * t.size; ++i) base[i] = std::byte{0};  // exact zeros far below: absolute symbols, a wide range of exponents
            expect_round_trip(fine, {base}, t.kind, "with zeros");
            expect_round_trip(base, {fine}, t.kind, "the other way");
        }
    }
}

TEST_F(Weights, LargeBlocksWithManyStatesComeBack) {
    std::mt19937 g(12);
    for (const Type& t : kTypes) {
        for (const std::size_t n : {300000u, 300031u}) {
            const auto [base, fine] = synthetic_pair(1, n, 0.05, t.type);
            const auto keys = random_keys(n, 12, g);
            for (const Prediction& p : {Prediction{}, Prediction{base}, Prediction{base, keys}}) {
                const Bytes stored = expect_round_trip(fine, p, t.kind, "large");
                EXPECT_EQ(parse_payload(stored).value().lanes, 128u);
                for (int i = 0; i < 6; ++i) {
                    Bytes bad = stored;
                    bad[i < 3 ? g() % 1000 : g() % bad.size()] ^= static_cast<std::byte>(1 + g() % 255);
                    if (i % 2 == 0) bad.resize(bad.size() - 2 * (g() % 400));
                    expect_agreement(bad, p, fine.size());
                }
            }
        }
    }
}

TEST_F(Weights, RandomBitsComeBack) {
    std::mt19937 g(5);
    for (const Type& t : kTypes) {
        for (const std::size_t n : {40000u, 1000u}) {
            Bytes raw(n * t.size), base(n * t.size);
            for (auto& x : raw) x = static_cast<std::byte>(g());
            for (auto& x : base) x = static_cast<std::byte>(g());
            expect_round_trip(raw, {base}, t.kind, "random bits");
            for (std::size_t i = 0; i < n; i += 2) std::copy_n(base.begin() + static_cast<std::ptrdiff_t>(i * t.size), t.size, raw.begin() + static_cast<std::ptrdiff_t>(i * t.size));
            expect_round_trip(raw, {base}, t.kind, "half random bits");
        }
        const Bytes zeros(40000 * t.size), ones(40000 * t.size, std::byte{0xff});
        expect_round_trip(zeros, {ones}, t.kind, "zeros from ones");
        expect_round_trip(ones, {zeros}, t.kind, "ones from zeros");
        expect_round_trip(zeros, {zeros}, t.kind, "zeros");
        expect_round_trip(zeros, {}, t.kind, "zeros alone");
    }
}

TEST_F(Weights, LowBitsThatAreZeroCostNothing) {
    for (const Type& t : kTypes) {
        const unsigned mantissa = t.kind == FloatKind::kBf16 ? 7 : t.kind == FloatKind::kFp16 ? 10 : 23;
        auto [base, fine] = synthetic_pair(100, 500, 0.02, t.type);
        Bytes base_now = base, fine_now = fine;
        std::size_t before = SIZE_MAX;
        for (unsigned dropped = 1; dropped < mantissa; dropped += mantissa > 10 ? 5 : 1) {
            for (Bytes* b : {&base_now, &fine_now}) {
                for (std::size_t i = 0; i < b->size(); i += t.size) {
                    std::uint32_t w = 0;
                    std::memcpy(&w, b->data() + i, t.size);
                    w = w >> dropped << dropped;
                    std::memcpy(b->data() + i, &w, t.size);
                }
            }
            const std::size_t size = expect_round_trip(fine_now, {base_now}, t.kind, "dropped bits").size();
            EXPECT_LT(size, before);
            before = size + 64;
            expect_round_trip(fine_now, {}, t.kind, "dropped bits alone");
        }
    }
}

TEST_F(Weights, KeysChooseContextsAndMirror) {
    std::mt19937 g(9);
    for (const Type& t : kTypes) {
        for (const std::size_t n : {100u, 5000u, 40000u}) {
            const auto [base, fine] = synthetic_pair(1, n, 0.02, t.type);
            for (const unsigned classes : {1u, 4u, 127u}) {
                const auto keys = random_keys(n, classes, g);
                expect_round_trip(fine, {base, keys}, t.kind, "keys");
                Bytes raw = base;  // a residual of one unit, in the mirror's direction and more often in high classes
                for (std::size_t i = 0; i < n; ++i) {
                    if (g() % 128 >= (keys[i] & 127u) / 4 + 1) continue;
                    std::uint32_t w = 0;
                    std::memcpy(&w, raw.data() + i * t.size, t.size);
                    w += (keys[i] & kMirror) != 0 ? -1u : 1u;
                    std::memcpy(raw.data() + i * t.size, &w, t.size);
                }
                const std::size_t with = expect_round_trip(raw, {base, keys}, t.kind, "mirrored residual").size();
                std::vector<std::uint8_t> same(n, 0);
                const std::size_t without = expect_round_trip(raw, {base, same}, t.kind, "without classes").size();
                const bool telling = n == 40000 && classes == 4;
                EXPECT_TRUE(!telling || static_cast<double>(with) < 0.9 * static_cast<double>(without)) << with << " against " << without;
            }
        }
    }
}

TEST_F(Weights, SkewedResidualsCostLittleMoreThanTheirEntropy) {
    std::mt19937 g(3);
    const std::size_t n = 1u << 20;
    std::vector<std::uint8_t> keys(n);
    Bytes base(2 * n);
    std::vector<std::uint16_t> b(n), r(n);
    double bits = 0;
    const double p_of[] = {0.002, 0.01, 0.03, 0.1};
    for (std::size_t i = 0; i < n; ++i) {
        const unsigned c = g() % 4;
        keys[i] = static_cast<std::uint8_t>(c * 5 | (g() % 2 != 0 ? kMirror : 0));
        b[i] = static_cast<std::uint16_t>(0x3c00 + g() % 512);
        const double p = p_of[c];
        const bool change = std::uniform_real_distribution<double>(0, 1)(g) < p;
        r[i] = static_cast<std::uint16_t>(b[i] + (!change ? 0 : (keys[i] & kMirror) != 0 ? -1 : 1));
        bits += change ? -std::log2(p) : -std::log2(1 - p);
    }
    Bytes raw(2 * n);
    std::memcpy(base.data(), b.data(), 2 * n);
    std::memcpy(raw.data(), r.data(), 2 * n);
    const std::size_t size = expect_round_trip(raw, {base, keys}, FloatKind::kBf16, "skewed").size();
    EXPECT_LT(static_cast<double>(size), 1.01 * bits / 8 + 320);
    std::printf("%.4f bit a weight, entropy %.4f\n", 8.0 * static_cast<double>(size) / static_cast<double>(n), bits / static_cast<double>(n));
}

TEST_F(Weights, KeysAndPayloadMustAgree) {
    const auto [base, fine] = synthetic_pair(10, 100, 0.02, DType::kBF16);
    std::vector<std::uint8_t> keys(1000, 3), few(999, 3);
    Bytes with, without, back(fine.size());
    ASSERT_TRUE(encode_weights(fine, {base, keys}, FloatKind::kBf16, with));
    ASSERT_TRUE(encode_weights(fine, {base}, FloatKind::kBf16, without));
    EXPECT_TRUE(decode_weights(with, {base, keys}, back).ok());
    EXPECT_TRUE(back == fine);
    EXPECT_FALSE(decode_weights(with, {base}, back).ok());
    EXPECT_FALSE(decode_weights(with, {base, few}, back).ok());
    EXPECT_FALSE(decode_weights(with, {}, back).ok());
    EXPECT_FALSE(decode_weights(without, {}, back).ok() && back == fine);
    EXPECT_TRUE(decode_weights(without, {base, keys}, back).ok());  // keys that the payload does not use
    EXPECT_TRUE(back == fine);
}

TEST_F(Weights, HostilePayloadsAreRefusedOrDecodeToTheSame) {
    std::mt19937 g(11);
    for (const Type& t : kTypes) {
        const auto [base, fine] = synthetic_pair(30, 41, 0.02, t.type);
        const auto keys = random_keys(30 * 41, 12, g);
        for (const Prediction& p : {Prediction{}, Prediction{base}, Prediction{base, keys}}) {
            Bytes stored;
            ASSERT_TRUE(encode_weights(fine, p, t.kind, stored));
            Bytes back(fine.size());
            int refused = 0;
            constexpr int kTries = 2000;
            for (int i = 0; i < kTries; ++i) {
                Bytes bad = stored;
                const auto flips = 1 + g() % 4;
                for (unsigned f = 0; f < flips; ++f) bad[i < 700 ? g() % 40 : g() % bad.size()] ^= static_cast<std::byte>(1 + g() % 255);
                if (i % 5 == 0) bad.resize(g() % bad.size());
                const Status s = decode_weights(bad, p, back);
                if (!s.ok() || back != fine) ++refused;
                EXPECT_TRUE(s.ok() || s.error().code == ErrorCode::kMalformed || s.error().code == ErrorCode::kUnsupported);
            }
            EXPECT_GT(refused, kTries * 95 / 100);
            for (std::size_t n = 0; n < stored.size(); ++n) EXPECT_FALSE(decode_weights(std::span(stored).first(n), p, back).ok());
            stored.push_back(std::byte{0});
            EXPECT_FALSE(decode_weights(stored, p, back).ok());
            stored.push_back(std::byte{0});
            EXPECT_FALSE(decode_weights(stored, p, back).ok());
        }
    }
}

TEST_F(Weights, DecodersAgreeOnDamagedPayloads) {
    std::mt19937 g(5);
    for (const Type& t : kTypes) {
        for (const double alpha : {0.0005, 0.3}) {
            auto [base, fine] = synthetic_pair(60, 333, alpha, t.type);
            const auto keys = random_keys(60 * 333, 12, g);
            for (const Prediction& p : {Prediction{}, Prediction{base}, Prediction{base, keys}}) {
                Bytes stored;
                ASSERT_TRUE(encode_weights(fine, p, t.kind, stored));
                for (int i = 0; i < 60; ++i) {
                    Bytes bad = stored;
                    bad[i < 30 ? g() % 400 : g() % bad.size()] ^= static_cast<std::byte>(1 + g() % 255);
                    if (i % 7 == 0) bad.resize(bad.size() - 2 * (g() % std::min<std::size_t>(bad.size() / 2, 400)));
                    expect_agreement(bad, p, fine.size());
                }
            }
        }
    }
}

TEST_F(Weights, NoiseIsRefused) {
    std::mt19937 g(1);
    Bytes noise(300), out(64), base(64, std::byte{0x3c});
    const std::vector<std::uint8_t> keys(32, 5);
    for (int i = 0; i < 20000; ++i) {
        for (auto& x : noise) x = static_cast<std::byte>(g());
        noise[0] = std::byte{kPayloadVersion};
        noise[1] = static_cast<std::byte>(g() % 3 | (g() % 2 << 7));
        noise[2] = static_cast<std::byte>(10 + g() % 3);
        noise[3] = static_cast<std::byte>(g() % 64);
        EXPECT_FALSE(decode_weights(noise, {base, keys}, out).ok() && decode_weights(noise, {}, out).ok());
    }
    noise[0] = std::byte{1};
    EXPECT_EQ(decode_weights(noise, {}, out).error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace tenpak::delta
