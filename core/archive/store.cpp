// SPDX-License-Identifier: Apache-2.0
#include "core/archive/store.h"

#include <fcntl.h>

#include <map>

#include "core/archive/verify.h"
#include "core/delta/compress.h"
#include "core/delta/reconstruct.h"

namespace tenpak::archive {

bool is_there(const fs::path& p) {
    std::error_code ec;
    return fs::exists(fs::symlink_status(p, ec));
}

Status holds_tree(const BlockSource& artifact, const Tree& tree) {
    std::map<std::string, const FileRecord*> held;
    for (const FileRecord& f : artifact.files()) held[f.path] = &f;
    const auto differs = [](const std::string& what, const std::string& path) {
        return make_error(ErrorCode::kMismatch, what, path, "The original is kept: archive it again when nothing writes there");
    };
    for (const TreeFile& f : tree.files) {
        if (f.extra) continue;
        const auto it = held.find(f.path);
        if (it == held.end()) return differs("a file is not in the artifact", f.path);
        if (it->second->size != f.size || it->second->sha256 != f.sha256) return differs("the artifact's file is not the original's", f.path);
        held.erase(it);
    }
    if (!held.empty()) return differs("the artifact holds a file that the original does not have", held.begin()->first);
    return {};
}

std::string base_fingerprint(const Artifact& artifact) {
    Sha256 h;
    if (const auto& base = artifact.model().base) {
        for (const auto* list : {&base->tensors, &base->files})
            for (const auto& [name, digest] : *list) h.update(as_bytes(name + '\n' + to_hex(digest) + '\n'));
    }
    return to_hex(h.finish());
}
std::string manifest_fingerprint(const Artifact& artifact) { return to_hex(sha256(as_bytes(artifact.manifest_bytes()))); }

Result<std::shared_ptr<const ModelSource>> open_base(const fs::path& base) {
    if (!is_there(base)) return make_error(ErrorCode::kWrongBase, "the base is gone", base.string(), "Put it back there: nothing was changed");
    auto model = open_model(base);
    if (model.ok()) return model;
    Error e = std::move(model).error();
    if (e.code == ErrorCode::kMalformed || e.code == ErrorCode::kUnsupported || e.code == ErrorCode::kNotFound) e.code = ErrorCode::kWrongBase;
    return e;
}

Result<std::shared_ptr<const Artifact>> verify_entry(const Entry& entry, unsigned threads, const JobContext& ctx) {
    if (!is_there(entry.artifact)) return make_error(ErrorCode::kIntegrity, "the artifact is gone", entry.artifact.string(), "Put it back there: nothing was changed");
    if (const auto file = File::open(entry.artifact); file.ok()) (void)::posix_fadvise(file->fd(), 0, 0, POSIX_FADV_DONTNEED);
    TENPAK_ASSIGN(auto artifact, Artifact::open(entry.artifact));
    if (manifest_fingerprint(*artifact) != entry.manifest_sha256)
        return make_error(ErrorCode::kIntegrity, "another artifact than the one that was stored", entry.artifact.string(), "Put the recorded one back: nothing was changed");
    TENPAK_RETURN_IF_ERROR(holds_tree(*artifact, entry.tree));
    TENPAK_ASSIGN(const auto intact, artifact->check_intact(ctx));
    (void)intact;
    TENPAK_ASSIGN(const auto base, open_base(entry.base));
    delta::ReconstructOptions options;
    options.threads = threads;
    TENPAK_ASSIGN(const auto rebuilt, delta::verify_rebuild(*artifact, base.get(), options, ctx));
    (void)rebuilt;
    return artifact;
}

Result<Entry> store_model(const PlannedDelta& d, Journal& journal, const Options& options, const JobContext& ctx) {
    TENPAK_ASSIGN(const auto base, open_model(d.base));
    TENPAK_ASSIGN(const auto model, ModelDirectory::open(d.fine_tune));
    if (is_there(d.artifact)) return make_error(ErrorCode::kInvalidArgument, "something is there already", d.artifact.string(), "Move it away, or choose another folder with -o");
    Entry e;
    e.id = new_entry_id();
    e.original = d.fine_tune;
    e.artifact = d.artifact;
    e.base = d.base;
    std::string blocker;
    TENPAK_ASSIGN(e.tree, list_tree(d.fine_tune, blocker));
    TENPAK_RETURN_IF_ERROR(journal.record(e));
    step(options, "begun");
    const auto give_up = [&](Error error) -> Error {
        e.state = State::kClosed;
        (void)journal.record(e).ok();  // an entry that stays begun is finished by the next run
        return error;
    };
    ArtifactOptions artifact_options;
    artifact_options.accept = [&](const Artifact& written) -> Status {
        step(options, "written");
        if (const auto file = File::open(written.path()); file.ok()) (void)::posix_fadvise(file->fd(), 0, 0, POSIX_FADV_DONTNEED);
        delta::ReconstructOptions r;
        r.threads = options.threads;
        TENPAK_ASSIGN(const auto rebuilt, delta::verify_rebuild(written, base.get(), r, ctx));
        (void)rebuilt;
        TENPAK_RETURN_IF_ERROR(hash_tree(d.fine_tune, e.tree, "compare", ctx));
        TENPAK_RETURN_IF_ERROR(holds_tree(written, e.tree));
        step(options, "compared");
        return {};
    };
    auto writer = ArtifactWriter::create(d.artifact, artifact_options);
    if (!writer.ok()) return give_up(std::move(writer).error());
    delta::CompressOptions compress;
    compress.threads = options.threads;
    auto compressed = delta::compress(*base, *model, **writer, compress, ctx);
    if (!compressed.ok()) {
        writer->reset();
        return give_up(std::move(compressed).error());
    }
    step(options, "compressed");
    auto artifact = (*writer)->finish({}, ctx);
    if (!artifact.ok()) {
        writer->reset();
        return give_up(std::move(artifact).error());
    }
    step(options, "in-place");
    e.state = State::kStored;
    e.stored_bytes = (*artifact)->stored_bytes();
    e.manifest_sha256 = manifest_fingerprint(**artifact);
    e.base_sha256 = base_fingerprint(**artifact);
    TENPAK_RETURN_IF_ERROR(journal.record(e));
    step(options, "stored");
    return e;
}

namespace {

/// A run ended between begun and stored. The artifact, where it is in place, was compared already; whether it still is the
/// original's is looked at anew, as the original may have changed since.
Status finish_begun(Entry e, Journal& journal, const Options& options, const JobContext& ctx) {
    fs::path data = e.artifact;
    data += ".data";
    remove_stale_temporaries(e.artifact);
    remove_stale_temporaries(data);
    const auto close = [&]() -> Status {
        e.state = State::kClosed;
        return journal.record(e);
    };
    if (!is_there(e.artifact) || !is_there(e.original)) return close();
    const auto artifact = Artifact::open(e.artifact);
    std::string blocker;
    auto tree = list_tree(e.original, blocker);
    if (!artifact.ok() || !tree.ok()) return close();
    TENPAK_RETURN_IF_ERROR(hash_tree(e.original, *tree, "compare", ctx));
    if (!holds_tree(**artifact, *tree).ok()) return close();  // not ours, or of an earlier state of the model: it is left alone
    e.tree = std::move(*tree);
    e.manifest_sha256 = manifest_fingerprint(**artifact);
    e.base_sha256 = base_fingerprint(**artifact);
    e.stored_bytes = (*artifact)->stored_bytes();
    const auto verified = verify_entry(e, options.threads, ctx);
    if (!verified.ok()) return verified.error().code == ErrorCode::kCancelled ? Status(verified.error()) : close();
    e.state = State::kStored;
    TENPAK_RETURN_IF_ERROR(journal.record(e));
    step(options, "stored");
    return {};
}

}  // namespace

Status finish_interrupted(Entry e, Journal& journal, const Options& options, const JobContext& ctx) {
    switch (e.state) {
        case State::kBegun: return finish_begun(std::move(e), journal, options, ctx);
        case State::kReplacing:
            if (!options.replace) return take_back(e, journal, options);
            return replace_original(std::move(e), journal, false, options, ctx);
        case State::kRemoving: return replace_original(std::move(e), journal, false, options, ctx);
        case State::kUndoing:
        case State::kRestored: {
            TENPAK_ASSIGN([[maybe_unused]] const std::uint64_t bytes, undo_entry(std::move(e), journal, options, ctx));
            return {};
        }
        case State::kStored:
        case State::kReplaced:
        case State::kClosed: break;
    }
    return {};
}

}  // namespace tenpak::archive
