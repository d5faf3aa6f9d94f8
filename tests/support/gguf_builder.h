// SPDX-License-Identifier: Apache-2.0
// GGUF files byte by byte, so that tests can make ones that no writer would.
#pragma once
#include <cstring>
#include <string>
#include <vector>

#include "core/tensor/gguf.h"

namespace tenpak::test {

struct GgufBytes {
    std::string out = "GGUF";

    GgufBytes(std::uint32_t version, std::uint64_t tensors, std::uint64_t values) { put(version).put(tensors).put(values); }
    template <class T>
    GgufBytes& put(T v) {
        char raw[sizeof(T)];
        std::memcpy(raw, &v, sizeof(T));
        out.append(raw, sizeof(T));
        return *this;
    }
    GgufBytes& text(const std::string& s) {
        put(std::uint64_t{s.size()});
        out += s;
        return *this;
    }
    GgufBytes& key(const std::string& name, GgufType type) { return text(name).put(static_cast<std::uint32_t>(type)); }
    /// `dims` as the file has them: innermost first.
    GgufBytes& tensor(const std::string& name, std::vector<std::uint64_t> dims, GgmlType type, std::uint64_t offset) {
        text(name).put(static_cast<std::uint32_t>(dims.size()));
        for (const auto d : dims) put(d);
        return put(static_cast<std::uint32_t>(type)).put(offset);
    }
    GgufBytes& pad(std::size_t alignment) {
        while (out.size() % alignment != 0) out += '\0';
        return *this;
    }
    GgufBytes& fill(std::size_t count) {
        out.append(count, '\0');
        return *this;
    }
};

}  // namespace tenpak::test
