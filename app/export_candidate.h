// SPDX-License-Identifier: GPL-3.0-or-later
// Quantize, write a directory in one of the layouts that serving engines load, pack it as a .tnpk, sign, read back: one worker-thread function, no Qt.
#pragma once
#include <string>

#include "app/write_artifact.h"

namespace tenpak::app {

/// `name`: a candidate of core/quant; fp16 packs the model as it is. `layout`: of core/quant/export_layout.h, a folder's; empty: the
/// one that most engines load. Scratch space is beside the output and always removed.
Result<WriteOutcome> export_candidate(const std::string& name, const std::string& layout, const fs::path& model_path, const WriteRequest& request, const JobContext& ctx);

}  // namespace tenpak::app
