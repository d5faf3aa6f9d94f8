// SPDX-License-Identifier: Apache-2.0
// A small signed artifact as a seed, and files in memory.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "core/artifact/artifact.h"
#include "core/signing/ec_key.h"
#include "core/signing/bundle.h"
#include "core/signing/statement.h"
#include "tests/support/temp_dir.h"

namespace tenpak::fuzz {

/// A file that lives in memory, under a path that can be opened.
class MemoryFile {
   public:
    explicit MemoryFile(std::span<const std::byte> bytes) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
        if (fd_ < 0 || (!bytes.empty() && ::write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))) std::abort();
    }
    ~MemoryFile() { ::close(fd_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;
    fs::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

   private:
    int fd_;
};

class SmallArtifact {
   public:
    SmallArtifact() {
        const auto key = signing::PrivateKey::generate();
        auto w = ArtifactWriter::create(dir_ / "a.tnpk", {ArtifactForm::kFile, "ecdsa-p256", {}});
        if (!key.ok() || !w.ok()) std::abort();
        const std::string text = "{\"model_type\":\"llama\"}", stored = "stored bytes", raw(300, 'r');
        FileRecord f;
        f.path = "config.json";
        f.size = text.size();
        f.sha256 = sha256(as_bytes(text));
        f.blocks = {add(**w, "config.json#0", "raw", text, text, false)};
        FileRecord g;
        g.path = "sub/model.bin";
        g.size = raw.size();
        g.sha256 = sha256(as_bytes(raw));
        g.blocks = {add(**w, "model.norm.weight#0", "difference", stored, raw, true)};
        ModelRecord m{"small", "delta", true, BaseRecord{"base", "rev", {{"model.norm.weight", sha256(as_bytes("b"))}}, {}}, {{"tool", "fuzz"}}};
        if (!(*w)->add_file(f).ok() || !(*w)->add_file(g).ok() || !(*w)->set_model(m).ok()) std::abort();
        const auto a = (*w)->finish([&](std::string_view manifest, const std::vector<FileRecord>& files) -> Result<std::vector<std::pair<std::string, Bytes>>> {
            TENPAK_ASSIGN(Bytes s, signing::sign_bundle(*key, signing::kManifestType, as_bytes(manifest), true));
            TENPAK_ASSIGN(Bytes t, signing::sign_bundle(*key, signing::kStatementType, signing::make_statement("small", files), false));
            std::vector<std::pair<std::string, Bytes>> out;
            out.emplace_back("signature.sig", std::move(s));
            out.emplace_back("model.sig", std::move(t));
            return out;
        }, {});
        if (!a.ok()) std::abort();
        artifact_ = *a;
    }
    std::string manifest() const { return std::string(artifact_->manifest_bytes()); }
    std::string bytes() const { return *read_text_file(dir_ / "a.tnpk"); }
    std::string signature(const char* name) const { return std::string(as_text(*artifact_->read_signature(name))); }

   private:
    static BlockId add(ArtifactWriter& w, const std::string& name, const std::string& codec, const std::string& stored, const std::string& raw, bool base) {
        BlockInfo b;
        b.name = name;
        b.codec = codec;
        b.stored_size = stored.size();
        b.stored_sha256 = sha256(as_bytes(stored));
        b.raw_size = raw.size();
        b.raw_sha256 = sha256(as_bytes(raw));
        b.raw_xxh3 = xxh3_64(as_bytes(raw));
        if (base) b.base = {BaseRange{"model.norm.weight", 0, raw.size()}};
        const auto id = w.add_block(b, as_bytes(stored));
        if (!id.ok()) std::abort();
        return *id;
    }
    test::TempDir dir_;
    std::shared_ptr<const Artifact> artifact_;
};

}  // namespace tenpak::fuzz
