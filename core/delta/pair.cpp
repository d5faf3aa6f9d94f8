// SPDX-License-Identifier: Apache-2.0
#include "core/delta/pair.h"

#include <algorithm>

#include "core/base/hash.h"

namespace tenpak::delta {

namespace {

std::string shape_text(const TensorInfo& t) {
    std::string s(dtype_label(t.dtype));
    for (std::size_t i = 0; i < t.shape.size(); ++i) s += (i == 0 ? " " : "x") + std::to_string(t.shape[i]);
    return s;
}

std::string fingerprint(const ModelSource& model) {
    std::vector<std::string> lines;
    for (const TensorInfo& t : model.tensors()) lines.push_back(t.name + '\n' + shape_text(t) + '\n');
    std::sort(lines.begin(), lines.end());
    Sha256 hash;
    for (const auto& l : lines) hash.update(as_bytes(l));
    return to_hex(hash.finish()).substr(0, 8);
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

}  // namespace

PairPlan pair_tensors(const ModelSource& base, const ModelSource& fine_tune) {
    PairPlan plan;
    plan.base_fingerprint = fingerprint(base);
    plan.fine_tune_fingerprint = fingerprint(fine_tune);
    std::uint64_t bytes = 0, predicted = 0;
    const auto& tensors = fine_tune.tensors();
    for (std::uint32_t i = 0; i < tensors.size(); ++i) {
        const TensorInfo& t = tensors[i];
        TensorPair pair;
        pair.fine_tune = i;
        bytes += t.bytes;
        const TensorInfo* b = base.find(t.name);
        if (b == nullptr) {
            plan.misfits.push_back({t.name, "", shape_text(t), "not in the base"});
        } else if (b->dtype != t.dtype) {
            plan.misfits.push_back({t.name, shape_text(*b), shape_text(t), "other element type"});
        } else if (b->shape != t.shape) {
            plan.misfits.push_back({t.name, shape_text(*b), shape_text(t), "other shape"});
        } else {
            pair.base = static_cast<std::uint32_t>(b - base.tensors().data());
            pair.weights = t.elements();
            predicted += t.bytes;
        }
        plan.pairs.push_back(pair);
    }
    plan.fits = bytes > 0 && predicted >= bytes - bytes / 2;
    return plan;
}

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
