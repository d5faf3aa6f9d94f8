// SPDX-License-Identifier: Apache-2.0
#include "core/delta/pair.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "core/base/hash.h"
#include "core/delta/match_names.h"
#include "core/delta/match_sketch.h"
#include "core/delta/match_transform.h"

namespace tenpak::delta {

namespace {

std::string shape_text(const TensorInfo& t) {
    std::string s(dtype_label(t.dtype));
    for (std::size_t i = 0; i < t.shape.size(); ++i) s += (i == 0 ? " " : "x") + std::to_string(t.shape[i]);
    return s;
}

/// What each of the two is, in few words: "178 tensors, 1.10 billion weights".
std::string in_words(const ModelSource& m) {
    const double n = static_cast<double>(m.parameters());
    char weights[64];
    if (n < 1e6) std::snprintf(weights, sizeof weights, "%.0f weights", n);
    else if (n < 1e9) std::snprintf(weights, sizeof weights, "%.2f million weights", n / 1e6);
    else std::snprintf(weights, sizeof weights, "%.2f billion weights", n / 1e9);
    return std::to_string(m.tensors().size()) + " tensors, " + weights;
}

/// Contents of which less is common are strangers'; of 1,024 independent weights' correlations one in 10^9 is as high.
constexpr double kRelated = 0.2;
/// What content alone must show before one tensor is taken for another.
constexpr double kSame = 0.5;
/// Bits above the median that agree, before the correlation is looked at.
constexpr double kAgreement = 0.6;
/// More tensors of one shape are not compared each with each.
constexpr std::size_t kMostOfOneShape = 16384;

struct Fit {
    std::uint64_t weights = 0;  ///< with a counterpart
    std::string why_not;
};

bool same_rows(const TensorInfo& a, const TensorInfo& b) {
    return a.shape.size() == b.shape.size() && !a.shape.empty() && std::equal(a.shape.begin() + 1, a.shape.end(), b.shape.begin() + 1);
}

/// Whether `base` can predict `fine_tune`, by type and shape.
Fit fit(const TensorInfo& base, const TensorInfo& fine_tune) {
    if (base.dtype != fine_tune.dtype && !(can_transform(base.dtype) && can_transform(fine_tune.dtype))) return {0, "other element type"};
    if (base.shape == fine_tune.shape) return {fine_tune.elements(), {}};
    if (same_rows(base, fine_tune) && dtype_bits(base.dtype) % 8 == 0) return {std::min(base.elements(), fine_tune.elements()), {}};
    if (base.shape.size() == 2 && fine_tune.shape.size() == 2 && base.shape[0] == fine_tune.shape[1] && base.shape[1] == fine_tune.shape[0]) return {0, "transposed"};
    return {0, "other shape"};
}

std::string rows_in_words(const TensorInfo& base, const TensorInfo& fine_tune) {
    if (base.shape == fine_tune.shape || base.shape.empty() || fine_tune.shape.empty()) return {};
    return "rows 0-" + std::to_string(std::min(base.shape[0], fine_tune.shape[0]) - 1) + " of " + std::to_string(fine_tune.shape[0]);
}

class Matcher {
   public:
    Matcher(const ModelSource& base, const ModelSource& fine_tune, const JobContext& ctx) : base_(base), fine_(fine_tune), ctx_(ctx), pairs_(fine_tune.tensors().size()), kind_(pairs_.size()) {}

    PairPlan run() {
        for (std::uint32_t i = 0; i < pairs_.size(); ++i) pairs_[i].fine_tune = i;
        by_name();
        by_prefix();
        if (!ctx_.cancelled()) by_content();
        if (!ctx_.cancelled()) by_layer();
        choose_transforms();
        PairPlan plan;
        plan.base_fingerprint = model_fingerprint(base_);
        plan.fine_tune_fingerprint = model_fingerprint(fine_);
        std::uint64_t bytes = 0, predicted = 0;
        for (std::uint32_t i = 0; i < pairs_.size(); ++i) {
            const TensorInfo& t = fine_.tensors()[i];
            bytes += t.bytes;
            if (!pairs_[i].base) {
                const TensorInfo* b = base_.find(t.name);
                plan.misfits.push_back({t.name, b == nullptr ? "" : shape_text(*b), shape_text(t), b == nullptr ? "not in the base" : fit(*b, t).why_not});
                continue;
            }
            const TensorInfo& b = base_.tensors()[*pairs_[i].base];
            if (pairs_[i].weights == t.elements()) {
                predicted += t.bytes;
                continue;
            }
            predicted += pairs_[i].weights * dtype_bits(t.dtype) / 8;
            plan.misfits.push_back({t.name, shape_text(b), shape_text(t), "rows from " + std::to_string(b.shape[0]) + " on are not in the base"});
        }
        plan.pairs = std::move(pairs_);
        plan.fits = bytes > 0 && predicted >= bytes - bytes / 2;
        return plan;
    }

   private:
    enum class Kind { kNone, kName, kPrefix, kContent, kLayer };

