// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cpu/onednn_product.h"

#ifdef TENPAK_ONEDNN
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <oneapi/dnnl/dnnl.hpp>

#include "core/base/half.h"
#endif

namespace tenpak::compute::cpu {

#ifdef TENPAK_ONEDNN
namespace {

constexpr std::uint32_t kTypicalTokens = 512;  // what the layout of the weight is chosen for
constexpr std::uint32_t kSliceRows = 64;       // slices are multiples of it: oneDNN's widest block of columns

/// oneDNN as Debian builds it runs on OpenMP. Each of our threads computes a slice of its own, with one OpenMP thread.
void run_alone() {
    using Set = void (*)(int);
    static const auto set = reinterpret_cast<Set>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
    if (set != nullptr) set(1);
}

class Product final : public OneDnnProduct {
   public:
    Product(const LinearWeight& w, ThreadPool& pool) : n_(w.n), k_(w.k), bias_(w.bias), engine_(dnnl::engine::kind::cpu, 0) {
        const std::uint32_t each = (n_ + pool.size() - 1) / pool.size(), step = (each + kSliceRows - 1) / kSliceRows * kSliceRows;
        for (std::uint32_t first = 0; first < n_; first += step) slices_.push_back({first, std::min(step, n_ - first), {}});
        using Memory = dnnl::memory;
        std::atomic<bool> ok{true};
        pool.parallel_for(slices_.size(), [&](std::size_t i, unsigned) {
            try {
                run_alone();
                Slice& s = slices_[i];
                const Memory::desc any({k_, s.rows}, Memory::data_type::bf16, Memory::format_tag::any);
                const Memory::desc plain({k_, s.rows}, Memory::data_type::bf16, Memory::format_tag::ba);  // [rows][k]
                s.weight = Memory(descriptor(s, kTypicalTokens, any).weights_desc(), engine_);
                Memory from(plain, engine_, const_cast<std::uint16_t*>(w.half.data() + std::size_t{s.first} * k_));
                dnnl::stream stream(engine_);
                dnnl::reorder(from, s.weight).execute(stream, from, s.weight);
                stream.wait();
            } catch (const std::exception&) {
                ok = false;
            }
        });
        if (!ok) throw dnnl::error(dnnl_unimplemented, "no bf16 product");
    }

    std::uint64_t bytes() const override {
        std::uint64_t total = 0;
        for (const Slice& s : slices_) total += s.weight.get_desc().get_size();
        return total;
    }

    bool product(const float* x, std::uint32_t tokens, float* y, ThreadPool& pool) override {
        rows_.resize(std::size_t{tokens} * k_);
        pool.parallel_for(tokens, [&](std::size_t t, unsigned) {
            for (std::size_t c = 0; c < k_; ++c) rows_[t * k_ + c] = float_to_bf16(x[t * k_ + c]);
        });
        std::atomic<bool> ok{true};
        pool.parallel_for(slices_.size(), [&](std::size_t i, unsigned) {
            try {
                run_alone();
                Slice& s = slices_[i];
                const auto description = descriptor(s, tokens, s.weight.get_desc());
                dnnl::memory from(description.src_desc(), engine_, rows_.data()), to(description.dst_desc(), engine_, y + s.first);
                dnnl::stream stream(engine_);
                dnnl::matmul(description).execute(stream, {{DNNL_ARG_SRC, from}, {DNNL_ARG_WEIGHTS, s.weight}, {DNNL_ARG_DST, to}});
                stream.wait();
                if (bias_.empty()) return;
                for (std::size_t t = 0; t < tokens; ++t) {
                    for (std::size_t r = s.first; r < s.first + s.rows; ++r) y[t * n_ + r] += bias_[r];
                }
            } catch (const std::exception&) {
                ok = false;
            }
        });
        return ok;
    }

   private:
    struct Slice {
        std::uint32_t first, rows;
        dnnl::memory weight;
    };
    dnnl::matmul::primitive_desc descriptor(const Slice& s, std::uint32_t tokens, const dnnl::memory::desc& weight) const {
        using Memory = dnnl::memory;
        const Memory::desc from({tokens, k_}, Memory::data_type::bf16, Memory::format_tag::ab);
        const Memory::desc to({tokens, s.rows}, Memory::data_type::f32, Memory::dims{n_, 1});
        return {dnnl::matmul::desc(from, weight, to), engine_};
    }

    std::uint32_t n_, k_;
    std::vector<float> bias_;
    dnnl::engine engine_;
    std::vector<Slice> slices_;
    std::vector<std::uint16_t> rows_;
};

}  // namespace

bool has_onednn() { return true; }

std::unique_ptr<OneDnnProduct> make_onednn_product(const LinearWeight& weight, ThreadPool& pool) {
    if (weight.format != WeightFormat::kBF16) return nullptr;
    try {
        return std::make_unique<Product>(weight, pool);
    } catch (const dnnl::error&) {
        return nullptr;
    }
}
#else
bool has_onednn() { return false; }
std::unique_ptr<OneDnnProduct> make_onednn_product(const LinearWeight&, ThreadPool&) { return nullptr; }
#endif

}  // namespace tenpak::compute::cpu
