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

float largest(const float* row, std::size_t n) {
    float top = 0;
    for (std::size_t c = 0; c < n; ++c) {
        const float a = std::fabs(row[c]);
        top = a > top ? a : top;
    }
    return top;
}

}  // namespace

void PreparedRows::prepare(const Panels& w, std::uint32_t tokens, bool whole) {
    require(rows_, std::size_t{tokens} * w.columns);
    whole_ = whole;
    begin_.clear();
    if (w.format == WeightFormat::kFp8Channel) require(scales_, tokens);
    if (w.outlier_threshold > 0) begin_.assign(std::size_t{tokens} + 1, 0);
}

void PreparedRows::row(const Kernels& kernels, const Panels& w, const float* x, std::size_t token) {
    const float* from = x + token * w.columns;
    float* to = rows_.data() + token * w.columns;
    if (w.format == WeightFormat::kFp8Channel) {
        scales_.data()[token] = kernels.to_e4m3(from, w.columns, whole_, to);
    } else if (w.outlier_threshold > 0) {
        std::size_t count = 0;
        for (std::size_t c = 0; c < w.columns; ++c) {
            const bool out = std::fabs(from[c]) >= w.outlier_threshold;
            to[c] = out ? 0.0f : from[c];
            count += out;
        }
        begin_[token + 1] = count;
    } else {
        for (std::size_t c = 0; c < w.columns; ++c) to[c] = from[w.order[c]];
    }
}

void PreparedRows::finish(const Panels& w, const float* x, std::uint32_t tokens) {
    if (begin_.empty()) return;
    for (std::size_t t = 0; t < tokens; ++t) begin_[t + 1] += begin_[t];
    columns_.resize(begin_[tokens]);
    values_.resize(begin_[tokens]);
    for (std::size_t t = 0; t < tokens; ++t) {
        const float* row = x + t * w.columns;
        std::size_t at = begin_[t];
        for (std::size_t c = 0; at < begin_[t + 1]; ++c) {
            if (!(std::fabs(row[c]) >= w.outlier_threshold)) continue;
            columns_[at] = static_cast<std::uint32_t>(c);
            values_[at++] = row[c];
        }
    }
    outliers_ = {begin_.data(), columns_.data(), values_.data()};
}

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
    const float top = largest(row, w.columns);
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
