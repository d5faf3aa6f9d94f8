// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>

#include "core/compute/cpu/cpu_backend.h"
#include "core/quant/mixed/search.h"
#include "core/quant/mixed/sensitivity_file.h"
#include "tests/core/quant/tiny_model.h"

using namespace tenpak;
using namespace tenpak::quant;
namespace fs = std::filesystem;

namespace {

using Items = std::vector<std::vector<Choice>>;

Items random_items(std::mt19937& rng, std::size_t items, std::size_t choices) {
    Items out(items);
    for (auto& item : out) {
        item.resize(1 + rng() % choices);
        for (Choice& c : item) {
            c.bytes = rng() % 12;  // small numbers: many ties
            c.loss = static_cast<double>(rng() % 9) / 8;
        }
    }
    return out;
}

/// Every selection there is.
void each_selection(const Items& items, const std::function<void(std::uint64_t bytes, double loss)>& body, std::size_t i = 0, std::uint64_t bytes = 0, double loss = 0) {
    if (i == items.size()) return body(bytes, loss);
    for (const Choice& c : items[i]) each_selection(items, body, i + 1, bytes + c.bytes, loss + c.loss);
}

void expect_consistent(const Items& items, const Selection& s) {
    ASSERT_EQ(s.chosen.size(), items.size());
    std::uint64_t bytes = 0;
    double loss = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
        ASSERT_LT(s.chosen[i], items[i].size());
        bytes += items[i][s.chosen[i]].bytes;
        loss += items[i][s.chosen[i]].loss;
    }
    EXPECT_EQ(bytes, s.bytes);
    EXPECT_EQ(loss, s.loss);
}

JobContext stopped() {
    std::stop_source source;
    source.request_stop();
    JobContext ctx;
    ctx.stop = source.get_token();
    return ctx;
}

std::vector<model::Token> tokens(std::size_t n) {
    std::mt19937 rng(11);
    std::vector<model::Token> t(n);
    for (auto& x : t) x = static_cast<model::Token>(rng() % 96);
    return t;
}

class MixedModel : public ::testing::Test {
   protected:
    void SetUp() override {
        test::TinyModel tiny;
        tiny.hidden = 128;
        tiny.intermediate = 256;
        tiny.layers = 3;
        auto opened = ModelDirectory::open(tiny.write(dir, "tiny"));
        ASSERT_TRUE(opened.ok());
        source = *opened;
        options.sequences = 24;
        options.length = 64;
    }
    Result<QuantizedModel> run(const char* name, unsigned threads, const JobContext& ctx = {}) {
        const auto backend = compute::make_cpu_backend(threads);
        return quantize(source, *find_candidate(name), text, options, *backend, ctx);
    }
    Sensitivity sensitivity(std::uint32_t max_probes) {
        const auto backend = compute::make_cpu_backend(2);
        SensitivityOptions o;
        o.calibration = options;
        o.max_probes = max_probes;
        o.probe_tokens = 512;
        auto s = measure_sensitivity(source, text, o, *backend, {});
        EXPECT_TRUE(s.ok()) << s.error().text();
        return s.ok() ? std::move(*s) : Sensitivity{};
    }

    QuantizedModel composed(const Sensitivity& s, const Composition& c) {
        const auto backend = compute::make_cpu_backend(2);
        QuantizeManyOptions o;
        o.calibration = options;
        o.mixed["mixed"] = plan_of(s, c);
        QuantizedModel result;
        const Status status = quantize_many(source, std::vector{*find_candidate("mixed")}, text, o, *backend, {}, [&](QuantizedModel q) -> Status {
            result = std::move(q);
            return {};
        });
        EXPECT_TRUE(status.ok()) << status.error().text();
        return result;
    }

    test::TempDir dir;
    std::shared_ptr<const ModelSource> source;
    std::vector<model::Token> text = tokens(6000);
    CalibrationOptions options;
};

