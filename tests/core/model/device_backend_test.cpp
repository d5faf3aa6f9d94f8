// SPDX-License-Identifier: Apache-2.0
// A backend whose memory the host cannot touch, as a GPU's: the CPU backend behind addresses that are moved out of reach.
// The transformer must give the same bits over it, or it has touched device memory by itself.
#include <gtest/gtest.h>

#include "core/compute/cpu/cpu_backend.h"
#include "core/model/transformer.h"
#include "tests/core/compute/weights.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace tenpak;
using namespace tenpak::model;
using namespace tenpak::test;

class FarLinear final : public compute::PackedLinear {
   public:
    explicit FarLinear(std::unique_ptr<PackedLinear> near) : near_(std::move(near)) {}
    std::uint32_t n() const override { return near_->n(); }
    std::uint32_t k() const override { return near_->k(); }
    std::uint64_t bytes() const override { return near_->bytes(); }
    const char* kernel() const override { return near_->kernel(); }
    const PackedLinear& near() const { return *near_; }

   private:
    std::unique_ptr<PackedLinear> near_;
};

class FarBackend final : public compute::Backend {
   public:
    std::string name() const override { return "far"; }
    std::string description() const override { return "far"; }
    unsigned threads() const override { return cpu_->threads(); }
    std::uint64_t free_memory() const override { return cpu_->free_memory(); }
    float* allocate(std::size_t floats) override {
        ++buffers;
        return far(cpu_->allocate(floats));
    }
    void release(float* p) override {
        --buffers;
        cpu_->release(near(p));
    }
    bool host_memory() const override { return false; }
    Status upload(const float* host, std::size_t n, float* device) override { return cpu_->upload(host, n, near(device)); }
    Status download(const float* device, std::size_t n, float* host) override { return cpu_->download(near(device), n, host); }
    void copy(const float* from, std::size_t n, float* to) override { cpu_->copy(near(from), n, near(to)); }
    Result<std::unique_ptr<compute::PackedLinear>> make_linear(const compute::LinearWeight& w) override {
        TENPAK_ASSIGN(auto packed, cpu_->make_linear(w));
        return std::unique_ptr<compute::PackedLinear>(std::make_unique<FarLinear>(std::move(packed)));
    }
    void linear(const compute::PackedLinear& w, const float* x, std::uint32_t tokens, float* y) override {
        cpu_->linear(static_cast<const FarLinear&>(w).near(), near(x), tokens, near(y));
    }
    void rms_norm(const float* x, const float* w, float eps, std::uint32_t tokens, std::uint32_t dim, float* y, bool unit) override {
        cpu_->rms_norm(near(x), near(w), eps, tokens, dim, near(y), unit);
    }
    void layer_norm(const float* x, const float* w, const float* b, float eps, std::uint32_t tokens, std::uint32_t dim, float* y) override {
        cpu_->layer_norm(near(x), near(w), b == nullptr ? nullptr : near(b), eps, tokens, dim, near(y));
    }
    void rope(float* x, std::span<const std::uint32_t> positions, const compute::RopeShape& shape, const float* inv_freq) override {
        cpu_->rope(near(x), positions, shape, near(inv_freq));
    }
    void attention_batch(std::span<const compute::AttentionJob> jobs, const compute::AttentionShape& shape) override {
        std::vector<compute::AttentionJob> moved(jobs.begin(), jobs.end());
        for (auto& j : moved) {
            j.q = near(j.q);
            j.out = near(j.out);
            j.kv.keys = near(j.kv.keys);
            j.kv.values = near(j.kv.values);
        }
        cpu_->attention_batch(moved, shape);
    }
    void activation_mul(compute::Activation kind, const float* gate, const float* up, std::size_t n, float* out) override { cpu_->activation_mul(kind, near(gate), near(up), n, near(out)); }
    void activation(compute::Activation kind, float* x, std::size_t n) override { cpu_->activation(kind, near(x), n); }
    void add(float* x, const float* y, std::size_t n) override { cpu_->add(near(x), near(y), n); }
    void scale(float* x, std::size_t n, float factor) override { cpu_->scale(near(x), n, factor); }
    void softcap(float* x, std::size_t n, float cap) override { cpu_->softcap(near(x), n, cap); }

