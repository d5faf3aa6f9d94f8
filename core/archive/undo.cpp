// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/archive/known_homes.h"
#include "core/archive/store.h"
#include "core/archive/verify.h"
#include "core/base/partial_directory.h"
#include "core/delta/reconstruct.h"

namespace tenpak::archive {
namespace {

/// The model in place has the recorded files, by hash, and permissions and times. Read from disk.
Status in_place_as_recorded(const Entry& e, bool metadata, const JobContext& ctx) {
    std::string blocker;
    TENPAK_ASSIGN(Tree now, list_tree(e.original, blocker));
    const auto differs = [&](const std::string& what) {
        return make_error(ErrorCode::kMismatch, what, e.original.string(), "The artifact is kept: remove one of the two by hand");
    };
    if (metadata && !now.same_metadata(e.tree)) return differs("the restored model's permissions or times are not as recorded");
    if (now.files.size() != e.tree.files.size()) return differs("the model in place has other files than were archived");
    TENPAK_RETURN_IF_ERROR(hash_tree(e.original, now, "compare", ctx));
    for (std::size_t i = 0; i < now.files.size(); ++i)
        if (now.files[i].path != e.tree.files[i].path || now.files[i].sha256 != e.tree.files[i].sha256) return differs("the model in place is not what was archived: " + now.files[i].path);
    return {};
}

Status rebuild(Entry& e, Journal& journal, const Options& options, const JobContext& ctx) {
    const fs::path partial = e.restore();
    TENPAK_ASSIGN(const auto artifact, Artifact::open(e.artifact));
    TENPAK_ASSIGN(const auto base, open_base(e.base));
    delta::ReconstructOptions r;
    r.threads = options.threads;
    r.verify = delta::Verify::kFull;
    TENPAK_RETURN_IF_ERROR(remove_own_folder(partial));
    TENPAK_ASSIGN(const auto rebuilt, delta::reconstruct(*artifact, base.get(), partial, r, ctx));
    (void)rebuilt;
    step(options, "rebuilt");
    if (e.tree.single_file) {
        const fs::path file = partial / e.tree.files.front().path;
        TENPAK_RETURN_IF_ERROR(restore_metadata(file, e.tree));
        step(options, "metadata");
        TENPAK_RETURN_IF_ERROR(rename_new(file, e.original));
        step(options, "renamed");
        TENPAK_RETURN_IF_ERROR(remove_own_folder(partial));
    } else {
        TENPAK_RETURN_IF_ERROR(restore_metadata(partial, e.tree));
        step(options, "metadata");
        TENPAK_RETURN_IF_ERROR(rename_new(partial, e.original));
        step(options, "renamed");
    }
    (void)journal;
    return {};
}

bool is_within(const fs::path& p, const fs::path& folder) {
    const auto [f, unused] = std::mismatch(folder.begin(), folder.end(), p.begin(), p.end());
    (void)unused;
    return f == folder.end();
}

}  // namespace

Result<std::uint64_t> undo_entry(Entry e, Journal& journal, const Options& options, const JobContext& ctx) {
    std::uint64_t restored = 0;
    if (e.state == State::kBegun) {
        TENPAK_RETURN_IF_ERROR(finish_interrupted(e, journal, options, ctx));
        e = journal.entries().at(e.id);
        if (e.state == State::kClosed) return restored;
    }
    if (e.state == State::kReplacing) TENPAK_RETURN_IF_ERROR(take_back(e, journal, options));
    if (e.state >= State::kStored && e.state <= State::kReplaced) {
        // Everything that can be refused is refused before the first change.
        if (e.state >= State::kRemoving) {
            if (is_there(e.original)) return make_error(ErrorCode::kMismatch, "something is there already", e.original.string(), "Move it away, then run the command again");
            TENPAK_ASSIGN([[maybe_unused]] const auto artifact, verify_entry(e, options.threads, ctx));
            TENPAK_ASSIGN(const std::uint64_t room, free_bytes(e.original.parent_path()));
            if (room < e.tree.bytes())
                return make_error(ErrorCode::kNoSpace, "not enough space on the disk: the model needs " + std::to_string(e.tree.bytes()) + " bytes, " + std::to_string(room) + " are free",
                                  e.original.string(), "Free some space, then run the command again");
        } else if (is_there(e.original)) {
            TENPAK_RETURN_IF_ERROR(in_place_as_recorded(e, false, ctx));
        } else {
            return make_error(ErrorCode::kNotFound, "the original is not in place, and was not removed by this program", e.original.string(),
                              "If it is lost: tenpak delta reconstruct rebuilds it from " + e.artifact.string());
        }
        e.before_undo = e.state;
        e.state = State::kUndoing;
        TENPAK_RETURN_IF_ERROR(journal.record(e));
        step(options, "undoing");
    }
    if (e.state == State::kUndoing) {
        const bool was_removed = e.before_undo >= State::kRemoving;
        // Renamed into place and not yet recorded: what is there then is what was rebuilt.
        if (was_removed && !is_there(e.original)) {
            TENPAK_RETURN_IF_ERROR(rebuild(e, journal, options, ctx));
            restored = e.tree.bytes();
        }
        TENPAK_RETURN_IF_ERROR(in_place_as_recorded(e, was_removed, ctx));
        e.state = State::kRestored;
        TENPAK_RETURN_IF_ERROR(journal.record(e));
        step(options, "restored");
    }
    if (e.state == State::kRestored) {
        if (!is_there(e.original)) return make_error(ErrorCode::kNotFound, "the restored model is gone", e.original.string(), "Its artifact is kept: " + e.artifact.string());
        TENPAK_RETURN_IF_ERROR(remove_tree(e.trash(), e.tree, options.on_step));
        TENPAK_RETURN_IF_ERROR(remove_own_folder(e.restore()));
        TENPAK_RETURN_IF_ERROR(remove_own_folder(PartialDirectory::name_for(e.restore())));
        step(options, "cleaned");
        // Only the artifact that was stored is removed, not one that took its name since.
        if (is_there(e.artifact)) {
            const auto artifact = Artifact::open(e.artifact);
            if (artifact.ok() && manifest_fingerprint(**artifact) == e.manifest_sha256) {
                std::error_code ec;
                fs::remove(e.artifact, ec);
                if (ec) return errno_error("cannot remove", e.artifact.string(), ec.value());
                TENPAK_RETURN_IF_ERROR(fsync_directory(e.artifact.parent_path()));
            }
        }
        step(options, "artifact-removed");
        e.state = State::kClosed;
        TENPAK_RETURN_IF_ERROR(journal.record(e));
        step(options, "closed");
    }
    return restored;
}

Result<UndoReport> undo(const fs::path& what, const Options& options, const JobContext& ctx) {
    try {
        std::error_code ec;
        const fs::path path = fs::weakly_canonical(fs::absolute(what, ec), ec);
        if (ec) return errno_error("cannot resolve", what.string(), ec.value());
        std::vector<fs::path> homes{path};
        for (fs::path p = path; p.has_relative_path(); p = p.parent_path()) homes.push_back(p.parent_path());
        for (const fs::path& h : known_homes(options.known_homes)) homes.push_back(h);
        UndoReport report;
        bool any = false;
        std::vector<fs::path> seen;
        for (const fs::path& home : homes) {
            if (!is_there(home / kJournalName) || std::find(seen.begin(), seen.end(), home) != seen.end()) continue;
            seen.push_back(home);
            const auto wanted = [&](const Entry& e) {
                return e.state != State::kClosed && (home == path || is_within(e.original, path) || is_within(e.artifact, path));
            };
            TENPAK_ASSIGN(const auto known, Journal::read(home));
            if (std::none_of(known.begin(), known.end(), [&](const auto& e) { return wanted(e.second); })) {
                any |= home == path;
                continue;
            }
            TENPAK_ASSIGN(const auto journal, Journal::open(home));
            any = true;
            const std::map<std::string, Entry> entries = journal->entries();
            for (const auto& [id, e] : entries) {
                if (!wanted(e)) continue;
                const bool begun = e.state == State::kBegun;
                const auto bytes = undo_entry(e, *journal, options, ctx);
                if (bytes.ok()) {
                    if (!begun) report.undone.push_back({e.original, e.artifact, *bytes});
                    continue;
                }
                if (bytes.error().code == ErrorCode::kCancelled || bytes.error().code == ErrorCode::kNoSpace) return bytes.error();
                report.failed.push_back({e.original, bytes.error()});
            }
        }
        if (!any) return make_error(ErrorCode::kNotFound, "nothing was archived here", path.string(), "Name the folder that was archived, its store or an artifact");
        return report;
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kInternal, e.what(), what.string());
    }
}

}  // namespace tenpak::archive
