// SPDX-License-Identifier: Apache-2.0
// SHA-256 (trust: what a signature covers) and XXH3 (accidents only, never trust).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tenpak {

using Digest = std::array<std::uint8_t, 32>;

std::string to_hex(std::span<const std::uint8_t> bytes);
/// Exactly 64 lowercase hexadecimal digits, or nothing.
std::optional<Digest> digest_from_hex(std::string_view hex);

/// Streaming SHA-256 (OpenSSL). Movable; one thread at a time.
class Sha256 {
   public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;
    void update(std::span<const std::byte> data);
    Digest finish();  ///< afterwards the object starts anew

   private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};
Digest sha256(std::span<const std::byte> data);
std::uint64_t xxh3_64(std::span<const std::byte> data);

}  // namespace tenpak
