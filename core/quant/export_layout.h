// SPDX-License-Identifier: Apache-2.0
// Writes a quantized model as serving engines load it unconverted, and reads such models back. One layout, one file in
// layouts/: exact bytes there (reference optimizer.md section 4).
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/config.h"
#include "core/quant/quantize.h"

namespace tenpak::quant {

enum class Layout {
    kCompressedTensors,  ///< pack-quantized (4 and 8 bit), int-quantized (W8A8), float-quantized (FP8), several of them mixed
    kAutoAwq,            ///< AutoAWQ "GEMM": 4 bit with zeros, packed along the outputs
    kGptq,               ///< GPTQ with checkpoint_format "gptq": zeros stored less one
    kGptqV2,             ///< GPTQ with checkpoint_format "gptq_v2": zeros as they are
    kBitsandbytes,       ///< NF4 (with or without double quantization) and LLM.int8
    kGguf,               ///< one file for llama.cpp: Q4_0, Q8_0, F16
    kBf16,               ///< dequantized: every engine loads it, nothing is saved
};
inline constexpr Layout kLayouts[] = {Layout::kCompressedTensors, Layout::kAutoAwq, Layout::kGptq, Layout::kGptqV2,
                                      Layout::kBitsandbytes, Layout::kGguf, Layout::kBf16};
/// "compressed-tensors", "awq", "gptq", "gptq_v2", "bitsandbytes", "gguf", "bf16".
const char* layout_name(Layout layout);
/// kInvalidArgument for an unknown name, listing the known ones.
Result<Layout> find_layout(std::string_view name);

/// Can this candidate be written in this layout? Known before quantizing, from names and shapes alone. kUnsupported says why
/// not; the hint names the layouts that can.
Status check_layout(Layout layout, const model::ModelConfig& config, const Candidate& candidate);
/// The layout that most serving engines load this candidate from.
Layout default_layout(const model::ModelConfig& config, const Candidate& candidate);

/// `out` must not exist or be empty (AtomicDirectory); kGguf: the file to write. Side files are copied; config.json gets
/// quantization_config. Weights beyond kShardBytes are split over several files with an index; memory stays bounded by one
/// such file. kUnsupported for fp16 (nothing to export) and for a tensor that the layout cannot hold.
Status export_model(Layout layout, const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                    const fs::path& out, const JobContext& ctx);
/// What a user of the exported model must know: groups written otherwise than measured, loaders that need an option.
std::vector<std::string> layout_notes(Layout layout, const QuantizedModel& model);

/// export_model() with kCompressedTensors. Groups of 256 are written as 128 with each scale twice: same values, and every
/// kernel of vLLM knows 128.
Status export_compressed_tensors(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                                 const fs::path& out, const JobContext& ctx);
inline constexpr std::uint64_t kShardBytes = 2'000'000'000;
std::vector<std::string> compressed_tensors_notes(const QuantizedModel& model);

/// The linears of a quantized checkpoint (any of the layouts above) as overrides; empty when the model is not quantized.
/// kUnsupported names the scheme that is not known; kMalformed when tensors and config.json disagree.
Result<compute::WeightOverrides> import_quantized(const ModelSource& source, const JobContext& ctx);

}  // namespace tenpak::quant
