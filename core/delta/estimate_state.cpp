// SPDX-License-Identifier: Apache-2.0
#include "core/delta/estimate_state.h"

#include <algorithm>
#include <cmath>

namespace tenpak::delta {

namespace {

constexpr double kNormal = 1.96;
constexpr double kLeastSpread = 0.004;        ///< between blocks, relative: no tensor is more even than that
constexpr double kProbeWeight = 2;            ///< degrees of freedom that the probe's spread counts for between blocks
constexpr double kSideRatio = 0.35, kSideError = 0.25;  ///< of side files not yet read
constexpr double kPriorProbeError = 0.02;     ///< probes against whole blocks, before any is measured

}  // namespace

double student_quantile(double degrees) {
    // Cornish-Fisher expansion of the t quantile (Abramowitz and Stegun 26.7.5), good to 1 % from 3 degrees on; exact
    // values below, since there it is not.
    if (degrees < 1.5) return 12.706;
    if (degrees < 2.5) return 4.303;
    if (degrees < 3.5) return 3.182;
    const double z = 1.959964, n = degrees;
    return z + (z * z * z + z) / (4 * n) + (5 * std::pow(z, 5) + 16 * z * z * z + 3 * z) / (96 * n * n) +
           (3 * std::pow(z, 7) + 19 * std::pow(z, 5) + 17 * z * z * z - 15 * z) / (384 * n * n * n);
}

std::uint64_t Unit::known_raw() const {
    std::uint64_t n = 0;
    for (const KnownBlock& b : known) n += b.raw;
    return n;
}
std::uint64_t Unit::known_stored() const {
    std::uint64_t n = 0;
    for (const KnownBlock& b : known) n += b.stored;
    return n;
}
bool Unit::unchanged_so_far() const {
    if (complete() || !touched()) return false;
    if (probe && (probe->changed > 0 || probe->elements == 0)) return false;
    return std::all_of(known.begin(), known.end(), [](const KnownBlock& b) { return b.changed == 0; });
}
double Unit::changed_fraction() const {
    std::uint64_t elements = 0, changed = 0;
    for (const KnownBlock& b : known) {
        elements += b.elements;
        changed += b.changed;
    }
    if (elements == 0 && probe) {
        elements = probe->elements;
        changed = probe->changed;
    }
    return elements > 0 ? static_cast<double>(changed) / static_cast<double>(elements) : 0;
}

Common common_of(const std::vector<Unit>& units) {
    Common c;
    double weight = 0, sum = 0, squares = 0, changed_weight = 0, changed_sum = 0;
    unsigned touched = 0;
    std::vector<double> factors, low_rank;
    for (const Unit& u : units) {
        if (!u.is_tensor || !u.touched()) continue;
        const double raw = static_cast<double>(u.known_raw());
        const double ratio = raw > 0 ? static_cast<double>(u.known_stored()) / raw : u.probe->ratio;
        const double w = static_cast<double>(u.raw_bytes);
        weight += w;
        sum += w * ratio;
        squares += w * ratio * ratio;
        ++touched;
        if (u.changed_fraction() > 0) {
            changed_weight += w;
            changed_sum += w * ratio;
        }
        if (u.looks_low_rank()) {
            if (u.complete() && u.probe->telling && u.probe->ratio > 0) low_rank.push_back(ratio / u.probe->ratio);
        } else if (u.probe && raw > 0 && u.probe->ratio > 0.001) {
            factors.push_back(ratio / u.probe->ratio);
        }
    }
    if (touched > 0 && weight > 0) {
        c.ratio = sum / weight;
        // Untouched tensors are like the touched ones (the order is random), but few touched ones say little.
        const double spread = std::sqrt(std::max(0.0, squares / weight - c.ratio * c.ratio));
        c.ratio_error = std::min(0.26, spread * student_quantile(touched) / kNormal + 0.2 / touched);
    }
    if (changed_weight > 0) c.changed_ratio = changed_sum / changed_weight;
    const auto learn = [](const std::vector<double>& f, double prior, double least, double& factor, double& error) {
        if (f.size() < 4) return;
        const auto n = static_cast<double>(f.size());
        double mean = 0, variance = 0;
        for (const double x : f) mean += x / n;
        for (const double x : f) variance += (x - mean) * (x - mean) / (n - 1);
        const double e = std::sqrt(variance / n) * student_quantile(n - 1) / kNormal;
        if (e >= prior) return;
        factor = std::clamp(mean, 0.8, 1.2);
        error = std::max(e, least);
    };
    learn(factors, kPriorProbeError, 0.003, c.probe_factor, c.probe_error);
    // Tensors whose factors were recovered first are those that were least certain: no sample of the others.
    learn(low_rank, c.low_rank_error, 0.03, c.low_rank_factor, c.low_rank_error);
    return c;
}

UnitSize size_of(const Unit& u, const Common& c) {
    const double stored = static_cast<double>(u.known_stored());
    UnitSize s;
    s.independent.bytes = stored;
    if (u.complete()) return s;
    const double rest = static_cast<double>(u.raw_bytes - u.known_raw());
    const auto m = static_cast<double>(u.known.size()), n = static_cast<double>(u.blocks);
    if (!u.touched() || (!u.is_tensor && u.known.empty())) {
        const double ratio = u.is_tensor ? c.ratio : kSideRatio, error = u.is_tensor ? c.ratio_error : kSideError;
        s.independent.bytes = rest * ratio;
        // What is not known of tensors is not known of all of them alike.
        if (u.is_tensor) s.shared = rest * error;
        else s.independent.down = s.independent.up = rest * error;
        return s;
    }
    if (u.unchanged_so_far()) {
        // Rule of three: with k pieces seen and none changed, at most 3 in k of the rest have (95 %).
        const double pieces = m + (u.probe ? u.probe->slices : 0);
        s.independent.up = rest * c.changed_ratio * std::min(1.0, 3 / pieces) / kNormal;
        return s;
    }
    if (u.looks_low_rank() && m == 0) {
        const double ratio = u.probe->ratio * (u.probe->telling ? c.low_rank_factor : 1);
        s.independent.bytes = rest * ratio;
        s.independent.down = rest * std::max(u.probe->ratio - u.probe->low, 0.0) / kNormal;
        s.independent.up = rest * std::max(u.probe->high - u.probe->ratio, 0.0) / kNormal;
        // What is merely possible lies to the same side in tensors that are alike.
        s.shared = u.probe->telling ? rest * ratio * c.low_rank_error : rest * (u.probe->high - u.probe->low) / 4 / kNormal;
        return s;
    }
    const double probe_ratio = u.probe ? u.probe->ratio * c.probe_factor : 0;
    const double probe_spread = u.probe ? std::max(u.probe->spread, kLeastSpread) : 0.1;
    double ratio = probe_ratio, variance = 0, degrees = 3;
    if (m == 0) {
        const double k = u.probe->slices;
        variance = probe_spread * probe_spread * (1 / k + 1 / n);
        degrees = std::max(2.0, k - 1);
        s.shared = rest * ratio * c.probe_error;
    } else {
        const double mean = stored / static_cast<double>(u.known_raw());
        double between = 0;
        for (const KnownBlock& b : u.known) {
            const double r = static_cast<double>(b.stored) / static_cast<double>(b.raw) / std::max(mean, 1e-9) - 1;
            between += r * r;
        }
        degrees = kProbeWeight + m - 1;
        const double s2 = std::max((kProbeWeight * probe_spread * probe_spread + between) / degrees, kLeastSpread * kLeastSpread);
        variance = s2 * (1 / m + 1 / std::max(1.0, n - m));
        ratio = mean;
        degrees = std::max(degrees, 3.0);
        if (u.probe && probe_ratio > 0) {
            // The probe saw all of the tensor, the blocks some of it exactly: weigh both by their errors.
            const double probe_variance = probe_spread * probe_spread / u.probe->slices + c.probe_error * c.probe_error;
            const double block_variance = s2 / m;
            const double w = probe_variance / (probe_variance + block_variance);
            ratio = w * mean + (1 - w) * probe_ratio;
            variance = std::max(1 / (1 / probe_variance + 1 / block_variance), 0.0) + s2 / std::max(1.0, n - m);
        }
    }
    const double error = rest * ratio * std::sqrt(variance) * student_quantile(degrees) / kNormal;
    s.independent.bytes += rest * ratio;
    s.independent.down = s.independent.up = error;
    return s;
}

}  // namespace tenpak::delta
