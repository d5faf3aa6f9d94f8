// SPDX-License-Identifier: Apache-2.0
// tenpak_make_pair FOLDER [--bytes N] [--alpha A] [--lora RANK [--merge fp32|bf16]] [--seed N]
// Writes FOLDER/base and FOLDER/ft: a made-up bf16 Llama of about N bytes (2e9) and a fine-tune of it (synth.h).
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/bench/synth.h"

int main(int argc, char** argv) {
    using namespace tenpak;
    bench::Synth what;
    what.quick_normals = true;
    double bytes = 2e9;
    const char* folder = nullptr;
    for (int i = 1; i < argc; ++i) {
        const auto value = [&]() -> const char* { return i + 1 < argc ? argv[++i] : "0"; };
        if (std::strcmp(argv[i], "--bytes") == 0)
            bytes = std::atof(value());
        else if (std::strcmp(argv[i], "--alpha") == 0)
            what.alpha = std::atof(value());
        else if (std::strcmp(argv[i], "--seed") == 0)
            what.seed = static_cast<unsigned>(std::atoi(value()));
        else if (std::strcmp(argv[i], "--lora") == 0) {
            what.rank = static_cast<unsigned>(std::atoi(value()));
            if (what.merge == bench::Merge::kNone) what.merge = bench::Merge::kFp32;
        } else if (std::strcmp(argv[i], "--merge") == 0)
            what.merge = std::strcmp(value(), "bf16") == 0 ? bench::Merge::kBf16 : bench::Merge::kFp32;
        else
            folder = argv[i];
    }
    if (folder == nullptr || bytes < 1e8 || what.rank == 0) {
        std::fprintf(
            stderr,
            "usage: tenpak_make_pair FOLDER [--bytes N] [--alpha A] [--lora RANK [--merge fp32|bf16]] [--seed N]\n");
        return 2;
    }
    what.shapes = bench::llama_shapes(static_cast<std::uint64_t>(bytes));
    if (const Status s = bench::write_pair(folder, what); !s.ok()) {
        std::fprintf(stderr, "tenpak_make_pair: %s\n", s.error().text().c_str());
        return 1;
    }
    return 0;
}
