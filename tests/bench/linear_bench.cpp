// SPDX-License-Identifier: Apache-2.0
// The CPU backend's products against what this machine can do: few tokens as a fraction of the multi-stream read
// bandwidth, many tokens as a fraction of a register-only instruction loop. Each round measures the limit and the kernels
// in turn, so that both see the same disturbance; the table shows the best and the median of the rounds.
//   tenpak_bench_linear [--threads N] [--rounds N] [--n N] [--k N] [--only TEXT] [--tokens N]... [--cached 1]
// --cached: one thread, a weight that stays in the second-level cache, seconds of CPU time: what the kernels could do with
// memory fast enough, also on a machine with other work; no limits beside them.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/evaluate/bandwidth.h"
#include "tests/bench/peak_rate.h"
#include "tests/core/compute/weights.h"

namespace {

using namespace tenpak;
using namespace tenpak::compute;

constexpr std::size_t kBytes = 256u << 20;  // of weights of one kind: several copies, so that no cache holds them

enum class Variant { kPlain, kSymmetric, kNested, kShuffled, kOutliers };
struct Kind {
    const char* name;
    WeightFormat format;
    std::uint32_t group;
    Variant variant;
    bench::Instruction exact, native;
};
using I = bench::Instruction;
using V = Variant;
const Kind kKinds[] = {{"bf16", WeightFormat::kBF16, 0, V::kPlain, I::kFma, I::kBf16},
                       {"int8", WeightFormat::kInt8Channel, 0, V::kPlain, I::kVnni, I::kVnni},
                       {"int8_outliers", WeightFormat::kInt8Channel, 0, V::kOutliers, I::kVnni, I::kVnni},
                       {"int8_g128", WeightFormat::kInt8Group, 128, V::kPlain, I::kVnni, I::kVnni},
                       {"int4_g32_sym", WeightFormat::kInt4Group, 32, V::kSymmetric, I::kVnni, I::kVnni},
                       {"int4_g128_sym", WeightFormat::kInt4Group, 128, V::kSymmetric, I::kVnni, I::kVnni},
                       {"int4_g128", WeightFormat::kInt4Group, 128, V::kPlain, I::kVnni, I::kVnni},
                       {"int4_g128_act_order", WeightFormat::kInt4Group, 128, V::kShuffled, I::kVnni, I::kVnni},
                       {"int4_residual_g128", WeightFormat::kInt4Residual, 128, V::kPlain, I::kVnni, I::kVnni},
                       {"int4_sparse_g128", WeightFormat::kInt4Sparse, 128, V::kPlain, I::kVnni, I::kVnni},
                       {"nf4_g64", WeightFormat::kNf4Group, 64, V::kPlain, I::kFma, I::kVnni},
                       {"nf4_g64_double", WeightFormat::kNf4Group, 64, V::kNested, I::kFma, I::kVnni},
                       {"fp8", WeightFormat::kFp8Channel, 0, V::kPlain, I::kBf16, I::kBf16}};

struct Options {
    unsigned threads = usable_cpus();
    int rounds = 7;
    std::uint32_t n = 8192, k = 2048;
    std::string only;
    std::vector<std::uint32_t> tokens;  // empty: all
    bool cached = false;
    bool wants(std::uint32_t t) const { return tokens.empty() || std::find(tokens.begin(), tokens.end(), t) != tokens.end(); }
};

double best(const std::vector<double>& v) { return *std::max_element(v.begin(), v.end()); }
double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

template <class Body>
double seconds(const Body& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

LinearWeight weight_of(const Kind& kind, std::uint32_t n, std::uint32_t k) {
    LinearWeight w = test::random_weight(kind.format, n, k, kind.group, 1);
    switch (kind.variant) {
        case Variant::kPlain: break;
        case Variant::kSymmetric:
            std::fill(w.zeros.begin(), w.zeros.end(), std::uint8_t{8});
            w.symmetric = true;
            break;
        case Variant::kNested: test::nest_scales(w, 1); break;
        case Variant::kShuffled: test::shuffle_groups(w, 1); break;
        case Variant::kOutliers: w.outlier_threshold = 6.0f; break;
    }
    return w;
}
std::vector<float> activations_of(const Kind& kind, std::uint32_t tokens, std::uint32_t k) {
    auto x = test::random_floats(std::size_t{tokens} * k, 1);
    if (kind.variant == Variant::kOutliers) {  // six of every token
        for (std::size_t i = 0; i < x.size(); i += k / 6) x[i] = 20.0f;
    }
    return x;
}

double cpu_time() {
    timespec t = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void measure_cached(const Options& o, const Kind& kind, Activations activations) {
    constexpr std::uint32_t kN = 512;
    const auto backend = make_cpu_backend(CpuOptions{1, activations});
    const auto packed = std::move(*backend->make_linear(weight_of(kind, kN, o.k)));
    std::printf("%-20s %-72s", kind.name, packed->kernel());
    for (const std::uint32_t tokens : {1u, 2u, 4u, 8u, 16u, 128u}) {
        if (!o.wants(tokens)) continue;
        const auto x = activations_of(kind, tokens, o.k);
        std::vector<float> y(std::size_t{tokens} * kN);
        const int times = tokens <= 8 ? 20 : 2;
        double least = 1e9;
        for (int r = 0; r < 2 * o.rounds; ++r) {
            const double start = cpu_time();
            for (int i = 0; i < times; ++i) backend->linear(*packed, x.data(), tokens, y.data());
            least = std::min(least, (cpu_time() - start) / times);
        }
        if (tokens <= 8) std::printf("  %u: %5.1f GB/s", tokens, static_cast<double>(packed->bytes()) / least / 1e9);
        else std::printf("  %u: %5.1f Gop/s", tokens, 2.0 * kN * o.k * tokens / least / 1e9);
    }
    std::printf("\n");
    std::fflush(stdout);
}

void measure(const Options& o, const Kind& kind, Activations activations) {
    const bool native = activations == Activations::kNative;
    const auto backend = make_cpu_backend(CpuOptions{o.threads, activations});
    const LinearWeight w = weight_of(kind, o.n, o.k);
    std::vector<std::unique_ptr<PackedLinear>> copies;
    while (copies.empty() || copies.size() * copies[0]->bytes() < kBytes) copies.push_back(std::move(*backend->make_linear(w)));
    const double bytes = static_cast<double>(copies[0]->bytes()) * static_cast<double>(copies.size());
    std::printf("%s: %s, %.3f bits a weight\n", kind.name, copies[0]->kernel(), static_cast<double>(copies[0]->bytes()) * 8 / o.n / o.k);
    for (const std::uint32_t tokens : {1u, 2u, 4u, 8u, 16u, 32u, 64u, 512u}) {
        if (!o.wants(tokens)) continue;
        if (native && tokens == 1 && kind.format == WeightFormat::kBF16) continue;  // as exact
        const auto x = activations_of(kind, tokens, o.k);
        std::vector<float> y(std::size_t{tokens} * o.n);
        std::vector<double> limit, rate, fraction;
        for (int r = -1; r < o.rounds; ++r) {
            double peak = 0, ours = 0;
            if (tokens <= 8) {
                peak = evaluate::read_bandwidth(o.threads, kBytes, 1).value();
                ours = bytes / seconds([&] { for (const auto& c : copies) backend->linear(*c, x.data(), tokens, y.data()); });
            } else {
                peak = bench::peak_rate(native ? kind.native : kind.exact, o.threads);
                const std::size_t times = std::max<std::size_t>(1, 512 / tokens);
                ours = 2.0 * o.n * o.k * tokens * static_cast<double>(times) /
                       seconds([&] { for (std::size_t i = 0; i < times; ++i) backend->linear(*copies[i % copies.size()], x.data(), tokens, y.data()); });
            }
            if (r < 0) continue;  // warms up
            limit.push_back(peak / 1e9);
            rate.push_back(ours / 1e9);
            fraction.push_back(ours / peak);
        }
        const char* unit = tokens <= 8 ? "GB/s" : "Gop/s";
        std::printf("  %3u tokens   best %7.1f of %7.1f %-5s = %5.1f %%    median %7.1f, of the limit beside it %5.1f %%\n", tokens, best(rate), best(limit), unit, 100 * best(rate) / best(limit),
                    median(rate), 100 * median(fraction));
        std::fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string name = argv[i], value = argv[i + 1];
        const auto number = static_cast<unsigned>(std::strtoul(value.c_str(), nullptr, 10));
        if (name == "--threads") o.threads = std::max(1u, number);
        else if (name == "--rounds") o.rounds = std::max(1, static_cast<int>(number));
        else if (name == "--n") o.n = std::max(1u, number);
        else if (name == "--k") o.k = std::max(128u, number / 128 * 128);
        else if (name == "--only") o.only = value;
        else if (name == "--cached") o.cached = number != 0;
        else if (name == "--tokens") o.tokens.push_back(number);
        else return std::fprintf(stderr, "unknown option %s\n", name.c_str()), 2;
    }
    const auto& f = cpu_features();
    std::printf("%s, %s, %u threads, W [%u x %u]\n", f.model.c_str(), f.instruction_sets().c_str(), o.threads, o.n, o.k);
    for (const Kind& kind : kKinds) {
        for (const Activations a : {Activations::kExact, Activations::kNative}) {
            const bool same = (kind.format == WeightFormat::kInt8Channel || kind.format == WeightFormat::kFp8Channel) && a == Activations::kNative;
            const std::string name = std::string(kind.name) + (a == Activations::kNative ? " native" : " exact");
            if (same || name.find(o.only) == std::string::npos) continue;
            if (o.cached) measure_cached(o, kind, a);
            else measure(o, kind, a);
        }
    }
    return 0;
}
