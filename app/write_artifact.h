// SPDX-License-Identifier: GPL-3.0-or-later
// Worker-thread steps that compressing a delta and exporting a sweep's winner share: write blocks into a .tnpk, sign it,
// read it back, rebuild it in memory and compare. No Qt objects; free of the UI thread.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/artifact/artifact.h"
#include "core/delta/compress.h"
#include "core/signing/signing.h"

namespace tenpak::app {

/// What is known of each tensor while blocks are written.
struct WrittenTensor {
    std::uint64_t raw_bytes = 0, stored_bytes = 0;
    std::map<std::string, std::uint64_t> methods;  ///< raw bytes by delta::method_of
    /// That of most of its bytes; empty before the first block.
    std::string method() const;
};
struct WriteProgress {
    std::uint64_t raw_bytes = 0, stored_bytes = 0;
    std::map<std::string, WrittenTensor> tensors;
};

struct WriteRequest {
    std::string path;
    bool folder = false;
    signing::SigningKey key;   ///< nothing set: not signed
    std::string model_id;      ///< stands in the signature
    bool rebuild_and_compare = true;
    /// Whose tensors they are: small ones share a block, and its bytes are theirs in parts. Null: they count for the first of them.
    std::shared_ptr<const ModelDirectory> model;
    /// Not empty: the weights are those of a quantized model; the artifact says so ("lossy by design").
    std::string candidate;
};
struct WriteOutcome {
    std::shared_ptr<const Artifact> artifact;
    delta::CompressReport report;
    std::uint64_t files_compared = 0;  ///< 0: not rebuilt; all of them were equal, else it is an error
    double compare_seconds = 0;
};

using FillSink = std::function<Result<delta::CompressReport>(BlockSink& sink)>;
/// `base` for the comparison; may be null where the blocks need none. Nothing is left at `path` on failure.
/// on_progress: at most every 100 ms, from this thread.
Result<WriteOutcome> write_artifact(const WriteRequest& request, const FillSink& fill, const ModelSource* base,
                                    const std::function<void(const WriteProgress&)>& on_progress, const JobContext& ctx);

}  // namespace tenpak::app
