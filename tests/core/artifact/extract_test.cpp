// SPDX-License-Identifier: Apache-2.0
#include "core/artifact/extract.h"

#include <gtest/gtest.h>

#include <mutex>
#include <set>

#include "core/artifact/artifact.h"
#include "core/delta/compress.h"
#include "tests/core/delta/model_pair.h"

namespace tenpak {
namespace {

/// Which chunks are read.
class Watched final : public BlockSource {
   public:
    explicit Watched(const BlockSource& s) : s_(s) {}
    const ModelRecord& model() const override { return s_.model(); }
    const std::vector<FileRecord>& files() const override { return s_.files(); }
    const std::vector<BlockInfo>& blocks() const override { return s_.blocks(); }
    Result<Bytes> read_block(BlockId id) const override {
        std::scoped_lock lock(m_);
        read.insert(id);
        return s_.read_block(id);
    }
    mutable std::set<BlockId> read;

   private:
    const BlockSource& s_;
    mutable std::mutex m_;
};

class Extract : public testing::Test {
   protected:
    void SetUp() override {
        setenv("XDG_CACHE_HOME", (dir_ / "cache").c_str(), 1);
        test::write_model_pair(dir_.path(), {.layers = 4, .shards = 2});
        base_ = ModelDirectory::open(dir_ / "base").value();
        fine_ = ModelDirectory::open(dir_ / "ft").value();
        auto writer = ArtifactWriter::create(dir_ / "x.tnpk", {}).value();
        ASSERT_TRUE(delta::compress(*base_, *fine_, *writer, {.block_weights = 4096}, {}).ok());
        artifact_ = writer->finish({}, {}).value();
    }
    Bytes original(const std::string& tensor) const {
        const TensorInfo* t = fine_->find(tensor);
        Bytes b(t->bytes);
        EXPECT_TRUE(fine_->read(*t, 0, b).ok());
        return b;
    }
    /// What holds it, and the headers that say where it lies.
    std::set<BlockId> needed(const std::string& part) const {
        const auto ids = artifact_->part(part).value();
        std::set<BlockId> s(ids.begin(), ids.end());
        for (const FileRecord& f : artifact_->files())
            if (f.path.ends_with(".safetensors")) s.insert(f.blocks.front());
        return s;
    }
    test::TempDir dir_;
    std::shared_ptr<const ModelDirectory> base_, fine_;
    std::shared_ptr<const Artifact> artifact_;
};

TEST_F(Extract, OnlyTheNeededChunksAreRead) {
    for (const std::string what : {"model.layers.2.mlp.up_proj.weight", "layers.1", "embeddings", "norm", "model.layers.3.input_layernorm.weight"}) {
        const Watched watched(*artifact_);
        const fs::path out = dir_ / "out.safetensors";
        const auto r = artifact::extract(watched, base_.get(), {what}, out, {});
        ASSERT_TRUE(r.ok()) << what << ": " << r.error().text();
        EXPECT_EQ(watched.read, needed(what)) << what;
        EXPECT_EQ(r->blocks_read, watched.read.size());
        EXPECT_LT(watched.read.size(), artifact_->blocks().size());
        const auto written = ModelDirectory::open(out).value();
        ASSERT_EQ(written->tensors().size(), r->tensors.size()) << what;
        for (const TensorInfo& t : written->tensors()) {
            Bytes b(t.bytes);
            ASSERT_TRUE(written->read(t, 0, b).ok());
            EXPECT_EQ(b, original(t.name)) << t.name;
            EXPECT_EQ(t.shape, fine_->find(t.name)->shape);
        }
    }
}

TEST_F(Extract, RefusalsLeaveNothing) {
    const fs::path out = dir_ / "out.safetensors";
    EXPECT_EQ(artifact::extract(*artifact_, base_.get(), {"layers.9"}, out, {}).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(artifact::extract(*artifact_, base_.get(), {"norm", "no.such"}, out, {}).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(artifact::extract(*artifact_, nullptr, {"norm"}, out, {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(artifact::extract(*artifact_, fine_.get(), {"embeddings"}, out, {}).error().code, ErrorCode::kWrongBase);
    EXPECT_FALSE(fs::exists(out));
}

}  // namespace
}  // namespace tenpak
