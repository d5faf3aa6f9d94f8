// SPDX-License-Identifier: Apache-2.0
// Every operation of a backend in another memory, compared with the CPU backend or a double-precision product: run by the tests
// over the emulated module and by tests/gpu on a GPU.
#pragma once
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/compute/buffer.h"
#include "core/compute/cpu/cpu_backend.h"
#include "tests/core/compute/weights.h"

namespace tenpak::test {

inline constexpr compute::WeightFormat kQuantizedFormats[] = {
    compute::WeightFormat::kInt8Channel, compute::WeightFormat::kInt8Group, compute::WeightFormat::kInt4Group, compute::WeightFormat::kInt4Residual,
    compute::WeightFormat::kInt4Sparse,  compute::WeightFormat::kNf4Group,  compute::WeightFormat::kFp8Channel};

/// Whether rows and groups of these sizes exist in the format (LinearWeight::validate).
inline bool has_shape(compute::WeightFormat f, std::uint32_t k, std::uint32_t group) {
    using compute::WeightFormat;
    if (f == WeightFormat::kInt4Residual) return k % 4 == 0;
    if (f == WeightFormat::kInt4Sparse) return (group == 0 ? k : group) % 8 == 0;
    return (f != WeightFormat::kInt4Group && f != WeightFormat::kNf4Group) || k % 2 == 0;
}
/// The kept weights of a sparse weight all at the beginning of their group.
inline void keep_first(compute::LinearWeight& w) {
    w.mask.assign(w.mask.size(), 0);
    for (std::size_t i = 0; i < w.mask.size() * 8; ++i)
        if (i % w.group < w.group / 4) w.mask[i / 8] = static_cast<std::uint8_t>(w.mask[i / 8] | 1 << (i % 8));
}

struct CaseResult {
    std::string name;
    double error = 0, tolerance = 0;  ///< relative, of the 2-norm
    std::string problem;              ///< an error instead of a result
    bool good() const { return problem.empty() && error <= tolerance; }
};

/// Relative error of a product, by format and number of tokens (cuda_backend.h says what is rounded):
/// fp32 sums of different order; bf16 operands 2^-9 each; fp16 operands 2^-12 each, weights too above 32 tokens, of nf4 its values and scales always.
inline double linear_tolerance(compute::WeightFormat f, std::uint32_t tokens) {
    using compute::WeightFormat;
    switch (f) {
        case WeightFormat::kF32: return 5e-6;
        case WeightFormat::kBF16: return tokens <= 4 ? 5e-6 : 3e-3;
        case WeightFormat::kF16: return tokens <= 4 ? 5e-6 : 5e-4;
        case WeightFormat::kInt8Channel:
        case WeightFormat::kFp8Channel: return 5e-6;
        case WeightFormat::kInt8Group:
        case WeightFormat::kInt4Group: return tokens <= 32 ? 4e-4 : 6e-4;
        case WeightFormat::kInt4Residual:
        case WeightFormat::kInt4Sparse: return tokens <= 32 ? 4e-4 : 8e-4;
        case WeightFormat::kNf4Group: return 6e-4;
    }
    return 0;
}
inline constexpr double kElementTolerance = 2e-6, kDecodeTolerance = 5e-6, kPrefillTolerance = 2e-3;

/// Floats on a device and back.
class OnDevice {
   public:
    OnDevice(compute::Backend& b, const std::vector<float>& v) : backend_(b), buffer_(b), size_(v.size()) { status_ = buffer_.assign(v); }
    float* data() { return buffer_.data(); }
    std::vector<float> get() {
        std::vector<float> v(size_);
        if (status_.ok()) status_ = backend_.download(buffer_.data(), size_, v.data());
        return v;
    }
    const Status& status() const { return status_; }

   private:
    compute::Backend& backend_;
    compute::Buffer buffer_;
    std::size_t size_;
    Status status_;
};

/// Weights whose columns are sorted by group, and int8 weights with outliers: none, some and nearly all activations are.
inline std::vector<compute::LinearWeight> special_weights() {
    using compute::WeightFormat;
    std::vector<compute::LinearWeight> all;
    for (const WeightFormat f : {WeightFormat::kInt4Group, WeightFormat::kInt8Group, WeightFormat::kInt4Residual, WeightFormat::kNf4Group}) {
        for (const std::uint32_t group : {32u, 24u, 96u, 64u}) {
            compute::LinearWeight w = random_weight(f, 45, group * 6, group, group, true);
            shuffle_groups(w, group + 1);
            all.push_back(std::move(w));
        }
    }
    for (const std::uint32_t group : {64u, 256u}) {
        all.push_back(random_weight(WeightFormat::kInt4Sparse, 45, 768, group, group));
        keep_first(all.back());
    }
    for (const float threshold : {6.0f, 0.5f, 1e30f}) {
        for (const std::uint32_t k : {64u, 70u, 1100u}) {
            compute::LinearWeight w = random_weight(WeightFormat::kInt8Channel, 70, k, 0, k, k == 70);
            w.outlier_threshold = threshold;
            all.push_back(std::move(w));
        }
    }
    return all;
}

class BackendCases {
   public:
    explicit BackendCases(compute::Backend& b) : b_(b), cpu_(compute::make_cpu_backend()) {}
    std::vector<CaseResult> results;

