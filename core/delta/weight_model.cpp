// SPDX-License-Identifier: Apache-2.0
#include "core/delta/weight_model.h"

#include <algorithm>
#include <cmath>

namespace tenpak::delta {

namespace {

// A root of count c is stored as round(kRootScale * sqrt(c)). sqrt of a count has a standard deviation of 1/2 whatever
// the count is, so that one step is 1.7 standard deviations / kRootScale: finer tables cost more than they save
// (minimum description length: the step where d(loss) = d(table bits) is sqrt(12) standard deviations).
constexpr double kRootScale = 0.7;
constexpr double kTableBitsPerSymbol = 2.5;  // seen in files written so far: used only to choose
constexpr double kTableBitsPerContext = 14;

constexpr double kImpossible = 1e300;

double n_log_n(double n) { return n > 0 ? n * std::log2(n) : 0; }

std::uint16_t root_of(std::uint64_t count) {
    const double r = std::round(kRootScale * std::sqrt(static_cast<double>(count)));
    return static_cast<std::uint16_t>(std::clamp(r, 1.0, 8191.0));
}

/// The same alphabets at all details, with the way from fine symbols and the raw bits of each.
struct Details {
    std::vector<Alphabet> alphabets;                     // index k
    std::vector<std::vector<std::uint16_t>> from_fine;   // [k][fine symbol]
    std::vector<std::vector<std::uint8_t>> raw_bits;     // [k][symbol]
    Details(const FloatLayout& layout, const Alphabet& fine) {
        for (unsigned k = 0; k <= fine.k(); ++k) {
            alphabets.emplace_back(layout, fine.anchored(), k);
            from_fine.push_back(coarsening(fine, alphabets.back()));
            auto& bits = raw_bits.emplace_back(alphabets.back().size());
            for (std::uint32_t s = 0; s < bits.size(); ++s) bits[s] = alphabets.back().interval(s).raw_bits;
        }
    }
};

/// A run of exponents that share a context.
struct Group {
    std::uint32_t first = 0, last = 0;
    std::vector<std::uint32_t> anchored, absolute;  // fine counts; absolute empty where not counted
    std::uint64_t weights = 0;
    double cost = 0;
    bool use_anchored = false;
    unsigned k = 0;
};

class Builder {
   public:
    Builder(const FloatLayout& layout, const FineCounts& counts)
        : counts_(counts), anchored_(layout, counts.anchored), absolute_(layout, counts.absolute) {}

    /// Best alphabet by estimated bits.
    void choose(Group& g) {
        g.cost = kImpossible;
        if (!g.anchored.empty()) consider(g, g.anchored, anchored_, true);
        if (!g.absolute.empty()) consider(g, g.absolute, absolute_, false);
    }
    std::vector<std::uint32_t> coarse(const std::vector<std::uint32_t>& fine, bool anchored, unsigned k) const {
        const Details& d = anchored ? anchored_ : absolute_;
        std::vector<std::uint32_t> c(d.alphabets[k].size());
        for (std::size_t s = 0; s < fine.size(); ++s)
            if (fine[s] != 0) c[d.from_fine[k][s]] += fine[s];
        return c;
    }
    std::vector<Group> groups_of_exponents() {
        std::vector<Group> groups;
        const std::size_t na = counts_.anchored.size(), nb = counts_.absolute.size();
        for (std::uint32_t e = 0; e < counts_.weights.size(); ++e) {
            if (counts_.weights[e] == 0) continue;
            Group g;
            g.first = g.last = e;
            g.weights = counts_.weights[e];
            const auto at = [](const std::vector<std::uint32_t>& v, std::size_t n, std::uint32_t i) {
                return std::vector<std::uint32_t>(v.begin() + static_cast<std::ptrdiff_t>(n * i), v.begin() + static_cast<std::ptrdiff_t>(n * (i + 1)));
            };
            if (counts_.with_base) g.anchored = at(counts_.anchored_counts, na, e);
            if (counts_.has_absolute[e] != 0) g.absolute = at(counts_.absolute_counts, nb, e);
            choose(g);
            groups.push_back(std::move(g));
        }
        return groups;
    }
    Group merged(const Group& a, const Group& b) {
        Group g;
        g.first = a.first;
        g.last = b.last;
        g.weights = a.weights + b.weights;
        const auto add = [](const std::vector<std::uint32_t>& x, const std::vector<std::uint32_t>& y) {
            std::vector<std::uint32_t> z;
            if (x.empty() || y.empty()) return z;
            z = x;
            for (std::size_t i = 0; i < z.size(); ++i) z[i] += y[i];
            return z;
        };
        g.anchored = add(a.anchored, b.anchored);
        g.absolute = add(a.absolute, b.absolute);
        choose(g);
        return g;
    }
    const Details& details(bool anchored) const { return anchored ? anchored_ : absolute_; }

