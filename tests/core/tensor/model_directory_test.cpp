// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include "core/tensor/model_source.h"
#include "tests/support/safetensors_builder.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using test::small_safetensors;
using test::TempDir;

Error open_error(const fs::path& p) {
    const auto m = ModelDirectory::open(p);
    return m.ok() ? make_error(ErrorCode::kInternal, "opened") : m.error();
}
void write_shards(const TempDir& dir) {
    dir.write("m/model-00001-of-00002.safetensors", small_safetensors({{"a", 4}, {"b", 2}}));
    dir.write("m/model-00002-of-00002.safetensors", small_safetensors({{"c", 3}}, 9));
    dir.write("m/model.safetensors.index.json",
              R"({"metadata":{"total_size":18},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00001-of-00002.safetensors","c":"model-00002-of-00002.safetensors"}})");
}

TEST(ModelDirectory, OneFileAndAFolder) {
    TempDir dir;
    dir.write("m/model.safetensors", small_safetensors({{"a", 4}, {"b", 2}}));
    dir.write("m/config.json", "{}");
    dir.write("m/sub/notes.txt", "n");
    dir.write("m/.cache/x", "hidden");
    dir.write("m/.gitattributes", "hidden");
    dir.write("m/big.bin.incomplete", "half");
    const auto m = ModelDirectory::open(dir / "m");
    ASSERT_TRUE(m.ok()) << m.error().text();
    EXPECT_EQ((*m)->id(), "m");
    std::vector<std::string> files;
    for (const auto& f : (*m)->files()) files.push_back(f.path + (f.weights ? "*" : ""));
    EXPECT_EQ(files, (std::vector<std::string>{"config.json", "model.safetensors*", "sub/notes.txt"}));
    EXPECT_EQ((*m)->ignored(), (std::vector<std::string>{".cache", ".gitattributes", "big.bin.incomplete"}));
    EXPECT_EQ((*m)->weight_file(0), 1u);
    EXPECT_EQ(as_text(*(*m)->read_side_file("config.json")), "{}");
    EXPECT_EQ((*m)->read_side_file("nothing.json").error().code, ErrorCode::kNotFound);
    EXPECT_EQ((*m)->read_side_file("../m/config.json").error().code, ErrorCode::kMalformed);
    EXPECT_EQ((*m)->read_side_file("/etc/passwd").error().code, ErrorCode::kMalformed);
    EXPECT_EQ((*m)->total_bytes(), 2 + 1 + fs::file_size(dir / "m/model.safetensors"));

    const auto one = ModelDirectory::open(dir / "m/model.safetensors");
    ASSERT_TRUE(one.ok());
    EXPECT_EQ((*one)->files().size(), 1u);
    EXPECT_EQ((*one)->id(), "model.safetensors");
    EXPECT_EQ((*ModelDirectory::open(dir / "m/"))->id(), "m");
}

TEST(ModelDirectory, ShardsInTheOrderOfTheirNames) {
    TempDir dir;
    write_shards(dir);
    const auto m = ModelDirectory::open(dir / "m");
    ASSERT_TRUE(m.ok()) << m.error().text();
    std::vector<std::string> names;
    for (const auto& t : (*m)->tensors()) names.push_back(t.name + "@" + std::to_string(t.file));
    EXPECT_EQ(names, (std::vector<std::string>{"a@0", "b@0", "c@1"}));
    EXPECT_EQ((*m)->parameters(), 9u);
    // An unsharded copy beside the shards is the one that transformers takes.
    dir.write("m/consolidated.safetensors", small_safetensors({{"a", 4}}));
    EXPECT_EQ((*ModelDirectory::open(dir / "m"))->tensors().size(), 3u);
    dir.write("m/model.safetensors", small_safetensors({{"only", 4}}));
    EXPECT_EQ((*ModelDirectory::open(dir / "m"))->tensors()[0].name, "only");
}

TEST(ModelDirectory, MissingAndTruncatedShardsAreNamed) {
    TempDir dir;
    write_shards(dir);
    const auto second = dir / "m/model-00002-of-00002.safetensors";
    const auto size = fs::file_size(second);
    fs::resize_file(second, size - 2);
    Error e = open_error(dir / "m");
    EXPECT_EQ(e.code, ErrorCode::kMalformed);
    EXPECT_NE(e.where.find("model-00002-of-00002.safetensors"), std::string::npos) << e.text();
    EXPECT_NE(e.hint.find("truncated"), std::string::npos) << e.text();
    fs::remove(second);
    e = open_error(dir / "m");
    EXPECT_EQ(e.code, ErrorCode::kMalformed);
    EXPECT_NE(e.text().find("model-00002-of-00002.safetensors is missing"), std::string::npos) << e.text();
    fs::remove(dir / "m/model.safetensors.index.json");  // the name alone says that there were two
    e = open_error(dir / "m");
    EXPECT_NE(e.text().find("shard 2 of 2 is missing"), std::string::npos) << e.text();
}

