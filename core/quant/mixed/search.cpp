// SPDX-License-Identifier: Apache-2.0
#include "core/quant/mixed/search.h"

#include <cstdio>

#include "core/quant/mixed/sensitivity_file.h"

namespace tenpak::quant {

Result<Sensitivity> find_sensitivity(std::shared_ptr<const ModelSource> source, std::span<const model::Token> calibration, const SensitivityOptions& options,
                                     compute::Backend& backend, const JobContext& ctx, const fs::path& file, const std::string& fingerprint, bool measure) {
    if (!file.empty()) {
        auto kept = load_sensitivity(file, fingerprint);
        if (kept.ok()) return kept;
    }
    if (!measure) return make_error(ErrorCode::kNotFound, "the sensitivities for mixed candidates are not measured yet", file.string());
    TENPAK_ASSIGN(Sensitivity s, measure_sensitivity(std::move(source), calibration, options, backend, ctx));
    if (!file.empty()) {
        std::error_code error;
        fs::create_directories(file.parent_path(), error);
        if (error) return errno_error("the folder for checkpoints cannot be made", file.parent_path().string(), error.value());
        TENPAK_RETURN_IF_ERROR(save_sensitivity(file, s, fingerprint));
    }
    return s;
}

Result<Composition> compose(const Sensitivity& s, double target_bits, const JobContext& ctx) {
    return target_bits > 0 ? compose_for_bits(s, target_bits, ctx) : compose_default(s, ctx);
}

MixedPlan plan_of(const Sensitivity& s, const Composition& c) {
    MixedPlan plan;
    for (std::size_t u = 0; u < s.units.size(); ++u) {
        const FormatOption& option = s.options[c.chosen[u]];
        for (std::size_t i = 0; i < s.units[u].names.size(); ++i) {
            plan.formats[s.units[u].names[i]] = option.fits(s.units[u].columns) ? option.candidate : find_candidate("fp16").value();
        }
    }
    plan.notes = describe(s, c);
    char text[160];
    std::snprintf(text, sizeof text, "predicted from sensitivities: perplexity %+.2f %% at %.3f bits a weight", c.percent(), c.bits);
    plan.notes.emplace_back(text);
    plan.notes.insert(plan.notes.end(), s.notes.begin(), s.notes.end());
    return plan;
}

}  // namespace tenpak::quant
