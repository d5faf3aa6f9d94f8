// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <limits>

#include "core/model/weight_loader.h"
#include "core/quant/layouts/import_tensors.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

struct Scheme {
    unsigned bits = 4;
    bool v2 = false;
    std::uint32_t group = 0;  ///< 0: a row
};

Result<Scheme> parse_scheme(const Json& q, const std::string& where) {
    Scheme s;
    TENPAK_ASSIGN(s.bits, json_get<unsigned>(q, "bits", where));
    if (s.bits != 2 && s.bits != 3 && s.bits != 4 && s.bits != 8) return unsupported_scheme("GPTQ of " + std::to_string(s.bits) + " bits", where);
    TENPAK_ASSIGN(const std::int64_t group, json_get<std::int64_t>(q, "group_size", where));
    if (group == 0 || group < -1 || group > std::numeric_limits<std::int32_t>::max()) return malformed_weights("an impossible group size", where);
    s.group = group == -1 ? 0 : static_cast<std::uint32_t>(group);
    for (const char* key : {"checkpoint_format", "format"}) {
        const Json format = optional_key(q, key);
        if (format == Json("gptq_v2")) s.v2 = true;
        if (!format.is_null() && format != Json("gptq") && format != Json("gptq_v2")) return unsupported_scheme("GPTQ format " + format.dump(), where);
    }
    const Json pack = optional_key(q, "pack_dtype");
    if (!pack.is_null() && pack != Json("int32")) return unsupported_scheme("GPTQ packed in " + pack.dump(), where);
    const Json dynamic = optional_key(q, "dynamic");
    if (dynamic.is_object()) {  // "-:pattern" names modules that are not quantized: they have no qweight
        for (const auto& [pattern, change] : dynamic.items()) {
            if (!pattern.starts_with("-:")) return unsupported_scheme("GPTQ with other settings for some modules (\"dynamic\")", where);
        }
    }
    return s;
}

// Value i of a column of `bits`-bit values that fill little-endian words without holes; `stride` words lie between two.
unsigned bit_field(const std::uint32_t* words, std::size_t stride, std::size_t i, unsigned bits) {
    const std::size_t bit = i * bits, at = bit / 32;
    const auto shift = static_cast<unsigned>(bit % 32);
    std::uint64_t pair = words[at * stride];
    if (shift + bits > 32) pair |= std::uint64_t{words[(at + 1) * stride]} << 32;
    return static_cast<unsigned>(pair >> shift) & ((1u << bits) - 1);
}

// [n][groups]. Format "gptq" stores zero points less one; the subtraction was done on whole words, so that its addition
// brings back a zero point of 0, too, whose neighbours lent to it.
std::vector<unsigned> read_zeros(std::vector<std::uint32_t> words, std::size_t groups, std::size_t n, const Scheme& s) {
    const std::size_t columns = words.size() / groups;
    std::vector<unsigned> zeros(n * groups);
    const std::uint32_t ones = s.bits == 2 ? 0x55555555u : s.bits == 4 ? 0x11111111u : 0x01010101u;
    if (!s.v2 && s.bits != 3) {
        for (std::uint32_t& w : words) w += ones;
    }
    for (std::size_t g = 0; g < groups; ++g) {
        for (std::size_t row = 0; row < n; ++row) {
            unsigned z = bit_field(words.data() + g * columns, 1, row, s.bits);
            if (!s.v2 && s.bits == 3) z = (z + 1) & 7u;
            zeros[row * groups + g] = z;
        }
    }
    return zeros;
}

// 8-bit weights have no zero points here: each must be what its code less its zero point is.
Status set_int8(const std::vector<std::uint32_t>& words, const std::vector<unsigned>& zeros, LinearWeight& w, const std::string& name) {
    w.codes.resize(words.size() * 4);
    std::memcpy(w.codes.data(), words.data(), w.codes.size());
    const std::size_t groups = w.k / w.group;
    for (std::size_t row = 0; row < w.n; ++row) {
        for (std::size_t c = 0; c < w.k; ++c) {
            const std::size_t g = w.group_index.empty() ? c / w.group : w.group_index[c];
            if (g >= groups) return malformed_weights("a group index is above " + std::to_string(groups - 1), name);
            const int value = static_cast<int>(w.codes[row * w.k + c]) - static_cast<int>(zeros[row * groups + g]);
            if (value < -128 || value > 127) return unsupported_scheme("8-bit GPTQ with zero points that do not fit signed codes", name);
            w.codes[row * w.k + c] = static_cast<std::uint8_t>(static_cast<std::int8_t>(value));
        }
    }
    return {};
}

