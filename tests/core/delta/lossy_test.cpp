// SPDX-License-Identifier: Apache-2.0
// Lossy modes: what is rebuilt is what the records say, and the errors reported are the errors made.
#include "core/delta/lossy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/base/hash.h"
#include "core/delta/codec.h"
#include "core/delta/compress.h"
#include "core/delta/lossy_codecs.h"
#include "core/delta/reconstruct.h"
#include "tests/core/delta/memory_blocks.h"
#include "tests/core/delta/model_pair.h"

namespace tenpak::delta {
namespace {

using test::MemoryBlocks;
using test::PairShape;
using test::read_tree;
using test::synthetic_pair;
using test::TempDir;
using test::write_model_pair;

constexpr DType kTypes[] = {DType::kBF16, DType::kF16, DType::kF32};
std::size_t width(DType t) { return t == DType::kF32 ? 4 : 2; }

double value_of(const Bytes& b, std::size_t i, DType t) {
    std::uint32_t w = 0;
    std::memcpy(&w, b.data() + i * width(t), width(t));
    return static_cast<double>(t == DType::kF32 ? std::bit_cast<float>(w) : t == DType::kBF16 ? bf16_to_float(static_cast<std::uint16_t>(w)) : fp16_to_float(static_cast<std::uint16_t>(w)));
}

Quantizer quantizer(unsigned most, float step) {
    Quantizer z;
    z.most = most;
    z.group_log2 = most == kInt4Most ? 6 : 7;
    z.step = float_to_bf16(step);
    z.threshold = 0.6;
    z.shrink_one = 9;
    z.shrink_more = 4;
    return z;
}

LossyChoice choice_of(std::string_view codec, const Quantizer& z = {}) {
    LossyChoice c;
    c.codec = codec;
    c.quantizer = z;
    return c;
}

Result<Bytes> decoded(std::string_view codec, std::span<const std::byte> stored, const Bytes& base) {
    Bytes raw(base.size(), std::byte{0xa5});
    TENPAK_RETURN_IF_ERROR(find_codec(codec)->decode(stored, Prediction(base), raw));
    return raw;
}

TEST(LossyCodecs, BlocksDecodeToWhatTheEncoderPromised) {
    for (const DType t : kTypes) {
        for (const std::size_t columns : {std::size_t{1}, std::size_t{77}, std::size_t{512}}) {
            const auto [base, fine] = synthetic_pair(37, columns, 0.05, t);
            for (const auto& [codec, most] : {std::pair{kInt8SparseCodec, kInt8Most}, std::pair{kInt4GroupsCodec, kInt4Most}, std::pair{kBit1Codec, 0u}}) {
                const auto b = encode_lossy(fine, base, t, choice_of(codec, quantizer(most, 0.0004f)), {columns, columns / 3});
                ASSERT_TRUE(b.has_value());
                const auto back = decoded(codec, b->stored, base);
                ASSERT_TRUE(back.ok()) << back.error().text();
                EXPECT_TRUE(*back == b->rebuilt) << codec << " " << columns;
                const auto again = encode_lossy(fine, base, t, choice_of(codec, quantizer(most, 0.0004f)), {columns, columns / 3}, false);
                ASSERT_TRUE(again.has_value());
                EXPECT_TRUE(again->rebuilt == b->rebuilt);
                EXPECT_TRUE(again->stored.empty());
            }
        }
    }
}

TEST(LossyCodecs, NoChangeIsFurtherOffThanItsScaleAllows) {
    for (const DType t : kTypes) {
        auto [base, fine] = synthetic_pair(64, 256, 0.05, t);
        // One far outlier: its group takes a larger scale, all others keep theirs.
        Bytes outlier;
        test::append_weight(outlier, 3.0f, t);
        std::copy(outlier.begin(), outlier.end(), fine.begin() + static_cast<std::ptrdiff_t>(1000 * width(t)));
        for (const unsigned most : {kInt8Most, kInt4Most}) {
            const Quantizer z = quantizer(most, 0.001f);
            Quantized q;
            ASSERT_TRUE(quantize(base, fine, *float_kind(t), z, q));
            Bytes rebuilt(base.size());
            dequantize(base, *float_kind(t), z, q, rebuilt);
            for (std::size_t i = 0; i < q.q.size(); ++i) {
                const double scale = group_scale(z.step, q.codes[i >> z.group_log2]), w = value_of(fine, i, t);
                const double rounding = std::fabs(w) * (t == DType::kF32 ? 0x1p-23 : t == DType::kBF16 ? 0x1p-7 : 0x1p-10) + 0x1p-24;
                ASSERT_LE(std::fabs(value_of(rebuilt, i, t) - w), 0.65 * scale + rounding) << i;
            }
            EXPECT_GT(q.codes[1000 >> z.group_log2], 0);
            EXPECT_EQ(q.codes[0], q.codes[1]);
        }
    }
}

TEST(LossyCodecs, SignsAreBitDeltaWithAScaleARow) {
    const DType t = DType::kF32;
    const auto [base, fine] = synthetic_pair(8, 300, 0.05, t);
    const auto b = encode_lossy(fine, base, t, choice_of(kBit1Codec), {300, 0});
    ASSERT_TRUE(b.has_value());
    for (std::size_t r = 0; r < 8; ++r) {
        double sum = 0;
        for (std::size_t i = r * 300; i < (r + 1) * 300; ++i) sum += std::fabs(value_of(fine, i, t) - value_of(base, i, t));
        const float scale = bf16_to_float(float_to_bf16(static_cast<float>(sum / 300)));
        for (std::size_t i = r * 300; i < (r + 1) * 300; ++i) {
            const double d = value_of(fine, i, t) - value_of(base, i, t), want = value_of(base, i, t) + (d < 0 ? -1.0 : 1.0) * static_cast<double>(scale);
            ASSERT_EQ(value_of(b->rebuilt, i, t), static_cast<double>(static_cast<float>(want)));
        }
    }
    EXPECT_EQ(b->stored.size(), 2 + 3 + 8 * 2 + 300);  // header, row length (2 bytes) and begin (1), scales, signs
}

TEST(LossyCodecs, WeightsThatAreNotFiniteStayLossless) {
    for (const DType t : kTypes) {
        for (const bool in_base : {false, true}) {
            auto [base, fine] = synthetic_pair(16, 64, 0.05, t);
            Bytes& b = in_base ? base : fine;
            Bytes infinite;
            test::append_weight(infinite, HUGE_VALF, t);
            std::copy(infinite.begin(), infinite.end(), b.begin() + static_cast<std::ptrdiff_t>(500 * width(t)));
            for (const auto codec : {kInt8SparseCodec, kBit1Codec}) EXPECT_FALSE(encode_lossy(fine, base, t, choice_of(codec, quantizer(127, 0.001f)), {64, 0}).has_value());
        }
    }
}

/// Words from integers alone: the same on every machine.
Bytes words_of(unsigned seed, std::size_t n, DType t, bool near, const Bytes& base) {
    std::mt19937 g(seed);
    Bytes out(n * width(t));
    for (std::size_t i = 0; i < n; ++i) {
        std::uint32_t w = 0;
        if (near) {
            std::memcpy(&w, base.data() + i * width(t), width(t));
            w ^= g() % (t == DType::kF32 ? 1u << 18 : t == DType::kBF16 ? 8u : 32u);
        } else {
            const std::uint32_t r = g();
            w = t == DType::kF32 ? (r & 0x807fffffu) | (110 + g() % 14) << 23 : t == DType::kBF16 ? (r & 0x807fu) | (110 + g() % 14) << 7 : (r & 0x83ffu) | (4 + g() % 10) << 10;
        }
        std::memcpy(out.data() + i * width(t), &w, width(t));
    }
    return out;
}

TEST(LossyCodecs, EveryMachineRebuildsTheSameBits) {
    // SHA-256 of what is rebuilt (first 8 digits): a change here breaks artifacts that exist.
    const std::map<std::string, std::string> golden{
        {"BF16 int8-sparse", "a76e1a72"}, {"BF16 int4-groups", "79df5b1a"}, {"BF16 bit1", "1bce47b5"}, {"F16 int8-sparse", "a1ac68d8"}, {"F16 int4-groups", "62e1c0ff"},
        {"F16 bit1", "07addbd3"},         {"F32 int8-sparse", "d06435be"},  {"F32 int4-groups", "2bfc8217"}, {"F32 bit1", "ffc34c0b"},
    };
    for (const DType t : kTypes) {
        const Bytes base = words_of(1, 20000, t, false, {}), fine = words_of(2, 20000, t, true, base);
        for (const auto& [codec, most] : {std::pair{kInt8SparseCodec, kInt8Most}, std::pair{kInt4GroupsCodec, kInt4Most}, std::pair{kBit1Codec, 0u}}) {
            const auto b = encode_lossy(fine, base, t, choice_of(codec, quantizer(most, most == kInt4Most ? 0x1.3p-9f : 0x1.3p-11f)), {200, 0});
            ASSERT_TRUE(b.has_value());
            const std::string name = std::string(dtype_name(t)) + " " + std::string(codec);
            EXPECT_EQ(to_hex(sha256(b->rebuilt)).substr(0, 8), golden.at(name)) << name;
        }
    }
}

TEST(LossyCodecs, HostileBytesAreRefusedOrDecodeToSomething) {
    std::mt19937 g(5);
    for (const DType t : kTypes) {
        const auto [base, fine] = synthetic_pair(20, 111, 0.05, t);
        for (const auto& [codec, most] : {std::pair{kInt8SparseCodec, kInt8Most}, std::pair{kInt4GroupsCodec, kInt4Most}, std::pair{kBit1Codec, 0u}}) {
            const auto b = encode_lossy(fine, base, t, choice_of(codec, quantizer(most, 0.0004f)), {111, 0});
            ASSERT_TRUE(b.has_value());
            for (std::size_t n = 0; n < b->stored.size(); n += 1 + n / 50) {
                const auto r = decoded(codec, std::span(b->stored).first(n), base);
                ASSERT_FALSE(r.ok()) << codec << " accepted " << n << " of " << b->stored.size() << " bytes";
                EXPECT_TRUE(r.error().code == ErrorCode::kMalformed || r.error().code == ErrorCode::kUnsupported);
            }
            Bytes longer = b->stored;
            longer.push_back(std::byte{0});
            EXPECT_FALSE(decoded(codec, longer, base).ok());
            for (int i = 0; i < 400; ++i) {
                Bytes flipped = b->stored;
                flipped[i < 100 ? static_cast<std::size_t>(i) % std::min<std::size_t>(flipped.size(), 24) : g() % flipped.size()] ^= static_cast<std::byte>(1u << g() % 8);
                (void)decoded(codec, flipped, base).ok();  // the stored hash refuses it before; here it must only not go out of bounds
            }
            // Another length than the block's, and a prediction of another length.
            Bytes raw(base.size() / 2);
            EXPECT_FALSE(find_codec(codec)->decode(b->stored, Prediction(std::span(base).first(raw.size())), raw).ok());
            EXPECT_FALSE(find_codec(codec)->decode(b->stored, Prediction(base), raw).ok());
        }
    }
}

class LossyModes : public testing::Test {
   protected:
    void SetUp() override {
        fs::create_directories(dir_ / "cache");
        setenv("XDG_CACHE_HOME", (dir_ / "cache").c_str(), 1);
    }
    std::shared_ptr<const ModelDirectory> open(const std::string& name) {
        auto m = ModelDirectory::open(dir_ / name);
        EXPECT_TRUE(m.ok()) << m.error().text();
        return *m;
    }
    CompressReport compress_mode(MemoryBlocks& blocks, LossyMode mode, std::uint32_t rank = 16) {
        CompressOptions o;
        o.threads = 2;
        o.block_weights = 50000;  // tensors of several blocks, which begin in the middle of rows and groups
        o.lossy = {mode, rank};
        auto r = compress(*open("base"), *open("ft"), blocks, o, {});
        EXPECT_TRUE(r.ok()) << r.error().text();
        return r.ok() ? *r : CompressReport{};
    }
    /// Rebuilds, and expects the errors that the report has.
    void expect_reported_errors(const MemoryBlocks& blocks, const CompressReport& r) {
        const auto base = open("base"), ft = open("ft");
        ASSERT_TRUE(verify_rebuild(blocks, base.get(), {}, {}).ok());
        fs::remove_all(dir_ / "out");
        const auto done = reconstruct(blocks, base.get(), dir_ / "out", {.verify = Verify::kFull}, {});
        ASSERT_TRUE(done.ok()) << done.error().text();
        const auto out = open("out");
        const auto was = read_tree(dir_ / "ft"), is = read_tree(dir_ / "out");
        for (const auto& [path, content] : was)
            if (!path.ends_with(".safetensors")) {
                EXPECT_EQ(is.at(path), content) << path;
            }
        double most = 0, error2 = 0, change2 = 0, weight2 = 0;
        for (const TensorReport& t : r.tensors) {
            const auto w = *ft->read_float(*ft->find(t.name)), v = *out->read_float(*out->find(t.name)), b = *base->read_float(*base->find(t.name));
            ErrorSums e;
            for (std::size_t i = 0; i < w.size(); ++i) {
                const double x = static_cast<double>(w[i]), d = static_cast<double>(v[i]) - x, c = x - static_cast<double>(b[i]);
                e.max_abs = std::max(e.max_abs, std::fabs(d));
                e.error2 += d * d;
                e.change2 += c * c;
                e.weight2 += x * x;
            }
            if (t.error.change2 > 0) {
                EXPECT_DOUBLE_EQ(t.error.max_abs, e.max_abs) << t.name;
                EXPECT_NEAR(t.error.relative(), e.relative(), 1e-9 * e.relative());
                EXPECT_NEAR(t.error.change_relative(), e.change_relative(), 1e-9 * e.change_relative());
            } else {
                EXPECT_EQ(e.max_abs, 0) << t.name;
            }
            most = std::max(most, e.max_abs);
            error2 += e.error2;
            change2 += e.change2;
            weight2 += e.weight2;
        }
        EXPECT_DOUBLE_EQ(r.error.max_abs, most);
        EXPECT_NEAR(r.error.relative(), std::sqrt(error2 / weight2), 1e-9 * r.error.relative());
        EXPECT_NEAR(r.error.change_relative(), std::sqrt(error2 / change2), 1e-9 * r.error.change_relative());
    }
    TempDir dir_;
};

TEST_F(LossyModes, EachModeRebuildsWhatItRecordsAndReportsItsErrors) {
    for (const DType t : kTypes) {
        for (const char* m : {"base", "ft"}) fs::remove_all(dir_ / m);
        write_model_pair(dir_.path(), {.layers = 2, .hidden = 256, .dtype = t, .alpha = 0.05, .shards = 2});
        std::uint64_t before = 0;
        for (const LossyMode mode : {LossyMode::kLossless, LossyMode::kInt8, LossyMode::kInt4}) {
            MemoryBlocks blocks;
            const CompressReport r = compress_mode(blocks, mode);
            SCOPED_TRACE(std::string(lossy_mode_name(mode)) + " " + std::string(dtype_name(t)));
            expect_reported_errors(blocks, r);
            EXPECT_EQ(blocks.record.lossless, mode == LossyMode::kLossless);
            EXPECT_EQ(r.lossless, mode == LossyMode::kLossless);
            EXPECT_EQ(blocks.record.attestation.at("mode"), lossy_mode_name(mode));
            if (before != 0) {
                EXPECT_LT(r.stored_bytes, 0.95 * static_cast<double>(before));
            }
            before = r.stored_bytes;
            if (mode == LossyMode::kLossless) continue;
            EXPECT_NEAR(std::stod(blocks.record.attestation.at("max_abs_error")), r.error.max_abs, 1e-4 * r.error.max_abs);
            EXPECT_LT(r.error.change_relative(), mode == LossyMode::kInt8 ? 0.06 : 0.2);
            std::printf("%s %s: %.3f bit per weight, error %.4f of the change\n", std::string(dtype_name(t)).c_str(), std::string(lossy_mode_name(mode)).c_str(),
                        8 * static_cast<double>(r.stored_bytes) / static_cast<double>(r.weights), r.error.change_relative());
        }
        MemoryBlocks blocks;
        const CompressReport r = compress_mode(blocks, LossyMode::kBit1);
        SCOPED_TRACE("bit1");
        expect_reported_errors(blocks, r);
        for (const TensorReport& tensor : r.tensors) {
            const bool inner = tensor.name.find("proj") != std::string::npos;
            EXPECT_EQ(tensor.method == kBit1Codec, inner) << tensor.name << ": " << tensor.method;
            if (!inner) {
                EXPECT_EQ(tensor.error.error2, 0) << tensor.name;
            }
            if (inner) {
                EXPECT_NEAR(8.0 * static_cast<double>(tensor.stored_bytes) / static_cast<double>(tensor.weights), 1.06, 0.05);
            }
            EXPECT_TRUE(tensor.choice.has_value() && (inner || !tensor.choice->why.empty())) << tensor.name;
        }
        MemoryBlocks reduced;
        expect_reported_errors(reduced, compress_mode(reduced, LossyMode::kLowRank, 8));
        EXPECT_FALSE(reduced.record.lossless);
    }
}

TEST_F(LossyModes, LowRankKeepsTheLargestComponentsAndNoOther) {
    // Four components on rows of their own: their singular values are known.
    constexpr std::size_t kRows = 192, kColumns = 256, kRank = 4;
    const std::string name = "model.layers.0.mlp.up_proj.weight";
    std::mt19937 g(3);
    const auto uniform = [&] { return static_cast<double>(g()) / 4294967296.0 - 0.5; };
    std::vector<double> u(kRows), v(kRank * kColumns), squares(kRank);
    for (auto& x : u) x = uniform();
    for (auto& x : v) x = uniform();
    for (std::size_t k = 0; k < kRank; ++k) {  // orthogonal to those before
        for (std::size_t p = 0; p < k; ++p) {
            double dot = 0, norm = 0;
            for (std::size_t j = 0; j < kColumns; ++j) dot += v[k * kColumns + j] * v[p * kColumns + j], norm += v[p * kColumns + j] * v[p * kColumns + j];
            for (std::size_t j = 0; j < kColumns; ++j) v[k * kColumns + j] -= dot / norm * v[p * kColumns + j];
        }
    }
    const double size[kRank] = {4e-3, 2e-3, 1e-3, 0.5e-3};
    Bytes base, fine;
    for (std::size_t i = 0; i < kRows; ++i) {
        for (std::size_t j = 0; j < kColumns; ++j) {
            const std::size_t k = i % kRank;
            const float b = static_cast<float>(uniform() * 0.05);
            const double d = size[k] * u[i] * v[k * kColumns + j];
            test::append_weight(base, b, DType::kF32);
            test::append_weight(fine, static_cast<float>(static_cast<double>(b) + d), DType::kF32);
            squares[k] += d * d;
        }
    }
    for (const auto& [folder, data] : {std::pair{"base", &base}, std::pair{"ft", &fine}}) {
        fs::create_directories(dir_ / folder);
        ASSERT_TRUE(write_safetensors(dir_ / folder / "model.safetensors", {{name, DType::kF32, {kRows, kColumns}, *data}}).ok());
    }
    double all = 0, left = 0;
    for (const double x : squares) all += x;
    std::vector<double> by_rank;
    std::sort(squares.begin(), squares.end());
    for (std::uint32_t rank = 3; rank >= 1; --rank) {
        left += squares[3 - rank];
        MemoryBlocks blocks;
        const CompressReport r = compress_mode(blocks, LossyMode::kLowRank, rank);
        expect_reported_errors(blocks, r);
        const TensorReport& t = r.tensors.front();
        EXPECT_EQ(t.method, "lowrank");
        EXPECT_EQ(t.rank, rank);
        EXPECT_FALSE(r.lossless);
        EXPECT_EQ(blocks.record.attestation.at("rank"), std::to_string(rank));
        EXPECT_NEAR(t.error.change_relative(), std::sqrt(left / all), 0.02 * std::sqrt(left / all)) << "no rank-" << rank << " matrix is nearer than the truncated decomposition";
        EXPECT_LT(r.stored_bytes, rank * (kRows + kColumns) * 2 + 2000);
        by_rank.push_back(static_cast<double>(r.stored_bytes));
    }
    EXPECT_GT(by_rank[0], by_rank[2]);
    // All components: what is left is the rounding of the integers.
    MemoryBlocks blocks;
    const CompressReport r = compress_mode(blocks, LossyMode::kLowRank, 4);
    expect_reported_errors(blocks, r);
    EXPECT_LT(r.error.change_relative(), 1e-3);
}

TEST_F(LossyModes, WhatIsSharedWithTheBaseStaysIdentical) {
    write_model_pair(dir_.path(), {.layers = 1, .hidden = 256, .alpha = 0.05, .freeze_embeddings = true});
    MemoryBlocks blocks;
    const CompressReport r = compress_mode(blocks, LossyMode::kInt4);
    EXPECT_EQ(r.tensors.front().method, "identical");
    EXPECT_EQ(r.tensors.front().choice->why, "unchanged");
    expect_reported_errors(blocks, r);
}

TEST_F(LossyModes, LosslessWhereItCostsLess) {
    // Changes of one unit in the last place of a few weights: any loss would cost more than the bits it saves.
    write_model_pair(dir_.path(), {.layers = 1, .hidden = 256, .alpha = 0.0002});
    MemoryBlocks blocks;
    const CompressReport r = compress_mode(blocks, LossyMode::kInt8);
    for (const TensorReport& t : r.tensors)
        if (t.choice->why == "lossless costs less") {
            EXPECT_EQ(t.error.error2, 0);
            ASSERT_EQ(t.choice->considered.size(), 3u);
            EXPECT_LE(t.choice->considered[0].cost, std::min(t.choice->considered[1].cost, t.choice->considered[2].cost));
        }
    expect_reported_errors(blocks, r);
}

TEST_F(LossyModes, TheChoiceIsTheCheapestOfThoseConsidered) {
    write_model_pair(dir_.path(), {.layers = 1, .hidden = 256, .alpha = 0.05});
    for (const LossyMode mode : {LossyMode::kInt8, LossyMode::kInt4}) {
        MemoryBlocks blocks;
        const CompressReport r = compress_mode(blocks, mode);
        for (const TensorReport& t : r.tensors) {
            ASSERT_TRUE(t.choice.has_value());
            if (t.choice->codec.empty()) continue;
            EXPECT_EQ(t.choice->lambda, lambda_of(mode));
            double best = HUGE_VAL, taken = HUGE_VAL;
            for (const LossyCandidate& c : t.choice->considered) {
                EXPECT_NEAR(c.cost, c.change_error * c.change_error + t.choice->lambda * c.bits_per_weight, 1e-12) << t.name << " " << c.codec;
                best = std::min(best, c.cost);
                if (c.codec == t.choice->codec) taken = c.cost;
            }
            EXPECT_LE(taken, 1.01 * best) << t.name;
            // The sample tells what the whole becomes.
            for (const LossyCandidate& c : t.choice->considered)
                if (c.codec == t.choice->codec) {
                    EXPECT_NEAR(c.change_error, t.error.change_relative(), 0.1 * c.change_error) << t.name;
                }
        }
    }
}

}  // namespace
}  // namespace tenpak::delta
