// SPDX-License-Identifier: Apache-2.0
#include "core/delta/reconstruct.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <mutex>
#include <set>

#include "core/base/partial_directory.h"
#include "core/base/thread_pool.h"
#include "core/delta/base_cache.h"
#include "core/delta/codec.h"
#include "core/delta/payload.h"
#include "core/delta/predict.h"
#include "core/delta/transform.h"

namespace tenpak::delta {

namespace {

using Clock = std::chrono::steady_clock;

Error malformed(std::string what, const std::string& where) { return make_error(ErrorCode::kMalformed, std::move(what), where, "The artifact is damaged or made by a faulty program"); }

/// What the records promise, checked against each other before anything is allocated or written.
Result<std::uint64_t> check_records(const BlockSource& source) {
    std::uint64_t total = 0;
    for (const BlockInfo& b : source.blocks()) {
        if (b.raw_size > kMaxBlockBytes) return malformed("a block is larger than " + std::to_string(kMaxBlockBytes) + " bytes", b.name);
        const Codec* codec = find_codec(b.codec);
        if (codec == nullptr) return make_error(ErrorCode::kUnsupported, "unknown codec \"" + b.codec + "\"", b.name, "A newer tenpak reads it");
        if (codec->predicts() != !b.base.empty()) return malformed("a block's codec and its place in the base disagree", b.name);
        if (b.base.empty() && (!b.transform.empty() || b.factors)) return malformed("a block without a prediction says how to make one", b.name);
        if (b.base.empty()) continue;
        auto size = predicted_size(b.base, b.transform);
        if (!size.ok()) {
            Error e = std::move(size).error();
            e.where = b.name;
            return e;
        }
        if (*size != b.raw_size && b.codec != kPatchCodec) return malformed("a block and its place in the base differ in size", b.name);
        if (b.factors && (*b.factors >= source.blocks().size() || source.blocks()[*b.factors].codec != kFactorsCodec || b.base.size() != 1))
            return malformed("a block names factors that are not there", b.name);
    }
    std::set<std::string> paths;
    for (const FileRecord& f : source.files()) {
        TENPAK_RETURN_IF_ERROR(check_relative_path(f.path));
        if (!paths.insert(f.path).second) return malformed("a file comes twice", f.path);
        std::uint64_t size = 0;
        for (const BlockId id : f.blocks) {
            if (id >= source.blocks().size()) return malformed("a file names a block that is not there", f.path);
            size += source.blocks()[id].raw_size;  // at most 2^32 blocks of 2^26 bytes: no overflow
        }
        if (size != f.size) return malformed("the blocks of a file do not add up to its size", f.path);
        if (total > std::numeric_limits<std::uint64_t>::max() - size) return malformed("the files are impossibly large", f.path);
        total += size;
    }
    return total;
}

bool needs_base(const BlockSource& source) {
    return std::any_of(source.blocks().begin(), source.blocks().end(), [](const BlockInfo& b) { return !b.base.empty(); });
}

/// What an unfinished output must be of to be gone on with: the same files of the same blocks.
std::string identity_of(const BlockSource& blocks) {
    Sha256 h;
    const auto add = [&](const std::string& s) { h.update(as_bytes(s + '\n')); };
    for (const FileRecord& f : blocks.files()) {
        add(f.path + ' ' + std::to_string(f.size) + ' ' + to_hex(f.sha256));
        for (const BlockId id : f.blocks) add(to_hex(blocks.blocks()[id].raw_sha256));
    }
    return to_hex(h.finish());
}

std::string short_hex(const Digest& d) { return to_hex(d).substr(0, 12); }

/// Decodes all files in order. `out` empty: nothing is written. Hashes where `hash`.
/// `resumed`: blocks that lie in `out` already are taken where they are right.
Result<ReconstructReport> rebuild(const BlockSource& blocks, const ModelSource* base, const fs::path& out, bool resumed, bool hash, unsigned threads, std::uint64_t total,
                                  const char* phase, const JobContext& ctx) {
    ReconstructReport report;
    std::atomic<std::uint64_t> kept{0};
    std::uint64_t done = 0;
    for (const FileRecord& record : blocks.files()) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        std::optional<PartialFile> file;
        if (!out.empty()) {
            const fs::path path = out / record.path;
            std::error_code ec;
            fs::create_directories(path.parent_path(), ec);
            if (ec) return errno_error("cannot create folder", path.parent_path().string(), ec.value());
            TENPAK_ASSIGN(file, PartialFile::open(path));
        }
        std::vector<std::uint64_t> offsets;
        std::uint64_t at = 0;
        for (const BlockId id : record.blocks) {
            offsets.push_back(at);
            at += blocks.blocks()[id].raw_size;
        }
        Sha256 sha;
        // Threads decode and write at the block's place; only hashing needs the order, and the bytes after that.
        const std::function<Result<Bytes>(std::size_t)> work = [&](std::size_t i) -> Result<Bytes> {
            // New memory for every block would cost about as much as decoding: each page is a fault.
            static thread_local BlockScratch scratch;
            static thread_local Bytes raw;
            const BlockInfo& info = blocks.blocks()[record.blocks[i]];
            bool there = false;
            if (resumed) {
                raw.resize(static_cast<std::size_t>(info.raw_size));
                there = file->read_earlier(offsets[i], raw) && xxh3_64(raw) == info.raw_xxh3;
                kept += there ? raw.size() : 0;
            }
            if (!there) TENPAK_RETURN_IF_ERROR(decode_block(blocks, record.blocks[i], base, scratch, raw));
            if (file && !there) TENPAK_RETURN_IF_ERROR(file->write_at(offsets[i], raw));
            return hash ? std::move(raw) : Bytes{};
        };
        const std::function<Status(std::size_t, Bytes&&)> finish = [&](std::size_t i, Bytes&& raw) -> Status {
            if (hash) sha.update(raw);
            done += blocks.blocks()[record.blocks[i]].raw_size;
            ctx.report({phase, done, total, "bytes", record.path});
            return {};
        };
        TENPAK_RETURN_IF_ERROR(parallel_ordered<Bytes>(record.blocks.size(), threads, 2 * threads, ctx, work, finish));
        if (hash && sha.finish() != record.sha256)
            return make_error(ErrorCode::kIntegrity, "a rebuilt file differs from the original", record.path, "The artifact is damaged");
        if (file) {
            TENPAK_RETURN_IF_ERROR(file->finish(record.size, record.executable));
        }
        report.bytes_written += record.size;
        ++report.files;
    }
    report.resumed_bytes = kept;
    return report;
}

}  // namespace