Result<LinearWeight> read_module(const ModelSource& source, const std::string& module, const Scheme& s) {
    TENPAK_ASSIGN(const TensorInfo* qweight, require_tensor(source, module + ".qweight", DType::kI32, 2));
    TENPAK_ASSIGN(const TensorInfo* qzeros, require_tensor(source, module + ".qzeros", DType::kI32, 2));
    const std::uint64_t rows = qweight->shape[0], n = qweight->shape[1], groups = qzeros->shape[0];
    TENPAK_RETURN_IF_ERROR(check_sizes(n, rows, qweight->name));
    const std::uint64_t k = rows * 32 / s.bits;
    TENPAK_RETURN_IF_ERROR(check_sizes(n, k, qweight->name));
    if (rows * 32 % s.bits != 0 || (s.bits == 3 && k % 32 != 0)) return malformed_weights("the weight is not a whole number of words", qweight->name);
    if (n * s.bits % 32 != 0 || qzeros->shape[1] != n * s.bits / 32 || groups == 0 || groups != (s.group == 0 ? 1 : (k + s.group - 1) / s.group)) {
        return malformed_weights("the zero points do not fit the weight", qzeros->name);
    }
    if (k % groups != 0 || (s.group != 0 && k % s.group != 0)) return unsupported_scheme("groups of " + std::to_string(s.group) + " in rows of " + std::to_string(k), module);
    LinearWeight w;
    w.format = s.bits == 8 ? WeightFormat::kInt8Group : WeightFormat::kInt4Group;
    w.n = static_cast<std::uint32_t>(n);
    w.k = static_cast<std::uint32_t>(k);
    w.group = static_cast<std::uint32_t>(k / groups);
    TENPAK_ASSIGN(const std::vector<float> scales, read_scales(source, module + ".scales", groups, n));
    w.scales = transposed_floats(scales, groups, n);
    TENPAK_RETURN_IF_ERROR(read_group_index(source, module + ".g_idx", w));
    TENPAK_ASSIGN(const auto words, read_words(source, *qweight));
    TENPAK_ASSIGN(auto zero_words, read_words(source, *qzeros));
    const std::vector<unsigned> zeros = read_zeros(std::move(zero_words), groups, n, s);
    if (s.bits == 8) {
        TENPAK_RETURN_IF_ERROR(set_int8(model::transposed(words, rows, n), zeros, w, module));
        return w;
    }
    w.zeros.assign(zeros.begin(), zeros.end());
    w.symmetric = s.bits == 4 && std::all_of(w.zeros.begin(), w.zeros.end(), [](std::uint8_t z) { return z == 8; });
    if (s.bits == 4) {  // a word of the file is four bytes of a row of codes
        const auto columns = model::transposed(words, rows, n);
        w.codes.resize(columns.size() * 4);
        std::memcpy(w.codes.data(), columns.data(), w.codes.size());
        return w;
    }
    w.codes.resize(std::size_t{w.n} * (w.k / 2));
    for (std::size_t row = 0; row < n; ++row) {
        for (std::size_t c = 0; c < k; c += 2) {
            const unsigned even = bit_field(words.data() + row, n, c, s.bits), odd = bit_field(words.data() + row, n, c + 1, s.bits);
            w.codes[(row * k + c) / 2] = static_cast<std::uint8_t>(even | odd << 4);
        }
    }
    return w;
}

}  // namespace

Overrides import_gptq(const ModelSource& source, const Json& q, const std::string& where, const JobContext& ctx) {
    TENPAK_ASSIGN(const Scheme s, parse_scheme(q, where));
    return import_modules(source, ".qweight", where, ctx, [&](const std::string& module) { return read_module(source, module, s); });
}

}  // namespace tenpak::quant
