// SPDX-License-Identifier: Apache-2.0
// Quantization without calibration: every weight to the nearest value of its row's or group's grid.
// W is row-major [n = out, k = in], finite; the group divides k.
#pragma once
#include <span>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/compute/linear_weight.h"
#include "core/quant/grid.h"

namespace tenpak::quant {

/// Codes of up to 4 bits: kInt4Group; of 6: kInt4Residual.
compute::LinearWeight round_to_nearest_int4(std::span<const float> w, std::uint32_t n, std::uint32_t k, const GroupFormat& format,
                                            ThreadPool& pool);
/// Symmetric, codes -127..127: kInt8Group, or kInt8Channel (one scale a row, W8A8) for group 0.
compute::LinearWeight round_to_nearest_int8(std::span<const float> w, std::uint32_t n, std::uint32_t k, std::uint32_t group,
                                            float min_scale, ThreadPool& pool);
/// LLM.int8 as bitsandbytes stores it: kInt8Channel, scales = (largest magnitude of the row) / 127 in fp32, activations from
/// `outlier_threshold` on exact.
compute::LinearWeight round_to_nearest_llm_int8(std::span<const float> w, std::uint32_t n, std::uint32_t k, float outlier_threshold,
                                                ThreadPool& pool);
/// kFp8Channel: e4m3, scales = (largest magnitude of the row) / 448 in fp32.
compute::LinearWeight round_to_nearest_fp8(std::span<const float> w, std::uint32_t n, std::uint32_t k, ThreadPool& pool);
/// kNf4Group, bit for bit as bitsandbytes' CUDA kernels (its CPU library looks the nested codes up in a coarser table). With
/// `nested`, scales are quantized, too ("double quantization"): about their mean over the weight, 256 a block.
compute::LinearWeight round_to_nearest_nf4(std::span<const float> w, std::uint32_t n, std::uint32_t k, std::uint32_t group, bool nested,
                                           ThreadPool& pool);
/// What round_to_nearest_int4 would make of W, as fp32: for searches.
void round_values(const float* w, std::uint32_t rows, std::uint32_t k, const GroupFormat& format, float* out);

}  // namespace tenpak::quant
