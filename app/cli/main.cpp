// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "app/cli/command.h"
#include "app/cli/progress.h"
#include "app/cli/run_in_worker.h"
#include "core/artifact/artifact.h"
#include "core/jobs/model_opener.h"

namespace {

// A signal handler may only set a flag: the watcher thread turns it into a stop request.
std::atomic<int> g_signal{0};
void on_signal(int s) { g_signal = s; }

}  // namespace

int main(int argc, char** argv) {
    using namespace tenpak;
    cli::Context ctx;
    jobs::set_model_opener(open_model);  // sweeps and their workers take a .tnpk with its base, too
    std::error_code ec;
    ctx.program = std::filesystem::read_symlink("/proc/self/exe", ec);

    CLI::App app{"TenPak: deltas, quantization and signed artifacts of language models", "tenpak"};
    app.set_version_flag("--version", std::string("tenpak ") + TENPAK_VERSION);
    app.add_flag("--json", ctx.json, "Print one JSON document on stdout at the end");
    app.add_flag("--quiet", ctx.quiet, "No progress on stderr");
    app.require_subcommand(1);
    app.fallthrough();  // --json and --quiet are understood behind the subcommand, too
    cli::add_inspect(app, ctx);
    cli::add_delta(app, ctx);
    cli::add_artifact(app, ctx);
    cli::add_eval(app, ctx);
    cli::add_bench(app, ctx);
    cli::add_quantize(app, ctx);
    cli::add_optimize(app, ctx);
    cli::add_generate(app, ctx);
    cli::add_tokenize(app, ctx);
    cli::add_worker(app, ctx);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& e) {
        return app.exit(e);
    } catch (const CLI::ParseError& e) {
        return cli::print_error(ctx, make_error(ErrorCode::kInvalidArgument, e.what(), {}, "tenpak --help lists what there is"));
    }
    if (!ctx.run) return cli::print_error(ctx, make_error(ErrorCode::kInvalidArgument, "no command given", {}, "tenpak --help lists what there is"));

    if (const auto there = cli::run_in_worker(argc, argv)) return there->ok() ? **there : cli::print_error(ctx, there->error());
    struct sigaction action{};
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    signal(SIGPIPE, SIG_IGN);

    std::stop_source stop;
    cli::ProgressPrinter progress(ctx.quiet);
    ctx.job.stop = stop.get_token();
    ctx.job.on_progress = [&](const Progress& p) { progress.show(p); };
    std::jthread watcher([&](std::stop_token done) {
        while (!done.stop_requested()) {
            if (g_signal != 0) stop.request_stop();
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    });
    Result<int> r = [&]() -> Result<int> {
        try {
            return ctx.run();
        } catch (const std::bad_alloc&) {
            return make_error(ErrorCode::kOutOfMemory, "out of memory");
        } catch (const std::exception& e) {
            return make_error(ErrorCode::kInternal, e.what(), {}, "This is a defect of tenpak: report it with the command line");
        }
    }();
    watcher.request_stop();
    watcher.join();
    progress.finish();
    return r.ok() ? *r : cli::print_error(ctx, r.error());
}