    void take(std::uint32_t i, const TensorInfo& b, Kind kind, std::string how) {
        TensorPair& p = pairs_[i];
        p.base = static_cast<std::uint32_t>(&b - base_.tensors().data());
        p.weights = fit(b, fine_.tensors()[i]).weights;
        p.how = std::move(how);
        kind_[i] = kind;
    }
    /// Of what the pair has in common; nothing where contents cannot be compared (other types, too few or too constant weights).
    std::optional<double> related(const TensorInfo& b, const TensorInfo& f) const {
        const std::uint64_t weights = fit(b, f).weights;
        if (weights < 64) return std::nullopt;
        const auto x = sketch(base_, b, weights), y = sketch(fine_, f, weights);
        if (!x || !y) return std::nullopt;
        std::size_t equal = 0;
        for (std::size_t k = 0; k < x->values.size(); ++k) equal += x->values[k] == y->values[k] ? 1 : 0;
        if (equal * 4 >= x->values.size()) return 1;
        return correlation(*x, *y);
    }

    void by_name() {
        for (std::uint32_t i = 0; i < pairs_.size(); ++i) {
            const TensorInfo& t = fine_.tensors()[i];
            if (const TensorInfo* b = base_.find(t.name); b != nullptr && fit(*b, t).weights > 0) take(i, *b, Kind::kName, {});
        }
    }

    void by_prefix() {
        std::vector<std::uint32_t> unmatched;
        for (std::uint32_t i = 0; i < pairs_.size(); ++i)
            if (!pairs_[i].base) unmatched.push_back(i);
        if (unmatched.empty()) return;
        const auto rules = learn_prefixes(base_, fine_, unmatched, [](const TensorInfo& b, const TensorInfo& f) { return fit(b, f).weights > 0; });
        for (const std::uint32_t i : unmatched) {
            const TensorInfo& t = fine_.tensors()[i];
            constexpr std::size_t kMostChoices = 4;
            std::vector<const TensorInfo*> choices;
            for (const PrefixRule& rule : rules) {
                const TensorInfo* b = renamed(base_, t.name, rule);
                if (b == nullptr || fit(*b, t).weights == 0 || std::find(choices.begin(), choices.end(), b) != choices.end()) continue;
                choices.push_back(b);
                if (choices.size() == kMostChoices) break;
            }
            if (choices.empty()) continue;
            const TensorInfo* best = choices.front();
            if (choices.size() > 1 && !ctx_.cancelled()) {  // several towers of one build: contents decide
                double most = -1;
                for (const TensorInfo* b : choices) {
                    const double r = related(*b, t).value_or(0);
                    if (r > most) {
                        most = r;
                        best = b;
                    }
                }
            }
            take(i, *best, Kind::kPrefix, "prefix");
        }
    }

    /// Where a tensor lies in a model, for content that is compared across other numbers of rows: heads and embeddings.
    static bool is_vocabulary(const TensorInfo& t) {
        const std::string part = tensor_part(t.name);
        return t.shape.size() == 2 && (part == "head" || part == "embeddings");
    }

    void by_content() {
        std::map<std::vector<std::uint64_t>, std::vector<std::uint32_t>> wanted;  // shape -> tensors of the fine-tune
        for (std::uint32_t i = 0; i < pairs_.size(); ++i) {
            const TensorInfo& t = fine_.tensors()[i];
            if (!can_transform(t.dtype) || t.elements() < 64) continue;
            if (pairs_[i].base && related(base_.tensors()[*pairs_[i].base], t).value_or(1) >= kRelated) continue;
            wanted[t.shape].push_back(i);
        }
        if (wanted.empty()) return;
        std::map<std::vector<std::uint64_t>, std::vector<std::uint32_t>> offered;
        std::vector<std::uint32_t> vocabularies;
        for (std::uint32_t b = 0; b < base_.tensors().size(); ++b) {
            const TensorInfo& t = base_.tensors()[b];
            if (!can_transform(t.dtype)) continue;
            if (wanted.contains(t.shape)) offered[t.shape].push_back(b);
            if (is_vocabulary(t)) vocabularies.push_back(b);
        }
        for (const auto& [shape, list] : wanted) {
            const auto& base_list = offered[shape];
            std::vector<std::optional<Sketch>> sketches;
            if (base_list.size() <= kMostOfOneShape && list.size() <= kMostOfOneShape)
                for (const std::uint32_t b : base_list) sketches.push_back(sketch(base_, base_.tensors()[b], base_.tensors()[b].elements()));
            for (const std::uint32_t i : list) {
                if (ctx_.cancelled()) return;
                const TensorInfo& t = fine_.tensors()[i];
                double most = kSame;
                std::optional<std::uint32_t> best;
                if (const auto mine = sketches.empty() ? std::nullopt : sketch(fine_, t, t.elements()); mine) {
                    for (std::size_t k = 0; k < sketches.size(); ++k) {
                        if (!sketches[k] || agreement(*sketches[k], *mine) < kAgreement) continue;
                        if (const double c = correlation(*sketches[k], *mine); c > most) {
                            most = c;
                            best = base_list[k];
                        }
                    }
                }
                if (!best && is_vocabulary(t)) {
                    for (const std::uint32_t b : vocabularies) {
                        if (!same_rows(base_.tensors()[b], t)) continue;
                        if (const double c = related(base_.tensors()[b], t).value_or(0); c > most) {
                            most = c;
                            best = b;
                        }
                    }
                }
                if (!best || best == pairs_[i].base) continue;
                const TensorInfo& b = base_.tensors()[*best];
                const bool tied = is_vocabulary(t) && is_vocabulary(b) && tensor_part(t.name) != tensor_part(b.name);
                take(i, b, Kind::kContent, tied ? "tied head" : "content");
            }
        }
    }

