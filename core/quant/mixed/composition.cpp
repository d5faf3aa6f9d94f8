// SPDX-License-Identifier: Apache-2.0
#include "core/quant/mixed/composition.h"

#include <algorithm>
#include <cmath>

namespace tenpak::quant {
namespace {

Composition composition_of(const Sensitivity& s, Selection selection) {
    Composition c;
    c.chosen = std::move(selection.chosen);
    c.bytes = selection.bytes;
    c.loss = selection.loss;
    const auto weights = static_cast<double>(s.weights());
    c.bits = weights > 0 ? 8.0 * static_cast<double>(c.bytes) / weights : 0;
    return c;
}

/// 0,1,2,5 -> "0-2, 5".
std::string ranges(const std::vector<std::uint32_t>& layers) {
    std::string out;
    for (std::size_t i = 0; i < layers.size();) {
        std::size_t end = i;
        while (end + 1 < layers.size() && layers[end + 1] == layers[end] + 1) ++end;
        out += (out.empty() ? "" : ", ") + std::to_string(layers[i]) + (end > i ? "-" + std::to_string(layers[end]) : "");
        i = end + 1;
    }
    return out;
}

}  // namespace

double Composition::percent() const { return 100 * std::expm1(loss); }

Result<Composition> compose_for_bits(const Sensitivity& s, double bits, const JobContext& ctx) {
    TENPAK_ASSIGN(Selection best, least_loss(s.choices, s.budget(bits), ctx));
    return composition_of(s, std::move(best));
}

Result<Composition> compose_for_percent(const Sensitivity& s, double percent, const JobContext& ctx) {
    TENPAK_ASSIGN(Selection best, fewest_bytes(s.choices, std::log1p(percent / 100), ctx));
    return composition_of(s, std::move(best));
}

Result<Composition> compose_default(const Sensitivity& s, const JobContext& ctx) {
    TENPAK_ASSIGN(Selection best, fewest_bytes(s.choices, uniform(s, kProbedOption).loss / 2, ctx));
    return composition_of(s, std::move(best));
}

Composition uniform(const Sensitivity& s, std::uint32_t option) {
    Selection all;
    for (const auto& choices : s.choices) {
        all.chosen.push_back(option);
        all.bytes += choices[option].bytes;
        all.loss += choices[option].loss;
    }
    return composition_of(s, std::move(all));
}

Result<std::vector<Composition>> compositions(const Sensitivity& s, std::uint32_t points, const JobContext& ctx) {
    TENPAK_ASSIGN(auto front, pareto_front(s.choices, points, ctx));
    std::vector<Composition> out;
    for (Selection& selection : front) out.push_back(composition_of(s, std::move(selection)));
    return out;
}

double decode_seconds(const Sensitivity& s, const Composition& c, std::span<const double> bytes_per_second) {
    double seconds = 0;
    for (std::size_t u = 0; u < s.units.size(); ++u) seconds += static_cast<double>(s.choices[u][c.chosen[u]].bytes) / bytes_per_second[c.chosen[u]];
    return seconds;
}

std::vector<std::string> describe(const Sensitivity& s, const Composition& c) {
    std::map<std::pair<std::uint32_t, std::string>, std::map<std::uint32_t, std::vector<std::uint32_t>>> kinds;  // (kind, name) -> option -> layers
    for (std::size_t u = 0; u < s.units.size(); ++u) kinds[{s.units[u].kind, kind_name(s.units[u])}][c.chosen[u]].push_back(s.units[u].layer);
    std::vector<std::string> lines;
    for (const auto& [kind, options] : kinds) {
        std::string line;
        for (const auto& [option, layers] : options) {
            line += (line.empty() ? "" : "; ") + s.options[option].name;
            if (options.size() > 1) line += (layers.size() == 1 ? " in layer " : " in layers ") + ranges(layers);
        }
        lines.push_back(kind.second + ": " + line);
    }
    return lines;
}

}  // namespace tenpak::quant
