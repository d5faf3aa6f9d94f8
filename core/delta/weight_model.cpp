// SPDX-License-Identifier: Apache-2.0
#include "core/delta/weight_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <mutex>
#include <numeric>

#include "core/delta/prediction.h"

namespace tenpak::delta {

namespace {

// A root of count c is stored as round(kRootScale * sqrt(c)). sqrt of a count has a standard deviation of 1/2 whatever
// the count is, so that one step is 1.7 standard deviations / kRootScale: finer tables cost more than they save
// (minimum description length: the step where d(loss) = d(table bits) is sqrt(12) standard deviations).
constexpr double kRootScale = 0.7;
constexpr double kTableBitsPerSymbol = 2.5;  // seen in files written so far: used only to choose
constexpr double kTableBitsPerContext = 14;

constexpr double kImpossible = 1e300;

/// n log2 n; small n from a table, since blocks of some thousand weights spend most of their time here otherwise.
double n_log_n(std::uint64_t n) {
    constexpr std::size_t kSize = 2048;
    static const std::array<double, kSize> table = [] {
        std::array<double, kSize> t{};
        for (std::size_t i = 1; i < kSize; ++i) t[i] = static_cast<double>(i) * std::log2(static_cast<double>(i));
        return t;
    }();
    return n < kSize ? table[n] : static_cast<double>(n) * std::log2(static_cast<double>(n));
}

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

struct LayoutDetails {
    Details anchored, absolute;
};
/// Made once for each layout in use.
const LayoutDetails& details_of(const FloatLayout& l) {
    static std::mutex mutex;
    static std::array<std::array<std::unique_ptr<const LayoutDetails>, 32>, 3> all;
    const std::lock_guard lock(mutex);
    auto& d = all[static_cast<std::size_t>(l.kind)][l.dropped];
    if (!d) d = std::make_unique<LayoutDetails>(LayoutDetails{Details(l, Alphabet(l, true, kFineDetail, true)), Details(l, Alphabet(l, false, fine_absolute(l)))});
    return *d;
}

struct Count {
    std::uint16_t symbol = 0;
    std::uint32_t n = 0;
};
using Counts = std::vector<Count>;  // symbols that occur, ascending

Counts sum(const Counts& a, const Counts& b) {
    Counts out;
    out.reserve(a.size() + b.size());
    auto x = a.begin();
    auto y = b.begin();
    while (x != a.end() || y != b.end()) {
        if (y == b.end() || (x != a.end() && x->symbol < y->symbol)) out.push_back(*x++);
        else if (x == a.end() || y->symbol < x->symbol) out.push_back(*y++);
        else out.push_back({x->symbol, x++->n + y++->n});
    }
    return out;
}

/// Keys that share a context. Neighbours in the builder's order.
struct Group {
    std::vector<std::uint16_t> rows;
    Counts anchored, absolute;   // fine counts; absolute empty where not counted
    std::uint64_t weights = 0;
    double cost = 0;
    bool use_anchored = false;
    unsigned k = 0;
};

class Builder {
   public:
    Builder(const FloatLayout& layout, const FineCounts& counts) : counts_(counts), details_(details_of(layout)) {
        scratch_.resize(std::max(details_.anchored.alphabets.back().size(), details_.absolute.alphabets.back().size()));
    }

