// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>

#include "core/compute/backend.h"

namespace tenpak::compute {

struct CpuFeatures {
    bool avx2 = false, avx512 = false, avx512_vnni = false, avx512_bf16 = false, avx512_vbmi2 = false, amx_int8 = false, amx_bf16 = false;
    std::string model;  ///< "Intel(R) Xeon(R) Processor"
    std::uint64_t memory_bytes = 0, l2_bytes = 0, l3_bytes = 0;
    /// "AVX-512 VNNI, AMX", for the hardware chip.
    std::string instruction_sets() const;
};
const CpuFeatures& cpu_features();

/// How linear() rounds activations. W is exactly what the codes stand for (LinearWeight::dequantize), but for nf4 with
/// 8-bit activations, and sums are fp32. Part of the format in either mode: int8 per channel quantizes activations per token
/// to int8 (LLM.int8: not those from the outlier threshold on, which are multiplied in fp32), fp8 per token to e4m3.
enum class Activations : std::uint8_t {
    /// fp32; 16-bit integers with one scale a token and group for int8, int4, int4+int2 and int4+sparse groups on AVX-512
    /// VNNI (error at most 1/65000 of the group's largest value). What logits are compared with references in.
    kExact,
    /// What the hardware multiplies fastest, as llama.cpp and vLLM do: bf16 for bf16 weights where there is AVX-512 BF16
    /// (one token is computed as kExact is: reading the weights takes longer than that), int8 with one scale a token and
    /// group for weights in groups where there is VNNI; nf4's sixteen values are 16 bits then. Figures of what it costs:
    /// tests/bench/RESULTS.md.
    kNative,
};

struct CpuOptions {
    unsigned threads = 0;  ///< 0: usable_cpus()
    Activations activations = Activations::kExact;
    /// oneDNN for bf16 activations although the CPU has no AMX, where this was built with oneDNN (tests).
    bool force_onednn = false;
};

/// Kernels are chosen at run time from cpu_features(); TENPAK_CPU=scalar|avx2|avx512|vnni in the environment limits them.
/// Results do not depend on the number of threads. PackedLinear::kernel() names what runs and the activations' precision.
/// `use`: fewer instruction sets than there are (tests, comparisons); a subset of cpu_features().
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options, const CpuFeatures& use = cpu_features());
std::unique_ptr<Backend> make_cpu_backend(unsigned threads = 0);
std::unique_ptr<Backend> make_cpu_backend(unsigned threads, const CpuFeatures& use);

}  // namespace tenpak::compute
