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

struct LinearProduct {
    const PackedLinear* weight = nullptr;
    float* y = nullptr;  ///< [tokens][n]
};

/// Keys and values of one sequence in one layer: [position][kv_head][head_dim], fp32 in the backend's memory.
struct KvView {
    float* keys = nullptr;
    float* values = nullptr;
    std::uint32_t capacity = 0;  ///< positions that there is room for
};

struct AttentionShape {
    std::uint32_t heads = 0, kv_heads = 0, head_dim = 0;
    float scale = 0;           ///< of q.k, normally 1/sqrt(head_dim)
    float softcap = 0;         ///< 0: none; else a score s becomes softcap * tanh(s / softcap) (Gemma 2)
    std::uint32_t window = 0;  ///< 0: all earlier positions; else a query sees itself and the window - 1 positions before it
};

/// The queries of one sequence at positions first..first+tokens-1: q and out [tokens][heads][head_dim].
struct AttentionJob {
    const float* q = nullptr;
    std::uint32_t tokens = 0, first = 0;
    KvView kv;
    float* out = nullptr;
};

/// New keys and values of one sequence, [tokens][kv_head][head_dim], that go to positions first..first+tokens-1 of `kv`.
struct KvAppend {
    const float* keys = nullptr;
    const float* values = nullptr;
    std::uint32_t tokens = 0, first = 0;
    KvView kv;
};

/// What rotary embedding turns: of each head's `head_dim` values the first `rotary_dim` are rotated, element i
/// with i + rotary_dim/2 (Hugging Face order), the others stay. A token's heads lie together, tokens lie `stride` apart.
struct RopeShape {
    std::uint32_t heads = 0, head_dim = 0, rotary_dim = 0;
    std::size_t stride = 0;
    float attention_factor = 1;  ///< multiplies sines and cosines (YaRN, LongRoPE)
};

enum class Activation : std::uint8_t {
    kSilu,      ///< x / (1 + e^-x)
    kGeluTanh,  ///< 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): "gelu_new", "gelu_pytorch_tanh"
    kGeluErf,   ///< 0.5 x (1 + erf(x / sqrt 2)): "gelu"
};

/// Unless a parameter is said to be on the host, pointers are the backend's memory (allocate). A device may run calls
/// behind the caller's back, in order; what goes wrong there is an error of the next download or synchronize.
class Backend {
   public:
    virtual ~Backend() = default;
    virtual std::string name() const = 0;         ///< "cpu"
    virtual std::string description() const = 0;  ///< "CPU, 2 cores, AVX-512 VNNI, AMX"
    virtual unsigned threads() const = 0;
    virtual std::uint64_t workspace_bytes() const { return 0; }  ///< buffers kept between calls

    virtual std::uint64_t free_memory() const { return 0; }      ///< bytes that weights and buffers can still get; 0: unknown
    /// Uninitialized, 64-byte aligned; null when there is no memory left. Buffer (buffer.h) owns one.
    virtual float* allocate(std::size_t floats) = 0;
    virtual void release(float* memory) = 0;
    /// True: the host may read and write this memory like its own (after synchronize).
    virtual bool host_memory() const { return true; }
    virtual Status upload(const float* host, std::size_t n, float* device) = 0;
    virtual Status download(const float* device, std::size_t n, float* host) = 0;
    virtual Status synchronize() { return {}; }
    virtual void copy(const float* from, std::size_t n, float* to) = 0;  ///< within the backend's memory, not overlapping

    virtual Result<std::unique_ptr<PackedLinear>> make_linear(const LinearWeight& weight) = 0;
    /// y[tokens][n] = x[tokens][k] W^T (+ bias).
    virtual void linear(const PackedLinear& w, const float* x, std::uint32_t tokens, float* y) = 0;
    /// Several products of the same x (q, k and v; gate and up), which a backend may compute as one. Same results.
    virtual void linear_all(std::span<const LinearProduct> products, const float* x, std::uint32_t tokens) {
        for (const LinearProduct& p : products) linear(*p.weight, x, tokens, p.y);
    }
    /// y = x / sqrt(mean(x^2) + eps) * weight, per token; 1 + weight where `unit_offset` (Gemma). x and y may be the same.
    virtual void rms_norm(const float* x, const float* weight, float eps, std::uint32_t tokens, std::uint32_t dim, float* y, bool unit_offset) = 0;
    /// y = (x - mean) / sqrt(variance + eps) * weight + bias, per token; `bias` may be null. x and y may be the same.
    virtual void layer_norm(const float* x, const float* weight, const float* bias, float eps, std::uint32_t tokens, std::uint32_t dim, float* y) = 0;
    /// Rotates q or k in place. `positions` (on the host): one a token. `inv_freq` [rotary_dim/2] in the backend's memory.
    virtual void rope(float* x, std::span<const std::uint32_t> positions, const RopeShape& shape, const float* inv_freq) = 0;
    virtual void append_kv(std::span<const KvAppend> jobs, std::uint32_t kv_dim) {
        for (const KvAppend& j : jobs) {
            copy(j.keys, std::size_t{j.tokens} * kv_dim, j.kv.keys + std::size_t{j.first} * kv_dim);
            copy(j.values, std::size_t{j.tokens} * kv_dim, j.kv.values + std::size_t{j.first} * kv_dim);
        }
    }
    /// Causal attention of several sequences at once, so that a batched decode step keeps all threads busy. Keys and values
    /// up to and including a job's own positions are already stored.
    virtual void attention_batch(std::span<const AttentionJob> jobs, const AttentionShape& shape) = 0;
    /// out = activation(gate) * up; out may be gate.
    virtual void activation_mul(Activation kind, const float* gate, const float* up, std::size_t n, float* out) = 0;
    virtual void activation(Activation kind, float* x, std::size_t n) = 0;         ///< in place
    virtual void add(float* x, const float* y, std::size_t n) = 0;                 ///< x += y
    virtual void scale(float* x, std::size_t n, float factor) = 0;                 ///< x *= factor
    virtual void softcap(float* x, std::size_t n, float cap) = 0;                  ///< x = cap * tanh(x / cap)
    /// h[k][k] += x^T x for x[tokens][k], in fp32; sums[k] (or null) += |x| over the tokens. h is symmetric before and after. Like
    /// the other calls it may run behind the caller's back. kUnsupported: this backend leaves it to the host.
    virtual Status gram(const float* x, std::uint32_t tokens, std::uint32_t k, float* h, float* sums = nullptr) {
        (void)x, (void)tokens, (void)k, (void)h, (void)sums;
        return make_error(ErrorCode::kUnsupported, "the backend " + name() + " makes no Gram matrices");
    }
};

}  // namespace tenpak::compute