    /// Details that may be taken: from first up to, not including, end.
    struct Range {
        unsigned first = 0, end = 0;
    };
    /// Best alphabet by estimated bits.
    void choose(Group& g, Range anchored = {0, kFineDetail + 1}, Range absolute = {0, kFineAbsolute + 1}) {
        g.cost = kImpossible;
        if (!g.anchored.empty()) consider(g, g.anchored, details_.anchored, true, anchored);
        if (!g.absolute.empty()) consider(g, g.absolute, details_.absolute, false, absolute);
    }
    /// Counts at the group's own detail.
    Counts coarse(const Group& g) {
        const Details& d = g.use_anchored ? details_.anchored : details_.absolute;
        const auto& to = d.from_fine[g.k];
        Counts out;
        for (const Count& c : g.use_anchored ? g.anchored : g.absolute) scratch_[to[c.symbol]] += c.n;
        for (const Count& c : g.use_anchored ? g.anchored : g.absolute) {
            std::uint32_t& n = scratch_[to[c.symbol]];
            if (n != 0) out.push_back({to[c.symbol], n});
            n = 0;
        }
        std::sort(out.begin(), out.end(), [](const Count& a, const Count& b) { return a.symbol < b.symbol; });
        return out;
    }
    std::vector<Group> groups_of_rows() {
        std::vector<Group> groups;
        const std::size_t na = counts_.anchored.size(), nb = counts_.absolute.size();
        const auto occurring = [](const std::vector<std::uint32_t>& v, std::size_t n, std::size_t row) {
            Counts c;
            for (std::size_t s = 0; s < n; ++s)
                if (v[row * n + s] != 0) c.push_back({static_cast<std::uint16_t>(s), v[row * n + s]});
            return c;
        };
        for (std::size_t row = 0; row < counts_.rows(); ++row) {
            if (counts_.weights[row] == 0) continue;
            Group g;
            g.rows.push_back(static_cast<std::uint16_t>(row));
            g.weights = counts_.weights[row];
            if (counts_.keys != KeyKind::kNone) g.anchored = occurring(counts_.anchored_counts, na, row);
            if (counts_.has_absolute[row] != 0) g.absolute = occurring(counts_.absolute_counts, nb, row);
            choose(g);
            groups.push_back(std::move(g));
        }
        if (counts_.keys == KeyKind::kGiven) {
            // Classes have no order of their own: by the share of weights that are as predicted.
            const auto share = [](const Group& g) { return !g.anchored.empty() && g.anchored[0].symbol == 0 ? static_cast<double>(g.anchored[0].n) / static_cast<double>(g.weights) : 0; };
            std::stable_sort(groups.begin(), groups.end(), [&](const Group& a, const Group& b) { return share(a) < share(b); });
        }
        return groups;
    }
    Group merged(const Group& a, const Group& b) {
        Group g;
        g.rows = a.rows;
        g.rows.insert(g.rows.end(), b.rows.begin(), b.rows.end());
        g.weights = a.weights + b.weights;
        g.anchored = sum(a.anchored, b.anchored);
        if (!a.absolute.empty() && !b.absolute.empty()) g.absolute = sum(a.absolute, b.absolute);
        choose(g);
        return g;
    }
    const Details& details(bool anchored) const { return anchored ? details_.anchored : details_.absolute; }

