// SPDX-License-Identifier: Apache-2.0
// The seam between codecs and containers: a model is a set of files, a file is the concatenation of decoded blocks.
// The delta engine writes blocks into a BlockSink and reads them from a BlockSource; what a .tnpk looks like on disk is
// the business of core/artifact, which implements both. So nothing in the engine points upwards.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"

namespace tenpak {

using BlockId = std::uint32_t;

/// A piece of the base that a predicted block takes its prediction from.
struct BaseRange {
    std::string tensor;        ///< name of a tensor of the base; of a file of the base where `in_file`
    std::uint64_t offset = 0;  ///< bytes from its begin
    std::uint64_t size = 0;    ///< bytes
    bool in_file = false;      ///< a side file ("tokenizer.json") instead of a tensor
    bool operator==(const BaseRange&) const = default;
};

/// All that is known of a block without its bytes. `codec` names one of delta/codec.h.
struct BlockInfo {
    std::string name;              ///< "model.norm.weight#0", "config.json#0": data, never a path
    std::string codec;             ///< "raw", "zstd", "identical", "difference", "standalone", …
    std::uint64_t stored_size = 0; ///< bytes in the container; 0 for "identical"
    Digest stored_sha256{};        ///< of the stored bytes: checked before decoding
    std::uint64_t raw_size = 0;    ///< bytes after decoding
    Digest raw_sha256{};           ///< of the decoded bytes: the dedupe identity
    std::uint64_t raw_xxh3 = 0;    ///< of the decoded bytes: checked after each decode, catches accidents
    /// For codecs that predict: the prediction is made of these bytes of the base, one piece behind the other …
    std::vector<BaseRange> base;
    std::string transform;         ///< … turned into the block's element type by this (delta/transform.h); empty: as they are
    /// … plus a low-rank term: the block that holds its factors, and the first weight of this block in their matrix.
    std::optional<BlockId> factors;
    std::uint64_t factors_weight = 0;
};

/// One file of the model: decoded blocks in order.
struct FileRecord {
    std::string path;  ///< passes check_relative_path
    std::uint64_t size = 0;
    Digest sha256{};
    std::vector<BlockId> blocks;
    bool executable = false;
};

/// The base a delta needs.
struct BaseRecord {
    std::string id;        ///< as the user named it: folder name or hub id
    std::string revision;  ///< commit where known, else empty
    std::map<std::string, Digest> tensors;  ///< SHA-256 of the data of each base tensor that a block refers to
    std::map<std::string, Digest> files;    ///< SHA-256 of each side file of the base that a block refers to
};

/// What the whole is; travels in the manifest.
struct ModelRecord {
    std::string model_id;
    std::string codec;     ///< "delta" or "pack"
    bool lossless = true;
    std::optional<BaseRecord> base;
    std::map<std::string, std::string> attestation;  ///< free facts worth signing: tool version, mode, errors made
};

/// Receives blocks in the order in which they shall lie. Calls come from one thread.
class BlockSink {
   public:
    virtual ~BlockSink() = default;
    /// Stores a block, or finds that one with the same raw_sha256, codec and prediction is there already and returns its id.
    /// Blocks with the factors of others come before them and belong to no file.
    virtual Result<BlockId> add_block(const BlockInfo& info, std::span<const std::byte> stored) = 0;
    virtual Status add_file(FileRecord file) = 0;
    virtual Status set_model(ModelRecord model) = 0;
};

/// Gives blocks back. Thread-safe: read_block may be called from many threads.
class BlockSource {
   public:
    virtual ~BlockSource() = default;
    virtual const ModelRecord& model() const = 0;
    virtual const std::vector<FileRecord>& files() const = 0;
    virtual const std::vector<BlockInfo>& blocks() const = 0;
    /// Stored bytes of a block, checked against stored_sha256 (kIntegrity names block and byte range).
    virtual Result<Bytes> read_block(BlockId id) const = 0;
};

}  // namespace tenpak
