// SPDX-License-Identifier: Apache-2.0
// Prefill and decode of a whole model, as llama-bench measures them (pp512: one prompt, empty cache; tgN: N single-token
// steps from an empty cache), with weights rounded as llama.cpp's Q4_0 and Q8_0 do, head included: the same bytes go by.
//   tenpak_bench_model MODEL [--weights bf16|int4|int8] [--group G] [--head bf16|int8|int4] [--activations exact|native]
//                      [--threads N] [--prompt N] [--generate N] [--rounds N] [--batch N]
// The head is replaced only where the model has one of its own (no tied embedding). One line of JSON.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/half.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/model/transformer.h"
#include "core/tensor/model_source.h"

namespace {

using namespace tenpak;
using compute::LinearWeight;
using compute::WeightFormat;

struct Options {
    std::string model, weights = "bf16", head = "bf16", activations = "exact";
    std::uint32_t group = 32, threads = 0, prompt = 512, generate = 128, rounds = 3, batch = 1;
};

/// Symmetric, a scale per group: largest value / 8 (4 bits) or / 127.
LinearWeight quantized(const std::vector<float>& w, std::uint32_t n, std::uint32_t k, bool int4, std::uint32_t group) {
    LinearWeight q;
    q.format = int4 ? WeightFormat::kInt4Group : WeightFormat::kInt8Group;
    q.n = n;
    q.k = k;
    q.group = group;
    q.codes.resize(std::size_t{n} * k / (int4 ? 2 : 1));
    for (std::size_t g = 0; g < std::size_t{n} * k / group; ++g) {
        const float* from = w.data() + g * group;
        float top = 0;
        for (std::uint32_t i = 0; i < group; ++i) top = std::max(top, std::fabs(from[i]));
        const float scale = std::max(bf16_to_float(float_to_bf16(top / (int4 ? 7.5f : 127.0f))), 1e-8f);
        const float stored = bf16_to_float(float_to_bf16(scale));
        q.scales.push_back(stored);
        if (int4) q.zeros.push_back(8);
        for (std::uint32_t i = 0; i < group; ++i) {
            const int code = static_cast<int>(std::lrint(from[i] / stored));
            const std::size_t at = g * group + i;
            if (int4) {
                const unsigned c = static_cast<unsigned>(std::clamp(code + 8, 0, 15));
                q.codes[at / 2] = static_cast<std::uint8_t>(q.codes[at / 2] | c << (at % 2 * 4));
            } else {
                q.codes[at] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::clamp(code, -127, 127)));
            }
        }
    }
    return q;
}

Status add_override(const ModelSource& source, const Options& o, const std::string& name, const std::string& kind, compute::WeightOverrides& out) {
    const TensorInfo* t = source.find(name);
    if (kind == "bf16" || t == nullptr || t->shape.size() != 2) return {};
    TENPAK_ASSIGN(const auto w, source.read_float(*t));
    const auto n = static_cast<std::uint32_t>(t->shape[0]), k = static_cast<std::uint32_t>(t->shape[1]);
    const std::uint32_t group = k % o.group == 0 ? o.group : 32;
    if (k % group == 0) out.linears[name] = quantized(w, n, k, kind == "int4", group);
    return {};
}

double seconds_since(std::chrono::steady_clock::time_point start) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

