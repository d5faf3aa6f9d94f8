// SPDX-License-Identifier: Apache-2.0
// What happens to one token's row between two products, in one pass: residual addition, normalization or gated activation, and
// the conversion to the operand of the next product. Then the element-wise operations and the rotation.
#pragma once
#include "core/compute/cuda/layout.h"

namespace tenpak::compute::gpu {

TENPAK_HOST_DEVICE u32 row_threads(u32 dim) { return dim <= 512 ? 128u : dim <= 2048 ? 256u : 512u; }

enum Norm : u32 { kNormNone = 0, kNormRms = 1, kNormLayer = 2 };
/// What the next product wants: tiles of layout.h, or rows of 16 bit for the dense library.
enum Operand : u32 { kOperandNone = 0, kOperandFp16Tiles = 1, kOperandInt8Tiles = 2, kOperandBf16Rows = 3, kOperandFp16Rows = 4, kOperandFp8Tiles = 5, kOperandFp8Rows = 6 };
/// fp8: values of e4m3, kept as fp16 (every one is exact). GPUs from compute capability 8.9 on could multiply bytes of e4m3 themselves.
TENPAK_HOST_DEVICE bool is_fp8(u32 operand) { return operand == kOperandFp8Tiles || operand == kOperandFp8Rows; }
TENPAK_HOST_DEVICE bool is_tiles(u32 operand) { return operand == kOperandFp16Tiles || operand == kOperandInt8Tiles || operand == kOperandFp8Tiles; }
enum Activation : u32 { kActivationNone = 0, kSilu = 1, kGeluTanh = 2, kGeluErf = 3 };

TENPAK_HOST_DEVICE float activate(u32 kind, float x) {
    constexpr float kSqrt2OverPi = 0.7978845608028654f, kSqrtHalf = 0.7071067811865476f;
    if (kind == kSilu) return x / (1.0f + expf(-x));
    if (kind == kGeluTanh) return 0.5f * x * (1.0f + tanhf(kSqrt2OverPi * (x + 0.044715f * x * x * x)));
    if (kind == kGeluErf) return 0.5f * x * (1.0f + erff(x * kSqrtHalf));
    return x;
}

struct RowArgs {
    const float* x;        ///< [tokens][dim]
    const float* gate_of;  ///< not null: v = act(x) * gate_of
    u32 activation;
    float* sum;            ///< not null: v = x + sum, written back to sum (the residual)
    u32 norm, add_one;
    const float* weight;
    const float* bias;
    float eps;
    float* out;            ///< null: only the operand is wanted
    u32 tokens, dim;
    u32 operand;
    void* operand_out;
    float* token_scales;
    u32 blocks, token_tiles;  ///< tiles
    u32 stride;               ///< rows of 16 bit: columns behind dim become 0
    const u32* columns;       ///< not null: the operand's columns are these (commands.h)
    float threshold;          ///< int8 tiles: values of this magnitude and more become 0 in them, their places go to `outliers`; 0: none
    u32* outliers;            ///< linear.h outlier_words
    u32 cache;                ///< the row fits in shared memory
};

/// A power of two that brings `top` to [2^10, 2^11): fp16 then has room below and the product's sum above.
TENPAK_HOST_DEVICE float fp16_row_scale(float top) {
    if (!(top > 1e-30f)) return 1.0f;
    const int exponent = static_cast<int>(bits_of_float(top) >> 23 & 0xffu) - 127 - 10;
    return float_of_bits(static_cast<u32>(127 + exponent) << 23);
}

template <class Block, class Op>
TENPAK_HOST_DEVICE float reduce_block(const Block& block, float* scratch, float* values, Op op) {
    block.sync();  // scratch may still be read
    block.each_thread([&](u32 thread, u32 i) { scratch[thread] = values[i]; });
    for (u32 step = block.threads / 2; step > 0; step /= 2) {
        block.sync();
        block.each_thread([&](u32 thread, u32) {
            if (thread < step) scratch[thread] = op(scratch[thread], scratch[thread + step]);
        });
    }
    block.sync();
    return scratch[0];
}
TENPAK_HOST_DEVICE u32 row_shared_bytes(u32 dim, bool cache) { return (row_threads(dim) + (cache ? dim : 0)) * 4; }

/// Grid: tokens, for tiles rounded up to whole tiles. row_threads(dim) threads.
template <class Block>
TENPAK_HOST_DEVICE void row_body(const Block& block, const RowArgs& a) {
    block.start_successor();
    block.wait_predecessor();
    const u32 token = block.x;
    const std::size_t base = static_cast<std::size_t>(token) * a.dim;
    float* const scratch = reinterpret_cast<float*>(block.shared);
    float* const row = a.cache != 0 ? scratch + block.threads : a.out == nullptr ? nullptr : a.out + base;
    const bool there = token < a.tokens;
    float partial[Block::kThreadCopies];
    const auto add = [](float x, float y) { return x + y; };
    const auto value = [&](u32 c) -> float {
        float v = a.x[base + c];
        if (a.gate_of != nullptr) v = activate(a.activation, v) * a.gate_of[base + c];
        return v;
    };
    float top = 0;
    if (there) {
        // A row that is neither cached nor written is computed anew wherever it is needed (an operand of a plain row).
        float mean = 0, inverse = 1;
        block.each_thread([&](u32 thread, u32 i) {
            float s = 0;
            for (u32 c = thread; c < a.dim; c += block.threads) {
                float v = value(c);
                if (a.sum != nullptr) {
                    v += a.sum[base + c];
                    a.sum[base + c] = v;
                }
                if (row != nullptr) row[c] = v;
                s += a.norm == kNormRms ? v * v : v;
            }
            partial[i] = s;
        });
        if (a.norm == kNormRms) {
            inverse = 1.0f / sqrtf(reduce_block(block, scratch, partial, add) / static_cast<float>(a.dim) + a.eps);
        } else if (a.norm == kNormLayer) {
            mean = reduce_block(block, scratch, partial, add) / static_cast<float>(a.dim);
            block.each_thread([&](u32 thread, u32 i) {
                float s = 0;
                for (u32 c = thread; c < a.dim; c += block.threads) {
                    const float d = row[c] - mean;
                    s += d * d;
                }
                partial[i] = s;
            });
            inverse = 1.0f / sqrtf(reduce_block(block, scratch, partial, add) / static_cast<float>(a.dim) + a.eps);
        }
        block.each_thread([&](u32 thread, u32 i) {
            float m = 0;
            for (u32 c = thread; c < a.dim; c += block.threads) {
                float v = row != nullptr ? row[c] : value(c);
                if (a.norm != kNormNone) {
                    const float w = a.weight == nullptr ? 1.0f : a.add_one != 0 ? 1.0f + a.weight[c] : a.weight[c];
                    v = (v - mean) * inverse * w;
                    if (a.bias != nullptr) v += a.bias[c];
                }
                if (row != nullptr) row[c] = v;
                if (a.out != nullptr) a.out[base + c] = v;
                const float magnitude = v < 0 ? -v : v;
                if (!(a.threshold > 0 && magnitude >= a.threshold)) m = max_of(m, magnitude);
            }
            partial[i] = m;
        });
        if (a.operand != kOperandNone && a.operand != kOperandBf16Rows)
            top = reduce_block(block, scratch, partial, [](float x, float y) { return max_of(x, y); });
    }
    if (a.operand == kOperandNone) return;
    const float most = a.operand == kOperandInt8Tiles ? 127.0f : is_fp8(a.operand) ? 448.0f : 0.0f;  // 0: scaled by a power of two, exactly
    const float scale = most > 0 ? top / most : fp16_row_scale(top);
    const float factor = most > 0 ? (top > 0 ? most / top : 0.0f) : 1.0f / scale;
    block.each_thread([&](u32 thread, u32) {
        if (there && thread == 0 && a.token_scales != nullptr) a.token_scales[token] = scale;
        const auto here = [&](u32 c) -> float { return row != nullptr ? row[c] : value(c); };
        const auto at = [&](u32 c) -> float {
            if (a.columns != nullptr) c = a.columns[c];
            return !there || c >= a.dim ? 0.0f : here(c);
        };
        if (there && a.threshold > 0) {
            const OutlierWords words = outlier_words(a.dim);
            u32* const to = a.outliers + static_cast<std::size_t>(token) * words.all() + words.summary;
            for (u32 w = thread; w < words.columns; w += block.threads) {
                u32 bits = 0;
                for (u32 j = 0; j < 32; ++j) {
                    const u32 bit = (j + thread) % 32, c = w * 32 + bit;  // neighbours begin in different banks
                    if (c >= a.dim) continue;
                    const float v = here(c);
                    if ((v < 0 ? -v : v) >= a.threshold) bits |= 1u << bit;
                }
                to[w] = bits;
            }
        }
        if (!is_tiles(a.operand)) {
            if (!there) return;
            u16* const to = static_cast<u16*>(a.operand_out) + static_cast<std::size_t>(token) * a.stride;
            for (u32 c = thread; c < a.stride; c += block.threads) 
                to[c] = a.operand == kOperandBf16Rows ? to_bf16(at(c)) : to_fp16(is_fp8(a.operand) ? round_to_e4m3(at(c) * factor) : at(c) * factor);
            return;
        }
        for (u32 c = thread; c < a.blocks * kColumnBlock; c += block.threads) {
            const u32 tile = c / kColumnBlock * a.token_tiles + token / kTokenTile;
            float v = at(c);
            if (a.operand != kOperandInt8Tiles) {
                v = is_fp8(a.operand) ? round_to_e4m3(v * factor) : v * factor;
                static_cast<u16*>(a.operand_out)[static_cast<std::size_t>(tile) * 512 + fp16_place(token % kTokenTile, c % kColumnBlock)] = to_fp16(v);
            } else {
                if (a.threshold > 0 && (v < 0 ? -v : v) >= a.threshold) v = 0;
                const int q = static_cast<int>(rintf(v * factor));
                static_cast<u8*>(a.operand_out)[static_cast<std::size_t>(tile) * 512 + int8_place(token % kTokenTile, c % kColumnBlock)] = static_cast<u8>(q & 255);
            }
        }
    });
    if (!there || !(a.threshold > 0)) return;
    block.sync();
    const OutlierWords words = outlier_words(a.dim);
    block.each_thread([&](u32 thread, u32) {
        u32* const summary = a.outliers + static_cast<std::size_t>(token) * words.all();
        for (u32 s = thread; s < words.summary; s += block.threads) {
            u32 bits = 0;
            for (u32 j = 0; j < 32 && s * 32 + j < words.columns; ++j) bits |= (summary[words.summary + s * 32 + j] != 0 ? 1u : 0u) << j;
            summary[s] = bits;
        }
    });
}

// ---- one element a thread ------------------------------------------------------------------------------------------

enum Elementwise : u32 { kElementAdd = 1, kElementActivation = 2, kElementActivationMul = 3, kElementScale = 4, kElementSoftcap = 5, kElementEpilogue = 6 };
struct ElementArgs {
    u32 operation, kind;
    float* out;
    const float* x;
    const float* y;
    float factor;
    std::uint64_t size;
    // kElementEpilogue: out[tokens][n] *= row_scales[n] * token_scales[token], + bias[n]; null: none
    u32 n;
    const float* row_scales;
    const float* token_scales;
    const float* bias;
};
TENPAK_HOST_DEVICE void element(const ElementArgs& a, std::uint64_t i) {
    switch (a.operation) {
        case kElementAdd: a.out[i] += a.x[i]; break;
        case kElementActivation: a.out[i] = activate(a.kind, a.x[i]); break;
        case kElementActivationMul: a.out[i] = activate(a.kind, a.x[i]) * a.y[i]; break;
        case kElementScale: a.out[i] *= a.factor; break;
        case kElementSoftcap: a.out[i] = a.factor * tanhf(a.out[i] / a.factor); break;
        case kElementEpilogue: {
            const std::uint64_t token = i / a.n, row = i % a.n;
            float v = a.out[i];
            if (a.row_scales != nullptr) v *= a.row_scales[row];
            if (a.token_scales != nullptr) v *= a.token_scales[token];
            if (a.bias != nullptr) v += a.bias[row];
            a.out[i] = v;
            break;
        }
        default: break;
    }
}

struct RopeArgs {
    float* x;
    const u32* positions;
    const float* inv_freq;
    u32 tokens, heads, head_dim, rotary_dim, stride, interleaved;
    float factor;
};
/// One pair: i counts token, head, pair of rotary_dim / 2.
TENPAK_HOST_DEVICE void rope_pair(const RopeArgs& a, std::uint64_t i) {
    const u32 half = a.rotary_dim / 2, pair = static_cast<u32>(i % half), head = static_cast<u32>(i / half % a.heads);
    const std::uint64_t token = i / half / a.heads;
    // The angle is an fp32 product, as in the reference implementation; its sine is good to 2 units of the last place.
    const float angle = static_cast<float>(a.positions[token]) * a.inv_freq[pair];
    const float c = cosf(angle) * a.factor, s = sinf(angle) * a.factor;
    float* const x = a.x + token * a.stride + static_cast<std::size_t>(head) * a.head_dim;
    float* const first = a.interleaved != 0 ? x + 2 * pair : x + pair;
    float* const second = a.interleaved != 0 ? first + 1 : x + pair + half;
    const float u = *first, v = *second;
    *first = u * c - v * s;
    *second = v * c + u * s;
}

}  // namespace tenpak::compute::gpu