Status check_base(const BlockSource& blocks, const ModelSource* base, bool verify_base, const JobContext& ctx) {
    const auto& record = blocks.model().base;
    const bool needed = needs_base(blocks);
    if (!needed && (!record || (record->tensors.empty() && record->files.empty()))) return {};
    if (!record) return malformed("blocks predict from a base that is not recorded", blocks.model().model_id);
    const std::string name = record->id + (record->revision.empty() ? "" : " at " + record->revision);
    if (base == nullptr)
        return make_error(ErrorCode::kInvalidArgument, "this delta needs its base " + name, blocks.model().model_id, "Give the folder of that model as the base");
    for (const BlockInfo& b : blocks.blocks())
        for (const BaseRange& r : b.base)
            if (!(r.in_file ? record->files : record->tensors).contains(r.tensor)) return malformed("a block predicts from a part of the base without a recorded hash", b.name);
    const auto wrong = [&](const std::string& part, const std::string& here) {
        return make_error(ErrorCode::kWrongBase, "not the base that this delta was made from (" + name + "): " + part + " " + here, "base " + base->id(),
                          "Give the model that was the base when the delta was made");
    };
    const auto other_hash = [](const Digest& here, const Digest& recorded) {
        return "has SHA-256 " + short_hex(here) + "…, recorded is " + short_hex(recorded) + "…";
    };
    std::vector<const TensorInfo*> tensors;
    for (const auto& [tensor, digest] : record->tensors) {
        const TensorInfo* t = base->find(tensor);
        if (t == nullptr) return wrong(tensor, "is not in it");
        tensors.push_back(t);
    }
    for (const BlockInfo& b : blocks.blocks()) {
        for (const BaseRange& r : b.base) {
            const TensorInfo* t = r.in_file ? nullptr : base->find(r.tensor);
            if (t != nullptr && (r.offset > t->bytes || r.size > t->bytes - r.offset)) return wrong(r.tensor, "is smaller than recorded");
        }
    }
    for (const auto& [path, digest] : record->files) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const auto file = base->read_side_file(path);
        if (!file.ok()) return wrong(path, "cannot be read");
        if (const Digest here = sha256(*file); here != digest) return wrong(path, other_hash(here, digest));
    }
    // Small ones first, in growing batches: most wrong bases are known after some kilobytes.
    std::sort(tensors.begin(), tensors.end(), [](const TensorInfo* a, const TensorInfo* b) { return std::tie(a->bytes, a->name) < std::tie(b->bytes, b->name); });
    BaseCache cache;
    for (std::size_t at = 0, batch = 4; at < tensors.size(); at += batch, batch *= 4) {
        batch = std::min(batch, tensors.size() - at);
        const std::vector<const TensorInfo*> part(tensors.begin() + static_cast<std::ptrdiff_t>(at), tensors.begin() + static_cast<std::ptrdiff_t>(at + batch));
        TENPAK_ASSIGN(const std::vector<Digest> digests, cache.digests(*base, part, verify_base, 0, "base", ctx));
        for (std::size_t i = 0; i < part.size(); ++i) {
            const Digest& recorded = record->tensors.at(part[i]->name);
            if (digests[i] != recorded) return wrong(part[i]->name, other_hash(digests[i], recorded));
        }
    }
    return {};
}

