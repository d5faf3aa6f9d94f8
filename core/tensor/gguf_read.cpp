// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <numeric>

#include "core/tensor/gguf.h"

namespace tenpak {
namespace {

constexpr std::uint64_t kMaxKey = 65535, kMaxTensorName = 1024, kMaxDims = 4, kMaxAlignment = 1u << 20;
constexpr std::size_t kReadBlock = 1u << 20;

unsigned width_of(GgufType t) {
    switch (t) {
        case GgufType::kU8:
        case GgufType::kI8:
        case GgufType::kBool: return 1;
        case GgufType::kU16:
        case GgufType::kI16: return 2;
        case GgufType::kU32:
        case GgufType::kI32:
        case GgufType::kF32: return 4;
        case GgufType::kString:
        case GgufType::kU64:
        case GgufType::kI64:
        case GgufType::kF64: return 8;  // a string's length
        case GgufType::kArray: return 12;
    }
    return 0;
}

using ReadAt = std::function<Status(std::uint64_t offset, std::span<std::byte> out)>;

/// The header as a stream, read in blocks. Nothing is allocated for a count before the file is known to have the bytes.
class Stream {
   public:
    Stream(ReadAt read, std::uint64_t size, std::string where) : read_(std::move(read)), size_(size), where_(std::move(where)) {}

    std::uint64_t position() const { return at_; }
    std::uint64_t left() const { return std::min(size_, kMaxGgufHeader) - at_; }
    const std::string& where() const { return where_; }
    Error malformed(const std::string& what, const std::string& of = {}) const {
        return make_error(ErrorCode::kMalformed, what, where_ + (of.empty() ? "" : ", " + of), "The file is damaged or its download incomplete");
    }
    Error unsupported(const std::string& what, const std::string& of = {}) const { return make_error(ErrorCode::kUnsupported, what, where_ + (of.empty() ? "" : ", " + of)); }

    Status bytes(std::span<std::byte> out) {
        if (out.size() > left()) {
            if (size_ > kMaxGgufHeader) return unsupported("names and values of more than " + std::to_string(kMaxGgufHeader >> 20) + " MiB");
            return malformed("the header goes on behind the file's end");
        }
        while (!out.empty()) {
            if (at_ < begin_ || at_ >= begin_ + block_.size()) {
                block_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kReadBlock, size_ - at_)));
                begin_ = at_;
                TENPAK_RETURN_IF_ERROR(read_(begin_, block_));
            }
            const auto from = static_cast<std::size_t>(at_ - begin_), n = std::min(out.size(), block_.size() - from);
            std::memcpy(out.data(), block_.data() + from, n);
            out = out.subspan(n);
            at_ += n;
        }
        return {};
    }
    template <class T>
    Result<T> number() {
        T v{};
        TENPAK_RETURN_IF_ERROR(bytes(std::as_writable_bytes(std::span(&v, 1))));
        return v;
    }
    Result<std::string> text(std::uint64_t limit, const std::string& of) {
        TENPAK_ASSIGN(const auto length, number<std::uint64_t>());
        if (length > left()) return malformed("a text goes on behind the file's end", of);
        if (length > limit) return malformed("a name of " + std::to_string(length) + " bytes", of);
        std::string s(static_cast<std::size_t>(length), '\0');
        TENPAK_RETURN_IF_ERROR(bytes(std::as_writable_bytes(std::span(s.data(), s.size()))));
        return s;
    }

   private:
    ReadAt read_;
    std::uint64_t size_;
    std::string where_;
    Bytes block_;
    std::uint64_t begin_ = 0, at_ = 0;
};

template <class T, class To>
Status read_numbers(Stream& in, std::uint64_t count, std::vector<To>& out) {
    out.reserve(static_cast<std::size_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) {
        TENPAK_ASSIGN(const T v, in.number<T>());
        out.push_back(static_cast<To>(v));
    }
    return {};
}

