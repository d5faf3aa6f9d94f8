// SPDX-License-Identifier: Apache-2.0
// How fast this machine reads memory right now: what decode speed is judged against.
#pragma once
#include <cstddef>

#include "core/base/error.h"

namespace tenpak::evaluate {

/// Bytes per second that `threads` threads read together from a buffer of `bytes`, each walking 8 address streams (one
/// stream a core reaches only two thirds of it, reference optimizer.md 3.4). Best of `rounds` passes.
Result<double> read_bandwidth(unsigned threads, std::size_t bytes, int rounds);

}  // namespace tenpak::evaluate
