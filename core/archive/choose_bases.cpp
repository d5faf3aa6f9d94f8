// SPDX-License-Identifier: Apache-2.0
#include "core/archive/choose_bases.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

namespace tenpak::archive {
namespace {

constexpr std::size_t kExact = 14;
constexpr double kAsGood = 1.01;

class Family {
   public:
    Family(const std::vector<std::size_t>& members, const std::vector<double>& alone, const std::vector<std::vector<double>>& delta, const std::vector<bool>& must_stay,
           const std::vector<std::int64_t>& seniority)
        : m_(members), alone_(alone), delta_(delta), must_(must_stay), seniority_(seniority) {}

    /// stays[k] for the k-th member.
    std::vector<bool> solve() const { return m_.size() <= kExact ? exact() : greedy(); }
    double cost(const std::vector<bool>& stays) const {
        double total = 0;
        for (std::size_t k = 0; k < m_.size(); ++k) {
            if (must_[m_[k]] && !stays[k]) return kNoDelta;
            total += stays[k] ? alone_[m_[k]] : cheapest(stays, k).second;
        }
        return total;
    }
    std::pair<std::size_t, double> cheapest(const std::vector<bool>& stays, std::size_t k) const {
        std::pair<std::size_t, double> best{k, kNoDelta};
        for (std::size_t b = 0; b < m_.size(); ++b)
            if (stays[b] && delta_[m_[b]][m_[k]] < best.second) best = {b, delta_[m_[b]][m_[k]]};
        return best;
    }

   private:
    std::vector<bool> exact() const {
        std::vector<std::pair<double, std::uint32_t>> good;
        double least = kNoDelta;
        for (std::uint32_t set = 1; set < 1u << m_.size(); ++set) {
            const double c = cost(bits(set));
            if (c < kNoDelta) good.emplace_back(c, set);
            least = std::min(least, c);
        }
        std::uint32_t chosen = (1u << m_.size()) - 1;
        bool first = true;
        for (const auto& [c, set] : good) {
            if (c > least * kAsGood || (!first && !is_senior(set, chosen))) continue;
            chosen = set;
            first = false;
        }
        return bits(chosen);
    }
    /// Fewer bases, then older ones.
    bool is_senior(std::uint32_t a, std::uint32_t b) const {
        const auto ages = [&](std::uint32_t set) {
            std::vector<std::int64_t> s;
            for (std::size_t k = 0; k < m_.size(); ++k)
                if ((set >> k & 1) != 0) s.push_back(seniority_[m_[k]]);
            std::sort(s.begin(), s.end());
            return s;
        };
        const auto x = ages(a), y = ages(b);
        return x.size() != y.size() ? x.size() < y.size() : x < y;
    }
    std::vector<bool> bits(std::uint32_t set) const {
        std::vector<bool> s(m_.size());
        for (std::size_t k = 0; k < s.size(); ++k) s[k] = (set >> k & 1) != 0;
        return s;
    }
    /// From the best single base on: open, close and exchange while it gets smaller.
    std::vector<bool> greedy() const {
        std::vector<bool> stays(m_.size(), true);
        double best = cost(stays);
        const auto attempt = [&](std::vector<bool> s) {
            const double c = cost(s);
            if (c >= best) return false;
            best = c;
            stays = std::move(s);
            return true;
        };
        for (std::size_t b = 0; b < m_.size(); ++b) {
            std::vector<bool> one(m_.size());
            for (std::size_t k = 0; k < m_.size(); ++k) one[k] = k == b || must_[m_[k]] || delta_[m_[b]][m_[k]] >= alone_[m_[k]];
            attempt(std::move(one));
        }
        for (bool better = true; better;) {
            better = false;
            for (std::size_t k = 0; k < m_.size(); ++k) {
                std::vector<bool> s = stays;
                s[k] = !s[k];
                better |= attempt(s);
                for (std::size_t l = 0; l < m_.size(); ++l) {
                    if (stays[l] == stays[k]) continue;
                    s = stays;
                    s[k] = stays[l];
                    s[l] = stays[k];
                    better |= attempt(std::move(s));
                }
            }
        }
        return stays;
    }

    const std::vector<std::size_t>& m_;
    const std::vector<double>& alone_;
    const std::vector<std::vector<double>>& delta_;
    const std::vector<bool>& must_;
    const std::vector<std::int64_t>& seniority_;
};

}  // namespace

BaseChoice choose_bases(const std::vector<double>& alone, const std::vector<std::vector<double>>& delta, const std::vector<bool>& must_stay,
                        const std::vector<std::int64_t>& seniority) {
    const std::size_t n = alone.size();
    BaseChoice choice{std::vector<std::optional<std::size_t>>(n), 0};
    // Families: connected by deltas that save something.
    std::vector<std::size_t> family(n);
    std::iota(family.begin(), family.end(), std::size_t{0});
    const auto find = [&](std::size_t i) {
        while (family[i] != i) i = family[i] = family[family[i]];
        return i;
    };
    for (std::size_t b = 0; b < n; ++b)
        for (std::size_t i = 0; i < n; ++i)
            if (b != i && delta[b][i] < alone[i]) family[find(b)] = find(i);
    for (std::size_t f = 0; f < n; ++f) {
        std::vector<std::size_t> members;
        for (std::size_t i = 0; i < n; ++i)
            if (find(i) == f) members.push_back(i);
        if (members.empty()) continue;
        const Family solver(members, alone, delta, must_stay, seniority);
        const std::vector<bool> stays = solver.solve();
        for (std::size_t k = 0; k < members.size(); ++k) {
            if (!stays[k]) choice.base[members[k]] = members[solver.cheapest(stays, k).first];
        }
        choice.total += solver.cost(stays);
    }
    return choice;
}

}  // namespace tenpak::archive
