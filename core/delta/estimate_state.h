// SPDX-License-Identifier: Apache-2.0
// What is known so far of every tensor's stored size, and the range of the total that follows from it. Statistics only:
// no reading, no threads (estimate.cpp).
//
// A tensor is a stratum. First a probe (small slices from all over it) gives a ratio and its spread; then whole blocks
// are encoded exactly as compress will, and once all are, the tensor is known. With m of n blocks known the mean of the
// others is predicted by those with variance s^2 (1/m + 1/(n - m)), s^2 pooled from the blocks and the probe's slices;
// small samples get Student's quantile. What tensors have in common, the bias of probes against whole blocks, is
// measured where both are known and added linearly, not in squares.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tenpak::delta {

/// What a probe of a unit found.
struct Probe {
    std::uint64_t bytes = 0;        ///< read
    double ratio = 0;               ///< stored per raw byte that whole blocks would have
    double low = 0, high = 0;       ///< of the ratio where the method is "lowrank": 95 %
    bool telling = true;            ///< then: the ratio is measured, not the middle of what is possible
    double spread = 0;              ///< standard deviation between slices, relative to the mean
    unsigned slices = 1;
    std::uint64_t elements = 0, changed = 0;
    std::string method;
};

struct KnownBlock {
    std::uint64_t raw = 0, stored = 0;
    std::uint64_t elements = 0, changed = 0;
    std::string method;
    std::uint32_t rank = 0;  ///< of the low-rank term that it needs
};

/// A tensor, or a file's bytes outside tensors.
struct Unit {
    std::uint64_t raw_bytes = 0;
    unsigned blocks = 0;
    bool is_tensor = false;
    std::optional<Probe> probe;
    std::vector<KnownBlock> known;

    std::uint64_t known_raw() const;
    std::uint64_t known_stored() const;
    bool complete() const { return known.size() == blocks; }
    bool looks_low_rank() const { return probe && probe->method == "lowrank"; }
    bool touched() const { return probe.has_value() || !known.empty(); }
    /// Everything read so far equals the base, but not all was read.
    bool unchanged_so_far() const;
    double changed_fraction() const;
};

/// A size with its standard errors, downwards and upwards (they differ where nothing has changed so far).
struct Size {
    double bytes = 0, down = 0, up = 0;
};

/// What all units have in common: the ratio of tensors not yet read, and the probes' bias.
struct Common {
    double ratio = 0.5, ratio_error = 0.26;        ///< of an untouched tensor, stored per raw byte
    double changed_ratio = 0.5;                    ///< of a tensor known to have changed
    double probe_factor = 1, probe_error = 0.02;   ///< whole blocks over probes
    double low_rank_factor = 1, low_rank_error = 0.06;  ///< whole tensors over probes that found a low rank
};
Common common_of(const std::vector<Unit>& units);
/// `independent` errors add in squares over units; `shared` ones (of the probes' bias) linearly.
struct UnitSize {
    Size independent;
    double shared = 0;
};
UnitSize size_of(const Unit& unit, const Common& common);
/// 97.5 % quantile of Student's distribution.
double student_quantile(double degrees);

}  // namespace tenpak::delta
