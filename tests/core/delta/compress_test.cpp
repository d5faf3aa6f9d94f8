// SPDX-License-Identifier: Apache-2.0
#include "core/delta/compress.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/delta/base_cache.h"
#include "core/delta/codec.h"
#include "core/delta/reconstruct.h"
#include "tests/core/delta/memory_blocks.h"
#include "tests/core/delta/model_pair.h"

namespace tenpak::delta {
namespace {

using test::MemoryBlocks;
using test::PairShape;
using test::TempDir;
using test::read_tree;
using test::write_model_pair;

std::shared_ptr<const ModelDirectory> open(const fs::path& p) {
    auto m = ModelDirectory::open(p);
    EXPECT_TRUE(m.ok()) << m.error().text();
    return m.ok() ? *m : nullptr;
}

/// Every test has a cache of its own.
class Compress : public testing::Test {
   protected:
    void SetUp() override {
        fs::create_directories(dir_ / "cache");  // hashes are kept once files are a second old: the folder must not appear in between
        setenv("XDG_CACHE_HOME", (dir_ / "cache").c_str(), 1);
    }
    CompressReport compress_pair(MemoryBlocks& blocks, const CompressOptions& options = {}) {
        base_ = open(dir_ / "base");
        fine_ = open(dir_ / "ft");
        auto r = compress(*base_, *fine_, blocks, options, {});
        EXPECT_TRUE(r.ok()) << (r.ok() ? "" : r.error().text());
        return r.ok() ? *r : CompressReport{};
    }
    TempDir dir_;
    std::shared_ptr<const ModelDirectory> base_, fine_;
};

TEST_F(Compress, RebuildsEveryFileByteForByte) {
    for (const auto& shape : {PairShape{}, PairShape{.dtype = DType::kF16, .shards = 3}, PairShape{.dtype = DType::kF32, .freeze_embeddings = true}}) {
        fs::remove_all(dir_ / "base");
        fs::remove_all(dir_ / "ft");
        fs::remove_all(dir_ / "out");
        write_model_pair(dir_.path(), shape);
        dir_.write("ft/sub/run.sh", "#!/bin/sh\n");
        fs::permissions(dir_ / "ft/sub/run.sh", fs::perms::owner_all);
        dir_.write("ft/empty.txt", "");
        MemoryBlocks blocks;
        // Blocks of 1000 weights: tensors of several blocks, and a short last one.
        const CompressReport r = compress_pair(blocks, {.threads = 2, .block_weights = 1000});
        EXPECT_EQ(r.raw_bytes, fine_->total_bytes());
        EXPECT_EQ(r.weights, fine_->parameters());
        EXPECT_LT(r.stored_bytes, r.raw_bytes);
        EXPECT_EQ(r.stored_bytes, std::accumulate(blocks.bytes.begin(), blocks.bytes.end(), std::uint64_t{0}, [](auto n, const Bytes& b) { return n + b.size(); }));
        for (Verify verify : {Verify::kStored, Verify::kFull}) {
            const fs::path out = dir_ / (verify == Verify::kFull ? "full" : "out");
            fs::remove_all(out);
            auto rebuilt = reconstruct(blocks, base_.get(), out, {.threads = 2, .verify = verify}, {});
            ASSERT_TRUE(rebuilt.ok()) << rebuilt.error().text();
            EXPECT_EQ(rebuilt->bytes_written, r.raw_bytes);
            EXPECT_EQ(rebuilt->verified, verify == Verify::kFull ? "full" : "stored");
            EXPECT_EQ(read_tree(out), read_tree(dir_ / "ft"));
            EXPECT_NE(fs::status(out / "sub/run.sh").permissions() & fs::perms::owner_exec, fs::perms::none);
        }
        EXPECT_TRUE(verify_rebuild(blocks, base_.get(), {}, {}).ok());
    }
}

TEST_F(Compress, StoresInStreamingOrderAndReportsTensors) {
    write_model_pair(dir_.path(), {.freeze_embeddings = true});
    MemoryBlocks blocks;
    const CompressReport r = compress_pair(blocks);
    EXPECT_EQ(blocks.infos.front().name, "model.embed_tokens.weight#0");
    EXPECT_EQ(blocks.infos.front().codec, "identical");
    EXPECT_EQ(blocks.infos.front().stored_size, 0u);
    EXPECT_EQ(blocks.infos[1].name.substr(0, 15), "model.layers.0.");
    const std::string last = blocks.infos.back().name;
    EXPECT_TRUE(last == "tokenizer.json#0") << last;
    ASSERT_EQ(r.tensors.size(), fine_->tensors().size());
    EXPECT_EQ(r.tensors.front().method, "identical");
    EXPECT_EQ(r.tensors.front().changed_fraction, 0);
    EXPECT_EQ(r.tensors[1].layer, 0);
    EXPECT_GT(r.tensors[1].changed_fraction, 0.5);
    EXPECT_TRUE(blocks.record.lossless);
    EXPECT_EQ(blocks.record.codec, "delta");
    ASSERT_TRUE(blocks.record.base.has_value());
    EXPECT_EQ(blocks.record.base->id, "base");
    EXPECT_TRUE(blocks.record.base->tensors.contains("model.embed_tokens.weight"));
}

TEST_F(Compress, EqualBlocksOfOneModelAreStoredOnce) {
    const auto [a, unused] = test::synthetic_pair(100, 100, 0.1, DType::kBF16);
    fs::create_directories(dir_ / "m");
    ASSERT_TRUE(write_safetensors(dir_ / "m/model.safetensors", {{"a", DType::kBF16, {100, 100}, a}, {"b", DType::kBF16, {100, 100}, a}}).ok());
    MemoryBlocks blocks;
    const auto m = open(dir_ / "m");
    const auto r = pack(*m, blocks, {}, {});
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_EQ(blocks.infos.size(), 2u);  // one for both tensors, one for the header
    EXPECT_LT(r->stored_bytes, a.size());
    ASSERT_TRUE(reconstruct(blocks, nullptr, dir_ / "out", {}, {}).ok());
    EXPECT_EQ(read_tree(dir_ / "out"), read_tree(dir_ / "m"));
}

TEST_F(Compress, TensorsWithoutABaseAreStoredAlone) {
    write_model_pair(dir_.path(), {});
    const auto [added, unused] = test::synthetic_pair(50, 64, 0.1, DType::kBF16, 77);
    // The fine-tune gets a tensor the base does not have, the base's head is not in the fine-tune.
    const auto ft = open(dir_ / "ft");
    std::vector<Bytes> data;
    std::vector<TensorToWrite> tensors;
    for (const auto& t : ft->tensors()) {
        data.emplace_back(t.bytes);
        ASSERT_TRUE(ft->read(t, 0, data.back()).ok());
    }
    for (std::size_t i = 0; i < data.size(); ++i) tensors.push_back({ft->tensors()[i].name, ft->tensors()[i].dtype, ft->tensors()[i].shape, data[i]});
    tensors.push_back({"added.weight", DType::kBF16, {50, 64}, added});
    ASSERT_TRUE(write_safetensors(dir_ / "ft/model.safetensors", tensors).ok());
    MemoryBlocks blocks;
    const auto r = compress_pair(blocks);
    const auto it = std::find_if(r.tensors.begin(), r.tensors.end(), [](const auto& t) { return t.name == "added.weight"; });
    ASSERT_NE(it, r.tensors.end());
    EXPECT_EQ(it->method, "standalone");
    EXPECT_EQ(it->changed_fraction, 1);
    ASSERT_TRUE(reconstruct(blocks, base_.get(), dir_ / "out", {}, {}).ok());
    EXPECT_EQ(read_tree(dir_ / "out"), read_tree(dir_ / "ft"));
}

TEST_F(Compress, AnotherArchitectureIsRefused) {
    write_model_pair(dir_.path(), {});
    fs::rename(dir_ / "ft", dir_ / "keep");
    fs::remove_all(dir_ / "base");
    write_model_pair(dir_.path(), {.hidden = 96});
    fs::remove_all(dir_ / "ft");
    fs::rename(dir_ / "keep", dir_ / "ft");
    MemoryBlocks blocks;
    base_ = open(dir_ / "base");
    fine_ = open(dir_ / "ft");
    const auto r = compress(*base_, *fine_, blocks, {}, {});
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, ErrorCode::kMismatch);
    EXPECT_NE(r.error().text().find("64"), std::string::npos) << r.error().text();
    EXPECT_TRUE(blocks.infos.empty());
}

TEST_F(Compress, AWrongBaseIsRefusedAndNothingIsLeft) {
    write_model_pair(dir_.path(), {});
    MemoryBlocks blocks;
    compress_pair(blocks);
    write_model_pair(dir_ / "other", {.seed = 9});
    const auto other = open(dir_ / "other/base");
    const auto r = reconstruct(blocks, other.get(), dir_ / "out", {}, {});
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, ErrorCode::kWrongBase);
    EXPECT_FALSE(fs::exists(dir_ / "out"));
    const auto none = reconstruct(blocks, nullptr, dir_ / "out", {}, {});
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().code, ErrorCode::kInvalidArgument);
    // One bit of one tensor is enough.
    auto text = read_tree(dir_ / "base").at("model.safetensors");
    text[text.size() - 100] = static_cast<char>(text[text.size() - 100] ^ 1);
    dir_.write("base/model.safetensors", text);
    const auto changed = open(dir_ / "base");
    const auto bit = reconstruct(blocks, changed.get(), dir_ / "out", {}, {});
    ASSERT_FALSE(bit.ok());
    EXPECT_EQ(bit.error().code, ErrorCode::kWrongBase);
    EXPECT_FALSE(fs::exists(dir_ / "out"));
}