Status read_elements(Stream& in, const std::string& key, std::uint64_t count, GgufValue& v) {
    switch (v.type) {
        case GgufType::kU8: return read_numbers<std::uint8_t>(in, count, v.integers);
        case GgufType::kI8: return read_numbers<std::int8_t>(in, count, v.integers);
        case GgufType::kU16: return read_numbers<std::uint16_t>(in, count, v.integers);
        case GgufType::kI16: return read_numbers<std::int16_t>(in, count, v.integers);
        case GgufType::kU32: return read_numbers<std::uint32_t>(in, count, v.integers);
        case GgufType::kI32: return read_numbers<std::int32_t>(in, count, v.integers);
        case GgufType::kU64: return read_numbers<std::uint64_t>(in, count, v.integers);
        case GgufType::kI64: return read_numbers<std::int64_t>(in, count, v.integers);
        case GgufType::kF32: return read_numbers<float>(in, count, v.floats);
        case GgufType::kF64: return read_numbers<double>(in, count, v.floats);
        case GgufType::kBool:
            TENPAK_RETURN_IF_ERROR(read_numbers<std::uint8_t>(in, count, v.integers));
            if (std::any_of(v.integers.begin(), v.integers.end(), [](std::int64_t b) { return b > 1; })) return in.malformed("a truth value that is neither 0 nor 1", "key " + key);
            return {};
        case GgufType::kString:
            v.strings.reserve(static_cast<std::size_t>(count));
            for (std::uint64_t i = 0; i < count; ++i) {
                TENPAK_ASSIGN(std::string s, in.text(kMaxGgufHeader, "key " + key));
                v.strings.push_back(std::move(s));
            }
            return {};
        case GgufType::kArray: break;
    }
    return in.malformed("an unknown type of value", "key " + key);
}

Result<GgufType> read_type(Stream& in, const std::string& key) {
    TENPAK_ASSIGN(const auto type, in.number<std::uint32_t>());
    if (type > static_cast<std::uint32_t>(GgufType::kF64)) return in.malformed("type " + std::to_string(type) + " of a value is not known", "key " + key);
    return static_cast<GgufType>(type);
}

Result<GgufValue> read_value(Stream& in, const std::string& key) {
    GgufValue v;
    TENPAK_ASSIGN(v.type, read_type(in, key));
    if (v.type != GgufType::kArray) {
        TENPAK_RETURN_IF_ERROR(read_elements(in, key, 1, v));
        return v;
    }
    v.array = true;
    TENPAK_ASSIGN(v.type, read_type(in, key));
    if (v.type == GgufType::kArray) return in.unsupported("a list of lists", "key " + key);
    TENPAK_ASSIGN(const auto count, in.number<std::uint64_t>());
    if (count > in.left() / width_of(v.type)) return in.malformed("a list of " + std::to_string(count) + " values goes on behind the file's end", "key " + key);
    TENPAK_RETURN_IF_ERROR(read_elements(in, key, count, v));
    return v;
}

Status read_tensor(Stream& in, std::uint64_t alignment, GgufTensor& t) {
    TENPAK_ASSIGN(t.name, in.text(kMaxTensorName, "name of a tensor"));
    const std::string of = "tensor " + t.name.substr(0, 200);
    if (t.name.empty() || !is_valid_utf8(t.name)) return in.malformed("not a tensor's name", of);
    TENPAK_ASSIGN(const auto dims, in.number<std::uint32_t>());
    if (dims > kMaxDims) return in.malformed(std::to_string(dims) + " dimensions, where 4 are the most", of);
    t.shape.resize(dims);
    for (std::uint32_t d = dims; d-- > 0;) {
        TENPAK_ASSIGN(t.shape[d], in.number<std::uint64_t>());
    }
    TENPAK_ASSIGN(const auto type, in.number<std::uint32_t>());
    const GgmlTypeInfo* info = ggml_type_info(type);
    if (info == nullptr) return in.unsupported("number format " + std::to_string(type) + " is not known", of);
    t.type = static_cast<GgmlType>(type);
    std::uint64_t count = 1;
    for (const auto d : t.shape) {
        if (d == 0 || __builtin_mul_overflow(count, d, &count) || count > (std::uint64_t{1} << 60)) return in.malformed("an impossible shape", of);
    }
    const std::uint64_t row = t.shape.empty() ? 1 : t.shape.back();
    if (row % info->weights != 0) {
        return in.malformed("rows of " + std::to_string(row) + " weights are not a multiple of the " + std::to_string(info->weights) + " of a " + info->name + " block", of);
    }
    if (__builtin_mul_overflow(count / info->weights, std::uint64_t{info->bytes}, &t.bytes)) return in.malformed("an impossible shape", of);
    TENPAK_ASSIGN(t.offset, in.number<std::uint64_t>());
    if (t.offset % alignment != 0) return in.malformed("the data is not aligned to " + std::to_string(alignment) + " bytes", of);
    return {};
}

