// SPDX-License-Identifier: Apache-2.0
// `tenpak worker`: one trial in a process of its own. Protocol: JSON lines over a socketpair handed down as a file
// descriptor (stdout stays free), version handshake, heartbeat every second, cancel message -> SIGTERM -> SIGKILL,
// PR_SET_PDEATHSIG. A CUDA fault or an out-of-memory kill ends one trial and not the caller.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/jobs/sweep.h"
#include "core/optimizer/trial.h"

namespace tenpak::jobs {

inline constexpr int kWorkerProtocol = 1;

/// What hardware there is, as `tenpak worker --probe` prints it.
struct HardwareInfo {
    std::string cpu, instruction_sets;
    unsigned cores = 0;
    std::uint64_t memory_bytes = 0;
    bool gpu = false;
    std::string gpu_name, gpu_reason;  ///< reason when there is none: "no NVIDIA driver found: running on the CPU"
    std::uint64_t gpu_memory_bytes = 0;
    std::string gpu_architecture;   ///< compute capability, "9.0"
    int gpu_driver = 0;             ///< CUDA version of the driver, 13000 is 13.0
    struct Gpu {
        std::string name, architecture;
        std::uint64_t memory_bytes = 0, free_bytes = 0;
    };
    std::vector<Gpu> gpus;          ///< every device, in the order of cuda:0, cuda:1 …; also where `gpu` is false by the self-test
    double gpu_copy_bandwidth = 0;  ///< bytes/s read plus written by a copy kernel, measured by the probe
    /// "CPU, 2 cores, AVX-512 VNNI, AMX · no NVIDIA driver"
    std::string summary() const;
};
/// Asks a worker process (never opens CUDA in this one).
Result<HardwareInfo> probe_hardware(const std::filesystem::path& worker_program);

/// The same, in this process: what `tenpak worker --probe` does. Opens the CUDA module where there is a driver.
HardwareInfo probe_this_process();
/// With --probe --json; probe_hardware() reads it back.
std::string hardware_to_json(const HardwareInfo& info);
Result<HardwareInfo> hardware_from_json(const std::string& json, const std::string& where);

/// Runs one trial in a worker, in the calling thread, which must live that long (the worker dies with it). Progress
/// arrives as Trial values through on_update, on the calling thread, at most 20 times a second. `baseline_nll`: fp16's
/// window_nll, empty for fp16 itself. Errors: kWorkerCrashed (with signal or exit code), kOutOfMemory, kTimeout (no
/// heartbeat), kCancelled (within 200 ms, the worker is gone when this returns), the trial's own.
Result<optimizer::Trial> run_trial(const SweepSpec& spec, const std::string& candidate, const std::vector<double>& baseline_nll,
                                   const SweepOptions& options, const std::function<void(const optimizer::Trial&)>& on_update,
                                   const JobContext& ctx);

/// main() of the worker process: serves one trial over descriptor `fd`. Returns the exit status. Takes the process over:
/// signals, PR_SET_PDEATHSIG. `parent`: pid of the process that must live, 0 for whichever is the parent.
int worker_main(int fd, int parent = 0);

}  // namespace tenpak::jobs
