// SPDX-License-Identifier: Apache-2.0
#include "core/artifact/layout.h"

namespace tenpak::artifact {
namespace {

TEST(Placement, PacksTightAndAlignsOnlyLargeRawChunks) {
    Placement p;
    EXPECT_EQ(*p.place("raw", 100), 0u);
    EXPECT_EQ(*p.place("difference", 5), 100u);
    EXPECT_EQ(*p.place("identical", 0), 105u);
    EXPECT_EQ(*p.place("difference", 2 << 20), 105u);  // large, but not raw
    EXPECT_FALSE(p.has_aligned());
    EXPECT_EQ(*p.place("raw", (1 << 20) - 1), 105u + (2 << 20));
    const std::uint64_t end = p.end();
    EXPECT_EQ(*p.place("raw", 1 << 20), align_page(end));
    EXPECT_TRUE(p.has_aligned());
    EXPECT_EQ(p.packs(), std::vector<std::uint64_t>{p.end()});
}

TEST(Placement, PacksEndAtChunksAndBeginOnPages) {
    Placement p;
    std::vector<std::uint64_t> offsets;
    for (int i = 0; i < 100; ++i) offsets.push_back(*p.place("difference", 3'000'001));
    const auto packs = p.packs();
    ASSERT_GT(packs.size(), 3u);
    std::uint64_t begin = 0;
    for (std::size_t i = 0; i + 1 < packs.size(); ++i) {
        EXPECT_EQ(packs[i] % kPage, 0u);
        EXPECT_GE(packs[i], kPackTarget);
        EXPECT_LT(packs[i], kPackTarget + 3'000'001 + kPage);
        begin += packs[i];
        EXPECT_NE(std::find(offsets.begin(), offsets.end(), begin), offsets.end());
    }
    EXPECT_EQ(begin + packs.back(), p.end());
}

TEST(Placement, RefusesWhatIsTooLarge) {
    Placement p;
    EXPECT_FALSE(p.place("raw", kMaxBlock + 1).ok());
    EXPECT_FALSE(p.place("raw", ~std::uint64_t{0}).ok());
    EXPECT_TRUE(p.place("raw", kMaxBlock).ok());
}

Header sample() {
    Header h;
    h.manifest_bytes = 1000;
    h.data_offset = kHeaderBytes + 1000;
    h.data_bytes = 77;
    h.signature_bytes = 5;
    h.model_signature_bytes = 6;
    h.manifest_sha256 = sha256(as_bytes("m"));
    h.signatures_sha256 = sha256(as_bytes("s"));
    return h;
}

TEST(Header, RoundTrip) {
    const Header h = sample();
    const auto b = encode_header(h);
    const auto back = decode_header(b, h.total(), false, "x");
    ASSERT_TRUE(back.ok()) << back.error().text();
    EXPECT_EQ(back->manifest_bytes, 1000u);
    EXPECT_EQ(back->data_offset, 1128u);
    EXPECT_EQ(back->data_bytes, 77u);
    EXPECT_EQ(back->signature_bytes, 5u);
    EXPECT_EQ(back->model_signature_bytes, 6u);
    EXPECT_EQ(back->manifest_sha256, h.manifest_sha256);
    EXPECT_EQ(back->signatures_sha256, h.signatures_sha256);
}

TEST(Header, EveryFlippedBitIsDamage) {
    const Header h = sample();
    const auto good = encode_header(h);
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        auto b = good;
        b[bit / 8] ^= std::byte{1} << (bit % 8);
        const auto r = decode_header(b, h.total(), false, "x");
        ASSERT_FALSE(r.ok()) << bit;
        EXPECT_EQ(r.error().code, ErrorCode::kIntegrity) << bit;
    }
}

TEST(Header, OtherFilesAreNotDamagedArtifacts) {
    Bytes b(500, std::byte{'x'});
    EXPECT_EQ(decode_header(b, 500, false, "x").error().code, ErrorCode::kMalformed);
    EXPECT_EQ(decode_header(b, 500, true, "x.tnpk").error().code, ErrorCode::kIntegrity);
    EXPECT_EQ(decode_header({}, 0, false, "x").error().code, ErrorCode::kMalformed);
    EXPECT_EQ(decode_header({}, 0, true, "x.tnpk").error().code, ErrorCode::kIntegrity);
}

// A forger makes the check value right, too.
TEST(Header, LiesWithARightCheckValueAreRefused) {
    const auto refused = [](auto change, std::uint64_t size = 0) {
        Header h = sample();
        change(h);
        const auto r = decode_header(encode_header(h), size == 0 ? h.total() : size, false, "x");
        return !r.ok() && (r.error().code == ErrorCode::kMalformed || r.error().code == ErrorCode::kIntegrity);
    };
    EXPECT_TRUE(refused([](Header& h) { h.manifest_bytes = ~std::uint64_t{0} - 100; }));
    EXPECT_TRUE(refused([](Header& h) { h.manifest_bytes = kMaxManifest + 1; }));
    EXPECT_TRUE(refused([](Header& h) { h.data_bytes = ~std::uint64_t{0}; }));
    EXPECT_TRUE(refused([](Header& h) { h.signature_bytes = kMaxSignature + 1; }));
    EXPECT_TRUE(refused([](Header& h) { h.data_offset += 1; }));
    EXPECT_TRUE(refused([](Header& h) { h.data_offset = 0; }));
    EXPECT_TRUE(refused([](Header& h) { h.data_bytes += 1; }, sample().total()));
    EXPECT_TRUE(refused([](Header&) {}, sample().total() - 1));
    EXPECT_TRUE(refused([](Header&) {}, sample().total() + 1));
}

TEST(PackName, FourDigitsAndMore) {
    EXPECT_EQ(pack_name(0), "chunks/0000.bin");
    EXPECT_EQ(pack_name(12345), "chunks/12345.bin");
}

}  // namespace
}  // namespace tenpak::artifact
