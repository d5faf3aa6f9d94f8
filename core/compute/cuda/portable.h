// SPDX-License-Identifier: Apache-2.0
// What lets one kernel body be compiled for the GPU and, for tests, for the host: 16-bit floats, tensor-core products, and the
// policies Warp and Block. A body runs a piece of code in each lane, thread or warp; on the GPU these are real, on the host
// loops, so that a machine without a GPU runs exactly the same algorithm. A variable that lives in each lane is an array of
// Warp::kCopies; one that lives in each warp is an array of Block::kWarpCopies of these.
// Fragments are those of PTX's mma.sync.m16n8k16 (f16) and m16n8k32 (s8): lane = 4 * g + t; A has rows g and g + 8,
// B and C have columns g (B) or 2 t, 2 t + 1 (C).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define TENPAK_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define TENPAK_HOST_DEVICE inline
#endif
#ifdef __CUDA_ARCH__
#define TENPAK_UNROLL _Pragma("unroll")
#define TENPAK_ROLLED _Pragma("unroll 1")  // the loops over columns and positions: what is in flight is chosen by hand
#else
#define TENPAK_UNROLL
#define TENPAK_ROLLED
#endif

namespace tenpak::compute::gpu {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;

struct alignas(16) Word4 {
    u32 w[4];
};
struct alignas(8) Word2 {
    u32 w[2];
};

TENPAK_HOST_DEVICE float float_of_bits(u32 u) {
#ifdef __CUDA_ARCH__
    return __uint_as_float(u);
#else
    float f;
    std::memcpy(&f, &u, 4);
    return f;
#endif
}
TENPAK_HOST_DEVICE u32 bits_of_float(float f) {
#ifdef __CUDA_ARCH__
    return __float_as_uint(f);
#else
    u32 u;
    std::memcpy(&u, &f, 4);
    return u;
#endif
}

TENPAK_HOST_DEVICE float bf16_value(u16 b) { return float_of_bits(static_cast<u32>(b) << 16); }
/// Round to nearest even; NaN is not kept apart (activations are finite or the result is refused anyway).
TENPAK_HOST_DEVICE u16 to_bf16(float f) {
    const u32 u = bits_of_float(f);
    return static_cast<u16>((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
TENPAK_HOST_DEVICE float fp16_value(u16 h) {
#ifdef __CUDA_ARCH__
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
    return f;
#else
    const u32 sign = static_cast<u32>(h & 0x8000u) << 16, exp = h >> 10 & 0x1fu, man = h & 0x3ffu;
    if (exp == 0x1f) return float_of_bits(sign | 0x7f800000u | man << 13);
    if (exp != 0) return float_of_bits(sign | (exp + 112) << 23 | man << 13);
    return float_of_bits(bits_of_float(static_cast<float>(man) * 5.9604644775390625e-8f) | sign);
#endif
}
TENPAK_HOST_DEVICE u16 to_fp16(float f) {
#ifdef __CUDA_ARCH__
    u16 h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
    return h;
#else
    const u32 u = bits_of_float(f), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return static_cast<u16>(sign | 0x7e00u);
    if (a >= 0x47800000u) return static_cast<u16>(sign | 0x7c00u);
    if (a < 0x38800000u) return static_cast<u16>(sign | (bits_of_float(float_of_bits(a) + 0.5f) - 0x3f000000u));
    return static_cast<u16>(sign | (a - 0x38000000u + 0xfffu + (a >> 13 & 1u)) >> 13);
#endif
}
TENPAK_HOST_DEVICE u32 pack2(u16 low, u16 high) { return static_cast<u32>(low) | static_cast<u32>(high) << 16; }
TENPAK_HOST_DEVICE u32 pack_fp16(float low, float high) {
#ifdef __CUDA_ARCH__
    u32 r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
#else
    return pack2(to_fp16(low), to_fp16(high));
#endif
}
TENPAK_HOST_DEVICE float low_half(u32 v) { return fp16_value(static_cast<u16>(v & 0xffffu)); }
TENPAK_HOST_DEVICE float high_half(u32 v) { return fp16_value(static_cast<u16>(v >> 16)); }

// Two fp16 at once.
TENPAK_HOST_DEVICE u32 half2_sub(u32 a, u32 b) {
#ifdef __CUDA_ARCH__
    u32 r;
    asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
#else
    return pack_fp16(low_half(a) - low_half(b), high_half(a) - high_half(b));
#endif
}
TENPAK_HOST_DEVICE u32 half2_mul(u32 a, u32 b) {
#ifdef __CUDA_ARCH__
    u32 r;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
#else
    return pack_fp16(low_half(a) * low_half(b), high_half(a) * high_half(b));
#endif
}
TENPAK_HOST_DEVICE u32 half2_fma(u32 a, u32 b, u32 c) {
#ifdef __CUDA_ARCH__
    u32 r;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
#else
    return pack_fp16(low_half(a) * low_half(b) + low_half(c), high_half(a) * high_half(b) + high_half(c));
#endif
}
/// (a & mask) | bits in one instruction.
TENPAK_HOST_DEVICE u32 and_or(u32 a, u32 mask, u32 bits) {
#ifdef __CUDA_ARCH__
    u32 r;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(r) : "r"(a), "r"(mask), "r"(bits));  // (a & b) | c
    return r;
#else
    return (a & mask) | bits;
#endif
}
/// Bytes of the eight in (low, high) by the four selectors' nibbles.
TENPAK_HOST_DEVICE u32 byte_select(u32 low, u32 high, u32 selector) {
#ifdef __CUDA_ARCH__
    return __byte_perm(low, high, selector);
#else
    const std::uint64_t all = low | static_cast<std::uint64_t>(high) << 32;
    u32 r = 0;
    for (unsigned i = 0; i < 4; ++i) r |= static_cast<u32>(all >> (selector >> (4 * i) & 7u) * 8 & 0xffu) << (8 * i);
    return r;
#endif
}
TENPAK_HOST_DEVICE u32 ones_of(u32 v) {
#ifdef __CUDA_ARCH__
    return static_cast<u32>(__popc(v));
#else
    u32 n = 0;
    for (; v != 0; v &= v - 1) ++n;
    return n;
#endif
}
TENPAK_HOST_DEVICE float max_of(float a, float b) { return a > b ? a : b; }
TENPAK_HOST_DEVICE u32 min_of(u32 a, u32 b) { return a < b ? a : b; }
TENPAK_HOST_DEVICE u32 max_of(u32 a, u32 b) { return a > b ? a : b; }

constexpr float kMinusInfinity = -3.0e38f;  ///< below every score, and its differences stay finite

/// Weights are read once: they should not push activations out of the caches.
TENPAK_HOST_DEVICE Word4 load_stream(const Word4* p) {
#ifdef __CUDA_ARCH__
    Word4 v;
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3]) : "l"(p));
    return v;
#else
    return *p;
#endif
}
TENPAK_HOST_DEVICE Word2 load_stream(const Word2* p) {
#ifdef __CUDA_ARCH__
    Word2 v;
    asm("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(v.w[0]), "=r"(v.w[1]) : "l"(p));
    return v;
#else
    return *p;
#endif
}

/// 16 bytes, or zeros; stays behind a barrier before it.
TENPAK_HOST_DEVICE Word4 load_where(bool there, const Word4* p) {
#ifdef __CUDA_ARCH__
    Word4 v = {{0, 0, 0, 0}};
    asm volatile("{ .reg .pred p; setp.ne.u32 p, %5, 0; @p ld.global.v4.u32 {%0, %1, %2, %3}, [%4]; }"
                 : "+r"(v.w[0]), "+r"(v.w[1]), "+r"(v.w[2]), "+r"(v.w[3])
                 : "l"(p), "r"(static_cast<u32>(there))
                 : "memory");
    return v;
#else
    return there ? *p : Word4{{0, 0, 0, 0}};
#endif
}

// ---- 32 lanes ------------------------------------------------------------------------------------------------------

struct HostLanes {
    static constexpr unsigned kCopies = 32;
    template <class F>
    TENPAK_HOST_DEVICE void each(F f) const {
        for (unsigned lane = 0; lane < 32; ++lane) f(lane, lane);
    }
    /// C += A B. c(i): 4 floats, a(i): 4 words, b(i): 2 words of copy i.
    template <class C, class A, class B>
    TENPAK_HOST_DEVICE void mma_f16(C c, A a, B b) const {
        float am[16][16], bm[16][8];
        for (unsigned lane = 0; lane < 32; ++lane) {
            const unsigned g = lane / 4, t = lane % 4;
            for (unsigned r = 0; r < 4; ++r) {
                const u32 v = a(lane)[r];
                am[g + 8 * (r % 2)][2 * t + 8 * (r / 2)] = low_half(v);
                am[g + 8 * (r % 2)][2 * t + 8 * (r / 2) + 1] = high_half(v);
            }
            for (unsigned r = 0; r < 2; ++r) {
                const u32 v = b(lane)[r];
                bm[2 * t + 8 * r][g] = low_half(v);
                bm[2 * t + 8 * r + 1][g] = high_half(v);
            }
        }
        for (unsigned lane = 0; lane < 32; ++lane) {
            const unsigned g = lane / 4, t = lane % 4;
            for (unsigned r = 0; r < 4; ++r) {
                float sum = 0;
                for (unsigned k = 0; k < 16; ++k) sum += am[g + 8 * (r / 2)][k] * bm[k][2 * t + r % 2];
                c(lane)[r] += sum;
            }
        }
    }
    template <class C, class A, class B>
    TENPAK_HOST_DEVICE void mma_s8(C c, A a, B b) const {
        int am[16][32], bm[32][8];
        const auto byte = [](u32 v, unsigned i) { return static_cast<int>(static_cast<std::int8_t>(v >> (8 * i) & 0xffu)); };
        for (unsigned lane = 0; lane < 32; ++lane) {
            const unsigned g = lane / 4, t = lane % 4;
            for (unsigned i = 0; i < 4; ++i) {
                for (unsigned r = 0; r < 4; ++r) am[g + 8 * (r % 2)][4 * t + 16 * (r / 2) + i] = byte(a(lane)[r], i);
                for (unsigned r = 0; r < 2; ++r) bm[4 * t + 16 * r + i][g] = byte(b(lane)[r], i);
            }
        }
        for (unsigned lane = 0; lane < 32; ++lane) {
            const unsigned g = lane / 4, t = lane % 4;
            for (unsigned r = 0; r < 4; ++r) {
                int sum = 0;
                for (unsigned k = 0; k < 32; ++k) sum += am[g + 8 * (r / 2)][k] * bm[k][2 * t + r % 2];
                c(lane)[r] += sum;
            }
        }
    }
    /// Butterfly over lanes that differ in the bits of `lanes` - 1 (4: the quad with the same g; 32: all). v(i): the value.
    template <class V, class Op>
    TENPAK_HOST_DEVICE void reduce(unsigned lanes, V v, Op op) const {
        for (unsigned step = lanes / 2; step > 0; step /= 2) {
            float old[32];
            for (unsigned i = 0; i < 32; ++i) old[i] = v(i);
            for (unsigned i = 0; i < 32; ++i) v(i) = op(old[i], old[i ^ step]);
        }
    }
};

#ifdef __CUDACC__
struct DeviceLanes {
    static constexpr unsigned kCopies = 1;
    template <class F>
    __device__ __forceinline__ void each(F f) const {
        f(threadIdx.x & 31u, 0u);
    }
    template <class C, class A, class B>
    __device__ __forceinline__ void mma_f16(C c, A a, B b) const {
        float* const d = c(0u);
        const u32 *const x = a(0u), *const y = b(0u);
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
    }
    template <class C, class A, class B>
    __device__ __forceinline__ void mma_s8(C c, A a, B b) const {
        int* const d = c(0u);
        const u32 *const x = a(0u), *const y = b(0u);
        asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                     : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
    }
    template <class V, class Op>
    __device__ __forceinline__ void reduce(unsigned lanes, V v, Op op) const {
        for (unsigned step = lanes / 2; step > 0; step /= 2) v(0u) = op(v(0u), __shfl_xor_sync(0xffffffffu, v(0u), step));
    }
};
#endif

// ---- one thread block ----------------------------------------------------------------------------------------------

struct HostBlock {
    static constexpr unsigned kWarpCopies = 8, kThreadCopies = 512;  ///< bodies with variables per warp have at most 8 warps
    using Lanes = HostLanes;
    unsigned x = 0, y = 0, z = 0;  ///< the block's place in the grid
    unsigned threads = 256;
    unsigned char* shared = nullptr;

    template <class F>
    TENPAK_HOST_DEVICE void each_warp(F f) const {
        for (unsigned w = 0; w < threads / 32; ++w) f(Lanes{}, w, w);
    }
    template <class F>
    TENPAK_HOST_DEVICE void each_thread(F f) const {
        for (unsigned i = 0; i < threads; ++i) f(i, i);
    }
    TENPAK_HOST_DEVICE void sync() const {}
    /// 16 bytes to shared memory, asynchronously on the GPU; zeros where not `valid`.
    TENPAK_HOST_DEVICE void copy16(void* to, const void* from, bool valid) const {
        if (valid) {
            std::memcpy(to, from, 16);
        } else {
            std::memset(to, 0, 16);
        }
    }
    TENPAK_HOST_DEVICE void commit() const {}
    /// A kernel may be started while the one before it still runs: what that one writes, or reads and this one writes, must not be
    /// touched before wait_predecessor(), which every block calls. Constant data (weights) may be read at once.
    TENPAK_HOST_DEVICE void start_successor() const {}
    TENPAK_HOST_DEVICE void wait_predecessor() const {}
    template <int kPending>
    TENPAK_HOST_DEVICE void wait() const {}
    /// Counts the blocks that come here with the same counter; true in the last of `of`, which resets it and sees what the others wrote.
    TENPAK_HOST_DEVICE bool last_to_arrive(u32* counter, u32 of) const {
        if (++*counter < of) return false;
        *counter = 0;
        return true;
    }
};

#ifdef __CUDACC__
struct DeviceBlock {
    static constexpr unsigned kWarpCopies = 1, kThreadCopies = 1;
    using Lanes = DeviceLanes;
    unsigned x, y, z, threads;
    unsigned char* shared;

    __device__ __forceinline__ explicit DeviceBlock(unsigned char* memory)
        : x(blockIdx.x), y(blockIdx.y), z(blockIdx.z), threads(blockDim.x), shared(memory) {}
    template <class F>
    __device__ __forceinline__ void each_warp(F f) const {
        f(Lanes{}, threadIdx.x / 32, 0u);
    }
    template <class F>
    __device__ __forceinline__ void each_thread(F f) const {
        f(threadIdx.x, 0u);
    }
    __device__ __forceinline__ void sync() const { __syncthreads(); }
    __device__ __forceinline__ void copy16(void* to, const void* from, bool valid) const {
        const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
        const int bytes = valid ? 16 : 0;  // the rest is filled with zeros
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
    }
    __device__ __forceinline__ void start_successor() const {
#if __CUDA_ARCH__ >= 900
        asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
    }
    __device__ __forceinline__ void wait_predecessor() const {
#if __CUDA_ARCH__ >= 900
        asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
    }
    __device__ __forceinline__ void commit() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
    template <int kPending>
    __device__ __forceinline__ void wait() const {
        asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
    }
    __device__ __forceinline__ bool last_to_arrive(u32* counter, u32 of) const {
        __shared__ bool last;
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0) {
            last = atomicAdd(counter, 1u) + 1 == of;
            if (last) *counter = 0;  // nobody else comes; the next kernel finds it ready
        }
        __syncthreads();
        __threadfence();
        return last;
    }
};
#endif

}  // namespace tenpak::compute::gpu
