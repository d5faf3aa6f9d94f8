// SPDX-License-Identifier: Apache-2.0
// Turns a list of commands into kernel launches: chooses kernels and grids, joins neighbours into one launch (a residual
// addition with the norm behind it, products with the same input, the operand's conversion with what made it). The Launcher is
// the GPU's (session.cu) or, in tests, one that runs the bodies on the host.
#pragma once
#include "core/compute/cuda/attention.h"
#include "core/compute/cuda/commands.h"
#include "core/compute/cuda/gram.h"
#include "core/compute/cuda/dense_gemv.h"
#include "core/compute/cuda/linear_gemm.h"
#include "core/compute/cuda/linear_gemv.h"
#include "core/compute/cuda/rows.h"

namespace tenpak::compute::gpu {

/// Memory that launches use between them; zero when first given, kept otherwise.
enum Region : u32 { kRegionOperand, kRegionTokenScales, kRegionPartial, kRegionCounters, kRegionAttention, kRegionDequantized, kRegionOutliers, kRegions };

constexpr u32 kGemvTokens = 32;         ///< up to here weights are read straight into registers
constexpr u32 kDequantizeTokens = 256;  ///< from here writing fp16 weights once pays for the faster dense product
constexpr u32 kDenseTokens = 4;         ///< up to here the own kernel, with fp32 activations
constexpr u32 kRowCacheBytes = 96 * 1024;
constexpr u32 kMaxHeadDim = 256;

constexpr u32 rounded_up(u32 n, u32 step) { return (n + step - 1) / step; }

/// Launcher: processors(), dense_library(), payload(), region(Region, bytes), and a function for each kernel, as used below.
template <class Launcher>
class Plan {
   public:
    Plan(Launcher& launcher, const tenpak_cuda_command* commands, u32 count) : l_(launcher), commands_(commands), count_(count) {}

    /// Null, or what is wrong with a command.
    const char* run() {
        for (u32 i = 0; i < count_;) {
            const u32 used = next(i);
            if (used == 0) return "a command of the CUDA backend is not valid";
            i += used;
        }
        return nullptr;
    }

   private:
    using Command = tenpak_cuda_command;
    using Weight = tenpak_cuda_weight;
    enum class Path { kGemv, kGemm, kDequantized, kDenseOwn, kDenseLibrary };

    static bool quantized(const Weight& w) { return w.format <= TENPAK_CUDA_WEIGHT_INT8_CHANNEL || w.format >= TENPAK_CUDA_WEIGHT_NF4; }
    Path path_of(const Weight& w, u32 tokens) const {
        if (quantized(w)) {
            if (tokens <= kGemvTokens) return Path::kGemv;
            return l_.dense_library() && w.format != TENPAK_CUDA_WEIGHT_INT8_CHANNEL && tokens >= kDequantizeTokens ? Path::kDequantized : Path::kGemm;
        }
        return tokens <= kDenseTokens || !l_.dense_library() ? Path::kDenseOwn : Path::kDenseLibrary;
    }
    static u32 operand_of(const Weight& w, Path path) {
        switch (path) {
            case Path::kGemv:
            case Path::kGemm: return w.format == TENPAK_CUDA_WEIGHT_INT8_CHANNEL ? kOperandInt8Tiles : w.format == TENPAK_CUDA_WEIGHT_FP8_CHANNEL ? kOperandFp8Tiles : kOperandFp16Tiles;
            case Path::kDequantized: return w.format == TENPAK_CUDA_WEIGHT_FP8_CHANNEL ? kOperandFp8Rows : kOperandFp16Rows;
            case Path::kDenseOwn: return kOperandNone;
            case Path::kDenseLibrary: return w.format == TENPAK_CUDA_WEIGHT_BF16 ? kOperandBf16Rows : w.format == TENPAK_CUDA_WEIGHT_FP16 ? kOperandFp16Rows : kOperandNone;
        }
        return kOperandNone;
    }

