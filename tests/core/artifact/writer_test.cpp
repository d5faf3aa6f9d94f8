// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "core/artifact/layout.h"
#include "tests/support/artifact_builder.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using namespace test;

std::size_t entries(const fs::path& p) { return static_cast<std::size_t>(std::distance(fs::directory_iterator(p), fs::directory_iterator())); }

TEST(ArtifactWriter, BothFormsHoldTheSameAndSignTheSameBytes) {
    setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    TempDir dir;
    const auto file = write_small(dir / "a.tnpk", ArtifactForm::kFile);
    const auto folder = write_small(dir / "d.tnpk", ArtifactForm::kDirectory);
    unsetenv("SOURCE_DATE_EPOCH");
    ASSERT_TRUE(file && folder);
    EXPECT_EQ(file->manifest_bytes(), folder->manifest_bytes());
    EXPECT_EQ(file->created(), "2023-11-14T22:13:20Z");
    EXPECT_FALSE(file->is_directory());
    EXPECT_TRUE(folder->is_directory());
    EXPECT_EQ(file->stored_bytes(), fs::file_size(dir / "a.tnpk"));
    EXPECT_EQ(file->raw_bytes(), 23u + 400 + 1064);
    for (const auto& a : {file, folder}) {
        ASSERT_EQ(a->files().size(), 3u);
        EXPECT_EQ(a->files()[1].path, "sub/notes.txt");
        EXPECT_EQ(a->files()[1].blocks.size(), 3u);
        EXPECT_TRUE(a->files()[2].executable);
        EXPECT_EQ(as_text(*a->read_block(4)), "coded bytes of a predicted block");
        EXPECT_TRUE(a->read_block(5)->empty());
        EXPECT_EQ(a->read_block(6).error().code, ErrorCode::kInvalidArgument);
        EXPECT_EQ(a->blocks()[5].base, (std::vector<BaseRange>{{"old.norm", 16, 64}}));
        EXPECT_EQ(a->model().base->revision, "abc");
        const auto intact = a->check_intact({});
        ASSERT_TRUE(intact.ok()) << intact.error().text();
        EXPECT_EQ(intact->chunks, 6u);
        EXPECT_EQ(intact->files, 3u);
        EXPECT_EQ(intact->bytes, a->stored_bytes());
        EXPECT_EQ(a->signature_scheme(), "none");
        EXPECT_EQ(a->read_signature("signature.sig").error().code, ErrorCode::kNotFound);
        EXPECT_TRUE(looks_like_artifact(a->path()));
    }
    EXPECT_EQ(entries(dir / "d.tnpk"), 3u);  // manifest.json, SHA256SUMS, chunks
}

TEST(ArtifactWriter, EqualBlocksAreStoredOnce) {
    TempDir dir;
    auto w = *ArtifactWriter::create(dir / "a.tnpk", {});
    add_raw_file(*w, "a", std::string(250, 'x'), 100);
    add_raw_file(*w, "b", std::string(300, 'x'), 100);
    ASSERT_TRUE(w->set_model({"m", "pack", true, {}, {}}).ok());
    const auto a = *w->finish({}, {});
    EXPECT_EQ(a->blocks().size(), 2u);
    EXPECT_EQ(a->files()[1].blocks, (std::vector<BlockId>{0, 0, 0}));
}

TEST(ArtifactWriter, LargeRawChunksLieOnPagesInBothFormsAndPacksAreCut) {
    TempDir dir;
    std::mt19937 rng(3);
    std::vector<std::string> data;
    for (int i = 0; i < 36; ++i) {
        std::string s(static_cast<std::size_t>(i % 3 == 0 ? 4'000'003 : i % 3 == 1 ? 999 : 2'100'000), '\0');
        for (std::size_t k = 0; k < s.size(); k += 997) s[k] = static_cast<char>(rng());
        s[0] = static_cast<char>(i);
        data.push_back(std::move(s));
    }
    for (const ArtifactForm form : {ArtifactForm::kFile, ArtifactForm::kDirectory}) {
        const fs::path path = dir / (form == ArtifactForm::kFile ? "a.tnpk" : "d.tnpk");
        auto w = *ArtifactWriter::create(path, {form, "none"});
        for (std::size_t i = 0; i < data.size(); ++i) add_raw_file(*w, "f" + std::to_string(100 + i), data[i], data[i].size());
        ASSERT_TRUE(w->set_model({"m", "pack", true, {}, {}}).ok());
        const auto a = w->finish({}, {});
        ASSERT_TRUE(a.ok()) << a.error().text();
        if (form == ArtifactForm::kFile) {
            const auto text = *read_text_file(path);
            for (std::size_t i = 0; i < data.size(); i += 3) EXPECT_EQ(text.find(data[i]) % 4096, 0u) << i;
        } else {
            ASSERT_TRUE(fs::exists(path / "chunks/0001.bin"));
            EXPECT_EQ(fs::file_size(path / "chunks/0000.bin") % 4096, 0u);
        }
        for (BlockId i = 0; i < data.size(); ++i) EXPECT_EQ(as_text(*(*a)->read_block(i)), data[i]) << i;
        // A gap between chunks that is not zero is damage, though no chunk changed.
        const auto big = form == ArtifactForm::kFile ? path : path / "chunks/0000.bin";
        std::string bytes = *read_text_file(big);
        const auto second = bytes.find(data[3]);
        ASSERT_NE(second, std::string::npos);
        ASSERT_EQ(bytes[second - 1], '\0');
        bytes[second - 1] = 'x';
        std::ofstream(big, std::ios::binary) << bytes;
        const auto e = damage(path);
        ASSERT_TRUE(e);
        EXPECT_EQ(e->code, ErrorCode::kIntegrity);
        EXPECT_NE(e->what.find("gap"), std::string::npos) << e->text();
    }
}

