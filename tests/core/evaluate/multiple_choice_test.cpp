// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/compute/cpu/cpu_backend.h"
#include "core/evaluate/multiple_choice.h"
#include "tests/core/model/tiny_model.h"

namespace {

using namespace tenpak;
using namespace tenpak::evaluate;
using namespace tenpak::test;

TEST(ChoiceItems, ReadsWhatTheFormatAllows) {
    const auto items = parse_choice_items("{\"question\": \"Why? \", \"choices\": [\"a\", \"b\"], \"answer\": 1}\n\n"
                                          "{\"context\": \"It is \", \"choices\": [\"x\", \"yy\", \"z\"], \"answer\": \"C\", \"id\": 7}\r\n"
                                          "{\"context\": \"It\", \"choices\": [\"B\", \"A\"], \"answer\": \"A\"}", "items");
    ASSERT_TRUE(items.ok()) << items.error().text();
    ASSERT_EQ(items->size(), 3u);
    EXPECT_EQ((*items)[0].context, "Question: Why?\nAnswer:");
    EXPECT_EQ((*items)[0].answer, 1u);
    EXPECT_EQ((*items)[1].context, "It is");
    EXPECT_EQ((*items)[1].answer, 2u);
    EXPECT_EQ((*items)[2].answer, 1u) << "a choice's own text goes before a letter";
}

TEST(ChoiceItems, BadLinesAreNamed) {
    const auto where = [](const std::string& text) {
        const auto r = parse_choice_items(text, "f");
        return r.ok() ? std::string("ok") : r.error().where;
    };
    const std::string good = "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": 0}\n";
    EXPECT_EQ(where(good + "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": 2}"), "f, line 2");
    EXPECT_EQ(where(good + "\n{\"question\": \"q\", \"choices\": [\"a\", \"b\"]}"), "f, line 3");
    EXPECT_EQ(where("{\"question\": \"q\", \"choices\": [\"a\"], \"answer\": 0}"), "f, line 1");
    EXPECT_EQ(where("{\"question\": \"q\", \"choices\": [\"a\", \"\"], \"answer\": 0}"), "f, line 1");
    EXPECT_EQ(where("{\"question\": 4, \"choices\": [\"a\", \"b\"], \"answer\": 0}"), "f, line 1");
    EXPECT_EQ(where("{\"choices\": [\"a\", \"b\"], \"answer\": -1}"), "f, line 1");
    EXPECT_EQ(where("[]"), "f, line 1");
    EXPECT_EQ(where("{"), "f, line 1, byte 2");
    EXPECT_EQ(where("\n"), "f");
}

TEST(TaskAccuracy, ScoresAreTheSumsOfLogProbabilities) {
    auto source = ModelDirectory::open(sample_dir() / "base");
    ASSERT_TRUE(source.ok());
    auto backend = compute::make_cpu_backend(2);
    auto m = model::Transformer::load(*source, {}, *backend, {true}, {});
    auto tokenizer = model::load_tokenizer(**source);
    ASSERT_TRUE(m.ok() && tokenizer.ok());
    std::vector<ChoiceItem> items = {{"And it came to pass in the days", {"of Ahaz the son of Jotham", "cheese", "that the LORD spake"}, 0},
                                     {"In the beginning", {"God created the heaven and the earth.", "x"}, 0},
                                     {"a", {"b", "c", "d", "e"}, 3}};
    std::string longer;
    for (int i = 0; i < 600; ++i) longer += "the word ";
    longer.pop_back();
    items.push_back({longer, {"of God", "of the LORD"}, 1});  // loses its beginning
    const auto r = task_accuracy(**m, **tokenizer, items, {}, {});
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_EQ(r->items, 4u);
    ASSERT_EQ(r->scores.size(), 11u);
    std::size_t at = 0, right = 0, plain = 0;
    for (const ChoiceItem& item : items) {
        const auto context = (*tokenizer)->encode(item.context, false);
        std::vector<double> sums, normalized;
        for (const std::string& choice : item.choices) {
            auto whole = *(*tokenizer)->encode(item.context + " " + choice, false);
            std::size_t from = context->size();
            const std::size_t most = (*m)->config().max_positions + 1;
            if (whole.size() > most) {
                from -= whole.size() - most;
                whole.erase(whole.begin(), whole.end() - static_cast<std::ptrdiff_t>(most));
            }
            model::KvCache cache((*m)->config(), (*m)->backend(), 1, static_cast<std::uint32_t>(whole.size()));
            const model::SequenceChunk chunk{0, std::span(whole).first(whole.size() - 1)};
            std::vector<float> logits;
            ASSERT_TRUE((*m)->forward({&chunk, 1}, cache, model::LogitsOf::kAll, logits).ok());
            const std::size_t vocab = (*m)->config().vocab;
            double sum = 0;
            for (std::size_t t = from; t < whole.size(); ++t) {
                double total = 0;
                for (std::size_t v = 0; v < vocab; ++v) total += std::exp(static_cast<double>(logits[(t - 1) * vocab + v]));
                sum += static_cast<double>(logits[(t - 1) * vocab + static_cast<std::size_t>(whole[t])]) - std::log(total);
            }
            EXPECT_NEAR(r->scores[at], sum, 1e-3) << choice;
            ++at;
            sums.push_back(sum);
            normalized.push_back(sum / static_cast<double>(choice.size()));
        }
        right += std::max_element(normalized.begin(), normalized.end()) - normalized.begin() == static_cast<std::ptrdiff_t>(item.answer) ? 1 : 0;
        plain += std::max_element(sums.begin(), sums.end()) - sums.begin() == static_cast<std::ptrdiff_t>(item.answer) ? 1 : 0;
    }
    EXPECT_DOUBLE_EQ(r->accuracy, 25.0 * static_cast<double>(right));
    EXPECT_DOUBLE_EQ(r->accuracy_raw, 25.0 * static_cast<double>(plain));
}

TEST(TaskAccuracy, TheSampleKnowsMoreThanChance) {
    auto source = ModelDirectory::open(sample_dir() / "base");
    auto backend = compute::make_cpu_backend(2);
    auto m = model::Transformer::load(*source, {}, *backend, {}, {});
    auto tokenizer = model::load_tokenizer(**source);
    const auto items = read_choice_items(sample_dir() / "text/tasks.jsonl");
    ASSERT_TRUE(items.ok()) << items.error().text();
    EXPECT_EQ(items->size(), 200u);
    const auto r = task_accuracy(**m, **tokenizer, *items, {}, {});
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_GT(r->accuracy, 35) << "chance is 25 %";
    const auto some = task_accuracy(**m, **tokenizer, *items, {50}, {});
    ASSERT_TRUE(some.ok());
    EXPECT_EQ(some->items, 50u);
    for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(some->right[i], r->right[i * 4]) << i;
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(task_accuracy(**m, **tokenizer, *items, {}, {stop.get_token(), {}}).error().code, ErrorCode::kCancelled);
}

TEST(TaskAccuracy, PairedDifference) {
    AccuracyResult a, b;
    a.right = {true, true, false, false, true};
    b.right = {true, false, false, true, true};
    const auto d = accuracy_delta(a, b);
    ASSERT_TRUE(d.ok());
    EXPECT_EQ(d->points, 0);
    EXPECT_EQ(d->lost, 1u);
    EXPECT_EQ(d->gained, 1u);
    EXPECT_NEAR(d->high, 100 * 2.77645 * std::sqrt(0.5 / 5), 1e-6);
    a.right.pop_back();
    EXPECT_EQ(accuracy_delta(a, b).error().code, ErrorCode::kMismatch);
}

}  // namespace