    u32 next(u32 i) {
        const Command& c = commands_[i];
        if (c.op != TENPAK_CUDA_LINEAR) operand_ = {};
        switch (c.op) {
            case TENPAK_CUDA_LINEAR: return linear(i);
            case TENPAK_CUDA_ADD:
                if (i + 1 < count_ && is_norm(commands_[i + 1]) && commands_[i + 1].in[0] == c.out && c.size == u64(commands_[i + 1].n[0]) * commands_[i + 1].n[1]) {
                    RowArgs a = norm_args(commands_[i + 1]);
                    a.x = floats(c.in[0]);
                    a.sum = static_cast<float*>(c.out);
                    row(a, i + 2);
                    return 2;
                }
                element(kElementAdd, 0, c, floats(c.in[0]), nullptr);
                return 1;
            case TENPAK_CUDA_RMS_NORM:
            case TENPAK_CUDA_LAYER_NORM: {
                RowArgs a = norm_args(c);
                a.x = floats(c.in[0]);
                row(a, i + 1);
                return 1;
            }
            case TENPAK_CUDA_ACTIVATION_MUL: {
                const Command* const to = i + 1 < count_ && commands_[i + 1].op == TENPAK_CUDA_LINEAR ? &commands_[i + 1] : nullptr;
                if (to != nullptr && to->in[0] == c.out && to->weight != nullptr && u64(to->n[0]) * to->weight->k == c.size) {
                    RowArgs a{};
                    a.x = floats(c.in[0]);
                    a.gate_of = floats(c.in[1]);
                    a.activation = c.n[1];
                    a.out = static_cast<float*>(c.out);
                    a.tokens = to->n[0];
                    a.dim = to->weight->k;
                    row(a, i + 1);
                    return 1;
                }
                element(kElementActivationMul, c.n[1], c, floats(c.in[0]), floats(c.in[1]));
                return 1;
            }
            case TENPAK_CUDA_ACTIVATION: element(kElementActivation, c.n[1], c, floats(c.in[0]), nullptr); return 1;
            case TENPAK_CUDA_SCALE: element(kElementScale, 0, c, nullptr, nullptr); return 1;
            case TENPAK_CUDA_SOFTCAP: element(kElementSoftcap, 0, c, nullptr, nullptr); return 1;
            case TENPAK_CUDA_ROPE: {
                if (c.n[3] == 0 || c.n[3] % 2 != 0 || c.n[3] > c.n[2] || c.n[1] == 0) return 0;
                const RopeArgs a{static_cast<float*>(c.out), reinterpret_cast<const u32*>(l_.payload() + c.payload), floats(c.in[1]), c.n[0], c.n[1], c.n[2], c.n[3], c.n[4], c.n[5], c.f[0]};
                l_.rope(a, u64(a.tokens) * a.heads * (a.rotary_dim / 2));
                return 1;
            }
            case TENPAK_CUDA_ATTENTION: return attention(c) ? 1 : 0;
            case TENPAK_CUDA_GRAM: {
                if (c.n[0] == 0 || c.n[1] == 0) return 0;
                GramArgs a{floats(c.in[0]), static_cast<float*>(c.out), static_cast<float*>(const_cast<void*>(c.in[1])), c.n[0], c.n[1], false};
                a.vector = a.k % 4 == 0 && reinterpret_cast<std::uintptr_t>(a.x) % 16 == 0;
                l_.gram(a, gram_blocks(a.k));
                return 1;
            }
            case TENPAK_CUDA_COPY: l_.copy(reinterpret_cast<const tenpak_cuda_copy_job*>(l_.payload() + c.payload), c.n[0], c.size); return 1;
            default: return 0;
        }
    }

