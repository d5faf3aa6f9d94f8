// SPDX-License-Identifier: Apache-2.0
// How fast this machine reads memory right now: what decode speed is judged against.
#pragma once
#include <cstddef>

#include "core/base/error.h"

namespace tenpak::evaluate {

/// Bytes per second that `threads` threads read together from a buffer of `bytes` in huge pages, each walking 2, 4, 8 or 16
/// address streams at once (one stream a core reaches only two thirds of it on some CPUs), whichever is fastest. Best of
/// `rounds` passes of each.
Result<double> read_bandwidth(unsigned threads, std::size_t bytes, int rounds);

}  // namespace tenpak::evaluate
