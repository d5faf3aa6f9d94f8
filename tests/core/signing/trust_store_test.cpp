// SPDX-License-Identifier: Apache-2.0
#include "core/signing/ec_key.h"
#include "core/signing/signing.h"
#include "tests/support/temp_dir.h"

namespace tenpak::signing {
namespace {

using test::TempDir;

TEST(TrustStore, AddFindRemoveAndReopen) {
    TempDir dir;
    const auto file = dir / "sub/trusted-keys.json";
    const auto a = PrivateKey::generate()->public_key(), b = PrivateKey::generate()->public_key();
    auto store = TrustStore::open(file);
    ASSERT_TRUE(store.ok());
    EXPECT_TRUE(store->keys().empty());
    ASSERT_TRUE(store->add({"", "Alice", a.pem(), ""}).ok());
    auto second = *TrustStore::open(file);  // another program
    ASSERT_TRUE(second.add({"", "Bob", b.pem(), ""}).ok());
    ASSERT_TRUE(store->add({"", "Alice again", a.pem(), ""}).ok());  // keeps Bob's key, replaces Alice's
    const auto again = *TrustStore::open(file);
    ASSERT_EQ(again.keys().size(), 2u);
    EXPECT_EQ(again.find(a.fingerprint())->name, "Alice again");
    EXPECT_EQ(again.find(b.fingerprint())->name, "Bob");
    EXPECT_EQ(again.find("nothing"), nullptr);
    ASSERT_TRUE(store->remove(a.fingerprint()).ok());
    EXPECT_EQ(store->remove(a.fingerprint()).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(TrustStore::open(file)->keys().size(), 1u);
}

TEST(TrustStore, RefusesWhatIsNoKeyAndLies) {
    TempDir dir;
    auto store = *TrustStore::open(dir / "k.json");
    EXPECT_FALSE(store.add({"", "x", "no key", ""}).ok());
    EXPECT_FALSE(store.add({std::string(64, 'a'), "x", PrivateKey::generate()->public_key().pem(), ""}).ok());
    ASSERT_TRUE(store.add({"", "x", PrivateKey::generate()->public_key().pem(), ""}).ok());
    std::string text = *read_text_file(dir / "k.json");
    const auto at = text.find("\"fingerprint\": \"") + 16;
    text[at] = text[at] == 'a' ? 'b' : 'a';
    dir.write("k.json", text);
    EXPECT_EQ(TrustStore::open(dir / "k.json").error().code, ErrorCode::kMalformed);
    for (const char* bad : {"", "[]", "{\"version\":1}", "{\"version\":2,\"keys\":[]}", "{\"version\":1,\"keys\":[{}]}"}) {
        EXPECT_FALSE(TrustStore::open(dir.write("bad.json", bad)).ok()) << bad;
    }
    EXPECT_FALSE(TrustStore().add({"", "x", PrivateKey::generate()->public_key().pem(), ""}).ok());
}

TEST(TrustStore, DefaultFileFollowsXdg) {
    const char* before = std::getenv("XDG_CONFIG_HOME");
    const std::string kept = before != nullptr ? before : "";
    setenv("XDG_CONFIG_HOME", "/some/where", 1);
    EXPECT_EQ(TrustStore::default_file(), "/some/where/tenpak/trusted-keys.json");
    setenv("XDG_CONFIG_HOME", "relative", 1);
    EXPECT_TRUE(TrustStore::default_file().string().ends_with("/.config/tenpak/trusted-keys.json"));
    if (before != nullptr) setenv("XDG_CONFIG_HOME", kept.c_str(), 1);
    else unsetenv("XDG_CONFIG_HOME");
}

}  // namespace
}  // namespace tenpak::signing
