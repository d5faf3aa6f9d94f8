// SPDX-License-Identifier: Apache-2.0
// The fuzz targets under plain GCC: a fixed sequence of mutations of each target's seeds. (The seeds hold a fresh key and its
// signatures; everything else is the same in every run.)
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "tests/fuzz/targets.h"

namespace tenpak::fuzz {
namespace {

constexpr int kMutations = 5000;  // of each target

/// One to four changes of the kinds that break parsers: bits, lengths, doubled and lost parts, and numbers out of range.
class Mutator {
   public:
    explicit Mutator(unsigned seed) : rng_(seed) {}
    std::string mutate(std::string s, const std::vector<std::string>& others) {
        for (unsigned n = 1 + rng_() % 4; n > 0; --n) step(s, others);
        return s;
    }

   private:
    std::size_t below(std::size_t n) { return n == 0 ? 0 : rng_() % n; }
    void step(std::string& s, const std::vector<std::string>& others) {
        static const std::array<const char*, 12> kNumbers{"0", "-1", "1", "255", "65536", "4294967296", "9223372036854775807", "9223372036854775808",
                                                          "18446744073709551615", "18446744073709551616", "1e99", "1.5"};
        const std::size_t at = below(s.size()), length = std::min(s.size() - at, 1 + below(40));
        switch (rng_() % 9) {
            case 0:
                if (!s.empty()) s[at] = static_cast<char>(s[at] ^ (1 << rng_() % 8));
                break;
            case 1:
                if (!s.empty()) s[at] = static_cast<char>(rng_());
                break;
            case 2: s.resize(at); break;
            case 3: s.erase(at, length); break;
            case 4: s.insert(at, s.substr(below(s.size()), length)); break;
            case 5: s.insert(at, std::string(1 + below(9), static_cast<char>(rng_()))); break;
            case 6: {  // a number in the text becomes one at an edge
                const std::size_t digit = s.find_first_of("0123456789", at);
                if (digit == s.npos) break;
                const std::size_t end = std::min(s.find_first_not_of("0123456789", digit), s.size());
                s.replace(digit, end - digit, kNumbers[below(kNumbers.size())]);
                break;
            }
            case 7: {
                const std::string& o = others[below(others.size())];
                s = s.substr(0, at) + o.substr(below(o.size()));
                break;
            }
            default:  // eight bytes that may be a length
                for (std::size_t i = 0; i < 8 && at + i < s.size(); ++i) s[at + i] = static_cast<char>(rng_() % 3 == 0 ? 0xff : 0);
        }
        if (s.size() > 100'000) s.resize(100'000);
    }
    std::mt19937 rng_;
};

class Replay : public testing::TestWithParam<std::size_t> {};

TEST_P(Replay, NeitherCrashesNorBreaksAPromise) {
    const Target& t = targets()[GetParam()];
    const auto seeds = t.seeds();
    ASSERT_FALSE(seeds.empty());
    for (const std::string& s : seeds) t.run(std::as_bytes(std::span(s)));
    t.run({});
    Mutator m(20260101);
    for (int i = 0; i < kMutations; ++i) {
        const std::string s = m.mutate(seeds[static_cast<std::size_t>(i) % seeds.size()], seeds);
        t.run(std::as_bytes(std::span(s)));
    }
}

INSTANTIATE_TEST_SUITE_P(Target, Replay, testing::Range(std::size_t{0}, targets().size()), [](const auto& i) { return targets()[i.param].name; });

}  // namespace
}  // namespace tenpak::fuzz
