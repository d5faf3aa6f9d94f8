// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <new>
#include <set>

#include "core/tensor/gguf.h"

namespace tenpak {
namespace {

/// The header under way, in memory: vocabularies take some megabytes.
class Header {
   public:
    const std::string& bytes() const { return out_; }
    template <class T>
    void number(T v) {
        char raw[sizeof(T)];
        std::memcpy(raw, &v, sizeof(T));
        out_.append(raw, sizeof(T));
    }
    void text(const std::string& s) {
        number(std::uint64_t{s.size()});
        out_ += s;
    }
    void value(const GgufValue& v) {
        if (v.array) {
            number(static_cast<std::uint32_t>(GgufType::kArray));
            number(static_cast<std::uint32_t>(v.type));
            number(std::uint64_t{v.integers.size() + v.floats.size() + v.strings.size()});
        } else {
            number(static_cast<std::uint32_t>(v.type));
        }
        for (const auto i : v.integers) integer(v.type, i);
        for (const double f : v.floats) {
            if (v.type == GgufType::kF32) number(static_cast<float>(f));
            else number(f);
        }
        for (const auto& s : v.strings) text(s);
    }

   private:
    void integer(GgufType type, std::int64_t v) {
        switch (type) {
            case GgufType::kU8:
            case GgufType::kI8:
            case GgufType::kBool: number(static_cast<std::uint8_t>(v)); break;
            case GgufType::kU16:
            case GgufType::kI16: number(static_cast<std::uint16_t>(v)); break;
            case GgufType::kU32:
            case GgufType::kI32: number(static_cast<std::uint32_t>(v)); break;
            default: number(v); break;
        }
    }
    std::string out_;
};

/// A value's vectors agree with its type, and a single value is one.
bool is_consistent(const GgufValue& v) {
    const bool text = v.type == GgufType::kString, real = v.type == GgufType::kF32 || v.type == GgufType::kF64;
    const std::size_t count = v.integers.size() + v.floats.size() + v.strings.size();
    if (v.type == GgufType::kArray || (!v.array && count != 1)) return false;
    return (text ? v.strings.size() : real ? v.floats.size() : v.integers.size()) == count;
}

std::uint64_t aligned(std::uint64_t n) { return (n + kDefaultGgufAlignment - 1) / kDefaultGgufAlignment * kDefaultGgufAlignment; }

Status pad(AtomicFile& file) {
    const std::byte zeros[kDefaultGgufAlignment] = {};
    return file.write(std::span(zeros).first(static_cast<std::size_t>(aligned(file.position()) - file.position())));
}

Status write_tensors(AtomicFile& file, const std::vector<GgufTensorToWrite>& tensors, const JobContext& ctx) {
    std::uint64_t total = 0, done = 0;
    for (const auto& t : tensors) total += t.bytes();
    for (const auto& t : tensors) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        TENPAK_RETURN_IF_ERROR(pad(file));
        const std::uint64_t begin = file.position();
        const auto put = [&](std::span<const std::byte> piece) -> Status {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            return file.write(piece);
        };
        TENPAK_RETURN_IF_ERROR(t.write(put));
        if (file.position() - begin != t.bytes()) {
            return make_error(ErrorCode::kInvalidArgument, std::to_string(file.position() - begin) + " bytes were written where " + std::to_string(t.bytes()) + " belong",
                              file.path().string() + ", tensor " + t.name);
        }
        done += t.bytes();
        ctx.report({"export", done, total, "bytes", t.name});
    }
    return pad(file);
}

}  // namespace

std::uint64_t GgufTensorToWrite::bytes() const {
    const GgmlTypeInfo& info = ggml_type_info(type);
    std::uint64_t n = 1;
    for (const auto d : shape) n *= d;
    return n / info.weights * info.bytes;
}

Status write_gguf(const fs::path& path, const GgufMetadata& metadata, const std::vector<GgufTensorToWrite>& tensors, const JobContext& ctx) {
    const auto bad = [&](const std::string& what, const std::string& of) { return make_error(ErrorCode::kInvalidArgument, what, path.string() + ", " + of); };
    try {
        Header h;
        h.number(std::uint32_t{0x46554747});  // "GGUF"
        h.number(std::uint32_t{3});
        h.number(std::uint64_t{tensors.size()});
        h.number(std::uint64_t{metadata.size()});
        std::set<std::string_view> names;
        for (const auto& [key, v] : metadata) {
            if (!names.insert(key).second) return bad("the value is given twice", "key " + key);
            if (key == "general.alignment") return bad("the alignment is always 32", "key " + key);
            if (!is_consistent(v)) return bad("a value of another type than it says", "key " + key);
            h.text(key);
            h.value(v);
        }
        names.clear();
        std::uint64_t offset = 0;
        for (const auto& t : tensors) {
            if (!names.insert(t.name).second) return bad("the tensor is given twice", "tensor " + t.name);
            if (t.shape.empty() || t.shape.size() > 4) return bad("a tensor has one to four dimensions", "tensor " + t.name);
            if (t.shape.back() % ggml_type_info(t.type).weights != 0) return bad("a row is not whole blocks of " + std::string(ggml_type_info(t.type).name), "tensor " + t.name);
            h.text(t.name);
            h.number(static_cast<std::uint32_t>(t.shape.size()));
            for (auto d = t.shape.rbegin(); d != t.shape.rend(); ++d) h.number(*d);
            h.number(static_cast<std::uint32_t>(t.type));
            h.number(offset);
            offset = aligned(offset + t.bytes());
        }
        if (h.bytes().size() > kMaxGgufHeader) return make_error(ErrorCode::kInvalidArgument, "names and values would take more than 64 MiB", path.string());
        TENPAK_ASSIGN(AtomicFile file, AtomicFile::create(path));
        TENPAK_RETURN_IF_ERROR(file.write(as_bytes(h.bytes())));
        TENPAK_RETURN_IF_ERROR(write_tensors(file, tensors, ctx));
        return file.commit();
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to write the file", path.string());
    }
}

}  // namespace tenpak
