// SPDX-License-Identifier: Apache-2.0
#include "core/delta/match_names.h"

#include <algorithm>
#include <map>
#include <unordered_map>

namespace tenpak::delta {

namespace {

/// Beginnings are at most so many parts long ("base_model.model.language_model.model.").
constexpr unsigned kMostParts = 5;

/// Where the suffixes of a name begin: 0 and behind each dot, kMostParts + 1 at most. The last part alone says nothing.
std::vector<std::size_t> suffixes(std::string_view name) {
    std::vector<std::size_t> at{0};
    for (std::size_t dot = name.find('.'); dot != name.npos && at.size() <= kMostParts; dot = name.find('.', dot + 1)) at.push_back(dot + 1);
    while (at.size() > 1 && name.find('.', at.back()) == name.npos) at.pop_back();
    return at;
}

}  // namespace

std::vector<PrefixRule> learn_prefixes(const ModelSource& base, const ModelSource& fine_tune, const std::vector<std::uint32_t>& unmatched,
                                       const std::function<bool(const TensorInfo&, const TensorInfo&)>& fits) {
    // A suffix that many names of the base share ("weight" of a list of lists) is no sign of anything.
    constexpr std::size_t kMostOfOneSuffix = 8;
    std::unordered_map<std::string_view, std::vector<std::pair<std::uint32_t, std::size_t>>> ends;  // suffix -> tensor, where it begins
    for (std::uint32_t b = 0; b < base.tensors().size(); ++b)
        for (const std::size_t at : suffixes(base.tensors()[b].name)) {
            auto& list = ends[std::string_view(base.tensors()[b].name).substr(at)];
            if (list.size() <= kMostOfOneSuffix) list.emplace_back(b, at);
        }
    std::map<std::pair<std::string_view, std::string_view>, std::size_t> votes;
    for (const std::uint32_t f : unmatched) {
        const std::string_view name = fine_tune.tensors()[f].name;
        for (const std::size_t at : suffixes(name)) {
            const auto it = ends.find(name.substr(at));
            if (it == ends.end() || it->second.size() > kMostOfOneSuffix) continue;
            bool any = false;
            for (const auto& [b, begin] : it->second) {
                if (!fits(base.tensors()[b], fine_tune.tensors()[f])) continue;
                ++votes[{name.substr(0, at), std::string_view(base.tensors()[b].name).substr(0, begin)}];
                any = true;
            }
            if (any) break;  // the longest suffix counts
        }
    }
    std::vector<PrefixRule> rules;
    for (const auto& [pair, n] : votes) rules.push_back({std::string(pair.first), std::string(pair.second), n});
    std::stable_sort(rules.begin(), rules.end(), [](const PrefixRule& a, const PrefixRule& b) { return a.votes > b.votes; });
    return rules;
}

const TensorInfo* renamed(const ModelSource& base, std::string_view name, const PrefixRule& rule) {
    if (!name.starts_with(rule.fine_tune)) return nullptr;
    return base.find(rule.base + std::string(name.substr(rule.fine_tune.size())));
}

std::optional<std::string> with_layer(std::string_view name, int layer) {
    const int now = tensor_place(name).layer;
    if (now < 0) return std::nullopt;
    const std::string part = '.' + std::to_string(now) + '.';
    const std::size_t at = name.find(part);
    if (at == name.npos) return std::nullopt;
    return std::string(name.substr(0, at + 1)) + std::to_string(layer) + std::string(name.substr(at + part.size() - 1));
}

}  // namespace tenpak::delta