    void linear(compute::WeightFormat format, std::uint32_t n, std::uint32_t k, std::uint32_t group, std::uint32_t tokens, bool symmetric = false) {
        compute::LinearWeight w = random_weight(format, n, k, group, n + k + tokens, n % 2 == 1);
        if (symmetric && !w.zeros.empty()) {
            w.symmetric = true;
            for (auto& z : w.zeros) z = format == compute::WeightFormat::kInt4Residual ? 32 : 8;
        }
        linear(w, tokens);
    }
    void linear(const compute::LinearWeight& w, std::uint32_t tokens) {
        const compute::WeightFormat format = w.format;
        const std::uint32_t n = w.n, k = w.k;
        CaseResult r{std::string(compute::weight_format_name(format)) + " group " + std::to_string(w.group) + (w.group_index.empty() ? "" : " in any order") +
                         (w.outlier_threshold > 0 ? " outliers" : "") + ", " + std::to_string(n) + " x " + std::to_string(k) + ", " + std::to_string(tokens) + " tokens",
                     0, linear_tolerance(format, tokens), {}};
        auto packed = b_.make_linear(w);
        if (!packed.ok()) {
            r.problem = packed.error().text();
            results.push_back(r);
            return;
        }
        auto x = random_floats(std::size_t{tokens} * k, tokens);
        // Tokens of different magnitude, and one large value: scales per token matter.
        for (std::uint32_t t = 0; t < tokens; ++t)
            for (std::uint32_t c = 0; c < k; ++c) x[std::size_t{t} * k + c] *= t % 3 == 1 ? 300.0f : t % 3 == 2 ? 1e-4f : 1.0f;
        if (format != compute::WeightFormat::kInt8Channel) x[k / 2] = 70000.0f;
        OnDevice dx(b_, x), dy(b_, std::vector<float>(std::size_t{tokens} * n + 16, -77.0f));
        b_.linear(**packed, dx.data(), tokens, dy.data());
        std::vector<float> y = dy.get();
        for (std::size_t i = std::size_t{tokens} * n; i < y.size(); ++i)
            if (y[i] != -77.0f) r.problem = "written behind the end";
        y.resize(std::size_t{tokens} * n);
        const auto want = reference_linear(w, x, tokens);
        // Each token by itself, or the largest hides the others.
        for (std::uint32_t t = 0; t < tokens; ++t) {
            const auto at = static_cast<std::ptrdiff_t>(std::size_t{t} * n), end = at + static_cast<std::ptrdiff_t>(n);
            const double e = relative_error(std::vector<float>(y.begin() + at, y.begin() + end), std::vector<double>(want.begin() + at, want.begin() + end));
            r.error = std::max(r.error, std::isfinite(e) ? e : 1e30);
        }
        r.tolerance *= n < 8 ? 20 : n < 128 ? 2.2 : 1;  // the worst token of few outputs: cancellation is not averaged
        if (!dy.status().ok()) r.problem = dy.status().error().text();
        results.push_back(r);
    }

    /// `op` runs the same calls on either backend, on data uploaded from `inputs`; the first buffer is the result.
    void same(const std::string& name, const std::vector<std::vector<float>>& inputs, double tolerance, const std::function<void(compute::Backend&, const std::vector<float*>&)>& op) {
        CaseResult r{name, 0, tolerance, {}};
        std::vector<float> got[2];
        compute::Backend* const backends[2] = {&b_, cpu_.get()};
        for (int i = 0; i < 2; ++i) {
            std::vector<std::unique_ptr<OnDevice>> buffers;
            std::vector<float*> pointers;
            for (const auto& v : inputs) {
                buffers.push_back(std::make_unique<OnDevice>(*backends[i], v));
                pointers.push_back(buffers.back()->data());
            }
            op(*backends[i], pointers);
            got[i] = buffers[0]->get();
            if (!buffers[0]->status().ok()) r.problem = buffers[0]->status().error().text();
        }
        const double e = relative_error(got[0], std::vector<double>(got[1].begin(), got[1].end()));
        r.error = std::isfinite(e) ? e : 1e30;
        results.push_back(r);
    }

