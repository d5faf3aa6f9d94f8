// SPDX-License-Identifier: GPL-3.0-or-later
// No Qt in this file: the engine's headers use names that Qt makes macros.
#include "app/candidate_layouts.h"

#include "core/quant/engine_support.h"

namespace tenpak::app {
namespace {

Result<model::ModelConfig> config_of(const fs::path& path) {
    TENPAK_ASSIGN(const auto model, ModelDirectory::open(path));
    return model::read_config(*model);
}

CandidateLayout layout_of(const model::ModelConfig& config, const quant::Candidate& candidate, quant::Layout l) {
    CandidateLayout out{quant::layout_name(l), {}};
    for (const quant::EngineVerdict& v : quant::engine_verdicts(config, candidate, l)) {
        const bool loads = v.loads != quant::Loads::kNo;
        out.verdicts.push_back({quant::engine_name(v.engine), loads, v.kernel, loads ? v.why : std::string(), loads ? std::string() : v.why});
    }
    return out;
}

}  // namespace

std::vector<CandidateLayout> candidate_layouts(const fs::path& path, const std::string& name) {
    std::vector<CandidateLayout> all;
    const auto config = config_of(path);
    const auto candidate = quant::find_candidate(name);
    if (!config.ok() || !candidate.ok() || !candidate->lossy()) return all;
    const auto add = [&](quant::Layout l) { all.push_back(layout_of(*config, *candidate, l)); };
    const quant::Layout first = quant::default_layout(*config, *candidate);
    if (first != quant::Layout::kGguf && quant::check_layout(first, *config, *candidate).ok()) add(first);
    for (const quant::Layout l : quant::kLayouts) {
        if (l != first && l != quant::Layout::kGguf && quant::check_layout(l, *config, *candidate).ok()) add(l);
    }
    return all;
}

std::vector<std::pair<std::string, CandidateLayout>> default_layouts(const fs::path& path) {
    std::vector<std::pair<std::string, CandidateLayout>> all;
    const auto config = config_of(path);
    if (!config.ok()) return all;
    for (const quant::Candidate& c : quant::known_candidates()) {
        if (!c.lossy()) continue;
        const quant::Layout l = quant::default_layout(*config, c);
        if (quant::check_layout(l, *config, c).ok()) all.emplace_back(c.name, layout_of(*config, c, l));
    }
    return all;
}

}  // namespace tenpak::app
