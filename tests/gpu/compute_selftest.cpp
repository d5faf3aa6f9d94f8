// SPDX-License-Identifier: Apache-2.0
// For a machine with a GPU (run.sh compute): every operation and whole tiny models against the CPU backend; the relative error that
// each may have is in tests/core/compute/cuda_cases.h.
//   tenpak_gpu_compute [DEVICE]      DEVICE: 0 if not named
#include <cstdio>
#include <cstdlib>

#include "core/compute/cuda/cuda_backend.h"
#include "tests/core/compute/cuda_cases.h"
#include "tests/core/compute/whole_model.h"
#include "tests/gpu/need.h"

namespace {

using namespace tenpak;
using namespace tenpak::compute;
using namespace tenpak::test;

int report(const BackendCases& cases, const char* what) {
    int bad = 0;
    double worst = 0;
    for (const CaseResult& r : cases.results) {
        if (r.tolerance > 0) worst = std::max(worst, r.error / r.tolerance);
        if (r.good()) continue;
        ++bad;
        std::printf("WRONG %s: error %.3g, allowed %.3g %s\n", r.name.c_str(), r.error, r.tolerance, r.problem.c_str());
    }
    std::printf("%s: %zu cases, %d wrong, worst at %.0f %% of its tolerance\n", what, cases.results.size(), bad, 100 * worst);
    return bad;
}

int operations(Backend& gpu) {
    int bad = 0;
    {
        BackendCases cases(gpu);
        cases.elementwise();
        cases.append();
        bad += report(cases, "element-wise, norms, rotation");
    }
    {
        BackendCases cases(gpu);
        struct Shape {
            std::uint32_t n, k, group;
        };
        const Shape shapes[] = {{16, 64, 32}, {1, 2, 2}, {37, 96, 32}, {129, 300, 50}, {256, 512, 128}, {96, 640, 0}, {48, 180, 18}, {1024, 4096, 128}, {4096, 1024, 64}, {333, 11008, 128}};
        const std::uint32_t tokens[] = {1, 3, 8, 9, 16, 17, 33, 64, 70, 130, 300};
        const auto all = [&](WeightFormat f) {
            for (const Shape& s : shapes)
                for (const std::uint32_t t : tokens)
                    if (has_shape(f, s.k, s.group)) cases.linear(f, s.n, s.k, s.group, t, t % 2 == 1);
        };
        for (const WeightFormat f : {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kF16}) all(f);
        for (const WeightFormat f : kQuantizedFormats) all(f);
        for (const LinearWeight& w : special_weights())
            for (const std::uint32_t t : tokens) cases.linear(w, t);
        bad += report(cases, "products");
    }
    {
        BackendCases cases(gpu);
        for (const std::uint32_t k : {1u, 5u, 130u, 576u, 1024u})
            for (const std::uint32_t t : {1u, 16u, 131u, 700u}) cases.gram(k, t);
        bad += report(cases, "Gram matrices");
    }
    {
        BackendCases cases(gpu);
        for (const auto& a : attention_cases()) cases.attention(a);
        cases.attention({{32, 8, 128, 0.0884f}, {{1, 4095}, {1, 17}, {1, 0}}});
        cases.attention({{32, 8, 128, 0.0884f}, {{700, 0}, {300, 500}}});
        cases.attention({{16, 8, 256, 0.0625f, 50.0f, 1024}, {{900, 600}, {1, 3000}}});
        bad += report(cases, "attention");
    }
    return bad;
}

int models(CudaBackend& gpu) {
    const auto cpu = make_cpu_backend();
    int bad = 0;
    TinyShape shape;
    shape.hidden = 128;
    shape.intermediate = 256;
    shape.attention_bias = true;
    const TinyModel tiny(shape);
    TempDir dir;
    tiny.write(dir / "m");
    const auto check = [&](const std::string& name, const WeightOverrides& overrides, bool f32, double tolerance) {
        const auto run = [&](Backend& backend) { return need(model_steps(tiny, dir / "m", overrides, backend, f32, 20)); };  // from the third step on a replayed graph
        const auto want = run(*cpu), got = run(gpu), again = run(gpu);
        const double e = relative_error(got, std::vector<double>(want.begin(), want.end()));
        const bool good = e <= tolerance && got == again;
        bad += good ? 0 : 1;
        std::printf("%smodel in %s: error %.3g of %.3g, %s\n", good ? "" : "WRONG ", name.c_str(), e, tolerance, got == again ? "the same again" : "ANOTHER RESULT THE SECOND TIME");
    };
    check("fp32", {}, true, 2e-3);
    check("bf16", {}, false, 1e-2);
    for (const WeightFormat f : kQuantizedFormats) {
        check(weight_format_name(f), quantized_projections(tiny, f), false, quantized_tolerance(f));
    }
    const auto use = need(gpu.memory());
    std::printf("%llu graphs, %llu replays, %llu launches; %.1f MB at most\n", static_cast<unsigned long long>(use.graphs), static_cast<unsigned long long>(use.graph_launches),
                static_cast<unsigned long long>(use.launches), static_cast<double>(use.peak) / 1e6);
    if (use.graph_launches == 0) {
        std::printf("WRONG no step was replayed as a graph\n");
        ++bad;
    }
    return bad;
}

}  // namespace

int main(int argc, char** argv) {
    const auto backend = gpu_or_skip(argc, argv);
    CudaBackend& gpu = *backend;
    std::printf("%s\n", gpu.description().c_str());
    const int bad = operations(gpu) + models(gpu);
    if (bad != 0) die(std::to_string(bad) + " results are wrong");
    std::printf("passed\n");
    return 0;
}
