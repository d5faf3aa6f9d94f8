// SPDX-License-Identifier: Apache-2.0
// The in-toto statement of OpenSSF Model Signing v1.0: which files a model has. Internal to core/signing.
#pragma once
#include <string>
#include <vector>

#include "core/base/block_stream.h"

namespace tenpak::signing {

struct Resource {
    std::string name;  ///< relative path, checked
    Digest sha256{};
    bool operator==(const Resource&) const = default;
};
struct Statement {
    std::string model;                ///< base name of the folder that was signed; informative
    std::vector<Resource> resources;  ///< unique names, in the order in which they are listed
    std::vector<std::string> ignored; ///< paths that verifiers leave out, with all below them
    bool allow_symlinks = false;
};

/// Statement about `files` in code point order of their paths; "model.sig" is the ignored path.
Bytes make_statement(const std::string& model, const std::vector<FileRecord>& files);
/// kMalformed for what breaks OMS v1.0's rules (type, predicate, root digest, names, double names), kUnsupported for
/// shards and for other hashes than SHA-256.
Result<Statement> parse_statement(std::span<const std::byte> payload, const std::string& where);

}  // namespace tenpak::signing