void expect_equal(const QuantizedModel& a, const QuantizedModel& b) {
    ASSERT_EQ(a.weights.linears.size(), b.weights.linears.size());
    for (const auto& [name, w] : a.weights.linears) {
        const auto it = b.weights.linears.find(name);
        ASSERT_NE(it, b.weights.linears.end()) << name;
        EXPECT_EQ(w.format, it->second.format) << name;
        EXPECT_EQ(w.group, it->second.group) << name;
        EXPECT_EQ(w.codes, it->second.codes) << name;
        EXPECT_EQ(w.low, it->second.low) << name;
        EXPECT_EQ(w.scales, it->second.scales) << name;
        EXPECT_EQ(w.zeros, it->second.zeros) << name;
    }
    EXPECT_EQ(a.notes, b.notes);
    EXPECT_EQ(a.stored_bytes, b.stored_bytes);
}

}  // namespace

TEST(Knapsack, AgreesWithTryingEverySelection) {
    std::mt19937 rng(3);
    for (int round = 0; round < 300; ++round) {
        const Items items = random_items(rng, 1 + rng() % 6, 4);
        const std::uint64_t budget = rng() % 50;
        const double limit = static_cast<double>(rng() % 40) / 8;
        std::optional<std::pair<double, std::uint64_t>> least;
        std::optional<std::pair<std::uint64_t, double>> fewest;
        each_selection(items, [&](std::uint64_t bytes, double loss) {
            if (bytes <= budget) least = std::min(least.value_or(std::pair(loss, bytes)), std::pair(loss, bytes));
            if (loss <= limit) fewest = std::min(fewest.value_or(std::pair(bytes, loss)), std::pair(bytes, loss));
        });
        const auto a = least_loss(items, budget, {});
        ASSERT_EQ(a.ok(), least.has_value()) << round;
        if (a.ok()) {
            expect_consistent(items, *a);
            EXPECT_EQ(a->loss, least->first) << round;
            EXPECT_EQ(a->bytes, least->second) << round;
        }
        const auto b = fewest_bytes(items, limit, {});
        ASSERT_EQ(b.ok(), fewest.has_value()) << round;
        if (b.ok()) {
            expect_consistent(items, *b);
            EXPECT_EQ(b->bytes, fewest->first) << round;
            EXPECT_EQ(b->loss, fewest->second) << round;
        }
    }
}

// As many units as a 7B model has, with losses as they are: against a table over all sums of bytes.
TEST(Knapsack, AgreesWithTheFullTableOnALargeModel) {
    std::mt19937 rng(5);
    Items items(128);
    for (auto& item : items) {
        const std::uint64_t size = 1 + rng() % 4;
        const double sensitivity = std::exp(static_cast<double>(rng() % 1000) / 150);
        for (const auto& [bits, factor] : {std::pair(17, 1.0), {18, 0.86}, {20, 0.72}, {25, 0.06}, {33, 0.004}, {64, 0.0}}) {
            item.push_back({size * static_cast<std::uint64_t>(bits), sensitivity * factor * (1 + static_cast<double>(rng() % 100) / 1000)});
        }
    }
    std::vector<double> table(1, 0.0);  // bytes -> least loss
    for (const auto& item : items) {
        std::vector<double> next(table.size() + 4 * 64, std::numeric_limits<double>::infinity());
        for (std::size_t b = 0; b < table.size(); ++b) {
            for (const Choice& c : item) next[b + c.bytes] = std::min(next[b + c.bytes], table[b] + c.loss);
        }
        table = std::move(next);
    }
    for (std::size_t b = 1; b < table.size(); ++b) table[b] = std::min(table[b], table[b - 1]);
    std::uint64_t least = 0;
    for (const auto& item : items) least += item[0].bytes;
    for (const double more : {1.0, 1.003, 1.08, 1.5, 2.0, 5.0}) {
        const auto budget = static_cast<std::uint64_t>(static_cast<double>(least) * more);
        const auto s = least_loss(items, budget, {});
        ASSERT_TRUE(s.ok());
        expect_consistent(items, *s);
        EXPECT_LE(s->bytes, budget);
        const double best = table[std::min<std::size_t>(budget, table.size() - 1)];
        EXPECT_NEAR(s->loss, best, 1e-9 * (1 + best)) << more;
    }
}

