// SPDX-License-Identifier: Apache-2.0
// The weights coder alone beside TX (peers.h): decode and encode of synthetic blocks of 1 Mi weights, one thread, base and
// output in memory, thread CPU time, interleaved rounds, results compared outside the clock. Prints Markdown.
//   tenpak_bench_decode [ROUNDS]
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/delta/weight_coder.h"
#include "core/delta/weight_decode_bulk.h"
#include "tests/bench/peers.h"
#include "tests/core/delta/synthetic.h"

namespace {

using namespace tenpak;

double now() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
double seconds(const std::function<void()>& f) {
    const double start = now();
    f();
    return now() - start;
}
[[noreturn]] void die(const char* what) {
    std::fprintf(stderr, "tenpak_bench_decode: %s\n", what);
    std::exit(1);
}

/// Median of the rounds' rates in GB/s.
struct Rates {
    std::vector<double> all;
    void add(std::size_t bytes, double s) { all.push_back(static_cast<double>(bytes) / s / 1e9); }
    double median() {
        std::sort(all.begin(), all.end());
        return all[all.size() / 2];
    }
};

struct Case {
    const char* name;
    DType type;
    delta::FloatKind kind;
    double alpha;
};

}  // namespace

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 15;
    std::vector<std::string> decoders = delta::bulk_decoders();
    decoders.emplace_back("scalar");
    const std::vector<Case> cases{{"bf16", DType::kBF16, delta::FloatKind::kBf16, .0003}, {"bf16", DType::kBF16, delta::FloatKind::kBf16, .001},
                                  {"bf16", DType::kBF16, delta::FloatKind::kBf16, .005},  {"bf16", DType::kBF16, delta::FloatKind::kBf16, .02},
                                  {"bf16", DType::kBF16, delta::FloatKind::kBf16, .05},   {"fp16", DType::kF16, delta::FloatKind::kFp16, .005},
                                  {"fp32", DType::kF32, delta::FloatKind::kFp32, .005}};
    std::printf("GB of raw weights a second of CPU time, one thread, median of %d interleaved rounds.\n\n", rounds);
    std::printf("| weights, alpha | bits | decode: ");
    for (const std::string& d : decoders) std::printf("%s | ", d.c_str());
    std::printf("standalone | TX | best / TX | encode | TX encode |\n|---|---:|");
    for (std::size_t i = 0; i < decoders.size() + 5; ++i) std::printf("---:|");
    std::printf("\n");
    for (const Case& c : cases) {
        const auto [base, fine] = test::synthetic_pair(1024, 1024, c.alpha, c.type);
        const delta::Prediction prediction{base};
        Bytes stored, alone, back(fine.size());
        if (!delta::encode_weights(fine, prediction, c.kind, stored) || !delta::encode_weights(fine, {}, c.kind, alone)) die("cannot encode");
        const Bytes tx = bench::tx_encode(fine, base, c.type);
        std::vector<Rates> decode(decoders.size());
        Rates standalone, tx_decode, encode, tx_encode;
        for (int r = 0; r < rounds; ++r) {
            for (std::size_t d = 0; d < decoders.size(); ++d) {
                delta::choose_bulk_decoder(decoders[d]);
                std::fill(back.begin(), back.end(), std::byte{0});
                bool ok = false;
                decode[d].add(fine.size(), seconds([&] { ok = delta::decode_weights(stored, prediction, back).ok(); }));
                if (!ok || back != fine) die("a decoder's result differs");
            }
            delta::choose_bulk_decoder("");
            bool ok = false;
            std::fill(back.begin(), back.end(), std::byte{0});
            standalone.add(fine.size(), seconds([&] { ok = delta::decode_weights(alone, {}, back).ok(); }));
            if (!ok || back != fine) die("the standalone block's result differs");
            Bytes out(fine.size());
            tx_decode.add(fine.size(), seconds([&] { bench::tx_decode(tx, base, c.type, out); }));
            if (out != fine) die("TX's result differs");
            Bytes again;
            encode.add(fine.size(), seconds([&] { ok = delta::encode_weights(fine, prediction, c.kind, again); }));
            if (!ok || again != stored) die("encoding again differs");
            tx_encode.add(fine.size(), seconds([&] { out = bench::tx_encode(fine, base, c.type); }));
        }
        double best = 0;
        std::printf("| %s, %g | %.3f | ", c.name, c.alpha, 8.0 * static_cast<double>(stored.size()) / (1024.0 * 1024));
        for (Rates& d : decode) {
            std::printf("%.3f | ", d.median());
            best = std::max(best, d.median());
        }
        std::printf("%.3f | %.3f | **%.2f** | %.3f | %.3f |\n", standalone.median(), tx_decode.median(), best / tx_decode.median(), encode.median(), tx_encode.median());
        std::fflush(stdout);
    }
    return 0;
}
