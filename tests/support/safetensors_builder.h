// SPDX-License-Identifier: Apache-2.0
// Builds safetensors files byte by byte, right or wrong, without the writer under test.
#pragma once
#include <cstdint>
#include <cstring>
#include <random>
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
/// `changed`: the lowest bit of every third weight is turned over, as in a base of the same model.
inline std::string small_safetensors(const std::vector<std::pair<std::string, unsigned>>& tensors, unsigned seed = 1, bool changed = false) {
    std::minstd_rand random(seed);
    std::string header = "{\"__metadata__\":{\"format\":\"pt\"}", data;
    for (const auto& [name, elements] : tensors) {
        const auto begin = data.size();
        for (unsigned i = 0; i < elements; ++i) {
            data += static_cast<char>(static_cast<unsigned>(random() >> 8 & 255u) ^ (changed && i % 3 == 0 ? 1u : 0u));
            data += static_cast<char>(0x3c);  // no NaN, all of about the same size
        }
        header += ",\"" + name + "\":{\"dtype\":\"BF16\",\"shape\":[" + std::to_string(elements) + "],\"data_offsets\":[" +
                  std::to_string(begin) + "," + std::to_string(data.size()) + "]}";
    }
    header += "}";
    header.append((8 - header.size() % 8) % 8, ' ');
    return safetensors_bytes(header, data);
}

}  // namespace tenpak::test