Status run(const Options& o) {
    TENPAK_ASSIGN(const auto opened, ModelDirectory::open(o.model));
    const std::shared_ptr<const ModelSource> source = opened;
    const auto backend = compute::make_cpu_backend(compute::CpuOptions{o.threads, o.activations == "native" ? compute::Activations::kNative : compute::Activations::kExact});
    std::unique_ptr<model::Transformer> m;
    {
        TENPAK_ASSIGN(const auto config, model::read_config(*source));
        compute::WeightOverrides overrides;
        for (std::uint32_t l = 0; l < config.layers; ++l) {
            for (const char* part : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
                TENPAK_RETURN_IF_ERROR(add_override(*source, o, "model.layers." + std::to_string(l) + "." + part + ".weight", o.weights, overrides));
            }
        }
        TENPAK_RETURN_IF_ERROR(add_override(*source, o, "lm_head.weight", o.head, overrides));
        TENPAK_ASSIGN(m, model::Transformer::load(source, overrides, *backend, {}, {}));
    }
    std::vector<float> logits;
    std::vector<double> prefill, decode, steps;
    std::vector<model::Token> prompt(o.prompt);
    for (std::size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<model::Token>(i * 7919 % m->config().vocab);
    for (std::uint32_t r = 0; r <= o.rounds; ++r) {  // the first one warms up
        if (o.prompt > 0) {
            model::KvCache cache(m->config(), *backend, 1, o.prompt);
            const model::SequenceChunk chunk{0, prompt};
            const auto start = std::chrono::steady_clock::now();
            TENPAK_RETURN_IF_ERROR(m->forward({&chunk, 1}, cache, model::LogitsOf::kLastOfChunk, logits));
            if (r > 0) prefill.push_back(o.prompt / seconds_since(start));
        }
        if (o.generate > 0) {
            model::KvCache cache(m->config(), *backend, o.batch, o.generate);
            std::vector<model::Token> tokens(o.batch, 1);
            const auto start = std::chrono::steady_clock::now();
            for (std::uint32_t i = 0; i < (r == 0 ? 4 : o.generate); ++i) {
                const auto step = std::chrono::steady_clock::now();
                std::vector<model::SequenceChunk> chunks;
                for (std::uint32_t s = 0; s < o.batch; ++s) chunks.push_back({s, {&tokens[s], 1}});
                TENPAK_RETURN_IF_ERROR(m->forward(chunks, cache, model::LogitsOf::kLastOfChunk, logits));
                for (std::uint32_t s = 0; s < o.batch; ++s) {
                    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(std::size_t{s} * m->config().vocab);
                    tokens[s] = static_cast<model::Token>(std::max_element(row, row + m->config().vocab) - row);
                }
                if (r > 0) steps.push_back(seconds_since(step) * 1e3);
            }
            if (r > 0) decode.push_back(o.generate * o.batch / seconds_since(start));
        }
    }
    const auto median = [](std::vector<double>& v, double q = 0.5) {
        std::sort(v.begin(), v.end());
        return v.empty() ? 0.0 : v[static_cast<std::size_t>(q * static_cast<double>(v.size() - 1))];
    };
    std::string kernels;
    for (const auto& k : m->kernels()) kernels += (kernels.empty() ? "" : " | ") + k;
    std::printf("{\"pp\": %.2f, \"pp_best\": %.2f, \"tg\": %.2f, \"tg_best\": %.2f, \"step_ms_p10\": %.3f, \"step_bytes\": %llu, \"kernels\": \"%s\"}\n", median(prefill), median(prefill, 1),
                median(decode), median(decode, 1), median(steps, 0.1), static_cast<unsigned long long>(m->step_bytes()), kernels.c_str());
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    if (argc > 1) o.model = argv[1];
    for (int i = 2; i + 1 < argc; i += 2) {
        const std::string name = argv[i], value = argv[i + 1];
        const auto number = static_cast<std::uint32_t>(std::strtoul(value.c_str(), nullptr, 10));
        if (name == "--weights") o.weights = value;
        else if (name == "--head") o.head = value;
        else if (name == "--activations") o.activations = value;
        else if (name == "--group") o.group = std::max(2u, number);
        else if (name == "--threads") o.threads = number;
        else if (name == "--prompt") o.prompt = number;
        else if (name == "--generate") o.generate = number;
        else if (name == "--rounds") o.rounds = std::max(1u, number);
        else if (name == "--batch") o.batch = std::max(1u, number);
        else return std::fprintf(stderr, "unknown option %s\n", name.c_str()), 2;
    }
    const Status s = run(o);
    if (!s.ok()) return std::fprintf(stderr, "%s\n", s.error().text().c_str()), 1;
    return 0;
}
