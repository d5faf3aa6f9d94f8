// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/self_test.h"

#include <cmath>
#include <random>

#include "core/base/float8.h"
#include "core/base/half.h"
#include "core/compute/buffer.h"
#include "core/compute/cpu/cpu_backend.h"

namespace tenpak::compute {
namespace {

constexpr float kOutlier = 200.25f;  // above the threshold, and no int8
constexpr std::uint32_t kRows = 96, kColumns = 512, kGroup = 128, kHeads = 8, kKvHeads = 2, kHeadDim = 64;
// Of operands rounded to bf16, the coarsest; what is wrong is off by far more.
constexpr double kTolerance = 1e-2;

std::vector<float> random_values(std::size_t n, unsigned seed, float sigma = 1) {
    std::mt19937 rng(seed);
    std::normal_distribution<float> d(0, sigma);
    std::vector<float> v(n);
    for (float& f : v) f = d(rng);
    return v;
}

bool is_dense(WeightFormat f) { return f < WeightFormat::kInt8Channel; }
bool rounds_activations(WeightFormat f) { return f == WeightFormat::kInt8Channel || f == WeightFormat::kFp8Channel; }

LinearWeight random_weight(WeightFormat format, std::uint32_t group, bool act_order, float outliers) {
    LinearWeight w;
    w.format = format;
    w.n = kRows;
    w.k = kColumns;
    w.outlier_threshold = outliers;
    std::mt19937 rng(7);
    const std::size_t count = std::size_t{kRows} * kColumns;
    for (const float f : random_values(is_dense(format) ? count : 0, 3, 0.05f)) {
        if (format == WeightFormat::kF32) w.f32.push_back(f);
        if (format == WeightFormat::kBF16) w.half.push_back(float_to_bf16(f));
        if (format == WeightFormat::kF16) w.half.push_back(float_to_fp16(f));
    }
    if (is_dense(format)) return w;
    const bool per_row = rounds_activations(format), residual = format == WeightFormat::kInt4Residual, sparse = format == WeightFormat::kInt4Sparse;
    const auto bytes = [&](std::size_t n, unsigned least, unsigned many) {
        std::vector<std::uint8_t> v(n);
        for (auto& c : v) c = static_cast<std::uint8_t>(least + rng() % many);
        return v;
    };
    w.group = per_row ? 0 : group;
    w.codes = bytes(per_row || format == WeightFormat::kInt8Group ? count : count / 2, 0, 256);
    for (auto& c : w.codes) {
        if (format == WeightFormat::kInt8Channel && c == 0x80) c = 0x81;
        if (format == WeightFormat::kFp8Channel && (c & 0x7f) == 0x7f) c = 0x38;
    }
    const std::size_t groups = per_row ? kRows : count / group;
    for (std::size_t i = 0; i < groups; ++i) w.scales.push_back(std::ldexp(1.0f + static_cast<float>(rng() % 128) / 128, -8));
    if (format == WeightFormat::kInt4Group || residual) {
        w.symmetric = false;
        w.zeros = bytes(groups, 0, residual ? 64 : 16);
    }
    if (residual || sparse) w.low = bytes(residual ? count / 4 : count / 8, 0, 256);
    if (sparse) {
        w.multiples = bytes(groups, 1, 15);
        for (std::size_t i = 0; i < groups; ++i) {  // a quarter of the group, from another column on in each
            w.mask.resize(w.mask.size() + group / 8);
            for (std::size_t c = 0; c < group / 4; ++c) {
                const std::size_t at = i * group + (c * 3 + i) % group;
                w.mask[at / 8] = static_cast<std::uint8_t>(w.mask[at / 8] | 1 << (at % 8));
            }
        }
    }
    if (act_order)
        for (std::uint32_t c = 0; c < kColumns; ++c) w.group_index.push_back(c * 5 % kColumns / group);
    return w;
}

/// Where a format rounds activations, such as are not changed by it: what is compared is the product.
std::vector<float> random_activations(const LinearWeight& w, std::uint32_t tokens) {
    auto x = random_values(std::size_t{tokens} * kColumns, tokens);
    if (!rounds_activations(w.format)) return x;
    std::mt19937 rng(tokens);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const bool top = i % kColumns == 5;
        if (w.format == WeightFormat::kFp8Channel) {
            x[i] = top ? kE4m3Max : e4m3_to_float(static_cast<std::uint8_t>(rng() % 0x7f | (rng() % 2) << 7));
        } else {
            x[i] = top ? 127.0f : static_cast<float>(static_cast<int>(rng() % 255) - 127);
            if (!top && w.outlier_threshold > 0 && rng() % 16 == 0) x[i] = x[i] < 0 ? -kOutlier : kOutlier;
        }
    }
    return x;
}

/// `op` on a backend: inputs uploaded, the first buffer downloaded.
template <class Op>
Result<std::vector<float>> on(Backend& b, const std::vector<std::vector<float>>& inputs, const Op& op) {
    std::vector<Buffer> buffers;
    std::vector<float*> pointers;
    for (const auto& v : inputs) {
        buffers.emplace_back(b);
        TENPAK_RETURN_IF_ERROR(buffers.back().assign(v));
        pointers.push_back(buffers.back().data());
    }
    TENPAK_RETURN_IF_ERROR(op(b, pointers));
    std::vector<float> out(inputs[0].size());
    TENPAK_RETURN_IF_ERROR(b.download(pointers[0], out.size(), out.data()));
    return out;
}

template <class Op>
Status same(const std::string& what, Backend& device, Backend& cpu, const std::vector<std::vector<float>>& inputs, const Op& op) {
    TENPAK_ASSIGN(const std::vector<float> got, on(device, inputs, op));
    TENPAK_ASSIGN(const std::vector<float> want, on(cpu, inputs, op));
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
        difference += std::pow(static_cast<double>(got[i]) - static_cast<double>(want[i]), 2);
        size += std::pow(static_cast<double>(want[i]), 2);
    }
    if (std::sqrt(difference) <= kTolerance * std::sqrt(size)) return {};  // false for NaN
    return make_error(ErrorCode::kNumeric, what + " on the GPU differs from the CPU's by a factor of " + std::to_string(std::sqrt(difference / size)));
}

