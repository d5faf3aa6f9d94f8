// SPDX-License-Identifier: Apache-2.0
// Are two models that differ by 5 % always ranked alike? Two random Llamas of 20 and 21 equal layers are compared again
// and again, each comparison interleaved and judged by itself. Exit code 1 when an order is ever the wrong way round.
//   tenpak_bench_ranking [COMPARISONS [PAIRS]]       default: 20 comparisons of 12 pairs of rounds
#include <cstdio>
#include <cstdlib>

#include "core/compute/cpu/cpu_backend.h"
#include "core/evaluate/ab_timing.h"
#include "tests/core/model/tiny_model.h"

namespace {

using namespace tenpak;

std::unique_ptr<model::Transformer> load(const fs::path& dir, std::uint32_t layers, compute::Backend& backend) {
    test::TinyShape s;
    s.hidden = 768;
    s.intermediate = 2048;
    s.heads = s.kv_heads = 12;
    s.head_dim = 64;
    s.vocab = 512;
    s.positions = 512;
    s.layers = layers;
    test::TinyModel(s).write(dir);
    auto m = model::Transformer::load(*ModelDirectory::open(dir), {}, backend, {}, {});
    if (!m.ok()) {
        std::fprintf(stderr, "%s\n", m.error().text().c_str());
        std::exit(1);
    }
    return std::move(*m);
}

}  // namespace

int main(int argc, char** argv) {
    const int comparisons = argc > 1 ? std::atoi(argv[1]) : 20;
    evaluate::AbOptions options;
    options.pairs = argc > 2 ? static_cast<std::uint32_t>(std::atoi(argv[2])) : 12;
    test::TempDir dir;
    const auto backend = compute::make_cpu_backend();
    const auto larger = load(dir / "21", 21, *backend), smaller = load(dir / "20", 20, *backend);
    std::printf("%s; 21 layers against 20: %.1f %% more bytes a step\n\n", backend->description().c_str(),
                100 * (static_cast<double>(larger->step_bytes()) / static_cast<double>(smaller->step_bytes()) - 1));
    std::printf("| ratio of times | 95 %% interval | verdict | pairs run again | other processes' CPU |\n|---:|---|---|---:|---:|\n");
    int right = 0, told = 0, wrong = 0;
    for (int i = 0; i < comparisons; ++i) {
        const auto r = evaluate::compare_speed(*larger, *smaller, options, {});
        if (!r.ok()) {
            std::fprintf(stderr, "%s\n", r.error().text().c_str());
            return 1;
        }
        right += r->ratio > 1 ? 1 : 0;
        told += r->faster == evaluate::Faster::kB ? 1 : 0;
        wrong += r->faster == evaluate::Faster::kA ? 1 : 0;
        std::printf("| %.4f | %.4f to %.4f | %s%s | %u | %.0f %% |\n", r->ratio, r->low, r->high,
                    r->faster == evaluate::Faster::kNeither ? "cannot tell" : r->faster == evaluate::Faster::kB ? "20 layers faster" : "21 layers faster", r->noisy() ? ", noisy" : "", r->repeated,
                    100 * r->contention.total());
        std::fflush(stdout);
    }
    std::printf("\nSame order in %d of %d; told apart with 95 %% in %d, the wrong way in %d.\n", right, comparisons, told, wrong);
    return right == comparisons && wrong == 0 ? 0 : 1;
}
