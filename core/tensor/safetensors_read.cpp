// SPDX-License-Identifier: Apache-2.0
// The header is parsed by events straight into the tensor list: no document tree, so a hostile header of 100 MB costs
// memory in proportion to the tensors that it really declares, and nothing else.
#include <bit>
#include <cstring>
#include <numeric>
#include <unordered_set>

#include "core/base/json.h"
#include "core/tensor/safetensors.h"

namespace tenpak {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is used in place, little endian");

/// 2^48 - 1: the bound of the format's own JSON schema for sizes.
constexpr std::uint64_t kMaxSize = (std::uint64_t{1} << 48) - 1;

std::string shorten(std::string_view s) {
    constexpr std::size_t kShown = 200;
    std::string out(s.substr(0, kShown));
    if (s.size() > kShown) out.append("…");
    return out;
}

class HeaderSax : public nlohmann::json_sax<Json> {
   public:
    explicit HeaderSax(SafetensorsHeader& out) : out_(out) {}
    std::string problem, tensor;

    bool null() override { return unexpected("null"); }
    bool boolean(bool) override { return unexpected("true or false"); }
    bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
    bool number_float(number_float_t, const string_t&) override { return unexpected("a number that is no whole number"); }
    bool binary(binary_t&) override { return unexpected("binary data"); }
    bool number_unsigned(number_unsigned_t v) override {
        if (state_ == State::kShape) {
            out_.tensors.back().shape.push_back(v);
            return true;
        }
        if (state_ == State::kOffsets) {
            if (offsets_seen_ == 2) return fail("data_offsets has more than two numbers");
            if (v > kMaxSize) return fail("data_offsets is larger than 2^48 - 1");
            (offsets_seen_++ == 0 ? out_.tensors.back().offset : out_.tensors.back().bytes) = v;  // bytes: the end for now
            return true;
        }
        return unexpected("a number");
    }
    bool string(string_t& v) override {
        if (state_ == State::kMetadata) {
            out_.metadata[metadata_key_] = v;
            return true;
        }
        if (state_ == State::kEntry && field_ == Field::kDType) {
            const auto t = dtype_from_name(v);
            if (!t) return fail("unknown dtype \"" + shorten(v) + "\"");
            out_.tensors.back().dtype = *t;
            return true;
        }
        return unexpected("a string");
    }
    bool start_object(std::size_t) override {
        if (state_ == State::kBegin) {
            state_ = State::kTop;
            return true;
        }
        if (state_ != State::kTop) return unexpected("an object");
        if (in_metadata_) {
            state_ = State::kMetadata;
            return true;
        }
        state_ = State::kEntry;
        seen_ = 0;
        return true;
    }
    bool key(string_t& k) override {
        if (state_ == State::kTop) {
            if (k == "__metadata__") {
                if (metadata_given_) return fail("__metadata__ is given twice");
                metadata_given_ = in_metadata_ = true;
                tensor.clear();
                return true;
            }
            in_metadata_ = false;
            out_.tensors.emplace_back();
            out_.tensors.back().name = k;
            return true;
        }
        if (state_ == State::kMetadata) {
            if (out_.metadata.contains(k)) return fail("the __metadata__ key \"" + shorten(k) + "\" is given twice");
            metadata_key_ = k;
            return true;
        }
        if (k == "dtype") field_ = Field::kDType;
        else if (k == "shape") field_ = Field::kShape;
        else if (k == "data_offsets") field_ = Field::kOffsets;
        else return fail("unknown field \"" + shorten(k) + "\"");
        const unsigned bit = 1u << static_cast<unsigned>(field_);
        if ((seen_ & bit) != 0) return fail("the field \"" + k + "\" is given twice");
        seen_ |= bit;
        return true;
    }
    bool end_object() override {
        if (state_ == State::kEntry) {
            if (seen_ != 7) return fail("dtype, shape or data_offsets is missing");
            state_ = State::kTop;
        } else if (state_ == State::kMetadata) {
            state_ = State::kTop;
            in_metadata_ = false;
        } else {
            state_ = State::kEnd;
        }
        return true;
    }
    bool start_array(std::size_t) override {
        if (state_ != State::kEntry || field_ == Field::kDType) return unexpected("an array");
        state_ = field_ == Field::kShape ? State::kShape : State::kOffsets;
        offsets_seen_ = 0;
        return true;
    }
    bool end_array() override {
        if (state_ == State::kOffsets && offsets_seen_ != 2) return fail("data_offsets does not have two numbers");
        state_ = State::kEntry;
        return true;
    }
    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
        problem = "the header is not valid JSON (byte " + std::to_string(position) + " of it)";
        return false;
    }

   private:
    enum class State { kBegin, kTop, kMetadata, kEntry, kShape, kOffsets, kEnd };
    enum class Field { kDType, kShape, kOffsets };
    bool fail(std::string why) {
        problem = std::move(why);
        if (state_ != State::kMetadata && !in_metadata_ && !out_.tensors.empty()) tensor = shorten(out_.tensors.back().name);
        return false;
    }
    bool unexpected(const char* what) {
        return fail(std::string("the header has ") + what + " where the format has none");
    }
    SafetensorsHeader& out_;
    State state_ = State::kBegin;
    Field field_ = Field::kDType;
    unsigned seen_ = 0;
    int offsets_seen_ = 0;
    bool in_metadata_ = false, metadata_given_ = false;
    std::string metadata_key_;
};