TEST(Knapsack, FrontRisesInBytesAndFallsInLoss) {
    std::mt19937 rng(7);
    for (int round = 0; round < 20; ++round) {
        const Items items = random_items(rng, 12, 5);
        const auto front = pareto_front(items, 40, {});
        ASSERT_TRUE(front.ok());
        ASSERT_FALSE(front->empty());
        for (std::size_t i = 0; i < front->size(); ++i) {
            expect_consistent(items, (*front)[i]);
            if (i == 0) continue;
            EXPECT_GT((*front)[i].bytes, (*front)[i - 1].bytes);
            EXPECT_LT((*front)[i].loss, (*front)[i - 1].loss);
        }
        double best = 0;
        for (const auto& item : items) best += std::min_element(item.begin(), item.end(), [](const Choice& a, const Choice& b) { return a.loss < b.loss; })->loss;
        EXPECT_DOUBLE_EQ(front->back().loss, best);
    }
}

TEST(Knapsack, RefusesWhatHasNoAnswer) {
    const Items items = {{{10, 1.0}, {20, 0.5}}, {{10, 1.0}}};
    EXPECT_EQ(least_loss(items, 19, {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(least_loss(items, 19, {}).error().what.find("20 bytes"), std::string::npos);
    EXPECT_TRUE(least_loss(items, 20, {}).ok());
    EXPECT_EQ(fewest_bytes(items, 1.4, {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(fewest_bytes(items, 1.5, {})->bytes, 30u);
    EXPECT_FALSE(least_loss(Items{{}}, 10, {}).ok());
    EXPECT_FALSE(least_loss(Items{{{1, std::nan("")}}}, 10, {}).ok());
    EXPECT_FALSE(least_loss(Items{{{1, -1.0}}}, 10, {}).ok());
    EXPECT_EQ(least_loss(items, 30, stopped()).error().code, ErrorCode::kCancelled);
    EXPECT_EQ(least_loss(Items{}, 0, {})->bytes, 0u);
}

TEST(FitMargins, FindsTheFactorsBehindTheSums) {
    constexpr std::size_t kKinds = 4, kBlocks = 5, kLayers = 10;
    std::mt19937 rng(9);
    const auto positive = [&] { return 0.1 + static_cast<double>(rng() % 1000) / 100; };
    std::vector<double> a(kKinds), b(kBlocks), prior, truth, kind_sums(kKinds), block_sums(kBlocks);
    for (double& v : a) v = positive();
    for (double& v : b) v = positive();
    std::vector<std::uint32_t> kind, block;
    double total = 0;
    for (std::uint32_t layer = 0; layer < kLayers; ++layer) {
        for (std::uint32_t k = 0; k < kKinds; ++k) {
            kind.push_back(k);
            block.push_back(layer * kBlocks / kLayers);
            prior.push_back(positive());
            truth.push_back(prior.back() * a[k] * b[block.back()]);
            kind_sums[k] += truth.back();
            block_sums[block.back()] += truth.back();
            total += truth.back();
        }
    }
    const auto exact = fit_margins(prior, kind, kind_sums, block, block_sums, total);
    for (std::size_t u = 0; u < truth.size(); ++u) EXPECT_NEAR(exact[u], truth[u], 1e-6 * truth[u]) << u;
    // Sums that disagree, as measured ones do: still positive, and the whole is the whole.
    for (double& v : block_sums) v *= 1.1;
    block_sums[2] = 0;
    const auto rough = fit_margins(prior, kind, kind_sums, block, block_sums, 2 * total);
    double sum = 0;
    for (std::size_t u = 0; u < rough.size(); ++u) {
        EXPECT_TRUE(std::isfinite(rough[u]) && rough[u] >= 0);
        if (block[u] == 2) {
            EXPECT_EQ(rough[u], 0);
        }
        sum += rough[u];
    }
    EXPECT_NEAR(sum, 2 * total, 1e-9 * total);
}

TEST_F(MixedModel, SensitivitiesFallWithBitsAndFitTheirProbes) {
    for (const std::uint32_t probes : {16u, 7u}) {  // one for each unit; kinds and blocks of layers
        const Sensitivity s = sensitivity(probes);
        ASSERT_EQ(s.units.size(), 12u);
        EXPECT_EQ(kind_name(s.units[0]), "q, k, v");
        EXPECT_EQ(kind_name(s.units[3]), "down");
        EXPECT_LE(s.probes.size(), probes + 2);
        for (std::size_t u = 0; u < s.units.size(); ++u) {
            for (std::size_t o = 1; o < s.options.size(); ++o) {
                EXPECT_GE(s.choices[u][o].bytes, s.choices[u][o - 1].bytes);
                if (s.options[o].candidate.bits > s.options[o - 1].candidate.bits) {
                    EXPECT_LT(s.choices[u][o].loss, s.choices[u][kProbedOption].loss) << u << " " << s.options[o].name;
                }
            }
            EXPECT_GT(s.choices[u][kProbedOption].loss, 0);
        }
        int held_out = 0;
        for (const ProbeRecord& p : s.probes) {
            EXPECT_GT(p.measured.kl, 0) << p.what;
            held_out += p.fitted ? 0 : 1;
            // Losses add up: single passes over 512 tokens of a random model agree with their sum within a third.
            EXPECT_NEAR(p.predicted / p.measured.kl, 1.0, 0.34) << p.what;
        }
        EXPECT_EQ(held_out, 1);
        EXPECT_NEAR(s.probes.front().predicted, s.probes.front().measured.kl, 1e-9);
    }
}

TEST_F(MixedModel, StaysWithinItsBitsAndTellsWhatItChose) {
    const auto q = run("mixed_4.8", 2);
    ASSERT_TRUE(q.ok()) << q.error().text();
    EXPECT_LE(q->bits_per_weight, 4.8);
    EXPECT_GT(q->bits_per_weight, 4.5);
    EXPECT_EQ(q->errors.size(), q->weights.linears.size());
    std::set<std::pair<compute::WeightFormat, std::uint32_t>> formats;
    for (const auto& [name, w] : q->weights.linears) formats.insert({w.format, w.group});
    EXPECT_GT(formats.size(), 1u);
    // vLLM fuses these: one format.
    for (const char* layer : {"0", "1", "2"}) {
        const std::string p = std::string("model.layers.") + layer + ".";
        const auto of = [&](const char* name) {
            const auto& w = q->weights.linears.at(p + name);
            return std::pair(w.format, w.group);
        };
        EXPECT_EQ(of("self_attn.q_proj.weight"), of("self_attn.k_proj.weight"));
        EXPECT_EQ(of("self_attn.q_proj.weight"), of("self_attn.v_proj.weight"));
        EXPECT_EQ(of("mlp.gate_proj.weight"), of("mlp.up_proj.weight"));
    }
    bool named = false;
    for (const std::string& note : q->notes) named |= note.starts_with("down: int");
    EXPECT_TRUE(named);
    EXPECT_LT(q->stored_bytes, q->baseline_bytes);
    for (const LayerError& e : q->errors) EXPECT_LE(e.relative, e.nearest * 1.05) << e.name;
}

TEST_F(MixedModel, SameBytesForAnyNumberOfThreads) {
    const auto one = run("mixed", 1), two = run("mixed", 2), three = run("mixed", 3);
    ASSERT_TRUE(one.ok() && two.ok() && three.ok());
    expect_equal(*one, *two);
    expect_equal(*one, *three);
}

TEST_F(MixedModel, OneFormatEverywhereIsTheUniformCandidate) {
    const Sensitivity s = sensitivity(8);
    for (const bool propagate : {false, true}) {
        options.propagate = propagate;
        const QuantizedModel mixed = composed(s, uniform(s, kProbedOption));
        const auto plain = run("gptq_g128", 2);
        ASSERT_TRUE(plain.ok());
        ASSERT_EQ(plain->weights.linears.size(), mixed.weights.linears.size());
        for (const auto& [name, w] : plain->weights.linears) {
            EXPECT_EQ(w.codes, mixed.weights.linears.at(name).codes) << name;
            EXPECT_EQ(w.scales, mixed.weights.linears.at(name).scales) << name;
        }
        EXPECT_DOUBLE_EQ(plain->bits_per_weight, mixed.bits_per_weight);
        EXPECT_EQ(plain->stored_bytes, mixed.stored_bytes);
        EXPECT_DOUBLE_EQ(uniform(s, kProbedOption).bits, mixed.bits_per_weight);
        // All in 16 bit: nothing is changed, and that is what it says.
        const QuantizedModel dense = composed(s, uniform(s, static_cast<std::uint32_t>(s.options.size() - 1)));
        EXPECT_TRUE(dense.weights.linears.empty());
        EXPECT_EQ(dense.bits_per_weight, 16.0);
        EXPECT_EQ(dense.stored_bytes, dense.baseline_bytes);
    }
}

TEST_F(MixedModel, ChoosesByBitsByLossAndByDefault) {
    const Sensitivity s = sensitivity(8);
    const auto bits = compose_for_bits(s, 5, {});
    ASSERT_TRUE(bits.ok());
    EXPECT_LE(bits->bits, 5);
    const auto same = compose_for_percent(s, bits->percent(), {});
    ASSERT_TRUE(same.ok());
    EXPECT_LE(same->bytes, bits->bytes);
    EXPECT_LE(same->percent(), bits->percent() * (1 + 1e-9));
    const auto usual = compose_default(s, {});
    ASSERT_TRUE(usual.ok());
    EXPECT_LE(usual->loss, uniform(s, kProbedOption).loss / 2);
    const auto front = compositions(s, 12, {});
    ASSERT_TRUE(front.ok());
    ASSERT_GT(front->size(), 5u);
    for (std::size_t i = 1; i < front->size(); ++i) {
        EXPECT_GT((*front)[i].bytes, (*front)[i - 1].bytes);
        EXPECT_LT((*front)[i].loss, (*front)[i - 1].loss);
    }
    // No single format is smaller and better than the front.
    for (std::uint32_t o = 0; o < s.options.size(); ++o) {
        const Composition u = uniform(s, o);
        const auto at = compose_for_bits(s, u.bits, {});
        ASSERT_TRUE(at.ok());
        EXPECT_LE(at->loss, u.loss * (1 + 1e-9)) << s.options[o].name;
    }
    const std::vector<double> rates(s.options.size(), 1e9);
    EXPECT_NEAR(decode_seconds(s, *bits, rates), static_cast<double>(bits->bytes) / 1e9, 1e-15);
    EXPECT_FALSE(compose_for_bits(s, 4.0, {}).ok());
}

TEST_F(MixedModel, SensitivitiesAreKeptInAFile) {
    const Sensitivity s = sensitivity(8);
    const fs::path file = dir / "sensitivity.json";
    EXPECT_EQ(load_sensitivity(file, "a").error().code, ErrorCode::kNotFound);
    ASSERT_TRUE(save_sensitivity(file, s, "a").ok());
    EXPECT_EQ(load_sensitivity(file, "b").error().code, ErrorCode::kMismatch);
    const auto back = load_sensitivity(file, "a");
    ASSERT_TRUE(back.ok()) << back.error().text();
    ASSERT_EQ(back->units.size(), s.units.size());
    EXPECT_EQ(back->errors, s.errors);
    EXPECT_EQ(back->notes, s.notes);
    EXPECT_EQ(back->probes.size(), s.probes.size());
    EXPECT_EQ(back->probes.back().units, s.probes.back().units);
    const auto a = compose_for_bits(s, 5, {}), b = compose_for_bits(*back, 5, {});
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_EQ(a->chosen, b->chosen);
    EXPECT_EQ(a->loss, b->loss);
    EXPECT_EQ(describe(s, *a), describe(*back, *b));
    // Damaged files are refused, never believed.
    const std::string written = *read_text_file(file);
    const std::pair<const char*, const char*> damages[] = {{"\"layer\":0", "\"layer\":-1"}, {"\"losses\":[", "\"losses\":[1,"}, {"\"losses\":[", "\"losses\":[null,"},
                                                           {"\"kl\":", "\"kk\":"}, {"\"units\":[0", "\"units\":[99"}, {"\"bytes\":[", "\"bytes\":[1e99,"}, {"{", ""}};
    for (const auto& [from, to] : damages) {
        std::string damaged = written;
        ASSERT_NE(damaged.find(from), std::string::npos) << from;
        damaged.replace(damaged.find(from), std::string(from).size(), to);
        dir.write("damaged.json", damaged);
        const auto r = load_sensitivity(dir / "damaged.json", "a");
        ASSERT_FALSE(r.ok()) << to;
        EXPECT_EQ(r.error().code, ErrorCode::kMalformed) << to;
    }
}

// Two sizes and a uniform candidate in one call, cut off and gone on with: one measurement, the same result.
TEST_F(MixedModel, GoesOnFromCheckpoints) {
    const auto backend = compute::make_cpu_backend(2);
    QuantizeManyOptions o;
    o.calibration = options;
    o.checkpoints = dir / "checkpoints";
    const std::vector<Candidate> candidates = {*find_candidate("mixed_4.8"), *find_candidate("gptq_g128"), *find_candidate("mixed_6")};
    std::vector<QuantizedModel> results;
    const auto keep = [&](QuantizedModel q) -> Status {
        results.push_back(std::move(q));
        return {};
    };
    EXPECT_EQ(load_checkpoint(source, candidates[0], text, o, *backend, {}).error().code, ErrorCode::kNotFound);
    std::stop_source stop;
    JobContext ctx;
    ctx.stop = stop.get_token();
    ctx.on_progress = [&](const Progress& p) {
        if (p.phase == "quantize" && p.done > 30) stop.request_stop();
    };
    EXPECT_EQ(quantize_many(source, candidates, text, o, *backend, ctx, keep).error().code, ErrorCode::kCancelled);
    bool measured = false;
    ctx.stop = {};
    ctx.on_progress = [&](const Progress& p) { measured |= p.phase == "probe" || p.phase == "sensitivity"; };
    const Status status = quantize_many(source, candidates, text, o, *backend, ctx, keep);
    ASSERT_TRUE(status.ok()) << status.error().text();
    EXPECT_FALSE(measured);
    ASSERT_EQ(results.size(), 3u);
    const auto plain = run("mixed_4.8", 2);
    ASSERT_TRUE(plain.ok());
    expect_equal(results[0], *plain);
    EXPECT_EQ(results[0].errors.size(), plain->errors.size());
    EXPECT_GT(results[2].bits_per_weight, results[0].bits_per_weight);
    const auto loaded = load_checkpoint(source, candidates[2], text, o, *backend, {});
    ASSERT_TRUE(loaded.ok()) << loaded.error().text();
    expect_equal(*loaded, results[2]);
}

TEST_F(MixedModel, StopsAndRefuses) {
    EXPECT_EQ(run("mixed", 2, stopped()).error().code, ErrorCode::kCancelled);
    // In the middle, too.
    for (const char* phase : {"sensitivity", "probe", "quantize"}) {
        std::stop_source source_of_stop;
        JobContext ctx;
        ctx.stop = source_of_stop.get_token();
        ctx.on_progress = [&](const Progress& p) {
            if (p.phase == phase && p.done > 0) source_of_stop.request_stop();
        };
        const auto q = run("mixed", 2, ctx);
        ASSERT_FALSE(q.ok()) << phase;
        EXPECT_EQ(q.error().code, ErrorCode::kCancelled) << phase;
    }
    text.resize(500);
    EXPECT_EQ(run("mixed", 2).error().code, ErrorCode::kInvalidArgument);
    text = tokens(6000);
    EXPECT_EQ(run("mixed_4", 2).error().code, ErrorCode::kInvalidArgument);
}
