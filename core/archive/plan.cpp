// SPDX-License-Identifier: Apache-2.0
#include "core/archive/plan.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "core/archive/choose_bases.h"
#include "core/archive/known_homes.h"
#include "core/archive/scan.h"
#include "core/archive/sketch.h"
#include "core/archive/store.h"
#include "core/artifact/artifact.h"
#include "core/delta/estimate.h"
#include "core/delta/pair.h"

namespace tenpak::archive {
namespace {

/// The plan needs less precision than a user who looks at one pair.
constexpr double kPlanRange = 0.02;
constexpr std::size_t kMaxModels = 2000;

bool is_within(const fs::path& p, const fs::path& folder) {
    const auto at = std::mismatch(folder.begin(), folder.end(), p.begin(), p.end());
    return at.first == folder.end();
}
std::string percent(double fraction) {
    char s[32];
    std::snprintf(s, sizeof s, "%.1f %%", fraction * 100);
    return s;
}

struct Member {
    Candidate found;
    std::shared_ptr<const ModelDirectory> model;
    Sketch sketch;
    std::int64_t age = 0;  ///< of its oldest weight file, nanoseconds
    std::size_t listed = 0;///< in Plan::models
};

/// What journals say about models here and elsewhere.
struct Known {
    std::map<fs::path, const Entry*> archived;  ///< still in place, stored already
    std::map<fs::path, fs::path> needed;        ///< base -> the model that needs it
    std::set<fs::path> artifacts;
    std::vector<std::map<std::string, Entry>> journals;
};
Result<Known> read_journals(const std::vector<fs::path>& homes) {
    Known k;
    for (const fs::path& h : homes) {
        TENPAK_ASSIGN(auto entries, Journal::read(h));
        k.journals.push_back(std::move(entries));
    }
    for (const auto& j : k.journals) {
        for (const auto& [id, e] : j) {
            if (!e.live() && e.state != State::kUndoing) continue;
            k.needed[e.base] = e.original;
            k.artifacts.insert(e.artifact);
            if (is_there(e.original)) k.archived[e.original] = &e;
        }
    }
    return k;
}

class Planner {
   public:
    Planner(const Options& options, const JobContext& ctx) : options_(options), ctx_(ctx) {}

    Result<Plan> run(const std::vector<fs::path>& folders) {
        std::vector<fs::path> homes = homes_of(folders, options_.store);
        for (const fs::path& h : known_homes(options_.known_homes))
            if (std::find(homes.begin(), homes.end(), h) == homes.end()) homes.push_back(h);
        TENPAK_ASSIGN(known_, read_journals(homes));
        TENPAK_ASSIGN(const Scan found, scan(folders, ctx_));
        TENPAK_RETURN_IF_ERROR(bases_of_artifacts(found.artifacts));
        if (found.models.size() > kMaxModels) return make_error(ErrorCode::kUnsupported, "more than 2,000 models", folders.front().string(), "Name fewer folders");
        std::uint64_t seen = 0;
        for (const Candidate& c : found.models) {
            TENPAK_RETURN_IF_ERROR(ctx_.check());
            ctx_.report({"scan", seen++, found.models.size(), "models", c.path.filename().string()});
            TENPAK_RETURN_IF_ERROR(add(c));
        }
        TENPAK_RETURN_IF_ERROR(decide());
        return std::move(plan_);
    }

   private:
    /// Artifacts that no journal knows of, made by hand: whoever has the name of their base may be needed.
    Status bases_of_artifacts(const std::vector<fs::path>& artifacts) {
        for (const fs::path& p : artifacts) {
            if (known_.artifacts.contains(p)) continue;
            const auto a = Artifact::open(p);
            if (a.ok() && (*a)->model().base) base_ids_[(*a)->model().base->id] = p;
        }
        return {};
    }

    std::string reason_to_stay(const Candidate& c, const ModelDirectory& model, Tree& tree) {
        std::string blocker;
        auto listed = list_tree(c.path, blocker);
        if (!listed.ok()) return listed.error().what;
        tree = std::move(*listed);
        if (!tree.complete) return "read only: " + blocker;
        if (!check_relative_path(c.path.filename().string()).ok()) return "its name cannot be recorded";
        if (c.holds_models) return "other models lie in folders inside it";
        if (const auto n = known_.needed.find(c.path); n != known_.needed.end()) return "it is the base of " + n->second.filename().string() + ", which is archived";
        if (const auto n = base_ids_.find(model.id()); n != base_ids_.end()) return "it may be the base of " + n->second.filename().string();
        if (options_.replace) return blocker;
        return {};
    }

