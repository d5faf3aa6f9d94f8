// SPDX-License-Identifier: Apache-2.0
#include "core/quant/mixed/knapsack.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tenpak::quant {
namespace {

/// A choice as the solver sees it: `weight` counts against the budget, `cost` is minimized.
struct Pair {
    double weight = 0, cost = 0;
};
using Items = std::vector<std::vector<Pair>>;

/// A step along an item's lower convex hull: more weight for less cost.
struct Segment {
    double weight = 0, gain = 0;
};

// Linear relaxation of the items from some index on: start with everyone's lightest choice, then take hull steps, the
// best gain per weight first.
class Relaxation {
   public:
    Relaxation(const Items& items, std::size_t from) {
        std::vector<Segment> steps;
        for (std::size_t i = from; i < items.size(); ++i) add_hull(items[i], steps);
        std::stable_sort(steps.begin(), steps.end(), [](const Segment& a, const Segment& b) { return a.gain * b.weight > b.gain * a.weight; });
        double weight = 0, gain = 0;
        for (const Segment& s : steps) {
            weights_.push_back(weight += s.weight);
            gains_.push_back(gain += s.gain);
        }
    }
    double lightest() const { return weight_; }
    struct Bound {
        double lower = 0;     ///< no completion costs less
        double feasible = 0;  ///< some completion costs this
    };
    /// `slack`: what sums of weights may be wrong by, for they are added up in another order than states are.
    Bound bound(double room, double slack) const {
        Bound b;
        b.feasible = room - slack < weight_ ? std::numeric_limits<double>::infinity() : cost_ - gain_within(room - slack - weight_, false);
        b.lower = cost_ - gain_within(room + slack - weight_, true);
        return b;
    }

   private:
    double gain_within(double left, bool with_part) const {
        const auto taken = static_cast<std::size_t>(std::upper_bound(weights_.begin(), weights_.end(), left) - weights_.begin());
        const double gain = taken == 0 ? 0 : gains_[taken - 1], used = taken == 0 ? 0 : weights_[taken - 1];
        if (!with_part || taken == weights_.size()) return gain;
        return gain + (gains_[taken] - gain) * ((left - used) / (weights_[taken] - used));
    }
    void add_hull(const std::vector<Pair>& choices, std::vector<Segment>& steps) {
        std::vector<Pair> sorted = choices, hull;
        std::sort(sorted.begin(), sorted.end(), [](const Pair& a, const Pair& b) { return a.weight != b.weight ? a.weight < b.weight : a.cost < b.cost; });
        for (const Pair& p : sorted) {
            if (!hull.empty() && p.cost >= hull.back().cost) continue;
            while (hull.size() >= 2) {
                const Pair &a = hull[hull.size() - 2], &b = hull.back();
                // b lies above the line from a to p: never the best per weight.
                if ((a.cost - b.cost) * (p.weight - a.weight) > (a.cost - p.cost) * (b.weight - a.weight)) break;
                hull.pop_back();
            }
            hull.push_back(p);
        }
        weight_ += hull.front().weight;
        cost_ += hull.front().cost;
        for (std::size_t i = 1; i < hull.size(); ++i) steps.push_back({hull[i].weight - hull[i - 1].weight, hull[i - 1].cost - hull[i].cost});
    }
    double weight_ = 0, cost_ = 0;
    std::vector<double> weights_, gains_;  // sums over the steps so far
};

struct State {
    double weight = 0, cost = 0;
    std::uint32_t parent = 0, choice = 0;
};

// What a sum of all items may be wrong by: nothing where values are whole numbers.
double rounding_of(const Items& items, double Pair::*value) {
    double sum = 0;
    bool whole = true;
    for (const auto& item : items) {
        double most = 0;
        for (const Pair& p : item) {
            most = std::max(most, p.*value);
            whole = whole && p.*value == std::floor(p.*value);
        }
        sum += most;
    }
    return whole ? 0 : 1e-13 * sum;
}

// Cheapest within `limit`; of equal costs the lightest. Empty: nothing fits.
Result<std::vector<std::uint32_t>> solve(const Items& items, double limit, const JobContext& ctx) {
    const double slack = rounding_of(items, &Pair::weight), blur = rounding_of(items, &Pair::cost);
    std::vector<Relaxation> rest;
    for (std::size_t i = 0; i <= items.size(); ++i) rest.emplace_back(items, i);
    std::vector<std::vector<State>> layers{{State{}}};
    double best = rest.front().bound(limit, slack).feasible;
    for (std::size_t i = 0; i < items.size(); ++i) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const std::vector<State>& from = layers.back();
        std::vector<State> to;
        for (std::uint32_t s = 0; s < from.size(); ++s) {
            for (std::uint32_t c = 0; c < items[i].size(); ++c) {
                const State next{from[s].weight + items[i][c].weight, from[s].cost + items[i][c].cost, s, c};
                const double room = limit - next.weight;
                if (rest[i + 1].lightest() > room + (i + 1 < items.size() ? slack : 0)) continue;
                const auto b = rest[i + 1].bound(room, slack);
                if (next.cost + b.lower > best + 2 * blur) continue;
                best = std::min(best, next.cost + b.feasible);
                to.push_back(next);
            }
        }
        std::stable_sort(to.begin(), to.end(), [](const State& a, const State& b) { return a.weight != b.weight ? a.weight < b.weight : a.cost < b.cost; });
        std::vector<State> kept;
        for (const State& s : to) {
            if (kept.empty() || s.cost < kept.back().cost) kept.push_back(s);
        }
        layers.push_back(std::move(kept));
    }
    if (layers.back().empty()) return std::vector<std::uint32_t>();
    std::vector<std::uint32_t> chosen(items.size());
    std::uint32_t at = static_cast<std::uint32_t>(layers.back().size() - 1);  // heaviest kept is cheapest
    for (std::size_t i = items.size(); i > 0; --i) {
        const State& s = layers[i][at];
        chosen[i - 1] = s.choice;
        at = s.parent;
    }
    return chosen;
}

