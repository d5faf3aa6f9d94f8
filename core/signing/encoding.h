// SPDX-License-Identifier: Apache-2.0
// base64 as signature bundles use it. Internal to core/signing.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/file.h"

namespace tenpak::signing {

std::string to_base64(std::span<const std::byte> bytes);
/// Standard and URL-safe alphabet (verifiers must take both), with or without padding; nothing else, no white space.
std::optional<Bytes> from_base64(std::string_view text);

}  // namespace tenpak::signing
