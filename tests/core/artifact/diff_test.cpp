// SPDX-License-Identifier: Apache-2.0
#include "tests/support/artifact_builder.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using namespace test;

std::shared_ptr<const Artifact> pack(const fs::path& path, const std::map<std::string, std::string>& files) {
    auto w = *ArtifactWriter::create(path, {});
    for (const auto& [name, data] : files) add_raw_file(*w, name, data, 100);
    EXPECT_TRUE(w->set_model({"m", "pack", true, {}, {}}).ok());
    return *w->finish({}, {});
}

TEST(Diff, FilesAndBlocks) {
    TempDir dir;
    const std::string shared(200, 's');
    std::map<std::string, std::string> files;
    files["same"] = "1";
    files["changed"] = shared + "a";
    files["gone"] = "gone!";
    const auto a = pack(dir / "a.tnpk", files);
    files.erase("gone");
    files["new"] = "new";
    files["changed"] = shared + "bb";
    const auto b = pack(dir / "b.tnpk", files);
    const ArtifactDiff d = diff(*a, *b);
    EXPECT_EQ(d.only_a, std::vector<std::string>{"gone"});
    EXPECT_EQ(d.only_b, std::vector<std::string>{"new"});
    EXPECT_EQ(d.changed, std::vector<std::string>{"changed"});
    EXPECT_FALSE(d.same_content);
    EXPECT_EQ(d.shared_blocks, 2u);  // "1", and the block of 100 times 's' that is stored once
    EXPECT_EQ(d.shared_bytes, 101u);
    EXPECT_EQ(d.only_a_bytes, 1u + 5);
    EXPECT_EQ(d.only_b_bytes, 2u + 3);
    EXPECT_TRUE(diff(*a, *a).same_content);
    EXPECT_EQ(diff(*a, *a).only_a_bytes, 0u);
}

}  // namespace
}  // namespace tenpak
