// SPDX-License-Identifier: Apache-2.0
// The Markdown tables of the delta benchmark, and the verdicts that follow from the run's own figures.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "tests/bench/entropy.h"
#include "tests/bench/methods.h"

namespace tenpak::bench {

struct Row {
    PairSpec spec;
    std::uint64_t raw = 0, paired = 0, weights = 0;
    double rest = 0;
    Figure ours, codecs;
    std::map<std::string, Figure> peers;
    Entropy entropy;  ///< of the paired tensors
};

void print_sizes_head();
void print_sizes(const Row& r);
/// Sizes against limits, peers and entropy; true if nothing failed.
bool print_verdicts(const std::vector<Row>& rows);
void print_speeds(const std::vector<Row>& rows);
/// Decode kernel against TX, from the row whose spec says so.
bool print_kernel(const std::vector<Row>& rows);

}  // namespace tenpak::bench
