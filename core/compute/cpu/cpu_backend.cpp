// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/base/thread_pool.h"
#include "core/compute/cpu/activations.h"
#include "core/compute/cpu/kernels.h"
#include "core/compute/cpu/rope_table.h"

namespace tenpak::compute {
namespace cpu {
namespace {

// Up to here packed codes are read once per four tokens; beyond, unpacking a panel first is cheaper.
constexpr std::uint32_t kSmallTokens = 8;
// Work below this many multiplications is done by the calling thread: waking another one costs more.
constexpr std::uint64_t kInlineWork = 64 * 1024;

const Kernels& pick(const CpuFeatures& f) {
#if defined(__x86_64__)
    if (f.avx512_vnni) return kernels_vnni();
    if (f.avx512) return kernels_avx512();
    if (f.avx2) return kernels_avx2();
#endif
    (void)f;
    return kernels_scalar();
}

class CpuBackend final : public Backend {
   public:
    CpuBackend(unsigned threads, const CpuFeatures& features)
        : features_(features), kernels_(pick(features)), ops_(kernels_.elementwise), pool_(threads == 0 ? usable_cpus() : threads) {
        scratch_.resize(pool_.size());
    }

    std::string name() const override { return "cpu"; }
    std::string description() const override {
        const unsigned n = pool_.size();
        return "CPU, " + std::to_string(n) + (n == 1 ? " core, " : " cores, ") + features_.instruction_sets();
    }
    unsigned threads() const override { return pool_.size(); }
    std::uint64_t workspace_bytes() const override {
        std::uint64_t bytes = padded_.bytes() + interleaved_.bytes() + int8_rows_.bytes() + int16_rows_.bytes();
        for (const auto& s : scratch_) bytes += s.bytes();
        return bytes;
    }

    float* allocate(std::size_t floats) override {
        if (floats > SIZE_MAX / sizeof(float) - 64) return nullptr;
        return static_cast<float*>(std::aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64));
    }
    void release(float* memory) override { std::free(memory); }
    Status upload(const float* host, std::size_t n, float* device) override {
        std::memcpy(device, host, n * sizeof(float));
        return {};
    }
    Status download(const float* device, std::size_t n, float* host) override {
        std::memcpy(host, device, n * sizeof(float));
        return {};
    }
    void copy(const float* from, std::size_t n, float* to) override { std::memcpy(to, from, n * sizeof(float)); }

    Result<std::unique_ptr<PackedLinear>> make_linear(const LinearWeight& weight) override {
        try {
            TENPAK_ASSIGN(auto panels, pack_panels(weight, pool_));
            panels->kernel_name = std::string(weight_format_name(weight.format)) +
                                  (panels->grouped() ? " " + std::to_string(panels->group) : "") + " " +
                                  (weight.format == WeightFormat::kInt8Channel || uses_int16(*panels) ? kernels_.name : kernels_.float_name) +
                                  (uses_int16(*panels) ? ", 16-bit activations" : "");
            return std::unique_ptr<PackedLinear>(std::move(panels));
        } catch (const std::bad_alloc&) {
            return make_error(ErrorCode::kOutOfMemory, "no memory to pack a weight");
        }
    }

    void linear(const PackedLinear& packed, const float* x, std::uint32_t tokens, float* y) override {
        const auto& w = static_cast<const Panels&>(packed);
        // As many tokens at a time as keep their activations in the second-level cache beside the panels.
        const std::uint32_t chunk = std::max<std::uint32_t>(96, (1u << 20) / 4 / w.padded / 12 * 12);
        for (std::uint32_t t = 0; t < tokens; t += chunk) {
            linear_chunk(w, x + std::size_t{t} * w.columns, std::min(chunk, tokens - t), y + std::size_t{t} * w.rows);
        }
    }