/// The reference's Metadata::validate; turns begin and end (in offset and bytes) into file offset and size.
Status validate(SafetensorsHeader& h, std::uint64_t file_size, const std::string& where) {
    const auto bad = [&](std::string what, const TensorInfo& t) {
        return make_error(ErrorCode::kMalformed, std::move(what), where + ", tensor " + shorten(t.name));
    };
    std::stable_sort(h.tensors.begin(), h.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
        return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
    });
    std::uint64_t end = 0;
    for (TensorInfo& t : h.tensors) {
        if (t.offset != end || t.bytes < t.offset) return bad("data_offsets leave a hole or overlap another tensor", t);
        end = t.bytes;
        const std::uint64_t bytes = t.bytes - t.offset;
        std::uint64_t bits = dtype_bits(t.dtype);
        for (const std::uint64_t d : t.shape) {
            if (__builtin_mul_overflow(bits, d, &bits)) return bad("the shape's product overflows", t);
        }
        if (bits % 8 != 0) return bad("the shape does not fill whole bytes", t);
        if (bits / 8 != bytes) {
            return bad("shape and dtype need " + std::to_string(bits / 8) + " bytes, data_offsets give " + std::to_string(bytes), t);
        }
        t.bytes = bytes;
        t.offset += h.header_bytes;
    }
    if (h.header_bytes + end != file_size) {
        return make_error(ErrorCode::kMalformed,
                          "the header declares " + std::to_string(h.header_bytes + end) + " bytes, the file has " + std::to_string(file_size),
                          where, file_size < h.header_bytes + end ? "The file is truncated: download or copy it again" : "");
    }
    std::unordered_set<std::string_view> names;
    names.reserve(h.tensors.size());
    for (const TensorInfo& t : h.tensors) {
        if (!names.insert(t.name).second) return bad("the tensor is given twice", t);
    }
    return {};
}

/// Steps 1 to 3 of the reference: 8 + N.
Result<std::uint64_t> header_length(std::span<const std::byte> first8, std::uint64_t file_size, const std::string& where) {
    if (file_size < 8 || first8.size() < 8) {
        return make_error(ErrorCode::kMalformed, "too small for a safetensors header", where, "The file is truncated or no safetensors file");
    }
    std::uint64_t n = 0;
    std::memcpy(&n, first8.data(), 8);
    if (n > kMaxSafetensorsHeader) {
        return make_error(ErrorCode::kMalformed, "the header claims more than 100,000,000 bytes", where, "This is no safetensors file");
    }
    if (8 + n > file_size) {
        return make_error(ErrorCode::kMalformed, "the header is longer than the file", where, "The file is truncated: download or copy it again");
    }
    return 8 + n;
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> prefix, std::uint64_t file_size,
                                                   const std::string& where) {
    try {
        SafetensorsHeader h;
        TENPAK_ASSIGN(h.header_bytes, header_length(prefix, file_size, where));
        if (prefix.size() < h.header_bytes) {
            return make_error(ErrorCode::kInvalidArgument, "fewer bytes were given than the header has", where);
        }
        const std::string_view text = as_text(prefix.subspan(8, h.header_bytes - 8));
        if (!is_valid_utf8(text)) return make_error(ErrorCode::kMalformed, "the header is not UTF-8", where);
        // The JSON lexer takes NUL for the end of its input and skips a byte order mark; the reference refuses both.
        if (text.find('\0') != text.npos || text.starts_with("\xef\xbb\xbf")) {
            return make_error(ErrorCode::kMalformed, "the header is not valid JSON (NUL or byte order mark)", where);
        }
        HeaderSax sax(h);
        if (!Json::sax_parse(text.begin(), text.end(), &sax)) {
            return make_error(ErrorCode::kMalformed, sax.problem.empty() ? "the header is not valid JSON" : sax.problem,
                              sax.tensor.empty() ? where : where + ", tensor " + sax.tensor);
        }
        TENPAK_RETURN_IF_ERROR(validate(h, file_size, where));
        return h;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the header", where);
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kMalformed, std::string("the header cannot be read: ") + e.what(), where);
    }
}

Result<SafetensorsHeader> read_safetensors_header(const File& file) {
    const std::string where = file.path().string();
    std::byte first[8]{};
    if (file.size() >= 8) TENPAK_RETURN_IF_ERROR(file.read_at(0, first));
    TENPAK_ASSIGN(const std::uint64_t length, header_length(first, file.size(), where));
    try {
        Bytes prefix(length);
        TENPAK_RETURN_IF_ERROR(file.read_at(0, prefix));
        return parse_safetensors_header(prefix, file.size(), where);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the header", where);
    }
}

}  // namespace tenpak