TEST(ModelDirectory, IndexAndShardsMustAgree) {
    TempDir dir;
    write_shards(dir);
    const auto index = [&](const std::string& map) { dir.write("m/model.safetensors.index.json", "{\"weight_map\":" + map + "}"); };
    const std::string one = "\"model-00001-of-00002.safetensors\"", two = "\"model-00002-of-00002.safetensors\"";
    index("{\"a\":" + one + ",\"b\":" + two + ",\"c\":" + two + "}");
    EXPECT_NE(open_error(dir / "m").what.find("does not hold it"), std::string::npos);
    index("{\"a\":" + one + ",\"c\":" + two + "}");
    EXPECT_NE(open_error(dir / "m").what.find("index does not name"), std::string::npos);
    index("{\"a\":" + one + ",\"b\":" + one + ",\"c\":" + two + ",\"d\":" + two + "}");
    EXPECT_NE(open_error(dir / "m").text().find("tensor d"), std::string::npos);
    for (const char* bad : {"{}", "[]", "{\"a\":1}", "{\"a\":\"../x.safetensors\"}", "{\"a\":\"/x.safetensors\"}", "{\"a\":\"x.bin\"}",
                            "{\"a\":\"x.safetensors\",\"a\":\"x.safetensors\"}"}) {
        index(bad);
        EXPECT_EQ(open_error(dir / "m").code, ErrorCode::kMalformed) << bad;
    }
    dir.write("m/model.safetensors.index.json", "{\"weight_map\":");
    EXPECT_EQ(open_error(dir / "m").code, ErrorCode::kMalformed);
}

TEST(ModelDirectory, SeveralFilesWithoutAnIndex) {
    TempDir dir;
    dir.write("m/one.safetensors", small_safetensors({{"a", 4}}));
    dir.write("m/two.safetensors", small_safetensors({{"b", 4}}));
    EXPECT_EQ((*ModelDirectory::open(dir / "m"))->tensors().size(), 2u);
    dir.write("m/three.safetensors", small_safetensors({{"b", 4}}));
    const Error e = open_error(dir / "m");
    EXPECT_EQ(e.code, ErrorCode::kMalformed);
    EXPECT_NE(e.what.find("three.safetensors"), std::string::npos);
    EXPECT_NE(e.what.find("two.safetensors"), std::string::npos);
}

TEST(ModelDirectory, RefusalsSayWhatIsThere) {
    TempDir dir;
    EXPECT_EQ(open_error(dir / "nothing").code, ErrorCode::kNotFound);
    fs::create_directory(dir / "empty");
    EXPECT_EQ(open_error(dir / "empty").code, ErrorCode::kUnsupported);
    dir.write("old/pytorch_model.bin", "x");
    EXPECT_NE(open_error(dir / "old").what.find("pytorch_model.bin"), std::string::npos);
    dir.write("outer/inner/model.safetensors", small_safetensors({{"a", 4}}));
    EXPECT_NE(open_error(dir / "outer").hint.find("inner"), std::string::npos);
    EXPECT_EQ(open_error(dir.write("x.gguf", "GGUF")).code, ErrorCode::kUnsupported);
    dir.write("bad/model.safetensors", "garbage that is no header");
    EXPECT_EQ(open_error(dir / "bad").code, ErrorCode::kMalformed);
}

TEST(ModelDirectory, LinksOfTheHubCache) {
    TempDir dir;
    const std::string commit(40, 'a');
    dir.write("models--o--n/blobs/111", small_safetensors({{"a", 4}}));
    dir.write("models--o--n/blobs/222", "{}");
    dir.write("models--o--n/refs/main", commit);
    const fs::path snapshot = dir / "models--o--n/snapshots" / commit;
    fs::create_directories(snapshot);
    fs::create_symlink("../../blobs/111", snapshot / "model.safetensors");
    fs::create_symlink("../../blobs/222", snapshot / "config.json");
    const auto m = ModelDirectory::open(snapshot);
    ASSERT_TRUE(m.ok()) << m.error().text();
    EXPECT_EQ((*m)->files().size(), 2u);
    EXPECT_EQ((*m)->files()[1].size, fs::file_size(dir / "models--o--n/blobs/111"));
    const auto named_by_cache = ModelDirectory::open(dir / "models--o--n");
    ASSERT_TRUE(named_by_cache.ok()) << named_by_cache.error().text();
    EXPECT_EQ((*named_by_cache)->id(), "models--o--n");

    fs::create_directory_symlink(dir.path(), snapshot / "loop");
    const auto again = ModelDirectory::open(snapshot);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ((*again)->ignored(), std::vector<std::string>{"loop"});
    fs::create_symlink("../../blobs/333", snapshot / "tokenizer.json");
    const Error e = open_error(snapshot);
    EXPECT_EQ(e.code, ErrorCode::kMalformed);
    EXPECT_NE(e.where.find("tokenizer.json"), std::string::npos);
}

TEST(ModelDirectory, ExecutableBitAndSpecialFiles) {
    TempDir dir;
    dir.write("m/model.safetensors", small_safetensors({{"a", 4}}));
    dir.write("m/run.sh", "#!/bin/sh\n");
    fs::permissions(dir / "m/run.sh", fs::perms::owner_exec, fs::perm_options::add);
    ASSERT_EQ(mkfifo((dir / "m/pipe").c_str(), 0600), 0);
    const auto m = ModelDirectory::open(dir / "m");  // must not hang on the pipe
    ASSERT_TRUE(m.ok());
    EXPECT_FALSE((*m)->files()[0].executable);
    EXPECT_TRUE((*m)->files()[1].executable);
    EXPECT_EQ((*m)->ignored(), std::vector<std::string>{"pipe"});
}

}  // namespace
}  // namespace tenpak