TEST_F(Compress, DamageAndLyingRecordsAreFoundAndNothingIsLeft) {
    write_model_pair(dir_.path(), {.layers = 1});
    MemoryBlocks good;
    compress_pair(good, {.block_weights = 4096});
    const auto entries = [&] { return std::distance(fs::directory_iterator(dir_.path()), {}); };
    const auto before = entries();
    const auto refused = [&](const MemoryBlocks& bad, const char* what) {
        const auto r = reconstruct(bad, base_.get(), dir_ / "out", {.verify = Verify::kFull}, {});
        EXPECT_FALSE(r.ok()) << what;
        EXPECT_FALSE(fs::exists(dir_ / "out")) << what;
        EXPECT_EQ(entries(), before) << what;
        return r.ok() ? ErrorCode::kInternal : r.error().code;
    };
    for (std::size_t i = 0; i < good.bytes.size(); ++i) {
        if (good.bytes[i].empty()) continue;
        MemoryBlocks bad = good;
        bad.bytes[i][bad.bytes[i].size() / 2] ^= std::byte{4};
        EXPECT_EQ(refused(bad, "flipped byte"), ErrorCode::kIntegrity);
        bad.infos[i].stored_sha256 = sha256(bad.bytes[i]);  // a forger fixes the outer hash: decoding or XXH3 finds it
        refused(bad, "flipped byte with its hash");
    }
    MemoryBlocks bad = good;
    bad.records[0].path = "../outside";
    EXPECT_EQ(refused(bad, "path"), ErrorCode::kMalformed);
    bad = good;
    bad.records[0].blocks.push_back(1u << 30);
    EXPECT_EQ(refused(bad, "block id"), ErrorCode::kMalformed);
    bad = good;
    bad.infos[0].raw_size = std::uint64_t{1} << 40;
    EXPECT_EQ(refused(bad, "huge block"), ErrorCode::kMalformed);
    bad = good;
    bad.infos[0].codec = "of-the-future";
    EXPECT_EQ(refused(bad, "codec"), ErrorCode::kUnsupported);
    bad = good;
    bad.infos[0].base.at(0).offset = ~std::uint64_t{0};
    EXPECT_EQ(refused(bad, "base range"), ErrorCode::kWrongBase);
    bad = good;
    bad.records[1].sha256[0] ^= 1;
    EXPECT_EQ(refused(bad, "file hash"), ErrorCode::kIntegrity);
    bad = good;
    bad.records[1].path = bad.records[0].path;
    EXPECT_EQ(refused(bad, "double file"), ErrorCode::kMalformed);
}

