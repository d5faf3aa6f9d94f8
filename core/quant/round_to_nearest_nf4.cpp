// SPDX-License-Identifier: Apache-2.0
#include "core/base/nf4.h"
#include "core/quant/round_to_nearest.h"

namespace tenpak::quant {
namespace {

constexpr float kSmallest = 1e-38f;         // bitsandbytes divides by no less
constexpr std::size_t kNestedBlock = 256;   // scales that share a nested one

// Codes of one group of an even number of weights, two to a byte.
void encode_group(const float* x, std::uint32_t group, float top, std::uint8_t* packed) {
    const float inverse = 1.0f / std::max(top, kSmallest);
    for (std::uint32_t c = 0; c < group; c += 2) {
        unsigned pair[2] = {0, 0};
        for (std::uint32_t i = 0; i < 2; ++i) {
            const float v = x[c + i] * inverse;
            for (const float m : kNf4Middles) pair[i] += v > m ? 1u : 0u;  // how many middles lie below
        }
        packed[c / 2] = static_cast<std::uint8_t>(pair[0] | pair[1] << 4);
    }
}

void nest_scales(compute::LinearWeight& q) {
    double sum = 0;
    for (const float s : q.scales) sum += static_cast<double>(s);
    q.nested_offset = static_cast<float>(sum / static_cast<double>(q.scales.size()));
    q.scale_codes.resize(q.scales.size());
    for (std::size_t begin = 0; begin < q.scales.size(); begin += kNestedBlock) {
        const std::size_t end = std::min(begin + kNestedBlock, q.scales.size());
        float top = 0;
        for (std::size_t i = begin; i < end; ++i) top = std::max(top, std::fabs(q.scales[i] - q.nested_offset));
        q.nested_scales.push_back(top);
        const float inverse = 1.0f / std::max(top, kSmallest);
        for (std::size_t i = begin; i < end; ++i) {
            q.scale_codes[i] = dynamic_code(std::clamp((q.scales[i] - q.nested_offset) * inverse, -1.0f, 1.0f));
            q.scales[i] = dynamic_levels()[q.scale_codes[i]] * top + q.nested_offset;
        }
    }
}

}  // namespace

compute::LinearWeight round_to_nearest_nf4(std::span<const float> w, std::uint32_t n, std::uint32_t k, std::uint32_t group, bool nested,
                                           ThreadPool& pool) {
    compute::LinearWeight q;
    q.format = compute::WeightFormat::kNf4Group;
    q.n = n;
    q.k = k;
    q.group = group;
    q.codes.resize(std::size_t{n} * (k / 2));
    q.scales.resize(std::size_t{n} * (k / group));
    pool.parallel_for(n, [&](std::size_t row, unsigned) {
        for (std::size_t begin = row * k; begin < (row + 1) * k; begin += group) {
            float top = 0;
            for (std::size_t i = begin; i < begin + group; ++i) top = std::max(top, std::fabs(w[i]));
            q.scales[begin / group] = top;
            encode_group(w.data() + begin, group, top, q.codes.data() + begin / 2);
        }
    });
    if (nested) nest_scales(q);
    return q;
}

}  // namespace tenpak::quant