/// Offsets become those of the file; every tensor lies in it, none over another.
Status place_tensors(const Stream& in, std::uint64_t size, GgufHeader& h) {
    for (GgufTensor& t : h.tensors) {
        if (h.data_begin > size || t.offset > size - h.data_begin || t.bytes > size - h.data_begin - t.offset) {
            return in.malformed("the data goes on behind the file's end", "tensor " + t.name.substr(0, 200));
        }
        t.offset += h.data_begin;
    }
    std::vector<std::size_t> order(h.tensors.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return h.tensors[a].offset < h.tensors[b].offset; });
    for (std::size_t i = 1; i < order.size(); ++i) {
        const GgufTensor &a = h.tensors[order[i - 1]], &b = h.tensors[order[i]];
        if (a.offset + a.bytes > b.offset) return in.malformed("the data overlaps with that of " + a.name.substr(0, 200), "tensor " + b.name.substr(0, 200));
    }
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return h.tensors[a].name < h.tensors[b].name; });
    for (std::size_t i = 1; i < order.size(); ++i) {
        if (h.tensors[order[i - 1]].name == h.tensors[order[i]].name) return in.malformed("the tensor is there twice", "tensor " + h.tensors[order[i]].name.substr(0, 200));
    }
    return {};
}

Result<GgufHeader> parse(Stream in, std::uint64_t size) {
    GgufHeader h;
    char magic[4] = {};
    if (size < 24) return in.malformed("too small for a GGUF file");
    TENPAK_RETURN_IF_ERROR(in.bytes(std::as_writable_bytes(std::span(magic))));
    if (std::memcmp(magic, "GGUF", 4) != 0) return in.malformed("not a GGUF file");
    TENPAK_ASSIGN(h.version, in.number<std::uint32_t>());
    if (h.version != 0 && (h.version & 0xffffu) == 0) return in.unsupported("a big-endian GGUF file");
    if (h.version != 2 && h.version != 3) return in.unsupported("GGUF version " + std::to_string(h.version) + " cannot be read (2 and 3 can)");
    TENPAK_ASSIGN(const auto tensors, in.number<std::uint64_t>());
    TENPAK_ASSIGN(const auto values, in.number<std::uint64_t>());
    // The least that one takes: a value 8 + 4 + 1 bytes, a tensor 8 + 1 + 4 + 4 + 8.
    if (values > in.left() / 13) return in.malformed(std::to_string(values) + " values do not fit into the file");
    if (tensors > in.left() / 25) return in.malformed(std::to_string(tensors) + " tensors do not fit into the file");
    for (std::uint64_t i = 0; i < values; ++i) {
        TENPAK_ASSIGN(std::string key, in.text(kMaxKey, "name of a value"));
        if (key.empty() || !is_valid_utf8(key)) return in.malformed("not a value's name");
        TENPAK_ASSIGN(GgufValue v, read_value(in, key.substr(0, 200)));
        h.metadata.emplace_back(std::move(key), std::move(v));
    }
    std::vector<std::string_view> keys;
    for (const auto& [key, v] : h.metadata) keys.push_back(key);
    std::sort(keys.begin(), keys.end());
    if (const auto twice = std::adjacent_find(keys.begin(), keys.end()); twice != keys.end()) return in.malformed("the value is there twice", "key " + std::string(twice->substr(0, 200)));
    TENPAK_ASSIGN(h.alignment, h.integer("general.alignment", kDefaultGgufAlignment, in.where()));
    if (!std::has_single_bit(h.alignment) || h.alignment > kMaxAlignment) return in.malformed("an alignment of " + std::to_string(h.alignment) + " bytes");
    for (std::uint64_t i = 0; i < tensors; ++i) {
        GgufTensor t;
        TENPAK_RETURN_IF_ERROR(read_tensor(in, h.alignment, t));
        h.tensors.push_back(std::move(t));
    }
    h.data_begin = (in.position() + h.alignment - 1) / h.alignment * h.alignment;
    TENPAK_RETURN_IF_ERROR(place_tensors(in, size, h));
    return h;
}

