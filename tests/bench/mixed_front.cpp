// SPDX-License-Identifier: Apache-2.0
// What `mixed` gains over formats that are the same everywhere: quantizes and measures both, on one text.
//   tenpak_bench_mixed MODEL (--calibration FILE | --split PERCENT) --text FILE [--context N] [--windows N] [--uniform a,b,..] [--bits 4.3,4.5,..]
//                      [--probes N] [--probe-tokens N] [--sequences N] [--propagate 0|1] [--threads N]
// --split calibrates on the first PERCENT of the text and evaluates on the rest. Prints Markdown: the probes (predicted against measured), the front (size, perplexity delta with its paired 95 %
// interval, KL divergence, predicted against measured), and each mixed point against the uniform ones in pairs.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>

#include "core/compute/cpu/cpu_backend.h"
#include "core/evaluate/perplexity.h"
#include "core/quant/mixed/search.h"
#include "core/quant/quantize.h"
#include "tests/bench/program.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace tenpak;
using namespace tenpak::bench;

struct Arguments {
    std::string model, calibration, text, uniform = "rtn_g128,awq_g128,gptq_g128,gptq_g64,gptq_g32,int8_g128", bits = "4.25,4.3,4.4,4.5,4.6,5,5.5,6,7";
    quant::SensitivityOptions sensitivity;
    evaluate::PerplexityOptions perplexity;
    unsigned threads = usable_cpus();
    double split = 0;
};

struct Row {
    std::string name;
    double bits = 0, seconds = 0;
    std::uint64_t bytes = 0;
    std::optional<double> predicted;  // percent
    evaluate::PerplexityResult measured;
    evaluate::PairedDelta delta;
    double kl = 0, kl_error = 0;
};

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> out;
    for (std::size_t begin = 0; begin < list.size();) {
        const std::size_t end = std::min(list.find(',', begin), list.size());
        out.push_back(list.substr(begin, end - begin));
        begin = end + 1;
    }
    return out;
}

Arguments parse(int argc, char** argv) {
    Arguments a;
    a.perplexity.context = 256;
    for (int i = 1; i < argc; ++i) {
        const std::string key = argv[i];
        if (!key.starts_with("--")) {
            a.model = key;
            continue;
        }
        if (++i >= argc) die(key + " needs a value");
        const char* value = argv[i];
        const auto number = [&] { return static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10)); };
        if (key == "--calibration") a.calibration = value;
        else if (key == "--text") a.text = value;
        else if (key == "--uniform") a.uniform = value;
        else if (key == "--bits") a.bits = value;
        else if (key == "--context") a.perplexity.context = number();
        else if (key == "--windows") a.perplexity.max_windows = number();
        else if (key == "--probes") a.sensitivity.max_probes = number();
        else if (key == "--probe-tokens") a.sensitivity.probe_tokens = number();
        else if (key == "--split") a.split = std::strtod(value, nullptr);
        else if (key == "--sequences") a.sensitivity.calibration.sequences = number();
        else if (key == "--propagate") a.sensitivity.calibration.propagate = number() != 0;
        else if (key == "--threads") a.threads = number();
        else die("unknown option " + key);
    }
    if (a.model.empty() || a.calibration.empty() == (a.split <= 0) || a.split >= 100 || a.text.empty()) die("usage: tenpak_bench_mixed MODEL (--calibration FILE | --split PERCENT) --text FILE [options]");
    return a;
}

/// The known candidates, and gptq_gN for other groups: fair rivals at the sizes where mixed points lie.
quant::Candidate candidate_named(const std::string& name) {
    if (name.starts_with("gptq_g") && name != "gptq_g128" && name.find('_', 6) == std::string::npos) {
        quant::Candidate c = need(quant::find_candidate("gptq_g128"));
        c.name = name;
        c.group = static_cast<std::uint32_t>(std::strtoul(name.c_str() + 6, nullptr, 10));
        return c;
    }
    return need(quant::find_candidate(name));
}

std::uint64_t linear_bytes(const quant::QuantizedModel& q) {
    std::uint64_t sum = 0;
    for (const auto& [name, w] : q.weights.linears) sum += w.stored_bytes() - std::uint64_t{w.bias.size()} * 2;
    return sum;
}

std::string interval(const evaluate::PairedDelta& d) { return format("%+.3f [%+.3f, %+.3f]", d.percent, d.low, d.high); }

}  // namespace

