// SPDX-License-Identifier: Apache-2.0
// Removing an original. The order is what makes it safe: rename (one instant, reversible), read the artifact back and
// compare, record, and only then remove.
#include "core/archive/store.h"
#include "core/archive/verify.h"

namespace tenpak::archive {

Status take_back(Entry& e, Journal& journal, const Options& options) {
    if (is_there(e.trash())) TENPAK_RETURN_IF_ERROR(rename_new(e.trash(), e.original));
    step(options, "taken-back");
    e.state = State::kStored;
    return journal.record(e);
}

Status replace_original(Entry e, Journal& journal, bool needed, const Options& options, const JobContext& ctx) {
    const fs::path trash = e.trash();
    // Interrupted while it removed: the artifact is all that holds the model, and is looked at once more before the rest goes.
    if (e.state == State::kRemoving) {
        TENPAK_ASSIGN([[maybe_unused]] const auto artifact, verify_entry(e, options.threads, ctx));
    }
    if (e.state == State::kStored) {
        if (needed) return make_error(ErrorCode::kInvalidArgument, "another archived model needs this one as its base: it stays", e.original.string());
        if (!is_there(e.base)) return make_error(ErrorCode::kWrongBase, "the base is gone: the original stays", e.base.string(), "Put the base back");
        std::string blocker;
        TENPAK_ASSIGN(Tree now, list_tree(e.original, blocker));
        if (!blocker.empty()) return make_error(ErrorCode::kUnsupported, "the original stays: " + blocker, e.original.string());
        if (!now.same_metadata(e.tree))
            return make_error(ErrorCode::kMismatch, "the model has changed since it was archived: it stays", e.original.string(), "Remove its artifact to archive it anew");
        e.state = State::kReplacing;
        TENPAK_RETURN_IF_ERROR(journal.record(e));
        step(options, "replacing");
    }
    if (e.state == State::kReplacing) {
        if (!is_there(trash)) {
            if (!is_there(e.original)) return make_error(ErrorCode::kNotFound, "the original is neither in place nor under its trash name", e.original.string(), "tenpak delta archive --undo rebuilds it");
            TENPAK_RETURN_IF_ERROR(rename_new(e.original, trash));
        }
        step(options, "trashed");
        const Status verified = [&]() -> Status {
            std::string blocker;  // what was written into it in between came along with the rename
            TENPAK_ASSIGN(const Tree now, list_tree(trash, blocker));
            const TreeFile &was = e.tree.files.front(), &is = now.files.front();
            const bool same = e.tree.single_file ? now.single_file && is.size == was.size && is.mtime_ns == was.mtime_ns : now.same_metadata(e.tree);
            if (!blocker.empty() || !same)
                return make_error(ErrorCode::kMismatch, "the model changed while it was being archived: it stays", e.original.string());
            TENPAK_ASSIGN(const auto artifact, verify_entry(e, options.threads, ctx));
            (void)artifact;
            e.freed_bytes = 0;  // a file with another name elsewhere frees nothing
            for (const TreeFile& f : now.files) e.freed_bytes += f.links == 1 ? f.size : 0;
            return {};
        }();
        if (!verified.ok()) {
            TENPAK_RETURN_IF_ERROR(take_back(e, journal, options));
            return verified;
        }
        step(options, "reverified");
        e.state = State::kRemoving;
        TENPAK_RETURN_IF_ERROR(journal.record(e));
        step(options, "removing");
    }
    if (e.state == State::kRemoving) {
        TENPAK_RETURN_IF_ERROR(remove_tree(trash, e.tree, options.on_step));
        step(options, "removed");
        e.state = State::kReplaced;
        TENPAK_RETURN_IF_ERROR(journal.record(e));
        step(options, "replaced");
    }
    return {};
}

}  // namespace tenpak::archive
