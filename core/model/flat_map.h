// SPDX-License-Identifier: Apache-2.0
// Open addressing from 64-bit keys to small values: vocabularies have hundreds of thousands of pairs, and a node each
// would cost more time to build than to read the file.
#pragma once
#include <bit>
#include <cstdint>
#include <vector>

namespace tenpak::model {

/// The key UINT64_MAX is reserved. Not thread-safe to change.
template <class Value>
class FlatMap {
   public:
    void reserve(std::size_t n) {
        const std::size_t want = std::bit_ceil(n * 2 + 16);
        if (want > slots_.size()) rehash(want);
    }
    Value& operator[](std::uint64_t key) {
        if ((size_ + 1) * 3 > slots_.size() * 2) rehash(slots_.empty() ? 32 : slots_.size() * 2);
        Slot& s = slots_[place(key)];
        if (s.key == kEmpty) {
            s.key = key;
            ++size_;
        }
        return s.value;
    }
    const Value* find(std::uint64_t key) const {
        if (slots_.empty()) return nullptr;
        const Slot& s = slots_[place(key)];
        return s.key == kEmpty ? nullptr : &s.value;
    }
    std::size_t size() const { return size_; }

   private:
    static constexpr std::uint64_t kEmpty = UINT64_MAX;
    struct Slot {
        std::uint64_t key = kEmpty;
        Value value{};
    };
    std::size_t place(std::uint64_t key) const {
        std::uint64_t h = key * 0x9e3779b97f4a7c15ull;
        h ^= h >> 32;
        std::size_t i = static_cast<std::size_t>(h) & (slots_.size() - 1);
        while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & (slots_.size() - 1);
        return i;
    }
    void rehash(std::size_t n) {
        std::vector<Slot> old(n);
        old.swap(slots_);
        for (Slot& s : old) {
            if (s.key != kEmpty) slots_[place(s.key)] = std::move(s);
        }
    }
    std::vector<Slot> slots_;
    std::size_t size_ = 0;
};

}  // namespace tenpak::model
