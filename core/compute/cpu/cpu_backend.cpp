// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "core/base/memory_info.h"
#include "core/base/thread_pool.h"
#include "core/compute/cpu/activations.h"
#include "core/compute/cpu/kernels.h"
#include "core/compute/cpu/rope_table.h"

namespace tenpak::compute {
namespace cpu {
namespace {

// Up to here packed codes are read once per four tokens; beyond, unpacking a panel first is cheaper.
constexpr std::uint32_t kSmallTokens = 8;
// From here on oneDNN's tiles of 16 rows are full.
constexpr std::uint32_t kOneDnnTokens = 16;
// Activations (tokens times columns) up to here are packed by every thread for itself.
constexpr std::uint64_t kOwnActivations = 16 * 1024;
// Work below this many multiplications is done by the calling thread: waking another one costs more.
constexpr std::uint64_t kInlineWork = 64 * 1024;

const Kernels& pick(const CpuFeatures& f) {
#if defined(__x86_64__)
    if (f.avx512_vnni && f.avx512_bf16) return kernels_bf16();
    if (f.avx512_vnni) return kernels_vnni();
    if (f.avx512) return kernels_avx512();
    if (f.avx2) return kernels_avx2();
#endif
    (void)f;
    return kernels_scalar();
}

class CpuBackend final : public Backend {
   public:
    CpuBackend(const CpuOptions& options, const CpuFeatures& features)
        : features_(features),
          native_(options.activations == Activations::kNative),
          onednn_(native_ && has_onednn() && (features.amx_bf16 || (options.force_onednn && features.avx512_bf16))),
          kernels_(pick(features)),
          ops_(kernels_.elementwise),
          pool_(options.threads == 0 ? usable_cpus() : options.threads, Pinning::kCores) {
        scratch_.resize(pool_.size());
        packed_by_.resize(pool_.size());
        integers_.resize(pool_.size());
        bf16_.resize(pool_.size());
        integer_blocks_.resize(pool_.size());
        bf16_blocks_.resize(pool_.size());
    }

    std::string name() const override { return "cpu"; }
    std::string description() const override {
        const unsigned n = pool_.size();
        return "CPU, " + std::to_string(n) + (n == 1 ? " core, " : " cores, ") + features_.instruction_sets();
    }
    unsigned threads() const override { return pool_.size(); }
    std::uint64_t workspace_bytes() const override {
        std::uint64_t bytes = prepared_.bytes() + padded_.bytes() + interleaved_.bytes() + int8_rows_.bytes();
        for (const auto& p : integers_) bytes += p.bytes();
        for (const auto& p : bf16_) bytes += p.bytes();
        for (const auto& s : scratch_) bytes += s.bytes();
        return bytes;
    }

    std::uint64_t free_memory() const override { return available_memory(); }
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
            if (onednn_) panels->onednn = make_onednn_product(weight, pool_);
            panels->expand_bytes = features_.avx512_vbmi2;
            panels->kernel_name = describe(*panels);
            return std::unique_ptr<PackedLinear>(std::move(panels));
        } catch (const std::bad_alloc&) {
            return make_error(ErrorCode::kOutOfMemory, "no memory to pack a weight");
        }
    }