    Status add(const Candidate& c) {
        if (const auto a = known_.archived.find(c.path); a != known_.archived.end()) return {};  // stored already: not a base either
        auto model = ModelDirectory::open(c.path);
        if (!model.ok()) {
            plan_.skipped.push_back({c.path, model.error().what});
            return {};
        }
        if ((*model)->weight_bytes() == 0) {
            plan_.skipped.push_back({c.path, "no weights"});
            return {};
        }
        Member m;
        m.found = c;
        Tree tree;
        FoundModel f{c.path, (*model)->total_bytes(), (*model)->parameters(), reason_to_stay(c, **model, tree)};
        auto sampled = sketch(**model, ctx_);
        if (!sampled.ok()) {
            if (sampled.error().code == ErrorCode::kCancelled) return sampled.error();
            plan_.skipped.push_back({c.path, sampled.error().what});
            return {};
        }
        m.sketch = std::move(*sampled);
        m.age = std::numeric_limits<std::int64_t>::max();
        for (std::uint32_t w = 0; w < (*model)->weight_files(); ++w) m.age = std::min(m.age, static_cast<std::int64_t>((*model)->weight_handle(w).identity().mtime_ns));
        m.model = std::move(*model);
        m.listed = plan_.models.size();
        plan_.models.push_back(std::move(f));
        members_.push_back(std::move(m));
        return {};
    }

    Status decide() {
        const std::size_t n = members_.size();
        std::vector<double> alone(n);
        std::vector<bool> stays(n);
        std::vector<std::int64_t> age(n);
        std::vector<std::vector<double>> delta(n, std::vector<double>(n, kNoDelta));
        const double most = 1 - options_.min_saving / 100;
        for (std::size_t i = 0; i < n; ++i) {
            alone[i] = static_cast<double>(plan_.models[members_[i].listed].bytes);
            stays[i] = !plan_.models[members_[i].listed].keep.empty();
            age[i] = members_[i].age;
        }
        for (std::size_t i = 0; i < n; ++i) {
            TENPAK_RETURN_IF_ERROR(ctx_.check());
            for (std::size_t b = 0; b < n; ++b) {
                if (b == i || stays[i] || !could_fit(*members_[b].model, *members_[i].model)) continue;
                if (!delta::pair_tensors(*members_[b].model, *members_[i].model).fits) continue;
                const double bytes = delta_bytes(members_[b].sketch, members_[i].sketch);
                if (bytes < alone[i] * most) delta[b][i] = bytes;
            }
        }
        const BaseChoice choice = choose_bases(alone, delta, stays, age);
        std::set<fs::path> taken;
        std::uint64_t done = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const FoundModel& f = plan_.models[members_[i].listed];
            const bool is_base = std::any_of(choice.base.begin(), choice.base.end(), [&](const auto& b) { return b == i; });
            if (!choice.base[i]) {
                if (!f.keep.empty()) plan_.skipped.push_back({f.path, "stays: " + f.keep});
                else if (!is_base) plan_.skipped.push_back({f.path, "stays: no model here is like it enough"});
                continue;
            }
            ctx_.report({"estimate", done++, n, "models", f.path.filename().string()});
            TENPAK_RETURN_IF_ERROR(estimate(i, *choice.base[i], delta, choice, taken));
        }
        return {};
    }
    /// Before names are compared one by one.
    static bool could_fit(const ModelDirectory& base, const ModelDirectory& model) {
        const double a = static_cast<double>(base.parameters()), b = static_cast<double>(model.parameters());
        return a >= b * 0.5;
    }

    Status estimate(std::size_t i, std::size_t b, const std::vector<std::vector<double>>& delta, const BaseChoice& choice, std::set<fs::path>& taken) {
        const Member &m = members_[i], &base = members_[b];
        const FoundModel& f = plan_.models[m.listed];
        const fs::path home = options_.store.empty() ? (m.found.path == m.found.root ? m.found.path.parent_path() : m.found.root) : options_.store;
        const fs::path folder = options_.store.empty() ? m.found.path.parent_path() : options_.store;
        const auto name = [&](const std::string& suffix) {
            const std::string stem = f.path.extension() == ".safetensors" ? f.path.stem().string() : f.path.filename().string();
            return folder / (stem + suffix + ".tnpk");
        };
        fs::path artifact = name("");
        if (taken.contains(artifact) || (known_.artifacts.contains(artifact) && is_there(artifact)))
            artifact = name("-" + to_hex(sha256(as_bytes(f.path.string()))).substr(0, 8));
        if (is_there(artifact)) {
            plan_.skipped.push_back({f.path, artifact.filename().string() + " is there already"});
            return {};
        }
        delta::EstimateOptions options;
        options.threads = options_.threads;
        options.target_relative_range = kPlanRange;
        auto s = delta::estimate(*base.model, *m.model, options, [](const delta::EstimateSnapshot&) {}, ctx_);
        if (!s.ok()) {
            if (s.error().code == ErrorCode::kCancelled) return s.error();
            plan_.skipped.push_back({f.path, s.error().what});
            return {};
        }
        const double raw = static_cast<double>(f.bytes);
        if (s->estimated_bytes > raw * (1 - options_.min_saving / 100)) {
            plan_.skipped.push_back({f.path, "would save " + percent(1 - s->estimated_bytes / raw) + ", less than " + percent(options_.min_saving / 100)});
            return {};
        }
        taken.insert(artifact);
        PlannedDelta d{f.path, plan_.models[base.listed].path, artifact, home, f.bytes, s->estimated_bytes, s->low, s->high, reason(i, b, delta, choice)};
        plan_.deltas.push_back(std::move(d));
        return {};
    }