    static std::uint64_t u64(u32 n) { return n; }
    static const float* floats(const void* p) { return static_cast<const float*>(p); }
    static bool is_norm(const Command& c) { return c.op == TENPAK_CUDA_RMS_NORM || c.op == TENPAK_CUDA_LAYER_NORM; }
    static RowArgs norm_args(const Command& c) {
        RowArgs a{};
        a.norm = c.op == TENPAK_CUDA_RMS_NORM ? kNormRms : kNormLayer;
        a.weight = floats(c.in[1]);
        a.bias = floats(c.in[2]);
        a.add_one = c.n[2];
        a.eps = c.f[0];
        a.out = static_cast<float*>(c.out);
        a.tokens = c.n[0];
        a.dim = c.n[1];
        return a;
    }
    void element(u32 operation, u32 kind, const Command& c, const float* x, const float* y) {
        ElementArgs a{};
        a.operation = operation;
        a.kind = kind;
        a.out = static_cast<float*>(c.out);
        a.x = x;
        a.y = y;
        a.factor = c.f[0];
        a.size = c.size;
        l_.element(a);
    }

    /// Launches a row kernel; where the product at commands_[behind] takes its output, with that product's operand.
    void row(RowArgs a, u32 behind) {
        if (behind < count_ && commands_[behind].op == TENPAK_CUDA_LINEAR && commands_[behind].in[0] == a.out && commands_[behind].weight != nullptr &&
            commands_[behind].n[0] == a.tokens && commands_[behind].weight->k == a.dim) {
            const Weight& w = *commands_[behind].weight;
            const Path path = path_of(w, a.tokens);
            if (operand_of(w, path) != kOperandNone) {
                set_operand(a, w, path, a.out);
                return;
            }
        }
        launch_row(a);
    }
    void set_operand(RowArgs a, const Weight& w, Path path, const float* x) {
        const u32 stride = path == Path::kDequantized ? w.blocks * kColumnBlock : w.stride;
        a.operand = operand_of(w, path);
        a.blocks = w.blocks;
        a.token_tiles = rounded_up(a.tokens, kTokenTile);
        a.stride = stride;
        a.columns = w.columns;
        a.threshold = w.outlier_threshold;
        if (a.threshold > 0) a.outliers = static_cast<u32*>(l_.region(kRegionOutliers, static_cast<std::size_t>(a.tokens) * outlier_words(w.k).all() * 4));
        const bool tiles = is_tiles(a.operand);
        const std::size_t bytes = tiles ? static_cast<std::size_t>(w.blocks) * a.token_tiles * (a.operand == kOperandInt8Tiles ? 512 : 1024)
                                        : static_cast<std::size_t>(a.tokens) * stride * 2;
        a.operand_out = l_.region(kRegionOperand, bytes);
        a.token_scales = static_cast<float*>(l_.region(kRegionTokenScales, static_cast<std::size_t>(a.tokens) * sizeof(float)));
        launch_row(a);
        operand_ = {x, a.operand, a.tokens, w.k, tiles ? w.blocks : stride, w.columns, w.outlier_threshold};
    }
    void launch_row(RowArgs a) {
        a.cache = row_shared_bytes(a.dim, true) <= kRowCacheBytes ? 1 : 0;
        l_.row(a, is_tiles(a.operand) ? a.token_tiles * kTokenTile : a.tokens, row_threads(a.dim), row_shared_bytes(a.dim, a.cache != 0));
    }