Status decode_block(const BlockSource& blocks, BlockId id, const ModelSource* base, BlockScratch& scratch, Bytes& raw) {
    try {
        if (id >= blocks.blocks().size()) return make_error(ErrorCode::kInvalidArgument, "no block " + std::to_string(id));
        const BlockInfo& info = blocks.blocks()[id];
        const Codec* codec = find_codec(info.codec);
        if (codec == nullptr) return make_error(ErrorCode::kUnsupported, "unknown codec \"" + info.codec + "\"", info.name, "A newer tenpak reads it");
        if (info.raw_size > kMaxBlockBytes) return malformed("a block is larger than " + std::to_string(kMaxBlockBytes) + " bytes", info.name);
        if (codec->predicts() != !info.base.empty()) return malformed("a block's codec and its place in the base disagree", info.name);
        const auto named = [&](Status s) {
            if (s.ok()) return s;
            Error e = std::move(s).error();
            if (e.where.empty()) e.where = info.name;
            return Status(std::move(e));
        };
        TENPAK_RETURN_IF_ERROR(named(predict_block(blocks, info, base, scratch.predicted)));
        TENPAK_ASSIGN(const Bytes stored, blocks.read_block(id));
        raw.resize(static_cast<std::size_t>(info.raw_size));
        TENPAK_RETURN_IF_ERROR(named(codec->decode(stored, scratch.predicted.view(), raw)));
        if (xxh3_64(raw) != info.raw_xxh3)
            return make_error(ErrorCode::kIntegrity, "a decoded block differs from what was encoded", info.name, "Memory or disk is faulty, or the base is another one (--verify-base)");
        return {};
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to decode a block");
    }
}

Result<Bytes> decode_block(const BlockSource& blocks, BlockId id, const ModelSource* base) {
    BlockScratch scratch;
    Bytes raw;
    TENPAK_RETURN_IF_ERROR(decode_block(blocks, id, base, scratch, raw));
    return raw;
}

Result<ReconstructReport> reconstruct(const BlockSource& blocks, const ModelSource* base, const fs::path& out, const ReconstructOptions& options,
                                      const JobContext& ctx) {
    try {
        const auto start = Clock::now();
        TENPAK_ASSIGN(const std::uint64_t total, check_records(blocks));
        TENPAK_RETURN_IF_ERROR(check_base(blocks, base, options.verify_base, ctx));
        remove_stale_temporaries(out);
        TENPAK_ASSIGN(PartialDirectory directory, PartialDirectory::open(out, identity_of(blocks)));
        TENPAK_ASSIGN(std::uint64_t room, free_bytes(directory.files()));
        room += directory.bytes_there();
        if (room < total)
            return make_error(ErrorCode::kNoSpace, "not enough space on the disk: the model needs " + std::to_string(total) + " bytes, " + std::to_string(room) + " are free",
                              out.string(), "Free some space or choose another folder");
        const bool full = options.verify == Verify::kFull;
        TENPAK_ASSIGN(ReconstructReport report, rebuild(blocks, base, directory.files(), directory.resumed(), full, options.threads == 0 ? usable_cpus() : options.threads, total, "rebuild", ctx));
        TENPAK_RETURN_IF_ERROR(directory.commit());
        report.verified = full ? "full" : "stored";
        report.seconds = std::chrono::duration<double>(Clock::now() - start).count();
        return report;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to rebuild", blocks.model().model_id);
    } catch (const fs::filesystem_error& e) {
        return errno_error("cannot write", out.string(), e.code().value());
    }
}

Result<ReconstructReport> verify_rebuild(const BlockSource& blocks, const ModelSource* base, const ReconstructOptions& options, const JobContext& ctx) {
    try {
        const auto start = Clock::now();
        TENPAK_ASSIGN(const std::uint64_t total, check_records(blocks));
        TENPAK_RETURN_IF_ERROR(check_base(blocks, base, options.verify_base, ctx));
        TENPAK_ASSIGN(ReconstructReport report, rebuild(blocks, base, {}, false, true, options.threads == 0 ? usable_cpus() : options.threads, total, "verify", ctx));
        report.bytes_written = 0;
        report.verified = "full";
        report.seconds = std::chrono::duration<double>(Clock::now() - start).count();
        return report;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to verify", blocks.model().model_id);
    }
}

}  // namespace tenpak::delta
