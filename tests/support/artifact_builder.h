// SPDX-License-Identifier: Apache-2.0
// Small artifacts made without the delta engine: raw blocks, and blocks of codecs that nobody decodes.
#pragma once
#include <gtest/gtest.h>

#include "core/artifact/artifact.h"

namespace tenpak::test {

inline BlockInfo raw_block(const std::string& name, std::string_view data) {
    BlockInfo b;
    b.name = name;
    b.codec = "raw";
    b.stored_size = b.raw_size = data.size();
    b.stored_sha256 = b.raw_sha256 = sha256(as_bytes(data));
    b.raw_xxh3 = xxh3_64(as_bytes(data));
    return b;
}
inline BlockInfo coded_block(const std::string& name, const std::string& codec, std::string_view stored, std::string_view raw) {
    BlockInfo b = raw_block(name, raw);
    b.codec = codec;
    b.stored_size = stored.size();
    b.stored_sha256 = sha256(as_bytes(stored));
    return b;
}

/// Adds a file of raw blocks, each of `block` bytes at most.
inline void add_raw_file(BlockSink& sink, const std::string& path, const std::string& data, std::size_t block = 100) {
    FileRecord f;
    f.path = path;
    f.size = data.size();
    f.sha256 = sha256(as_bytes(data));
    for (std::size_t at = 0; at < data.size(); at += block) {
        const std::string part = data.substr(at, block);
        const auto id = sink.add_block(raw_block(path + "#" + std::to_string(at / block), part), as_bytes(part));
        ASSERT_TRUE(id.ok()) << id.error().text();
        f.blocks.push_back(*id);
    }
    ASSERT_TRUE(sink.add_file(f).ok());
}

/// Two side files, one file with a predicted block, an identical one and a base: some 3 kB.
inline void fill_small(BlockSink& sink) {
    add_raw_file(sink, "config.json", "{\"model_type\":\"llama\"}\n");
    std::string text;
    for (int i = 0; i < 400; ++i) text += static_cast<char>('a' + i * i % 26);
    add_raw_file(sink, "sub/notes.txt", text, 150);
    const std::string raw(1000, 'w'), stored = "coded bytes of a predicted block";
    BlockInfo predicted = coded_block("model.layers.0.w#0", "difference", stored, raw);
    predicted.base = {BaseRange{"model.layers.0.w", 0, 1000}};
    BlockInfo same = coded_block("model.norm.w#0", "identical", "", std::string(64, 'n'));
    same.base = {BaseRange{"old.norm", 16, 64}};
    FileRecord f;
    f.path = "weights.bin";
    f.size = 1064;
    f.sha256 = sha256(as_bytes(raw + std::string(64, 'n')));
    f.executable = true;
    f.blocks = {*sink.add_block(predicted, as_bytes(stored)), *sink.add_block(same, {})};
    ASSERT_TRUE(sink.add_file(f).ok());
    ModelRecord m;
    m.model_id = "small";
    m.codec = "delta";
    m.base = BaseRecord{"base", "abc", {{"model.layers.0.w", sha256(as_bytes("x"))}, {"old.norm", sha256(as_bytes("y"))}}, {}};
    m.attestation = {{"tool", "test"}};
    ASSERT_TRUE(sink.set_model(m).ok());
}

inline std::shared_ptr<const Artifact> write_small(const fs::path& path, ArtifactForm form, const std::string& scheme = "none",
                                                   const ArtifactWriter::Signer& signer = {}) {
    auto w = ArtifactWriter::create(path, {form, scheme});
    if (!w.ok()) {
        ADD_FAILURE() << w.error().text();
        return nullptr;
    }
    fill_small(**w);
    auto a = (*w)->finish(signer, {});
    if (!a.ok()) {
        ADD_FAILURE() << a.error().text();
        return nullptr;
    }
    return *a;
}

/// Open and read all: the error that a user would see, or nothing.
inline std::optional<Error> damage(const fs::path& path) {
    auto a = Artifact::open(path);
    if (!a.ok()) return a.error();
    auto i = (*a)->check_intact({});
    if (!i.ok()) return i.error();
    return std::nullopt;
}

}  // namespace tenpak::test
