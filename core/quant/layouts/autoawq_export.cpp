// SPDX-License-Identifier: Apache-2.0
// AutoAWQ's "GEMM" version (optimizer.md 4.1): qweight int32 [K, N/8], qzeros int32 [K/g, N/8], scales fp16 [K/g, N];
// w[n][k] = (q - z) * s. Words hold eight neighbouring outputs in kAwqOrder.
#include "core/quant/layouts/autoawq.h"

#include <algorithm>

#include "core/quant/layouts/int8_form.h"
#include "core/quant/layouts/integer_groups.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

Status plan_linear(const std::string& module, const LinearWeight& w, std::uint32_t common, Plan& plan) {
    const std::string name = module + ".weight";
    if (w.format != WeightFormat::kInt4Group || !w.group_index.empty()) {
        const std::string what = w.format == WeightFormat::kInt4Group ? "weights with a group index" : std::string(weight_format_name(w.format)) + " weights";
        return make_error(ErrorCode::kUnsupported, "AutoAWQ files hold 4-bit groups, not " + what, name, "--layout compressed-tensors holds them");
    }
    if (w.n % 8 != 0) return make_error(ErrorCode::kUnsupported, "AutoAWQ packs eight outputs to a word, but there are " + std::to_string(w.n), name, "--layout compressed-tensors holds them");
    const std::uint32_t repeat = repeat_of(w, common), groups = w.k / group_of(w);
    plan.push_back({module + ".qweight", DType::kI32, {w.k, w.n / 8}, [&w]() -> Result<Bytes> {
        const std::size_t columns = w.n / 8;
        std::vector<std::uint32_t> words(w.k * columns);
        for (std::size_t begin = 0; begin < w.n; begin += kAwqRows) {
            const std::size_t end = std::min<std::size_t>(w.n, begin + kAwqRows);
            for (std::size_t c = 0; c < w.k; ++c) {
                for (std::size_t row = begin; row < end; ++row) words[c * columns + row / 8] |= nibble_at(w.codes, row * w.k + c) << awq_shift(row);
            }
        }
        return raw_bytes(words);
    }});
    plan.push_back({module + ".qzeros", DType::kI32, {std::uint64_t{groups} * repeat, w.n / 8}, [&w, groups, repeat]() -> Result<Bytes> {
        std::vector<std::uint32_t> words(std::size_t{groups} * repeat * (w.n / 8));
        for (std::size_t row = 0; row < w.n; ++row) {
            for (std::size_t g = 0; g < std::size_t{groups} * repeat; ++g) words[g * (w.n / 8) + row / 8] |= std::uint32_t{w.zeros[row * groups + g / repeat]} << awq_shift(row);
        }
        return raw_bytes(words);
    }});
    return plan_fp16_scales(module, w, repeat, plan);
}

}  // namespace

Status export_autoawq(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model, const fs::path& out,
                      const JobContext& ctx) {
    LayoutWriter writer;
    writer.name = "AutoAWQ";
    std::uint32_t common = 0;
    if (!model.weights.linears.empty()) {
        TENPAK_ASSIGN(common, common_group(model, writer.name));
    }
    writer.linear = [common](const std::string& module, const LinearWeight& w, DType, Plan& plan) { return plan_linear(module, w, common, plan); };
    writer.quantization_config = {{"quant_method", "awq"}, {"bits", 4}, {"group_size", common == 0 ? -1 : static_cast<int>(common)},
                                  {"zero_point", true}, {"version", "gemm"}, {"modules_to_not_convert", nullptr}};
    return write_model(source, side_files, model, writer, out, ctx);
}

}  // namespace tenpak::quant
