// SPDX-License-Identifier: Apache-2.0
// A session of the module: one device, one stream. Lists of commands become kernels (plan.h); a list that comes for the second
// time is captured as a CUDA graph and replayed from then on. Memory between kernels grows when a list needs more, which
// forgets the graphs, as they hold its addresses.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "core/compute/cuda/dense_library.h"
#include "core/compute/cuda/kernels.h"
#include "core/compute/cuda/module.h"
#include "core/compute/cuda/plan.h"

namespace tenpak::compute::gpu {
namespace {

constexpr std::size_t kDenseWorkspace = 32u << 20, kStagingBytes = 1u << 20, kStagings = 4;
constexpr std::size_t kMostGraphs = 64, kMostSeen = 4096;
constexpr u32 kLeastCommands = 4;  // a graph of fewer launches gains nothing

struct Allocation {
    void* memory = nullptr;
    std::size_t bytes = 0;
};
struct Staging {
    void* memory = nullptr;
    cudaEvent_t used = nullptr;
    bool pending = false;
};
struct Graph {
    cudaGraphExec_t exec = nullptr;
    std::uint64_t last_used = 0;
};

}  // namespace
}  // namespace tenpak::compute::gpu

struct tenpak_cuda_session {
    int device = 0;
    tenpak::compute::gpu::Stream stream;
    int processors = 1;
    bool plain = false;  // $TENPAK_CUDA_PLAIN: no graphs, no overlapping kernels, to find what goes wrong
    tenpak::compute::gpu::DenseLibrary dense;
    tenpak::compute::gpu::Allocation regions[tenpak::compute::gpu::kRegions], payload, dense_workspace;
    tenpak::compute::gpu::Staging staging[tenpak::compute::gpu::kStagings];
    std::size_t next_staging = 0;
    std::unordered_map<void*, std::size_t> allocations;
    std::unordered_map<std::string, tenpak::compute::gpu::Graph> graphs;
    std::unordered_set<std::size_t> seen;
    std::uint64_t used = 0, peak = 0, clock = 0, graph_launches = 0, launches = 0;
};

