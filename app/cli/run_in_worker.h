// SPDX-License-Identifier: Apache-2.0
// A command that runs a model on a GPU runs in a process of its own: only workers open the CUDA module, so that a fault in a
// kernel or the driver ends that process and is reported by this one.
#pragma once
#include <optional>

#include "core/base/error.h"

namespace tenpak::cli {

/// Runs this very command line in a worker process where it names a GPU (--device cuda…) and this is not that worker already.
/// Nothing: the caller goes on itself. A worker that dies by a signal is kWorkerCrashed.
std::optional<Result<int>> run_in_worker(int argc, char** argv);

}  // namespace tenpak::cli
