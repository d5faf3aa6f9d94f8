// SPDX-License-Identifier: Apache-2.0
#include "core/base/hash.h"

#include <gtest/gtest.h>

#include "core/base/file.h"

using namespace tenpak;

TEST(Hash, KnownAnswers) {
    EXPECT_EQ(to_hex(sha256(as_bytes("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-2
    EXPECT_EQ(to_hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    Sha256 h;
    h.update(as_bytes("a"));
    h.update(as_bytes("bc"));
    const Digest d = h.finish();
    EXPECT_EQ(d, sha256(as_bytes("abc")));
    EXPECT_EQ(h.finish(), sha256({}));
    EXPECT_EQ(xxh3_64({}), 0x2d06800538d394c2ull);  // XXH3_64bits of nothing, from the xxHash specification
    EXPECT_EQ(*digest_from_hex(to_hex(d)), d);
    EXPECT_FALSE(digest_from_hex("BA" + to_hex(d).substr(2)).has_value());
    EXPECT_FALSE(digest_from_hex("ab").has_value());
}
