// SPDX-License-Identifier: Apache-2.0
// The bundled sample against logits and greedy continuations of PyTorch in fp32 (tests/oracle/make_engine_fixture.py).
#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/model/transformer.h"
#include "tests/core/compute/levels.h"
#include "tests/core/compute/weights.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace tenpak;
using namespace tenpak::model;
using namespace tenpak::test;

Json fixture(const char* name) {
    const auto text = read_text_file(source_dir() / "tests/fixtures/engine" / name);
    EXPECT_TRUE(text.ok()) << text.error().text();
    return text.ok() ? Json::parse(*text) : Json();
}
std::unique_ptr<Transformer> load(const std::string& name, compute::Backend& backend, bool f32) {
    auto source = ModelDirectory::open(sample_dir() / name);
    EXPECT_TRUE(source.ok()) << source.error().text();
    auto model = Transformer::load(*source, {}, backend, {f32}, {});
    EXPECT_TRUE(model.ok()) << model.error().text();
    return model.ok() ? std::move(*model) : nullptr;
}

TEST(Sample, LogitsMatchPyTorch) {
    const Json f = fixture("logits.json");
    const auto prompt = f["prompt"].get<std::vector<Token>>();
    const auto ids = f["vocab_ids"].get<std::vector<std::size_t>>();
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = compute::make_cpu_backend(2, features);
        for (const auto& [name, want] : f["models"].items()) {
            for (const bool f32 : {true, false}) {
                const auto model = load(name, *backend, f32);
                ASSERT_TRUE(model);
                KvCache cache(model->config(), model->backend(), 1, 64);
                std::vector<float> logits;
                const SequenceChunk chunk{0, prompt};
                ASSERT_TRUE(model->forward({&chunk, 1}, cache, LogitsOf::kAll, logits).ok());
                const std::size_t vocab = model->config().vocab;
                // The requirement is 1e-3. 16-bit weights are exact in fp32.
                const double limit = 1e-4;
                const std::vector<float> last(logits.end() - static_cast<std::ptrdiff_t>(vocab), logits.end());
                EXPECT_LT(relative_error(last, want["last"].get<std::vector<double>>()), limit) << level << " " << name << " fp32 " << f32;
                for (const Json& p : want["positions"]) {
                    std::vector<float> got;
                    for (const std::size_t id : ids) got.push_back(logits[p["position"].get<std::size_t>() * vocab + id]);
                    EXPECT_LT(relative_error(got, p["logits"].get<std::vector<double>>()), limit) << level << " " << name << " position " << p["position"];
                }
            }
        }
    }
}

TEST(Sample, GreedyContinuationIsTheSame) {
    const Json f = fixture("generation.json");
    auto backend = compute::make_cpu_backend(2);
    for (const auto& [name, want] : f["models"].items()) {
        const auto model = load(name, *backend, true);
        ASSERT_TRUE(model);
        KvCache cache(model->config(), model->backend(), 1, 64);
        auto next = f["prompt"].get<std::vector<Token>>();
        std::vector<Token> got;
        for (int i = 0; i < 32; ++i) {
            std::vector<float> logits;
            const SequenceChunk chunk{0, next};
            ASSERT_TRUE(model->forward({&chunk, 1}, cache, LogitsOf::kLastOfChunk, logits).ok());
            next = {static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin())};
            got.push_back(next[0]);
        }
        EXPECT_EQ(got, want["ids"].get<std::vector<Token>>()) << name << ", least gap " << want["least_gap"];
    }
}

}  // namespace
