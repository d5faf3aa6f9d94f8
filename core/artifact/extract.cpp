// SPDX-License-Identifier: Apache-2.0
#include "core/artifact/extract.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <set>

#include "core/artifact/tensor_map.h"
#include "core/base/json.h"
#include "core/base/thread_pool.h"
#include "core/delta/reconstruct.h"

namespace tenpak::artifact {
namespace {

/// Counts what is read: which chunks were needed is part of the answer.
class Counting final : public BlockSource {
   public:
    explicit Counting(const BlockSource& s) : s_(s) {}
    const ModelRecord& model() const override { return s_.model(); }
    const std::vector<FileRecord>& files() const override { return s_.files(); }
    const std::vector<BlockInfo>& blocks() const override { return s_.blocks(); }
    Result<Bytes> read_block(BlockId id) const override {
        {
            std::scoped_lock lock(m_);
            read_.insert(id);
        }
        return s_.read_block(id);
    }
    std::set<BlockId> read() const {
        std::scoped_lock lock(m_);
        return read_;
    }

   private:
    const BlockSource& s_;
    mutable std::mutex m_;
    mutable std::set<BlockId> read_;
};

/// The needed blocks alone, so that of the base only what they predict from is hashed.
class Narrowed final : public BlockSource {
   public:
    Narrowed(const BlockSource& s, const std::set<BlockId>& wanted) : s_(s), model_(s.model()) {
        std::set<std::string> tensors, files;
        const auto add = [&](BlockId id) {
            blocks_.push_back(s.blocks()[id]);
            for (const BaseRange& r : s.blocks()[id].base) (r.in_file ? files : tensors).insert(r.tensor);
        };
        for (const BlockId id : wanted) add(id);
        if (!model_.base) return;
        std::erase_if(model_.base->tensors, [&](const auto& t) { return !tensors.contains(t.first); });
        std::erase_if(model_.base->files, [&](const auto& f) { return !files.contains(f.first); });
    }
    const ModelRecord& model() const override { return model_; }
    const std::vector<FileRecord>& files() const override { return s_.files(); }
    const std::vector<BlockInfo>& blocks() const override { return blocks_; }
    Result<Bytes> read_block(BlockId id) const override { return s_.read_block(id); }

   private:
    const BlockSource& s_;
    ModelRecord model_;
    std::vector<BlockInfo> blocks_;
};

struct Place {
    std::uint64_t skip = 0, size = 0, to = 0;  ///< of the decoded block, into the output
};

}  // namespace

Result<ExtractReport> extract(const BlockSource& all, const ModelSource* base, const std::vector<std::string>& wanted, const fs::path& output, const JobContext& ctx) {
    try {
        const auto start = std::chrono::steady_clock::now();
        const Counting source(all);
        TENPAK_ASSIGN(const TensorMap map, map_tensors(source));
        std::vector<const MappedTensor*> chosen;
        std::set<std::string> unknown(wanted.begin(), wanted.end());
        ExtractReport report;
        for (const MappedTensor& t : map.tensors) {
            const auto is = [&](const std::string& w) { return w == t.info.name || w == t.part; };
            if (std::none_of(wanted.begin(), wanted.end(), is)) continue;
            unknown.erase(t.info.name);
            unknown.erase(t.part);
            chosen.push_back(&t);
            report.tensors.push_back(t.info.name);
        }
        if (!unknown.empty())
            return make_error(ErrorCode::kNotFound, "no tensor or part \"" + *unknown.begin() + "\" in the artifact", all.model().model_id, "tenpak inspect lists the tensors");
        // As the reference writer orders them.
        std::sort(chosen.begin(), chosen.end(), [](const MappedTensor* a, const MappedTensor* b) {
            return a->info.dtype != b->info.dtype ? a->info.dtype > b->info.dtype : a->info.name < b->info.name;
        });
        std::string header = "{\"__metadata__\":{\"format\":\"pt\"}";
        std::uint64_t end = 0;
        for (const MappedTensor* t : chosen) {
            header += ',' + Json(t->info.name).dump() + ":{\"dtype\":\"" + std::string(dtype_name(t->info.dtype)) + "\",\"shape\":" + Json(t->info.shape).dump() + ",\"data_offsets\":[" +
                      std::to_string(end) + "," + std::to_string(end + t->info.bytes) + "]}";
            end += t->info.bytes;
        }
        header += '}';
        header.append((8 - header.size() % 8) % 8, ' ');
        const std::uint64_t n = header.size();
        std::map<BlockId, std::vector<Place>> places;
        std::set<BlockId> needed;
        std::uint64_t at = 8 + n;
        for (const MappedTensor* t : chosen) {
            for (const TensorPiece& p : t->pieces) {
                places[p.block].push_back({p.skip, p.size, at});
                at += p.size;
                needed.insert(p.block);
                if (const auto& factors = all.blocks()[p.block].factors; factors && *factors < all.blocks().size()) needed.insert(*factors);
            }
        }
        TENPAK_RETURN_IF_ERROR(delta::check_base(Narrowed(all, needed), base, false, ctx));
        TENPAK_ASSIGN(const std::uint64_t room, free_bytes(output.parent_path()));
        if (room < at) return make_error(ErrorCode::kNoSpace, "not enough space on the disk: " + std::to_string(at) + " bytes are needed, " + std::to_string(room) + " are free", output.string());

        remove_stale_temporaries(output);
        TENPAK_ASSIGN(AtomicFile file, AtomicFile::create(output));
        std::byte length[8];
        std::memcpy(length, &n, 8);
        TENPAK_RETURN_IF_ERROR(file.write(length));
        TENPAK_RETURN_IF_ERROR(file.write(as_bytes(header)));
        const std::vector<std::pair<BlockId, std::vector<Place>>> work(places.begin(), places.end());
        std::mutex m;
        ThreadPool pool(static_cast<unsigned>(std::min<std::size_t>(usable_cpus(), std::max<std::size_t>(work.size(), 1))));
        const Status done = pool.try_parallel_for(work.size(), ctx, [&](std::size_t i, unsigned) -> Status {
            TENPAK_ASSIGN(const Bytes raw, delta::decode_block(source, work[i].first, base));
            for (const Place& p : work[i].second) TENPAK_RETURN_IF_ERROR(file.write_at(p.to, std::span(raw).subspan(p.skip, p.size)));
            std::scoped_lock lock(m);
            for (const Place& p : work[i].second) report.bytes += p.size;
            ctx.report({"extract", report.bytes, end, "bytes", all.blocks()[work[i].first].name});
            return {};
        });
        if (!done.ok()) return done.error();
        TENPAK_RETURN_IF_ERROR(file.commit());
        for (const BlockId id : source.read()) report.stored_bytes_read += all.blocks()[id].stored_size, ++report.blocks_read;
        report.blocks_total = all.blocks().size();
        report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        return report;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to extract", output.string());
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kInvalidArgument, std::string("cannot write the header: ") + e.what(), output.string());
    }
}

}  // namespace tenpak::artifact
