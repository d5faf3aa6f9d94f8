// SPDX-License-Identifier: Apache-2.0
// Inverse frequencies of rotary position embedding from config.json, with every scaling that transformers has for the
// architectures at hand: default, linear, dynamic (NTK), yarn, llama3, longrope.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/json.h"

namespace tenpak::model {

struct Rope {
    enum class Kind : std::uint8_t { kFixed, kDynamic, kLong };
    Kind kind = Kind::kFixed;
    std::uint32_t dim = 0;             ///< values of a head that are rotated; even; 0: none
    float attention_factor = 1;        ///< multiplies sines and cosines
    std::uint32_t original = 0;        ///< kDynamic, kLong: up to this context `short_frequencies` hold
    double theta = 10000, factor = 1;  ///< kDynamic
    std::vector<float> short_frequencies, long_frequencies;  ///< [dim/2]

    /// Contexts of one variant share their frequencies.
    std::uint32_t variant(std::uint32_t context) const;
    std::vector<float> frequencies(std::uint32_t variant) const;
    /// True: keys of a shorter context must be made anew when the variant changes. With dynamic scaling, whose frequencies
    /// change with every token, the keys stay as they are, as in transformers.
    bool recodes() const { return kind == Kind::kLong; }
};

/// What an architecture says where config.json is silent.
struct RopeDefaults {
    double theta = 10000, partial = 1;
    const char* theta_key = "rope_theta";
    const char* partial_key = "partial_rotary_factor";
    std::uint32_t original = 0;      ///< "original_max_position_embeddings"; 0: the model's own context
    bool yarn_means_long = false;    ///< early Phi-3 files call longrope "yarn"
};

/// Reads "rope_parameters" (transformers 5) or "rope_scaling" and "rope_theta" (transformers 4).
/// kUnsupported names a scaling that is not known; kMalformed for impossible numbers.
Result<Rope> read_rope(const Json& config, std::uint32_t head_dim, std::uint32_t max_positions, const RopeDefaults& defaults, const std::string& where);

}  // namespace tenpak::model