    int buffers = 0;

   private:
    static constexpr std::uintptr_t kAway = std::uintptr_t{1} << 50;  // beyond what a process can map
    static float* far(float* p) { return p == nullptr ? nullptr : reinterpret_cast<float*>(reinterpret_cast<std::uintptr_t>(p) + kAway); }
    static float* near(const float* p) {
        EXPECT_GE(reinterpret_cast<std::uintptr_t>(p), kAway) << "host memory was given to the device";
        return reinterpret_cast<float*>(reinterpret_cast<std::uintptr_t>(p) - kAway);
    }
    std::unique_ptr<compute::Backend> cpu_ = compute::make_cpu_backend(2);
};

struct Results {
    std::vector<float> all, last, hidden, head, windows, layer, seen;
};

Results run(compute::Backend& backend, const std::string& fixture) {
    Results r;
    TempDir dir;
    std::filesystem::create_directories(dir / "m");
    for (const char* f : {"config.json", "model.safetensors"}) std::filesystem::copy_file(source_dir() / "tests/fixtures/architectures" / fixture / f, dir / "m" / f);
    const auto source = *ModelDirectory::open(dir / "m");
    const auto loaded = Transformer::load(source, {}, backend, {}, {});
    EXPECT_TRUE(loaded.ok()) << loaded.error().text();
    Transformer& m = **loaded;
    std::vector<Token> text(36);
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<Token>(3 + i * 7 % 60);
    const std::span<const Token> whole = text;
    KvCache cache(m.config(), backend, 2, 40);
    const SequenceChunk first[] = {{0, whole.first(10)}, {1, whole.first(30)}}, second[] = {{1, whole.subspan(30)}, {0, whole.subspan(10, 1)}};
    EXPECT_TRUE(m.forward(first, cache, LogitsOf::kAll, r.all).ok());
    EXPECT_TRUE(m.forward(second, cache, LogitsOf::kLastOfChunk, r.last).ok());
    cache.clear();
    EXPECT_TRUE(m.hidden_states(first, cache, r.hidden).ok());
    EXPECT_TRUE(m.head(r.hidden, r.head).ok());
    const std::span<const Token> windows[] = {whole, whole.first(5)};
    EXPECT_TRUE(m.window_states(windows, r.windows).ok());
    EXPECT_TRUE(m.embed(whole, 18, r.layer).ok());
    const auto observe = [&](const std::string&, const float* x, std::uint32_t tokens, std::uint32_t k) { r.seen.insert(r.seen.end(), x, x + std::size_t{tokens} * k); };
    EXPECT_TRUE(m.run_layer(0, r.layer, 18, observe).ok());
    return r;
}

TEST(DeviceMemory, IsNeverTouchedByTheHost) {
    for (const char* fixture : {"llama", "gemma2", "phi3_longrope", "gpt2", "gpt_neox", "qwen3"}) {
        FarBackend far;
        const auto near = compute::make_cpu_backend(2);
        const Results a = run(*near, fixture), b = run(far, fixture);
        EXPECT_FALSE(a.all.empty());
        EXPECT_EQ(a.all, b.all) << fixture;
        EXPECT_EQ(a.last, b.last) << fixture;
        EXPECT_EQ(a.hidden, b.hidden) << fixture;
        EXPECT_EQ(a.head, b.head) << fixture;
        EXPECT_EQ(a.windows, b.windows) << fixture;
        EXPECT_EQ(a.layer, b.layer) << fixture;
        EXPECT_EQ(a.seen, b.seen) << fixture;
        EXPECT_EQ(far.buffers, 0) << "all memory is given back";
    }
}

}  // namespace
