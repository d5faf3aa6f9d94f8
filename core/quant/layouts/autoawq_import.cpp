// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/quant/layouts/autoawq.h"
#include "core/quant/layouts/import_tensors.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

Result<LinearWeight> read_module(const ModelSource& source, const std::string& module) {
    TENPAK_ASSIGN(const TensorInfo* qweight, require_tensor(source, module + ".qweight", DType::kI32, 2));
    TENPAK_ASSIGN(const TensorInfo* qzeros, require_tensor(source, module + ".qzeros", DType::kI32, 2));
    const std::uint64_t k = qweight->shape[0], columns = qweight->shape[1], groups = qzeros->shape[0];
    TENPAK_RETURN_IF_ERROR(check_sizes(columns * 8, k, qweight->name));
    if (qzeros->shape[1] != columns || groups == 0 || k % groups != 0) return malformed_weights("the zero points do not fit the weight", qzeros->name);
    LinearWeight w;
    w.format = WeightFormat::kInt4Group;
    w.n = static_cast<std::uint32_t>(columns * 8);
    w.k = static_cast<std::uint32_t>(k);
    w.group = static_cast<std::uint32_t>(k / groups);
    if (w.k % 2 != 0) return malformed_weights("an odd number of inputs", qweight->name);
    TENPAK_ASSIGN(const std::vector<float> scales, read_scales(source, module + ".scales", groups, w.n));
    w.scales = transposed_floats(scales, groups, w.n);
    TENPAK_ASSIGN(const auto words, read_words(source, *qweight));
    TENPAK_ASSIGN(const auto zero_words, read_words(source, *qzeros));
    w.codes.resize(std::size_t{w.n} * (w.k / 2));
    w.zeros.resize(std::size_t{w.n} * groups);
    for (std::size_t begin = 0; begin < w.n; begin += kAwqRows) {
        const std::size_t end = std::min<std::size_t>(w.n, begin + kAwqRows);
        for (std::size_t c = 0; c < k; c += 2) {
            for (std::size_t row = begin; row < end; ++row) {
                const std::uint32_t even = words[c * columns + row / 8] >> awq_shift(row) & 15u, odd = words[(c + 1) * columns + row / 8] >> awq_shift(row) & 15u;
                w.codes[(row * k + c) / 2] = static_cast<std::uint8_t>(even | odd << 4);
            }
        }
    }
    for (std::size_t row = 0; row < w.n; ++row) {
        for (std::size_t g = 0; g < groups; ++g) w.zeros[row * groups + g] = zero_words[g * columns + row / 8] >> awq_shift(row) & 15u;
    }
    w.symmetric = std::all_of(w.zeros.begin(), w.zeros.end(), [](std::uint8_t z) { return z == 8; });
    return w;
}

}  // namespace

Overrides import_autoawq(const ModelSource& source, const Json& q, const std::string& where, const JobContext& ctx) {
    TENPAK_ASSIGN(const unsigned bits, json_get<unsigned>(q, "bits", where));
    if (bits != 4) return unsupported_scheme("AWQ of " + std::to_string(bits) + " bits", where);
    // AutoAWQ writes "version", GPTQModel "format" or "checkpoint_format".
    for (const char* key : {"version", "format", "checkpoint_format"}) {
        const Json version = optional_key(q, key);
        if (version.is_null() || version == Json("gemm") || version == Json("GEMM") || version == Json("awq")) continue;
        return unsupported_scheme("AWQ " + std::string(key) + " " + version.dump() + " (only gemm)", where);
    }
    return import_modules(source, ".qweight", where, ctx, [&](const std::string& module) { return read_module(source, module); });
}

}  // namespace tenpak::quant
