// SPDX-License-Identifier: Apache-2.0
#include "core/quant/quantize.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/compute/cpu/cpu_backend.h"
#include "core/quant/calibration.h"
#include "core/quant/export_layout.h"
#include "tests/core/quant/tiny_model.h"

using namespace tenpak;
using namespace tenpak::quant;

namespace {

std::vector<model::Token> tokens(std::size_t n, std::uint32_t vocab = 96) {
    std::mt19937 rng(11);
    std::vector<model::Token> t(n);
    for (auto& x : t) x = static_cast<model::Token>(rng() % vocab);
    return t;
}
CalibrationOptions few() {
    CalibrationOptions o;
    o.sequences = 24;
    o.length = 64;
    return o;
}
std::shared_ptr<const ModelSource> open(const std::filesystem::path& p) {
    auto m = ModelDirectory::open(p);
    EXPECT_TRUE(m.ok());
    return *m;
}

}  // namespace

TEST(GroupFor, TakesTheLargestThatDivides) {
    EXPECT_EQ(group_for(128, 4096), 128u);
    EXPECT_EQ(group_for(256, 512), 256u);
    EXPECT_EQ(group_for(256, 896), 128u);  // 3.5 * 256
    EXPECT_EQ(group_for(128, 576), 64u);
    EXPECT_EQ(group_for(128, 960), 64u);
    EXPECT_EQ(group_for(64, 4096), 64u);
    EXPECT_EQ(group_for(128, 160), 32u);
    EXPECT_EQ(group_for(128, 172), 172u);
}

