// SPDX-License-Identifier: Apache-2.0
// The numbers of NF4 (Dettmers et al., "QLoRA", arXiv 2305.14314) and of its double quantization, as bitsandbytes has them:
// single precision, each operation rounded by itself, so that both sides of a checkpoint see the same bits.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace tenpak {

/// The paper's appendix E: quantiles of N(0, 1), scaled to [-1, 1], with an exact zero. Rising.
inline constexpr std::array<float, 16> kNf4Levels{-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
                                                  -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
                                                  0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

/// Between neighbours, in the order of `levels`; rounded once. A value equal to a middle belongs to the lower level.
template <std::size_t N>
constexpr std::array<float, N - 1> middles_of(const std::array<float, N>& levels) {
    std::array<float, N - 1> m{};
    for (std::size_t i = 0; i + 1 < N; ++i) m[i] = static_cast<float>((static_cast<double>(levels[i]) + static_cast<double>(levels[i + 1])) / 2);
    return m;
}
inline constexpr std::array<float, 15> kNf4Middles = middles_of(kNf4Levels);

/// The signed 8-bit type of nested magnitudes ("dynamic tree quantization", Dettmers 2015, arXiv 1511.04561): 7 decades,
/// each with twice as many steps as the one below, both signs, 0 and 1. Rising.
const std::array<float, 256>& dynamic_levels();
/// The nearest of dynamic_levels() to x, by the middles between them.
std::uint8_t dynamic_code(float x);

}  // namespace tenpak
