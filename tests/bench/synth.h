// SPDX-License-Identifier: Apache-2.0
// Made-up pairs of any size, written as Hugging Face folders tensor by tensor: memory is bounded by one tensor.
// Weights are 0.02 * row * column * N(0,1) with lognormal scales (0.25), rounded to the type. The fine-tune adds
//   full:  alpha * 0.02 * row' * column' * N(0,1)
//   LoRA:  scale * A B^T of a given rank with a decaying spectrum (0.9^i), |delta| / |w| = alpha, merged as PEFT does.
// alpha .005 to .05 is what published figures of real full fine-tunes correspond to; .01 is usual for a LoRA.
#pragma once
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/tensor/dtype.h"

namespace tenpak::bench {

struct Shape {
    std::string name;
    std::uint64_t rows = 0, columns = 0;
    bool linear = true;  ///< a LoRA changes it
};

enum class Merge {
    kNone,  ///< a full fine-tune
    kFp32,  ///< factors and product in fp32, the sum rounded once
    kBf16   ///< factors rounded to bf16, the product rounded to bf16, the sum rounded again: PEFT with a bf16 adapter
};

struct Synth {
    std::vector<Shape> shapes;
    DType dtype = DType::kBF16;
    double alpha = .005;
    Merge merge = Merge::kNone;
    unsigned rank = 16;
    unsigned seed = 1;
    bool quick_normals = false;  ///< N(0,1) from a table of 65,536 quantiles: ten times as fast, for gigabytes
};

/// Names and shapes of a Llama of about `bytes` in a 16-bit type, tied head: an embedding and layers of seven linear
/// weights.
std::vector<Shape> llama_shapes(std::uint64_t bytes);

/// Writes folder/base and folder/ft, each with config.json and model.safetensors.
Status write_pair(const fs::path& folder, const Synth& what);

}  // namespace tenpak::bench