namespace tenpak::compute::gpu {
namespace {

using Session = tenpak_cuda_session;

int fail(const char* doing, cudaError_t e, char* error, std::size_t size) {
    if (error != nullptr && size > 0) std::snprintf(error, size, "%s: %s", doing, cudaGetErrorString(e));
    cudaGetLastError();  // an allocation that failed is not to be found again by the next call
    return e == cudaErrorMemoryAllocation ? TENPAK_CUDA_OUT_OF_MEMORY : TENPAK_CUDA_FAILED;
}
#define TENPAK_TRY(doing, call)                                           \
    do {                                                                  \
        const cudaError_t e_ = (call);                                    \
        if (e_ != cudaSuccess) return fail(doing, e_, error, error_size); \
    } while (false)

void count(Session& s, std::int64_t bytes) {
    s.used += static_cast<std::uint64_t>(bytes);
    s.peak = std::max(s.peak, s.used);
}
void forget_graphs(Session& s) {
    for (auto& [key, g] : s.graphs) cudaGraphExecDestroy(g.exec);
    s.graphs.clear();
    s.seen.clear();
}
/// Zeroed and at least `bytes`; contents are lost when it grows.
cudaError_t grow(Session& s, Allocation& a, std::size_t bytes) {
    if (a.bytes >= bytes) return cudaSuccess;
    bytes = (bytes + bytes / 4 + 255) / 256 * 256;
    if (const cudaError_t e = cudaStreamSynchronize(s.stream.handle); e != cudaSuccess) return e;
    forget_graphs(s);
    cudaFree(a.memory);
    count(s, -static_cast<std::int64_t>(a.bytes));
    a = {};
    if (const cudaError_t e = cudaMalloc(&a.memory, bytes); e != cudaSuccess) {
        a.memory = nullptr;
        return e;
    }
    a.bytes = bytes;
    count(s, static_cast<std::int64_t>(bytes));
    return cudaMemsetAsync(a.memory, 0, bytes, s.stream.handle);
}

/// From the caller's memory, which may change once this returns.
cudaError_t send(Session& s, const void* from, std::size_t bytes, void* to) {
    if (bytes > kStagingBytes) return cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, s.stream.handle);  // from pageable memory: copied before it returns
    Staging& slot = s.staging[s.next_staging];
    s.next_staging = (s.next_staging + 1) % kStagings;
    if (slot.pending)
        if (const cudaError_t e = cudaEventSynchronize(slot.used); e != cudaSuccess) return e;
    std::memcpy(slot.memory, from, bytes);
    if (const cudaError_t e = cudaMemcpyAsync(to, slot.memory, bytes, cudaMemcpyHostToDevice, s.stream.handle); e != cudaSuccess) return e;
    slot.pending = true;
    return cudaEventRecord(slot.used, s.stream.handle);
}

/// Finds out how much memory a list needs.
struct Measure {
    const Session& s;
    std::size_t bytes[kRegions] = {};
    u32 processors() const { return static_cast<u32>(s.processors); }
    bool dense_library() const { return s.dense.opened(); }
    const unsigned char* payload() const { return static_cast<const unsigned char*>(s.payload.memory); }
    void* region(Region r, std::size_t n) {
        bytes[r] = std::max(bytes[r], n);
        return nullptr;
    }
    template <class... A>
    void row(const A&...) {}
    template <class... A>
    void element(const A&...) {}
    template <class... A>
    void rope(const A&...) {}
    template <class... A>
    void copy(const A&...) {}
    template <class... A>
    void gemv(const A&...) {}
    template <class... A>
    void gemm(const A&...) {}
    template <class... A>
    void dense_gemv(const A&...) {}
    template <class... A>
    void dequantize(const A&...) {}
    template <class... A>
    void expand(const A&...) {}
    template <class... A>
    void gram(const A&...) {}
    template <class... A>
    void outliers(const A&...) {}
    template <class... A>
    void matmul(const A&...) {}
    template <class... A>
    void attention_decode(const A&...) {}
    template <class... A>
    void attention_join(const A&...) {}
    template <class... A>
    void attention_prefill(const A&...) {}
};

struct Launch {
    Session& s;
    const char* doing = nullptr;  // what failed
    std::string reason;
    std::uint64_t count = 0;

