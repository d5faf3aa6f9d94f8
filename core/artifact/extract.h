// SPDX-License-Identifier: Apache-2.0
// Single tensors or parts of a model from its blocks, without the rest: only chunks that hold a byte of them are read, and
// those with the headers that say where tensors lie.
#pragma once
#include <string>
#include <vector>

#include "core/base/block_stream.h"
#include "core/base/file.h"
#include "core/base/job_context.h"
#include "core/tensor/model_source.h"

namespace tenpak::artifact {

struct ExtractReport {
    std::vector<std::string> tensors;  ///< in layer order
    std::uint64_t bytes = 0;           ///< of tensor data
    std::uint64_t blocks_read = 0, blocks_total = 0, stored_bytes_read = 0;
    double seconds = 0;
};
/// `wanted`: names of tensors or parts (tensor_part()). Writes one .safetensors file, in memory bounded by one block: whole
/// or not at all. Errors: kNotFound for a name that is nothing in there, kWrongBase, kIntegrity, kIo, kNoSpace, kCancelled.
Result<ExtractReport> extract(const BlockSource& source, const ModelSource* base, const std::vector<std::string>& wanted, const fs::path& output, const JobContext& ctx);

}  // namespace tenpak::artifact
