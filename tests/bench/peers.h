// SPDX-License-Identifier: Apache-2.0
// Other ways to store a fine-tune given its base, rendered from their published descriptions, for comparison in one
// run:
//   TX       XOR, low bytes | high bytes, zstd level 1 over pieces of 1 Mi weights     (TensorDex)
//   BitX     XOR, exponent plane and sign-mantissa plane, zstd level 3 each            (ZipLLM)
//   FM       ordered integer difference, sign and bit length by an order-0 coder, low bits raw (FM-Delta's formula)
//   patch    zstd with the whole base file as reference prefix, window over both and long-distance matching: what
//            `zstd --patch-from BASE --long=31` does
// All are lossless, and each encoder has its decoder: a figure counts only once the round trip was compared.
#pragma once
#include <span>

#include "core/base/file.h"
#include "core/tensor/dtype.h"

namespace tenpak::bench {

using Span = std::span<const std::byte>;

Bytes tx_encode(Span fine, Span base, DType t);
void tx_decode(Span stored, Span base, DType t, std::span<std::byte> out);
/// Defined for 16-bit floats with 8 exponent bits; other types go by bytes as in TX (the peer handles bf16 only).
Bytes bitx_encode(Span fine, Span base, DType t);
void bitx_decode(Span stored, Span base, DType t, std::span<std::byte> out);
Bytes fm_encode(Span fine, Span base, DType t);
void fm_decode(Span stored, Span base, DType t, std::span<std::byte> out);
/// Of whole files.
Bytes patch_encode(Span fine, Span base, int level);
Bytes patch_decode(Span stored, Span base, std::size_t size);
Bytes zstd_plain(Span raw, int level);

}  // namespace tenpak::bench