    void elementwise() {
        using compute::Activation;
        const auto x = random_floats(1000, 1, 3), y = random_floats(1000, 2);
        for (const Activation a : {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf}) {
            const std::string kind = std::to_string(static_cast<int>(a));
            same("activation_mul " + kind, {x, x, y}, kElementTolerance, [a](compute::Backend& b, const auto& p) { b.activation_mul(a, p[1], p[2], 1000, p[0]); });
            same("activation_mul in place " + kind, {x, y}, kElementTolerance, [a](compute::Backend& b, const auto& p) { b.activation_mul(a, p[0], p[1], 1000, p[0]); });
            same("activation " + kind, {x}, kElementTolerance, [a](compute::Backend& b, const auto& p) { b.activation(a, p[0], 1000); });
        }
        same("add", {x, y}, 0, [](compute::Backend& b, const auto& p) { b.add(p[0], p[1], 1000); });
        same("scale", {x}, 0, [](compute::Backend& b, const auto& p) { b.scale(p[0], 1000, 3.25f); });
        same("softcap", {x}, kElementTolerance, [](compute::Backend& b, const auto& p) { b.softcap(p[0], 1000, 2.5f); });
        same("copy", {x, y}, 0, [](compute::Backend& b, const auto& p) { b.copy(p[1] + 3, 700, p[0] + 5); });
        for (const std::uint32_t dim : {1u, 48u, 1000u, 4096u, 14336u, 30000u}) {
            const auto v = random_floats(std::size_t{3} * dim, dim, 2), w = random_floats(dim, 5), c = random_floats(dim, 6);
            const std::string of = " of " + std::to_string(dim);
            for (const bool one : {false, true}) {
                same("rms_norm" + of + (one ? ", 1 added" : ""), {v, v, w}, kElementTolerance, [&](compute::Backend& b, const auto& p) { b.rms_norm(p[1], p[2], 1e-5f, 3, dim, p[0], one); });
            }
            same("rms_norm in place" + of, {v, w}, kElementTolerance, [&](compute::Backend& b, const auto& p) { b.rms_norm(p[0], p[1], 1e-6f, 3, dim, p[0], false); });
            if (dim > 1) {
                same("layer_norm" + of, {v, v, w, c}, 4e-6, [&](compute::Backend& b, const auto& p) { b.layer_norm(p[1], p[2], p[3], 1e-5f, 3, dim, p[0]); });
                same("layer_norm without bias" + of, {v, v, w}, 4e-6, [&](compute::Backend& b, const auto& p) { b.layer_norm(p[1], p[2], nullptr, 1e-5f, 3, dim, p[0]); });
            }
            same("add, then rms_norm" + of, {v, v, v, w}, kElementTolerance, [&](compute::Backend& b, const auto& p) {
                b.add(p[1], p[2], std::size_t{3} * dim);
                b.rms_norm(p[1], p[3], 1e-5f, 3, dim, p[0], false);
                b.add(p[0], p[1], std::size_t{3} * dim);  // the residual, too, is what it must be
            });
        }
        for (const std::uint32_t rotary : {64u, 16u, 2u}) {
            const std::vector<std::uint32_t> positions = {0, 1, 7, 1000, 131071};
            std::vector<float> inv_freq;
            for (std::uint32_t i = 0; i < rotary / 2; ++i) inv_freq.push_back(std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(rotary)));
            same("rope " + std::to_string(rotary) + " of 64", {random_floats(5 * 220, 4), inv_freq}, 1e-6, [&](compute::Backend& b, const auto& p) {
                b.rope(p[0], positions, {3, 64, rotary, 220, 1.25f}, p[1]);
            });
        }
    }

    /// Two calls that add up, against double precision; the matrix must be symmetric to the bit.
    void gram(std::uint32_t k, std::uint32_t tokens) {
        CaseResult r{"Gram matrix of " + std::to_string(k) + ", " + std::to_string(tokens) + " tokens", 0, 2e-6, {}};
        const auto x = random_floats(std::size_t{tokens} * k, k + tokens);
        const std::uint32_t first = tokens / 3;  // the second call's rows begin at any address
        OnDevice dx(b_, x), dh(b_, std::vector<float>(std::size_t{k} * k + 16)), sums(b_, std::vector<float>(k, 1.0f));
        for (const auto& [from, many] : {std::pair(0u, first), std::pair(first, tokens - first)}) {
            if (const Status s = b_.gram(dx.data() + std::size_t{from} * k, many, k, dh.data(), sums.data()); !s.ok()) r.problem = s.error().text();
        }
        std::vector<double> want(std::size_t{k} * k), want_sums(k, 1.0);
        for (std::size_t t = 0; t < tokens; ++t) {
            for (std::size_t i = 0; i < k; ++i) {
                want_sums[i] += std::fabs(double{x[t * k + i]});
                for (std::size_t j = 0; j < k; ++j) want[i * k + j] += double{x[t * k + i]} * double{x[t * k + j]};
            }
        }
        auto h = dh.get();
        for (std::size_t i = want.size(); i < h.size(); ++i)
            if (h[i] != 0) r.problem = "written behind the end";
        h.resize(want.size());
        for (std::size_t i = 0; i < k; ++i)
            for (std::size_t j = 0; j < i; ++j)
                if (h[i * k + j] != h[j * k + i]) r.problem = "not symmetric";
        const double e = std::max(relative_error(h, want), relative_error(sums.get(), want_sums));
        r.error = std::isfinite(e) ? e : 1e30;
        if (!dh.status().ok()) r.problem = dh.status().error().text();
        results.push_back(r);
    }

