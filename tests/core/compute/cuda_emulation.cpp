// SPDX-License-Identifier: Apache-2.0
#include "tests/core/compute/cuda_emulation.h"

#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/compute/cuda/dequantize.h"
#include "core/compute/cuda/plan.h"

struct tenpak_cuda_session {
    std::unordered_map<void*, std::uint64_t> allocations;
    std::vector<tenpak::compute::gpu::Word4> regions[tenpak::compute::gpu::kRegions], payload;
    std::set<std::string> lists;
    std::uint64_t used = 0, peak = 0;
    bool broken = false;
};

namespace tenpak::test {
namespace {

using namespace compute::gpu;

CudaEmulation* settings = nullptr;

struct Launcher {
    tenpak_cuda_session& s;
    bool measuring;
    std::vector<Word4> shared;

    u32 processors() const { return settings->processors; }
    bool dense_library() const { return settings->dense_library; }
    const unsigned char* payload() const { return reinterpret_cast<const unsigned char*>(s.payload.data()); }
    void* region(Region r, std::size_t bytes) {
        if (measuring && s.regions[r].size() * 16 < bytes) s.regions[r].assign((bytes + 15) / 16, Word4{});
        if (!measuring && s.regions[r].size() * 16 < bytes) std::abort();  // the measuring pass must have seen it
        return s.regions[r].data();
    }
    template <class Body>
    void grid(u32 x, u32 y, u32 z, u32 threads, std::size_t shared_bytes, const Body& body) {
        if (measuring) return;
        ++settings->launches;
        for (u32 k = 0; k < z; ++k) {
            for (u32 j = 0; j < y; ++j) {
                for (u32 i = 0; i < x; ++i) {
                    // Shared memory starts with anything.
                    shared.assign((shared_bytes + 15) / 16 + 1, Word4{{0x7fc07fc0u, 0x7fc07fc0u, 0x7fc07fc0u, 0x7fc07fc0u}});
                    HostBlock b;
                    b.x = i;
                    b.y = j;
                    b.z = k;
                    b.threads = threads;
                    b.shared = reinterpret_cast<unsigned char*>(shared.data());
                    body(b);
                }
            }
        }
    }
    void row(const RowArgs& a, u32 rows, u32 threads, u32 bytes) {
        grid(rows, 1, 1, threads, bytes, [&](const HostBlock& b) { row_body(b, a); });
    }
    void element(const ElementArgs& a) {
        if (measuring) return;
        for (std::uint64_t i = 0; i < a.size; ++i) compute::gpu::element(a, i);
    }
    void rope(const RopeArgs& a, std::uint64_t pairs) {
        if (measuring) return;
        for (std::uint64_t i = 0; i < pairs; ++i) rope_pair(a, i);
    }
    void copy(const tenpak_cuda_copy_job* jobs, u32 n, std::uint64_t) {
        if (measuring) return;
        for (u32 j = 0; j < n; ++j)
            for (u32 r = 0; r < jobs[j].rows; ++r)
                std::memcpy(jobs[j].to + std::size_t{r} * jobs[j].to_stride, jobs[j].from + std::size_t{r} * jobs[j].from_stride, jobs[j].columns * sizeof(float));
    }
    template <u32 kFormat>
    void gemv(u32 tiles, const LinearArgs& a, u32 x, u32 y) {
        if (tiles == 1) grid(x, y, 1, 256, gemv_shared_bytes<1>(), [&](const HostBlock& b) { gemv_body<kFormat, 1>(b, a); });
        if (tiles == 2) grid(x, y, 1, 256, gemv_shared_bytes<2>(), [&](const HostBlock& b) { gemv_body<kFormat, 2>(b, a); });
        if (tiles == 4) grid(x, y, 1, 256, gemv_shared_bytes<4>(), [&](const HostBlock& b) { gemv_body<kFormat, 4>(b, a); });
    }
    void gemv(u32 format, u32 tiles, const LinearArgs& a, u32 x, u32 y) {
        if (format == kFormatInt4) gemv<kFormatInt4>(tiles, a, x, y);
        if (format == kFormatInt8Group) gemv<kFormatInt8Group>(tiles, a, x, y);
        if (format == kFormatInt8Channel) gemv<kFormatInt8Channel>(tiles, a, x, y);
        if (format == kFormatNf4) gemv<kFormatNf4>(tiles, a, x, y);
        if (format == kFormatInt4Residual) gemv<kFormatInt4Residual>(tiles, a, x, y);
        if (format == kFormatInt4Sparse) gemv<kFormatInt4Sparse>(tiles, a, x, y);
        if (format == kFormatFp8Channel) gemv<kFormatFp8Channel>(tiles, a, x, y);
    }
    template <u32 kFormat>
    void gemm(u32 tokens, const LinearArgs& a, u32 x, u32 y, u32 z) {
        if (tokens == 64) grid(x, y, z, kGemmThreads, GemmShape<kFormat, 64>::kSharedBytes, [&](const HostBlock& b) { gemm_body<kFormat, 64>(b, a); });
        if (tokens == 128) grid(x, y, z, kGemmThreads, GemmShape<kFormat, 128>::kSharedBytes, [&](const HostBlock& b) { gemm_body<kFormat, 128>(b, a); });
    }
    void gemm(u32 format, u32 tokens, const LinearArgs& a, u32 x, u32 y, u32 z) {
        if (format == kFormatInt4) gemm<kFormatInt4>(tokens, a, x, y, z);
        if (format == kFormatInt8Group) gemm<kFormatInt8Group>(tokens, a, x, y, z);
        if (format == kFormatInt8Channel) gemm<kFormatInt8Channel>(tokens, a, x, y, z);
        if (format == kFormatNf4) gemm<kFormatNf4>(tokens, a, x, y, z);
        if (format == kFormatInt4Residual) gemm<kFormatInt4Residual>(tokens, a, x, y, z);
        if (format == kFormatFp8Channel) gemm<kFormatFp8Channel>(tokens, a, x, y, z);
    }
    void expand(const LinearArgs& a, u32* to, u32 x, u32 y) {
        grid(x, y, 1, 256, 0, [&](const HostBlock& b) { expand_body(b, a, to); });
    }
    void gram(const GramArgs& a, u32 x) {
        grid(x, 1, 1, kGramThreads, kGramSharedBytes, [&](const HostBlock& b) { gram_body(b, a); });
    }
    void outliers(const LinearArgs& a, u32 part, u32 x, u32 y) {
        grid(x, y, 1, kOutlierRows, 0, [&](const HostBlock& b) { outlier_body(b, a, part); });
    }
    void dense_gemv(u32 bytes, u32 tokens, const DenseArgs& a, u32 x) {
        if (bytes == 2 && tokens == 1) grid(x, 1, 1, 256, 0, [&](const HostBlock& b) { dense_gemv_body<2, 1>(b, a); });
        if (bytes == 2 && tokens == 4) grid(x, 1, 1, 256, 0, [&](const HostBlock& b) { dense_gemv_body<2, 4>(b, a); });
        if (bytes == 4 && tokens == 1) grid(x, 1, 1, 256, 0, [&](const HostBlock& b) { dense_gemv_body<4, 1>(b, a); });
        if (bytes == 4 && tokens == 4) grid(x, 1, 1, 256, 0, [&](const HostBlock& b) { dense_gemv_body<4, 4>(b, a); });
    }
    void dequantize(const LinearArgs& a, u32 format, u16* to, u32 x, u32 y) {
        grid(x, y, 1, 256, 0, [&](const HostBlock& b) { dequantize_body(b, a, format, to); });
    }
    void matmul(u32 format, u32 n, u32 k, u32 tokens, const void* w, u32 w_stride, const void* x, u32 x_stride, float* y) {
        if (measuring) return;
        const auto at = [&](const void* p, std::size_t i) {
            if (format == TENPAK_CUDA_WEIGHT_FP32) return static_cast<const float*>(p)[i];
            const u16 h = static_cast<const u16*>(p)[i];
            return format == TENPAK_CUDA_WEIGHT_BF16 ? bf16_value(h) : fp16_value(h);
        };
        for (std::size_t t = 0; t < tokens; ++t) {
            for (std::size_t r = 0; r < n; ++r) {
                float sum = 0;
                for (std::size_t c = 0; c < k; ++c) sum += at(w, r * w_stride + c) * at(x, t * x_stride + c);
                y[t * n + r] = sum;
            }
        }
    }
    void attention_decode(u32 lane_dims, u32 queries, const AttentionArgs& a, u32 x, u32 y, u32 z) {
        const u32 bytes = decode_shared_bytes(queries, lane_dims);
        const auto with = [&](auto dims) {
            constexpr u32 kDims = decltype(dims)::value;
            if (queries == 1) grid(x, y, z, 128, bytes, [&](const HostBlock& b) { attention_decode_body<kDims, 1>(b, a); });
            if (queries == 4) grid(x, y, z, 128, bytes, [&](const HostBlock& b) { attention_decode_body<kDims, 4>(b, a); });
        };
        if (lane_dims == 2) with(std::integral_constant<u32, 2>{});
        if (lane_dims == 4) with(std::integral_constant<u32, 4>{});
        if (lane_dims == 8) with(std::integral_constant<u32, 8>{});
    }
    void attention_join(const AttentionArgs& a, u32 x, u32 y) {
        grid(x, y, 1, 128, 0, [&](const HostBlock& b) { attention_join_body(b, a); });
    }
    void attention_prefill(u32 dim, const AttentionArgs& a, u32 x, u32 y, u32 z) {
        if (dim == 64) grid(x, y, z, kPrefillThreads, prefill_shared_bytes<64>(), [&](const HostBlock& b) { attention_prefill_body<64>(b, a); });
        if (dim == 128) grid(x, y, z, kPrefillThreads, prefill_shared_bytes<128>(), [&](const HostBlock& b) { attention_prefill_body<128>(b, a); });
        if (dim == 256) grid(x, y, z, kPrefillThreads, prefill_shared_bytes<256>(), [&](const HostBlock& b) { attention_prefill_body<256>(b, a); });
    }
};

int fail(int code, const char* text, char* error, std::size_t size) {
    std::snprintf(error, size, "%s", text);
    return code;
}
int open(std::int32_t, tenpak_cuda_session** out, char*, std::size_t) {
    *out = new tenpak_cuda_session;
    return 0;
}
void close(tenpak_cuda_session* s) {
    for (const auto& [memory, bytes] : s->allocations) std::free(memory);
    delete s;
}
int allocate(tenpak_cuda_session* s, std::uint64_t bytes, void** out, char* error, std::size_t size) {
    bytes = (bytes + 255) / 256 * 256;
    if (s->used + bytes > settings->memory) return fail(TENPAK_CUDA_OUT_OF_MEMORY, "out of memory", error, size);
    *out = std::aligned_alloc(256, bytes == 0 ? 256 : bytes);
    std::memset(*out, 0xff, bytes);  // NaN: what is read before it is written shows
    s->allocations.emplace(*out, bytes);
    s->used += bytes;
    s->peak = std::max(s->peak, s->used);
    return 0;
}
void release(tenpak_cuda_session* s, void* memory) {
    const auto at = s->allocations.find(memory);
    if (at == s->allocations.end()) return;
    s->used -= at->second;
    std::free(memory);
    s->allocations.erase(at);
}
int transfer(const void* from, std::uint64_t bytes, void* to) {
    if (bytes > 0) std::memcpy(to, from, bytes);
    return 0;
}
int run(tenpak_cuda_session* s, const tenpak_cuda_command* commands, std::uint32_t count, const void* payload, std::uint32_t payload_bytes, char* error, std::size_t size) {
    if (settings->fail_next_run) {
        settings->fail_next_run = false;
        return fail(TENPAK_CUDA_FAILED, "a kernel failed: illegal address", error, size);
    }
    ++settings->lists;
    settings->commands += count;
    // What a graph would be found by: the commands without their payload.
    if (!s->lists.insert(std::string(reinterpret_cast<const char*>(commands), sizeof *commands * count)).second) ++settings->repeated_lists;
    s->payload.assign((payload_bytes + 15) / 16 + 1, Word4{});
    if (payload_bytes > 0) std::memcpy(s->payload.data(), payload, payload_bytes);
    for (const bool measuring : {true, false}) {
        Launcher launcher{*s, measuring, {}};
        if (const char* const invalid = Plan<Launcher>(launcher, commands, count).run(); invalid != nullptr) return fail(TENPAK_CUDA_BAD_ARGUMENT, invalid, error, size);
    }
    for (const Word4& counter : s->regions[kRegionCounters])
        for (const u32 w : counter.w)
            if (w != 0) return fail(TENPAK_CUDA_FAILED, "a counter was not reset", error, size);
    return 0;
}
int memory(tenpak_cuda_session* s, tenpak_cuda_memory_use* out, char*, std::size_t) {
    *out = {};
    out->used = s->used;
    out->peak = s->peak;
    for (const auto& r : s->regions) out->workspace += r.size() * 16;
    out->total_bytes = settings->memory;
    out->free_bytes = settings->memory - s->used;
    return 0;
}

}  // namespace

const tenpak_cuda_compute& cuda_emulation(CudaEmulation& with) {
    settings = &with;
    static const tenpak_cuda_compute functions = {
        open,
        close,
        allocate,
        release,
        [](tenpak_cuda_session*, const void* from, std::uint64_t bytes, void* to, char*, std::size_t) { return transfer(from, bytes, to); },
        [](tenpak_cuda_session*, const void* from, std::uint64_t bytes, void* to, char*, std::size_t) { return transfer(from, bytes, to); },
        [](tenpak_cuda_session*, char*, std::size_t) { return 0; },
        run,
        memory,
        [](tenpak_cuda_session*) { return settings->dense_library ? "a plain loop" : "no dense library"; },
    };
    return functions;
}

}  // namespace tenpak::test
