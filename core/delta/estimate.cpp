// SPDX-License-Identifier: Apache-2.0
#include "core/delta/estimate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <thread>

#include "core/base/thread_pool.h"
#include "core/delta/compress.h"
#include "core/delta/container_cost.h"
#include "core/delta/estimate_read.h"

namespace tenpak::delta {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
constexpr milliseconds kPoll{20};
constexpr double kNormal = 1.96;
constexpr double kLowRankTarget = 12.5;  ///< times the range that other models stop at
/// A tensor this small is encoded whole at once: a probe would cost as much.
constexpr std::uint64_t kWholeAtOnceBytes = 256u << 10;

struct Task {
    std::uint32_t unit = 0;
    std::vector<std::uint32_t> blocks;  ///< none: a probe
    bool whole = false;                 ///< all blocks of a tensor that may have a low-rank term, which is recovered
};

/// All that is known and what is to be read next. Guarded by one mutex: tasks take milliseconds.
class Run {
   public:
    Run(const ModelSource& base, const ModelDirectory& model, const PairPlan& pairs, BlockPlan plan, std::uint64_t block_weights, const EstimateOptions& options)
        : base_(base), model_(model), pairs_(pairs), plan_(std::move(plan)), block_weights_(block_weights), options_(options),
          frame_(container_frame_bytes(plan_, model, &base)) {
        order_ = layer_order(model.tensors());
        units_.resize(model.tensors().size() + model.files().size());
        todo_.resize(units_.size());
        busy_.resize(units_.size());
        unit_of_tensor_.resize(model.tensors().size());
        std::iota(unit_of_tensor_.begin(), unit_of_tensor_.end(), 0u);
        std::mt19937_64 random(options.seed);
        for (std::uint32_t b = 0; b < plan_.blocks.size(); ++b) {
            const PlannedBlock& block = plan_.blocks[b];
            const std::uint32_t u = unit_of(block);
            for (const BlockPiece& p : block.pieces) unit_of_tensor_[p.tensor] = u;
            units_[u].raw_bytes += block.size;
            units_[u].is_tensor = block.in_tensor();
            ++units_[u].blocks;
            todo_[u].push_back(b);
            entries_total_ += kBlockEntryBytes;
            for (const BaseRange& r : block.base) base_parts_[r.tensor] = u;
            if (block.base.size() > 1) entries_total_ += kRangeEntryBytes * static_cast<double>(block.base.size());
        }
        for (auto& list : todo_) std::shuffle(list.begin(), list.end(), random);
        entries_total_ += kBaseEntryBytes * static_cast<double>(base_parts_.size());
        // Pass 1: tensors in random order, so that those not yet read are like those read; then side files.
        for (std::uint32_t u = 0; u < unit_of_tensor_.size(); ++u)
            if (units_[u].blocks > 0) first_pass_.push_back(u);
        std::shuffle(first_pass_.begin(), first_pass_.end(), random);
        for (std::uint32_t u = static_cast<std::uint32_t>(unit_of_tensor_.size()); u < units_.size(); ++u)
            if (units_[u].blocks > 0) first_pass_.push_back(u);
        std::reverse(first_pass_.begin(), first_pass_.end());
    }

    /// The next thing to read; nothing when all is read or in work.
    std::optional<Task> next() {
        if (stopped_) return std::nullopt;
        if (!first_pass_.empty()) {
            const std::uint32_t u = first_pass_.back();
            first_pass_.pop_back();
            ++busy_[u];
            if (can_probe(u)) return Task{u, {}, false};
            return can_have_low_rank(u) ? take_all(u) : take_block(u);
        }
        const Common common = common_of(units_);
        double best = -1;
        std::optional<std::uint32_t> chosen;
        for (std::uint32_t u = 0; u < units_.size(); ++u) {
            if (todo_[u].empty()) continue;
            const UnitSize s = size_of(units_[u], common);
            const double spread = s.independent.down + s.independent.up + s.shared;
            const double score = spread / (1.0 + busy_[u]);
            if (score > best) {
                best = score;
                chosen = u;
            }
        }
        if (!chosen) return std::nullopt;
        ++busy_[*chosen];
        return units_[*chosen].looks_low_rank() ? take_all(*chosen) : take_block(*chosen);
    }

