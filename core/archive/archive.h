// SPDX-License-Identifier: Apache-2.0
// Archiving the fine-tunes of folders as deltas of their bases, and undoing it. What frees the disk must never lose a
// model: at any instruction at which the process may die, each model is in place untouched, or is in an artifact that
// was rebuilt and compared (README.md has the order of steps and the journal that makes a rerun go on).
// One run at a time works on a home folder (its journal is locked). Functions are not thread-safe among each other.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/job_context.h"

namespace tenpak::archive {

struct Options {
    std::vector<fs::path> folders;  ///< looked through for models; each may be a model itself
    fs::path store;                 ///< where artifacts and journal go; empty: beside each model, journal in its folder
    bool replace = false;           ///< remove originals once their artifact was verified twice
    double min_saving = 10;         ///< percent; what saves less stays as it is
    unsigned threads = 0;           ///< 0: usable_cpus()
    fs::path known_homes;           ///< file that lists all folders with journals, so that no base of another archive goes; may be empty
    std::function<void(const char* step)> on_step = {};  ///< test seam: called between any two changes on disk
};

struct FoundModel {
    fs::path path;             ///< folder or .safetensors file
    std::uint64_t bytes = 0;   ///< all files
    std::uint64_t weights = 0;
    std::string keep;          ///< why it cannot be archived and may only be a base; empty where it can
};
struct PlannedDelta {
    fs::path fine_tune, base, artifact;
    fs::path home;             ///< folder of the journal
    std::uint64_t raw_bytes = 0;
    double estimated_bytes = 0, low = 0, high = 0;  ///< 95 % range (delta::estimate)
    std::string reason;        ///< why this base
};
struct Skipped {
    fs::path path;
    std::string reason;
};
struct Plan {
    std::vector<FoundModel> models;
    std::vector<PlannedDelta> deltas;
    std::vector<Skipped> skipped;
};

struct Done {
    fs::path fine_tune, artifact, base;
    std::uint64_t raw_bytes = 0, stored_bytes = 0, freed_bytes = 0;  ///< freed: of originals removed, by this run or an earlier one
    bool verified = false, replaced = false, earlier = false;        ///< earlier: an earlier run compressed it
};
struct Failure {
    fs::path path;
    Error error;
};
struct Report {
    Plan plan;
    std::vector<Done> done;
    std::vector<Failure> failed;  ///< these models are as they were; the others were gone on with
    std::uint64_t raw_bytes = 0, stored_bytes = 0, freed_bytes = 0;  ///< of all that is done
};

/// Reads only: what would be archived, against which base and why, how large. Models that are archived already are left
/// out. Errors: kNotFound and kPermission for a folder, kInvalidArgument, kCancelled.
Result<Plan> make_plan(const Options& options, const JobContext& ctx);

/// Finishes what an interrupted run left, then plans, stores, verifies and (options.replace) removes originals.
/// `on_plan` sees the plan before work begins. What fails for one model alone is in Report::failed. Errors: those of
/// make_plan; kNoSpace (before anything is written where it can be foreseen); kPermission where another run is at work.
Result<Report> archive(const Options& options, const std::function<void(const Plan&)>& on_plan, const JobContext& ctx);

struct Undone {
    fs::path fine_tune, artifact;
    std::uint64_t restored_bytes = 0;  ///< 0 where the original was still in place
};
struct UndoReport {
    std::vector<Undone> undone;
    std::vector<Failure> failed;  ///< their artifacts are kept
};
/// Puts models back as they were, files, permissions and times, and then removes their artifacts. `what`: a folder with a
/// journal, a folder or model that was archived, or an artifact. kNotFound where no journal knows of it. Of `options`
/// only threads, known_homes and on_step are used. A changed base or damaged artifact is in `failed` (kWrongBase, kIntegrity).
Result<UndoReport> undo(const fs::path& what, const Options& options, const JobContext& ctx);

}  // namespace tenpak::archive
