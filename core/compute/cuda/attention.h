// SPDX-License-Identifier: Apache-2.0
// Causal attention with an online softmax, keys and values in fp32 pages, any ratio of heads to key heads, sliding window and
// soft cap.
//   decode   one query a sequence: a warp walks its positions with fp32 sums, warps and blocks share a sequence's positions
//            (splits), a second kernel joins them in a fixed order
//   prefill  64 rows (query, head of the group) a block; scores and values by tensor cores in fp16 with fp32 sums
#pragma once
#include "core/compute/cuda/portable.h"

namespace tenpak::compute::gpu {

struct Page {
    const float* keys;
    const float* values;
};
/// As the ABI's tenpak_cuda_attention_job.
struct AttentionTask {
    const float* q;
    float* out;
    u32 tokens, first;
    u32 pages, page_shift;
};
struct AttentionArgs {
    const unsigned char* payload;
    u32 jobs_at;  ///< offset of AttentionTask[] in payload
    u32 jobs, heads, kv_heads, head_dim, window;
    float scale, softcap;
    // decode: positions are shared out over splits
    u32 splits;
    float* partial;  ///< [job][head][split][head_dim + 2]: values, top, total
};

TENPAK_HOST_DEVICE const AttentionTask& task_of(const AttentionArgs& a, u32 job) { return reinterpret_cast<const AttentionTask*>(a.payload + a.jobs_at)[job]; }
TENPAK_HOST_DEVICE const Page& page_of(const AttentionArgs& a, const AttentionTask& t, u32 position) {
    return reinterpret_cast<const Page*>(a.payload + t.pages)[position >> t.page_shift];
}
TENPAK_HOST_DEVICE std::size_t row_in_page(const AttentionArgs& a, const AttentionTask& t, u32 position, u32 kv_head) {
    return (static_cast<std::size_t>(position & ((1u << t.page_shift) - 1)) * a.kv_heads + kv_head) * a.head_dim;
}
TENPAK_HOST_DEVICE float shape_score(const AttentionArgs& a, float dot) {
    const float s = dot * a.scale;
    return a.softcap > 0 ? a.softcap * tanhf(s / a.softcap) : s;
}
/// Positions [begin, end) that the query at `position` sees.
TENPAK_HOST_DEVICE u32 first_seen(const AttentionArgs& a, u32 position) { return a.window != 0 && position + 1 > a.window ? position + 1 - a.window : 0; }

/// Adds a score to a running softmax: returns the factor for what was summed before and sets `weight` of the new one.
TENPAK_HOST_DEVICE float online_step(float score, float& top, float& total, float& weight) {
    const float next = max_of(top, score), correction = expf(top - next);
    weight = expf(score - next);
    total = total * correction + weight;
    top = next;
    return correction;
}

// ---- decode --------------------------------------------------------------------------------------------------------

constexpr u32 kDecodeWarps = 4;
constexpr u32 decode_shared_bytes(u32 queries, u32 lane_dims) { return kDecodeWarps * queries * (lane_dims * 32 + 2) * 4; }

/// Grid: (splits, kv_heads * chunks of kQueries heads, jobs), 128 threads. kLaneDims * 32 >= head_dim.
template <u32 kLaneDims, u32 kQueries, class Block>
TENPAK_HOST_DEVICE void attention_decode_body(const Block& block, const AttentionArgs& a) {
    using Lanes = typename Block::Lanes;
    constexpr u32 kStep = 4;  // positions whose keys and values are in flight at once
    constexpr u32 kEntry = kLaneDims * 32 + 2;
    block.start_successor();
    block.wait_predecessor();
    const AttentionTask& task = task_of(a, block.z);
    const u32 group = a.heads / a.kv_heads, chunks = (group + kQueries - 1) / kQueries;
    const u32 kv_head = block.y / chunks, first_query = block.y % chunks * kQueries, queries = min_of(kQueries, group - first_query);
    const u32 position = task.first, seen = first_seen(a, position), count = position + 1 - seen;
    const u32 per_split = (count + a.splits - 1) / a.splits;
    const u32 begin = seen + min_of(block.x * per_split, count), end = min_of(begin + per_split, position + 1);
    float* const shared = reinterpret_cast<float*>(block.shared);

    block.each_warp([&](const Lanes& lanes, u32 warp, u32) {
        float q[Lanes::kCopies][kQueries][kLaneDims], acc[Lanes::kCopies][kQueries][kLaneDims];
        float top[Lanes::kCopies][kQueries], total[Lanes::kCopies][kQueries], dots[Lanes::kCopies][kQueries][kStep];
        float values[Lanes::kCopies][kStep][kLaneDims];
        lanes.each([&](u32 lane, u32 i) {
            TENPAK_UNROLL for (u32 h = 0; h < kQueries; ++h) {
                top[i][h] = kMinusInfinity;
                total[i][h] = 0;
                TENPAK_UNROLL for (u32 d = 0; d < kLaneDims; ++d) {
                    const u32 dim = d * 32 + lane;
                    q[i][h][d] = h < queries && dim < a.head_dim ? task.q[static_cast<std::size_t>(kv_head * group + first_query + h) * a.head_dim + dim] : 0.0f;
                    acc[i][h][d] = 0;
                }
            }
        });
        TENPAK_ROLLED for (u32 p0 = begin + warp * kStep; p0 < end; p0 += kDecodeWarps * kStep) {
            lanes.each([&](u32 lane, u32 i) {
                TENPAK_UNROLL for (u32 s = 0; s < kStep; ++s) {
                    const u32 p = min_of(p0 + s, end - 1);  // what lies behind is not added below
                    const Page& page = page_of(a, task, p);
                    const std::size_t at = row_in_page(a, task, p, kv_head);
                    float key[kLaneDims];
                    TENPAK_UNROLL for (u32 d = 0; d < kLaneDims; ++d) {
                        const u32 dim = d * 32 + lane;
                        key[d] = dim < a.head_dim ? page.keys[at + dim] : 0.0f;
                        values[i][s][d] = dim < a.head_dim ? page.values[at + dim] : 0.0f;
                    }
                    TENPAK_UNROLL for (u32 h = 0; h < kQueries; ++h) {
                        float dot = 0;
                        TENPAK_UNROLL for (u32 d = 0; d < kLaneDims; ++d) dot += q[i][h][d] * key[d];
                        dots[i][h][s] = dot;
                    }
                }
            });
            TENPAK_UNROLL for (u32 h = 0; h < kQueries; ++h)
                TENPAK_UNROLL for (u32 s = 0; s < kStep; ++s)
                    lanes.reduce(32, [&](u32 i) -> float& { return dots[i][h][s]; }, [](float x, float y) { return x + y; });
            lanes.each([&](u32, u32 i) {
                TENPAK_UNROLL for (u32 h = 0; h < kQueries; ++h) {
                    TENPAK_UNROLL for (u32 s = 0; s < kStep; ++s) {
                        if (p0 + s >= end) break;
                        float weight;
                        const float correction = online_step(shape_score(a, dots[i][h][s]), top[i][h], total[i][h], weight);
                        TENPAK_UNROLL for (u32 d = 0; d < kLaneDims; ++d) acc[i][h][d] = acc[i][h][d] * correction + weight * values[i][s][d];
                    }
                }
            });
        }
        lanes.each([&](u32 lane, u32 i) {
            TENPAK_UNROLL for (u32 h = 0; h < kQueries; ++h) {
                float* const entry = shared + (warp * kQueries + h) * kEntry;
                TENPAK_UNROLL for (u32 d = 0; d < kLaneDims; ++d) entry[d * 32 + lane] = acc[i][h][d];
                if (lane == 0) {
                    entry[kLaneDims * 32] = top[i][h];
                    entry[kLaneDims * 32 + 1] = total[i][h];
                }
            }
        });
    });
    block.sync();
    block.each_thread([&](u32 thread, u32) {
        for (u32 h = 0; h < queries; ++h) {
            const float* const entry = shared + h * kEntry;
            float top = kMinusInfinity, total = 0;
            for (u32 w = 0; w < kDecodeWarps; ++w) top = max_of(top, entry[w * kQueries * kEntry + kLaneDims * 32]);
            const u32 head = kv_head * group + first_query + h;
            float* const to = a.partial + ((static_cast<std::size_t>(block.z) * a.heads + head) * a.splits + block.x) * (a.head_dim + 2);
            for (u32 w = 0; w < kDecodeWarps; ++w)
                total += entry[w * kQueries * kEntry + kLaneDims * 32 + 1] * expf(entry[w * kQueries * kEntry + kLaneDims * 32] - top);
            for (u32 d = thread; d < a.head_dim; d += kDecodeWarps * 32) {
                float sum = 0;
                for (u32 w = 0; w < kDecodeWarps; ++w) sum += entry[w * kQueries * kEntry + d] * expf(entry[w * kQueries * kEntry + kLaneDims * 32] - top);
                to[d] = sum;
            }
            if (thread == 0) {
                to[a.head_dim] = top;
                to[a.head_dim + 1] = total;
            }
        }
    });
}

/// Joins the splits. Grid: (heads, jobs), 128 threads.
template <class Block>
TENPAK_HOST_DEVICE void attention_join_body(const Block& block, const AttentionArgs& a) {
    block.start_successor();
    block.wait_predecessor();
    const AttentionTask& task = task_of(a, block.y);
    const u32 entry = a.head_dim + 2;
    const float* const from = a.partial + (static_cast<std::size_t>(block.y) * a.heads + block.x) * a.splits * entry;
    block.each_thread([&](u32 thread, u32) {
        float top = kMinusInfinity, total = 0;
        for (u32 s = 0; s < a.splits; ++s) top = max_of(top, from[s * entry + a.head_dim]);
        for (u32 s = 0; s < a.splits; ++s) total += from[s * entry + a.head_dim + 1] * expf(from[s * entry + a.head_dim] - top);
        for (u32 d = thread; d < a.head_dim; d += block.threads) {
            float sum = 0;
            for (u32 s = 0; s < a.splits; ++s) sum += from[s * entry + d] * expf(from[s * entry + a.head_dim] - top);
            task.out[static_cast<std::size_t>(block.x) * a.head_dim + d] = sum / total;
        }
    });
}

// ---- prefill -------------------------------------------------------------------------------------------------------

constexpr u32 kPrefillRows = 64, kPrefillPositions = 32, kPrefillThreads = 128;
template <u32 kDim>
constexpr u32 prefill_shared_bytes() {
    return (kPrefillPositions * (kDim + 8) + kDim * (kPrefillPositions + 8)) * 2;
}

/// Grid: (blocks of 64 rows of the longest job, kv_heads, jobs), 128 threads: 4 warps of 16 rows. kDim >= head_dim.
template <u32 kDim, class Block>
TENPAK_HOST_DEVICE void attention_prefill_body(const Block& block, const AttentionArgs& a) {
    using Lanes = typename Block::Lanes;
    constexpr u32 kCopies = Lanes::kCopies, kSteps = kDim / 16, kOutTiles = kDim / 8, kScoreTiles = kPrefillPositions / 8;
    constexpr u32 kKeyRow = kDim + 8, kValueRow = kPrefillPositions + 8;  // padded: eight rows fall into different banks
    block.start_successor();
    block.wait_predecessor();
    const AttentionTask& task = task_of(a, block.z);
    const u32 group = a.heads / a.kv_heads, rows = task.tokens * group, kv_head = block.y;
    // The blocks with the most positions first: they decide when the kernel ends.
    const u32 blocks = (rows + kPrefillRows - 1) / kPrefillRows;
    if (block.x >= blocks) return;
    const u32 row0 = (blocks - 1 - block.x) * kPrefillRows, last_row = min_of(row0 + kPrefillRows, rows) - 1;
    const u32 begin = first_seen(a, task.first + row0 / group) / kPrefillPositions * kPrefillPositions, end = task.first + last_row / group + 1;
    u16* const keys = reinterpret_cast<u16*>(block.shared);   // [position][dim]
    u16* const values = keys + kPrefillPositions * kKeyRow;   // [dim][position]
    const auto q_at = [&](u32 row) { return (static_cast<std::size_t>(row / group) * a.heads + kv_head * group + row % group) * a.head_dim; };

    u32 q[Block::kWarpCopies][kCopies][kSteps][4];
    float out[Block::kWarpCopies][kCopies][kOutTiles][4];
    float top[Block::kWarpCopies][kCopies][2], total[Block::kWarpCopies][kCopies][2];
    block.each_warp([&](const Lanes& lanes, u32 warp, u32 wi) {
        lanes.each([&](u32 lane, u32 i) {
            TENPAK_UNROLL for (u32 s = 0; s < kSteps; ++s) {
                TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) {
                    const u32 row = row0 + warp * 16 + e % 2 * 8 + lane / 4, dim = s * 16 + e / 2 * 8 + lane % 4 * 2;
                    float v[2] = {0, 0};
                    if (row < rows) {
                        if (dim < a.head_dim) v[0] = task.q[q_at(row) + dim];
                        if (dim + 1 < a.head_dim) v[1] = task.q[q_at(row) + dim + 1];
                    }
                    q[wi][i][s][e] = pack_fp16(v[0], v[1]);
                }
            }
            TENPAK_UNROLL for (u32 t = 0; t < kOutTiles; ++t)
                TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) out[wi][i][t][e] = 0;
            TENPAK_UNROLL for (u32 r = 0; r < 2; ++r) {
                top[wi][i][r] = kMinusInfinity;
                total[wi][i][r] = 0;
            }
        });
    });
    TENPAK_ROLLED for (u32 p0 = begin; p0 < end; p0 += kPrefillPositions) {
        block.sync();
        block.each_thread([&](u32 thread, u32) {
            for (u32 c = thread; c < kPrefillPositions * kDim; c += kPrefillThreads) {
                const u32 p = p0 + c / kDim, dim = c % kDim;
                float k = 0, v = 0;
                if (p < end && dim < a.head_dim) {
                    const Page& page = page_of(a, task, p);
                    const std::size_t at = row_in_page(a, task, p, kv_head) + dim;
                    k = page.keys[at];
                    v = page.values[at];
                }
                keys[c / kDim * kKeyRow + dim] = to_fp16(k);
                values[dim * kValueRow + c / kDim] = to_fp16(v);
            }
        });
        block.sync();
        block.each_warp([&](const Lanes& lanes, u32 warp, u32 wi) {
            float scores[kCopies][kScoreTiles][4], row_top[kCopies][2], row_total[kCopies][2];
            u32 b[kCopies][2], probabilities[kCopies][4];
            lanes.each([&](u32, u32 i) {
                TENPAK_UNROLL for (u32 t = 0; t < kScoreTiles; ++t)
                    TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) scores[i][t][e] = 0;
            });
            TENPAK_UNROLL for (u32 s = 0; s < kSteps; ++s) {
                TENPAK_UNROLL for (u32 t = 0; t < kScoreTiles; ++t) {
                    lanes.each([&](u32 lane, u32 i) {
                        const u16* const from = keys + (t * 8 + lane / 4) * kKeyRow + s * 16 + lane % 4 * 2;
                        b[i][0] = *reinterpret_cast<const u32*>(from);
                        b[i][1] = *reinterpret_cast<const u32*>(from + 8);
                    });
                    lanes.mma_f16([&](u32 i) { return scores[i][t]; }, [&](u32 i) { return q[wi][i][s]; }, [&](u32 i) { return b[i]; });
                }
            }
            lanes.each([&](u32 lane, u32 i) {
                TENPAK_UNROLL for (u32 r = 0; r < 2; ++r) row_top[i][r] = kMinusInfinity;
                TENPAK_UNROLL for (u32 t = 0; t < kScoreTiles; ++t) {
                    TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) {
                        const u32 row = min_of(row0 + warp * 16 + e / 2 * 8 + lane / 4, rows - 1), position = task.first + row / group;
                        const u32 p = p0 + t * 8 + lane % 4 * 2 + e % 2;
                        const bool sees = p <= position && p >= first_seen(a, position);
                        scores[i][t][e] = sees ? shape_score(a, scores[i][t][e]) : kMinusInfinity;
                        row_top[i][e / 2] = max_of(row_top[i][e / 2], scores[i][t][e]);
                    }
                }
            });
            TENPAK_UNROLL for (u32 r = 0; r < 2; ++r)
                lanes.reduce(4, [&](u32 i) -> float& { return row_top[i][r]; }, [](float x, float y) { return max_of(x, y); });
            lanes.each([&](u32, u32 i) {
                TENPAK_UNROLL for (u32 r = 0; r < 2; ++r) {
                    const float next = max_of(top[wi][i][r], row_top[i][r]), correction = expf(top[wi][i][r] - next);
                    top[wi][i][r] = next;
                    total[wi][i][r] *= correction;
                    row_total[i][r] = 0;
                    TENPAK_UNROLL for (u32 t = 0; t < kOutTiles; ++t) {
                        out[wi][i][t][r * 2] *= correction;
                        out[wi][i][t][r * 2 + 1] *= correction;
                    }
                }
                TENPAK_UNROLL for (u32 t = 0; t < kScoreTiles; ++t) {
                    TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) {
                        // A row that has seen nothing yet has its top at minus infinity too: its weights must be 0, not 1.
                        const float s = scores[i][t][e], w = s > kMinusInfinity ? expf(s - top[wi][i][e / 2]) : 0.0f;
                        scores[i][t][e] = w;
                        row_total[i][e / 2] += w;
                    }
                }
            });
            TENPAK_UNROLL for (u32 r = 0; r < 2; ++r)
                lanes.reduce(4, [&](u32 i) -> float& { return row_total[i][r]; }, [](float x, float y) { return x + y; });
            lanes.each([&](u32, u32 i) {
                TENPAK_UNROLL for (u32 r = 0; r < 2; ++r) total[wi][i][r] += row_total[i][r];
            });
            TENPAK_UNROLL for (u32 j = 0; j < kPrefillPositions / 16; ++j) {
                // The C fragments of two score tiles are the A fragment of the next product.
                lanes.each([&](u32, u32 i) {
                    TENPAK_UNROLL for (u32 e = 0; e < 4; ++e)
                        probabilities[i][e] = pack_fp16(scores[i][2 * j + e / 2][e % 2 * 2], scores[i][2 * j + e / 2][e % 2 * 2 + 1]);
                });
                TENPAK_UNROLL for (u32 t = 0; t < kOutTiles; ++t) {
                    lanes.each([&](u32 lane, u32 i) {
                        const u16* const from = values + (t * 8 + lane / 4) * kValueRow + j * 16 + lane % 4 * 2;
                        b[i][0] = *reinterpret_cast<const u32*>(from);
                        b[i][1] = *reinterpret_cast<const u32*>(from + 8);
                    });
                    lanes.mma_f16([&](u32 i) { return out[wi][i][t]; }, [&](u32 i) { return probabilities[i]; }, [&](u32 i) { return b[i]; });
                }
            }
        });
    }
    block.each_warp([&](const Lanes& lanes, u32 warp, u32 wi) {
        lanes.each([&](u32 lane, u32 i) {
            TENPAK_UNROLL for (u32 t = 0; t < kOutTiles; ++t) {
                TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) {
                    const u32 row = row0 + warp * 16 + e / 2 * 8 + lane / 4, dim = t * 8 + lane % 4 * 2 + e % 2;
                    if (row < rows && dim < a.head_dim) task.out[q_at(row) + dim] = out[wi][i][t][e] / total[wi][i][e / 2];
                }
            }
        });
    });
}

}  // namespace tenpak::compute::gpu
