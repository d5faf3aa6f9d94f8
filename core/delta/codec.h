// SPDX-License-Identifier: Apache-2.0
// A codec turns the bytes of one block into fewer bytes and back, given the base's bytes where it predicts from them.
// Names are stable: they stand in manifests. Format pages: core/delta/FORMAT.md.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/block_stream.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/delta/prediction.h"
#include "core/tensor/dtype.h"

namespace tenpak::delta {

/// "raw", "zstd", "identical", "difference", …: see FORMAT.md for each one's bytes.
class Codec {
   public:
    virtual ~Codec() = default;
    virtual std::string_view name() const = 0;
    /// Whether it needs a prediction. One that does gets it as long as the block; "patch" one of any length.
    virtual bool predicts() const = 0;
    /// Appends to `out`; false when this codec cannot represent the block (other dtype) or it would not get smaller.
    virtual bool encode(std::span<const std::byte> raw, const Prediction& prediction, DType dtype, Bytes& out) const = 0;
    /// Fills `raw` exactly. `stored` may be hostile: kMalformed, never a crash, never a read or write out of bounds.
    virtual Status decode(std::span<const std::byte> stored, const Prediction& prediction, std::span<std::byte> raw) const = 0;
};

/// Null for an unknown name (a newer program wrote it).
const Codec* find_codec(std::string_view name);
const std::vector<const Codec*>& all_codecs();

/// The codec "patch": the only one whose prediction may be of another length than the block.
inline constexpr std::string_view kPatchCodec = "patch";

/// The codec of blocks that hold the factors of others (low_rank.h); such blocks belong to no file.
inline constexpr std::string_view kFactorsCodec = "factors";
/// What people are told: "lowrank" for blocks with factors and for the factors, else the codec's name.
std::string method_of(const BlockInfo& info);

/// The smallest encoding of a block over all codecs that apply. `prediction` may be empty. Thread-safe.
struct Encoded {
    const Codec* codec = nullptr;
    Bytes stored;
};
Encoded encode_smallest(std::span<const std::byte> raw, const Prediction& prediction, DType dtype);

}  // namespace tenpak::delta
