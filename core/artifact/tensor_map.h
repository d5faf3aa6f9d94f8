// SPDX-License-Identifier: Apache-2.0
// Which blocks hold which tensor. Blocks of equal content are stored once, under the name of the first: so the answer comes
// from the safetensors headers inside the artifact and the files' block lists, not from block names. Internal.
#pragma once
#include <string>
#include <vector>

#include "core/base/block_stream.h"
#include "core/tensor/safetensors.h"

namespace tenpak::artifact {

struct TensorPiece {
    BlockId block = 0;
    std::uint64_t skip = 0, size = 0;  ///< bytes of the decoded block
};
struct MappedTensor {
    TensorInfo info;
    std::string part;  ///< tensor_part()
    std::vector<TensorPiece> pieces;
};
struct TensorMap {
    std::vector<MappedTensor> tensors;  ///< in layer_order()
    std::vector<BlockId> files;         ///< blocks with bytes that belong to no tensor: side files, headers
};

/// Decodes the headers of all .safetensors files. kMalformed where one is none.
Result<TensorMap> map_tensors(const BlockSource& source);

}  // namespace tenpak::artifact
