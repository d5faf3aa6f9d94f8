// SPDX-License-Identifier: Apache-2.0
#include "core/base/nf4.h"

namespace tenpak {
namespace {

std::array<float, 256> make_dynamic_levels() {
    std::array<float, 256> out{};
    std::size_t n = 0;
    for (int decade = 0; decade < 7; ++decade) {
        const int steps = 1 << decade;
        const float step = (1.0f - 0.1f) / static_cast<float>(steps);
        const auto bound = [&](int j) {  // product and sum are exact in binary64
            return j < (steps + 1) / 2 ? static_cast<float>(static_cast<double>(0.1f) + static_cast<double>(step) * j)
                                       : static_cast<float>(1.0 - static_cast<double>(step) * (steps - j));
        };
        const auto scale = static_cast<float>(std::array{1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0}[static_cast<std::size_t>(decade)]);
        for (int k = 0; k < steps; ++k) {
            const float sum = bound(k) + bound(k + 1);
            const float value = scale * (sum / 2);
            out[n++] = value;
            out[n++] = -value;
        }
    }
    out[n++] = 0;
    out[n++] = 1;
    std::sort(out.begin(), out.end());
    return out;
}

}  // namespace

const std::array<float, 256>& dynamic_levels() {
    static const std::array<float, 256> levels = make_dynamic_levels();
    return levels;
}

std::uint8_t dynamic_code(float x) {
    static const std::array<float, 255> middles = middles_of(dynamic_levels());
    return static_cast<std::uint8_t>(std::lower_bound(middles.begin(), middles.end(), x) - middles.begin());
}

}  // namespace tenpak