    u32 linear(u32 i) {
        const Command& c = commands_[i];
        if (c.weight == nullptr || c.n[0] == 0) return 0;
        const Weight& w = *c.weight;
        const u32 tokens = c.n[0];
        const Path path = path_of(w, tokens);
        u32 parts = 1;
        if (path == Path::kGemv || path == Path::kGemm || path == Path::kDenseOwn) {
            while (parts < kMaxParts && i + parts < count_ && joins(c, commands_[i + parts])) ++parts;
        }
        const u32 kind = operand_of(w, path);
        if (kind != kOperandNone) {
            const u32 extent = path == Path::kDequantized ? w.blocks * kColumnBlock : path == Path::kDenseLibrary ? w.stride : w.blocks;
            if (operand_.x != c.in[0] || operand_.kind != kind || operand_.tokens != tokens || operand_.k != w.k || operand_.extent != extent || operand_.columns != w.columns ||
                operand_.threshold != w.outlier_threshold) {
                RowArgs a{};
                a.x = floats(c.in[0]);
                a.tokens = tokens;
                a.dim = w.k;
                set_operand(a, w, path, floats(c.in[0]));
            }
        }
        switch (path) {
            case Path::kGemv: gemv(i, parts); break;
            case Path::kGemm: gemm(i, parts); break;
            case Path::kDequantized: dequantized(c); break;
            case Path::kDenseOwn: dense_own(i, parts); break;
            case Path::kDenseLibrary: dense_library(c); break;
        }
        // An output that is the next input, or lies over it, is converted anew.
        for (u32 p = 0; p < parts; ++p)
            if (commands_[i + p].out == operand_.x) operand_ = {};
        return parts;
    }
    static bool joins(const Command& a, const Command& b) {
        if (b.op != TENPAK_CUDA_LINEAR || b.weight == nullptr || a.in[0] != b.in[0] || a.n[0] != b.n[0] || a.out == a.in[0] || b.out == b.in[0]) return false;
        const Weight &v = *a.weight, &w = *b.weight;
        return v.format == w.format && v.k == w.k && v.blocks == w.blocks && v.stride == w.stride && v.groups == w.groups && v.group_shift == w.group_shift &&
               v.columns == w.columns && v.outlier_threshold == w.outlier_threshold;
    }
    /// rows: of an output tile. Returns the number of row blocks.
    u32 fill(LinearArgs& a, u32 i, u32 parts, u32 rows) {
        const Weight& w = *commands_[i].weight;
        a.count = parts;
        a.blocks = w.blocks;
        a.groups = w.groups;
        a.group_shift = w.group_shift;
        a.tokens = commands_[i].n[0];
        a.token_tiles = rounded_up(a.tokens, kTokenTile);
        u32 blocks = 0;
        for (u32 p = 0; p < parts; ++p) {
            const Weight& v = *commands_[i + p].weight;
            a.parts[p] = part(v, static_cast<float*>(commands_[i + p].out), blocks);
            blocks += rounded_up(v.n, rows);
        }
        a.x = static_cast<const Word4*>(l_.region(kRegionOperand, 0));
        a.token_scales = static_cast<const float*>(l_.region(kRegionTokenScales, 0));
        a.input = floats(commands_[i].in[0]);
        a.k = w.k;
        a.outliers = w.outlier_threshold > 0 ? static_cast<const u32*>(l_.region(kRegionOutliers, 0)) : nullptr;
        return blocks;
    }
    static LinearPart part(const Weight& v, float* y, u32 first_block) {
        return {static_cast<const Word4*>(v.codes), reinterpret_cast<const u32*>(v.scales), reinterpret_cast<const u16*>(v.zeros), v.low, v.row_scales, v.bias, y, v.n, first_block};
    }
    /// One part for the kernels that rewrite a weight.
    LinearArgs alone(const Weight& w) const {
        LinearArgs a{};
        a.count = 1;
        a.blocks = w.blocks;
        a.groups = w.groups;
        a.group_shift = w.group_shift;
        a.parts[0] = part(w, nullptr, 0);
        return a;
    }
    void splitting(LinearArgs& a, u32 splits, u32 tiles, u32 outputs) {
        a.splits = splits;
        if (splits == 1) return;
        a.partial = static_cast<u32*>(l_.region(kRegionPartial, static_cast<std::size_t>(splits) * tiles * outputs * 4));
        a.counters = static_cast<u32*>(l_.region(kRegionCounters, static_cast<std::size_t>(tiles) * 4));
    }
    void gemv(u32 i, u32 parts) {
        LinearArgs a{};
        const u32 row_blocks = fill(a, i, parts, kGemvRows), tiles = a.tokens <= 8 ? 1 : a.tokens <= 16 ? 2 : 4;
        // Two blocks a processor keep enough loads in flight; a split has two column blocks a warp, or it is all overhead.
        const u32 wanted = rounded_up(2 * l_.processors(), row_blocks), most = max_of(1u, a.blocks / (2 * kGemvWarps));
        splitting(a, min_of(wanted, most), row_blocks, kGemvRows * tiles * kTokenTile);
        l_.gemv(commands_[i].weight->format, tiles, a, row_blocks, a.splits);
    }
    void gemm(u32 i, u32 parts) {
        LinearArgs a{};
        const u32 row_blocks = fill(a, i, parts, kGemmRows);
        u32 format = commands_[i].weight->format;
        if (format == TENPAK_CUDA_WEIGHT_INT4_SPARSE) {
            expand(a, i, parts);
            format = TENPAK_CUDA_WEIGHT_INT8_GROUP;
        }
        const u32 tokens = a.tokens <= 64 ? 64 : 128, token_blocks = rounded_up(a.tokens, tokens);
        const u32 tiles = row_blocks * token_blocks, wanted = max_of(1u, l_.processors() / tiles), most = max_of(1u, a.blocks / (2 * kGemmStages));
        splitting(a, min_of(wanted, most), tiles, kGemmRows * tokens);
        l_.gemm(format, tokens, a, row_blocks, token_blocks, a.splits);
        for (u32 p = 0; p < parts && a.outliers != nullptr; ++p) l_.outliers(a, p, a.tokens, rounded_up(a.parts[p].n, kOutlierRows));
    }
    /// Sparse weights become tiles of 8-bit codes before the matrix kernel: finding the kept bits costs more than reading bytes again.
    void expand(LinearArgs& a, u32 i, u32 parts) {
        const auto words = [](const Weight& w) { return u64(rounded_up(w.n, kRowPadding)) * (kRowPadding / kRowTile) * w.blocks * kWordsInt8; };
        std::uint64_t total = 0;
        for (u32 p = 0; p < parts; ++p) total += words(*commands_[i + p].weight);
        u32* const to = static_cast<u32*>(l_.region(kRegionDequantized, total * 4));
        total = 0;
        for (u32 p = 0; p < parts; ++p) {
            const Weight& w = *commands_[i + p].weight;
            l_.expand(alone(w), to + total, w.blocks, rounded_up(w.n, kRowPadding) * (kRowPadding / kRowTile));
            a.parts[p].codes = reinterpret_cast<const Word4*>(to + total);
            total += words(w);
        }
    }
    void dequantized(const Command& c) {
        const Weight& w = *c.weight;
        const u32 rows = rounded_up(w.n, kRowPadding) * kRowPadding, k = w.blocks * kColumnBlock;
        u16* const dense = static_cast<u16*>(l_.region(kRegionDequantized, static_cast<std::size_t>(rows) * k * 2));
        l_.dequantize(alone(w), w.format, dense, w.blocks, rows / kRowTile);
        l_.matmul(TENPAK_CUDA_WEIGHT_FP16, w.n, k, c.n[0], dense, k, l_.region(kRegionOperand, 0), k, static_cast<float*>(c.out));
        epilogue(c, w.row_scales, static_cast<const float*>(l_.region(kRegionTokenScales, 0)));
    }
    void dense_library(const Command& c) {
        const Weight& w = *c.weight;
        const bool fp32 = w.format == TENPAK_CUDA_WEIGHT_FP32;
        const u32 k = fp32 ? w.k : w.stride;
        l_.matmul(w.format, w.n, k, c.n[0], w.codes, w.stride, fp32 ? c.in[0] : l_.region(kRegionOperand, 0), k, static_cast<float*>(c.out));
        const float* const scales = w.format == TENPAK_CUDA_WEIGHT_FP16 ? static_cast<const float*>(l_.region(kRegionTokenScales, 0)) : nullptr;
        if (scales != nullptr || w.bias != nullptr) epilogue(c, nullptr, scales);
    }
    void epilogue(const Command& c, const float* row_scales, const float* token_scales) {
        ElementArgs a{};
        a.operation = kElementEpilogue;
        a.out = static_cast<float*>(c.out);
        a.n = c.weight->n;
        a.size = u64(c.n[0]) * a.n;
        a.row_scales = row_scales;
        a.token_scales = token_scales;
        a.bias = c.weight->bias;
        l_.element(a);
    }
    void dense_own(u32 i, u32 parts) {
        const Weight& w = *commands_[i].weight;
        DenseArgs a{};
        a.count = parts;
        a.k = w.k;
        a.stride = w.stride;
        a.bf16 = w.format == TENPAK_CUDA_WEIGHT_BF16;
        a.vector = w.k % 4 == 0 && reinterpret_cast<std::uintptr_t>(commands_[i].in[0]) % 16 == 0;
        u32 blocks = 0;
        for (u32 p = 0; p < parts; ++p) {
            const Weight& v = *commands_[i + p].weight;
            a.parts[p] = {v.codes, v.bias, nullptr, v.n, blocks};
            blocks += rounded_up(v.n, kDenseRows);
        }
        for (u32 t = 0; t < commands_[i].n[0]; t += kDenseTokens) {  // more tokens only where there is no library
            a.tokens = min_of(kDenseTokens, commands_[i].n[0] - t);
            a.x = floats(commands_[i].in[0]) + static_cast<std::size_t>(t) * w.k;
            for (u32 p = 0; p < parts; ++p) a.parts[p].y = static_cast<float*>(commands_[i + p].out) + static_cast<std::size_t>(t) * a.parts[p].n;
            l_.dense_gemv(w.format == TENPAK_CUDA_WEIGHT_FP32 ? 4 : 2, a.tokens == 1 ? 1 : kDenseTokens, a, blocks);
        }
    }