    void by_layer() {
        std::map<int, std::map<int, std::uint64_t>> votes;  // layer -> layer of the base -> bytes
        for (std::uint32_t i = 0; i < pairs_.size(); ++i) {
            if (kind_[i] != Kind::kContent) continue;
            const int from = tensor_place(fine_.tensors()[i].name).layer, to = tensor_place(base_.tensors()[*pairs_[i].base].name).layer;
            if (from >= 0 && to >= 0) votes[from][to] += fine_.tensors()[i].bytes;
        }
        if (votes.empty()) return;
        for (std::uint32_t i = 0; i < pairs_.size(); ++i) {
            const TensorInfo& t = fine_.tensors()[i];
            const auto it = votes.find(tensor_place(t.name).layer);
            if (it == votes.end() || kind_[i] == Kind::kContent) continue;
            const auto winner = std::max_element(it->second.begin(), it->second.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
            // From the tensor it has now, whose name may begin otherwise, or else from its own name.
            const auto name = with_layer(pairs_[i].base ? base_.tensors()[*pairs_[i].base].name : t.name, winner->first);
            const TensorInfo* b = name ? base_.find(*name) : nullptr;
            if (b == nullptr || fit(*b, t).weights == 0) continue;
            if (pairs_[i].base && nearness(base_.tensors()[*pairs_[i].base], t) <= nearness(*b, t)) continue;
            take(i, *b, Kind::kLayer, "layer");
        }
    }
    /// Bits of the difference, of a sample; large where it cannot be read.
    double nearness(const TensorInfo& b, const TensorInfo& f) const {
        if (!can_transform(b.dtype) || !can_transform(f.dtype)) return 64;
        const auto slices = spread_slices(fit(b, f).weights, 4, 256, 1);
        const auto x = read_slices(base_, b, slices), y = read_slices(fine_, f, slices);
        if (!x.ok() || !y.ok()) return 64;
        Bytes cast(y->size());
        if (!apply_transform({b.dtype, f.dtype}, 0, *x, cast).ok()) return 64;
        return difference_bits(*y, cast, f.dtype);
    }

    void choose_transforms() {
        TransformChooser chooser(base_, fine_);
        for (std::uint32_t i = 0; i < pairs_.size(); ++i) {
            TensorPair& p = pairs_[i];
            if (!p.base) continue;
            const TensorInfo &b = base_.tensors()[*p.base], &t = fine_.tensors()[i];
            if (!ctx_.cancelled()) p.transform = chooser.choose(b, t, p.weights);
            else if (b.dtype != t.dtype) p.transform = transform_text({b.dtype, t.dtype});
            for (const std::string& words : {rows_in_words(b, t), transform_in_words(p.transform)})
                if (!words.empty()) p.how += (p.how.empty() ? "" : "; ") + words;
        }
    }

    const ModelSource& base_;
    const ModelSource& fine_;
    const JobContext& ctx_;
    std::vector<TensorPair> pairs_;
    std::vector<Kind> kind_;  // [tensor] which step paired it
};

}  // namespace

std::string model_fingerprint(const ModelSource& model) {
    std::vector<std::string> lines;
    for (const TensorInfo& t : model.tensors()) lines.push_back(t.name + '\n' + shape_text(t) + '\n');
    std::sort(lines.begin(), lines.end());
    Sha256 hash;
    for (const auto& l : lines) hash.update(as_bytes(l));
    return to_hex(hash.finish()).substr(0, 8);
}

PairPlan pair_tensors(const ModelSource& base, const ModelSource& fine_tune, const JobContext& ctx) { return Matcher(base, fine_tune, ctx).run(); }

Error misfit_error(const PairPlan& plan, const ModelSource& base, const ModelSource& fine_tune) {
    std::string what = "this base does not fit the fine-tune";
    if (!plan.misfits.empty()) {
        const Misfit& m = plan.misfits.front();
        what += ": " + m.tensor + " is " + m.in_fine_tune + " in the fine-tune and " + (m.in_base.empty() ? "not in the base" : m.in_base + " in the base");
        if (plan.misfits.size() > 1) what += " (and " + std::to_string(plan.misfits.size() - 1) + " more)";
    } else {
        what += ": it has no weights";
    }
    return make_error(ErrorCode::kMismatch, std::move(what),
                      "base " + base.id() + " [" + plan.base_fingerprint + "]: " + in_words(base) + "; fine-tune " + fine_tune.id() + " [" +
                          plan.fine_tune_fingerprint + "]: " + in_words(fine_tune),
                      "Choose the model that the fine-tune was made from");
}

}  // namespace tenpak::delta
