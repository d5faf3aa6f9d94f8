// SPDX-License-Identifier: Apache-2.0
// Candidates of every architecture: all linears by their stored names, folds that keep the model, export and import.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "core/compute/cpu/cpu_backend.h"
#include "core/model/layout.h"
#include "core/quant/export_layout.h"
#include "core/quant/quantize.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace tenpak;
using namespace tenpak::quant;

std::vector<model::Token> tokens(std::size_t n, unsigned seed) {
    std::mt19937 rng(seed);
    std::vector<model::Token> out(n);
    for (auto& t : out) t = static_cast<model::Token>(3 + rng() % 61);
    return out;
}

class QuantizedArchitecture : public testing::TestWithParam<std::string> {
   protected:
    void SetUp() override {
        const auto from = test::source_dir() / "tests/fixtures/architectures" / GetParam();
        std::filesystem::create_directories(dir / "m");
        for (const char* f : {"config.json", "model.safetensors"}) std::filesystem::copy_file(from / f, dir / "m" / f);
        source = *ModelDirectory::open(dir / "m");
    }
    std::vector<float> logits(const std::shared_ptr<const ModelSource>& from, const compute::WeightOverrides& w) {
        auto m = model::Transformer::load(from, w, *backend, {}, {});
        EXPECT_TRUE(m.ok()) << m.error().text();
        if (!m.ok()) return {};
        model::KvCache cache((*m)->config(), *backend, 1, 40);
        std::vector<float> out;
        const auto text = tokens(40, 5);
        const model::SequenceChunk chunk{0, text};
        EXPECT_TRUE((*m)->forward({&chunk, 1}, cache, model::LogitsOf::kAll, out).ok());
        return out;
    }
    static double distance(const std::vector<float>& a, const std::vector<float>& b) {
        double d = 0, p = 0;
        for (std::size_t i = 0; i < a.size(); ++i) {
            d += (double{a[i]} - double{b[i]}) * (double{a[i]} - double{b[i]});
            p += double{a[i]} * double{a[i]};
        }
        return std::sqrt(d / p);
    }

    test::TempDir dir;
    std::shared_ptr<const ModelSource> source;
    std::unique_ptr<compute::Backend> backend = compute::make_cpu_backend(2);
};

TEST_P(QuantizedArchitecture, KeepsTheModel) {
    const auto reference = logits(source, {});
    const model::ModelConfig config = *model::read_config(*source);
    const model::LayerLayout layout = model::layer_layout(config, 0);
    CalibrationOptions options;
    options.sequences = 40;
    options.length = 64;
    double rtn = 0;
    for (const auto& [name, most] : {std::pair{"int8_g128", 0.03}, {"rtn_g128", 0.6}, {"gptq_g128", 0.6}, {"awq_g128", 0.6}}) {
        const auto q = quantize(source, *find_candidate(name), tokens(4000, 1), options, *backend, {});
        ASSERT_TRUE(q.ok()) << name << ": " << q.error().text();
        EXPECT_EQ(q->weights.linears.size(), layout.linears.size() * config.layers) << name;
        for (const auto& [tensor, w] : q->weights.linears) EXPECT_NE(source->find(tensor), nullptr) << tensor;
        const double d = distance(reference, logits(source, q->weights));
        EXPECT_LT(d, most) << name;
        if (std::string(name) == "rtn_g128") rtn = d;
        // Random text and weights leave calibrated methods little to gain; a wrong fold would lose everything.
        EXPECT_LT(d, rtn > 0 ? 1.3 * rtn : most) << name;

        const auto exported = export_compressed_tensors(*source, {}, *q, dir / name, {});
        if (layout.linears.front().transposed) {
            ASSERT_FALSE(exported.ok());
            EXPECT_EQ(exported.error().code, ErrorCode::kUnsupported) << exported.error().text();
            continue;
        }
        ASSERT_TRUE(exported.ok()) << exported.error().text();
        const auto reopened = *ModelDirectory::open(dir / name);
        const auto back = import_quantized(*reopened, {});
        ASSERT_TRUE(back.ok()) << back.error().text();
        EXPECT_EQ(logits(source, q->weights), logits(reopened, *back)) << name;
    }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, QuantizedArchitecture, testing::Values("gemma2", "gpt2", "gpt_neox", "llama", "mistral", "phi3", "qwen2", "qwen3", "smollm3"),
                         [](const auto& one) { return one.param; });

}  // namespace
