// SPDX-License-Identifier: Apache-2.0
#include "core/archive/archive.h"

#include <algorithm>
#include <memory>

#include "core/archive/known_homes.h"
#include "core/archive/plan.h"
#include "core/archive/store.h"

namespace tenpak::archive {
namespace {

/// What may be written besides the artifact: manifest, journal, rounding of the estimate.
constexpr std::uint64_t kMargin = 16u << 20;

/// Walks through the plan as it will be carried out: a container is written twice (its data, then with the manifest in front).
Status check_space(const Plan& plan, bool replace) {
    std::map<fs::path, std::uint64_t> room;
    for (const PlannedDelta& d : plan.deltas) {
        const fs::path folder = d.artifact.parent_path();
        if (!room.contains(folder)) {
            TENPAK_ASSIGN(room[folder], free_bytes(folder));
        }
        std::uint64_t& free = room[folder];
        const auto high = static_cast<std::uint64_t>(std::max(d.high, 0.0)), need = 2 * high + kMargin;
        if (free < need)
            return make_error(ErrorCode::kNoSpace,
                              "not enough space on the disk: archiving " + d.fine_tune.filename().string() + " needs up to " + std::to_string(need) + " bytes, " + std::to_string(free) +
                                  " will be free then",
                              folder.string(), replace ? "Free some space, or choose another disk with -o" : "Free some space, choose another disk with -o, or let --replace remove originals as it goes");
        free -= high;
        if (replace && d.fine_tune.parent_path() == folder) free += d.raw_bytes;
    }
    return {};
}

class Run {
   public:
    Run(const Options& options, const JobContext& ctx) : options_(options), ctx_(ctx) {}

    Result<Report> run(const std::function<void(const Plan&)>& on_plan) {
        TENPAK_ASSIGN(const std::vector<fs::path> folders, resolve_folders(options_));
        for (const fs::path& h : homes_of(folders, options_.store))
            if (is_there(h / kJournalName)) TENPAK_RETURN_IF_ERROR(open(h));
        TENPAK_RETURN_IF_ERROR(go_on(folders));
        TENPAK_ASSIGN(report_.plan, plan_models(folders, options_, ctx_));
        if (on_plan) on_plan(report_.plan);
        TENPAK_RETURN_IF_ERROR(check_space(report_.plan, options_.replace));
        for (const PlannedDelta& d : report_.plan.deltas) {
            TENPAK_RETURN_IF_ERROR(ctx_.check());
            TENPAK_RETURN_IF_ERROR(one(d));
        }
        for (const Done& d : report_.done) {
            report_.raw_bytes += d.raw_bytes;
            report_.stored_bytes += d.stored_bytes;
            report_.freed_bytes += d.freed_bytes;
        }
        return std::move(report_);
    }

   private:
    Status open(const fs::path& home) {
        if (journals_.contains(home)) return {};
        TENPAK_ASSIGN(journals_[home], Journal::open(home));
        return remember_home(options_.known_homes, home);
    }
    /// Errors that end the run; others are the model's own.
    static bool is_fatal(const Error& e) { return e.code == ErrorCode::kCancelled || e.code == ErrorCode::kNoSpace || e.code == ErrorCode::kOutOfMemory; }
    Status keep(const fs::path& model, const Error& e) {
        if (is_fatal(e)) return e;
        report_.failed.push_back({model, e});
        return {};
    }
    bool is_needed(const fs::path& model) const {
        for (const auto& [home, j] : journals_)
            for (const auto& [id, e] : j->entries())
                if (e.base == model && (e.live() || e.state == State::kUndoing)) return true;
        return false;
    }
    void add(const Entry& e, bool earlier) {
        Done d{e.original, e.artifact, e.base, e.tree.bytes(), e.stored_bytes, e.state == State::kReplaced ? e.freed_bytes : 0, true, e.state == State::kReplaced, earlier};
        report_.done.push_back(std::move(d));
    }
    /// `e` is stored: removes its original where that is asked for.
    Status replace(const fs::path& home, const std::string& id, bool earlier) {
        Journal& j = *journals_[home];
        if (options_.replace && j.entries().at(id).state == State::kStored) {
            const Status s = replace_original(j.entries().at(id), j, is_needed(j.entries().at(id).original), options_, ctx_);
            if (!s.ok()) TENPAK_RETURN_IF_ERROR(keep(j.entries().at(id).original, s.error()));
        }
        add(j.entries().at(id), earlier);
        return {};
    }
    /// What earlier runs did and left.
    Status go_on(const std::vector<fs::path>& folders) {
        for (const auto& [home, journal] : journals_) {
            std::vector<std::string> ids;
            for (const auto& [id, e] : journal->entries())
                if (in_scope(e, folders) && e.state != State::kClosed) ids.push_back(id);
            for (const std::string& id : ids) {
                TENPAK_RETURN_IF_ERROR(ctx_.check());
                const Status s = finish_interrupted(journal->entries().at(id), *journal, options_, ctx_);
                if (!s.ok()) {
                    TENPAK_RETURN_IF_ERROR(keep(journal->entries().at(id).original, s.error()));
                    continue;
                }
                const State state = journal->entries().at(id).state;
                if (state == State::kStored || state == State::kReplaced) TENPAK_RETURN_IF_ERROR(replace(home, id, true));
            }
        }
        return {};
    }
    Status one(const PlannedDelta& d) {
        TENPAK_RETURN_IF_ERROR(open(d.home));
        const auto stored = store_model(d, *journals_[d.home], options_, ctx_);
        if (!stored.ok()) return keep(d.fine_tune, stored.error());
        return replace(d.home, stored->id, false);
    }

    const Options& options_;
    const JobContext& ctx_;
    std::map<fs::path, std::unique_ptr<Journal>> journals_;
    Report report_;
};

/// The store as it will be: absolute, existing where `make`.
Result<Options> with_store(Options options, bool make) {
    if (options.store.empty()) return options;
    std::error_code ec;
    if (make) {
        fs::create_directories(options.store, ec);
        if (ec) return errno_error("cannot create the store", options.store.string(), ec.value());
    }
    const fs::path absolute = fs::absolute(options.store, ec);
    options.store = fs::weakly_canonical(absolute.has_filename() ? absolute : absolute.parent_path(), ec);
    if (ec) return errno_error("cannot resolve", options.store.string(), ec.value());
    // In a model's folder it would become part of the model.
    for (fs::directory_iterator it(options.store, ec), end; !ec && it != end; it.increment(ec))
        if (it->path().extension() == ".safetensors") return make_error(ErrorCode::kInvalidArgument, "the store is a model's folder", options.store.string(), "Choose another folder with -o");
    return options;
}

}  // namespace

Result<Plan> make_plan(const Options& given, const JobContext& ctx) {
    try {
        TENPAK_ASSIGN(const Options options, with_store(given, false));
        TENPAK_ASSIGN(const std::vector<fs::path> folders, resolve_folders(options));
        return plan_models(folders, options, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to plan");
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kInternal, e.what());
    }
}

Result<Report> archive(const Options& given, const std::function<void(const Plan&)>& on_plan, const JobContext& ctx) {
    try {
        TENPAK_ASSIGN(const Options options, with_store(given, true));
        return Run(options, ctx).run(on_plan);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to archive");
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kInternal, e.what());
    }
}

}  // namespace tenpak::archive
