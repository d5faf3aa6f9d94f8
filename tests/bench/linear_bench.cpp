// SPDX-License-Identifier: Apache-2.0
// The CPU backend's products against what this machine can do: few tokens as a fraction of the multi-stream read
// bandwidth, many tokens as a fraction of a register-only instruction loop. Each round measures the limit and the kernels
// in turn, so that both see the same disturbance; the table shows the best and the median of the rounds.
//   tenpak_bench_linear [--threads N] [--rounds N] [--n N] [--k N] [--only TEXT]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
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

struct Kind {
    const char* name;
    WeightFormat format;
    std::uint32_t group;
    bool symmetric;
    bench::Instruction exact, native;
};
using I = bench::Instruction;
const Kind kKinds[] = {{"bf16", WeightFormat::kBF16, 0, true, I::kFma, I::kBf16},
                       {"int8", WeightFormat::kInt8Channel, 0, true, I::kVnni, I::kVnni},
                       {"int8_g128", WeightFormat::kInt8Group, 128, true, I::kVnni, I::kVnni},
                       {"int4_g32_sym", WeightFormat::kInt4Group, 32, true, I::kVnni, I::kVnni},
                       {"int4_g128_sym", WeightFormat::kInt4Group, 128, true, I::kVnni, I::kVnni},
                       {"int4_g128", WeightFormat::kInt4Group, 128, false, I::kVnni, I::kVnni}};

struct Options {
    unsigned threads = usable_cpus();
    int rounds = 7;
    std::uint32_t n = 8192, k = 2048;
    std::string only;
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

void measure(const Options& o, const Kind& kind, Activations activations) {
    const bool native = activations == Activations::kNative;
    const auto backend = make_cpu_backend(CpuOptions{o.threads, activations});
    LinearWeight w = test::random_weight(kind.format, o.n, o.k, kind.group, 1);
    if (kind.symmetric && kind.format == WeightFormat::kInt4Group) {
        std::fill(w.zeros.begin(), w.zeros.end(), std::uint8_t{8});
        w.symmetric = true;
    }
    std::vector<std::unique_ptr<PackedLinear>> copies;
    while (copies.empty() || copies.size() * copies[0]->bytes() < kBytes) copies.push_back(std::move(*backend->make_linear(w)));
    const double bytes = static_cast<double>(copies[0]->bytes()) * static_cast<double>(copies.size());
    std::printf("%-14s %s\n", kind.name, copies[0]->kernel());
    for (const std::uint32_t tokens : {1u, 2u, 4u, 8u, 16u, 32u, 64u, 512u}) {
        if (native && tokens == 1 && kind.format == WeightFormat::kBF16) continue;  // as exact
        const auto x = test::random_floats(std::size_t{tokens} * o.k, 1);
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
        else return std::fprintf(stderr, "unknown option %s\n", name.c_str()), 2;
    }
    const auto& f = cpu_features();
    std::printf("%s, %s, %u threads, W [%u x %u]\n", f.model.c_str(), f.instruction_sets().c_str(), o.threads, o.n, o.k);
    for (const Kind& kind : kKinds) {
        for (const Activations a : {Activations::kExact, Activations::kNative}) {
            const bool same = kind.format == WeightFormat::kInt8Channel && a == Activations::kNative;
            const std::string name = std::string(kind.name) + (a == Activations::kNative ? " native" : " exact");
            if (!same && name.find(o.only) != std::string::npos) measure(o, kind, a);
        }
    }
    return 0;
}
