// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>

#include "core/compute/backend.h"

namespace tenpak::compute {

struct CpuFeatures {
    bool avx2 = false, avx512 = false, avx512_vnni = false, avx512_bf16 = false, amx_int8 = false, amx_bf16 = false;
    std::string model;  ///< "Intel(R) Xeon(R) Processor"
    std::uint64_t memory_bytes = 0, l2_bytes = 0, l3_bytes = 0;
    /// "AVX-512 VNNI, AMX", for the hardware chip.
    std::string instruction_sets() const;
};
const CpuFeatures& cpu_features();

/// `threads` 0: usable_cpus(). Kernels are chosen at run time from cpu_features(); TENPAK_CPU=scalar|avx2|avx512|vnni in
/// the environment limits them. Results do not depend on the number of threads.
///
/// Precision of linear(), with W exactly what the codes stand for (LinearWeight::dequantize) and sums in fp32:
///   fp32             always W x in fp32 (the reference path)
///   int8 per channel x is quantized per token to int8 (part of the format), sums are exact
///   int4, int8 group x in 16-bit integers, one scale a token and group, on AVX-512 VNNI (error at most 1/65000 of the
///                    group's largest value, less than rounding to bf16 makes); in fp32 on other levels
///   bf16, fp16       x in fp32
/// AMX is detected and named but not used yet.
std::unique_ptr<Backend> make_cpu_backend(unsigned threads = 0);
/// The same with fewer instruction sets than there are (tests, comparisons). `use` must be a subset of cpu_features().
std::unique_ptr<Backend> make_cpu_backend(unsigned threads, const CpuFeatures& use);

}  // namespace tenpak::compute
