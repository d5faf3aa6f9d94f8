// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/json.h"
#include "core/tensor/safetensors.h"

namespace tenpak {

Status write_safetensors(const fs::path& path, std::vector<TensorToWrite> tensors,
                         const std::map<std::string, std::string>& metadata) {
    const auto bad = [&](std::string what, const TensorToWrite& t) {
        return make_error(ErrorCode::kInvalidArgument, std::move(what), path.string() + ", tensor " + t.name);
    };
    std::sort(tensors.begin(), tensors.end(), [](const TensorToWrite& a, const TensorToWrite& b) {
        return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;
    });
    try {
        // Written by hand, entry by entry: "__metadata__" first, then the tensors as they lie, like the reference.
        std::string header = "{";
        if (!metadata.empty()) header += "\"__metadata__\":" + Json(metadata).dump();
        std::uint64_t end = 0;
        std::vector<std::string_view> names;
        for (const TensorToWrite& t : tensors) {
            std::uint64_t bits = dtype_bits(t.dtype);
            for (const std::uint64_t d : t.shape) {
                if (__builtin_mul_overflow(bits, d, &bits)) return bad("the shape's product overflows", t);
            }
            if (bits % 8 != 0 || bits / 8 != t.data.size()) return bad("shape and dtype do not match the data's size", t);
            if (t.name == "__metadata__" || !is_valid_utf8(t.name)) return bad("not a tensor name that the format can hold", t);
            names.push_back(t.name);
            if (header.size() > 1) header += ',';
            header += Json(t.name).dump() + ":{\"dtype\":\"" + std::string(dtype_name(t.dtype)) + "\",\"shape\":" + Json(t.shape).dump() +
                      ",\"data_offsets\":[" + std::to_string(end) + "," + std::to_string(end + t.data.size()) + "]}";
            end += t.data.size();
        }
        header += '}';
        std::sort(names.begin(), names.end());
        if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) {
            return make_error(ErrorCode::kInvalidArgument, "the tensor is given twice", path.string() + ", tensor " + std::string(*twice));
        }
        header.append((8 - header.size() % 8) % 8, ' ');
        if (header.size() > kMaxSafetensorsHeader) {
            return make_error(ErrorCode::kInvalidArgument, "the header would be larger than 100,000,000 bytes", path.string());
        }
        const std::uint64_t n = header.size();
        std::byte length[8];
        std::memcpy(length, &n, 8);
        TENPAK_ASSIGN(AtomicFile file, AtomicFile::create(path));
        TENPAK_RETURN_IF_ERROR(file.write(length));
        TENPAK_RETURN_IF_ERROR(file.write(as_bytes(header)));
        for (const TensorToWrite& t : tensors) TENPAK_RETURN_IF_ERROR(file.write(t.data));
        return file.commit();
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the header", path.string());
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kInvalidArgument, std::string("cannot write the header: ") + e.what(), path.string());
    }
}

}  // namespace tenpak
