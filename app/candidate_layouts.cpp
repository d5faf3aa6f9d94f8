// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/candidate_layouts.h"

namespace tenpak::app {
namespace {

Result<model::ModelConfig> config_of(const fs::path& path) {
    TENPAK_ASSIGN(const auto model, ModelDirectory::open(path));
    return model::read_config(*model);
}

}  // namespace

std::vector<CandidateLayout> candidate_layouts(const fs::path& path, const std::string& name) {
    std::vector<CandidateLayout> all;
    const auto config = config_of(path);
    const auto candidate = quant::find_candidate(name);
    if (!config.ok() || !candidate.ok() || !candidate->lossy()) return all;
    const auto add = [&](quant::Layout l) { all.push_back({quant::layout_name(l), quant::engine_verdicts(*config, *candidate, l)}); };
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
        if (quant::check_layout(l, *config, c).ok()) all.emplace_back(c.name, CandidateLayout{quant::layout_name(l), quant::engine_verdicts(*config, c, l)});
    }
    return all;
}

}  // namespace tenpak::app