    u32 processors() const { return static_cast<u32>(s.processors); }
    bool dense_library() const { return s.dense.opened(); }
    const unsigned char* payload() const { return static_cast<const unsigned char*>(s.payload.memory); }
    void* region(Region r, std::size_t) { return s.regions[r].memory; }
    void check(const char* what, cudaError_t e) {
        ++count;
        if (e == cudaSuccess || doing != nullptr) return;
        doing = what;
        reason = cudaGetErrorString(e);
    }
    void row(const RowArgs& a, u32 rows, u32 threads, u32 shared) { check("a row kernel", launch_row(s.stream, a, rows, threads, shared)); }
    void element(const ElementArgs& a) { check("an element-wise kernel", launch_element(s.stream, a)); }
    void rope(const RopeArgs& a, std::uint64_t pairs) { check("the rotation kernel", launch_rope(s.stream, a, pairs)); }
    void copy(const tenpak_cuda_copy_job* jobs, u32 n, std::uint64_t size) { check("the copy kernel", launch_copy(s.stream, jobs, n, size)); }
    void gemv(u32 format, u32 tiles, const LinearArgs& a, u32 x, u32 y) { check("a matrix-vector kernel", launch_gemv(s.stream, format, tiles, a, x, y)); }
    void gemm(u32 format, u32 tokens, const LinearArgs& a, u32 x, u32 y, u32 z) { check("a matrix kernel", launch_gemm(s.stream, format, tokens, a, x, y, z)); }
    void dense_gemv(u32 bytes, u32 tokens, const DenseArgs& a, u32 x) { check("a dense kernel", launch_dense_gemv(s.stream, bytes, tokens, a, x)); }
    void dequantize(const LinearArgs& a, u32 format, u16* to, u32 x, u32 y) { check("the dequantizing kernel", launch_dequantize(s.stream, a, format, to, x, y)); }
    void expand(const LinearArgs& a, u32* to, u32 x, u32 y) { check("the expanding kernel", launch_expand(s.stream, a, to, x, y)); }
    void gram(const GramArgs& a, u32 x) { check("the Gram kernel", launch_gram(s.stream, a, x)); }
    void outliers(const LinearArgs& a, u32 part, u32 x, u32 y) { check("the outliers' kernel", launch_outliers(s.stream, a, part, x, y)); }
    void matmul(u32 format, u32 n, u32 k, u32 tokens, const void* w, u32 w_stride, const void* x, u32 x_stride, float* y) {
        ++count;
        const cublasStatus_t status = s.dense.multiply(s.stream.handle, format, n, k, tokens, w, w_stride, x, x_stride, y, s.dense_workspace.memory, s.dense_workspace.bytes);
        if (status == CUBLAS_STATUS_SUCCESS || doing != nullptr) return;
        doing = "a cuBLASLt product";
        reason = std::to_string(n) + " x " + std::to_string(k) + " by " + std::to_string(tokens) + " tokens: " + s.dense.status_text(status);
    }
    void attention_decode(u32 lane_dims, u32 queries, const AttentionArgs& a, u32 x, u32 y, u32 z) {
        check("the attention kernel", launch_attention_decode(s.stream, lane_dims, queries, a, x, y, z));
    }
    void attention_join(const AttentionArgs& a, u32 x, u32 y) { check("the attention kernel", launch_attention_join(s.stream, a, x, y)); }
    void attention_prefill(u32 dim, const AttentionArgs& a, u32 x, u32 y, u32 z) { check("the attention kernel", launch_attention_prefill(s.stream, dim, a, x, y, z)); }
};

void close(Session* s) {
    if (s == nullptr) return;
    cudaSetDevice(s->device);
    if (s->stream.handle != nullptr) cudaStreamSynchronize(s->stream.handle);
    forget_graphs(*s);
    for (const auto& [memory, bytes] : s->allocations) cudaFree(memory);
    for (const Allocation& a : s->regions) cudaFree(a.memory);
    cudaFree(s->payload.memory);
    cudaFree(s->dense_workspace.memory);
    for (const Staging& g : s->staging) {
        if (g.used != nullptr) cudaEventDestroy(g.used);
        cudaFreeHost(g.memory);
    }
    if (s->stream.handle != nullptr) cudaStreamDestroy(s->stream.handle);
    delete s;
}

int start(Session& s, char* error, std::size_t error_size) {
    TENPAK_TRY("cannot choose the device", cudaSetDevice(s.device));
    TENPAK_TRY("cannot ask for the device's properties", cudaDeviceGetAttribute(&s.processors, cudaDevAttrMultiProcessorCount, s.device));
    int major = 0;
    TENPAK_TRY("cannot ask for the device's properties", cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, s.device));
    s.plain = std::getenv("TENPAK_CUDA_PLAIN") != nullptr;
    s.stream.overlap = major >= 9 && !s.plain;
    TENPAK_TRY("cannot make a stream", cudaStreamCreateWithFlags(&s.stream.handle, cudaStreamNonBlocking));
    for (Staging& g : s.staging) {
        TENPAK_TRY("cannot allocate pinned memory", cudaMallocHost(&g.memory, kStagingBytes));
        TENPAK_TRY("cannot make an event", cudaEventCreateWithFlags(&g.used, cudaEventDisableTiming));
    }
    TENPAK_TRY("cannot allocate device memory", grow(s, s.payload, 64 * 1024));
    if (s.dense.open() == nullptr) TENPAK_TRY("cannot allocate device memory", grow(s, s.dense_workspace, kDenseWorkspace));
    return TENPAK_CUDA_OK;
}

int open(std::int32_t device, Session** out, char* error, std::size_t error_size) {
    Session* s = new (std::nothrow) Session;
    if (s == nullptr) return fail("no memory for a session", cudaErrorMemoryAllocation, error, error_size);
    s->device = device;
    if (const int code = start(*s, error, error_size); code != TENPAK_CUDA_OK) {
        close(s);
        return code;
    }
    *out = s;
    return TENPAK_CUDA_OK;
}

