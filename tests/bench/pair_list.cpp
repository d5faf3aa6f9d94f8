// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tests/bench/pairs.h"
#include "tests/bench/program.h"
#include "tests/bench/synth.h"
#include "tests/support/temp_dir.h"

namespace tenpak::bench {

namespace {

PairSpec on_disk(const std::string& name, const fs::path& base, const fs::path& fine, bool merged_lora = false) {
    PairSpec s;
    s.name = name;
    s.make = [=] { return load_pair(name, base, fine); };
    s.merged_lora = merged_lora;
    return s;
}
PairSpec made_up(const fs::path& work, const std::string& name, const Synth& what) {
    PairSpec s;
    s.name = name;
    s.make = [=] {
        if (!fs::exists(work / name)) need(write_pair(work / name, what));
        return load_pair(name, work / name / "base", work / name / "ft");
    };
    s.merged_lora = what.merge != Merge::kNone;
    return s;
}

void add_shared(std::vector<PairSpec>& out) {
    const fs::path models = test::shared_data() / "models", s = models / "stories260K", v = models / "plate-detect",
                   y = models / "yolov5n";
    if (!fs::exists(models)) {
        std::fprintf(stderr,
                     "SKIPPED: the shared data folder is absent ($TENPAK_SHARED_DATA): its pairs are left out\n");
        return;
    }
    out.push_back(on_disk("stories260K bf16 full", s / "hf-base-bf16", s / "hf-selfmade-ft-bf16"));
    out.push_back(on_disk("stories260K bf16 quarter", s / "hf-base-bf16", s / "hf-selfmade-ft-quarter-bf16"));
    out.push_back(on_disk("stories260K fp32 full", s / "hf-base", s / "hf-selfmade-ft"));
    out.push_back(on_disk("stories260K fp32 quarter", s / "hf-base", s / "hf-selfmade-ft-quarter"));
    out.push_back(on_disk("stories260K fp32 base, bf16 full", s / "hf-base", s / "hf-selfmade-ft-bf16"));
    out.push_back(on_disk("stories260K bf16 base, fp32 full", s / "hf-base-bf16", s / "hf-selfmade-ft"));
    out.push_back(on_disk("plate-detect fp16", v / "plate_detect.safetensors", v / "ft_best.safetensors"));
    out.push_back(on_disk("plate-detect fp16, frozen body", v / "checkpoint_34_acc_0.9984.safetensors",
                          v / "0.985047_epoth_59_model.safetensors"));
    out.push_back(on_disk("yolov5n fp16", y / "cabinet_1.safetensors", y / "cabinet_2.safetensors"));
}

void add_made_up(std::vector<PairSpec>& out, const fs::path& work, bool quick) {
    const std::uint64_t rows = quick ? 512 : 2048;  // 4 x 2048 x 2048 bf16 = 33.6 MB
    struct Alpha {
        double alpha, most;
    };
    for (const auto& [alpha, most] : {Alpha{.0003, .385}, {.001, 1.13}, {.005, 3.1}, {.02, 5.1}, {.05, 6.45}}) {
        Synth s;
        s.alpha = alpha;
        s.seed = 10;
        for (int i = 0; i < 4; ++i)
            s.shapes.push_back({"model.layers." + std::to_string(i) + ".mlp.up_proj.weight", rows, 2048});
        PairSpec p = made_up(work, format("synthetic bf16 alpha %g", alpha), s);
        if (!quick) p.most_bits_per_weight = most;
        p.kernel_floor = alpha == .005;
        out.push_back(std::move(p));
    }
    for (const unsigned rank : {8u, 16u, 32u, 64u}) {
        for (const Merge merge : {Merge::kFp32, Merge::kBf16}) {
            Synth s;
            s.alpha = .01;
            s.merge = merge;
            s.rank = rank;
            s.seed = 20 + rank;
            const std::uint64_t n = quick ? 1024 : rank == 16 ? 4096 : 2048;
            s.shapes = {{"model.layers.0.self_attn.q_proj.weight", n, n}};
            PairSpec p = made_up(work,
                                 format("merged LoRA r=%u %llu^2, %s merge", rank, static_cast<unsigned long long>(n),
                                        merge == Merge::kFp32 ? "fp32" : "PEFT-bf16"),
                                 s);
            if (rank == 16 && !quick) p.most_bits_per_weight = .27;
            out.push_back(std::move(p));
        }
    }
}

/// $TENPAK_REAL_PAIRS: the folder that make_real_pairs.py wrote.
void add_real(std::vector<PairSpec>& out) {
    const char* folder = std::getenv("TENPAK_REAL_PAIRS");
    if (folder == nullptr) {
        std::fprintf(stderr,
                     "SKIPPED: the real 135M pairs are left out ($TENPAK_REAL_PAIRS is not set; make_real_pairs.py "
                     "makes them)\n");
        return;
    }
    const fs::path r = folder;
    struct Real {
        const char *name, *base, *fine;
        bool lora = true;
        std::optional<double> saved{};
    };
    for (const Real& x : {Real{"135M full fine-tune", "base", "full", false},
                          {"135M fp32 base, bf16 full", "base_fp32", "full", false},
                          {"135M bf16 base, fp32 full", "base", "full_fp32", false},
                          {"135M LoRA r=16 all linear", "base", "lora16_all", true, .95},
                          {"135M LoRA r=16 all linear, bf16 adapter", "base", "lora16_all_bf16", true, .95},
                          {"135M LoRA r=8 q,v", "base", "lora8_qv", true, .985},
                          {"135M LoRA r=8 q,v, bf16 adapter", "base", "lora8_qv_bf16", true, .985},
                          {"135M QLoRA r=16 on NF4", "base", "qlora16", true}}) {
        if (!fs::exists(r / x.base) || !fs::exists(r / x.fine)) {
            std::fprintf(stderr, "SKIPPED: %s: %s or %s is not in %s\n", x.name, x.base, x.fine, r.c_str());
            continue;
        }
        PairSpec p = on_disk(x.name, r / x.base, r / x.fine, x.lora);
        p.least_saved = x.saved;
        out.push_back(std::move(p));
    }
}

}  // namespace

std::vector<PairSpec> all_pairs(const fs::path& work, const PairChoice& choice) {
    std::vector<PairSpec> out;
    const fs::path sample = test::sample_dir();
    out.push_back(on_disk("sample finetune", sample / "base", sample / "finetune"));
    out.push_back(on_disk("sample lora", sample / "base", sample / "lora", true));
    add_shared(out);
    add_made_up(out, work, choice.quick);
    add_real(out);
    if (!choice.only.empty())
        std::erase_if(out, [&](const PairSpec& p) {
            return std::none_of(choice.only.begin(), choice.only.end(),
                                [&](const std::string& o) { return p.name.find(o) != std::string::npos; });
        });
    return out;
}

}  // namespace tenpak::bench
