// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/self_test.h"

#include <cmath>
#include <random>

#include "core/base/half.h"
#include "core/compute/buffer.h"
#include "core/compute/cpu/cpu_backend.h"

namespace tenpak::compute {
namespace {

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

LinearWeight random_weight(WeightFormat format) {
    LinearWeight w;
    w.format = format;
    w.n = kRows;
    w.k = kColumns;
    std::mt19937 rng(7);
    const std::size_t count = std::size_t{kRows} * kColumns;
    for (const float f : random_values(format < WeightFormat::kInt8Channel ? count : 0, 3, 0.05f)) {
        if (format == WeightFormat::kF32) w.f32.push_back(f);
        if (format == WeightFormat::kBF16) w.half.push_back(float_to_bf16(f));
        if (format == WeightFormat::kF16) w.half.push_back(float_to_fp16(f));
    }
    if (format < WeightFormat::kInt8Channel) return w;
    w.group = format == WeightFormat::kInt8Channel ? 0 : kGroup;
    w.codes.resize(format == WeightFormat::kInt4Group ? count / 2 : count);
    for (auto& c : w.codes) c = static_cast<std::uint8_t>(rng());
    if (format == WeightFormat::kInt8Channel)
        for (auto& c : w.codes) c = c == 0x80 ? 0x81 : c;
    const std::size_t groups = w.group == 0 ? kRows : std::size_t{kRows} * (kColumns / kGroup);
    for (std::size_t i = 0; i < groups; ++i) w.scales.push_back(std::ldexp(1.0f + static_cast<float>(rng() % 128) / 128, -8));
    if (format == WeightFormat::kInt4Group) {
        w.symmetric = false;
        for (std::size_t i = 0; i < groups; ++i) w.zeros.push_back(static_cast<std::uint8_t>(rng() % 16));
    }
    return w;
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
    for (const WeightFormat f : {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kF16, WeightFormat::kInt8Channel, WeightFormat::kInt8Group, WeightFormat::kInt4Group}) {
        const LinearWeight w = random_weight(f);
        for (const std::uint32_t tokens : {1u, 12u, 100u, 300u}) {
            TENPAK_RETURN_IF_ERROR(same(std::string("a product with ") + weight_format_name(f) + " weights, " + std::to_string(tokens) + " tokens,", device, *cpu,
                                        {std::vector<float>(std::size_t{tokens} * kRows), random_values(std::size_t{tokens} * kColumns, tokens)}, [&](Backend& b, const std::vector<float*>& p) -> Status {
                                            TENPAK_ASSIGN(const auto packed, b.make_linear(w));
                                            b.linear(*packed, p[1], tokens, p[0]);
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
