// SPDX-License-Identifier: Apache-2.0
// Builds safetensors files byte by byte, right or wrong, without the writer under test.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace tenpak::test {

/// u64 LE length, header text, data.
inline std::string safetensors_bytes(const std::string& header, const std::string& data, std::int64_t length = -1) {
    const std::uint64_t n = length < 0 ? header.size() : static_cast<std::uint64_t>(length);
    std::string s(8, '\0');
    std::memcpy(s.data(), &n, 8);
    return s + header + data;
}

/// A small file of bf16 tensors [elements]; byte i of the data is (seed + 37 i) mod 251.
inline std::string small_safetensors(const std::vector<std::pair<std::string, unsigned>>& tensors, unsigned seed = 1) {
    std::string header = "{\"__metadata__\":{\"format\":\"pt\"}", data;
    for (const auto& [name, elements] : tensors) {
        const auto begin = data.size();
        for (unsigned i = 0; i < elements * 2; ++i) data += static_cast<char>((seed + 37 * data.size()) % 251);
        header += ",\"" + name + "\":{\"dtype\":\"BF16\",\"shape\":[" + std::to_string(elements) + "],\"data_offsets\":[" +
                  std::to_string(begin) + "," + std::to_string(data.size()) + "]}";
    }
    header += "}";
    header.append((8 - header.size() % 8) % 8, ' ');
    return safetensors_bytes(header, data);
}

}  // namespace tenpak::test
