// SPDX-License-Identifier: Apache-2.0
// For a machine with a GPU (run.sh bench): what the kernels reach of the device.
//   decode   a token of the linear layers of Llama-2-7B's shape at batch 1, 4, 16, as one replayed graph: GB/s of weights read, against a copy
//            measured beside it, and against the same layers in bf16
//   prefill  512 and 2048 tokens: TFLOP/s, against cuBLASLt in bf16 (the bf16 rows)
//   and attention, and Gram matrices of calibration text
//   tenpak_gpu_bench [DEVICE]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "core/compute/buffer.h"
#include "core/compute/cuda/cuda_backend.h"
#include "tests/core/compute/weights.h"
#include "tests/gpu/need.h"

namespace {

using namespace tenpak;
using namespace tenpak::compute;
using namespace tenpak::test;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kHidden = 4096, kIntermediate = 11008, kLayers = 8;  // 8 of 32 layers are beyond every cache; figures are of 32
constexpr double kOf = 32.0 / kLayers;
constexpr int kWarm = 5, kSteps = 50, kRounds = 5;

struct Layer {
    std::unique_ptr<PackedLinear> q, k, v, o, gate, up, down;
};

struct Model {
    std::vector<Layer> layers;
    std::uint64_t bytes = 0;
    double weights = 0;
};

/// `f` in groups of 128 (nf4: 64, as bitsandbytes makes it); `act_order`: GPTQ's columns in any order; `outliers`: LLM.int8.
struct Candidate {
    WeightFormat f;
    bool act_order = false, outliers = false;
};
LinearWeight bench_weight(const Candidate& c, std::uint32_t n, std::uint32_t k, unsigned seed) {
    LinearWeight w = random_weight(c.f, n, k, c.f == WeightFormat::kNf4Group ? 64 : 128, seed);
    if (c.act_order) shuffle_groups(w, k);
    // Beyond 3 sigma of what a norm leaves: 1 activation in 400.
    if (c.outliers) w.outlier_threshold = 3;
    return w;
}

Model make_model(Backend& gpu, const Candidate& c) {
    Model m;
    // One host weight a shape: what the codes are does not matter to the time.
    const LinearWeight square = bench_weight(c, kHidden, kHidden, 1), up = bench_weight(c, kIntermediate, kHidden, 2), down = bench_weight(c, kHidden, kIntermediate, 3);
    for (std::uint32_t l = 0; l < kLayers; ++l) {
        Layer layer;
        for (auto* p : {&layer.q, &layer.k, &layer.v, &layer.o}) *p = need(gpu.make_linear(square));
        for (auto* p : {&layer.gate, &layer.up}) *p = need(gpu.make_linear(up));
        layer.down = need(gpu.make_linear(down));
        for (const auto* p : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
            m.bytes += (*p)->bytes();
            m.weights += static_cast<double>((*p)->n()) * (*p)->k();
        }
        m.layers.push_back(std::move(layer));
    }
    return m;
}

/// Seconds of one pass over kLayers layers, norms and activations between the products included: the best of some rounds.
double pass(Backend& gpu, const Model& m, std::uint32_t tokens, int steps) {
    Buffer hidden(gpu), normed(gpu), q(gpu), k(gpu), v(gpu), gate(gpu), up(gpu), weight(gpu);
    const std::size_t t = tokens;
    need(hidden.assign(random_floats(t * kHidden, 1)));
    need(weight.assign(random_floats(kHidden, 2)));
    for (Buffer* b : {&normed, &q, &k, &v}) need(b->reserve(t * kHidden));
    for (Buffer* b : {&gate, &up}) need(b->reserve(t * kIntermediate));
    const auto step = [&] {
        for (const Layer& l : m.layers) {
            gpu.rms_norm(hidden.data(), weight.data(), 1e-5f, tokens, kHidden, normed.data(), false);
            gpu.linear(*l.q, normed.data(), tokens, q.data());
            gpu.linear(*l.k, normed.data(), tokens, k.data());
            gpu.linear(*l.v, normed.data(), tokens, v.data());
            gpu.linear(*l.o, q.data(), tokens, k.data());
            gpu.add(hidden.data(), k.data(), t * kHidden);
            gpu.rms_norm(hidden.data(), weight.data(), 1e-5f, tokens, kHidden, normed.data(), false);
            gpu.linear(*l.gate, normed.data(), tokens, gate.data());
            gpu.linear(*l.up, normed.data(), tokens, up.data());
            gpu.activation_mul(Activation::kSilu, gate.data(), up.data(), t * kIntermediate, gate.data());
            gpu.linear(*l.down, gate.data(), tokens, k.data());
            gpu.add(hidden.data(), k.data(), t * kHidden);
        }
        need(gpu.synchronize());
    };
    for (int i = 0; i < kWarm; ++i) step();
    double best = 1e30;
    for (int r = 0; r < kRounds; ++r) {
        const auto start = Clock::now();
        for (int i = 0; i < steps; ++i) step();
        best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count() / steps);
    }
    return best;
}