    std::string reason(std::size_t i, std::size_t b, const std::vector<std::vector<double>>& delta, const BaseChoice& choice) const {
        const auto share = [&](std::size_t base) { return delta[base][i] / static_cast<double>(members_[i].sketch.weight_bytes); };
        std::size_t served = 0, fitting = 0;
        std::optional<std::size_t> next;
        for (std::size_t k = 0; k < members_.size(); ++k) {
            served += choice.base[k] == b ? 1 : 0;
            if (k == b || delta[k][i] == kNoDelta) continue;
            ++fitting;
            if (!next || delta[k][i] < delta[*next][i]) next = k;
        }
        std::string s = "sampled weights: about " + percent(share(b)) + " of its size";
        if (!next) return s + "; no other model here fits";
        s += "; the next of " + std::to_string(fitting + 1) + " that fit, " + members_[*next].found.path.filename().string() + ", " + percent(share(*next));
        if (share(*next) < share(b)) s += " (but all of the family together are smallest this way)";
        if (served > 1) s += "; base of " + std::to_string(served);
        const bool tie = delta[b][i] < kNoDelta && delta[i][b] < kNoDelta && std::abs(delta[b][i] - delta[i][b]) < 0.02 * delta[b][i] && served == 1;
        if (tie && members_[b].age < members_[i].age) s += "; the older of the two";
        return s;
    }

    const Options& options_;
    const JobContext& ctx_;
    Known known_;
    std::map<std::string, fs::path> base_ids_;
    std::vector<Member> members_;
    Plan plan_;
};

}  // namespace

Result<std::vector<fs::path>> resolve_folders(const Options& options) {
    if (options.folders.empty()) return make_error(ErrorCode::kInvalidArgument, "no folder to look through");
    if (!(options.min_saving >= 0 && options.min_saving < 100)) return make_error(ErrorCode::kInvalidArgument, "the least saving must be from 0 to below 100 percent");
    std::vector<fs::path> out;
    for (const fs::path& f : options.folders) {
        std::error_code ec;
        fs::path p = fs::canonical(f, ec);
        if (ec) {
            std::error_code parent_ec;
            fs::path named = fs::absolute(f, parent_ec);
            if (!named.has_filename()) named = named.parent_path();
            p = fs::canonical(named.parent_path(), parent_ec) / named.filename();
            bool known = false;
            std::vector<fs::path> homes = homes_of({p}, options.store);
            for (const fs::path& h : homes) {
                const auto entries = Journal::read(h);
                if (!entries.ok()) continue;
                for (const auto& [id, e] : *entries) known |= e.original == p && e.state != State::kClosed;
            }
            if (parent_ec || !known) return errno_error("cannot look through", f.string(), ec.value());
        }
        if (std::find(out.begin(), out.end(), p) == out.end()) out.push_back(p);
    }
    // A folder inside another named one is looked through once.
    std::vector<fs::path> outer;
    for (const fs::path& p : out)
        if (std::none_of(out.begin(), out.end(), [&](const fs::path& o) { return o != p && is_within(p, o); })) outer.push_back(p);
    return outer;
}

std::vector<fs::path> homes_of(const std::vector<fs::path>& folders, const fs::path& store) {
    std::vector<fs::path> homes;
    const auto add = [&](const fs::path& h) {
        if (!h.empty() && std::find(homes.begin(), homes.end(), h) == homes.end()) homes.push_back(h);
    };
    add(store);
    for (const fs::path& f : folders) {
        add(f);
        add(f.parent_path());
    }
    return homes;
}

bool in_scope(const Entry& e, const std::vector<fs::path>& folders) {
    return std::any_of(folders.begin(), folders.end(), [&](const fs::path& f) { return is_within(e.original, f); });
}

Result<Plan> plan_models(const std::vector<fs::path>& folders, const Options& options, const JobContext& ctx) {
    std::vector<fs::path> there;
    for (const fs::path& f : folders)
        if (is_there(f)) there.push_back(f);
    return Planner(options, ctx).run(there);
}

}  // namespace tenpak::archive
