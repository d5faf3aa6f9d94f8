// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/gguf_import.h"

#include <cmath>
#include <cstring>
#include <map>
#include <new>
#include <optional>

#include "core/base/half.h"
#include "core/model/config.h"
#include "core/model/layout.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

float half_at(const std::byte* p) {
    std::uint16_t h;
    std::memcpy(&h, p, 2);
    return fp16_to_float(h);
}

/// Codes of a 32-weight block of nibbles: the low ones are the first half. Ours has even columns in the low nibble.
void put_nibbles(const std::byte* q, std::uint8_t* codes) {
    const auto code = [&](unsigned i) { return i < 16 ? static_cast<unsigned>(q[i]) & 15u : static_cast<unsigned>(q[i - 16]) >> 4; };
    for (unsigned i = 0; i < 32; i += 2) codes[i / 2] = static_cast<std::uint8_t>(code(i) | code(i + 1) << 4);
}

/// Q4_1's minimum as a zero: m is -zero * d, rounded to fp16 as export does; or nothing. Minima that a quantizer chose freely
/// are next to never such products in all blocks of a weight.
std::optional<std::uint8_t> whole_zero(float d, float m) {
    if (d == 0) return m == 0 ? std::optional<std::uint8_t>(8) : std::nullopt;
    const float zero = std::nearbyint(-m / d);
    if (!(zero >= 0 && zero <= 15) || fp16_to_float(float_to_fp16(-zero * d)) != m) return std::nullopt;
    return static_cast<std::uint8_t>(zero);
}

std::uint32_t group_of(GgmlType type) {
    switch (type) {
        case GgmlType::kQ4_0:
        case GgmlType::kQ4_1:
        case GgmlType::kQ8_0: return 32;
        case GgmlType::kQ6_K: return 16;
        default: return 0;
    }
}

LinearWeight empty_weight(const GgufTensor& t) {
    LinearWeight w;
    w.n = static_cast<std::uint32_t>(t.shape[0]);
    w.k = static_cast<std::uint32_t>(t.shape[1]);
    w.group = group_of(t.type);
    const bool int4 = t.type == GgmlType::kQ4_0 || t.type == GgmlType::kQ4_1;
    const std::size_t count = std::size_t{w.n} * w.k;
    w.format = int4 ? WeightFormat::kInt4Group : WeightFormat::kInt8Group;
    w.symmetric = t.type != GgmlType::kQ4_1;
    w.codes.resize(int4 ? count / 2 : count);
    w.scales.resize(count / w.group);
    if (int4) w.zeros.assign(w.scales.size(), 8);
    return w;
}

/// False where a Q4_1 block's minimum is no whole multiple of its scale.
bool unpack_row(GgmlType type, const std::byte* raw, std::size_t row, LinearWeight& w) {
    const std::size_t first = row * w.k, groups = w.k / w.group;
    if (type == GgmlType::kQ6_K) {
        unpack_q6_k(raw, w.k / 256, reinterpret_cast<std::int8_t*>(w.codes.data() + first), w.scales.data() + row * groups);
        return true;
    }
    for (std::size_t g = 0; g < groups; ++g) {
        float& scale = w.scales[row * groups + g];
        if (type == GgmlType::kQ8_0) {
            const std::byte* b = raw + g * 34;
            scale = half_at(b);
            std::memcpy(w.codes.data() + first + g * 32, b + 2, 32);
        } else if (type == GgmlType::kQ4_0) {
            const std::byte* b = raw + g * 18;
            scale = half_at(b);
            put_nibbles(b + 2, w.codes.data() + (first + g * 32) / 2);
        } else {
            const std::byte* b = raw + g * 20;
            scale = half_at(b);  // nan fails below
            const auto zero = whole_zero(scale, half_at(b + 2));
            if (!zero) return false;
            w.zeros[row * groups + g] = *zero;
            put_nibbles(b + 4, w.codes.data() + (first + g * 32) / 2);
        }
    }
    return true;
}