int allocate(Session* s, std::uint64_t bytes, void** out, char* error, std::size_t error_size) {
    TENPAK_TRY("cannot choose the device", cudaSetDevice(s->device));
    bytes = (std::max<std::uint64_t>(bytes, 1) + 255) / 256 * 256;
    TENPAK_TRY("cannot allocate device memory", cudaMalloc(out, bytes));
    s->allocations.emplace(*out, bytes);
    count(*s, static_cast<std::int64_t>(bytes));
    return TENPAK_CUDA_OK;
}

void release(Session* s, void* memory) {
    const auto at = s->allocations.find(memory);
    if (at == s->allocations.end()) return;
    cudaSetDevice(s->device);
    cudaFree(memory);  // waits for what is queued
    count(*s, -static_cast<std::int64_t>(at->second));
    s->allocations.erase(at);
}

int upload(Session* s, const void* from, std::uint64_t bytes, void* to, char* error, std::size_t error_size) {
    if (bytes == 0) return TENPAK_CUDA_OK;
    TENPAK_TRY("cannot choose the device", cudaSetDevice(s->device));
    TENPAK_TRY("cannot copy to the device", send(*s, from, bytes, to));
    return TENPAK_CUDA_OK;
}

int download(Session* s, const void* from, std::uint64_t bytes, void* to, char* error, std::size_t error_size) {
    TENPAK_TRY("cannot choose the device", cudaSetDevice(s->device));
    TENPAK_TRY("cannot copy from the device", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, s->stream.handle));
    TENPAK_TRY("a kernel failed", cudaStreamSynchronize(s->stream.handle));
    return TENPAK_CUDA_OK;
}

int synchronize(Session* s, char* error, std::size_t error_size) {
    TENPAK_TRY("cannot choose the device", cudaSetDevice(s->device));
    TENPAK_TRY("a kernel failed", cudaStreamSynchronize(s->stream.handle));
    return TENPAK_CUDA_OK;
}

int issue(Session& s, const tenpak_cuda_command* commands, std::uint32_t n, char* error, std::size_t error_size) {
    Launch launch{s, nullptr, {}, 0};
    const char* const invalid = Plan<Launch>(launch, commands, n).run();
    s.launches += launch.count;
    if (invalid != nullptr) {
        std::snprintf(error, error_size, "%s", invalid);
        return TENPAK_CUDA_BAD_ARGUMENT;
    }
    if (launch.doing != nullptr) {
        std::snprintf(error, error_size, "cannot start %s: %s", launch.doing, launch.reason.c_str());
        return TENPAK_CUDA_FAILED;
    }
    return TENPAK_CUDA_OK;
}

/// Records the list as a graph. cudaSuccess with exec null: the runtime could not, and the list must be issued as it is.
int capture(Session& s, const tenpak_cuda_command* commands, std::uint32_t n, cudaGraphExec_t& exec, char* error, std::size_t error_size) {
    TENPAK_TRY("cannot record a graph", cudaStreamBeginCapture(s.stream.handle, cudaStreamCaptureModeThreadLocal));
    const int code = issue(s, commands, n, error, error_size);
    cudaGraph_t graph = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(s.stream.handle, &graph);
    if (code == TENPAK_CUDA_OK && ended == cudaSuccess && cudaGraphInstantiate(&exec, graph, 0) != cudaSuccess) exec = nullptr;
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    return TENPAK_CUDA_OK;
}

