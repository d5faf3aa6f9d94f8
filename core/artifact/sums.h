// SPDX-License-Identifier: Apache-2.0
// SHA256SUMS of the directory form: what the header's hashes are to the single file. It catches accidents in the files
// that no chunk hash covers; a forger is caught by the signature. `sha256sum -c SHA256SUMS` reads it. Internal.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "core/base/file.h"
#include "core/base/hash.h"

namespace tenpak::artifact {

inline constexpr std::string_view kSumsName = "SHA256SUMS";

inline std::string sums_text(std::string_view manifest, const std::map<std::string, Bytes, std::less<>>& signatures) {
    std::string s = to_hex(sha256(as_bytes(manifest))) + "  manifest.json\n";
    for (const auto& [name, bytes] : signatures) s += to_hex(sha256(bytes)) + "  " + name + "\n";
    return s;
}

}  // namespace tenpak::artifact