void attention(Backend& gpu, std::uint32_t context) {
    constexpr std::uint32_t kHeads = 32, kKvHeads = 8, kDim = 128;
    Buffer q(gpu), out(gpu), keys(gpu), values(gpu);
    need(q.assign(random_floats(std::size_t{context} * kHeads * kDim, 1)));
    need(out.reserve(std::size_t{context} * kHeads * kDim));
    need(keys.assign(random_floats(std::size_t{context} * kKvHeads * kDim, 2)));
    need(values.assign(random_floats(std::size_t{context} * kKvHeads * kDim, 3)));
    for (const bool decode : {true, false}) {
        const AttentionJob job{q.data(), decode ? 1 : context, decode ? context - 1 : 0, {keys.data(), values.data(), context}, out.data()};
        double best = 1e30;
        for (int r = 0; r < 10; ++r) {
            const int n = decode ? 100 : 5;
            need(gpu.synchronize());
            const auto start = Clock::now();
            for (int i = 0; i < n; ++i) gpu.attention_batch({&job, 1}, {kHeads, kKvHeads, kDim, 0.0884f});
            need(gpu.synchronize());
            best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count() / n);
        }
        if (decode) {
            std::printf("attention, 32/8 heads of 128, decode at %u: %.1f us, %.0f GB/s of keys and values\n", context, best * 1e6, 2.0 * context * kKvHeads * kDim * 4 / best / 1e9);
        } else {
            std::printf("attention, 32/8 heads of 128, prefill of %u: %.2f ms, %.1f TFLOP/s\n", context, best * 1e3, 2.0 * context * context * kHeads * kDim / best / 1e12);
        }
    }
}

void gram(Backend& gpu, std::uint32_t k) {
    constexpr std::uint32_t kTokens = 2048;
    Buffer x(gpu), h(gpu), sums(gpu);
    need(x.assign(random_floats(std::size_t{kTokens} * k, 1)));
    need(h.assign(std::vector<float>(std::size_t{k} * k)));
    need(sums.assign(std::vector<float>(k)));
    double best = 1e30;
    for (int r = 0; r < 5; ++r) {
        constexpr int kCalls = 10;
        need(gpu.synchronize());
        const auto start = Clock::now();
        for (int i = 0; i < kCalls; ++i) need(gpu.gram(x.data(), kTokens, k, h.data(), sums.data()));
        need(gpu.synchronize());
        best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count() / kCalls);
    }
    std::printf("Gram matrix of %u, %u tokens: %.2f ms, %.1f TFLOP/s of fp32 (half of x^T x)\n", k, kTokens, best * 1e3, 1.0 * k * k * kTokens / best / 1e12);
}

}  // namespace

int main(int argc, char** argv) {
    const auto backend = gpu_or_skip(argc, argv);
    CudaBackend& gpu = *backend;
    const double copy = gpu.copy_bandwidth();
    std::printf("%s, copies at %.0f GB/s\n", gpu.description().c_str(), copy / 1e9);
    double bf16_decode[3] = {}, bf16_prefill[2] = {};
    for (const Candidate& c : {Candidate{WeightFormat::kBF16}, {WeightFormat::kInt4Group}, {WeightFormat::kInt4Group, true}, {WeightFormat::kNf4Group}, {WeightFormat::kInt4Residual},
                               {WeightFormat::kInt4Sparse}, {WeightFormat::kInt8Group}, {WeightFormat::kInt8Channel}, {WeightFormat::kInt8Channel, false, true}, {WeightFormat::kFp8Channel}}) {
        const WeightFormat f = c.f;
        const Model m = make_model(gpu, c);
        std::printf("%s\n", m.layers[0].q->kernel());
        int i = 0;
        for (const std::uint32_t batch : {1u, 4u, 16u}) {
            const double s = pass(gpu, m, batch, kSteps), rate = static_cast<double>(m.bytes) / s;
            if (f == WeightFormat::kBF16) bf16_decode[i] = s;
            std::printf("  decode, batch %2u: %.3f ms a token of 32 layers, %.0f GB/s, %.0f %% of the copy, %.2f x bf16\n", batch, s * kOf * 1e3, rate / 1e9, 100 * rate / copy, bf16_decode[i] / s);
            ++i;
        }
        i = 0;
        for (const std::uint32_t tokens : {512u, 2048u}) {
            const double s = pass(gpu, m, tokens, 3), rate = 2 * m.weights * tokens / s;
            if (f == WeightFormat::kBF16) bf16_prefill[i] = rate;
            std::printf("  prefill, %4u tokens: %.1f TFLOP/s, %.0f %% of bf16\n", tokens, rate / 1e12, 100 * rate / bf16_prefill[i]);
            ++i;
        }
    }
    for (const std::uint32_t context : {512u, 4096u}) attention(gpu, context);
    for (const std::uint32_t k : {kHidden, kIntermediate}) gram(gpu, k);
    const auto after = gpu.copy_bandwidth();
    std::printf("copies at the end at %.0f GB/s\n", after / 1e9);
    return 0;
}