Result<GgufHeader> guarded(Stream in, std::uint64_t size) {
    const std::string where = in.where();
    try {
        return parse(std::move(in), size);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the header", where);
    }
}

Error wrong_type(std::string_view key, const std::string& what, const std::string& where) {
    return make_error(ErrorCode::kMalformed, "\"" + std::string(key) + "\" must be " + what, where);
}

}  // namespace

bool looks_like_gguf(const fs::path& path) {
    std::error_code ec;
    if (!fs::is_regular_file(path, ec)) return false;
    const auto file = File::open(path);
    char magic[4] = {};
    return file.ok() && file->size() >= 4 && file->read_at(0, std::as_writable_bytes(std::span(magic))).ok() && std::memcmp(magic, "GGUF", 4) == 0;
}

Result<GgufHeader> read_gguf_header(const File& file) {
    return guarded(Stream([&file](std::uint64_t offset, std::span<std::byte> out) { return file.read_at(offset, out); }, file.size(), file.path().string()), file.size());
}

Result<GgufHeader> parse_gguf_header(std::span<const std::byte> whole, const std::string& where) {
    const auto read = [whole](std::uint64_t offset, std::span<std::byte> out) -> Status {
        std::memcpy(out.data(), whole.data() + offset, out.size());
        return {};
    };
    return guarded(Stream(read, whole.size(), where), whole.size());
}

const GgufValue* GgufHeader::find(std::string_view key) const {
    const auto it = std::find_if(metadata.begin(), metadata.end(), [&](const auto& e) { return e.first == key; });
    return it == metadata.end() ? nullptr : &it->second;
}

const GgufTensor* GgufHeader::find_tensor(std::string_view name) const {
    const auto it = std::find_if(tensors.begin(), tensors.end(), [&](const GgufTensor& t) { return t.name == name; });
    return it == tensors.end() ? nullptr : &*it;
}

Result<std::uint64_t> GgufHeader::integer(std::string_view key, std::uint64_t fallback, const std::string& where) const {
    const GgufValue* v = find(key);
    if (v == nullptr) return fallback;
    if (v->array || v->integers.empty() || v->type == GgufType::kBool || v->integers[0] < 0) return wrong_type(key, "a non-negative integer", where);
    return static_cast<std::uint64_t>(v->integers[0]);
}

Result<double> GgufHeader::number(std::string_view key, double fallback, const std::string& where) const {
    const GgufValue* v = find(key);
    if (v == nullptr) return fallback;
    if (v->array || v->type == GgufType::kBool || v->type == GgufType::kString) return wrong_type(key, "a number", where);
    return v->floats.empty() ? static_cast<double>(v->integers[0]) : v->floats[0];
}

Result<bool> GgufHeader::boolean(std::string_view key, bool fallback, const std::string& where) const {
    const GgufValue* v = find(key);
    if (v == nullptr) return fallback;
    if (v->array || v->type != GgufType::kBool) return wrong_type(key, "true or false", where);
    return v->integers[0] != 0;
}

Result<std::string> GgufHeader::text(std::string_view key, std::string fallback, const std::string& where) const {
    const GgufValue* v = find(key);
    if (v == nullptr) return fallback;
    if (v->array || v->type != GgufType::kString) return wrong_type(key, "a text", where);
    return v->strings[0];
}

}  // namespace tenpak
