// SPDX-License-Identifier: Apache-2.0
// Payloads as they were once written decode to the same bytes for ever, by every decoder, the GPU's algorithm included.
// A new payload version gets a new file: TENPAK_WRITE_GOLDEN=FILE writes one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "core/delta/gpu_blocks.h"
#include "core/delta/payload.h"
#include "core/delta/weight_decode_bulk.h"
#include "tests/support/golden_weights.h"

namespace tenpak::delta {
namespace {

using test::GoldenData;
using test::GoldenWeights;

const fs::path kFile = fs::path(TENPAK_SOURCE_DIR) / "tests/fixtures/weights.golden";

void write_golden(const fs::path& path) {
    std::ofstream out(path, std::ios::binary);
    for (const auto kind : {FloatKind::kBf16, FloatKind::kFp16, FloatKind::kFp32}) {
        for (unsigned mode = 0; mode < 3; ++mode) {
            for (const unsigned lanes : {1u, 4u, 64u, 128u}) {
                const std::uint32_t n = lanes < 64 ? 333 : 2500 + lanes;
                const GoldenData data(kind, n);
                Bytes stored;
                const WeightEncoder encoder(data.fine, data.prediction(mode), kind);
                ASSERT_TRUE(encoder.possible());
                encoder.write(stored, lanes);
                const Digest digest = sha256(data.fine);
                const auto size = static_cast<std::uint32_t>(stored.size());
                const char head[4] = {static_cast<char>(kind), static_cast<char>(mode), 0, 0};
                out.write(head, 4);
                out.write(reinterpret_cast<const char*>(&n), 4);
                out.write(reinterpret_cast<const char*>(&size), 4);
                out.write(reinterpret_cast<const char*>(digest.data()), 32);
                out.write(reinterpret_cast<const char*>(stored.data()), size);
            }
        }
    }
}

TEST(Golden, EveryDecoderGivesTheRecordedBytes) {
    if (const char* path = std::getenv("TENPAK_WRITE_GOLDEN")) write_golden(path);
    const std::vector<GoldenWeights> all = test::read_golden_weights(kFile);
    ASSERT_EQ(all.size(), 36u);
    auto decoders = bulk_decoders();
    decoders.emplace_back("scalar");
    GpuImage image;
    Bytes predictions;
    std::vector<std::uint8_t> keys;
    for (const GoldenWeights& g : all) {
        const GoldenData data(g.kind, g.weights);
        const Prediction prediction = data.prediction(g.prediction);
        for (const std::string& d : decoders) {
            ASSERT_TRUE(choose_bulk_decoder(d));
            Bytes out(g.bytes());
            const Status s = decode_weights(g.payload, prediction, out);
            ASSERT_TRUE(s.ok()) << d << ": " << s.error().text();
            EXPECT_EQ(sha256(out), g.digest) << d;
        }
        choose_bulk_decoder("");
        const GpuPrediction at{predictions.size(), keys.size(), g.prediction != 0, g.prediction == 2};
        predictions.insert(predictions.end(), data.base.begin(), data.base.end());
        predictions.resize((predictions.size() + 15) / 16 * 16);
        keys.insert(keys.end(), data.keys.begin(), data.keys.end());
        const Status s = append_gpu_block(image, g.prediction == 0 ? "standalone" : "difference", g.payload, g.bytes(), at);
        ASSERT_TRUE(s.ok()) << s.error().text();
    }
    Bytes output(image.output_bytes);
    const Status s = run_gpu_image_on_host(image, predictions, keys, output);
    ASSERT_TRUE(s.ok()) << s.error().text();
    for (std::size_t i = 0; i < all.size(); ++i)
        EXPECT_EQ(sha256(std::span(output).subspan(image.blocks[i].output_offset, image.blocks[i].bytes)), all[i].digest) << i;
}

TEST(Golden, TheGpuAlgorithmRefusesWhatTheScalarDecoderRefuses) {
    const std::vector<GoldenWeights> all = test::read_golden_weights(kFile);
    ASSERT_FALSE(all.empty());
    test::SplitMix random{7};
    for (const GoldenWeights& g : all) {
        const GoldenData data(g.kind, g.weights);
        const Prediction prediction = data.prediction(g.prediction);
        for (int i = 0; i < 20; ++i) {
            Bytes bad = g.payload;
            bad[random() % (i < 10 ? std::min<std::size_t>(100, bad.size()) : bad.size())] ^= static_cast<std::byte>(1 + random() % 255);
            if (i % 6 == 0) bad.resize(bad.size() - 2 * (random() % std::min<std::size_t>(50, bad.size() / 2)));
            Bytes out(g.bytes()), gpu(g.bytes());
            const bool good = decode_weights(bad, prediction, out).ok();
            GpuImage image;
            const bool also = append_gpu_block(image, g.prediction == 0 ? "standalone" : "difference", bad, g.bytes(), {0, 0, g.prediction != 0, g.prediction == 2}).ok() &&
                              run_gpu_image_on_host(image, data.base, data.keys, gpu).ok();
            EXPECT_EQ(also, good);
            EXPECT_TRUE(!good || out == gpu);
        }
    }
}

TEST(Golden, OtherBlocksForTheGpu) {
    const GoldenData data(FloatKind::kBf16, 1000);
    GpuImage image;
    ASSERT_TRUE(append_gpu_block(image, "raw", data.fine, data.fine.size(), {}).ok());
    ASSERT_TRUE(append_gpu_block(image, "identical", {}, data.base.size(), {0, 0, true, false}).ok());
    EXPECT_EQ(append_gpu_block(image, "zstd", data.fine, data.fine.size(), {}).error().code, ErrorCode::kUnsupported);
    EXPECT_FALSE(append_gpu_block(image, "raw", data.fine, data.fine.size() + 2, {}).ok());
    EXPECT_FALSE(append_gpu_block(image, "identical", {}, data.base.size(), {}).ok());
    EXPECT_FALSE(append_gpu_block(image, "difference", data.fine, data.fine.size(), {0, 0, true, false}).ok());
    Bytes output(image.output_bytes);
    ASSERT_TRUE(run_gpu_image_on_host(image, data.base, {}, output).ok());
    EXPECT_TRUE(std::equal(data.fine.begin(), data.fine.end(), output.begin() + static_cast<std::ptrdiff_t>(image.blocks[0].output_offset)));
    EXPECT_TRUE(std::equal(data.base.begin(), data.base.end(), output.begin() + static_cast<std::ptrdiff_t>(image.blocks[1].output_offset)));
    EXPECT_FALSE(run_gpu_image_on_host(image, std::span(data.base).first(100), {}, output).ok());
}

}  // namespace
}  // namespace tenpak::delta