TEST(ArtifactWriter, NothingIsLeftWhenItIsDroppedOrFails) {
    TempDir dir;
    for (const ArtifactForm form : {ArtifactForm::kFile, ArtifactForm::kDirectory}) {
        {
            auto w = *ArtifactWriter::create(dir / "x.tnpk", {form, "none"});
            fill_small(*w);
        }
        EXPECT_EQ(entries(dir.path()), 0u);
        {  // a failing signer
            auto w = *ArtifactWriter::create(dir / "x.tnpk", {form, "hmac-sha256"});
            fill_small(*w);
            const auto r = w->finish([](auto, auto&) { return make_error(ErrorCode::kPermission, "no key"); }, {});
            EXPECT_EQ(r.error().code, ErrorCode::kPermission);
        }
        EXPECT_EQ(entries(dir.path()), 0u);
        {  // a scheme without a signer
            auto w = *ArtifactWriter::create(dir / "x.tnpk", {form, "hmac-sha256"});
            fill_small(*w);
            EXPECT_EQ(w->finish({}, {}).error().code, ErrorCode::kInvalidArgument);
        }
        {  // cancelled
            auto w = *ArtifactWriter::create(dir / "x.tnpk", {form, "none"});
            fill_small(*w);
            std::stop_source stop;
            stop.request_stop();
            JobContext ctx;
            ctx.stop = stop.get_token();
            EXPECT_EQ(w->finish({}, ctx).error().code, ErrorCode::kCancelled);
        }
        {  // a block whose bytes are not what was said: found by the reading back
            auto w = *ArtifactWriter::create(dir / "x.tnpk", {form, "none"});
            BlockInfo b = raw_block("a#0", "right");
            FileRecord f{"a", 5, b.raw_sha256, {*w->add_block(b, as_bytes("wrong"))}, false};
            ASSERT_TRUE(w->add_file(f).ok());
            ASSERT_TRUE(w->set_model({"m", "pack", true, {}, {}}).ok());
            EXPECT_EQ(w->finish({}, {}).error().code, ErrorCode::kIo);
        }
        {  // files and blocks that do not fit
            auto w = *ArtifactWriter::create(dir / "x.tnpk", {form, "none"});
            fill_small(*w);
            ASSERT_TRUE(w->add_file({"../evil", 0, {}, {}, false}).ok());
            EXPECT_EQ(w->finish({}, {}).error().code, ErrorCode::kMalformed);
        }
        EXPECT_EQ(entries(dir.path()), 0u);
    }
    EXPECT_EQ(ArtifactWriter::create(dir / "no/such/folder.tnpk", {}).error().code, ErrorCode::kNotFound);
    dir.write("full/x", "x");
    EXPECT_EQ(ArtifactWriter::create(dir / "full", {ArtifactForm::kDirectory, "none"}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(ArtifactWriter::create(dir / "full", {ArtifactForm::kFile, "none"}).error().code, ErrorCode::kInvalidArgument);
}

TEST(ArtifactWriter, AnEmptyModelIsAnArtifact) {
    TempDir dir;
    for (const ArtifactForm form : {ArtifactForm::kFile, ArtifactForm::kDirectory}) {
        const fs::path path = dir / (form == ArtifactForm::kFile ? "a.tnpk" : "d.tnpk");
        auto w = *ArtifactWriter::create(path, {form, "none"});
        ASSERT_TRUE(w->add_file({"empty.txt", 0, sha256({}), {}, false}).ok());
        ASSERT_TRUE(w->set_model({"m", "pack", true, {}, {}}).ok());
        const auto a = w->finish({}, {});
        ASSERT_TRUE(a.ok()) << a.error().text();
        EXPECT_FALSE(damage(path));
    }
}

TEST(LooksLikeArtifact, ByNameMagicOrFolder) {
    TempDir dir;
    write_small(dir / "a.tnpk", ArtifactForm::kFile);
    fs::copy(dir / "a.tnpk", dir / "renamed.bin");
    EXPECT_TRUE(looks_like_artifact(dir / "renamed.bin"));
    EXPECT_FALSE(looks_like_artifact(dir.write("x.bin", "something else")));
    EXPECT_FALSE(looks_like_artifact(dir.path()));
    EXPECT_FALSE(looks_like_artifact(dir / "nothing"));
    EXPECT_EQ(Artifact::open(dir / "x.bin").error().code, ErrorCode::kMalformed);
    EXPECT_EQ(Artifact::open(dir.path()).error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(Artifact::open(dir / "nothing.tnpk").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace tenpak
