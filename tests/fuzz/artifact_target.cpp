// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "core/artifact/layout.h"
#include "core/artifact/manifest.h"
#include "core/base/json.h"
#include "core/signing/signing.h"
#include "tests/fuzz/fuzz_artifact.h"
#include "tests/fuzz/targets.h"

namespace tenpak::fuzz {
namespace {

/// Everything that a reader does with a file somebody sent.
void open_and_read(std::span<const std::byte> bytes) {
    const MemoryFile file(bytes);
    const auto a = Artifact::open(file.path());
    if (!a.ok()) {
        if (a.error().what.empty() || a.error().text().find('\n') != std::string::npos) std::abort();
        return;
    }
    const auto intact = (*a)->check_intact({});
    for (BlockId id = 0; id < (*a)->blocks().size(); ++id) {
        const auto b = (*a)->read_block(id);
        if (intact.ok() && (!b.ok() || b->size() != (*a)->blocks()[id].stored_size)) std::abort();
    }
    (void)(*a)->tensors();
    for (const FileRecord& f : (*a)->files()) (void)(*a)->read_side_file(f.path);
    if (!diff(**a, **a).same_content) std::abort();
    (void)signing::check_signature(**a, {});
    (void)unpacked_view(*a);
}

/// A file around `manifest` whose header is right: a forger's.
Bytes with_right_header(std::string_view manifest, std::span<const std::byte> data, std::span<const std::byte> signature, bool aligned) {
    artifact::Header h;
    h.manifest_bytes = manifest.size();
    h.data_offset = artifact::kHeaderBytes + manifest.size();
    if (aligned) h.data_offset = artifact::align_page(h.data_offset);
    h.data_bytes = data.size();
    h.signature_bytes = signature.size();
    h.manifest_sha256 = sha256(as_bytes(manifest));
    h.signatures_sha256 = sha256(signature);
    const auto head = artifact::encode_header(h);
    Bytes out(head.begin(), head.end());
    out.insert(out.end(), as_bytes(manifest).begin(), as_bytes(manifest).end());
    out.resize(h.data_offset);
    out.insert(out.end(), data.begin(), data.end());
    out.insert(out.end(), signature.begin(), signature.end());
    return out;
}

}  // namespace

void artifact_target(Input input) {
    open_and_read(input);
    // The same input taken apart as "manifest, data, signature" by what its header says (or says now), under a right header.
    if (input.size() < artifact::kHeaderBytes + 2) return;
    const auto rest = input.subspan(artifact::kHeaderBytes);
    const std::string_view text = as_text(rest);
    const std::size_t end = text.find("\"version\":1}");
    if (end == text.npos) return;
    std::string manifest(text.substr(0, end + 12));
    if (const auto j = parse_json(manifest, "fuzz"); j.ok()) manifest = canonical_json(*j);
    const auto m = artifact::parse_manifest(manifest, "fuzz");
    const auto tail = rest.subspan(end + 12);
    const std::size_t data = m.ok() ? std::min<std::size_t>(tail.size(), m->data_bytes()) : tail.size() / 2;
    open_and_read(with_right_header(manifest, tail.first(data), tail.subspan(data), m.ok() && m->has_aligned()));
}

std::vector<std::string> artifact_seeds() {
    const SmallArtifact a;
    return {a.bytes()};
}

}  // namespace tenpak::fuzz
