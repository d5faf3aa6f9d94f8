// SPDX-License-Identifier: Apache-2.0
#include "core/delta/compress.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>

#include "core/base/thread_pool.h"
#include "core/delta/base_cache.h"
#include "core/delta/block_plan.h"
#include "core/delta/encode_block.h"

namespace tenpak::delta {

namespace {

using Clock = std::chrono::steady_clock;

struct Finished {
    BlockInfo info;
    Bytes stored;
    std::vector<std::uint64_t> changed;  ///< [piece] elements that differ from the base's (all, without one)
    bool low_rank = false;  ///< predicted with its tensor's factors
    bool lossy = false;     ///< it does not decode to what was read
    ErrorSums error;
};

/// The block, encoded, decoded again and compared: a fault of the encoder must not become a lost model.
Result<Finished> finish_block(const ModelDirectory& model, const ModelSource* base, const PlannedBlock& block, const TensorFactors* factors, const LossyChoice* choice) {
    try {
        TENPAK_ASSIGN(EncodedBlock e, encode_block(model, base, block, factors, choice));
        Bytes back(e.raw.size());
        const Status decoded = e.codec->decode(e.stored, e.codec->predicts() ? e.predicted.view() : Prediction{}, back);
        if (!decoded.ok() || std::memcmp(back.data(), e.raw.data(), back.size()) != 0)
            return make_error(ErrorCode::kInternal, "a block did not decode to what was encoded", block.name, "This is a defect of tenpak: report it");
        Finished f;
        f.info.name = block.name;
        f.info.codec = e.codec->name();
        f.info.stored_size = e.stored.size();
        f.info.stored_sha256 = sha256(e.stored);
        f.info.raw_size = e.raw.size();
        f.info.raw_sha256 = sha256(e.raw);
        f.info.raw_xxh3 = xxh3_64(e.raw);
        if (e.codec->predicts()) {
            f.info.base = block.base;
            f.info.transform = block.transform;
            f.info.factors_weight = e.factors_weight;
        }
        f.low_rank = e.low_rank;
        f.lossy = e.lossy;
        f.error = e.error;
        f.stored = std::move(e.stored);
        f.changed = std::move(e.changed);
        return f;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for a block", block.name, "Use fewer threads");
    }
}

/// SHA-256 of every file, beside the encoding: blocks come in layer order, a file's hash needs its own order.
class FileHasher {
   public:
    FileHasher(const ModelDirectory& model, const JobContext& ctx) : digests_(model.files().size()) {
        thread_ = std::jthread([this, &model, &ctx](std::stop_token stop) { status_ = run(model, ctx, stop); });
    }
    Result<std::vector<Digest>> finish() {
        thread_.join();
        if (!status_.ok()) return status_.error();
        return std::move(digests_);
    }

