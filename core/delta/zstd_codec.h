// SPDX-License-Identifier: Apache-2.0
// zstd frames for side files and for element types that the weight coder does not know.
#pragma once
#include <cstdint>
#include <span>

#include "core/base/error.h"
#include "core/base/file.h"

namespace tenpak::delta {

/// Appends one frame with its content size; false where zstd fails or the frame is not smaller than `raw`. `prefix`: bytes that
/// the frame may refer to as if they stood in front (the decoder needs the same).
bool zstd_encode(std::span<const std::byte> raw, int level, Bytes& out, std::span<const std::byte> prefix = {});
/// Fills `raw` exactly; never allocates by what the frame says.
Status zstd_decode(std::span<const std::byte> stored, std::span<std::byte> raw, std::span<const std::byte> prefix = {});
/// Level for a block of bytes: thorough for small side files, quick for large or numeric data.
int zstd_level(std::size_t size, bool text_like);

}  // namespace tenpak::delta