    /// Reads without the lock held.
    struct Outcome {
        std::optional<Probe> probe;
        std::vector<KnownRead> known;  ///< of the task's blocks
    };
    Result<Outcome> work(const Task& t, const JobContext& ctx) const {
        try {
            Outcome o;
            if (t.whole) {
                std::vector<const PlannedBlock*> blocks;
                for (const std::uint32_t b : t.blocks) blocks.push_back(&plan_.blocks[b]);
                TENPAK_ASSIGN(o.known, read_low_rank(base_, model_, pairs_.pairs[t.unit], blocks, ctx));
            } else if (!t.blocks.empty()) {
                TENPAK_ASSIGN(KnownRead known, read_known(base_, model_, plan_.blocks[t.blocks.front()]));
                o.known.push_back(std::move(known));
            } else {
                TENPAK_ASSIGN(o.probe, read_probe(base_, model_, pairs_.pairs[t.unit], block_weights_, options_.seed * 1000003 + t.unit, ctx));
            }
            return o;
        } catch (const std::bad_alloc&) {
            return make_error(ErrorCode::kOutOfMemory, "not enough memory to estimate");
        }
    }
    void record(const Task& t, Outcome&& o) {
        Unit& u = units_[t.unit];
        --busy_[t.unit];
        if (o.probe) {
            u.probe = std::move(o.probe);
            return;
        }
        for (std::size_t n = 0; n < o.known.size(); ++n) {
            KnownRead& read = o.known[n];
            KnownBlock k = std::move(read.block);
            const PlannedBlock& block = plan_.blocks[t.blocks[n]];
            if (block.pieces.size() > 1)
                for (std::size_t i = 0; i < block.pieces.size(); ++i) changed_in_group_[block.pieces[i].tensor] = read.changed[i];
            if (!read.predicted && !seen_.insert({read.content, k.raw}).second) {
                k.stored = 0;  // an equal block is there already
                entries_total_ -= kBlockEntryBytes;
            } else if (k.method == "identical") {
                entries_total_ += kIdenticalEntryBytes - kBlockEntryBytes;
            }
            if (read.predicted) referenced_.insert(t.unit);
            u.known.push_back(std::move(k));
        }
        if (!u.complete() || referenced_.contains(t.unit)) return;
        for (const auto& [part, unit] : base_parts_)
            if (unit == t.unit) entries_total_ -= kBaseEntryBytes;  // its base is not needed
    }