int main(int argc, char** argv) {
    const Arguments args = parse(argc, argv);
    const std::shared_ptr<const ModelSource> source = need(ModelDirectory::open(args.model));
    const auto tokenizer = need(model::load_tokenizer(*source));
    const auto tokens_of = [&](const std::string& path) { return need(tokenizer->encode(need(read_text_file(path)), false)); };
    auto text = tokens_of(args.text);
    std::vector<model::Token> calibration;
    if (args.split > 0) {
        const auto cut = text.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(text.size()) * args.split / 100);
        calibration.assign(text.begin(), cut);
        text.erase(text.begin(), cut);
    } else {
        calibration = tokens_of(args.calibration);
    }
    const auto backend = compute::make_cpu_backend(args.threads);
    const test::TempDir temp;
    const fs::path log = temp / "reference";
    const evaluate::PerplexityResult reference = [&] {
        const auto model = need(model::Transformer::load(source, {}, *backend, {}, {}));
        return need(evaluate::perplexity_and_keep(*model, text, args.perplexity, log, args.model, {}));
    }();
    std::printf("%s: perplexity %.4f, %u windows of %u (%s), calibrated on %zu tokens\n\n", args.model.c_str(), reference.perplexity, reference.windows, reference.context,
                reference.convention.c_str(), calibration.size());

    std::vector<Row> rows;
    const auto measure = [&](const quant::QuantizedModel& q, std::optional<double> predicted) {
        const auto model = need(model::Transformer::load(source, q.weights, *backend, {}, {}));
        auto kept = need(evaluate::ReferenceReader::open(log));
        auto c = need(evaluate::compare(*model, kept, text, args.perplexity, {}));
        rows.push_back({q.candidate.name, q.bits_per_weight, q.seconds, linear_bytes(q), predicted, std::move(c.candidate), c.delta, c.agreement.kl_divergence, c.agreement.kl_standard_error});
        const Row& r = rows.back();
        std::printf("| %s | %.3f | %.2f | %s | %s | %.6f ± %.6f | %.1f |\n", r.name.c_str(), r.bits, static_cast<double>(q.stored_bytes) / 1e6, interval(r.delta).c_str(),
                    predicted ? format("%+.3f", *predicted).c_str() : "", r.kl, 1.96 * r.kl_error, r.seconds);
        std::fflush(stdout);
    };

    const auto begin = std::chrono::steady_clock::now();
    const quant::Sensitivity s = need(quant::measure_sensitivity(source, calibration, args.sensitivity, *backend, {}));
    std::printf("Sensitivity in %.1f s. Probes, KL divergence:\n\n| at int4 g128 | measured | predicted | rise of nll | |\n|---|---:|---:|---:|---|\n",
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    for (const quant::ProbeRecord& p : s.probes) {
        std::printf("| %s | %.6f | %.6f | %+.6f | %s |\n", p.what.c_str(), p.measured.kl, p.predicted, p.measured.nll, p.fitted ? "" : "held out");
    }
    std::printf("\n| candidate | bits | MB | perplexity %% [95 %%] | predicted %% | KL divergence ± 95 %% | s |\n|---|---:|---:|---|---:|---|---:|\n");
    // All in one pass over the layers.
    std::vector<quant::Candidate> candidates;
    std::map<std::string, double> predicted;
    for (const std::string& name : split(args.uniform)) {
        candidates.push_back(candidate_named(name));
        for (std::uint32_t o = 0; o < s.options.size(); ++o) {
            const quant::Candidate &a = s.options[o].candidate, &b = candidates.back();
            const bool same = a.method == b.method && a.format == b.format && a.group == b.group && a.bits == b.bits && a.symmetric == b.symmetric && a.clip == b.clip;
            if (same) predicted[name] = quant::uniform(s, o).percent();
        }
    }
    const std::size_t uniform_rows = candidates.size();
    quant::QuantizeManyOptions options;
    options.calibration = args.sensitivity.calibration;
    std::vector<std::string> notes;
    const auto add = [&](const std::string& name, const quant::Composition& c) {
        candidates.push_back(need(quant::find_candidate(name)));
        predicted[name] = c.percent();
        options.mixed[name] = quant::plan_of(s, c);
        for (const std::string& line : quant::describe(s, c)) notes.push_back(name + " · " + line);
    };
    add("mixed", need(quant::compose_default(s, {})));
    for (const std::string& bits : split(args.bits)) {
        const auto c = quant::compose_for_bits(s, std::strtod(bits.c_str(), nullptr), {});
        if (c.ok()) add("mixed_" + bits, *c);
    }
    need(quant::quantize_many(source, candidates, calibration, options, *backend, {}, [&](quant::QuantizedModel q) -> Status {
        const auto p = predicted.find(q.candidate.name);
        measure(q, p == predicted.end() ? std::nullopt : std::optional(p->second));
        return {};
    }));
    std::printf("\nAgainst uniform candidates in pairs (below 0: better):\n\n| mixed | bits | against | bits | size | perplexity %% [95 %%] | loss |\n|---|---:|---|---:|---:|---|---:|\n");
    for (std::size_t m = uniform_rows; m < rows.size(); ++m) {
        for (std::size_t u = 0; u < uniform_rows; ++u) {
            const double size = 100 * (rows[m].bits / rows[u].bits - 1);
            if (std::fabs(size) > 20) continue;
            const auto d = need(evaluate::paired_delta(rows[m].measured, rows[u].measured));
            // A loss that may be none cannot be a part of another.
            const std::string loss = rows[u].delta.low > 0 ? format("%+.0f %%, ", 100 * (rows[m].delta.percent / rows[u].delta.percent - 1)) : "";
            std::printf("| %s | %.3f | %s | %.3f | %+.1f %% | %s | %sKL %+.0f %% |\n", rows[m].name.c_str(), rows[m].bits, rows[u].name.c_str(), rows[u].bits, size,
                        interval(d).c_str(), loss.c_str(), 100 * (rows[m].kl / rows[u].kl - 1));
        }
    }
    std::printf("\n");
    for (const std::string& line : notes) std::printf("- %s\n", line.c_str());
    return 0;
}