   private:
    Status run(const ModelDirectory& model, const JobContext& ctx, const std::stop_token& stop) {
        try {
            Bytes buffer(1u << 20);
            for (std::size_t f = 0; f < digests_.size(); ++f) {
                TENPAK_ASSIGN(const File file, File::open(model.file_path(model.files()[f])));
                if (file.size() != model.files()[f].size)
                    return make_error(ErrorCode::kIo, "the file changed while it was read", file.path().string(), "Try again when nothing writes there");
                Sha256 hash;
                for (std::uint64_t at = 0; at < file.size(); at += buffer.size()) {
                    if (stop.stop_requested()) return make_error(ErrorCode::kCancelled, "stopped by the user");
                    TENPAK_RETURN_IF_ERROR(ctx.check());
                    const std::span<std::byte> part(buffer.data(), std::min<std::uint64_t>(buffer.size(), file.size() - at));
                    TENPAK_RETURN_IF_ERROR(file.read_at(at, part));
                    hash.update(part);
                }
                digests_[f] = hash.finish();
            }
            return {};
        } catch (const std::bad_alloc&) {
            return make_error(ErrorCode::kOutOfMemory, "not enough memory to hash files");
        }
    }
    std::vector<Digest> digests_;
    Status status_;
    std::jthread thread_;  // last: it uses the others
};

/// SHA-256 of every file as it will be rebuilt, where `lossy` blocks are not what was read; in the order of the files.
Result<std::vector<Digest>> hash_rebuilt(const ModelDirectory& model, const BlockPlan& plan, const std::vector<bool>& lossy,
                                         const std::function<Result<Bytes>(const PlannedBlock&)>& rebuild, unsigned threads, const JobContext& ctx) {
    std::vector<Digest> digests;
    std::uint64_t done = 0;
    for (const auto& blocks : plan.of_file) {
        Sha256 hash;
        const std::function<Result<Bytes>(std::size_t)> work = [&](std::size_t i) -> Result<Bytes> {
            try {
                const PlannedBlock& block = plan.blocks[blocks[i]];
                if (lossy[blocks[i]]) return rebuild(block);
                Bytes raw;
                TENPAK_RETURN_IF_ERROR(read_block(model, block, raw));
                return raw;
            } catch (const std::bad_alloc&) {
                return make_error(ErrorCode::kOutOfMemory, "not enough memory to hash files", plan.blocks[blocks[i]].name, "Use fewer threads");
            }
        };
        const std::function<Status(std::size_t, Bytes&&)> next = [&](std::size_t i, Bytes&& rebuilt) -> Status {
            hash.update(rebuilt);
            done += rebuilt.size();
            ctx.report({"hash", done, plan.raw_bytes, "bytes", model.files()[plan.blocks[blocks[i]].file].path});
            return {};
        };
        TENPAK_RETURN_IF_ERROR(parallel_ordered<Bytes>(blocks.size(), threads, 2 * threads, ctx, work, next));
        digests.push_back(hash.finish());
    }
    return digests;
}

std::string number_text(double v) {
    char s[32];
    std::snprintf(s, sizeof s, "%.6g", v);
    return s;
}

/// Block ids as the sink gave them, and the report as it grows.
struct Tally {
    std::vector<BlockId> ids;
    std::set<BlockId> distinct;
    std::vector<TensorReport> tensors;                         // by index in the model
    std::vector<std::map<std::string, std::uint64_t>> methods; // raw bytes by codec, as above
    std::vector<std::uint64_t> changed;
    std::map<std::uint32_t, BlockId> factors;                  // by tensor: where its factors are
};

Result<CompressReport> run(const ModelSource* base, const ModelDirectory& model, const PairPlan* pairs, BlockSink& sink, const CompressOptions& options,
                           const JobContext& ctx) {
    const auto start = Clock::now();
    TENPAK_ASSIGN(const BlockPlan plan, plan_blocks(model, base, pairs, options.block_weights));
    const unsigned threads = options.threads == 0 ? usable_cpus() : options.threads;
    CompressReport report;
    report.raw_bytes = plan.raw_bytes;
    report.weights = model.parameters();
    Tally tally;
    tally.ids.resize(plan.blocks.size());
    tally.tensors.resize(model.tensors().size());
    tally.methods.resize(model.tensors().size());
    tally.changed.resize(model.tensors().size());
    std::set<std::string> base_tensors, base_files;
    std::uint64_t done = 0;
    const bool may_lose = base != nullptr && options.lossy.mode != LossyMode::kLossless;
    std::optional<FileHasher> hasher;
    if (!may_lose) hasher.emplace(model, ctx);

    auto factors = std::make_shared<FactorMap>();
    if (options.given_factors != nullptr) {
        *factors = *options.given_factors;
    } else if (may_lose && options.lossy.mode == LossyMode::kLowRank) {
        TENPAK_ASSIGN(*factors, truncate_factors(*base, model, *pairs, options.lossy.rank, threads, ctx));
    } else if (base != nullptr && options.recover_low_rank) {
        TENPAK_ASSIGN(*factors, recover_factors(*base, model, *pairs, threads, ctx));
    }
    std::vector<LossyChoice> choices;          // [tensor]; empty in lossless mode
    std::vector<bool> lossy(plan.blocks.size());  // [block]
    if (may_lose) {
        TENPAK_ASSIGN(choices, choose_lossy(*base, model, plan, options.lossy, *factors, threads, ctx));
        if (options.lossy.mode == LossyMode::kLowRank)
            std::erase_if(*factors, [&](const auto& f) { return choices[f.first].codec.empty(); });
    }
    const auto choice_of = [&](const PlannedBlock& block) { return may_lose && block.in_tensor() ? &choices[block.first_tensor()] : nullptr; };
    const auto factors_of = [&](const PlannedBlock& block) -> const TensorFactors* {
        const auto it = block.in_tensor() ? factors->find(block.first_tensor()) : factors->end();
        return it != factors->end() ? &it->second : nullptr;
    };
    // Factors go to the sink in front of the first block that needs them, so that a layer streams as one piece.
    const auto store_factors = [&](std::uint32_t tensor) -> Result<BlockId> {
        if (const auto it = tally.factors.find(tensor); it != tally.factors.end()) return it->second;
        const TensorFactors& f = factors->at(tensor);
        BlockInfo info;
        info.name = model.tensors()[tensor].name + "#factors";
        info.codec = kFactorsCodec;
        info.stored_size = f.stored.size();
        info.stored_sha256 = sha256(f.stored);
        info.raw_size = f.raw.size();
        info.raw_sha256 = sha256(f.raw);
        info.raw_xxh3 = xxh3_64(f.raw);
        TENPAK_ASSIGN(const BlockId id, sink.add_block(info, f.stored));
        tally.factors.emplace(tensor, id);
        if (tally.distinct.insert(id).second) {
            report.stored_bytes += f.stored.size();
            report.methods[method_of(info)] += f.stored.size();
            tally.tensors[tensor].stored_bytes += f.stored.size();
        }
        tally.tensors[tensor].rank = f.factors.rank;
        return id;
    };
    const std::function<Result<Finished>(std::size_t)> work = [&](std::size_t i) { return finish_block(model, base, plan.blocks[i], factors_of(plan.blocks[i]), choice_of(plan.blocks[i])); };
    const std::function<Status(std::size_t, Finished&&)> store = [&](std::size_t i, Finished&& f) -> Status {
        const PlannedBlock& block = plan.blocks[i];
        if (f.low_rank) {
            TENPAK_ASSIGN(f.info.factors, store_factors(block.first_tensor()));
        }
        TENPAK_ASSIGN(tally.ids[i], sink.add_block(f.info, f.stored));
        const bool is_new = tally.distinct.insert(tally.ids[i]).second;
        for (const BaseRange& r : f.info.base) (r.in_file ? base_files : base_tensors).insert(r.tensor);
        if (is_new) {
            report.stored_bytes += f.stored.size();
            report.methods[method_of(f.info)] += f.stored.size();
        }
        for (std::size_t k = 0; k < block.pieces.size(); ++k) {
            const BlockPiece& piece = block.pieces[k];
            TensorReport& t = tally.tensors[piece.tensor];
            t.raw_bytes += piece.size;
            t.stored_bytes += is_new ? share_of(block, k, f.stored.size()) : 0;
            tally.methods[piece.tensor][method_of(f.info)] += piece.size;
            tally.changed[piece.tensor] += f.changed[k];
            if (block.pieces.size() == 1) t.error.add(f.error);
        }
        report.error.add(f.error);
        lossy[i] = f.lossy;
        if (f.lossy) report.lossless = false;
        done += block.size;
        ctx.report({"compress", done, plan.raw_bytes, "bytes", block.in_tensor() ? model.tensors()[block.first_tensor()].name : model.files()[block.file].path});
        return {};
    };
    TENPAK_RETURN_IF_ERROR(parallel_ordered<Finished>(plan.blocks.size(), threads, 2 * threads, ctx, work, store));
    std::vector<Digest> hashes;
    if (hasher) {
        TENPAK_ASSIGN(hashes, hasher->finish());
    } else {
        const auto rebuild = [&](const PlannedBlock& block) { return rebuild_lossy(model, *base, block, factors_of(block), choices[block.first_tensor()]); };
        TENPAK_ASSIGN(hashes, hash_rebuilt(model, plan, lossy, rebuild, threads, ctx));
    }

    ModelRecord record;
    record.model_id = model.id();
    record.codec = base != nullptr ? "delta" : "pack";
    record.lossless = report.lossless;
    record.attestation = {{"mode", std::string(lossy_mode_name(may_lose ? options.lossy.mode : LossyMode::kLossless))}, {"tool", std::string("tenpak ") + TENPAK_VERSION}};
    if (may_lose) {
        record.attestation["max_abs_error"] = number_text(report.error.max_abs);
        record.attestation["relative_error"] = number_text(report.error.relative());
        record.attestation["delta_relative_error"] = number_text(report.error.change_relative());
        if (options.lossy.mode == LossyMode::kLowRank) record.attestation["rank"] = std::to_string(options.lossy.rank);
    }
    if (base != nullptr) {
        std::vector<const TensorInfo*> needed;
        for (const std::string& name : base_tensors) needed.push_back(base->find(name));
        BaseCache cache;
        TENPAK_ASSIGN(const std::vector<Digest> digests, cache.digests(*base, needed, false, threads, "base", ctx));
        BaseRecord b;
        b.id = base->id();
        b.revision = options.base_revision;
        for (std::size_t i = 0; i < needed.size(); ++i) b.tensors.emplace(needed[i]->name, digests[i]);
        for (const std::string& path : base_files) {
            TENPAK_ASSIGN(const Bytes file, base->read_side_file(path));
            b.files.emplace(path, sha256(file));
        }
        record.base = std::move(b);
    }
    TENPAK_RETURN_IF_ERROR(sink.set_model(std::move(record)));
    for (std::size_t f = 0; f < model.files().size(); ++f) {
        FileRecord file;
        file.path = model.files()[f].path;
        file.size = model.files()[f].size;
        file.executable = model.files()[f].executable;
        file.sha256 = hashes[f];
        for (const std::uint32_t b : plan.of_file[f]) file.blocks.push_back(tally.ids[b]);
        TENPAK_RETURN_IF_ERROR(sink.add_file(std::move(file)));
    }
    for (const std::uint32_t i : layer_order(model.tensors())) {
        TensorReport& t = tally.tensors[i];
        const TensorInfo& info = model.tensors()[i];
        const TensorPlace place = tensor_place(info.name);
        t.name = info.name;
        t.weights = info.elements();
        if (may_lose) t.choice = std::move(choices[i]);
        t.layer = place.layer;
        t.projection = place.projection;
        if (pairs != nullptr && !pairs->pairs[i].how.empty()) {
            t.base_tensor = base->tensors()[*pairs->pairs[i].base].name;
            t.how = pairs->pairs[i].how;
        }
        std::uint64_t most = 0;
        for (const auto& [method, bytes] : tally.methods[i]) {
            if (bytes <= most) continue;
            most = bytes;
            t.method = method;
        }
        const std::uint64_t elements = info.elements();
        t.changed_fraction = elements > 0 ? static_cast<double>(tally.changed[i]) / static_cast<double>(elements) : 0;
        report.tensors.push_back(std::move(t));
    }
    report.factors = std::move(factors);
    report.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return report;
}

}  // namespace

Result<CompressReport> compress(const ModelSource& base, const ModelDirectory& fine_tune, BlockSink& sink, const CompressOptions& options,
                                const JobContext& ctx) {
    try {
        const PairPlan pairs = pair_tensors(base, fine_tune, ctx);
        TENPAK_RETURN_IF_ERROR(ctx.check());
        if (!pairs.fits) return misfit_error(pairs, base, fine_tune);
        return run(&base, fine_tune, &pairs, sink, options, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to compress", fine_tune.id());
    }
}

Result<CompressReport> pack(const ModelDirectory& model, BlockSink& sink, const CompressOptions& options, const JobContext& ctx) {
    try {
        return run(nullptr, model, nullptr, sink, options, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to pack", model.id());
    }
}

}  // namespace tenpak::delta