    EstimateSnapshot snapshot(double seconds) const {
        EstimateSnapshot s;
        s.generation = options_.generation;
        s.raw_bytes = plan_.raw_bytes;
        s.bytes_total = plan_.raw_bytes;
        s.seconds = seconds;
        const Common common = common_of(units_);
        double total = 0, down = 0, up = 0, shared = 0, least = 0, most = 0;
        std::uint64_t unknown_blocks = 0;
        std::vector<UnitSize> sizes(units_.size());
        for (std::size_t i = 0; i < units_.size(); ++i) {
            const Unit& u = units_[i];
            sizes[i] = size_of(u, common);
            total += sizes[i].independent.bytes;
            down += sizes[i].independent.down * sizes[i].independent.down;
            up += sizes[i].independent.up * sizes[i].independent.up;
            shared += sizes[i].shared;
            least += static_cast<double>(u.known_stored());
            most += static_cast<double>(u.known_stored() + (u.raw_bytes - u.known_raw()));
            unknown_blocks += u.blocks - u.known.size();
            s.bytes_read += u.complete() ? u.raw_bytes : std::max(u.known_raw(), u.probe ? u.probe->bytes : 0);
        }
        const double manifest = static_cast<double>(frame_) + entries_total_;
        const double slack = kFrameSlack + kEntrySlack * entries_total_ + 4.0 * static_cast<double>(unknown_blocks);
        s.estimated_bytes = total + manifest;
        s.low = std::max(total - kNormal * std::sqrt(down) - kNormal * shared, least) + manifest - slack;
        s.high = std::min(total + kNormal * std::sqrt(up) + kNormal * shared, most) + manifest + slack;
        for (const std::uint32_t i : order_) {
            const std::uint32_t unit = unit_of_tensor_[i];
            const Unit& u = units_[unit];
            const TensorInfo& info = model_.tensors()[i];
            TensorEstimate t;
            t.name = info.name;
            t.dtype = info.dtype;
            t.shape = info.shape;
            const TensorPlace place = tensor_place(info.name);
            t.layer = place.layer;
            t.projection = place.projection;
            if (const TensorPair& pair = pairs_.pairs[i]; !pair.how.empty()) {
                t.base_tensor = base_.tensors()[*pair.base].name;
                t.how = pair.how;
            }
            t.raw_bytes = info.bytes;
            t.complete = u.complete();
            const auto grouped = changed_in_group_.find(i);
            t.changed_fraction = grouped == changed_in_group_.end() ? u.changed_fraction() : static_cast<double>(grouped->second) / static_cast<double>(std::max<std::uint64_t>(info.elements(), 1));
            const std::uint64_t read = t.complete ? u.raw_bytes : std::max(u.known_raw(), u.probe ? u.probe->bytes : 0);
            t.sampled_fraction = u.raw_bytes > 0 ? static_cast<double>(read) / static_cast<double>(u.raw_bytes) : 1;
            // Small tensors share a block; each counts for its part of it.
            const double share = u.raw_bytes > 0 ? static_cast<double>(info.bytes) / static_cast<double>(u.raw_bytes) : 0;
            const UnitSize& size = sizes[unit];
            t.estimated_bytes = share * size.independent.bytes;
            t.low = share * std::max(size.independent.bytes - kNormal * (size.independent.down + size.shared), static_cast<double>(u.known_stored()));
            t.high = share * std::min(size.independent.bytes + kNormal * (size.independent.up + size.shared),
                                      static_cast<double>(u.known_stored() + (u.raw_bytes - u.known_raw())));
            t.method = method_of(u);
            for (const KnownBlock& b : u.known) t.rank = std::max(t.rank, b.rank);
            s.tensors.push_back(std::move(t));
        }
        return s;
    }
    bool good_enough(const EstimateSnapshot& s) const {
        if (!first_pass_.empty()) return false;
        for (const Unit& u : units_)
            if (u.blocks > 0 && !u.touched()) return false;
        // Recovering factors reads everything: there a rougher figure has to do.
        const bool low_rank = std::any_of(units_.begin(), units_.end(), [](const Unit& u) { return u.looks_low_rank() && !u.complete(); });
        const double target = options_.target_relative_range * (low_rank ? kLowRankTarget : 1);
        return (s.high - s.low) / 2 <= target * s.estimated_bytes;
    }
    bool all_read() const {
        return std::all_of(units_.begin(), units_.end(), [](const Unit& u) { return u.complete(); });
    }
    void stop() { stopped_ = true; }
    bool stopped() const { return stopped_; }

   private:
    std::uint32_t unit_of(const PlannedBlock& b) const { return b.in_tensor() ? b.first_tensor() : static_cast<std::uint32_t>(model_.tensors().size()) + b.file; }
    Task take_all(std::uint32_t u) {
        Task whole{u, std::move(todo_[u]), true};
        todo_[u].clear();
        std::sort(whole.blocks.begin(), whole.blocks.end());
        return whole;
    }
    bool can_have_low_rank(std::uint32_t u) const {
        return u < unit_of_tensor_.size() && plan_.blocks[todo_[u].front()].pieces.size() == 1 && matrix_of(base_, model_, pairs_.pairs[u]).has_value();
    }
    /// Slices can stand for all of a tensor where it is large and alike in how it is predicted.
    bool can_probe(std::uint32_t u) const {
        if (!units_[u].is_tensor || units_[u].raw_bytes <= kWholeAtOnceBytes || dtype_bits(model_.tensors()[u].dtype) < 8) return false;
        const TensorPair& p = pairs_.pairs[u];
        return !p.base || p.weights == model_.tensors()[u].elements();
    }
    std::optional<Task> take_block(std::uint32_t u) {
        const std::uint32_t b = todo_[u].back();
        todo_[u].pop_back();
        return Task{u, {b}, false};
    }
    /// The codec of most bytes; "identical" only where all was compared.
    static std::string method_of(const Unit& u) {
        std::map<std::string, std::uint64_t> bytes;
        for (const KnownBlock& b : u.known) bytes[b.method] += b.raw;
        std::string best = u.probe ? u.probe->method : "";
        std::uint64_t most = 0;
        for (const auto& [method, n] : bytes) {
            if (n <= most) continue;
            most = n;
            best = method;
        }
        return best == "identical" && !u.complete() ? "difference" : best;
    }

