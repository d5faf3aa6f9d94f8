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

Int8Rows Int8Quantizer::quantize(const Panels& w, const float* x, std::uint32_t tokens) {
    std::int8_t* codes = require(codes_, std::size_t{tokens} * w.padded);
    float* scales = require(scales_, tokens);
    for (std::size_t t = 0; t < tokens; ++t) {
        const float* row = x + t * w.columns;
        float top = 0;
        for (std::size_t c = 0; c < w.columns; ++c) top = std::max(top, std::fabs(row[c]));
        const float scale = top / 127.0f, inverse = top > 0 ? 127.0f / top : 0.0f;
        std::int8_t* to = codes + t * w.padded;
        // Adding 1.5 * 2^23 rounds half to even; |x * inverse| <= 127 up to rounding.
        for (std::size_t c = 0; c < w.columns; ++c) {
            const float r = (row[c] * inverse + 12582912.0f) - 12582912.0f;
            to[c] = static_cast<std::int8_t>(static_cast<std::int32_t>(r));
        }
        std::memset(to + w.columns, 0, w.padded - w.columns);
        scales[t] = scale;
    }
    return {codes, scales, w.padded};
}

}  // namespace tenpak::compute::cpu
