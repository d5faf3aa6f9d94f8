// SPDX-License-Identifier: Apache-2.0
// Speed of the CPU backend's linear kernels: decode in bytes of packed weights a second (against the multi-stream read
// bandwidth measured beside it), prefill in floating-point operations a second. Weights exceed the last-level cache share
// of a small machine: several copies are walked in turn. Rates are per second of CPU time (one core's), because a busy
// machine would otherwise be measured instead; "wall" counters are per second of the clock.
#include <benchmark/benchmark.h>

#include <chrono>
#include <map>
#include <memory>

#include "core/compute/cpu/cpu_backend.h"
#include "core/evaluate/bandwidth.h"
#include "tests/core/compute/weights.h"

namespace {

using namespace tenpak;
using namespace tenpak::compute;

constexpr std::uint32_t kN = 11008, kK = 4096;
constexpr std::size_t kBytes = 400u << 20;  // of weights, so that no cache holds them

Backend& backend() {
    static const auto b = make_cpu_backend();
    return *b;
}

const std::vector<std::unique_ptr<PackedLinear>>& weights(WeightFormat format, std::size_t copies) {
    static std::map<WeightFormat, std::vector<std::unique_ptr<PackedLinear>>> all;
    auto& list = all[format];
    if (list.size() < copies) {
        const LinearWeight w = test::random_weight(format, kN, kK, 128, 1);
        while (list.size() < copies) list.push_back(std::move(*backend().make_linear(w)));
    }
    return list;
}
std::size_t copies_of(WeightFormat format) { return kBytes / test::random_weight(format, 16, kK, 128, 1).stored_bytes() * 16 / kN + 1; }

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void decode(benchmark::State& state, WeightFormat format) {
    const auto tokens = static_cast<std::uint32_t>(state.range(0));
    const auto& list = weights(format, copies_of(format));
    const auto x = test::random_floats(std::size_t{tokens} * kK, 1);
    std::vector<float> y(std::size_t{tokens} * kN);
    std::size_t i = 0, bytes = 0;
    const auto start = std::chrono::steady_clock::now();
    for (auto _ : state) {
        const PackedLinear& w = *list[i++ % list.size()];
        backend().linear(w, x.data(), tokens, y.data());
        bytes += w.bytes();
    }
    state.SetLabel(list[0]->kernel());
    state.counters["GB/cpu_s"] = benchmark::Counter(static_cast<double>(bytes) / 1e9, benchmark::Counter::kIsRate);
    state.counters["wall_GB/s"] = static_cast<double>(bytes) / 1e9 / seconds_since(start);
}

void prefill(benchmark::State& state, WeightFormat format) {
    const auto tokens = static_cast<std::uint32_t>(state.range(0));
    const PackedLinear& w = *weights(format, 1)[0];
    const auto x = test::random_floats(std::size_t{tokens} * kK, 1);
    std::vector<float> y(std::size_t{tokens} * kN);
    const auto start = std::chrono::steady_clock::now();
    for (auto _ : state) backend().linear(w, x.data(), tokens, y.data());
    state.SetLabel(w.kernel());
    const double work = 2e-9 * kN * kK * tokens * static_cast<double>(state.iterations());
    state.counters["GFLOP/cpu_s"] = benchmark::Counter(work, benchmark::Counter::kIsRate);
    state.counters["wall_GFLOP/s"] = work / seconds_since(start);
}

void probe(benchmark::State& state) {
    double best = 0;
    for (auto _ : state) best = std::max(best, evaluate::read_bandwidth(backend().threads(), kBytes, 3).value());
    state.counters["read_GB/s"] = best / 1e9;
}

#define TENPAK_FORMATS(function, ...)                                                     \
    BENCHMARK_CAPTURE(function, bf16, WeightFormat::kBF16) __VA_ARGS__;                   \
    BENCHMARK_CAPTURE(function, fp16, WeightFormat::kF16) __VA_ARGS__;                    \
    BENCHMARK_CAPTURE(function, int8, WeightFormat::kInt8Channel) __VA_ARGS__;            \
    BENCHMARK_CAPTURE(function, int8_g128, WeightFormat::kInt8Group) __VA_ARGS__;         \
    BENCHMARK_CAPTURE(function, int4_g128, WeightFormat::kInt4Group) __VA_ARGS__;         \
    BENCHMARK_CAPTURE(function, int4_residual_g128, WeightFormat::kInt4Residual) __VA_ARGS__; \
    BENCHMARK_CAPTURE(function, int4_sparse_g128, WeightFormat::kInt4Sparse) __VA_ARGS__; \
    BENCHMARK_CAPTURE(function, nf4_g128, WeightFormat::kNf4Group) __VA_ARGS__;           \
    BENCHMARK_CAPTURE(function, fp8, WeightFormat::kFp8Channel) __VA_ARGS__

BENCHMARK(probe)->UseRealTime()->Iterations(2);
TENPAK_FORMATS(decode, ->Arg(1)->Arg(4)->Arg(8)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond)->MinTime(0.4));
TENPAK_FORMATS(prefill, ->Arg(32)->Arg(512)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond)->MinTime(0.4));
BENCHMARK_CAPTURE(prefill, fp32, WeightFormat::kF32)->Arg(512)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond)->MinTime(0.4);
BENCHMARK(probe)->UseRealTime()->Iterations(2)->Name("probe_again");

}  // namespace

BENCHMARK_MAIN();
