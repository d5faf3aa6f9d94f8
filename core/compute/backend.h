// SPDX-License-Identifier: Apache-2.0
// What a device must be able to do to run a decoder-only transformer. Activations are fp32, row-major, in the backend's
// memory; weights are opaque, packed once by make_linear. One thread drives a backend at a time; it parallelizes inside.
// The CPU implementation is cpu/cpu_backend.h. CUDA is a module of its own, opened by workers only (cuda/module.h).
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/compute/linear_weight.h"

namespace tenpak::compute {

/// A weight packed for one backend's kernels.
class PackedLinear {
   public:
    virtual ~PackedLinear() = default;
    virtual std::uint32_t n() const = 0;
    virtual std::uint32_t k() const = 0;
    virtual std::uint64_t bytes() const = 0;        ///< resident bytes
    virtual const char* kernel() const = 0;         ///< "int4 g128 AVX-512 VNNI": what really runs
    /// out[k] = row `index` as fp32, exactly (an embedding that is also the head). False where it cannot be read back.
    virtual bool read_row(std::uint32_t index, float* out) const {
        (void)index, (void)out;
        return false;
    }
};

/// Keys and values of a batch of sequences: [layer][slot][position][kv_head][head_dim], fp32 on the CPU.
struct KvView {
    float* keys = nullptr;
    float* values = nullptr;
    std::uint32_t capacity = 0;  ///< positions a slot can hold
};

struct AttentionShape {
    std::uint32_t heads = 0, kv_heads = 0, head_dim = 0;
    float scale = 0;  ///< of q.k, normally 1/sqrt(head_dim)
};

/// The queries of one sequence at positions first..first+tokens-1, as Backend::attention takes them.
struct AttentionJob {
    const float* q = nullptr;
    std::uint32_t tokens = 0, first = 0;
    KvView kv;
    float* out = nullptr;
};

class Backend {
   public:
    virtual ~Backend() = default;
    virtual std::string name() const = 0;         ///< "cpu"
    virtual std::string description() const = 0;  ///< "CPU, 2 cores, AVX-512 VNNI, AMX"
    virtual unsigned threads() const = 0;
    virtual std::uint64_t workspace_bytes() const { return 0; }  ///< buffers kept between calls

    virtual Result<std::unique_ptr<PackedLinear>> make_linear(const LinearWeight& weight) = 0;
    /// y[tokens][n] = x[tokens][k] W^T (+ bias).
    virtual void linear(const PackedLinear& w, const float* x, std::uint32_t tokens, float* y) = 0;
    /// y = x / sqrt(mean(x^2) + eps) * weight, per token; x and y may be the same.
    virtual void rms_norm(const float* x, const float* weight, float eps, std::uint32_t tokens, std::uint32_t dim, float* y) = 0;
    /// Rotates q or k in place: x[tokens][heads][head_dim], halves rotated (Hugging Face order). `inv_freq` [head_dim/2].
    virtual void rope(float* x, const std::uint32_t* positions, std::uint32_t tokens, std::uint32_t heads, std::uint32_t head_dim,
                      const float* inv_freq, float attention_factor) = 0;
    /// Causal attention of one sequence: q[tokens][heads][head_dim] at positions first..first+tokens-1, keys and values
    /// [position][kv_head][head_dim] up to and including them already stored. out[tokens][heads][head_dim].
    virtual void attention(const float* q, std::uint32_t tokens, std::uint32_t first, const AttentionShape& shape, const KvView& kv,
                           float* out) = 0;
    /// Several sequences at once, so that a batched decode step keeps all threads busy.
    virtual void attention_batch(std::span<const AttentionJob> jobs, const AttentionShape& shape) {
        for (const AttentionJob& j : jobs) attention(j.q, j.tokens, j.first, shape, j.kv, j.out);
    }
    /// out = silu(gate) * up.
    virtual void silu_mul(const float* gate, const float* up, std::size_t n, float* out) = 0;
    virtual void add(float* x, const float* y, std::size_t n) = 0;  ///< x += y
};

}  // namespace tenpak::compute
