// SPDX-License-Identifier: Apache-2.0
// Any change of any byte, any truncation, anything appended is found, signed or not, in both forms.
#include "tests/support/artifact_builder.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using namespace test;

const ArtifactWriter::Signer kFakeSigner = [](std::string_view manifest, const std::vector<FileRecord>& files) {
    const auto text = "signature of " + std::to_string(manifest.size()) + " bytes", model = "signature of " + std::to_string(files.size()) + " files";
    return Result<std::vector<std::pair<std::string, Bytes>>>(std::vector<std::pair<std::string, Bytes>>{
        {"signature.sig", Bytes(as_bytes(text).begin(), as_bytes(text).end())}, {"model.sig", Bytes(as_bytes(model).begin(), as_bytes(model).end())}});
};

void write_bytes(const fs::path& p, const std::string& s) { std::ofstream(p, std::ios::binary | std::ios::trunc) << s; }

class Damage : public testing::TestWithParam<bool> {
   protected:
    std::vector<fs::path> files(ArtifactForm form) {
        path_ = dir_ / "a.tnpk";
        artifact_ = GetParam() ? write_small(path_, form, "ecdsa-p256", kFakeSigner) : write_small(path_, form);
        EXPECT_FALSE(damage(path_));
        if (form == ArtifactForm::kFile) return {path_};
        std::vector<fs::path> out;
        for (const auto& e : fs::recursive_directory_iterator(path_)) {
            if (e.is_regular_file()) out.push_back(e.path());
        }
        return out;
    }
    void expect_found(const std::string& what) {
        const auto e = damage(path_);
        ASSERT_TRUE(e) << what << " was not found";
        EXPECT_EQ(exit_code(e->code), 3) << what << ": " << e->text();
    }
    TempDir dir_;
    fs::path path_;
    std::shared_ptr<const Artifact> artifact_;
};

TEST_P(Damage, EveryFlippedByte) {
    for (const ArtifactForm form : {ArtifactForm::kFile, ArtifactForm::kDirectory}) {
        fs::remove_all(dir_ / "a.tnpk");
        for (const fs::path& f : files(form)) {
            const std::string good = *read_text_file(f);
            std::fstream in_place(f, std::ios::binary | std::ios::in | std::ios::out);
            for (std::size_t i = 0; i < good.size(); ++i) {
                const auto put = [&](char c) { in_place.seekp(static_cast<std::streamoff>(i)).put(c).flush(); };
                put(static_cast<char>(good[i] ^ (1 << (i % 8))));
                expect_found(f.filename().string() + " byte " + std::to_string(i));
                put(good[i]);
            }
        }
        EXPECT_FALSE(damage(path_));
    }
}

TEST_P(Damage, EveryTruncationAndAppendedBytes) {
    for (const ArtifactForm form : {ArtifactForm::kFile, ArtifactForm::kDirectory}) {
        fs::remove_all(dir_ / "a.tnpk");
        for (const fs::path& f : files(form)) {
            const std::string good = *read_text_file(f);
            for (std::size_t n = good.size(); n-- > 0;) {
                fs::resize_file(f, n);
                expect_found(f.filename().string() + " cut to " + std::to_string(n));
            }
            for (const std::string& more : {std::string(1, '\0'), std::string("x"), std::string(4096, '\0')}) {
                write_bytes(f, good + more);
                expect_found(f.filename().string() + " with bytes behind");
            }
            fs::remove(f);
            if (form == ArtifactForm::kDirectory) expect_found(f.filename().string() + " removed");
            write_bytes(f, good);
        }
        EXPECT_FALSE(damage(path_));
    }
}

TEST_P(Damage, FilesThatDoNotBelongThere) {
    files(ArtifactForm::kDirectory);
    for (const char* extra : {"notes.txt", "chunks/0001.bin", "chunks/x"}) {
        write_bytes(path_ / extra, "x");
        expect_found(extra);
        fs::remove(path_ / extra);
    }
    if (!GetParam()) {
        write_bytes(path_ / "model.sig", "x");
        expect_found("a signature put beside");
    }
}

// A renamed file whose first bytes are damaged is still recognized.
TEST_P(Damage, MagicWithoutTheName) {
    files(ArtifactForm::kFile);
    std::string bytes = *read_text_file(path_);
    bytes[3] = 'x';
    write_bytes(dir_ / "renamed.bin", bytes);
    EXPECT_EQ(damage(dir_ / "renamed.bin")->code, ErrorCode::kIntegrity);
}

INSTANTIATE_TEST_SUITE_P(Signed, Damage, testing::Bool(), [](const auto& i) { return i.param ? "Signed" : "Unsigned"; });

}  // namespace
}  // namespace tenpak
