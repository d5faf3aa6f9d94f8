// SPDX-License-Identifier: Apache-2.0
// What writing and reading bitsandbytes files share (optimizer.md 4.6, 4.7).
#pragma once
#include <cstdint>
#include <vector>

namespace tenpak::quant {

inline constexpr const char* kQuantState = ".quant_state.bitsandbytes__nf4";
inline constexpr std::uint32_t kNestedBlock = 256;

/// Powers of two, 32 to 4096.
bool is_block_size(std::uint64_t size);
/// LinearWeight has the even column in the low nibble, bitsandbytes in the high one.
std::vector<std::uint8_t> swapped_nibbles(std::vector<std::uint8_t> codes);
/// SCB for a scale: the float whose 127th part is exactly the scale, where there is one (there is, for scales made so).
float row_magnitude(float scale);

}  // namespace tenpak::quant