   private:
    void consider(Group& g, const Counts& fine, const Details& d, bool anchored, Range details) {
        for (unsigned k = details.first; k < std::min<std::size_t>(details.end, d.alphabets.size()); ++k) {
            const std::uint16_t* const to = d.from_fine[k].data();
            if (std::any_of(fine.begin(), fine.end(), [&](const Count& c) { return to[c.symbol] == kNoSymbol; })) break;
            for (const Count& c : fine) scratch_[to[c.symbol]] += c.n;
            double bits = n_log_n(g.weights) + kTableBitsPerContext;
            unsigned live = 0;
            for (const Count& c : fine) {
                const std::uint16_t s = to[c.symbol];
                const std::uint32_t n = scratch_[s];
                if (n == 0) continue;  // seen already
                scratch_[s] = 0;
                bits += static_cast<double>(n) * d.raw_bits[k][s] - n_log_n(n) + kTableBitsPerSymbol;
                ++live;
            }
            const bool fits = live <= (anchored || counts_.keys == KeyKind::kNone ? kMaxLive : kMaxIntervals);
            if (!fits) break;  // finer ones have more
            if (bits < g.cost) {
                g.cost = bits;
                g.use_anchored = anchored;
                g.k = k;
            }
        }
    }
    const FineCounts& counts_;
    const LayoutDetails& details_;
    std::vector<std::uint32_t> scratch_;  // zeros between calls
};

/// Merges neighbours, the best first, until none saves bits and their number fits.
void merge_groups(Builder& builder, std::vector<Group>& groups) {
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
}

ContextTable make_table(Builder& builder, const Group& g, unsigned precision) {
    ContextTable t;
    t.anchored = g.use_anchored;
    t.k = static_cast<std::uint8_t>(g.k);
    for (const Count& c : builder.coarse(g)) {
        t.live.push_back(c.symbol);
        t.root.push_back(root_of(c.n));
    }
    set_frequencies(t, precision);
    return t;
}

void assign_contexts(WeightModel& model, const std::vector<Group>& groups, const FineCounts& counts) {
    if (counts.keys == KeyKind::kGiven) {
        model.context_of.assign(kKeyRange, 0);
        for (std::size_t c = 0; c < groups.size(); ++c)
            for (const std::uint16_t row : groups[c].rows) model.context_of[counts.first_key + row] = static_cast<std::uint8_t>(c);
        return;
    }
    model.first_key = counts.first_key + groups.front().rows.front();
    for (std::size_t c = 0; c < groups.size(); ++c) {
        const std::size_t first = counts.first_key + groups[c].rows.front() - model.first_key, last = counts.first_key + groups[c].rows.back() - model.first_key;
        if (c > 0) model.context_of.resize(first, static_cast<std::uint8_t>(c - 1));
        model.context_of.resize(last + 1, static_cast<std::uint8_t>(c));
    }
}

/// Makes the distinct intervals of all contexts few enough, by what costs least first: coarser absolute alphabets, one
/// detail for all anchored ones, no absolute ones. The last leaves few enough in every layout.
void make_codes_fit(Builder& builder, std::vector<Group>& groups, WeightModel& model) {
    if (model.keys == KeyKind::kNone) return;
    using Range = Builder::Range;
    const auto fits = [&] { return Codes(model).fit; };
    const auto remake = [&](Group& g, Range anchored, Range absolute) {
        builder.choose(g, anchored, absolute);
        model.contexts[static_cast<std::size_t>(&g - groups.data())] = make_table(builder, g, model.precision);
    };
    Range anchored{0, kFineDetail + 1};
    for (unsigned k = kFineAbsolute; k > 0 && !fits(); --k)
        for (Group& g : groups)
            if (!g.use_anchored && g.k == k) remake(g, anchored, {0, k});
    if (fits()) return;
    double least = kImpossible;
    unsigned common = kCrossDetail;
    for (unsigned k = 0; k <= kFineDetail; ++k) {
        double cost = 0;
        for (const Group& g : groups) {
            Group other = g;
            builder.choose(other, {k, k + 1}, {0, 1});
            cost += other.cost;
        }
        if (cost < least) {
            least = cost;
            common = k;
        }
    }
    for (Group& g : groups) remake(g, {common, common + 1}, {0, 1});
    if (fits()) return;
    for (Group& g : groups) remake(g, {kCrossDetail, kCrossDetail + 1}, {0, 0});
}

}  // namespace

Codes::Codes(const WeightModel& model) {
    // Kept intervals by detail and bucket; those of one value are the same at every detail. 255: not numbered yet (there
    // are fewer with a prediction, and without one nothing is shared).
    std::array<std::array<std::uint8_t, kMaxBuckets>, kFineDetail + 1> kept;
    std::array<std::uint8_t, 2u << kFineDetail> exact;
    std::array<std::uint8_t, kMaxBuckets> cross;
    for (auto& k : kept) k.fill(255);
    exact.fill(255);
    cross.fill(255);
    std::array<std::vector<std::uint8_t>, kFineAbsolute + 1> absolute;
    const bool predicted = model.keys != KeyKind::kNone;
    const std::size_t limit = predicted ? kMaxIntervals : kMaxLive;
    for (const ContextTable& t : model.contexts) {
        const Alphabet alphabet(model.layout, t.anchored, t.k);
        if (!t.anchored && absolute[t.k].empty()) absolute[t.k].assign(alphabet.size(), 255);
        auto& codes = of.emplace_back();
        for (const std::uint16_t s : t.live) {
            Interval v = alphabet.interval(s);
            const bool negative = v.negative;
            v.negative = false;
            std::uint8_t& number = v.kind == Interval::Kind::kAbsolute ? absolute[t.k][s]
                                   : v.kind == Interval::Kind::kCross ? cross[(s - alphabet.cross_begin()) / 2]
                                   : v.raw_bits == 0                  ? exact[v.begin]
                                                                      : kept[t.k][(s + 1) / 2];
            if (number == 255 || !predicted) {
                if (interval.size() == limit) return;
                number = static_cast<std::uint8_t>(interval.size());
                interval.push_back(v);
            }
            codes.push_back(static_cast<std::uint8_t>(number | (negative ? kMaxIntervals : 0)));
        }
    }
    fit = true;
}

FineCounts::FineCounts(const FloatLayout& layout) : anchored(layout, true, kFineDetail, true), absolute(layout, false, fine_absolute(layout)) {}

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
    if (n == 1) --table.frequency[0];  // so that a frequency has 12 bits: the last slot is never used
}

BuiltModel build_model(const FloatLayout& layout, const FineCounts& counts, std::uint64_t total_weights) {
    Builder builder(layout, counts);
    std::vector<Group> groups = builder.groups_of_rows();
    merge_groups(builder, groups);

    BuiltModel built;
    WeightModel& model = built.model;
    model.layout = layout;
    model.keys = counts.keys;
    for (const Group& g : groups)
        if (g.cost >= kImpossible) return built;
    // Few weights do not pay for the larger decoding table's set-up.
    model.precision = total_weights >= 32768 ? 12 : total_weights >= 4096 ? 11 : 10;
    for (const Group& g : groups) model.contexts.push_back(make_table(builder, g, model.precision));
    if (counts.keys == KeyKind::kNone) model.context_of.push_back(0);
    else if (!groups.empty()) assign_contexts(model, groups, counts);
    make_codes_fit(builder, groups, model);
    for (std::size_t c = 0; c < groups.size(); ++c) {
        const ContextTable& t = model.contexts[c];
        const auto& raw_bits = builder.details(t.anchored).raw_bits[t.k];
        const Counts live = builder.coarse(groups[c]);
        for (std::size_t i = 0; i < live.size(); ++i) {
            built.cost.coded_bits += live[i].n * (model.precision - std::log2(static_cast<double>(t.frequency[i])));
            built.cost.raw_bits += static_cast<double>(live[i].n) * raw_bits[live[i].symbol];
        }
    }
    return built;
}

}  // namespace tenpak::delta