TEST_F(Compress, CancelAndFullSinkStop) {
    write_model_pair(dir_.path(), {});
    base_ = open(dir_ / "base");
    fine_ = open(dir_ / "ft");
    MemoryBlocks blocks;
    blocks.fail_after = 3;
    auto r = compress(*base_, *fine_, blocks, {}, {});
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, ErrorCode::kNoSpace);
    std::stop_source stop;
    JobContext ctx{stop.get_token(), [&](const Progress& p) {
                       EXPECT_LE(p.done, p.total);
                       if (p.phase == "compress" && p.done > p.total / 3) stop.request_stop();
                   }};
    MemoryBlocks again;
    r = compress(*base_, *fine_, again, {.block_weights = 500}, ctx);
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, ErrorCode::kCancelled);
}

TEST_F(Compress, BlocksOpenAsAModel) {
    write_model_pair(dir_.path(), {.shards = 2});
    auto blocks = std::make_shared<MemoryBlocks>();
    compress_pair(*blocks, {.block_weights = 1000});
    const auto m = open_blocks_as_model(blocks, base_, "ft");
    ASSERT_TRUE(m.ok()) << m.error().text();
    ASSERT_EQ((*m)->tensors().size(), fine_->tensors().size());
    for (const TensorInfo& t : fine_->tensors()) {
        const TensorInfo* u = (*m)->find(t.name);
        ASSERT_NE(u, nullptr);
        EXPECT_EQ(u->shape, t.shape);
        Bytes a(t.bytes), b(t.bytes);
        ASSERT_TRUE(fine_->read(t, 0, a).ok());
        ASSERT_TRUE((*m)->read(*u, 0, b).ok());
        EXPECT_EQ(a, b);
        if (t.bytes < 5000) continue;
        Bytes part(1234);
        ASSERT_TRUE((*m)->read(*u, 1999, part).ok());
        EXPECT_TRUE(std::equal(part.begin(), part.end(), a.begin() + 1999));
    }
    EXPECT_EQ(as_text(*(*m)->read_side_file("config.json")), read_tree(dir_ / "ft").at("config.json"));
    EXPECT_EQ((*m)->read_side_file("nothing").error().code, ErrorCode::kNotFound);
    Bytes beyond(10);
    EXPECT_FALSE((*m)->read((*m)->tensors()[0], (*m)->tensors()[0].bytes - 5, beyond).ok());
}

