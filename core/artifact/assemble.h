// SPDX-License-Identifier: Apache-2.0
// Putting the parts of an artifact together on disk, for the writer and for signing anew. Internal to core/artifact.
#pragma once
#include <functional>
#include <map>
#include <string>

#include "core/artifact/artifact.h"
#include "core/artifact/manifest.h"

namespace tenpak::artifact {

using Signatures = std::map<std::string, Bytes, std::less<>>;
/// Fills `out` from an offset of the data area.
using ReadData = std::function<Status(std::uint64_t offset, std::span<std::byte> out)>;
/// Sees what was read back before it is put in place; may be empty.
using Accept = std::function<Status(const Artifact&)>;

/// Runs the signer over the manifest's bytes. kInvalidArgument if scheme and signer do not go together.
Result<Signatures> make_signatures(const Manifest& manifest, std::string_view text, const ArtifactWriter::Signer& signer);

/// Writes the single-file form, reads it back whole, and renames it into place.
Status write_file_form(const fs::path& path, const Manifest& manifest, const std::string& text, const Signatures& signatures,
                       const ReadData& read_data, const Accept& accept, const JobContext& ctx);
/// Writes manifest.json, SHA256SUMS and the signatures into a folder that holds chunks/ already, and reads all back.
Status complete_directory_form(const fs::path& folder, const std::string& text, const Signatures& signatures, const Accept& accept,
                               const JobContext& ctx);

/// Now as RFC 3339 in UTC, or SOURCE_DATE_EPOCH where that is set (reproducible artifacts).
std::string timestamp();

}  // namespace tenpak::artifact
