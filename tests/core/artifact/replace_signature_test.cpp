// SPDX-License-Identifier: Apache-2.0
#include "tests/support/artifact_builder.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using namespace test;

std::size_t entries(const fs::path& p) { return static_cast<std::size_t>(std::distance(fs::directory_iterator(p), fs::directory_iterator())); }

class ReplaceSignature : public testing::TestWithParam<ArtifactForm> {};

TEST_P(ReplaceSignature, KeepsTheContentAndReplacesWhatWasThere) {
    TempDir dir;
    const auto path = dir / "a.tnpk";
    const auto before = write_small(path, GetParam());
    std::string seen;
    const auto signer = [&](std::string_view manifest, const std::vector<FileRecord>& files) -> Result<std::vector<std::pair<std::string, Bytes>>> {
        seen = std::string(manifest);
        EXPECT_EQ(files.size(), 3u);
        return std::vector<std::pair<std::string, Bytes>>{{"signature.sig", Bytes(100, std::byte{'s'})}, {"model.sig", Bytes(5000, std::byte{'m'})}};
    };
    ASSERT_TRUE(replace_signature(path, "ecdsa-p256", signer, {}).ok());
    const auto a = Artifact::open(path);
    ASSERT_TRUE(a.ok()) << a.error().text();
    EXPECT_FALSE(damage(path));
    EXPECT_EQ((*a)->manifest_bytes(), seen);
    EXPECT_EQ((*a)->signature_scheme(), "ecdsa-p256");
    EXPECT_EQ((*a)->read_signature("model.sig")->size(), 5000u);
    EXPECT_EQ((*a)->created(), before->created());
    EXPECT_TRUE(diff(*before, **a).same_content);
    EXPECT_EQ((*a)->is_directory(), GetParam() == ArtifactForm::kDirectory);
    // Again with another scheme: nothing of the old signature stays.
    ASSERT_TRUE(replace_signature(path, "hmac-sha256", [](auto, auto&) -> Result<std::vector<std::pair<std::string, Bytes>>> {
        return std::vector<std::pair<std::string, Bytes>>{{"signature.sig", Bytes(10, std::byte{'h'})}};
    }, {}).ok());
    EXPECT_EQ((*Artifact::open(path))->read_signature("model.sig").error().code, ErrorCode::kNotFound);
    EXPECT_FALSE(damage(path));
    EXPECT_EQ(entries(dir.path()), 1u);
}

TEST_P(ReplaceSignature, FailureLeavesTheArtifactAsItWas) {
    TempDir dir;
    const auto path = dir / "a.tnpk";
    const std::string manifest(write_small(path, GetParam())->manifest_bytes());
    const Status s = replace_signature(path, "ecdsa-p256", [](auto, auto&) { return make_error(ErrorCode::kPermission, "no"); }, {});
    EXPECT_EQ(s.error().code, ErrorCode::kPermission);
    const Status unknown = replace_signature(path, "ecdsa-p256", [](auto, auto&) -> Result<std::vector<std::pair<std::string, Bytes>>> {
        return std::vector<std::pair<std::string, Bytes>>{{"../evil", Bytes(10)}};
    }, {});
    EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ((*Artifact::open(path))->manifest_bytes(), manifest);
    EXPECT_FALSE(damage(path));
    EXPECT_EQ(entries(dir.path()), 1u);
}

TEST_P(ReplaceSignature, DamagedArtifactIsNotSigned) {
    TempDir dir;
    const auto path = dir / "a.tnpk";
    write_small(path, GetParam());
    const auto data = GetParam() == ArtifactForm::kFile ? path : path / "chunks/0000.bin";
    std::string bytes = *read_text_file(data);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    std::ofstream(data, std::ios::binary) << bytes;
    bool asked = false;
    const Status s = replace_signature(path, "ecdsa-p256", [&](auto, auto&) { asked = true; return make_error(ErrorCode::kInternal, "asked"); }, {});
    EXPECT_EQ(s.error().code, ErrorCode::kIntegrity);
    EXPECT_FALSE(asked);
}

INSTANTIATE_TEST_SUITE_P(Form, ReplaceSignature, testing::Values(ArtifactForm::kFile, ArtifactForm::kDirectory),
                         [](const auto& i) { return i.param == ArtifactForm::kFile ? "File" : "Directory"; });

}  // namespace
}  // namespace tenpak