Status attention(Backend& b, const std::vector<float*>& p, std::uint32_t tokens, std::uint32_t first) {
    const AttentionJob job{p[1], tokens, first, {p[2], p[3], first + tokens}, p[0]};
    b.attention_batch({&job, 1}, {kHeads, kKvHeads, kHeadDim, 0.125f, 20.0f, 50});
    return {};
}

}  // namespace

Status compare_with_cpu(Backend& device) {
    const auto cpu = make_cpu_backend(1);
    struct Product {
        WeightFormat format;
        std::uint32_t group = kGroup;
        bool act_order = false;
        float outliers = 0;
    };
    const Product products[] = {{WeightFormat::kF32}, {WeightFormat::kBF16}, {WeightFormat::kF16}, {WeightFormat::kInt8Channel}, {WeightFormat::kInt8Channel, 0, false, 150.0f},
                                {WeightFormat::kInt8Group}, {WeightFormat::kInt4Group}, {WeightFormat::kInt4Group, kGroup, true}, {WeightFormat::kInt4Residual}, {WeightFormat::kInt4Sparse},
                                {WeightFormat::kInt4Sparse, 32}, {WeightFormat::kNf4Group, 64}, {WeightFormat::kFp8Channel}};
    for (const Product& p : products) {
        const LinearWeight w = random_weight(p.format, p.group, p.act_order, p.outliers);
        const std::string name = std::string("a product with ") + weight_format_name(p.format) + (p.act_order ? " weights in act-order" : p.outliers > 0 ? " weights and outliers" : " weights");
        for (const std::uint32_t tokens : {1u, 12u, 100u, 300u}) {
            TENPAK_RETURN_IF_ERROR(same(name + ", " + std::to_string(tokens) + " tokens,", device, *cpu, {std::vector<float>(std::size_t{tokens} * kRows), random_activations(w, tokens)},
                                        [&](Backend& b, const std::vector<float*>& x) -> Status {
                                            TENPAK_ASSIGN(const auto packed, b.make_linear(w));
                                            b.linear(*packed, x[1], tokens, x[0]);
                                            return b.synchronize();  // before `packed` goes
                                        }));
        }
    }
    TENPAK_RETURN_IF_ERROR(same("a norm", device, *cpu, {random_values(5 * kColumns, 1), random_values(kColumns, 2)}, [](Backend& b, const std::vector<float*>& p) -> Status {
        b.rms_norm(p[0], p[1], 1e-5f, 5, kColumns, p[0], true);
        b.layer_norm(p[0], p[1], p[1], 1e-5f, 5, kColumns, p[0]);
        return {};
    }));
    TENPAK_RETURN_IF_ERROR(same("a rotation", device, *cpu, {random_values(3 * kHeads * kHeadDim, 1), random_values(kHeadDim / 2, 2)}, [](Backend& b, const std::vector<float*>& p) -> Status {
        const std::uint32_t positions[] = {0, 5, 900};
        b.rope(p[0], positions, {kHeads, kHeadDim, kHeadDim, kHeads * kHeadDim, 1}, p[1]);
        return {};
    }));
    for (const std::uint32_t tokens : {1u, 70u}) {
        TENPAK_RETURN_IF_ERROR(same("attention", device, *cpu,
                                    {std::vector<float>(tokens * kHeads * kHeadDim), random_values(tokens * kHeads * kHeadDim, 1), random_values((tokens + 99) * kKvHeads * kHeadDim, 2),
                                     random_values((tokens + 99) * kKvHeads * kHeadDim, 3)},
                                    [&](Backend& b, const std::vector<float*>& p) { return attention(b, p, tokens, 99); }));
    }
    return {};
}

}  // namespace tenpak::compute
