// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "core/artifact/manifest.h"
#include "core/base/json.h"
#include "tests/fuzz/fuzz_artifact.h"
#include "tests/fuzz/targets.h"

namespace tenpak::fuzz {
namespace {

void check(std::string_view text) {
    const auto m = artifact::parse_manifest(text, "fuzz");
    if (!m.ok()) {
        if (m.error().text().find('\n') != std::string::npos) std::abort();
        return;
    }
    const auto again = artifact::encode_manifest(*m);
    if (!again.ok() || *again != text) std::abort();
    for (const FileRecord& f : m->files) {
        if (!check_relative_path(f.path).ok()) std::abort();
        std::uint64_t sum = 0;
        for (const BlockId id : f.blocks) {
            if (id >= m->blocks.size()) std::abort();
            sum += m->blocks[id].raw_size;
        }
        if (sum != f.size) std::abort();
    }
    for (std::size_t i = 0; i < m->blocks.size(); ++i) {
        if (m->offsets[i] + m->blocks[i].stored_size > m->data_bytes()) std::abort();
    }
}

}  // namespace

void manifest_target(Input input) {
    const std::string_view text = as_text(input);
    check(text);
    // Most mutations break the canonical form first: once more with that repaired, so that the rules behind are reached.
    if (const auto j = parse_json(text, "fuzz"); j.ok()) check(canonical_json(*j));
}

std::vector<std::string> manifest_seeds() {
    const SmallArtifact a;
    return {a.manifest(), "{}"};
}

}  // namespace tenpak::fuzz