    struct Attention {
        compute::AttentionShape shape;
        std::vector<std::pair<std::uint32_t, std::uint32_t>> jobs;  ///< tokens, first
    };
    void attention(const Attention& a) {
        const compute::AttentionShape& s = a.shape;
        std::uint32_t tokens = 0, positions = 0;
        bool prefill = false;
        std::string name = std::to_string(s.heads) + "/" + std::to_string(s.kv_heads) + " heads of " + std::to_string(s.head_dim) + (s.window != 0 ? ", window " + std::to_string(s.window) : "") +
                           (s.softcap != 0 ? ", soft cap" : "") + ":";
        for (const auto& [t, first] : a.jobs) {
            tokens += t;
            positions += first + t;
            prefill = prefill || t > 1;
            name += " " + std::to_string(t) + "@" + std::to_string(first);
        }
        const std::size_t q_dim = std::size_t{s.heads} * s.head_dim, kv_dim = std::size_t{s.kv_heads} * s.head_dim;
        same("attention " + name, {std::vector<float>(tokens * q_dim), random_floats(tokens * q_dim, 1, 3), random_floats(positions * kv_dim, 2), random_floats(positions * kv_dim, 3)},
             prefill ? kPrefillTolerance : kDecodeTolerance, [&](compute::Backend& b, const auto& p) {
                 std::vector<compute::AttentionJob> jobs;
                 std::size_t row = 0, at = 0;
                 for (const auto& [t, first] : a.jobs) {
                     jobs.push_back({p[1] + row * q_dim, t, first, {p[2] + at * kv_dim, p[3] + at * kv_dim, first + t}, p[0] + row * q_dim});
                     row += t;
                     at += first + t;
                 }
                 b.attention_batch(jobs, s);
             });
    }
    void append() {
        same("append_kv", {std::vector<float>(2 * 10 * 6, 1.0f), std::vector<float>(2 * 10 * 6, 1.0f), random_floats(5 * 6, 1), random_floats(5 * 6, 2)}, 0,
             [](compute::Backend& b, const auto& p) {
                 const compute::KvAppend jobs[] = {{p[2], p[3], 2, 3, {p[0], p[1], 10}}, {p[2] + 12, p[3] + 12, 3, 7, {p[0] + 60, p[1] + 60, 10}}};
                 b.append_kv(jobs, 6);
             });
    }

   private:
    compute::Backend& b_;
    std::unique_ptr<compute::Backend> cpu_;
};

inline std::vector<BackendCases::Attention> attention_cases() {
    const auto shape = [](std::uint32_t heads, std::uint32_t kv, std::uint32_t dim, std::uint32_t window = 0, float cap = 0) {
        return compute::AttentionShape{heads, kv, dim, 1.0f / std::sqrt(static_cast<float>(dim)), cap, window};
    };
    return {{shape(4, 4, 64), {{1, 0}}},           {shape(4, 4, 64), {{1, 700}}},           {shape(9, 3, 64), {{1, 99}, {1, 3}, {1, 0}, {1, 300}}},
            {shape(8, 1, 128), {{1, 130}}},        {shape(6, 2, 256, 0, 50), {{1, 77}}},     {shape(4, 2, 80, 16), {{1, 99}, {1, 5}}},
            {shape(2, 1, 20), {{1, 30}}},          {shape(4, 4, 64), {{40, 0}}},             {shape(9, 3, 64), {{50, 0}, {7, 33}, {1, 12}, {2, 0}}},
            {shape(4, 2, 128), {{33, 64}}},        {shape(4, 2, 128, 10), {{70, 5}}},        {shape(2, 1, 256, 0, 30), {{9, 20}}},
            {shape(4, 2, 80), {{65, 0}}},          {shape(2, 2, 20, 3, 5), {{40, 3}}}};
}

}  // namespace tenpak::test
