// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/evaluate/perplexity.h"
#include "core/evaluate/softmax.h"
#include "core/evaluate/statistics.h"
#include "tests/core/model/tiny_model.h"

namespace {

using namespace tenpak;
using namespace tenpak::evaluate;
using namespace tenpak::test;

struct Loaded {
    TempDir dir;
    TinyModel tiny{TinyShape{}};
    std::unique_ptr<compute::Backend> backend = compute::make_cpu_backend(2);
    std::unique_ptr<model::Transformer> model;
    Loaded() {
        tiny.write(dir / "m");
        auto t = model::Transformer::load(*ModelDirectory::open(dir / "m"), {}, *backend, {true}, {});
        EXPECT_TRUE(t.ok());
        model = std::move(*t);
    }
    /// Mean NLL of text[begin, begin + length), fed alone, from logits in double.
    double window(const std::vector<model::Token>& text, std::size_t begin, std::size_t length) const {
        const std::vector<model::Token> part(text.begin() + static_cast<std::ptrdiff_t>(begin), text.begin() + static_cast<std::ptrdiff_t>(begin + length));
        const auto logits = tiny.logits(part);
        const std::size_t vocab = tiny.shape.vocab;
        double sum = 0;
        for (std::size_t t = 0; t + 1 < length; ++t) {
            double total = 0;
            for (std::size_t v = 0; v < vocab; ++v) total += std::exp(logits[t * vocab + v]);
            sum += std::log(total) - logits[t * vocab + static_cast<std::size_t>(part[t + 1])];
        }
        return sum / static_cast<double>(length - 1);
    }
};

TEST(Perplexity, WindowsConventionToTheToken) {
    Loaded l;
    const auto text = random_tokens(16 * 7 + 5, l.tiny.shape.vocab, 3);
    const auto r = perplexity(*l.model, text, {16, 0}, {});
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_EQ(r->windows, 7u) << "the remainder is dropped";
    EXPECT_EQ(r->tokens, 7u * 15);
    EXPECT_EQ(r->convention, "windows-16");
    double sum = 0;
    for (std::size_t w = 0; w < 7; ++w) {
        const double want = l.window(text, w * 16, 16);
        EXPECT_NEAR(r->window_nll[w], want, 1e-4) << w;
        sum += want;
    }
    EXPECT_NEAR(r->nll, sum / 7, 1e-4);
    EXPECT_NEAR(r->perplexity, std::exp(sum / 7), 1e-4 * r->perplexity);
    EXPECT_GT(r->standard_error, 0);
    const auto some = perplexity(*l.model, text, {16, 3}, {});
    ASSERT_TRUE(some.ok());
    ASSERT_EQ(some->window_nll.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(some->window_nll[i], r->window_nll[i * 7 / 3], 1e-5) << "evenly spread";
}

TEST(Perplexity, ShortAndBadTexts) {
    Loaded l;
    const auto text = random_tokens(20, l.tiny.shape.vocab, 3);
    const auto shorter = perplexity(*l.model, text, {0, 0}, {});
    ASSERT_TRUE(shorter.ok());
    EXPECT_EQ(shorter->windows, 1u);
    EXPECT_EQ(shorter->context, 20u);
    EXPECT_NEAR(shorter->nll, l.window(text, 0, 20), 1e-4);
    EXPECT_EQ(shorter->standard_error, 0);
    const auto code = [&](std::size_t tokens, std::uint32_t context) {
        const auto r = perplexity(*l.model, std::span(text).first(tokens), {context, 0}, {});
        return r.ok() ? ErrorCode::kInternal : r.error().code;
    };
    EXPECT_EQ(code(0, 0), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code(1, 0), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code(20, 1), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code(20, 65), ErrorCode::kInvalidArgument) << "longer than the model's context";
    const std::vector<model::Token> outside = {1, 2, 5000};
    EXPECT_EQ(perplexity(*l.model, outside, {}, {}).error().code, ErrorCode::kInvalidArgument);
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(perplexity(*l.model, text, {}, {stop.get_token(), {}}).error().code, ErrorCode::kCancelled);
}

TEST(Perplexity, CompareGivesDivergenceAndAgreement) {
    Loaded a;
    const auto text = random_tokens(16 * 5, a.tiny.shape.vocab, 4);
    const auto same = compare(*a.model, *a.model, text, {16, 0}, {});
    ASSERT_TRUE(same.ok()) << same.error().text();
    EXPECT_NEAR(same->agreement.kl_divergence, 0, 1e-9);
    EXPECT_EQ(same->agreement.top1_agreement, 1);
    EXPECT_EQ(same->delta.percent, 0);
    // Another head: its divergence from plain double-precision logits.
    TinyModel other = a.tiny;
    for (float& f : other.tensors.at("model.norm.weight")) f *= 1.25f;
    other.write(a.dir / "other");
    auto b = model::Transformer::load(*ModelDirectory::open(a.dir / "other"), {}, *a.backend, {true}, {});
    ASSERT_TRUE(b.ok());
    for (float& f : other.tensors.at("model.norm.weight")) f = bf16_to_float(float_to_bf16(f));
    const auto c = compare(**b, *a.model, text, {16, 0}, {});
    ASSERT_TRUE(c.ok());
    double kl = 0;
    int same_top = 0, rows = 0;
    for (std::size_t w = 0; w < 5; ++w) {
        const std::vector<model::Token> part(text.begin() + static_cast<std::ptrdiff_t>(w * 16), text.begin() + static_cast<std::ptrdiff_t>(w * 16 + 15));
        const auto p = a.tiny.logits(part), q = other.logits(part);
        const std::size_t vocab = a.tiny.shape.vocab;
        for (std::size_t t = 0; t < 15; ++t, ++rows) {
            double zp = 0, zq = 0;
            std::size_t tp = 0, tq = 0;
            for (std::size_t v = 0; v < vocab; ++v) {
                zp += std::exp(p[t * vocab + v]);
                zq += std::exp(q[t * vocab + v]);
                if (p[t * vocab + v] > p[t * vocab + tp]) tp = v;
                if (q[t * vocab + v] > q[t * vocab + tq]) tq = v;
            }
            for (std::size_t v = 0; v < vocab; ++v) {
                const double lp = p[t * vocab + v] - std::log(zp), lq = q[t * vocab + v] - std::log(zq);
                kl += std::exp(lp) * (lp - lq);
            }
            same_top += tp == tq ? 1 : 0;
        }
    }
    EXPECT_GT(kl / rows, 1e-3);
    EXPECT_NEAR(c->agreement.kl_divergence, kl / rows, 1e-3 * kl / rows);
    EXPECT_NEAR(c->agreement.top1_agreement, static_cast<double>(same_top) / rows, 1e-12);
    EXPECT_NEAR(c->delta.percent, 100 * (c->candidate.perplexity / c->reference.perplexity - 1), 1e-6);
}

/// Sum of NLL over targets [from, length) of a window fed alone, in double, and how many.
double half_window(const Loaded& l, std::vector<model::Token> part, std::size_t from) {
    const auto logits = l.tiny.logits(part);
    const std::size_t vocab = l.tiny.shape.vocab;
    double sum = 0;
    for (std::size_t t = from; t < part.size(); ++t) {
        double total = 0;
        for (std::size_t v = 0; v < vocab; ++v) total += std::exp(logits[(t - 1) * vocab + v]);
        sum += std::log(total) - logits[(t - 1) * vocab + static_cast<std::size_t>(part[t])];
    }
    return sum;
}
std::vector<model::Token> slice(const std::vector<model::Token>& text, std::size_t begin, std::size_t end) {
    return {text.begin() + static_cast<std::ptrdiff_t>(begin), text.begin() + static_cast<std::ptrdiff_t>(end)};
}

TEST(Perplexity, SecondHalfConventionToTheToken) {
    Loaded l;
    const auto text = random_tokens(16 * 4 + 3, l.tiny.shape.vocab, 5);
    for (const model::Token bos : {-1, 2}) {
        PerplexityOptions o;
        o.context = 16;
        o.convention = Convention::kSecondHalf;
        o.bos = bos;
        const auto r = perplexity(*l.model, text, o, {});
        ASSERT_TRUE(r.ok()) << r.error().text();
        EXPECT_EQ(r->convention, "second-half-16");
        EXPECT_EQ(r->tokens, 4u * 7) << "n - n/2 - 1 a window";
        double sum = 0;
        for (std::size_t w = 0; w < 4; ++w) {
            auto part = slice(text, w * 16, w * 16 + 16);
            if (bos >= 0) part[0] = bos;
            sum += half_window(l, part, 9);
        }
        EXPECT_NEAR(r->nll, sum / 28, 1e-4) << bos;
    }
    PerplexityOptions o;
    o.context = 34;
    o.convention = Convention::kSecondHalf;
    EXPECT_EQ(perplexity(*l.model, text, o, {}).error().code, ErrorCode::kInvalidArgument) << "needs two windows";
}

TEST(Perplexity, StrideConventionToTheToken) {
    Loaded l;
    const auto text = random_tokens(50, l.tiny.shape.vocab, 6);
    PerplexityOptions o;
    o.context = 16;
    o.stride = 6;
    o.convention = Convention::kStride;
    const auto r = perplexity(*l.model, text, o, {});
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_EQ(r->convention, "stride-6-of-16");
    EXPECT_EQ(r->tokens, 49u) << "every token but the first, once";
    double sum = 0;
    std::size_t scored = 1;
    for (std::size_t begin = 0; scored < 50; begin += 6) {
        const std::size_t end = std::min<std::size_t>(begin + 16, 50);
        sum += half_window(l, slice(text, begin, end), scored - begin);
        scored = end;
    }
    EXPECT_NEAR(r->nll, sum / 49, 1e-4);
    o.stride = 16;
    EXPECT_EQ(perplexity(*l.model, text, o, {}).error().code, ErrorCode::kInvalidArgument);
    o.stride = 6;
    o.max_windows = 2;
    EXPECT_EQ(perplexity(*l.model, text, o, {})->windows, 2u);
    EXPECT_EQ(find_convention("perplexing").error().code, ErrorCode::kInvalidArgument);
}

TEST(Perplexity, KeptReferenceGivesWhatTheModelGives) {
    Loaded a;
    const auto text = random_tokens(16 * 5, a.tiny.shape.vocab, 4);
    TinyModel other = a.tiny;
    for (float& f : other.tensors.at("model.norm.weight")) f *= 1.25f;
    other.write(a.dir / "other");
    auto b = model::Transformer::load(*ModelDirectory::open(a.dir / "other"), {}, *a.backend, {true}, {});
    ASSERT_TRUE(b.ok());
    const auto live = compare(**b, *a.model, text, {16, 0}, {});
    ASSERT_TRUE(live.ok());
    const auto file = a.dir / "reference.bin";
    const auto kept = perplexity_and_keep(*a.model, text, {16, 0}, file, "a", {});
    ASSERT_TRUE(kept.ok()) << kept.error().text();
    EXPECT_EQ(kept->nll, live->reference.nll);
    EXPECT_TRUE(is_reference_log(file));
    EXPECT_FALSE(is_reference_log(a.dir / "m/config.json"));
    auto reader = ReferenceReader::open(file);
    ASSERT_TRUE(reader.ok()) << reader.error().text();
    EXPECT_EQ(reader->header().model, "a");
    const auto c = compare(**b, *reader, text, {16, 0}, {});
    ASSERT_TRUE(c.ok()) << c.error().text();
    EXPECT_EQ(c->agreement.top_k, kDefaultTopK);
    EXPECT_NEAR(c->delta.percent, live->delta.percent, 1e-6 * live->delta.percent);
    EXPECT_EQ(c->agreement.top1_agreement, live->agreement.top1_agreement);
    EXPECT_NEAR(c->agreement.kl_divergence, live->agreement.kl_divergence, 0.03 * live->agreement.kl_divergence);
    // The same model against itself: nothing.
    auto again = ReferenceReader::open(file);
    const auto same = compare(*a.model, *again, text, {16, 0}, {});
    ASSERT_TRUE(same.ok());
    EXPECT_NEAR(same->agreement.kl_divergence, 0, 1e-6);
    EXPECT_EQ(same->agreement.top1_agreement, 1);
    // Another text, other windows, damage.
    auto third = ReferenceReader::open(file);
    EXPECT_EQ(compare(**b, *third, random_tokens(80, a.tiny.shape.vocab, 9), {16, 0}, {}).error().code, ErrorCode::kMismatch);
    EXPECT_EQ(compare(**b, *third, text, {8, 0}, {}).error().code, ErrorCode::kMismatch);
    EXPECT_EQ(compare(**b, *third, text, {16, 2}, {}).error().code, ErrorCode::kMismatch);
    auto bytes = read_file(file);
    ASSERT_TRUE(bytes.ok());
    for (std::size_t i = 0; i < bytes->size(); i += 97) {
        Bytes flipped = *bytes;
        flipped[i] ^= std::byte{0x10};
        ASSERT_TRUE(write_file_atomic(file, flipped).ok());
        EXPECT_FALSE(ReferenceReader::open(file).ok()) << i;
    }
    ASSERT_TRUE(write_file_atomic(file, std::span(*bytes).first(bytes->size() / 2)).ok());
    EXPECT_FALSE(ReferenceReader::open(file).ok());
}

TEST(ReferenceLog, TheSampledRestIsUnbiased) {
    // Flat distributions, where the likeliest tokens are the smaller part.
    const std::size_t vocab = 3000;
    double exact = 0, estimated = 0, rest = 0;
    for (std::uint32_t row = 0; row < 400; ++row) {
        std::mt19937 rng(row);
        std::normal_distribution<float> normal;
        std::vector<float> p(vocab), q(vocab);
        for (std::size_t v = 0; v < vocab; ++v) {
            p[v] = 1.5f * normal(rng);
            q[v] = p[v] + 0.3f * normal(rng);
        }
        const double tp = log_sum_exp(p.data(), vocab), tq = log_sum_exp(q.data(), vocab);
        const ReferenceRow r = reference_row(p, tp, 7, kDefaultTopK);
        ASSERT_EQ(r.likely.size(), kDefaultTopK);
        ASSERT_EQ(r.sampled.size(), kTailSamples);
        exact += kl_divergence(p.data(), tp, q.data(), tq, vocab);
        estimated += kl_from_row(r, q, tq);
        double top = 0;
        for (const LikelyToken& t : r.likely) top += std::exp(static_cast<double>(t.log_probability));
        rest += 1 - top;
    }
    EXPECT_GT(rest / 400, 0.6);
    EXPECT_NEAR(estimated, exact, 0.05 * exact);
}

TEST(Softmax, SumsOfOddLengths) {
    for (const std::size_t n : {1u, 5u, 16u, 1000u, 49153u}) {
        std::vector<float> x(n), y(n);
        for (std::size_t i = 0; i < n; ++i) {
            x[i] = static_cast<float>(std::sin(static_cast<double>(i)) * 12 + 80);
            y[i] = x[i] + 0.25f * static_cast<float>(std::cos(3.0 * static_cast<double>(i)));
        }
        const auto exact = [](const std::vector<float>& v) {
            double s = 0;
            for (const float f : v) s += std::exp(static_cast<double>(f) - 80);
            return std::log(s) + 80;
        };
        const double tx = exact(x), ty = exact(y);
        EXPECT_NEAR(log_sum_exp(x.data(), n), tx, 2e-6) << n;
        double kl = 0;
        for (std::size_t i = 0; i < n; ++i) kl += std::exp(static_cast<double>(x[i]) - tx) * ((static_cast<double>(x[i]) - tx) - (static_cast<double>(y[i]) - ty));
        EXPECT_NEAR(kl_divergence(x.data(), tx, y.data(), ty, n), kl, 1e-4 * kl + 1e-6) << n;
        EXPECT_EQ(argmax(x.data(), n), static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin())) << n;
    }
}

TEST(Perplexity, PairedDelta) {
    PerplexityResult a, b;
    a.context = b.context = 8;
    b.window_nll = {2.0, 3.0, 4.0, 5.0};
    a.window_nll = {2.01, 3.02, 4.03, 5.04};
    const auto d = paired_delta(a, b);
    ASSERT_TRUE(d.ok());
    EXPECT_NEAR(d->percent, 100 * std::expm1(0.025), 1e-9);
    const double half = 3.18245 * std::sqrt((0.015 * 0.015 * 2 + 0.005 * 0.005 * 2) / 3 / 4);
    EXPECT_NEAR(d->low, 100 * std::expm1(0.025 - half), 1e-6);
    EXPECT_NEAR(d->high, 100 * std::expm1(0.025 + half), 1e-6);
    const auto same = paired_delta(b, b);
    EXPECT_EQ(same->percent, 0);
    EXPECT_EQ(same->high, 0);
    a.window_nll.pop_back();
    EXPECT_EQ(paired_delta(a, b).error().code, ErrorCode::kMismatch);
    EXPECT_EQ(paired_delta({}, {}).error().code, ErrorCode::kInvalidArgument);
}

TEST(Statistics, StudentTAndQuantiles) {
    EXPECT_NEAR(student_t_975(11), 2.20099, 1e-3);
    EXPECT_NEAR(student_t_975(30), 2.04227, 1e-3);
    EXPECT_NEAR(student_t_975(100000), 1.95999, 1e-4);
    const std::vector<double> v = {1, 2, 3, 4};
    EXPECT_DOUBLE_EQ(quantile(v, 0.5), 2.5);
    EXPECT_DOUBLE_EQ(quantile(v, 1), 4);
    EXPECT_DOUBLE_EQ(quantile(v, 0.99), 3.97);
}

TEST(Perplexity, SampleMatchesPyTorch) {
    const auto text = read_text_file(source_dir() / "tests/fixtures/engine/perplexity.json");
    ASSERT_TRUE(text.ok()) << text.error().text();
    const Json f = Json::parse(*text);
    for (const auto& [name, texts] : f["models"].items()) {
        auto backend = compute::make_cpu_backend();
        auto source = ModelDirectory::open(sample_dir() / name);
        ASSERT_TRUE(source.ok());
        auto tokenizer = model::load_tokenizer(**source);
        ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().text();
        for (const bool f32 : {true, false}) {
            auto m = model::Transformer::load(*source, {}, *backend, {f32}, {});
            ASSERT_TRUE(m.ok());
            if (f32 && name != "base") continue;  // the fp32 path once: it is the slow one
            for (const char* which : {"lora"}) {
                const auto content = read_text_file(sample_dir() / "text" / (std::string(which) + ".txt"));
                ASSERT_TRUE(content.ok());
                auto tokens = (*tokenizer)->encode(*content, true);
                ASSERT_TRUE(tokens.ok());
                const Json& want = texts[which];
                EXPECT_EQ(tokens->size(), want["tokens"].get<std::size_t>());
                const auto r = perplexity(**m, *tokens, {f["window"].get<std::uint32_t>(), 0}, {});
                ASSERT_TRUE(r.ok()) << r.error().text();
                EXPECT_EQ(r->windows, want["windows"].get<std::uint32_t>());
                EXPECT_EQ(r->tokens, want["predicted"].get<std::uint64_t>());
                EXPECT_NEAR(r->perplexity, want["perplexity"].get<double>(), 1e-3 * r->perplexity) << name << " " << which << " fp32 " << f32;
            }
        }
    }
}

}  // namespace