   private:
    void consider(Group& g, const std::vector<std::uint32_t>& fine, const Details& d, bool anchored) {
        for (unsigned k = 0; k < d.alphabets.size(); ++k) {
            scratch_.assign(d.alphabets[k].size(), 0);
            for (std::size_t s = 0; s < fine.size(); ++s)
                if (fine[s] != 0) scratch_[d.from_fine[k][s]] += fine[s];
            double bits = n_log_n(static_cast<double>(g.weights)) + kTableBitsPerContext;
            unsigned live = 0;
            for (std::size_t s = 0; s < scratch_.size(); ++s) {
                if (scratch_[s] == 0) continue;
                const double n = scratch_[s];
                bits += n * d.raw_bits[k][s] - n_log_n(n) + kTableBitsPerSymbol;
                ++live;
            }
            if (live > kMaxLive) break;  // finer ones have more
            if (bits < g.cost) {
                g.cost = bits;
                g.use_anchored = anchored;
                g.k = k;
            }
        }
    }
    const FineCounts& counts_;
    Details anchored_, absolute_;
    std::vector<std::uint32_t> scratch_;
};

}  // namespace

FineCounts::FineCounts(const FloatLayout& layout)
    : anchored(layout, true, kFineDetail), absolute(layout, false, fine_absolute(layout)),
      weights(layout.exponents()), has_absolute(layout.exponents()) {}

void set_frequencies(ContextTable& table, unsigned precision) {
    const std::size_t n = table.root.size();
    table.frequency.assign(n, 1);
    std::uint64_t sum = 0;
    for (const std::uint64_t r : table.root) sum += r * r;
    const std::uint64_t spare = (std::uint64_t{1} << precision) - n;  // each live symbol has 1 for sure
    std::uint64_t used = 0;
    std::size_t largest = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t r = table.root[i], extra = r * r * spare / sum;
        table.frequency[i] = static_cast<std::uint16_t>(1 + extra);
        used += extra;
        if (table.root[i] > table.root[largest]) largest = i;
    }
    table.frequency[largest] = static_cast<std::uint16_t>(table.frequency[largest] + (spare - used));
}

WeightModel build_model(const FloatLayout& layout, const FineCounts& counts, std::uint64_t total_weights) {
    Builder builder(layout, counts);
    std::vector<Group> groups = builder.groups_of_exponents();
    // Greedy: the best merge of neighbours until none saves bits and their number fits.
    std::vector<Group> merged;  // merged[i] = groups[i] with groups[i + 1]
    for (std::size_t i = 0; i + 1 < groups.size(); ++i) merged.push_back(builder.merged(groups[i], groups[i + 1]));
    while (groups.size() > 1) {
        std::size_t best = 0;
        double gain = -kImpossible;
        for (std::size_t i = 0; i < merged.size(); ++i) {
            const double g = groups[i].cost + groups[i + 1].cost - merged[i].cost;
            if (g > gain) {
                gain = g;
                best = i;
            }
        }
        if (gain < 0 && groups.size() <= kMaxContexts) break;
        groups[best] = std::move(merged[best]);
        groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(best) + 1);
        merged.erase(merged.begin() + static_cast<std::ptrdiff_t>(best));
        if (best > 0) merged[best - 1] = builder.merged(groups[best - 1], groups[best]);
        if (best < merged.size()) merged[best] = builder.merged(groups[best], groups[best + 1]);
    }

    WeightModel model;
    model.layout = layout;
    for (const Group& g : groups)
        if (g.cost >= kImpossible) return model;
    // Few weights do not pay for the larger decoding table's set-up.
    model.precision = total_weights >= 32768 ? 12 : total_weights >= 4096 ? 11 : 10;
    if (!groups.empty()) model.first_exponent = groups.front().first;
    for (const Group& g : groups) {
        while (model.first_exponent + model.context_of.size() < g.first) model.context_of.push_back(static_cast<std::uint8_t>(model.contexts.size() - 1));
        for (std::uint32_t e = g.first; e <= g.last; ++e) model.context_of.push_back(static_cast<std::uint8_t>(model.contexts.size()));
        ContextTable t;
        t.anchored = g.use_anchored;
        t.k = static_cast<std::uint8_t>(g.k);
        const auto c = builder.coarse(g.use_anchored ? g.anchored : g.absolute, g.use_anchored, g.k);
        for (std::uint32_t s = 0; s < c.size(); ++s) {
            if (c[s] == 0) continue;
            t.live.push_back(static_cast<std::uint16_t>(s));
            t.root.push_back(root_of(c[s]));
        }
        set_frequencies(t, model.precision);
        model.contexts.push_back(std::move(t));
    }
    return model;
}

ModelCost model_cost(const WeightModel& model, const FineCounts& counts) {
    ModelCost cost;
    for (std::size_t c = 0; c < model.contexts.size(); ++c) {
        const ContextTable& t = model.contexts[c];
        const Alphabet alphabet(model.layout, t.anchored, t.k);
        const Alphabet& fine = t.anchored ? counts.anchored : counts.absolute;
        const auto& all = t.anchored ? counts.anchored_counts : counts.absolute_counts;
        const auto to = coarsening(fine, alphabet);
        std::vector<double> bits(alphabet.size());
        for (std::size_t i = 0; i < t.live.size(); ++i)
            bits[t.live[i]] = model.precision - std::log2(static_cast<double>(t.frequency[i]));
        for (std::size_t i = 0; i < model.context_of.size(); ++i) {
            if (model.context_of[i] != c) continue;
            const std::size_t e = model.first_exponent + i;
            if (counts.weights[e] == 0) continue;
            for (std::uint32_t s = 0; s < fine.size(); ++s) {
                const double n = all[e * fine.size() + s];
                if (n == 0) continue;
                cost.coded_bits += n * bits[to[s]];
                cost.raw_bits += n * alphabet.interval(to[s]).raw_bits;
            }
        }
    }
    return cost;
}

}  // namespace tenpak::delta
