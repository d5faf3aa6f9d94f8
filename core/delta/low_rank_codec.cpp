// SPDX-License-Identifier: Apache-2.0
// The entropy-coded form of integer factors (FORMAT.md "Factors"): each number's leading bits by adaptive models chosen
// by the scale of its component and of its row so far, the others as they are.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "core/delta/low_rank.h"
#include "core/delta/payload.h"

namespace tenpak::delta {

namespace {

Error malformed(const char* what) {
    return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program");
}

/// Probability that the next bit is 0, in 1/65536; a mean at first, then slow: the numbers of a component are alike.
struct Model {
    std::uint16_t p0 = 32768;
    std::uint8_t seen = 0;
    void update(bool bit) {
        const auto shift = static_cast<unsigned>(std::bit_width(static_cast<unsigned>(seen))) + 1u;
        if (seen < 127) ++seen;
        if (bit)
            p0 = static_cast<std::uint16_t>(p0 - (p0 >> shift));
        else
            p0 = static_cast<std::uint16_t>(p0 + ((65536u - p0) >> shift));
        p0 = std::clamp<std::uint16_t>(p0, 64, 65472);
    }
};

class Encoder {
 public:
    explicit Encoder(Bytes& out) : out_(out), begin_(out.size()) {}
    bool bit(Model& m, bool b) {
        const std::uint32_t split = (range_ >> 16) * m.p0;
        if (b) {
            low_ += split;
            range_ -= split;
        } else {
            range_ = split;
        }
        m.update(b);
        normalize();
        return b;
    }
    /// Up to 16 equiprobable bits.
    std::uint32_t direct(std::uint32_t value, unsigned count) {
        range_ >>= count;
        low_ += std::uint64_t{value} * range_;
        normalize();
        return value;
    }
    void finish() {
        for (int i = 0; i < 5; ++i) shift();
        while (out_.size() > begin_ && out_.back() == std::byte{0}) out_.pop_back();
    }

 private:
    void normalize() {
        while (range_ < 1u << 24) {
            shift();
            range_ <<= 8;
        }
    }
    void shift() {
        if (low_ >> 32 != 0) {
            low_ &= 0xffffffffu;
            for (std::size_t i = out_.size(); i-- > begin_;) {
                out_[i] = static_cast<std::byte>(static_cast<unsigned>(out_[i]) + 1u);
                if (out_[i] != std::byte{0}) break;
            }
        }
        out_.push_back(static_cast<std::byte>(low_ >> 24 & 0xffu));
        low_ = low_ << 8 & 0xffffffffu;
    }
    Bytes& out_;
    std::size_t begin_;
    std::uint64_t low_ = 0;
    std::uint32_t range_ = 0xffffffffu;
};

class Decoder {
 public:
    explicit Decoder(std::span<const std::byte> in) : in_(in) {
        for (int i = 0; i < 4; ++i) code_ = code_ << 8 | next();
    }
    bool bit(Model& m, bool) {
        const std::uint32_t split = (range_ >> 16) * m.p0;
        const bool b = code_ >= split;
        if (b) {
            code_ -= split;
            range_ -= split;
        } else {
            range_ = split;
        }
        m.update(b);
        normalize();
        return b;
    }
    std::uint32_t direct(std::uint32_t, unsigned count) {
        range_ >>= count;
        const std::uint32_t v = std::min(code_ / range_, (1u << count) - 1);
        code_ -= v * range_;
        normalize();
        return v;
    }
    bool used_up() const { return position_ >= in_.size(); }

