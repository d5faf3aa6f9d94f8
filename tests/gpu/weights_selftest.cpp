// SPDX-License-Identifier: Apache-2.0
// For a machine with a GPU (run.sh weights): every golden payload decoded on the device to the recorded hash, damaged ones refused, then rates
// over blocks of 1 Mi weights, each compared with the CPU's result.
//   tenpak_gpu_weights GOLDEN_FILE [BLOCKS]
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/delta/gpu_swap.h"
#include "core/delta/weight_coder.h"
#include "tests/core/delta/synthetic.h"
#include "tests/support/golden_weights.h"

namespace {

using namespace tenpak;
using namespace tenpak::delta;

[[noreturn]] void die(const std::string& what) {
    std::fprintf(stderr, "FAILED: %s\n", what.c_str());
    std::exit(1);
}
template <class T>
T need(Result<T> r) {
    if (!r.ok()) die(r.error().what + " " + r.error().where);
    return std::move(r).value();
}
void need(const Status& s) {
    if (!s.ok()) die(s.error().what + " " + s.error().where);
}

void golden(const compute::CudaModule& module, const fs::path& file) {
    const auto all = test::read_golden_weights(file);
    if (all.empty()) die("cannot read the golden payloads");
    GpuImage image;
    Bytes predictions;
    std::vector<std::uint8_t> keys;
    std::vector<Digest> digests;
    for (const auto& g : all) {
        const test::GoldenData data(g.kind, g.weights);
        const GpuPrediction at{predictions.size(), keys.size(), g.prediction != 0, g.prediction == 2};
        predictions.insert(predictions.end(), data.base.begin(), data.base.end());
        predictions.resize((predictions.size() + 15) / 16 * 16);
        keys.insert(keys.end(), data.keys.begin(), data.keys.end());
        need(append_gpu_block(image, g.prediction == 0 ? "standalone" : "difference", g.payload, g.bytes(), at));
        digests.push_back(g.digest);
    }
    GpuSwap swap = need(GpuSwap::open(module, 0, predictions, keys));
    need(swap.swap(image));
    need(swap.verify(image, digests));
    std::printf("%zu golden payloads: bit-exact\n", all.size());
    // A word taken away: the kernel must say so and harm nothing.
    GpuImage damaged = image;
    for (auto& b : damaged.blocks) b.words -= b.words > 0 ? 1 : 0;
    if (swap.swap(damaged).ok()) die("a shortened payload was accepted");
    need(swap.swap(image));
    need(swap.verify(image, digests));
    std::printf("shortened payloads: refused\n");
}

void rates(const compute::CudaModule& module, std::size_t blocks) {
    for (const double alpha : {.0003, .005, .05}) {
        const auto [base, fine] = test::synthetic_pair(1024, 1024, alpha, DType::kBF16);
        Bytes stored, predictions;
        if (!encode_weights(fine, {base}, FloatKind::kBf16, stored)) die("cannot encode");
        GpuImage image;
        for (std::size_t i = 0; i < blocks; ++i) {
            predictions.insert(predictions.end(), base.begin(), base.end());
            need(append_gpu_block(image, "difference", stored, fine.size(), {i * base.size(), 0, true, false}));
        }
        GpuSwap swap = need(GpuSwap::open(module, 0, predictions));
        double upload = 1e9, decode = 1e9;
        for (int round = 0; round < 5; ++round) {
            const SwapTimes t = need(swap.swap(image));
            upload = std::min(upload, t.upload_seconds);
            decode = std::min(decode, t.decode_seconds);
        }
        need(swap.verify(image, std::vector<Digest>(blocks, sha256(fine))));
        std::printf("alpha %g: %zu blocks, %.2f GB out: decoded at %.1f GB/s, %.2f GB uploaded at %.1f GB/s from pageable memory, bit-exact\n", alpha, blocks,
                    static_cast<double>(image.output_bytes) / 1e9, static_cast<double>(image.output_bytes) / decode / 1e9, static_cast<double>(image.bytes.size()) / 1e9,
                    static_cast<double>(image.bytes.size()) / upload / 1e9);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) die("usage: tenpak_gpu_weights GOLDEN_FILE [BLOCKS]");
    const auto module = need(compute::CudaModule::open());
    std::printf("%s\n", module->devices().front().name.c_str());
    golden(*module, argv[1]);
    rates(*module, argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1024);
    std::printf("passed\n");
    return 0;
}
