// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cpu/activations.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

namespace tenpak::compute::cpu {
namespace {

template <class T>
T* require(AlignedBuffer<T>& buffer, std::size_t count) {
    if (!buffer.resize(count)) throw std::bad_alloc();
    return buffer.data();
}

}  // namespace

const float* PaddedRows::prepare(const Panels& w, const float* x, std::uint32_t tokens) {
    if (w.padded == w.columns) return x;
    float* rows = require(rows_, std::size_t{tokens} * w.padded);
    const std::size_t group = w.grouped() ? w.group : w.columns, stride = w.grouped() ? w.group_padded : w.padded;
    for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t g = 0; g < w.groups; ++g) {
            float* to = rows + t * w.padded + g * stride;
            std::memcpy(to, x + t * w.columns + g * group, group * sizeof(float));
            std::fill(to + group, to + stride, 0.0f);
        }
    }
    return rows;
}

float* InterleavedRows::prepare(const Panels& w, std::uint32_t tokens, std::uint32_t block) {
    return require(rows_, std::size_t{(tokens + block - 1) / block * block} * w.padded);
}

void InterleavedRows::fill(const Panels& w, const float* x, std::uint32_t tokens, std::uint32_t token, std::uint32_t block) {
    float* to = rows_.data() + std::size_t{token} * w.padded;
    const std::size_t group = w.grouped() ? w.group : w.columns, stride = w.grouped() ? w.group_padded : w.padded;
    std::fill(to, to + std::size_t{block} * w.padded, 0.0f);
    for (std::size_t t = 0; t < std::min<std::size_t>(block, tokens - token); ++t) {
        const float* row = x + (token + t) * w.columns;
        for (std::size_t g = 0; g < w.groups; ++g) {
            for (std::size_t c = 0; c < group; ++c) to[(g * stride + c) * block + t] = row[g * group + c];
        }
    }
}

Int8Rows Int8Quantizer::prepare(const Panels& w, std::uint32_t tokens) {
    const std::int8_t* codes = require(codes_, std::size_t{tokens} * w.padded);
    return {codes, require(scales_, tokens), w.padded};
}

void Int8Quantizer::row(const Panels& w, const float* x, std::size_t token) {
    const float* row = x + token * w.columns;
    float top = 0;
    for (std::size_t c = 0; c < w.columns; ++c) {
        const float a = std::fabs(row[c]);
        top = a > top ? a : top;
    }
    const float inverse = top > 0 ? 127.0f / top : 0.0f;
    std::int8_t* to = codes_.data() + token * w.padded;
    // Adding 1.5 * 2^23 rounds half to even; |x * inverse| <= 127 up to rounding.
    for (std::size_t c = 0; c < w.columns; ++c) {
        const float r = (row[c] * inverse + 12582912.0f) - 12582912.0f;
        to[c] = static_cast<std::int8_t>(static_cast<std::int32_t>(r));
    }
    std::memset(to + w.columns, 0, w.padded - w.columns);
    scales_.data()[token] = top / 127.0f;
}

IntegerBlocks IntegerPacker::prepare(const Panels& w, std::uint32_t tokens, unsigned parts) {
    const std::size_t groups = std::size_t{tokens} * w.groups;
    return {require(codes_, std::size_t{tokens} * w.padded * parts), require(scales_, groups), require(offsets_, groups * parts), tokens};
}

void IntegerPacker::fill(const Kernels& kernels, const Panels& w, const float* x, std::uint32_t tokens, unsigned parts, std::size_t block) {
    const std::size_t token = block * kTokenBlock;
    const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(kTokenBlock, tokens - token));
    kernels.pack_integers(w, x + token * w.columns, count, parts, codes_.data() + token * w.padded * parts, scales_.data() + token * w.groups,
                          offsets_.data() + token * w.groups * parts);
}

Bf16Blocks Bf16Packer::prepare(const Panels& w, std::uint32_t tokens) { return {require(values_, std::size_t{tokens} * w.padded), tokens}; }

void Bf16Packer::fill(const Kernels& kernels, const Panels& w, const float* x, std::uint32_t tokens, std::size_t block) {
    const std::size_t token = block * kTokenBlock;
    kernels.pack_bf16(w, x + token * w.columns, static_cast<std::uint32_t>(std::min<std::size_t>(kTokenBlock, tokens - token)), values_.data() + token * w.padded);
}

}  // namespace tenpak::compute::cpu