    bool attention(const Command& c) {
        AttentionArgs a{};
        a.payload = l_.payload();
        a.jobs_at = c.payload;
        a.jobs = c.n[0];
        a.heads = c.n[1];
        a.kv_heads = c.n[2];
        a.head_dim = c.n[3];
        a.window = c.n[6];
        a.scale = c.f[0];
        a.softcap = c.f[1];
        const u32 most_tokens = c.n[4], most_positions = c.n[5];
        if (a.jobs == 0 || a.kv_heads == 0 || a.heads % a.kv_heads != 0 || a.head_dim == 0 || a.head_dim > kMaxHeadDim || most_tokens == 0) return false;
        const u32 group = a.heads / a.kv_heads;
        if (most_tokens > 1) {
            l_.attention_prefill(a.head_dim <= 64 ? 64 : a.head_dim <= 128 ? 128 : 256, a, rounded_up(most_tokens * group, kPrefillRows), a.kv_heads, a.jobs);
            return true;
        }
        const u32 queries = group == 1 ? 1 : 4, units = a.kv_heads * rounded_up(group, queries);
        a.splits = min_of(rounded_up(4 * l_.processors(), units * a.jobs), max_of(1u, rounded_up(most_positions, 64)));
        a.partial = static_cast<float*>(l_.region(kRegionAttention, static_cast<std::size_t>(a.jobs) * a.heads * a.splits * (a.head_dim + 2) * 4));
        l_.attention_decode(a.head_dim <= 64 ? 2 : a.head_dim <= 128 ? 4 : 8, queries, a, a.splits, units, a.jobs);
        l_.attention_join(a, a.heads, a.jobs);
        return true;
    }

    struct OperandState {
        const void* x = nullptr;
        u32 kind = 0, tokens = 0, k = 0, extent = 0;
        const u32* columns = nullptr;
        float threshold = 0;
    };
    Launcher& l_;
    const Command* const commands_;
    const u32 count_;
    OperandState operand_;
};

}  // namespace tenpak::compute::gpu