Result<std::optional<LinearWeight>> read_linear(const GgufModel& m, const TensorInfo& info) {
    const GgufTensor& t = m.stored_tensor(info);
    const std::size_t index = m.index_of(info);
    LinearWeight w = empty_weight(t);
    Bytes raw(m.stored_row_bytes(index));
    for (std::uint32_t row = 0; row < w.n; ++row) {
        TENPAK_RETURN_IF_ERROR(m.read_stored_row(index, row, raw));
        if (!unpack_row(t.type, raw.data(), row, w)) return std::optional<LinearWeight>();
    }
    return std::optional(std::move(w));
}

/// Names of the weights that the graph multiplies with: those of layers, and a head of its own.
Result<std::vector<std::string>> linear_names(const ModelSource& source) {
    TENPAK_ASSIGN(const model::ModelConfig config, model::read_config(source));
    std::vector<std::string> names;
    for (std::uint32_t l = 0; l < config.layers; ++l) {
        for (const model::StoredLinear& linear : model::layer_layout(config, l).linears) names.push_back(linear.name);
    }
    const model::ModelLayout outer = model::model_layout(config);
    if (outer.head != outer.embedding) names.push_back(outer.head);
    return names;
}

}  // namespace

Result<compute::WeightOverrides> import_gguf(const GgufModel& m, const JobContext& ctx) {
    try {
        compute::WeightOverrides result;
        TENPAK_ASSIGN(const auto names, linear_names(m));
        for (const std::string& name : names) {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            const TensorInfo* info = m.find(name);
            if (info == nullptr) continue;  // the loader names what is missing
            const GgufTensor& t = m.stored_tensor(*info);
            if (group_of(t.type) == 0 || t.shape.size() != 2) continue;
            TENPAK_ASSIGN(auto w, read_linear(m, *info));
            if (!w) continue;
            TENPAK_RETURN_IF_ERROR(w->validate(name));
            result.linears.emplace(name, std::move(*w));
        }
        return result;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "out of memory while reading quantized weights", m.id());
    }
}

std::vector<std::string> gguf_import_notes(const ModelSource& source, const compute::WeightOverrides& imported) {
    const auto* m = dynamic_cast<const GgufModel*>(&source);
    std::vector<std::string> notes;
    if (m == nullptr) return notes;
    const auto names = linear_names(source);
    if (!names.ok()) return notes;
    std::map<std::string, std::size_t> dense;
    std::size_t six = 0, minima = 0;
    for (const std::string& name : *names) {
        const TensorInfo* info = m->find(name);
        if (info == nullptr) continue;
        const GgmlType type = m->stored_tensor(*info).type;
        const bool packed = imported.linears.contains(name);
        if (packed && type == GgmlType::kQ6_K) ++six;
        if (packed && type == GgmlType::kQ4_1) ++minima;
        if (!packed && ggml_type_info(type).weights > 1) ++dense[ggml_type_info(type).name];
    }
    for (const auto& [type, count] : dense) {
        notes.push_back(std::to_string(count) + " weights in " + type + " run as fp32 here: quality is the file's own, speed and memory are not");
    }
    if (six > 0) notes.push_back(std::to_string(six) + " weights in Q6_K run as 8-bit groups of 16 here: quality is the file's own, speed and memory are not");
    if (minima > 0) notes.push_back(std::to_string(minima) + " weights in Q4_1 run with whole zeros, of which the file has the products with the scales rounded to fp16: less than 1 % of a step");
    for (const TensorInfo& t : m->tensors()) {
        const GgufTensor& stored = m->stored_tensor(t);
        if (stored.name != "token_embd.weight" || ggml_type_info(stored.type).weights == 1) continue;
        notes.push_back(std::string("the embedding in ") + ggml_type_info(stored.type).name + " runs as fp32 here: memory is more than the file's own");
    }
    return notes;
}

}  // namespace tenpak::quant