 private:
    std::uint32_t next() {
        const std::size_t at = position_++;
        return at < in_.size() ? static_cast<std::uint32_t>(in_[at]) : 0u;
    }
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

constexpr unsigned kLevels = 64;  ///< scales, in quarter octaves: 2^(level / 4)
constexpr unsigned kContexts = 12;
constexpr unsigned kEscape = 31;  ///< leading parts from here on are written in another way
constexpr int kPriorRows = 4;     ///< weight of "this row is like the others" against what it has shown
/// round(16 x 2^(level / 4)).
constexpr std::array<std::int32_t, 4> kQuarter{16384, 19484, 23170, 27554};  // 2^14 x 2^(i / 4)
std::int32_t scale16(unsigned level) {
    return static_cast<std::int32_t>((static_cast<std::int64_t>(kQuarter[level % 4]) << (level / 4)) >> 10);
}
/// 256 x 2^((i - 7.5) / 2): mean squares from which a row's scale is i - 7 quarter octaves above the component's.
constexpr std::array<std::int32_t, 16> kRowSteps{19,  27,  38,  54,  76,   108,  152,  215,
                                                 304, 431, 609, 861, 1218, 1722, 2435, 3444};

struct Component {
    unsigned shift = 0;  ///< low bits that are zero in all numbers
    unsigned level = 0;
    bool zero = true;
};

/// One matrix of numbers, [n][rank]; the coder returns what it was given or what it read.
template <class Coder>
class Walk {
 public:
    Walk(Coder& coder, std::uint32_t rank) : coder_(coder), components_(rank) {}

    bool component(Component& c) {
        c.zero = coder_.direct(c.zero ? 1 : 0, 1) != 0;
        if (c.zero) return true;
        c.shift = coder_.direct(c.shift, 4);
        c.level = coder_.direct(c.level, 6);
        return c.shift < 15;
    }
    std::vector<Component>& components() { return components_; }

    /// False where a number read is out of range.
    bool row(std::int16_t* x) {
        std::int32_t squares = 256 * kPriorRows;
        std::int32_t count = kPriorRows;
        for (std::size_t c = 0; c < components_.size(); ++c) {
            const Component& k = components_[c];
            if (k.zero) {
                x[c] = 0;
                continue;
            }
            const std::int32_t mean = squares / count;
            int row_level = -8;
            for (const std::int32_t s : kRowSteps) row_level += mean >= s ? 1 : 0;
            const auto level = static_cast<unsigned>(
                std::clamp(static_cast<int>(k.level) + row_level, 0, static_cast<int>(kLevels) - 1));
            std::int32_t v = x[c] / (1 << k.shift);
            if (!number(v, level)) return false;
            if (std::abs(v) > 32767 >> k.shift) return false;
            x[c] = static_cast<std::int16_t>(v * (1 << k.shift));
            const std::int32_t z = std::min(std::abs(v) * 256 / scale16(k.level), 80);
            squares += z * z;
            ++count;
        }
        return true;
    }

