// SPDX-License-Identifier: Apache-2.0
// What quantization does to the bundled sample, measured by the engine itself. The short form (quick) takes part of the
// text and of the calibration; TENPAK_FULL=1 takes all of it and prints the table that the documentation quotes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/compute/cpu/cpu_backend.h"
#include "core/evaluate/perplexity.h"
#include "core/quant/quantize.h"
#include "tests/support/temp_dir.h"

using namespace tenpak;
using namespace tenpak::quant;

namespace {

class SampleQuality : public ::testing::Test {
   protected:
    static bool full() { return std::getenv("TENPAK_FULL") != nullptr; }

    void SetUp() override {
        auto opened = ModelDirectory::open(test::sample_dir() / "base");
        ASSERT_TRUE(opened.ok()) << opened.error().text();
        source = *opened;
        const auto tokenizer = model::load_tokenizer(*source);
        ASSERT_TRUE(tokenizer.ok());
        const auto read = [&](const char* name) {
            const auto text = read_text_file(test::sample_dir() / "text" / name);
            EXPECT_TRUE(text.ok());
            return (*tokenizer)->encode(*text, false).value();
        };
        calibration = read("calibration.txt");
        evaluation = read("base.txt");
        if (!full()) {
            options.sequences = 16;
            return;
        }
        // All of the sample's texts: on one alone the interval of AWQ's gain is as wide as the gain.
        for (const char* more : {"finetune.txt", "lora.txt"}) {
            const auto tokens = read(more);
            evaluation.insert(evaluation.end(), tokens.begin(), tokens.end());
        }
    }
    QuantizedModel quantized(const Candidate& c) {
        auto q = quantize(source, c, calibration, options, *backend, {});
        EXPECT_TRUE(q.ok()) << q.error().text();
        return q.ok() ? std::move(*q) : QuantizedModel{};
    }
    QuantizedModel quantized(const char* name) { return quantized(*find_candidate(name)); }
    evaluate::PerplexityResult measure(const QuantizedModel& q) {
        auto m = model::Transformer::load(source, q.weights, *backend, {}, {});
        EXPECT_TRUE(m.ok()) << m.error().text();
        evaluate::PerplexityOptions o;
        o.context = 256;
        o.max_windows = full() ? 0 : 24;
        auto p = evaluate::perplexity(**m, evaluation, o, {});
        EXPECT_TRUE(p.ok()) << p.error().text();
        return *p;
    }
    static double mean_error(const QuantizedModel& q) {
        double s = 0;
        for (const LayerError& e : q.errors) s += e.relative / static_cast<double>(q.errors.size());
        return s;
    }

    std::shared_ptr<const ModelDirectory> source;
    std::unique_ptr<compute::Backend> backend = compute::make_cpu_backend();
    std::vector<model::Token> calibration, evaluation;
    CalibrationOptions options;
};

Candidate three_bit(const char* name) {
    Candidate c = *find_candidate(name);
    c.bits = 3;
    c.symmetric = false;
    return c;
}

}  // namespace

TEST_F(SampleQuality, Int8IsWithinHalfAPercent) {
    const auto fp16 = measure(quantized("fp16"));
    for (const char* name : {"int8", "int8_g128"}) {
        const auto delta = evaluate::paired_delta(measure(quantized(name)), fp16);
        ASSERT_TRUE(delta.ok());
        EXPECT_LT(std::max(std::fabs(delta->low), std::fabs(delta->high)), 0.5) << name;
    }
}

// At 3 bits the differences are far above the noise: this is where the methods must show that they work.
TEST_F(SampleQuality, AwqAndGptqBeatRoundToNearestAtThreeBits) {
    const QuantizedModel rtn = quantized(three_bit("rtn_g128")), awq = quantized(three_bit("awq_g128")), gptq = quantized(three_bit("gptq_g128"));
    for (const QuantizedModel* q : {&awq, &gptq}) {
        double better = 0, plain = 0;
        for (const LayerError& e : q->errors) {
            better += e.relative;
            plain += e.nearest;
            // AWQ's q, k and v share their scales: the sum counts, one of them may lose a little.
            EXPECT_LT(e.relative, e.nearest * (q == &awq ? 1.1 : 1.0)) << q->candidate.name << " " << e.name;
        }
        EXPECT_LT(better, 0.8 * plain) << q->candidate.name;
    }
    const auto yardstick = measure(rtn);
    for (const QuantizedModel* q : {&awq, &gptq}) {
        const auto delta = evaluate::paired_delta(measure(*q), yardstick);
        ASSERT_TRUE(delta.ok());
        EXPECT_LT(delta->high, 0.0) << q->candidate.name << ": " << delta->percent << " % against round-to-nearest";
    }
}

TEST_F(SampleQuality, SixBitsAreWithinHalfAPercent) {
    const auto fp16 = measure(quantized("fp16")), rtn = measure(quantized("rtn_g128")), residual = measure(quantized("int4_residual"));
    const auto delta = evaluate::paired_delta(residual, fp16), better = evaluate::paired_delta(residual, rtn);
    ASSERT_TRUE(delta.ok() && better.ok());
    EXPECT_LT(std::max(std::fabs(delta->low), std::fabs(delta->high)), 0.5);
    EXPECT_LT(better->percent, 0);
    if (full()) {
        EXPECT_LT(better->high, 0);
    }
}

TEST_F(SampleQuality, FullTable) {
    if (!full()) GTEST_SKIP() << "set TENPAK_FULL=1: it takes minutes";
    const auto fp16 = measure(quantized("fp16"));
    std::printf("%-14s %9s %22s %22s %8s %7s %9s\n", "candidate", "ppl", "delta % [95 %]", "against rtn_g128 %", "bits", "x", "error");
    std::printf("%-14s %9.4f\n", "fp16", fp16.perplexity);
    std::optional<evaluate::PerplexityResult> rtn;
    std::vector<Candidate> all;
    for (const Candidate& c : known_candidates()) {
        // Rounded activations are the kernels' business, mixed has a test of its own.
        if (c.lossy() && c.method != Method::kMixed && c.format != compute::WeightFormat::kFp8Channel && c.outlier_threshold == 0) all.push_back(c);
    }
    std::stable_partition(all.begin(), all.end(), [](const Candidate& c) { return c.name == "rtn_g128"; });
    for (const Candidate& c : all) {
        const QuantizedModel q = quantized(c);
        const auto p = measure(q);
        const auto d = evaluate::paired_delta(p, fp16);
        ASSERT_TRUE(d.ok());
        if (c.name == "rtn_g128") rtn = p;
        char against[64] = "";
        if (rtn && c.name != "rtn_g128") {
            const auto r = evaluate::paired_delta(p, *rtn);
            ASSERT_TRUE(r.ok());
            std::snprintf(against, sizeof against, "%+.3f [%+.3f, %+.3f]", r->percent, r->low, r->high);
            for (const char* better : {"awq_g128", "gptq_g128", "int4_residual", "int4_sparse25", "int8_g128"}) {
                if (c.name == better) {
                    EXPECT_LT(r->high, 0) << c.name << " is not better than round-to-nearest by more than the noise";
                }
            }
        }
        std::printf("%-14s %9.4f %+7.3f [%+.3f, %+.3f] %22s %8.3f %7.3f %9.6f\n", c.name.c_str(), p.perplexity, d->percent, d->low, d->high, against,
                    q.bits_per_weight, static_cast<double>(q.baseline_bytes) / static_cast<double>(q.stored_bytes), mean_error(q));
    }
}
