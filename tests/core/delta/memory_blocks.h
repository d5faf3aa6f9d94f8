// SPDX-License-Identifier: Apache-2.0
// A container in memory: BlockSink and BlockSource in one, with the deduplication that the sink promises.
#pragma once
#include <mutex>

#include "core/base/block_stream.h"

namespace tenpak::test {

class MemoryBlocks : public BlockSink, public BlockSource {
   public:
    Result<BlockId> add_block(const BlockInfo& info, std::span<const std::byte> stored) override {
        for (BlockId i = 0; i < infos.size(); ++i)
            if (infos[i].raw_sha256 == info.raw_sha256 && infos[i].codec == info.codec && infos[i].base == info.base && infos[i].transform == info.transform && infos[i].factors == info.factors &&
                infos[i].factors_weight == info.factors_weight)
                return i;
        if (fail_after-- == 0) return make_error(ErrorCode::kNoSpace, "the disk is full", "memory");
        infos.push_back(info);
        bytes.emplace_back(stored.begin(), stored.end());
        return static_cast<BlockId>(infos.size() - 1);
    }
    Status add_file(FileRecord file) override {
        records.push_back(std::move(file));
        return {};
    }
    Status set_model(ModelRecord m) override {
        record = std::move(m);
        return {};
    }
    const ModelRecord& model() const override { return record; }
    const std::vector<FileRecord>& files() const override { return records; }
    const std::vector<BlockInfo>& blocks() const override { return infos; }
    Result<Bytes> read_block(BlockId id) const override {
        if (sha256(bytes[id]) != infos[id].stored_sha256) return make_error(ErrorCode::kIntegrity, "block differs from its hash", infos[id].name);
        return bytes[id];
    }

    std::vector<BlockInfo> infos;
    std::vector<Bytes> bytes;
    std::vector<FileRecord> records;
    ModelRecord record;
    int fail_after = -1;  ///< blocks until add_block fails
};

}  // namespace tenpak::test
