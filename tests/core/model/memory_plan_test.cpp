// SPDX-License-Identifier: Apache-2.0
// The memory preflight, and weights streamed layer by layer: the same bits as resident ones.
#include <gtest/gtest.h>

#include "core/model/transformer.h"
#include "tests/core/compute/levels.h"
#include "tests/core/compute/weights.h"
#include "tests/core/model/tiny_model.h"

namespace {

using namespace tenpak;
using namespace tenpak::model;
using namespace tenpak::test;

struct Model {
    TempDir dir;
    std::unique_ptr<compute::Backend> backend = compute::make_cpu_backend(2);
    std::shared_ptr<const ModelSource> source;
    explicit Model(const TinyModel& m) {
        m.write(dir / "m");
        source = *ModelDirectory::open(dir / "m");
    }
    Result<std::unique_ptr<Transformer>> load(const LoadOptions& options, const compute::WeightOverrides& overrides = {}) { return Transformer::load(source, overrides, *backend, options, {}); }
};
LoadOptions with(WeightMemory memory, std::uint64_t limit = 0) {
    LoadOptions o;
    o.memory = memory;
    o.memory_limit = limit;
    o.workload.context = 64;
    o.workload.batch_tokens = 64;
    return o;
}
TinyModel larger() {
    TinyShape shape;
    shape.hidden = 256;
    shape.intermediate = 640;
    shape.heads = 8;
    shape.head_dim = 32;
    shape.layers = 6;
    return TinyModel(shape);
}

TEST(MemoryPlan, CountsWhatIsTaken) {
    for (const DType dtype : {DType::kBF16, DType::kF32}) {
        TinyShape shape = larger().shape;
        shape.dtype = dtype;
        Model m{TinyModel(shape)};
        auto t = m.load(with(WeightMemory::kResident));
        ASSERT_TRUE(t.ok()) << t.error().text();
        const MemoryPlan& p = (*t)->memory_plan();
        const auto weights = static_cast<double>((*t)->weight_bytes());
        EXPECT_NEAR(static_cast<double>(p.outer + p.layers), weights, 0.05 * weights);
        EXPECT_EQ(p.layers, p.largest_layer * shape.layers);
        KvCache cache((*t)->config(), *m.backend, 1, 64);
        EXPECT_EQ(p.kv_cache, cache.bytes());
        EXPECT_FALSE(p.streamed);
        EXPECT_EQ(p.note, "");
        EXPECT_GT(p.available, p.resident_total());
        // Activations of a batch as large as the plan says.
        std::vector<Token> text = random_tokens(64, shape.vocab, 1);
        std::vector<float> logits;
        const SequenceChunk chunk{0, text};
        ASSERT_TRUE((*t)->forward({&chunk, 1}, cache, LogitsOf::kAll, logits).ok());
        EXPECT_LE((*t)->workspace_bytes() + m.backend->workspace_bytes(), p.workspace);
    }
    // Packed formats.
    const TinyModel tiny = larger();
    Model m(tiny);
    using F = compute::WeightFormat;
    for (const F f : {F::kInt8Channel, F::kInt8Group, F::kInt4Group, F::kInt4Residual, F::kInt4Sparse, F::kNf4Group, F::kFp8Channel}) {
        for (const bool variant : {false, true}) {
            compute::WeightOverrides overrides;
            for (std::uint32_t l = 0; l < tiny.shape.layers; ++l) {
                for (const char* part : {"gate_proj", "up_proj"}) {
                    compute::LinearWeight w = random_weight(f, tiny.shape.intermediate, tiny.shape.hidden, 64, l);
                    if (variant && f == F::kNf4Group) nest_scales(w, l);
                    if (variant && f == F::kInt4Group) shuffle_groups(w, l);
                    overrides.linears["model.layers." + std::to_string(l) + ".mlp." + part + ".weight"] = std::move(w);
                }
            }
            auto t = m.load(with(WeightMemory::kResident), overrides);
            ASSERT_TRUE(t.ok()) << t.error().text();
            const auto weights = static_cast<double>((*t)->weight_bytes());
            EXPECT_NEAR(static_cast<double>((*t)->memory_plan().outer + (*t)->memory_plan().layers), weights, 0.01 * weights) << compute::weight_format_name(f) << variant;
        }
    }
}

TEST(MemoryPlan, RefusedWithNumbersBeforeAnythingIsRead) {
    TinyModel broken = larger();
    broken.tensors["model.layers.0.mlp.up_proj.weight"][0] = std::nanf("");  // would be found by reading
    Model m(broken);
    for (const WeightMemory memory : {WeightMemory::kAutomatic, WeightMemory::kResident, WeightMemory::kStreamed}) {
        const auto t = m.load(with(memory, 1'000'000));
        ASSERT_FALSE(t.ok());
        EXPECT_EQ(t.error().code, ErrorCode::kOutOfMemory) << t.error().text();
        EXPECT_NE(t.error().text().find("the limit is 1.0 MB"), std::string::npos) << t.error().text();
        EXPECT_NE(t.error().text().find("weights"), std::string::npos) << t.error().text();
    }
    // The KV cache counts.
    LoadOptions many = with(WeightMemory::kAutomatic, 3'000'000'000);
    many.workload.sequences = 1u << 20;
    const auto t = m.load(many);
    ASSERT_FALSE(t.ok());
    EXPECT_EQ(t.error().code, ErrorCode::kOutOfMemory) << t.error().text();
}

TEST(Streamed, SameBitsAsResident) {
    for (const bool tied : {true, false}) {
        TinyShape shape = larger().shape;
        shape.tied = tied;
        Model m{TinyModel(shape)};
        auto resident = m.load(with(WeightMemory::kResident));
        ASSERT_TRUE(resident.ok());
        const MemoryPlan& p = (*resident)->memory_plan();
        const std::uint64_t limit = (p.resident_total() + p.streamed_total()) / 2;
        auto streamed = m.load(with(WeightMemory::kAutomatic, limit));
        ASSERT_TRUE(streamed.ok()) << streamed.error().text();
        EXPECT_TRUE((*streamed)->streamed());
        EXPECT_NE((*streamed)->memory_plan().note.find("weights streamed from disk layer by layer"), std::string::npos) << (*streamed)->memory_plan().note;
        EXPECT_NE((*streamed)->memory_plan().note.find("do not fit in"), std::string::npos);
        EXPECT_EQ((*streamed)->step_bytes(), (*resident)->step_bytes());
        EXPECT_FALSE((*resident)->streamed());

        std::vector<std::vector<Token>> texts;
        std::vector<std::span<const Token>> windows;
        for (unsigned i = 0; i < 70; ++i) texts.push_back(random_tokens(20 + i % 3, shape.vocab, i));
        for (const auto& t : texts) windows.emplace_back(t);
        std::vector<float> a, b, chunked;
        ASSERT_TRUE((*resident)->window_states(windows, a).ok());
        ASSERT_TRUE((*streamed)->window_states(windows, b).ok());
        EXPECT_EQ(a, b) << "several batches of windows";
        // A window is what a forward pass from an empty cache gives.
        KvCache cache((*resident)->config(), *m.backend, 1, 64), other((*streamed)->config(), *m.backend, 1, 64);
        const SequenceChunk chunk{0, windows[1]};
        ASSERT_TRUE((*resident)->hidden_states({&chunk, 1}, cache, chunked).ok());
        const auto begin = a.begin() + static_cast<std::ptrdiff_t>(windows[0].size() * shape.hidden);
        EXPECT_LT(relative_error(chunked, std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(chunked.size()))), 1e-6);
        // Decoding works too, and reads every layer a step.
        std::vector<float> x, y;
        cache.clear();
        for (std::size_t t = 0; t < 4; ++t) {
            const SequenceChunk one{0, windows[0].subspan(t, 1)};
            ASSERT_TRUE((*resident)->forward({&one, 1}, cache, LogitsOf::kAll, x).ok());
            ASSERT_TRUE((*streamed)->forward({&one, 1}, other, LogitsOf::kAll, y).ok());
            EXPECT_EQ(x, y);
        }
        EXPECT_EQ((*streamed)->kernels(), (*resident)->kernels());
        EXPECT_GE((*streamed)->windows_at_once(20), (*resident)->windows_at_once(20));
        EXPECT_EQ((*resident)->windows_at_once(4096), 1u);
    }
}

TEST(Streamed, ReplacedWeightsStayReplaced) {
    TinyModel tiny({});
    Model m(tiny);
    compute::WeightOverrides overrides;
    const std::string quantized = "model.layers.0.mlp.down_proj.weight", dense = "model.layers.1.self_attn.q_proj.weight", norm = "model.layers.2.input_layernorm.weight";
    overrides.linears[quantized] = random_weight(compute::WeightFormat::kInt4Group, tiny.shape.hidden, tiny.shape.intermediate, 28, 3);
    auto resident = m.load(with(WeightMemory::kResident), overrides), streamed = m.load(with(WeightMemory::kStreamed), overrides);
    ASSERT_TRUE(resident.ok() && streamed.ok()) << streamed.error().text();
    EXPECT_NE((*streamed)->memory_plan().note.find("asked for"), std::string::npos);
    overrides = {};
    compute::LinearWeight w;
    w.n = tiny.shape.heads * tiny.shape.head_dim;
    w.k = tiny.shape.hidden;
    w.f32 = random_floats(std::size_t{w.n} * w.k, 3, 0.2f);
    const auto text = random_tokens(30, tiny.shape.vocab, 4);
    const std::span<const Token> window = text;
    std::vector<float> results[2];
    for (int i = 0; i < 2; ++i) {
        Transformer& t = i == 0 ? **resident : **streamed;
        ASSERT_TRUE(t.set_linear(dense, w).ok());
        ASSERT_TRUE(t.set_vector(norm, random_floats(tiny.shape.hidden, 9)).ok());
        for (int round = 0; round < 2; ++round) ASSERT_TRUE(t.window_states({&window, 1}, results[i]).ok());
    }
    EXPECT_EQ(results[0], results[1]);
}

TEST(Streamed, DamageFoundWhenALayerRuns) {
    TinyModel tiny({});
    tiny.tensors["model.layers.2.mlp.up_proj.weight"][5] = INFINITY;
    Model m(tiny);
    auto t = m.load(with(WeightMemory::kStreamed));
    ASSERT_TRUE(t.ok()) << t.error().text();
    const auto text = random_tokens(10, tiny.shape.vocab, 4);
    const std::span<const Token> window = text;
    std::vector<float> hidden;
    const auto s = (*t)->window_states({&window, 1}, hidden);
    ASSERT_FALSE(s.ok());
    EXPECT_EQ(s.error().code, ErrorCode::kNumeric);
    EXPECT_NE(s.error().text().find("model.layers.2.mlp.up_proj.weight"), std::string::npos) << s.error().text();
    tiny.tensors.erase("model.layers.1.mlp.up_proj.weight");
    Model missing(tiny);
    EXPECT_EQ(missing.load(with(WeightMemory::kStreamed)).error().code, ErrorCode::kNotFound) << "known at once";
}

}  // namespace
