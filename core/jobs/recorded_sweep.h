// SPDX-License-Identifier: Apache-2.0
// A finished sweep as one JSON file (`tenpak optimize --record`): what the sample project carries. Read back, every trial
// says "recorded", with the device and the time it was measured on.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/jobs/sweep.h"
#include "core/optimizer/trial.h"

namespace tenpak::jobs {

struct RecordedSweep {
    /// As it was run, but with file names in place of absolute paths: a record travels.
    SweepSpec spec;
    optimizer::Limits limits;
    std::string hardware;     ///< id in the price table
    std::string device;       ///< "CPU, 2 cores, AVX-512 VNNI, AMX"
    std::string recorded_at;  ///< RFC 3339, UTC
    std::string program;      ///< "tenpak 0.1.0"
    std::vector<optimizer::Trial> trials;
};
/// Fills device, recorded_at and program from the trials, the clock and this program; refuses (kInvalidArgument) a sweep
/// without a finished trial. Writes atomically.
Status save_recorded_sweep(const std::filesystem::path& path, RecordedSweep sweep);
/// All trials have Provenance::kRecorded.
Result<RecordedSweep> load_recorded_sweep(const std::filesystem::path& path);

}  // namespace tenpak::jobs
