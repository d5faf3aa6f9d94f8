// SPDX-License-Identifier: Apache-2.0
// An unmerged adapter merged into its base on disk, as PEFT's merge_and_unload and save_pretrained would leave it.
#pragma once
#include "core/base/job_context.h"
#include "core/tensor/peft_adapter.h"

namespace tenpak::delta {

struct MergeReport {
    std::uint64_t bytes_written = 0, files = 0, modules = 0;
    double seconds = 0;
};
/// Writes the base's files into a new folder `out`, its weights with the adapter merged in (merge_lora has the arithmetic).
/// Nothing is left behind on failure. Memory is bounded by some blocks. kMismatch where the adapter does not fit.
Result<MergeReport> merge_adapter(std::shared_ptr<const ModelDirectory> base, std::shared_ptr<const PeftAdapter> adapter, const fs::path& out, const JobContext& ctx);

}  // namespace tenpak::delta
