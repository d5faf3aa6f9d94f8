// SPDX-License-Identifier: Apache-2.0
// safetensors files: reading with every check of the reference parser (huggingface/safetensors 0.8, tensor.rs) plus
// double keys and unknown fields refused, and writing as the reference does (dtype descending, then name; header padded
// with spaces to 8 bytes). Layout: u64 LE N | N bytes JSON | data, no holes, no overlap, nothing after the last tensor.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/tensor/dtype.h"

namespace tenpak {

struct TensorInfo {
    std::string name;                  ///< data, may be anything: never a path
    DType dtype = DType::kF32;
    std::vector<std::uint64_t> shape;  ///< row-major; [] is a scalar
    std::uint32_t file = 0;            ///< index into the source's weight files
    std::uint64_t offset = 0;          ///< bytes from the file's begin
    std::uint64_t bytes = 0;

    std::uint64_t elements() const {
        std::uint64_t n = 1;
        for (auto d : shape) n *= d;
        return n;
    }
};

struct SafetensorsHeader {
    std::uint64_t header_bytes = 0;                 ///< 8 + N: where the data begins
    std::vector<TensorInfo> tensors;                ///< in file order (by offset)
    std::map<std::string, std::string> metadata;    ///< __metadata__
};

inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;

/// Parses and validates. `prefix` holds at least the header (8 + N bytes); `file_size` is the real size of the file.
/// Errors: kMalformed with the reference's reason in words; `where` = path (and tensor).
Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> prefix, std::uint64_t file_size,
                                                   const std::string& where);
/// Reads only the header of an open file.
Result<SafetensorsHeader> read_safetensors_header(const File& file);

/// One tensor to write. `data` must stay alive until the writer returns.
struct TensorToWrite {
    std::string name;
    DType dtype;
    std::vector<std::uint64_t> shape;
    std::span<const std::byte> data;
};
/// Writes a whole file atomically. kInvalidArgument if a size does not match shape x dtype or a name comes twice.
Status write_safetensors(const fs::path& path, std::vector<TensorToWrite> tensors,
                         const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace tenpak
