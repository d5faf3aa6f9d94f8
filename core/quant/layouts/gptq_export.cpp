// SPDX-License-Identifier: Apache-2.0
// GPTQ files (optimizer.md 4.2): qweight int32 [K*b/32, N] packed along the inputs, qzeros int32 [K/g, N*b/32], scales fp16
// [K/g, N], g_idx int32 [K]; w[n][k] = (q - z) * s. checkpoint_format "gptq" stores z - 1, "gptq_v2" stores z.
#include <algorithm>
#include <cstring>

#include "core/quant/layouts/int8_form.h"
#include "core/quant/layouts/integer_groups.h"
#include "core/quant/layouts/layout_functions.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

unsigned bits_of(const LinearWeight& w) { return w.format == WeightFormat::kInt4Group ? 4 : 8; }

// A word of a row of codes lies as the file wants it: eight nibbles or four bytes (made unsigned), the first column lowest.
Bytes qweight(const LinearWeight& w) {
    if (has_int8_form(w.format)) return qweight(as_int8_group(w));
    std::vector<std::uint32_t> words(w.codes.size() / 4);
    std::memcpy(words.data(), w.codes.data(), w.codes.size());
    if (bits_of(w) == 8) {
        for (std::uint32_t& word : words) word ^= 0x80808080u;
    }
    return transposed_words(words, w.n, words.size() / w.n);
}

Bytes qzeros(const LinearWeight& w, std::uint32_t repeat, bool v2) {
    const unsigned bits = bits_of(w), per = 32 / bits;
    const std::size_t groups = w.k / group_of(w), columns = w.n / per;
    std::vector<std::uint32_t> words(groups * repeat * columns);
    for (std::size_t row = 0; row < w.n; ++row) {
        for (std::size_t g = 0; g < groups * repeat; ++g) {
            const std::uint32_t zero = bits == 8 ? 128u : w.zeros[row * groups + g / repeat];
            words[g * columns + row / per] |= (v2 ? zero : zero - 1) << (row % per * bits);
        }
    }
    return raw_bytes(words);
}

std::vector<std::uint32_t> group_indices(const LinearWeight& w, std::uint32_t repeat) {
    if (!w.group_index.empty()) return split_group_index(w, repeat);
    std::vector<std::uint32_t> out(w.k);
    for (std::uint32_t c = 0; c < w.k; ++c) out[c] = c / (group_of(w) / repeat);
    return out;
}

// Format "gptq" has no zero point of 0. A group with one (all weights 0, say) whose largest code is below 15 has the same values
// with codes and zero point one higher. False where a code is 15.
bool raise_zeros(LinearWeight& w) {
    const std::size_t groups = w.k / group_of(w);
    for (std::size_t i = 0; i < w.codes.size() * 2; ++i) {
        const std::size_t row = i / w.k, c = i % w.k;
        const std::size_t g = row * groups + (w.group_index.empty() ? c / group_of(w) : w.group_index[c]);
        if (w.zeros[g] != 0) continue;
        if (nibble_at(w.codes, i) == 15) return false;
        w.codes[i / 2] = static_cast<std::uint8_t>(w.codes[i / 2] + (1u << (i % 2 * 4)));
    }
    for (std::uint8_t& z : w.zeros) z = std::max<std::uint8_t>(z, 1);
    return true;
}
bool has_zero_of_0(const LinearWeight& w) { return std::find(w.zeros.begin(), w.zeros.end(), 0) != w.zeros.end(); }
LinearWeight raised(LinearWeight w) {
    raise_zeros(w);
    return w;
}

Status plan_linear(const std::string& module, const LinearWeight& w, std::uint32_t common, unsigned bits, bool v2, Plan& plan) {
    const std::string name = module + ".weight";
    const auto refuse = [&](const std::string& why, const std::string& hint = "--layout compressed-tensors holds them") {
        return make_error(ErrorCode::kUnsupported, why, name, hint);
    };
    if (w.format != WeightFormat::kInt4Group && w.format != WeightFormat::kInt8Group && !has_int8_form(w.format)) {
        return refuse(std::string("GPTQ files hold 4- and 8-bit groups, not ") + weight_format_name(w.format) + " weights");
    }
    if (bits_of(w) != bits) return refuse("GPTQ files have one number of bits for all linears, but this one has " + std::to_string(bits_of(w)) + " and others " + std::to_string(bits));
    const unsigned per = 32 / bits;
    if (w.n % per != 0 || w.k % per != 0) {
        return refuse("GPTQ packs " + std::to_string(per) + " weights to a word, which a weight of " + std::to_string(w.n) + " x " + std::to_string(w.k) + " is not made of");
    }
    const bool raise = !v2 && bits == 4 && has_zero_of_0(w);
    if (LinearWeight trial; raise && (trial = w, !raise_zeros(trial))) {
        return refuse("a zero point of 0 cannot be stored in checkpoint_format \"gptq\", which stores zero points less one", "--layout gptq_v2 stores them as they are");
    }
    const std::uint32_t repeat = repeat_of(w, common), groups = w.k / group_of(w);
    plan.push_back({module + ".qweight", DType::kI32, {w.k / per, w.n}, [&w, raise]() -> Result<Bytes> { return raise ? qweight(raised(w)) : qweight(w); }});
    plan.push_back({module + ".qzeros", DType::kI32, {std::uint64_t{groups} * repeat, w.n / per}, [&w, repeat, v2, raise]() -> Result<Bytes> { return raise ? qzeros(raised(w), repeat, v2) : qzeros(w, repeat, v2); }});
    plan.push_back({module + ".g_idx", DType::kI32, {w.k}, [&w, repeat]() -> Result<Bytes> { return raw_bytes(group_indices(w, repeat)); }});
    return plan_fp16_scales(module, w, repeat, plan);
}

}  // namespace

Status export_gptq(bool v2, const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                   const fs::path& out, const JobContext& ctx) {
    LayoutWriter writer;
    writer.name = "GPTQ";
    std::uint32_t common = 0;
    bool symmetric = true, reordered = false;
    unsigned bits = 4;
    if (!model.weights.linears.empty()) {
        TENPAK_ASSIGN(common, common_group(model, writer.name));
        bits = bits_of(model.weights.linears.begin()->second);
    }
    for (const auto& [name, w] : model.weights.linears) {
        symmetric = symmetric && (w.format != WeightFormat::kInt4Group || w.symmetric);
        reordered = reordered || !w.group_index.empty();
    }
    writer.linear = [common, bits, v2](const std::string& module, const LinearWeight& w, DType, Plan& plan) { return plan_linear(module, w, common, bits, v2, plan); };
    const char* format = v2 ? "gptq_v2" : "gptq";
    const Json config = {{"quant_method", "gptq"}, {"bits", bits}, {"group_size", common == 0 ? -1 : static_cast<int>(common)},
                         {"desc_act", reordered}, {"sym", symmetric}, {"lm_head", false}, {"checkpoint_format", format}, {"format", format},
                         {"pack_dtype", "int32"}, {"true_sequential", true}, {"meta", {{"quantizer", {std::string("tenpak:") + TENPAK_VERSION}}}}};
    writer.quantization_config = config;
    writer.files.emplace_back("quantize_config.json", config.dump(2) + "\n");  // what readers before transformers 4.32 look for
    return write_model(source, side_files, model, writer, out, ctx);
}

}  // namespace tenpak::quant