    void linear(const PackedLinear& packed, const float* x, std::uint32_t tokens, float* y) override {
        const Product p{static_cast<const Panels*>(&packed), y};
        linear_chunks({&p, 1}, x, tokens);
    }
    void linear_all(std::span<const LinearProduct> products, const float* x, std::uint32_t tokens) override {
        Product list[kMaxProducts];
        std::size_t count = 0;
        for (const LinearProduct& p : products) {
            const auto* w = static_cast<const Panels*>(p.weight);
            if (count == kMaxProducts || (count > 0 && !same_activations(*list[0].w, *w))) {
                linear_chunks({list, count}, x, tokens);
                count = 0;
            }
            list[count++] = {w, p.y};
        }
        if (count > 0) linear_chunks({list, count}, x, tokens);
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
            work += std::uint64_t{4} * tokens * std::min(seen, jobs[j].first + tokens) * shape.heads * shape.head_dim;  // keys and values come from memory
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
    static constexpr std::size_t kMaxProducts = 4;  // that are computed as one
    struct Product {
        const Panels* w;
        float* y;
    };
    /// Whether activations packed for one weight are those of the other.
    static bool same_activations(const Panels& a, const Panels& b) {
        return a.format == b.format && a.columns == b.columns && a.padded == b.padded && a.groups == b.groups && a.symmetric == b.symmetric &&
               a.outlier_threshold == b.outlier_threshold && a.order == b.order;
    }
    void linear_chunks(std::span<const Product> products, const float* x, std::uint32_t tokens) {
        const Panels& w = *products[0].w;
        // Packed activations of so many tokens fit the last-level cache beside the weights on their way.
        const bool blocks = uses_integers(w) || uses_bf16(w, tokens) || uses_fp8(w);
        const std::uint32_t chunk = blocks ? 43 * kTokenBlock : std::max<std::uint32_t>(96, (1u << 20) / 4 / w.padded / 12 * 12);
        for (std::uint32_t t = 0; t < tokens; t += chunk) {
            Product part[kMaxProducts];
            for (std::size_t i = 0; i < products.size(); ++i) part[i] = {products[i].w, products[i].y + std::size_t{t} * products[i].w->rows};
            linear_chunk({part, products.size()}, x + std::size_t{t} * w.columns, std::min(chunk, tokens - t));
        }
    }
    void linear_chunk(std::span<const Product> products, const float* x, std::uint32_t tokens) {
        const Panels& w = *products[0].w;
        const std::size_t blocks = (tokens + kTokenBlock - 1) / kTokenBlock;
        // Few activations are packed by every thread for itself: their way between the cores would take longer.
        const bool own = std::uint64_t{tokens} * w.columns <= kOwnActivations && pool_.size() > 1;
        for (auto& s : scratch_) s.resize(product_scratch(w) / sizeof(float));
        const Outliers* outliers = nullptr;
        if (PreparedRows::needed(w)) {
            const float* given = x;
            prepared_.prepare(w, tokens, uses_fp8(w));
            split(tokens, w.columns * 2ull, [&](std::size_t t) { prepared_.row(kernels_, w, given, t); });
            prepared_.finish(w, given, tokens);
            outliers = prepared_.outliers();
            x = prepared_.rows();
        }
        if (uses_integers(w)) {
            const unsigned parts = parts_of(w);
            std::vector<IntegerBlocks>& packed = integer_blocks_;
            for (std::size_t i = 0; i < (own ? pool_.size() : 1); ++i) packed[i] = integers_[i].prepare(w, tokens, parts);
            packs(own, blocks, std::uint64_t{tokens} * w.columns * 2, [&](std::size_t b, std::size_t owner) { integers_[owner].fill(kernels_, w, x, tokens, parts, b); });
            run_tiles(products, tokens, [&](const Product& p, const Tile& tile, unsigned worker) {
                if (own && !packed_by_[worker].done) {
                    for (std::size_t b = 0; b < blocks; ++b) integers_[worker].fill(kernels_, w, x, tokens, parts, b);
                    packed_by_[worker].done = true;
                }
                kernels_.integer(*p.w, tile, packed[own ? worker : 0], parts, p.y, p.w->rows, scratch_[worker].data());
                if (outliers == nullptr) return;
                kernels_.outliers(*p.w, tile.first, tile.last, *outliers, tile.block * kTokenBlock, std::min(tokens, tile.block_end * kTokenBlock), p.y, p.w->rows);
            });
        } else if (tokens >= kOneDnnTokens && std::all_of(products.begin(), products.end(), [](const Product& p) { return p.w->onednn != nullptr; }) &&
                   std::all_of(products.begin(), products.end(), [&](const Product& p) { return p.w->onednn->product(x, tokens, p.y, pool_); })) {
            return;
        } else if (uses_bf16(w, tokens) || uses_fp8(w)) {
            std::vector<Bf16Blocks>& packed = bf16_blocks_;
            for (std::size_t i = 0; i < (own ? pool_.size() : 1); ++i) packed[i] = bf16_[i].prepare(w, tokens);
            packs(own, blocks, std::uint64_t{tokens} * w.columns * 2, [&](std::size_t b, std::size_t owner) { bf16_[owner].fill(kernels_, w, x, tokens, b); });
            run_tiles(products, tokens, [&](const Product& p, const Tile& tile, unsigned worker) {
                if (own && !packed_by_[worker].done) {
                    for (std::size_t b = 0; b < blocks; ++b) bf16_[worker].fill(kernels_, w, x, tokens, b);
                    packed_by_[worker].done = true;
                }
                const Bf16Blocks& values = packed[own ? worker : 0];
                if (uses_fp8(w)) kernels_.fp8(*p.w, tile, values, prepared_.scales(), p.y, p.w->rows, scratch_[worker].data());
                else kernels_.bf16(*p.w, tile, values, p.y, p.w->rows);
            });
        } else if (w.format == WeightFormat::kInt8Channel) {
            const Int8Rows rows = int8_rows_.prepare(w, tokens);
            split(tokens, w.columns * 2ull, [&](std::size_t t) { int8_rows_.row(w, x, t); });
            run_tiles(products, 1, [&](const Product& p, const Tile& tile, unsigned) {
                kernels_.int8(*p.w, tile.first, tile.last, rows, tokens, p.y, p.w->rows);
                if (outliers != nullptr) kernels_.outliers(*p.w, tile.first, tile.last, *outliers, 0, tokens, p.y, p.w->rows);
            });
        } else if (tokens <= kSmallTokens) {
            const float* prepared = padded_.prepare(w, x, tokens);
            run_tiles(products, 1, [&](const Product& p, const Tile& tile, unsigned) { kernels_.small(*p.w, tile.first, tile.last, prepared, tokens, p.y, p.w->rows); });
        } else {
            const std::uint32_t block = kernels_.block_tokens;
            const float* prepared = interleaved_.prepare(w, tokens, block);
            run((tokens + block - 1) / block, std::uint64_t{tokens} * w.columns, [&](std::size_t i, unsigned) {
                interleaved_.fill(w, x, tokens, static_cast<std::uint32_t>(i) * block, block);
            });
            for (auto& s : scratch_) s.resize(std::size_t{w.padded} * kLanes * 2);
            for (const Product& p : products) {
                run((p.w->panels + 1) / 2, std::uint64_t{p.w->rows} * w.columns * tokens, [&](std::size_t i, unsigned worker) {
                    kernels_.large(*p.w, 2 * i, std::min<std::size_t>(p.w->panels, 2 * i + 2), prepared, tokens, p.y, p.w->rows, scratch_[worker].data());
                });
            }
        }
    }
    /// Packs all blocks now, shared among the threads, or leaves it to each thread's first tile.
    template <class Fill>
    void packs(bool own, std::size_t blocks, std::uint64_t work, const Fill& fill) {
        for (PackedBy& p : packed_by_) p.done = false;
        if (!own) run(blocks, work, [&](std::size_t b, unsigned) { fill(b, 0); });
    }
    bool uses_integers(const Panels& w) const {
        if (kernels_.integer == nullptr || (w.format == WeightFormat::kNf4Group && !native_)) return false;  // its values are no integers
        return w.format == WeightFormat::kInt8Channel || (w.grouped() && w.group_padded <= kMaxIntegerGroup);
    }
    bool uses_fp8(const Panels& w) const { return kernels_.fp8 != nullptr && w.format == WeightFormat::kFp8Channel; }
    unsigned parts_of(const Panels& w) const { return w.format == WeightFormat::kInt8Channel || native_ ? 1 : 2; }
    bool uses_bf16(const Panels& w, std::uint32_t tokens) const { return native_ && tokens > 1 && kernels_.bf16 != nullptr && w.format == WeightFormat::kBF16; }
    std::string describe(const Panels& w) const {
        std::string s = weight_format_name(w.format);
        if (w.grouped()) s += " " + std::to_string(w.group);
        if (w.nested()) s += ", 8-bit scales,";
        if (!w.order.empty()) s += ", columns by group,";
        if (w.onednn != nullptr) return s + (features_.amx_bf16 ? " AMX by oneDNN" : " oneDNN") + ", bf16 activations (AVX-512 BF16 below 16 tokens, fp32 at batch 1)";
        if (uses_bf16(w, 2)) return s + " AVX-512 BF16, bf16 activations (fp32 at batch 1)";
        if (w.format == WeightFormat::kFp8Channel) return s + " " + (uses_fp8(w) ? "AVX-512 BF16" : kernels_.float_name) + ", e4m3 activations";
        s += std::string(" ") + (w.format == WeightFormat::kInt8Channel || uses_integers(w) ? kernels_.name : kernels_.float_name);
        if (w.outlier_threshold > 0) s += ", outliers in fp32";
        if (w.format == WeightFormat::kNf4Group && !uses_integers(w)) return s + ", fp32 activations";
        if (w.format == WeightFormat::kInt8Channel || !uses_integers(w)) return s;
        return s + (parts_of(w) == 1 ? ", 8-bit activations" : ", 16-bit activations");
    }

    template <class Body>
    void run(std::size_t tasks, std::uint64_t work, const Body& body) {
        if (work < kInlineWork || tasks == 1) {
            for (std::size_t i = 0; i < tasks; ++i) body(i, 0);
        } else {
            pool_.parallel_for(tasks, std::ref(body));
        }
    }
    /// Tiles of products of the same activations: small enough that the threads finish together, and that the weights of
    /// one stay in the second-level cache while the blocks of tokens go by.
    template <class Body>
    void run_tiles(std::span<const Product> products, std::uint32_t tokens, const Body& body) {
        constexpr std::uint32_t kPanels = 16, kTasksPerThread = 4;
        constexpr std::size_t kFewest = 4, kTaskBytes = 96 * 1024;  // of few tokens: some microseconds, address streams enough
        const std::uint32_t blocks = (tokens + kTokenBlock - 1) / kTokenBlock, threads = pool_.size();
        struct Grid {
            std::size_t columns, rows, end;  // end: of its tasks
        } grids[kMaxProducts];
        std::size_t tasks = 0, panels = 0;
        std::uint64_t work = 0;
        for (const Product& p : products) panels += p.w->panels;
        for (std::size_t i = 0; i < products.size(); ++i) {
            const Panels& w = *products[i].w;
            std::size_t columns = (w.panels + kPanels - 1) / kPanels;
            const bool few = panels < std::size_t{threads} * kTasksPerThread * kPanels;
            if (blocks == 1) {
                const std::size_t each = few ? kFewest : std::clamp<std::size_t>(kTaskBytes / w.panel_bytes, kFewest, kPanels);
                columns = std::max<std::size_t>(1, w.panels / each);
            } else if (few) {
                columns = std::clamp<std::size_t>((columns + threads - 1) / threads * threads, 1, std::max<std::size_t>(1, w.panels / kFewest));
            }
            const std::size_t rows = std::clamp<std::size_t>(threads * kTasksPerThread * w.panels / panels / columns, 1, std::max(1u, blocks / 4));
            tasks += columns * rows;
            grids[i] = {columns, rows, tasks};
            work += std::uint64_t{w.rows} * w.columns * tokens;
        }
        run(tasks, work, [&](std::size_t task, unsigned worker) {
            std::size_t i = 0, begin = 0;
            while (task >= grids[i].end) begin = grids[i++].end;
            const Grid& g = grids[i];
            const Panels& w = *products[i].w;
            const std::size_t c = (task - begin) / g.rows, r = (task - begin) % g.rows;
            // Even starts: pairs of panels share their activations' registers.
            const auto panel = [&](std::size_t at) { return at == g.columns ? w.panels : w.panels * at / g.columns / 2 * 2; };
            const auto block = [&](std::size_t at) { return static_cast<std::uint32_t>(blocks * at / g.rows); };
            body(products[i], {panel(c), panel(c + 1), block(r), block(r + 1)}, worker);
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
    const bool native_, onednn_;
    const Kernels& kernels_;
    const Elementwise& ops_;
    ThreadPool pool_;
    PreparedRows prepared_;
    PaddedRows padded_;
    InterleavedRows interleaved_;
    Int8Quantizer int8_rows_;
    struct alignas(64) PackedBy {
        bool done = false;  // by this thread, for the product under way
    };
    std::vector<PackedBy> packed_by_;  // one a worker, as the following
    std::vector<IntegerPacker> integers_;
    std::vector<Bf16Packer> bf16_;
    std::vector<IntegerBlocks> integer_blocks_;
    std::vector<Bf16Blocks> bf16_blocks_;
    RopeTables rope_;
    std::vector<AlignedBuffer<float>> scratch_;  // one a worker
};

}  // namespace

std::size_t attention_scratch(const AttentionShape& shape, std::uint32_t positions) {
    const std::size_t padded = (std::size_t{positions} + 15) / 16 * 16;
    return std::size_t{kQueryBlock} * (shape.heads / shape.kv_heads) * padded + std::size_t{shape.head_dim} * 16;
}

}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options, const CpuFeatures& use) { return std::make_unique<cpu::CpuBackend>(options, use); }
std::unique_ptr<Backend> make_cpu_backend(unsigned threads, const CpuFeatures& use) { return make_cpu_backend(CpuOptions{threads, {}}, use); }
std::unique_ptr<Backend> make_cpu_backend(unsigned threads) { return make_cpu_backend(CpuOptions{threads, {}}); }

}  // namespace tenpak::compute
