// SPDX-License-Identifier: Apache-2.0
// tenpak delta archive
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>

#include "app/cli/command.h"
#include "core/archive/archive.h"
#include "core/jobs/job_store.h"

namespace tenpak::cli {

namespace {

namespace fs = std::filesystem;
using archive::Plan;

struct Options {
    std::vector<std::string> folders;
    std::string store, undo;
    bool dry_run = false, replace = false, resume = false;
    double min_saving = 10;
    unsigned threads = 0;
};

std::uint64_t whole(double bytes) { return bytes > 0 ? static_cast<std::uint64_t>(std::llround(bytes)) : 0; }
std::string bytes_text(std::uint64_t b) { return format_bytes(static_cast<double>(b)); }

/// Names are data: control characters in them must not reach the terminal.
std::string safe(const std::string& s) {
    std::string out;
    for (const char c : s) {
        const auto u = static_cast<unsigned char>(c);
        if (u < 0x20 || u == 0x7f) out += '?';
        else out += c;
    }
    return out;
}

OrderedJson skipped_json(const std::vector<archive::Skipped>& skipped) {
    OrderedJson j = OrderedJson::array();
    for (const auto& s : skipped) j.push_back({{"path", s.path.string()}, {"reason", s.reason}});
    return j;
}
OrderedJson plan_json(const Plan& plan) {
    OrderedJson models = OrderedJson::array(), deltas = OrderedJson::array();
    for (const auto& m : plan.models) {
        models.push_back({{"path", m.path.string()}, {"bytes", m.bytes}, {"weights", m.weights}, {"stays", m.keep.empty() ? OrderedJson() : OrderedJson(m.keep)}});
    }
    for (const auto& d : plan.deltas) {
        deltas.push_back({{"fine_tune", d.fine_tune.string()}, {"base", d.base.string()}, {"artifact", d.artifact.string()}, {"raw_bytes", d.raw_bytes},
                          {"estimated_bytes", whole(d.estimated_bytes)}, {"low", whole(d.low)}, {"high", whole(d.high)}, {"reason", d.reason}});
    }
    return {{"models", std::move(models)}, {"plan", std::move(deltas)}};
}
OrderedJson failed_json(const std::vector<archive::Failure>& failed) {
    OrderedJson j = OrderedJson::array();
    for (const auto& f : failed) j.push_back({{"path", f.path.string()}, {"error", {{"code", error_code_name(f.error.code)}, {"message", f.error.text()}}}});
    return j;
}

std::string plan_text(const Plan& plan) {
    std::string s = std::to_string(plan.models.size()) + " models, " + std::to_string(plan.deltas.size()) + " to archive\n";
    std::uint64_t raw = 0;
    double estimated = 0, low = 0, high = 0;
    for (const auto& d : plan.deltas) {
        raw += d.raw_bytes;
        estimated += d.estimated_bytes;
        low += d.low;
        high += d.high;
        s += "  " + safe(d.fine_tune.string()) + "\n    " + bytes_text(d.raw_bytes) + " -> about " + format_bytes(d.estimated_bytes) + " (95 % range " + format_bytes(d.low) + " to " +
             format_bytes(d.high) + ", " + format_percent(1 - d.estimated_bytes / static_cast<double>(d.raw_bytes)) + " saved), base " + safe(d.base.string()) + "\n    " + safe(d.reason) + "\n";
    }
    for (const auto& k : plan.skipped) s += "  " + safe(k.path.string()) + ": " + safe(k.reason) + "\n";
    if (raw > 0) {
        s += "all: " + bytes_text(raw) + " -> about " + format_bytes(estimated) + " (" + format_bytes(low) + " to " + format_bytes(high) + ")\n";
    }
    return s;
}

/// Errors of single models: one line each, and the exit code of the gravest (3 before 1).
int conclude(const std::vector<archive::Failure>& failed) {
    int code = 0;
    for (const auto& f : failed) {
        std::fprintf(stderr, "tenpak: error[%s]: %s: %s\n", error_code_name(f.error.code), safe(f.path.string()).c_str(), f.error.text().c_str());
        code = std::max(code, exit_code(f.error.code));
    }
    return code;
}

archive::Options core_options(const Options& o) {
    archive::Options a;
    for (const std::string& f : o.folders) a.folders.emplace_back(f);
    a.store = o.store;
    a.replace = o.replace;
    a.min_saving = o.min_saving;
    a.threads = o.threads;
    a.known_homes = jobs::JobStore::default_directory() / "archives.txt";
    // Tests end this process at the N-th change on disk, as a power cut would.
    if (const char* n = std::getenv("TENPAK_TEST_KILL_AT_STEP")) {
        auto left = std::make_shared<long>(std::atol(n));
        a.on_step = [left](const char*) {
            if (--*left == 0) ::kill(::getpid(), SIGKILL);
        };
    }
    return a;
}

Result<int> run_undo(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const archive::UndoReport r, archive::undo(o.undo, core_options(o), ctx.job));
    OrderedJson undone = OrderedJson::array();
    std::string text;
    for (const auto& u : r.undone) {
        undone.push_back({{"fine_tune", u.fine_tune.string()}, {"artifact", u.artifact.string()}, {"restored_bytes", u.restored_bytes}});
        text += safe(u.fine_tune.string()) + (u.restored_bytes > 0 ? ": restored, " + bytes_text(u.restored_bytes) + ", every file's SHA-256, permissions and time as before" : ": was in place; its artifact is removed") + "\n";
    }
    if (text.empty()) text = "nothing to undo\n";
    print_result(ctx, {{"undone", std::move(undone)}, {"failed", failed_json(r.failed)}}, text);
    return conclude(r.failed);
}

Result<int> run_archive(const Context& ctx, const Options& o) {
    if (!o.undo.empty()) {
        if (!o.folders.empty() || !o.store.empty() || o.replace || o.dry_run)
            return make_error(ErrorCode::kInvalidArgument, "--undo stands alone", {}, "tenpak delta archive --undo FOLDER");
        return run_undo(ctx, o);
    }
    if (o.folders.empty()) return make_error(ErrorCode::kInvalidArgument, "no folder given", {}, "Name the folders that hold the models");
    const archive::Options options = core_options(o);
    if (o.dry_run) {
        TENPAK_ASSIGN(const Plan plan, archive::make_plan(options, ctx.job));
        std::uint64_t raw = 0;
        double estimated = 0;
        for (const auto& d : plan.deltas) raw += d.raw_bytes, estimated += d.estimated_bytes;
        OrderedJson j = plan_json(plan);
        j["done"] = OrderedJson::array();
        j["raw_bytes"] = raw;
        j["estimated_bytes"] = whole(estimated);
        j["stored_bytes"] = 0;
        j["freed_bytes"] = 0;
        j["skipped"] = skipped_json(plan.skipped);
        print_result(ctx, j, plan_text(plan) + "dry run: nothing was written");
        return 0;
    }
    const auto show = [&](const Plan& plan) {
        if (!ctx.json) print_note(ctx, plan_text(plan));
    };
    auto ran = archive::archive(options, show, ctx.job);
    if (!ran.ok()) {
        Error e = std::move(ran).error();
        if (e.code == ErrorCode::kCancelled) e.hint = "What is finished stays; the same command goes on";
        return e;
    }
    const archive::Report& r = *ran;
    OrderedJson j = plan_json(r.plan), done = OrderedJson::array();
    std::string text;
    for (const auto& d : r.done) {
        done.push_back({{"fine_tune", d.fine_tune.string()}, {"artifact", d.artifact.string()}, {"base", d.base.string()}, {"raw_bytes", d.raw_bytes}, {"stored_bytes", d.stored_bytes},
                        {"freed_bytes", d.freed_bytes}, {"verified", d.verified}, {"replaced", d.replaced}, {"earlier", d.earlier}});
        text += safe(d.artifact.string()) + ": " + bytes_text(d.stored_bytes) + " for " + bytes_text(d.raw_bytes) + (d.replaced ? ", verified twice, original removed" : ", verified, original in place") +
                (d.earlier ? " (archived by an earlier run)" : "") + "\n";
    }
    j["done"] = std::move(done);
    j["raw_bytes"] = r.raw_bytes;
    j["stored_bytes"] = r.stored_bytes;
    j["freed_bytes"] = r.freed_bytes;
    j["skipped"] = skipped_json(r.plan.skipped);
    j["failed"] = failed_json(r.failed);
    text += r.done.empty() ? "nothing archived" : bytes_text(r.raw_bytes) + " in " + bytes_text(r.stored_bytes) + ", " + bytes_text(r.freed_bytes) + " of originals removed";
    if (!r.done.empty() && !o.replace) text += "; --replace removes originals that verify";
    print_result(ctx, j, text);
    return conclude(r.failed);
}

}  // namespace

void add_delta_archive(CLI::App& group, Context& ctx) {
    const auto o = std::make_shared<Options>();
    auto* c = group.add_subcommand("archive", "Store the fine-tunes in folders as deltas of their bases, to free the disk");
    c->add_option("FOLDER", o->folders, "Folders to look through for models; a model's own folder or .safetensors file, too");
    c->add_option("-o,--output", o->store, "Folder for the artifacts (default: NAME.tnpk beside each model)");
    c->add_flag("--dry-run", o->dry_run, "Only show the plan with its savings");
    c->add_flag("--replace", o->replace, "Remove an original once its artifact was rebuilt and compared, and read back from disk and compared again");
    c->add_option("--min-saving", o->min_saving, "Leave alone what would save less (percent, default 10)")->type_name("PCT");
    c->add_flag("--resume", o->resume, "Go on after an interruption; this is what the same command does anyway");
    c->add_option("--undo", o->undo, "Put back what was archived in this folder or store (or one model or artifact) and remove the artifacts")->type_name("FOLDER");
    c->add_option("--threads", o->threads, "Threads (0: all usable CPUs)");
    c->callback([&ctx, o] { ctx.run = [&ctx, o] { return run_archive(ctx, *o); }; });
}

}  // namespace tenpak::cli