Selection selection_of(std::span<const std::vector<Choice>> items, std::vector<std::uint32_t> chosen) {
    Selection s;
    for (std::size_t i = 0; i < items.size(); ++i) {
        s.bytes += items[i][chosen[i]].bytes;
        s.loss += items[i][chosen[i]].loss;
    }
    s.chosen = std::move(chosen);
    return s;
}

Status check(std::span<const std::vector<Choice>> items) {
    for (const auto& item : items) {
        if (item.empty()) return make_error(ErrorCode::kInvalidArgument, "a tensor without any format to choose");
        for (const Choice& c : item) {
            if (!std::isfinite(c.loss) || c.loss < 0) return make_error(ErrorCode::kInvalidArgument, "a loss that is not a number from 0 on");
        }
    }
    return {};
}

Items pairs(std::span<const std::vector<Choice>> items, bool bytes_are_weight) {
    Items out;
    for (const auto& item : items) {
        auto& to = out.emplace_back();
        for (const Choice& c : item) {
            const auto bytes = static_cast<double>(c.bytes);
            to.push_back(bytes_are_weight ? Pair{bytes, c.loss} : Pair{c.loss, bytes});
        }
    }
    return out;
}

std::uint64_t sum_of_bytes(std::span<const std::vector<Choice>> items, bool largest) {
    std::uint64_t sum = 0;
    for (const auto& item : items) {
        const auto less = [](const Choice& a, const Choice& b) { return a.bytes < b.bytes; };
        sum += (largest ? std::max_element(item.begin(), item.end(), less) : std::min_element(item.begin(), item.end(), less))->bytes;
    }
    return sum;
}

}  // namespace

Result<Selection> least_loss(std::span<const std::vector<Choice>> items, std::uint64_t budget, const JobContext& ctx) {
    TENPAK_RETURN_IF_ERROR(check(items));
    const std::uint64_t least = sum_of_bytes(items, false);
    if (least > budget) {
        return make_error(ErrorCode::kInvalidArgument, "the smallest formats take " + std::to_string(least) + " bytes, more than the " +
                                                           std::to_string(budget) + " allowed", {}, "Allow more bits per weight");
    }
    TENPAK_ASSIGN(auto chosen, solve(pairs(items, true), static_cast<double>(budget), ctx));
    return selection_of(items, std::move(chosen));
}

Result<Selection> fewest_bytes(std::span<const std::vector<Choice>> items, double limit, const JobContext& ctx) {
    TENPAK_RETURN_IF_ERROR(check(items));
    TENPAK_ASSIGN(auto chosen, solve(pairs(items, false), limit, ctx));
    if (chosen.empty() && !items.empty()) {
        return make_error(ErrorCode::kInvalidArgument, "not even the best formats lose so little", {}, "Allow a larger loss");
    }
    return selection_of(items, std::move(chosen));
}

Result<std::vector<Selection>> pareto_front(std::span<const std::vector<Choice>> items, std::uint32_t points, const JobContext& ctx) {
    TENPAK_RETURN_IF_ERROR(check(items));
    const std::uint64_t least = sum_of_bytes(items, false), most = sum_of_bytes(items, true);
    std::vector<Selection> front;
    for (std::uint32_t i = 0; i < points; ++i) {
        const double share = points == 1 ? 1.0 : static_cast<double>(i) / (points - 1);
        const auto budget = least + static_cast<std::uint64_t>(std::llround(share * static_cast<double>(most - least)));
        TENPAK_ASSIGN(Selection s, least_loss(items, budget, ctx));
        if (front.empty() || (s.bytes > front.back().bytes && s.loss < front.back().loss)) front.push_back(std::move(s));
    }
    return front;
}

}  // namespace tenpak::quant