    void rms_norm(const float* x, const float* weight, float eps, std::uint32_t tokens, std::uint32_t dim, float* y, bool unit_offset) override {
        split(tokens, dim * 4ull, [&](std::size_t t) { ops_.rms_norm(x + t * dim, weight, eps, dim, y + t * dim, unit_offset); });
    }
    void layer_norm(const float* x, const float* weight, const float* bias, float eps, std::uint32_t tokens, std::uint32_t dim, float* y) override {
        split(tokens, dim * 6ull, [&](std::size_t t) { ops_.layer_norm(x + t * dim, weight, bias, eps, dim, y + t * dim); });
    }

    void rope(float* x, std::span<const std::uint32_t> positions, const RopeShape& shape, const float* inv_freq) override {
        const RopeTable& table = rope_.prepare(inv_freq, shape.rotary_dim / 2, shape.attention_factor, positions);
        split(positions.size(), std::uint64_t{shape.heads} * shape.rotary_dim * 2, [&](std::size_t t) {
            table.rotate(x + t * shape.stride, positions[t], shape.heads, shape.head_dim);
        });
    }

    void attention_batch(std::span<const AttentionJob> jobs, const AttentionShape& shape) override {
        struct Task {
            std::uint32_t job, kv_head, begin, end;
        };
        std::vector<Task> tasks;
        std::uint32_t positions = 0;
        std::uint64_t work = 0;
        for (std::uint32_t j = 0; j < jobs.size(); ++j) {
            const std::uint32_t tokens = jobs[j].tokens;
            positions = std::max(positions, jobs[j].first + tokens);
            const std::uint32_t seen = shape.window == 0 ? positions : std::min(positions, shape.window + kQueryBlock);
            work += std::uint64_t{tokens} * std::min(seen, jobs[j].first + tokens) * shape.heads * shape.head_dim;
            for (std::uint32_t h = 0; h < shape.kv_heads; ++h) {
                // The longest tasks first: the threads finish together.
                for (std::uint32_t end = tokens; end > 0; end -= std::min(end, kQueryBlock)) {
                    tasks.push_back({j, h, end - std::min(end, kQueryBlock), end});
                }
            }
        }
        for (auto& s : scratch_) s.resize(attention_scratch(shape, positions));
        const auto body = [&](std::size_t i, unsigned worker) {
            const Task& t = tasks[i];
            const AttentionJob& job = jobs[t.job];
            const AttentionWork w{job.q, job.tokens, job.first, shape, job.kv.keys, job.kv.values, job.out};
            kernels_.attention(w, t.kv_head, t.begin, t.end, scratch_[worker].data());
        };
        run(tasks.size(), work, body);
    }

    void activation_mul(Activation kind, const float* gate, const float* up, std::size_t n, float* out) override {
        split_range(n, 8, [&](std::size_t at, std::size_t count) { ops_.activation(kind, gate + at, up + at, count, out + at); });
    }
    void activation(Activation kind, float* x, std::size_t n) override {
        split_range(n, 8, [&](std::size_t at, std::size_t count) { ops_.activation(kind, x + at, nullptr, count, x + at); });
    }
    void add(float* x, const float* y, std::size_t n) override {
        split_range(n, 1, [&](std::size_t at, std::size_t count) { ops_.add(x + at, y + at, count); });
    }
    void scale(float* x, std::size_t n, float factor) override {
        split_range(n, 1, [&](std::size_t at, std::size_t count) { ops_.scale(x + at, count, factor); });
    }
    void softcap(float* x, std::size_t n, float cap) override {
        split_range(n, 8, [&](std::size_t at, std::size_t count) { ops_.softcap(x + at, count, cap); });
    }