    const ModelSource& base_;
    const ModelDirectory& model_;
    const PairPlan& pairs_;
    BlockPlan plan_;
    std::uint64_t block_weights_;
    EstimateOptions options_;
    std::uint64_t frame_;
    std::vector<std::uint32_t> order_, first_pass_;
    std::vector<Unit> units_;                        // first tensors of their blocks, then one a file for what lies outside them
    std::vector<std::vector<std::uint32_t>> todo_;   // [unit] blocks not yet taken
    std::vector<unsigned> busy_;                     // [unit] tasks in work
    std::vector<std::uint32_t> unit_of_tensor_;     // [tensor] the first of those that share its blocks
    std::map<std::string, std::uint32_t> base_parts_;  // tensor or file of the base -> unit that is predicted from it
    std::map<std::uint32_t, std::uint64_t> changed_in_group_;  // tensor that shares its block with others -> changed elements
    std::set<std::uint32_t> referenced_;
    std::set<std::pair<std::uint64_t, std::uint64_t>> seen_;
    double entries_total_ = 0;
    bool stopped_ = false;
};

}  // namespace

Result<EstimateSnapshot> estimate(const ModelSource& base, const ModelDirectory& fine_tune, const EstimateOptions& options,
                                  const std::function<void(const EstimateSnapshot&)>& on_snapshot, const JobContext& ctx) {
    try {
        const auto start = Clock::now();
        const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
        const PairPlan pairs = pair_tensors(base, fine_tune, ctx);
        TENPAK_RETURN_IF_ERROR(ctx.check());
        if (!pairs.fits) return misfit_error(pairs, base, fine_tune);
        const std::uint64_t block_weights = CompressOptions{}.block_weights;
        TENPAK_ASSIGN(BlockPlan plan, plan_blocks(fine_tune, &base, &pairs, block_weights));
        Run run(base, fine_tune, pairs, std::move(plan), block_weights, options);

        std::mutex m;
        std::condition_variable finished;
        Status status;
        unsigned running = options.threads == 0 ? usable_cpus() : options.threads;
        // A tensor of low rank takes seconds: it is given up when the figure is good enough.
        std::stop_source enough;
        const std::stop_callback stopped_by_user(ctx.stop, [&] { enough.request_stop(); });
        const JobContext reading{enough.get_token(), {}};
        const auto worker = [&] {
            std::unique_lock lock(m);
            for (;;) {
                const auto task = ctx.cancelled() ? std::nullopt : run.next();
                if (!task) break;
                lock.unlock();
                auto outcome = run.work(*task, reading);
                lock.lock();
                if (outcome.ok()) {
                    run.record(*task, std::move(outcome).value());
                } else if (outcome.error().code != ErrorCode::kCancelled) {
                    if (status.ok()) status = std::move(outcome).error();
                    run.stop();
                }
            }
            --running;
            finished.notify_all();
        };
        std::vector<std::jthread> workers;
        for (unsigned i = running; i > 0; --i) workers.emplace_back(worker);

        auto due = start + options.first_snapshot;
        const milliseconds poll = std::clamp(options.between_snapshots, milliseconds(1), kPoll);
        EstimateSnapshot last;
        {
            std::unique_lock lock(m);
            // A worker that finds nothing to take ends: what is left is in work with the others.
            while (!finished.wait_for(lock, poll, [&] { return running == 0; })) {
                if (ctx.cancelled()) run.stop();
                if (run.stopped()) enough.request_stop();
                if (Clock::now() < due || run.stopped()) continue;
                last = run.snapshot(seconds());
                if (run.good_enough(last)) run.stop();
                due = Clock::now() + options.between_snapshots;
                if (on_snapshot) {
                    lock.unlock();
                    on_snapshot(last);
                    lock.lock();
                }
            }
        }
        workers.clear();
        TENPAK_RETURN_IF_ERROR(ctx.check());
        TENPAK_RETURN_IF_ERROR(status);
        last = run.snapshot(seconds());
        last.finished = true;
        if (on_snapshot) on_snapshot(last);
        return last;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to estimate", fine_tune.id());
    }
}

}  // namespace tenpak::delta
