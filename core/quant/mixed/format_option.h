// SPDX-License-Identifier: Apache-2.0
// The formats between which `mixed` chooses.
#pragma once
#include <string>
#include <vector>

#include "core/quant/candidate.h"

namespace tenpak::quant {

struct FormatOption {
    std::string name;     ///< for the user: "int4 g64"
    Candidate candidate;  ///< the method and format that it stands for; kNone: the model's own 16 bit

    bool dense() const { return candidate.method == Method::kNone; }
    /// Its packed rows can hold k columns; where they cannot, the linear stays dense.
    bool fits(std::uint32_t k) const;
    std::uint32_t group_of(std::uint32_t k) const;  ///< columns that share a scale; 0: dense
    /// As stored, without the bias.
    std::uint64_t bytes(std::uint32_t n, std::uint32_t k) const;
};

/// Fewest bits first: INT4 with groups of 256, 128, 64 and 32 and zero points and INT4+INT2 with groups of 128, by GPTQ; INT8 with
/// groups of 128; 16 bit.
const std::vector<FormatOption>& mixed_options();
/// Of these, the one whose loss the whole-model probes measure: INT4 with groups of 128.
inline constexpr std::uint32_t kProbedOption = 1;

}  // namespace tenpak::quant