int run(Session* sp, const tenpak_cuda_command* commands, std::uint32_t n, const void* payload, std::uint32_t payload_bytes, char* error, std::size_t error_size) {
    Session& s = *sp;
    if (n == 0) return TENPAK_CUDA_OK;
    TENPAK_TRY("cannot choose the device", cudaSetDevice(s.device));
    TENPAK_TRY("cannot allocate device memory", grow(s, s.payload, payload_bytes));
    const std::string_view bytes(reinterpret_cast<const char*>(commands), sizeof(tenpak_cuda_command) * n);
    const std::size_t hash = std::hash<std::string_view>{}(bytes);
    const bool worth = n >= kLeastCommands && !s.plain;
    std::string key;
    auto found = s.graphs.end();
    if (worth && s.seen.count(hash) != 0) {
        key.assign(bytes);
        found = s.graphs.find(key);
    }
    if (found == s.graphs.end()) {
        Measure measure{s};
        if (const char* const invalid = Plan<Measure>(measure, commands, n).run(); invalid != nullptr) {
            std::snprintf(error, error_size, "%s", invalid);
            return TENPAK_CUDA_BAD_ARGUMENT;
        }
        for (u32 r = 0; r < kRegions; ++r) TENPAK_TRY("cannot allocate device memory", grow(s, s.regions[r], measure.bytes[r]));
    }
    if (payload_bytes > 0) TENPAK_TRY("cannot copy to the device", send(s, payload, payload_bytes, s.payload.memory));
    if (found != s.graphs.end()) {
        found->second.last_used = ++s.clock;
        ++s.graph_launches;
        TENPAK_TRY("cannot start a graph", cudaGraphLaunch(found->second.exec, s.stream.handle));
        return TENPAK_CUDA_OK;
    }
    if (!worth || s.seen.count(hash) == 0) {
        if (s.seen.size() >= kMostSeen) s.seen.clear();
        if (worth) s.seen.insert(hash);
        return issue(s, commands, n, error, error_size);
    }
    cudaGraphExec_t exec = nullptr;
    if (const int code = capture(s, commands, n, exec, error, error_size); code != TENPAK_CUDA_OK) return code;
    if (exec == nullptr) {
        s.seen.erase(hash);
        return issue(s, commands, n, error, error_size);
    }
    if (s.graphs.size() >= kMostGraphs) {
        const auto oldest = std::min_element(s.graphs.begin(), s.graphs.end(), [](const auto& a, const auto& b) { return a.second.last_used < b.second.last_used; });
        TENPAK_TRY("a kernel failed", cudaStreamSynchronize(s.stream.handle));
        cudaGraphExecDestroy(oldest->second.exec);
        s.graphs.erase(oldest);
    }
    s.graphs.emplace(std::move(key), Graph{exec, ++s.clock});
    ++s.graph_launches;
    TENPAK_TRY("cannot start a graph", cudaGraphLaunch(exec, s.stream.handle));
    return TENPAK_CUDA_OK;
}

int memory(Session* s, tenpak_cuda_memory_use* out, char* error, std::size_t error_size) {
    TENPAK_TRY("cannot choose the device", cudaSetDevice(s->device));
    std::size_t free_bytes = 0, total = 0;
    TENPAK_TRY("cannot ask for the device's memory", cudaMemGetInfo(&free_bytes, &total));
    std::uint64_t workspace = s->payload.bytes + s->dense_workspace.bytes;
    for (const Allocation& a : s->regions) workspace += a.bytes;
    *out = {s->used, s->peak, workspace, free_bytes, total, s->graphs.size(), s->graph_launches, s->launches};
    return TENPAK_CUDA_OK;
}

/// No exception may leave the module.
template <auto kFunction, class... A>
int guarded(A... a) {
    try {
        return kFunction(a...);
    } catch (...) {
        return TENPAK_CUDA_OUT_OF_MEMORY;  // only the host's containers throw
    }
}

}  // namespace
}  // namespace tenpak::compute::gpu

extern "C" __attribute__((visibility("default"))) const tenpak_cuda_compute* tenpak_cuda_get_compute(void) {
    namespace gpu = tenpak::compute::gpu;
    static const tenpak_cuda_compute functions = {
        [](auto... a) { return gpu::guarded<gpu::open>(a...); },
        gpu::close,
        [](auto... a) { return gpu::guarded<gpu::allocate>(a...); },
        gpu::release,
        [](auto... a) { return gpu::guarded<gpu::upload>(a...); },
        [](auto... a) { return gpu::guarded<gpu::download>(a...); },
        [](auto... a) { return gpu::guarded<gpu::synchronize>(a...); },
        [](auto... a) { return gpu::guarded<gpu::run>(a...); },
        [](auto... a) { return gpu::guarded<gpu::memory>(a...); },
        [](tenpak_cuda_session* s) { return s->dense.description(); },
    };
    return &functions;
}