TEST(CutWindows, SpreadsThemAndRefusesShortTexts) {
    CalibrationOptions o;
    o.sequences = 5;
    o.length = 256;
    const auto text = tokens(5000);
    const auto w = cut_windows(text, o, 512);
    ASSERT_TRUE(w.ok());
    EXPECT_EQ(w->count(), 5u);
    EXPECT_TRUE(std::equal(text.begin(), text.begin() + 256, w->tokens.begin()));
    EXPECT_TRUE(std::equal(text.end() - 256, text.end(), w->tokens.end() - 256));
    EXPECT_EQ(cut_windows(text, o, 100)->length, 100u);
    EXPECT_EQ(cut_windows(tokens(1100), o, 512)->count(), 4u);
    const auto bad = cut_windows(tokens(1023), o, 512);
    ASSERT_FALSE(bad.ok());
    EXPECT_EQ(bad.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(bad.error().text().find("1023 tokens"), std::string::npos);
}

TEST(Quantize, EveryCandidateCountsItsRealBytes) {
    const test::TempDir dir;
    const auto source = open(test::TinyModel().write(dir, "m"));
    const auto backend = compute::make_cpu_backend(2);
    for (const Candidate& c : known_candidates()) {
        if (c.method == Method::kMixed) continue;
        int calls = 0;
        JobContext ctx;
        ctx.on_progress = [&](const Progress& p) { calls += p.phase == "quantize" && p.total == 14; };
        const auto q = quantize(source, c, tokens(3000), few(), *backend, ctx);
        ASSERT_TRUE(q.ok()) << c.name << ": " << q.error().text();
        EXPECT_EQ(q->baseline_bytes, source->parameters() * 2);
        if (!c.lossy()) {
            EXPECT_TRUE(q->weights.linears.empty());
            EXPECT_EQ(q->stored_bytes, q->baseline_bytes);
            EXPECT_EQ(q->bits_per_weight, 16.0);
            continue;
        }
        EXPECT_GT(q->seconds, 0.0);
        EXPECT_GE(calls, 14);
        EXPECT_EQ(q->weights.linears.size(), 14u);
        EXPECT_EQ(q->errors.size(), 14u);
        std::uint64_t packed = 0, weights = 0;
        for (const auto& [name, w] : q->weights.linears) {
            EXPECT_TRUE(w.validate(name).ok());
            packed += w.stored_bytes();
            weights += std::uint64_t{w.n} * w.k;
        }
        EXPECT_EQ(q->stored_bytes, q->baseline_bytes - weights * 2 + packed);
        EXPECT_DOUBLE_EQ(q->bits_per_weight, 8.0 * static_cast<double>(packed) / static_cast<double>(weights));
        if (c.group > 0) {
            // hidden 64: groups of 64; down_proj's 160 columns: groups of 32.
            ASSERT_EQ(q->notes.size(), c.group == 64 ? 1u : 2u) << c.name;
            EXPECT_TRUE(c.group == 64 || q->notes[0].find("group 64 instead of " + std::to_string(c.group) + " for 12 tensors") != std::string::npos) << q->notes[0];
            EXPECT_NE(q->notes.back().find("group 32"), std::string::npos) << q->notes.back();
        }
        EXPECT_EQ(q->weights.vectors.size(), c.method == Method::kAwq ? 4u : 0u);
    }
}

TEST(Quantize, IsTheSameForAnyNumberOfThreads) {
    const test::TempDir dir;
    const auto source = open(test::TinyModel().write(dir, "m"));
    const auto one = compute::make_cpu_backend(1), three = compute::make_cpu_backend(3);
    for (const char* name : {"awq_g128", "gptq_g128"}) {
        const auto a = quantize(source, *find_candidate(name), tokens(3000), few(), *one, {});
        const auto b = quantize(source, *find_candidate(name), tokens(3000), few(), *three, {});
        ASSERT_TRUE(a.ok() && b.ok());
        for (const auto& [tensor, w] : a->weights.linears) {
            EXPECT_EQ(w.codes, b->weights.linears.at(tensor).codes) << name << " " << tensor;
            EXPECT_EQ(w.scales, b->weights.linears.at(tensor).scales) << name << " " << tensor;
            EXPECT_EQ(w.zeros, b->weights.linears.at(tensor).zeros) << name << " " << tensor;
        }
        EXPECT_EQ(a->weights.vectors, b->weights.vectors) << name;
    }
}

// Folding scales into norms and rows must not change what the layer computes but for rounding: with 8-bit-like fineness the
// output stays the same. Checked on the logits of a model with as many KV heads as heads, so that v and o are coupled, too.
TEST(Quantize, AwqsFoldedScalesKeepTheModel) {
    const test::TempDir dir;
    test::TinyModel tiny;
    tiny.kv_heads = 4;
    const auto source = open(tiny.write(dir, "m"));
    const auto backend = compute::make_cpu_backend(2);
    const auto logits = [&](const compute::WeightOverrides& w) {
        auto m = model::Transformer::load(source, w, *backend, {}, {});
        EXPECT_TRUE(m.ok()) << m.error().text();
        model::KvCache cache((*m)->config(), (*m)->backend(), 1, 64);
        std::vector<float> out;
        const auto t = tokens(64);
        const model::SequenceChunk chunk{0, t};
        EXPECT_TRUE((*m)->forward({&chunk, 1}, cache, model::LogitsOf::kAll, out).ok());
        return out;
    };
    const auto distance = [](const std::vector<float>& a, const std::vector<float>& b) {
        double d = 0, p = 0;
        for (std::size_t i = 0; i < a.size(); ++i) {
            d += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
            p += static_cast<double>(a[i]) * a[i];
        }
        return d / p;
    };
    const auto reference = logits({});
    const auto q = [&](const char* name) { return quantize(source, *find_candidate(name), tokens(3000), few(), *backend, {}).value().weights; };
    const double rtn = distance(reference, logits(q("rtn_g128"))), awq = distance(reference, logits(q("awq_g128")));
    EXPECT_LT(awq, rtn);
    EXPECT_LT(awq, 0.05);
    // And that folding took place everywhere: no norm is the source's.
    const auto folded = q("awq_g128").vectors;
    for (const auto& [name, values] : folded) EXPECT_NE(values, *source->read_float(*source->find(name))) << name;
}

TEST(Quantize, ExportAndImportGiveTheSameModel) {
    const test::TempDir dir;
    const auto source = open(test::TinyModel().write(dir, "m"));
    const auto backend = compute::make_cpu_backend(2);
    for (const char* name : {"int8", "int8_g128", "awq_g128", "awq_g256", "gptq_g128"}) {
        const auto q = quantize(source, *find_candidate(name), tokens(3000), few(), *backend, {});
        ASSERT_TRUE(q.ok());
        ASSERT_TRUE(export_compressed_tensors(*source, {}, *q, dir / name, {}).ok());
        const auto exported = open(dir / name);
        const auto back = import_quantized(*exported, {});
        ASSERT_TRUE(back.ok()) << back.error().text();
        const auto run = [&](std::shared_ptr<const ModelSource> s, const compute::WeightOverrides& w) {
            auto m = model::Transformer::load(std::move(s), w, *backend, {}, {});
            EXPECT_TRUE(m.ok()) << name << ": " << m.error().text();
            model::KvCache cache((*m)->config(), (*m)->backend(), 1, 32);
            std::vector<float> out;
            const auto t = tokens(32);
            const model::SequenceChunk chunk{0, t};
            EXPECT_TRUE((*m)->forward({&chunk, 1}, cache, model::LogitsOf::kAll, out).ok());
            return out;
        };
        const auto here = run(source, q->weights), there = run(exported, *back);
        if (find_candidate(name)->symmetric) {
            EXPECT_EQ(here, there) << name;
        } else {  // groups with zero points are written in one size, 32 here: the same values, added up in another order
            ASSERT_EQ(here.size(), there.size());
            for (std::size_t i = 0; i < here.size(); ++i) ASSERT_NEAR(here[i], there[i], 1e-3) << name;
        }
        const auto again = quantize(exported, *find_candidate("int8"), {}, few(), *backend, {});
        ASSERT_FALSE(again.ok());
        EXPECT_NE(again.error().text().find("quantized already"), std::string::npos) << again.error().text();
    }
}

TEST(Quantize, BadInputGetsOneClearError) {
    const test::TempDir dir;
    const auto backend = compute::make_cpu_backend(1);
    const auto source = open(test::TinyModel().write(dir, "m"));
    const auto gptq = *find_candidate("gptq_g128"), rtn = *find_candidate("rtn_g128"), awq = *find_candidate("awq_g128");
    EXPECT_EQ(quantize(source, gptq, tokens(100), few(), *backend, {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(quantize(source, gptq, {}, few(), *backend, {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(quantize(source, gptq, tokens(3000, 5000), few(), *backend, {}).ok());  // tokens outside the vocabulary
    for (const float poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        test::TinyModel bad;
        bad.poison = poison;
        const auto broken = open(bad.write(dir, std::isnan(poison) ? "nan" : "inf"));
        for (const Candidate& c : {rtn, awq, gptq, *find_candidate("int8")}) {
            const auto r = quantize(broken, c, tokens(3000), few(), *backend, {});
            ASSERT_FALSE(r.ok()) << c.name;
            EXPECT_EQ(r.error().code, ErrorCode::kNumeric) << c.name;
            EXPECT_NE(r.error().text().find("model.layers.1.mlp.up_proj.weight"), std::string::npos) << r.error().text();
        }
    }
    std::stop_source stop;
    stop.request_stop();
    JobContext ctx;
    ctx.stop = stop.get_token();
    for (const Candidate& c : {rtn, awq, gptq}) EXPECT_EQ(quantize(source, c, tokens(3000), few(), *backend, ctx).error().code, ErrorCode::kCancelled) << c.name;
}

TEST(Quantize, RankDeficientStatisticsAreHandled) {
    // One token over and over: every layer sees a Gram matrix of rank 1.
    const test::TempDir dir;
    const auto source = open(test::TinyModel().write(dir, "m"));
    const auto backend = compute::make_cpu_backend(1);
    const std::vector<model::Token> same(3000, 7);
    for (const char* name : {"awq_g128", "gptq_g128"}) {
        const auto q = quantize(source, *find_candidate(name), same, few(), *backend, {});
        ASSERT_TRUE(q.ok()) << q.error().text();
        for (const LayerError& e : q->errors) EXPECT_TRUE(std::isfinite(e.relative)) << e.name;
    }
}
