// SPDX-License-Identifier: Apache-2.0
#include "core/delta/merge_adapter.h"

#include <algorithm>
#include <chrono>

namespace tenpak::delta {

namespace {

constexpr std::uint64_t kBlock = 4u << 20;

/// Bytes outside tensors come from the base's file, tensors from the merged model.
Status write_weights(const ModelDirectory& base, const ModelSource& merged, std::uint32_t weight_file, AtomicFile& out, const std::function<Status(std::uint64_t)>& wrote) {
    Bytes block;
    Bytes header(static_cast<std::size_t>(base.weight_header(weight_file).header_bytes));
    TENPAK_RETURN_IF_ERROR(base.weight_handle(weight_file).read_at(0, header));
    TENPAK_RETURN_IF_ERROR(out.write_at(0, header));
    TENPAK_RETURN_IF_ERROR(wrote(header.size()));
    for (const TensorInfo& t : base.tensors()) {
        if (t.file != weight_file) continue;
        const TensorInfo* m = merged.find(t.name);
        if (m == nullptr || m->bytes != t.bytes) return make_error(ErrorCode::kMismatch, "the adapter replaces " + t.name + " by one of another size", base.id(), "Merge it with PEFT");
        for (std::uint64_t at = 0; at < t.bytes; at += kBlock) {
            block.resize(static_cast<std::size_t>(std::min(kBlock, t.bytes - at)));
            TENPAK_RETURN_IF_ERROR(merged.read(*m, at, block));
            TENPAK_RETURN_IF_ERROR(out.write_at(t.offset + at, block));
            TENPAK_RETURN_IF_ERROR(wrote(block.size()));
        }
    }
    return {};
}

Status copy_file(const fs::path& from, AtomicFile& out, const std::function<Status(std::uint64_t)>& wrote) {
    TENPAK_ASSIGN(const File in, File::open(from));
    Bytes block;
    for (std::uint64_t at = 0; at < in.size(); at += kBlock) {
        block.resize(static_cast<std::size_t>(std::min(kBlock, in.size() - at)));
        TENPAK_RETURN_IF_ERROR(in.read_at(at, block));
        TENPAK_RETURN_IF_ERROR(out.write(block));
        TENPAK_RETURN_IF_ERROR(wrote(block.size()));
    }
    return {};
}

}  // namespace

Result<MergeReport> merge_adapter(std::shared_ptr<const ModelDirectory> base, std::shared_ptr<const PeftAdapter> adapter, const fs::path& out, const JobContext& ctx) {
    try {
        const auto start = std::chrono::steady_clock::now();
        TENPAK_ASSIGN(const auto merged, open_merged(base, adapter));
        TENPAK_ASSIGN(AtomicDirectory directory, AtomicDirectory::create(out));
        MergeReport report;
        report.modules = adapter->modules().size();
        const std::uint64_t total = base->total_bytes();
        TENPAK_ASSIGN(const std::uint64_t room, free_bytes(directory.path()));
        if (room < total)
            return make_error(ErrorCode::kNoSpace, "not enough space on the disk: the model needs " + std::to_string(total) + " bytes, " + std::to_string(room) + " are free", out.string(),
                              "Free some space or choose another folder");
        for (const ModelFile& f : base->files()) {
            const fs::path path = directory.path() / f.path;
            std::error_code ec;
            fs::create_directories(path.parent_path(), ec);
            if (ec) return errno_error("cannot create folder", path.parent_path().string(), ec.value());
            TENPAK_ASSIGN(AtomicFile file, AtomicFile::create(path));
            const std::function<Status(std::uint64_t)> wrote = [&](std::uint64_t bytes) -> Status {
                report.bytes_written += bytes;
                ctx.report({"merge", report.bytes_written, total, "bytes", f.path});
                return ctx.check();
            };
            bool weights = false;
            for (std::uint32_t w = 0; w < base->weight_files(); ++w) {
                if (&base->files()[base->weight_file(w)] != &f) continue;
                weights = true;
                TENPAK_RETURN_IF_ERROR(write_weights(*base, *merged, w, file, wrote));
            }
            if (!weights) TENPAK_RETURN_IF_ERROR(copy_file(base->file_path(f), file, wrote));
            TENPAK_RETURN_IF_ERROR(file.commit());
            ++report.files;
        }
        TENPAK_RETURN_IF_ERROR(directory.commit());
        report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        return report;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to merge", out.string());
    }
}

}  // namespace tenpak::delta
