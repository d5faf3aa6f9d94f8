// SPDX-License-Identifier: GPL-3.0-or-later
// In which layouts a candidate of a model can be written, and which serving engines load it: known before it is quantized.
#pragma once
#include <string>
#include <vector>

#include "core/base/file.h"

namespace tenpak::app {

/// As quant::EngineVerdict, whose header uses names that Qt makes macros.
struct LayoutVerdict {
    std::string engine;    ///< "vLLM"
    bool loads = false;
    std::string kernel, condition, why;  ///< condition: of loading; why: it does not load
};
struct CandidateLayout {
    std::string name;      ///< "compressed-tensors"
    std::vector<LayoutVerdict> verdicts;
};
/// Layouts that are folders, the one that most engines load first; empty where the model cannot be read or the candidate is unknown
/// or changes nothing. Reads the model's config.json.
std::vector<CandidateLayout> candidate_layouts(const fs::path& model, const std::string& candidate);
/// The same of every known candidate, only its first layout: pairs of candidate and layout.
std::vector<std::pair<std::string, CandidateLayout>> default_layouts(const fs::path& model);

}  // namespace tenpak::app
