// SPDX-License-Identifier: Apache-2.0
#include "core/delta/container_cost.h"

#include "core/base/json.h"

namespace tenpak::delta {

namespace {

constexpr std::uint64_t kHeaderBytes = 128;
constexpr std::uint64_t kHexDigest = 64, kHexXxh3 = 16;

std::uint64_t digits(std::uint64_t v) { return std::to_string(v).size(); }
/// With its quotes.
std::uint64_t quoted_length(std::string_view s) { return canonical_json(Json(s)).size(); }
constexpr std::uint64_t length(std::string_view s) { return s.size(); }

}  // namespace

std::uint64_t block_entry_bytes(const PlannedBlock& block, std::string_view codec, std::uint64_t stored, std::uint64_t offset, bool with_base) {
    std::uint64_t n = length(R"({"codec":,"name":,"offset":,"raw_sha256":"","raw_size":,"raw_xxh3":"","sha256":"","size":},)");
    n += codec.size() + 2 + quoted_length(block.name) + digits(offset) + kHexDigest + digits(block.size) + kHexXxh3 + kHexDigest + digits(stored);
    if (with_base) n += length(R"("base":{},)") + (block.tensor_offset > 0 ? length(R"("offset":)") + digits(block.tensor_offset) : 0);
    return n;
}

std::uint64_t base_entry_bytes(std::string_view tensor) { return quoted_length(tensor) + length(R"(:"",)") + kHexDigest; }

std::uint64_t container_frame_bytes(const BlockPlan& plan, const ModelDirectory& model, const ModelSource* base) {
    std::uint64_t n = kHeaderBytes + length(R"({"attestation":{"mode":"lossless","tool":"tenpak 0.1.0"},"base":null,"chunks":[],"codec":"delta","created":"2026-01-01T00:00:00Z",)"
                                           R"("files":[],"lossless":true,"model_id":,"packs":[12345678],"signature":{"file":"","scheme":"none"},"version":1})");
    n += quoted_length(model.id());
    if (base != nullptr) n += length(R"({"id":,"revision":"","tensors":{}})") + quoted_length(base->id()) - length("null");
    for (std::size_t f = 0; f < model.files().size(); ++f) {
        const ModelFile& file = model.files()[f];
        n += length(R"({"chunks":[],"path":,"sha256":"","size":},)") + quoted_length(file.path) + kHexDigest + digits(file.size);
        if (file.executable) n += length(R"("executable":true,)");
        for (const std::uint32_t b : plan.of_file[f]) n += digits(b) + 1;
    }
    return n;
}

}  // namespace tenpak::delta
