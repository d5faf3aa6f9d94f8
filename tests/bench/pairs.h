// SPDX-License-Identifier: Apache-2.0
// The pairs that the delta benchmark runs on: what is bundled, what the shared data folder has, made-up ones, and the
// real fine-tunes of make_real_pairs.py. Each is loaded only when its turn comes.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/tensor/model_source.h"

namespace tenpak::bench {

/// A tensor that has a base of the same shape: the base as the tensor's own type (fp32 to bf16 is rounded).
struct PairedTensor {
    std::string name;
    DType type = DType::kBF16;
    Bytes fine, base;
    bool cast = false;  ///< the base has another type: peers, which know no such base, code the tensor without one
};

struct Pair {
    std::string name;
    fs::path base_path, fine_path;
    std::vector<PairedTensor> tensors;
    double rest = 0;  ///< for all but patch and xdelta3, which take whole files: tensors without a base and bytes
                      ///< outside tensors, by zstd -19; a side file that the base has, too, costs nothing
    std::uint64_t raw = 0, paired = 0, weights = 0;
};
Pair load_pair(const std::string& name, const fs::path& base, const fs::path& fine);

struct PairSpec {
    std::string name;
    std::function<Pair()> make;
    bool merged_lora = false;  ///< the reference is the peers, not the entropy given the exponent
    std::optional<double> most_bits_per_weight{};
    std::optional<double> least_saved{};  ///< fraction of the raw bytes
    bool kernel_floor = false;            ///< the pair that the decode kernel's figure is stated for
};

struct PairChoice {
    bool quick = false;             ///< small made-up pairs
    std::vector<std::string> only;  ///< parts of names; empty: all
};
/// `work` keeps what is made up: until it is removed by the caller.
std::vector<PairSpec> all_pairs(const fs::path& work, const PairChoice& choice);

}  // namespace tenpak::bench
