// SPDX-License-Identifier: Apache-2.0
// A block of which few elements differ from its prediction: their places and differences. Decodes as fast as the
// prediction is copied. Bytes: FORMAT.md "Sparse".
#pragma once
#include <cstddef>
#include <span>

#include "core/base/error.h"
#include "core/base/file.h"

namespace tenpak::delta {

/// Appends to `out`; false where `raw` and `predicted` differ in size, hold no whole elements (of 1, 2, 4 or 8 bytes),
/// differ nowhere, or in more than one of 16 elements: other codecs are smaller there.
bool sparse_encode(std::span<const std::byte> raw, std::span<const std::byte> predicted, std::size_t element, Bytes& out);

/// Fills `raw`. `stored` may be hostile: kMalformed, never a crash.
Status sparse_decode(std::span<const std::byte> stored, std::span<const std::byte> predicted, std::span<std::byte> raw);

}  // namespace tenpak::delta
