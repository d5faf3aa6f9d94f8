// SPDX-License-Identifier: Apache-2.0
// What a register-only loop of one multiplying instruction reaches on this machine: the floor under a product's time.
#pragma once

namespace tenpak::bench {

enum class Instruction { kFma, kBf16, kVnni };

/// Operations a second (a multiplication and an addition are two) of `threads` threads together, best of some rounds; 0
/// where the CPU lacks the instruction. 512-bit registers where there are any.
double peak_rate(Instruction instruction, unsigned threads);

}  // namespace tenpak::bench
