// SPDX-License-Identifier: Apache-2.0
// Raw bits, lowest first, in little-endian order.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "core/base/file.h"

namespace tenpak::delta {

static_assert(std::endian::native == std::endian::little, "the coders load and store little-endian words directly");

/// Reads zeros behind the end; position() tells whether it went there.
class BitReader {
   public:
    explicit BitReader(std::span<const std::byte> in, std::uint64_t position = 0)
        : in_(in), position_(position), safe_bits_(in.size() >= 8 ? (in.size() - 8) * 8 : 0), has_safe_(in.size() >= 8) {}
    std::uint32_t get(unsigned bits) {
        std::uint64_t w = 0;
        const std::size_t byte = position_ >> 3;
        if (has_safe_ && position_ <= safe_bits_) {
            std::memcpy(&w, in_.data() + byte, 8);
        } else if (byte < in_.size()) {
            std::memcpy(&w, in_.data() + byte, in_.size() - byte < 8 ? in_.size() - byte : 8);
        }
        w >>= position_ & 7u;
        position_ += bits;
        return static_cast<std::uint32_t>(w & ((std::uint64_t{1} << bits) - 1));
    }
    std::uint64_t position() const { return position_; }

   private:
    std::span<const std::byte> in_;
    std::uint64_t position_ = 0;
    std::uint64_t safe_bits_;
    bool has_safe_;
};

}  // namespace tenpak::delta