 private:
    bool number(std::int32_t& v, unsigned level) {
        const unsigned low = level < 8 ? 0 : level / 4 - 2;
        auto& models = models_[level < 8 ? level : 8 + level % 4];
        const auto magnitude = static_cast<std::uint32_t>(std::abs(v));
        const std::uint32_t wanted = std::min(magnitude >> low, kEscape);
        std::uint32_t node = 1;
        for (unsigned i = 5; i-- > 0;) node = node * 2 + (coder_.bit(models[node], (wanted >> i & 1u) != 0) ? 1u : 0u);
        std::uint32_t q = node - 32;
        if (q == kEscape) {  // the rest by its width and bits
            const std::uint32_t rest = (magnitude >> low) - kEscape + 1;
            const std::uint32_t width = coder_.direct(static_cast<std::uint32_t>(std::bit_width(rest)) - 1u, 4);
            q = kEscape - 1 + ((1u << width) | (width == 0 ? 0u : coder_.direct(rest & ((1u << width) - 1), width)));
        }
        std::uint32_t m = q << low;
        if (low > 0) m |= coder_.direct(magnitude & ((1u << low) - 1), low);
        if (m > 32767) return false;
        const bool negative = m != 0 && coder_.direct(v < 0 ? 1 : 0, 1) != 0;
        v = negative ? -static_cast<std::int32_t>(m) : static_cast<std::int32_t>(m);
        return true;
    }
    Coder& coder_;
    std::vector<Component> components_;
    std::array<std::array<Model, 32>, kContexts> models_{};
};

std::vector<Component> measure(const std::vector<std::int16_t>& x, std::uint32_t rank) {
    std::vector<Component> all(rank);
    std::vector<std::uint32_t> bits(rank);
    std::vector<double> squares(rank);
    for (std::size_t i = 0; i < x.size(); ++i) {
        bits[i % rank] |= static_cast<std::uint32_t>(std::abs(std::int32_t{x[i]}));
        squares[i % rank] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
    for (std::size_t c = 0; c < rank; ++c) {
        if (bits[c] == 0) continue;
        all[c].zero = false;
        all[c].shift = static_cast<unsigned>(std::countr_zero(bits[c]));
        const double rms = std::sqrt(squares[c] * rank / static_cast<double>(x.size())) /
                           std::ldexp(1.0, static_cast<int>(all[c].shift));
        all[c].level = static_cast<unsigned>(std::clamp(std::lround(4 * std::log2(std::max(rms, 1e-9))), 0L, 63L));
    }
    return all;
}

}  // namespace

Bytes factors_encode(const Factors& f) {
    Factors header = f;
    header.u.clear();
    header.v.clear();
    Bytes out = factors_to_bytes(header);
    Encoder coder(out);
    for (const auto* x : {&f.u, &f.v}) {
        Walk<Encoder> walk(coder, f.rank);
        walk.components() = measure(*x, f.rank);
        for (Component& c : walk.components()) walk.component(c);
        std::vector<std::int16_t> row(f.rank);
        for (std::size_t i = 0; i < x->size(); i += f.rank) {
            std::copy_n(x->begin() + static_cast<std::ptrdiff_t>(i), f.rank, row.begin());
            walk.row(row.data());
        }
    }
    coder.finish();
    return out;
}

Result<Factors> factors_decode(std::span<const std::byte> stored, std::uint64_t raw_size) {
    if (stored.size() < kFactorsHeaderBytes || raw_size < kFactorsHeaderBytes || raw_size > kMaxBlockBytes)
        return malformed("factors end early");
    Factors f;
    // The header is that of the canonical bytes, without numbers.
    if (static_cast<std::uint8_t>(stored[0]) != 1)
        return make_error(ErrorCode::kUnsupported, "factors have an unknown version", {}, "A newer tenpak reads it");
    const auto at16 = [&](std::size_t i) {
        std::uint16_t v;
        std::memcpy(&v, stored.data() + i, 2);
        return v;
    };
    f.merge = static_cast<MergeRounding>(stored[1]);
    std::memcpy(&f.rows, stored.data() + 2, 4);
    std::memcpy(&f.columns, stored.data() + 6, 4);
    f.rank = at16(10);
    f.exponent = static_cast<std::int16_t>(at16(12));
    f.noise = at16(14);
    if (at16(16) != 0) return malformed("factors have bytes that must be zero");
    if (f.rank == 0 || f.rank > kMaxFactorRank || factors_bytes(f) != raw_size)
        return malformed("factors have another size than their record says");
    if (stored.size() > kFactorsHeaderBytes && stored.back() == std::byte{0})
        return malformed("factors end in bytes that say nothing");
    try {
        f.u.resize(std::size_t{f.rows} * f.rank);
        f.v.resize(std::size_t{f.columns} * f.rank);
        Decoder coder(stored.subspan(kFactorsHeaderBytes));
        for (auto* x : {&f.u, &f.v}) {
            Walk<Decoder> walk(coder, f.rank);
            for (Component& c : walk.components())
                if (!walk.component(c)) return malformed("factors have an impossible scale");
            for (std::size_t i = 0; i < x->size(); i += f.rank)
                if (!walk.row(x->data() + i)) return malformed("a factor is out of range");
        }
        if (!coder.used_up()) return malformed("factors have bytes that say nothing");
        TENPAK_RETURN_IF_ERROR(check_factors(f));
        return f;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the factors of a tensor");
    }
}

}  // namespace tenpak::delta