TEST_F(Compress, BaseHashesAreRememberedByFileIdentity) {
    write_model_pair(dir_.path(), {});
    const auto file = dir_ / "base/model.safetensors";
    fs::last_write_time(file, fs::last_write_time(file) - std::chrono::seconds(10));
    const auto base = open(dir_ / "base");
    std::vector<const TensorInfo*> all;
    for (const auto& t : base->tensors()) all.push_back(&t);
    std::vector<Digest> first;
    {
        BaseCache cache(dir_ / "hashes");
        first = *cache.digests(*base, all, false, 2, "base", {});
        EXPECT_EQ(cache.computed(), all.size());
    }
    BaseCache warm(dir_ / "hashes");
    EXPECT_EQ(*warm.digests(*base, all, false, 2, "base", {}), first);
    EXPECT_EQ(warm.computed(), 0u);
    EXPECT_EQ(*warm.digests(*base, all, true, 2, "base", {}), first);
    EXPECT_EQ(warm.computed(), all.size());
    fs::last_write_time(file, fs::last_write_time(file) - std::chrono::seconds(1));
    BaseCache touched(dir_ / "hashes");
    const auto again = open(dir_ / "base");
    ASSERT_TRUE(touched.digest(*again, again->tensors()[0], false, {}).ok());
    EXPECT_EQ(touched.computed(), 1u);
    for (const auto& e : fs::directory_iterator(dir_ / "hashes")) std::ofstream(e.path()) << "{\"file\":1,";
    BaseCache broken(dir_ / "hashes");
    EXPECT_EQ(*broken.digest(*base, *all[0], false, {}), first[0]);
}

}  // namespace
}  // namespace tenpak::delta
