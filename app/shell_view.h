// SPDX-License-Identifier: GPL-3.0-or-later
// The shell's state (drawer rows, status bar, rail dots) from jobs and project.
#pragma once
#include "app/job_manager.h"
#include "app/project.h"

namespace tenpak::app {

ShellState shellState(const JobManager& jobs, const Project& project);
/// Which page a kind of job belongs to.
enum class JobPage { kDelta, kSweep, kArtifacts };
JobPage pageOfJob(const QString& kind);

}  // namespace tenpak::app