   private:
    void linear_chunk(const Panels& w, const float* x, std::uint32_t tokens, float* y) {
        if (w.format == WeightFormat::kInt8Channel) {
            const Int8Rows rows = int8_rows_.prepare(w, tokens);
            split(tokens, w.columns * 2ull, [&](std::size_t t) { int8_rows_.row(w, x, t); });
            run_panels(w, tokens, 8, [&](std::size_t first, std::size_t last, unsigned) { kernels_.int8(w, first, last, rows, tokens, y, w.rows); });
            return;
        }
        if (uses_int16(w)) {
            const Int16Rows rows = int16_rows_.prepare(w, tokens);
            split(tokens, w.columns * 2ull, [&](std::size_t t) { int16_rows_.row(kernels_, w, x, t); });
            run_panels(w, tokens, 8, [&](std::size_t first, std::size_t last, unsigned) { kernels_.grouped(w, first, last, rows, tokens, y, w.rows); });
            return;
        }
        if (tokens <= kSmallTokens) {
            const float* prepared = padded_.prepare(w, x, tokens);
            run_panels(w, tokens, 8, [&](std::size_t first, std::size_t last, unsigned) { kernels_.small(w, first, last, prepared, tokens, y, w.rows); });
            return;
        }
        const std::uint32_t block = kernels_.block_tokens;
        const float* prepared = interleaved_.prepare(w, tokens, block);
        run((tokens + block - 1) / block, std::uint64_t{tokens} * w.columns, [&](std::size_t i, unsigned) {
            interleaved_.fill(w, x, tokens, static_cast<std::uint32_t>(i) * block, block);
        });
        for (auto& s : scratch_) s.resize(std::size_t{w.padded} * kLanes * 2);
        run_panels(w, tokens, 2, [&](std::size_t first, std::size_t last, unsigned worker) {
            kernels_.large(w, first, last, prepared, tokens, y, w.rows, scratch_[worker].data());
        });
    }
    bool uses_int16(const Panels& w) const { return w.grouped() && kernels_.grouped != nullptr && w.group_padded <= kMaxInt16Group; }

    template <class Body>
    void run(std::size_t tasks, std::uint64_t work, const Body& body) {
        if (work < kInlineWork || tasks == 1) {
            for (std::size_t i = 0; i < tasks; ++i) body(i, 0);
        } else {
            pool_.parallel_for(tasks, body);
        }
    }
    /// Panels in chunks of about `chunk`, smaller where that leaves threads without work.
    template <class Body>
    void run_panels(const Panels& w, std::uint32_t tokens, std::size_t chunk, const Body& body) {
        while (chunk > 1 && w.panels < chunk * pool_.size()) chunk /= 2;
        const std::size_t tasks = (w.panels + chunk - 1) / chunk;
        run(tasks, std::uint64_t{w.rows} * w.columns * tokens, [&](std::size_t i, unsigned worker) {
            body(i * chunk, std::min<std::size_t>(w.panels, (i + 1) * chunk), worker);
        });
    }
    template <class Body>
    void split(std::size_t items, std::uint64_t work_each, const Body& body) {
        constexpr std::size_t kBlock = 8;
        run((items + kBlock - 1) / kBlock, items * work_each, [&](std::size_t i, unsigned) {
            for (std::size_t t = i * kBlock; t < std::min(items, (i + 1) * kBlock); ++t) body(t);
        });
    }
    template <class Body>
    void split_range(std::size_t n, std::uint64_t work_each, const Body& body) {
        constexpr std::size_t kBlock = 8192;
        run((n + kBlock - 1) / kBlock, n * work_each, [&](std::size_t i, unsigned) { body(i * kBlock, std::min(kBlock, n - i * kBlock)); });
    }

    const CpuFeatures features_;
    const Kernels& kernels_;
    const Elementwise& ops_;
    ThreadPool pool_;
    PaddedRows padded_;
    InterleavedRows interleaved_;
    Int8Quantizer int8_rows_;
    Int16Quantizer int16_rows_;
    RopeTables rope_;
    std::vector<AlignedBuffer<float>> scratch_;  // one a worker
};

}  // namespace

std::size_t attention_scratch(const AttentionShape& shape, std::uint32_t positions) {
    const std::size_t padded = (std::size_t{positions} + 15) / 16 * 16;
    return std::size_t{kQueryBlock} * (shape.heads / shape.kv_heads) * padded + std::size_t{shape.head_dim} * 16;
}

}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(unsigned threads, const CpuFeatures& use) {
    return std::make_unique<cpu::CpuBackend>(threads, use);
}
std::unique_ptr<Backend> make_cpu_backend(unsigned threads) { return make_cpu_backend(threads, cpu_features()); }

}  // namespace tenpak::compute
