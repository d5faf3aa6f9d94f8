// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/packing.h"

namespace tenpak::quant {
namespace {

constexpr std::byte operator""_b(unsigned long long v) { return static_cast<std::byte>(v); }

}  // namespace

Bytes pack_codes(const compute::LinearWeight& w) {
    const bool int4 = w.format == compute::WeightFormat::kInt4Group;
    const std::size_t row_bytes = int4 ? w.k / 2 : w.k;  // in a little-endian word, value order is byte order
    const std::size_t stride = packed_words(w.k, int4 ? 4 : 8) * 4;
    Bytes out(stride * w.n);
    for (std::size_t r = 0; r < w.n; ++r) {
        for (std::size_t i = 0; i < row_bytes; ++i) {
            const auto code = static_cast<std::byte>(w.codes[r * row_bytes + i]);
            out[r * stride + i] = int4 ? code : code ^ 0x80_b;
        }
    }
    return out;
}

std::vector<std::uint8_t> unpack_codes(std::span<const std::byte> packed, std::uint32_t n, std::uint32_t k, unsigned bits) {
    const bool int4 = bits == 4;
    const std::size_t row_bytes = int4 ? k / 2 : k, stride = packed_words(k, bits) * 4;
    std::vector<std::uint8_t> codes(row_bytes * n);
    for (std::size_t r = 0; r < n; ++r) {
        for (std::size_t i = 0; i < row_bytes; ++i) {
            const std::byte b = packed[r * stride + i];
            codes[r * row_bytes + i] = std::to_integer<std::uint8_t>(int4 ? b : b ^ 0x80_b);
        }
    }
    return codes;
}

Bytes pack_zeros(std::span<const std::uint8_t> zeros, std::uint32_t n, std::uint32_t groups, std::uint32_t repeat) {
    const std::size_t columns = std::size_t{groups} * repeat;
    Bytes out(packed_words(n, 4) * columns * 4);
    for (std::size_t r = 0; r < n; ++r) {
        for (std::size_t c = 0; c < columns; ++c) {
            const std::size_t byte = (r / 8 * columns + c) * 4 + r % 8 / 2;
            out[byte] |= static_cast<std::byte>(zeros[r * groups + c / repeat] << (r % 2 * 4));
        }
    }
    return out;
}

std::vector<std::uint8_t> unpack_zeros(std::span<const std::byte> packed, std::uint32_t n, std::uint32_t groups) {
    std::vector<std::uint8_t> zeros(std::size_t{n} * groups);
    for (std::size_t r = 0; r < n; ++r) {
        for (std::size_t c = 0; c < groups; ++c) {
            const auto byte = std::to_integer<unsigned>(packed[(r / 8 * groups + c) * 4 + r % 8 / 2]);
            zeros[r * groups + c] = static_cast<std::uint8_t>(byte >> (r % 2 * 4) & 15u);
        }
    }
    return zeros;
}

}  // namespace tenpak::quant
