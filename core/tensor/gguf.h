// SPDX-License-Identifier: Apache-2.0
// The container of llama.cpp: named values (configuration, vocabulary) and tensors in one file. Versions 2 and 3 are read,
// 3 is written (ggml/docs/gguf.md). Layout, little endian: "GGUF", u32 version, u64 tensors, u64 values | values | tensor
// names, shapes, types, offsets | padding | data, every tensor aligned. GGUF.md says what TenPak makes of it.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/job_context.h"
#include "core/tensor/ggml_types.h"

namespace tenpak {

enum class GgufType : std::uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

/// A value, or an array of values of one type. What it holds lies in the vector of its kind; a single value is its first.
struct GgufValue {
    GgufType type = GgufType::kU32;       ///< of the elements; never kArray (arrays of arrays are not read)
    bool array = false;
    std::vector<std::int64_t> integers;   ///< integers and booleans; a kU64 keeps its bits
    std::vector<double> floats;           ///< kF32, kF64
    std::vector<std::string> strings;

    static GgufValue u32(std::uint32_t v) { return {GgufType::kU32, false, {v}, {}, {}}; }
    static GgufValue f32(float v) { return {GgufType::kF32, false, {}, {static_cast<double>(v)}, {}}; }
    static GgufValue boolean(bool v) { return {GgufType::kBool, false, {v ? 1 : 0}, {}, {}}; }
    static GgufValue text(std::string v) { return {GgufType::kString, false, {}, {}, {std::move(v)}}; }
    static GgufValue texts(std::vector<std::string> v) { return {GgufType::kString, true, {}, {}, std::move(v)}; }
    static GgufValue i32s(std::vector<std::int64_t> v) { return {GgufType::kI32, true, std::move(v), {}, {}}; }
    static GgufValue f32s(std::vector<double> v) { return {GgufType::kF32, true, {}, std::move(v), {}}; }
};
using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;  ///< in the file's order; keys are unique

struct GgufTensor {
    std::string name;
    GgmlType type = GgmlType::kF32;
    std::vector<std::uint64_t> shape;  ///< row-major, as in safetensors: the file has it the other way round
    std::uint64_t offset = 0;          ///< bytes from the file's begin
    std::uint64_t bytes = 0;
    std::uint64_t elements() const {
        std::uint64_t n = 1;
        for (const auto d : shape) n *= d;
        return n;
    }
};

struct GgufHeader {
    std::uint32_t version = 3;
    std::uint64_t alignment = 32, data_begin = 0;
    GgufMetadata metadata;
    std::vector<GgufTensor> tensors;  ///< in the file's order

    const GgufValue* find(std::string_view key) const;
    const GgufTensor* find_tensor(std::string_view name) const;
    /// The value, `fallback` where there is none; kMalformed where it is of another type.
    Result<std::uint64_t> integer(std::string_view key, std::uint64_t fallback, const std::string& where) const;
    Result<double> number(std::string_view key, double fallback, const std::string& where) const;
    Result<bool> boolean(std::string_view key, bool fallback, const std::string& where) const;
    Result<std::string> text(std::string_view key, std::string fallback, const std::string& where) const;
};

/// Of names, values and shapes together.
inline constexpr std::uint64_t kMaxGgufHeader = 64u << 20;
inline constexpr std::uint64_t kDefaultGgufAlignment = 32;

/// Does it begin like a GGUF file? False for what cannot be read.
bool looks_like_gguf(const fs::path& path);
/// Reads and checks everything but the data: counts and sizes against the file, types, alignment, overlaps. kMalformed;
/// kUnsupported for a version, type or byte order that is not known. `where` = path (and key or tensor).
Result<GgufHeader> read_gguf_header(const File& file);
Result<GgufHeader> parse_gguf_header(std::span<const std::byte> whole_file, const std::string& where);

/// A tensor to write. `write` calls its argument with the bytes, in order, in pieces of any size.
struct GgufTensorToWrite {
    std::string name;
    GgmlType type = GgmlType::kF32;
    std::vector<std::uint64_t> shape;  ///< row-major
    std::function<Status(const std::function<Status(std::span<const std::byte>)>& put)> write;
    std::uint64_t bytes() const;
};
/// Writes a whole file atomically, a tensor at a time. kInvalidArgument if a tensor writes another number of bytes than its
/// shape and type say, or a name or key comes twice.
Status write_gguf(const fs::path& path, const GgufMetadata& metadata, const std::vector<GgufTensorToWrite>& tensors, const JobContext& ctx);

}  // namespace tenpak
