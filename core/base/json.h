// SPDX-License-Identifier: Apache-2.0
// JSON for files that may be hostile: strict parsing with limits, canonical writing. nlohmann::json underneath.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace tenpak {

using Json = nlohmann::json;                 ///< keys sorted: canonical
using OrderedJson = nlohmann::ordered_json;  ///< keys in order of insertion

struct JsonLimits {
    std::size_t max_bytes = 100'000'000;  ///< safetensors' own cap
    int max_depth = 64;
};
/// Parses one document. kMalformed (with `where` and the byte position) for bad syntax, a key given twice in one object,
/// too deep, too large, text that is not UTF-8, or anything after the document except white space.
Result<Json> parse_json(std::string_view text, const std::string& where, const JsonLimits& limits = {});
/// Canonical form: keys sorted by byte value, no white space, UTF-8 unescaped where valid. Ends without a newline.
std::string canonical_json(const Json& j);

/// Typed access that never throws: kMalformed naming the key when it is absent or of another type.
template <class T>
Result<T> json_get(const Json& object, const char* key, const std::string& where) {
    const auto bad = [&](const char* why) {
        return make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" " + why, where);
    };
    if (!object.is_object()) return bad("is looked for in something that is no object");
    const auto it = object.find(key);
    if (it == object.end()) return bad("is missing");
    if constexpr (std::is_same_v<T, bool>) {
        if (!it->is_boolean()) return bad("must be true or false");
    } else if constexpr (std::is_unsigned_v<T>) {
        if (!it->is_number_unsigned()) return bad("must be a non-negative integer");
    } else if constexpr (std::is_integral_v<T>) {
        if (!it->is_number_integer()) return bad("must be an integer");
    } else if constexpr (std::is_floating_point_v<T>) {
        if (!it->is_number()) return bad("must be a number");
    } else if constexpr (std::is_same_v<T, std::string>) {
        if (!it->is_string()) return bad("must be a string");
    } else {
        static_assert(std::is_same_v<T, Json>, "unsupported type");
    }
    return it->template get<T>();
}

}  // namespace tenpak
