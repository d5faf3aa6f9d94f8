// SPDX-License-Identifier: Apache-2.0
#include "app/cli/delta_lossy.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "app/cli/model_loading.h"

namespace tenpak::cli {

namespace {

std::string number(double v, const char* format = "%.3g") {
    char s[64];
    std::snprintf(s, sizeof s, format, v);
    return s;
}

/// What the tensors would take losslessly, by the samples that the choices were made from.
double lossless_bits(const delta::CompressReport& report) {
    double bits = 0, weights = 0;
    for (const delta::TensorReport& t : report.tensors) {
        const double n = static_cast<double>(t.weights);
        weights += n;
        const bool weighed = t.choice && !t.choice->considered.empty();
        bits += weighed ? t.choice->considered.front().bits_per_weight * n : 8 * static_cast<double>(t.stored_bytes);
    }
    return weights > 0 ? bits / weights : 0;
}

double bits_of(const delta::TensorReport& t, std::uint64_t weights) { return weights > 0 ? 8.0 * static_cast<double>(t.stored_bytes) / static_cast<double>(weights) : 0; }

}  // namespace

Result<PerplexityChange> measure_perplexity_change(const Context& ctx, const PerplexityRequest& r) {
    PerplexityChange p;
    p.text = r.text;
    if (r.text.empty()) {
        p.why_not = "no --text was given";
        return p;
    }
    const auto one = [&](const std::string& model, const std::string& base) -> Result<evaluate::PerplexityResult> {
        TENPAK_ASSIGN(const RunnableModel m, load_runnable(ctx, model, base, {}, r.threads));
        TENPAK_ASSIGN(const auto tokens, read_tokens(*m.source, r.text));
        return evaluate::perplexity(*m.transformer, tokens, {r.context, r.samples}, ctx.job);
    };
    // One after the other: two models at once may not fit.
    auto fine_tune = one(r.fine_tune, {});
    auto rebuilt = fine_tune.ok() ? one(r.artifact, r.base) : Result<evaluate::PerplexityResult>(fine_tune.error());
    if (!rebuilt.ok()) {
        if (rebuilt.error().code == ErrorCode::kCancelled) return rebuilt.error();
        p.why_not = rebuilt.error().text();
        return p;
    }
    p.fine_tune = std::move(*fine_tune);
    p.rebuilt = std::move(*rebuilt);
    TENPAK_ASSIGN(p.change, evaluate::paired_delta(p.rebuilt, p.fine_tune));
    return p;
}

OrderedJson to_json(const PerplexityChange& p) {
    if (!p.why_not.empty()) return nullptr;
    return {{"fine_tune", p.fine_tune.perplexity}, {"rebuilt", p.rebuilt.perplexity}, {"change_percent", p.change.percent}, {"change_low", p.change.low},
            {"change_high", p.change.high}, {"tokens", p.rebuilt.tokens}, {"convention", p.rebuilt.convention}, {"text", p.text}};
}

void add_lossy_json(OrderedJson& json, const delta::CompressReport& report, const delta::LossyOptions& options) {
    json["mode"] = delta::lossy_mode_name(options.mode);
    json["relative_error"] = report.error.relative();
    json["delta_relative_error"] = report.error.change_relative();
    if (options.mode == delta::LossyMode::kLossless) return;
    json["lossless_bits_per_weight_estimate"] = lossless_bits(report);
    if (options.mode == delta::LossyMode::kLowRank) json["rank"] = options.rank;
    OrderedJson& tensors = json["tensors"];  // one for each of the report's
    for (std::size_t i = 0; i < report.tensors.size(); ++i) {
        const delta::TensorReport& t = report.tensors[i];
        OrderedJson j = {{"bits_per_weight", bits_of(t, t.weights)}, {"max_abs_error", t.error.max_abs},
                         {"relative_error", t.error.relative()}, {"delta_relative_error", t.error.change_relative()}};
        if (t.choice) {
            if (!t.choice->why.empty()) j["why_lossless"] = t.choice->why;
            if (t.choice->lambda > 0) j["lambda"] = t.choice->lambda;
            for (const delta::LossyCandidate& c : t.choice->considered) {
                if (c.codec == t.choice->codec && c.step > 0) j["step"] = c.step, j["threshold"] = c.threshold;
                j["considered"].push_back({{"method", c.codec}, {"bits_per_weight", c.bits_per_weight}, {"delta_relative_error", c.change_error}, {"cost", c.cost}});
            }
        }
        tensors[i].update(j);
    }
}

std::string lossy_text(const delta::CompressReport& report, const delta::LossyOptions& options, const PerplexityChange& p) {
    std::string s = report.lossless ? "lossless all the same: in mode " + std::string(delta::lossy_mode_name(options.mode)) + " nothing had to be lost"
                                    : "LOSSY (mode " + std::string(delta::lossy_mode_name(options.mode)) + "): largest weight error " + number(report.error.max_abs) + ", error " +
                                          number(100 * report.error.relative()) + " % of the weights and " + number(100 * report.error.change_relative()) +
                                          " % of the fine-tune's change (Frobenius norms)";
    struct Sum {
        std::uint64_t tensors = 0, stored = 0, weights = 0;
        delta::ErrorSums error;
        double least = 0, most = 0;  // threshold
    };
    std::map<std::string, Sum> methods;
    std::map<std::string, std::uint64_t> kept;
    for (const delta::TensorReport& t : report.tensors) {
        Sum& m = methods[t.method];
        ++m.tensors;
        m.stored += t.stored_bytes;
        m.weights += t.weights;
        m.error.add(t.error);
        if (!t.choice) continue;
        if (!t.choice->why.empty()) ++kept[t.choice->why];
        for (const delta::LossyCandidate& c : t.choice->considered) {
            if (c.codec != t.method || c.threshold <= 0) continue;
            m.least = m.least > 0 ? std::min(m.least, c.threshold) : c.threshold;
            m.most = std::max(m.most, c.threshold);
        }
    }
    for (const auto& [method, m] : methods) {
        s += "\n  " + method + ": " + std::to_string(m.tensors) + " tensors, " + number(m.weights > 0 ? 8.0 * static_cast<double>(m.stored) / static_cast<double>(m.weights) : 0) + " bit per weight";
        if (m.error.error2 > 0) s += ", error " + number(100 * m.error.change_relative()) + " % of the change";
        if (m.most > 0) s += ", changes below " + number(m.least) + (m.most > m.least ? " to " + number(m.most) : "") + " dropped (rate-distortion choice per tensor: --json)";
    }
    std::string why;
    for (const auto& [reason, n] : kept) why += (why.empty() ? "" : ", ") + std::to_string(n) + " (" + reason + ")";
    if (!why.empty()) s += "\nkept lossless: " + why;
    s += "\nlossless would take about " + number(lossless_bits(report)) + " bit per weight (from samples" + (options.mode == delta::LossyMode::kLowRank ? ", a merged adapter not looked for)" : ")");
    if (!p.why_not.empty()) {
        s += "\nperplexity not measured: " + p.why_not;
    } else {
        s += "\nperplexity on " + p.text + ": " + number(p.fine_tune.perplexity, "%.4f") + " fine-tune, " + number(p.rebuilt.perplexity, "%.4f") + " rebuilt, " +
             number(p.change.percent, "%+.3f") + " % (95 %: " + number(p.change.low, "%+.3f") + " to " + number(p.change.high, "%+.3f") + "; " + std::to_string(p.rebuilt.tokens) + " tokens)";
    }
    return s;
}

}  // namespace tenpak::cli
