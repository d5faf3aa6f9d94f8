// SPDX-License-Identifier: Apache-2.0
// A small adaptive binary range coder (the carry-propagating kind of G. N. N. Martin, 1979) for the frequency tables of
// a block and for sparse changes: few bits, so size matters more than speed. Bytes: FORMAT.md "Model".
#pragma once
#include <cstdint>
#include <span>

#include "core/base/file.h"

namespace tenpak::delta {

/// Probability that the next bit is 0, in 1/4096; adapts fast at first, then slower.
struct AdaptiveBit {
    std::uint16_t p0 = 2048;
    std::uint8_t seen = 0;

    void update(bool bit) {
        const unsigned shift = seen < 4 ? 2u + seen / 2u : 5u;
        if (seen < 4) ++seen;
        if (bit) p0 = static_cast<std::uint16_t>(p0 - (p0 >> shift));
        else p0 = static_cast<std::uint16_t>(p0 + ((4096u - p0) >> shift));
        if (p0 < 32) p0 = 32;
        if (p0 > 4064) p0 = 4064;
    }
};

class RangeEncoder {
   public:
    explicit RangeEncoder(Bytes& out) : out_(out), begin_(out.size()) {}
    void bit(AdaptiveBit& model, bool bit) {
        const std::uint32_t split = (range_ >> 12) * model.p0;
        if (bit) {
            low_ += split;
            range_ -= split;
        } else {
            range_ = split;
        }
        model.update(bit);
        normalize();
    }
    /// `count` equiprobable bits, highest first.
    void direct(std::uint32_t value, unsigned count) {
        while (count-- > 0) {
            range_ >>= 1;
            if ((value >> count & 1u) != 0) low_ += range_;
            normalize();
        }
    }
    /// Writes what is left; trailing zero bytes are dropped, since the decoder reads zeros behind the end.
    void finish() {
        for (unsigned zeros = 24; zeros >= 8; zeros -= 8) {  // the value inside the range with the most zeros at its end
            const std::uint64_t mask = (std::uint64_t{1} << zeros) - 1, v = (low_ + mask) & ~mask;
            if (v < low_ + range_) {
                low_ = v;
                break;
            }
        }
        for (int i = 0; i < 4; ++i) {
            carry();
            out_.push_back(static_cast<std::byte>(low_ >> 24 & 0xffu));
            low_ = low_ << 8 & 0xffffffffu;
        }
        while (out_.size() > begin_ && out_.back() == std::byte{0}) out_.pop_back();
    }

   private:
    void carry() {
        if (low_ >> 32 == 0) return;
        low_ &= 0xffffffffu;
        for (std::size_t i = out_.size(); i-- > begin_;) {
            out_[i] = static_cast<std::byte>(static_cast<unsigned>(out_[i]) + 1u);
            if (out_[i] != std::byte{0}) break;
        }
    }
    void normalize() {
        while (range_ < 1u << 24) {
            carry();
            out_.push_back(static_cast<std::byte>(low_ >> 24 & 0xffu));
            low_ = low_ << 8 & 0xffffffffu;
            range_ <<= 8;
        }
    }
    Bytes& out_;
    std::size_t begin_;
    std::uint64_t low_ = 0;
    std::uint32_t range_ = 0xffffffffu;
};

/// Any input decodes to something: what it says is checked by the caller.
class RangeDecoder {
   public:
    explicit RangeDecoder(std::span<const std::byte> in) : in_(in) {
        for (int i = 0; i < 4; ++i) code_ = code_ << 8 | next();
    }
    bool bit(AdaptiveBit& model) {
        const std::uint32_t split = (range_ >> 12) * model.p0;
        const bool b = code_ >= split;
        if (b) {
            code_ -= split;
            range_ -= split;
        } else {
            range_ = split;
        }
        model.update(b);
        normalize();
        return b;
    }
    std::uint32_t direct(unsigned count) {
        std::uint32_t v = 0;
        while (count-- > 0) {
            range_ >>= 1;
            const bool b = code_ >= range_;
            if (b) code_ -= range_;
            v = v << 1 | (b ? 1u : 0u);
            normalize();
        }
        return v;
    }
    /// Whether a stream in its shortest form was used up: to be asked after the last bit.
    bool at_end() const { return position_ == in_.size() && (in_.empty() || in_.back() != std::byte{0}); }

   private:
    std::uint32_t next() { return position_ < in_.size() ? static_cast<std::uint32_t>(in_[position_++]) : 0u; }
    void normalize() {
        while (range_ < 1u << 24) {
            code_ = code_ << 8 | next();
            range_ <<= 8;
        }
    }
    std::span<const std::byte> in_;
    std::size_t position_ = 0;
    std::uint32_t code_ = 0, range_ = 0xffffffffu;
};

}  // namespace tenpak::delta
