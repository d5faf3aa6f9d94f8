// SPDX-License-Identifier: Apache-2.0
#include "core/quant/mixed/format_option.h"

#include "core/quant/quantizer.h"

namespace tenpak::quant {

const std::vector<FormatOption>& mixed_options() {
    static const std::vector<FormatOption> all = [] {
        std::vector<FormatOption> options;
        for (const std::uint32_t group : {256u, 128u, 64u, 32u}) {
            Candidate c = find_candidate("gptq_g128").value();
            c.group = group;
            c.name = "gptq_g" + std::to_string(group);
            options.push_back({"int4 g" + std::to_string(group), c});
        }
        options.push_back({"int4+int2 g128", find_candidate("int4_residual").value()});
        options.push_back({"int8 g128", find_candidate("int8_g128").value()});
        options.push_back({"16 bit", find_candidate("fp16").value()});
        return options;
    }();
    return all;
}

bool FormatOption::fits(std::uint32_t k) const { return dense() || check_columns(candidate, k, {}).ok(); }

std::uint32_t FormatOption::group_of(std::uint32_t k) const { return dense() || !fits(k) ? 0 : group_for(candidate.group, k); }

std::uint64_t FormatOption::bytes(std::uint32_t n, std::uint32_t k) const {
    compute::LinearWeight shape;  // its size follows from these alone
    shape.format = fits(k) ? candidate.format : compute::WeightFormat::kBF16;
    shape.n = n;
    shape.k = k;
    shape.group = group_of(k);
    shape.symmetric = candidate.symmetric;
    return shape.stored_bytes();
}

}  // namespace tenpak::quant
