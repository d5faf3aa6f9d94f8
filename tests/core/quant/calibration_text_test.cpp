// SPDX-License-Identifier: Apache-2.0
#include "core/quant/calibration_text.h"

#include <gtest/gtest.h>

#include <random>

#include "core/base/file.h"
#include "core/tensor/model_source.h"
#include "tests/support/temp_dir.h"

using namespace tenpak;
using namespace tenpak::quant;

namespace {

std::vector<model::Token> tokens(std::size_t n, unsigned seed) {
    std::mt19937 rng(seed);
    std::vector<model::Token> t(n);
    for (auto& x : t) x = static_cast<model::Token>(rng() % 500);
    return t;
}

}  // namespace

TEST(CalibrationText, RefusesTheEvaluationTextAndPartsOfIt) {
    const auto evaluation = tokens(20000, 1);
    EXPECT_EQ(shared_text(evaluation, evaluation), 1.0);
    const Status same = refuse_same_text(evaluation, evaluation);
    ASSERT_FALSE(same.ok());
    EXPECT_EQ(same.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(same.error().text().find("100 %"), std::string::npos) << same.error().text();
    EXPECT_TRUE(refuse_same_text(tokens(20000, 2), evaluation).ok());
    EXPECT_EQ(shared_text(tokens(20000, 2), evaluation), 0.0);
    // A tenth of it, somewhere in another text and not at a window's begin.
    auto mixed = tokens(20000, 3);
    std::copy(evaluation.begin() + 5001, evaluation.begin() + 7001, mixed.begin() + 777);
    EXPECT_NEAR(shared_text(mixed, evaluation), 0.1, 0.006);
    EXPECT_FALSE(refuse_same_text(mixed, evaluation).ok());
    // A calibration text that is a piece of the evaluation text, and the other way round.
    EXPECT_FALSE(refuse_same_text(std::span(evaluation).subspan(100, 3000), evaluation).ok());
    EXPECT_FALSE(refuse_same_text(evaluation, std::span(evaluation).subspan(100, 3000)).ok());
    // One sentence in common is not a shared text; texts shorter than a window are compared whole.
    auto quote = tokens(20000, 4);
    std::copy(evaluation.begin() + 48, evaluation.begin() + 96 * 2, quote.begin());
    EXPECT_TRUE(refuse_same_text(quote, evaluation).ok());
    EXPECT_FALSE(refuse_same_text(tokens(10, 5), tokens(10, 5)).ok());
    EXPECT_TRUE(refuse_same_text({}, evaluation).ok());
    EXPECT_TRUE(refuse_same_text(evaluation, {}).ok());
}

TEST(CalibrationText, TheSamplesTextsAreApart) {
    const auto model = ModelDirectory::open(test::sample_dir() / "base");
    ASSERT_TRUE(model.ok());
    const auto tokenizer = model::load_tokenizer(**model);
    ASSERT_TRUE(tokenizer.ok());
    const auto read = [&](const char* name) { return (*tokenizer)->encode(read_text_file(test::sample_dir() / "text" / name).value(), false).value(); };
    const auto calibration = read("calibration.txt");
    for (const char* name : {"base.txt", "finetune.txt", "lora.txt"}) {
        EXPECT_LT(shared_text(calibration, read(name)), 0.5 * kSharedLimit) << name;
        EXPECT_TRUE(refuse_same_text(calibration, read(name)).ok()) << name;
    }
    EXPECT_FALSE(refuse_same_text(calibration, calibration).ok());
}

TEST(CalibrationText, SplitsAtALine) {
    std::string text;
    for (int i = 0; i < 100; ++i) text += "line " + std::to_string(i) + "\n";
    const TextSplit s = split_text(text);
    EXPECT_EQ(std::string(s.calibration) + std::string(s.evaluation), text);
    EXPECT_EQ(s.calibration.back(), '\n');
    EXPECT_NEAR(static_cast<double>(s.calibration.size()) / static_cast<double>(text.size()), 0.8, 0.02);
    EXPECT_EQ(split_text(text).calibration, s.calibration);
    // No line: a word; no word: a whole character ("é" has two bytes).
    std::string words(121, 'a');
    words[90] = words[101] = ' ';
    EXPECT_EQ(split_text(words).calibration.size(), 91u);
    std::string accents;
    for (int i = 0; i < 51; ++i) accents += "\xc3\xa9";
    EXPECT_TRUE(is_valid_utf8(split_text(accents).calibration));
    EXPECT_TRUE(is_valid_utf8(split_text(accents).evaluation));
    EXPECT_EQ(split_text("").calibration, "");
    EXPECT_EQ(split_text("ab").evaluation.size() + split_text("ab").calibration.size(), 2u);
}
