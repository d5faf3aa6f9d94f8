// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/fake_backend.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/jobs/exit_reason.h"
#include "core/jobs/worker.h"
#include "core/jobs/worker_session.h"

namespace tenpak::jobs {
namespace {

Result<Json> load_script(const StartMessage& start) {
    const std::string path = start.spec.backend.substr(5);
    TENPAK_ASSIGN(const std::string text, read_text_file(path, 1u << 20));
    return parse_json(text, path);
}

Result<Json> steps_of(const Json& script, const StartMessage& start) {
    TENPAK_ASSIGN(const Json candidates, json_get<Json>(script, "candidates", "script"));
    TENPAK_ASSIGN(Json steps, json_get<Json>(candidates, start.candidate.c_str(), "script"));
    if (!steps.is_array()) return make_error(ErrorCode::kMalformed, "steps must be an array", "script");
    if (!steps.empty() && steps[0].is_array()) {
        const std::size_t attempt = std::min<std::size_t>(start.attempt, steps.size());
        return Json(steps[attempt - 1]);
    }
    return steps;
}

Status wait_until(const JobContext& ctx, bool deaf, const std::function<bool()>& done) {
    while (!done()) {
        if (!deaf) TENPAK_RETURN_IF_ERROR(ctx.check());
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return {};
}

std::size_t address_space_bytes() {
    std::ifstream in("/proc/self/statm");
    std::size_t pages = 0;
    in >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

void allocate_until_no_more(std::uint64_t megabytes) {
    const std::size_t limit = address_space_bytes() + (megabytes << 20);
    const rlimit r{limit, limit};
    ::setrlimit(RLIMIT_AS, &r);
    std::vector<std::unique_ptr<char[]>> kept;
    for (;;) {
        kept.push_back(std::make_unique<char[]>(1u << 20));  // throws bad_alloc at the limit
        kept.back()[0] = 1;
    }
}

[[noreturn]] void die_of(const std::string& name) {
    for (int s = 1; s < 32; ++s) {
        if (signal_name(s) != name) continue;
        const rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        ::signal(s, SIG_DFL);
        ::raise(s);
    }
    ::_exit(99);
}

void write_raw(int fd, const std::string& text) {
    // Blocking on purpose: the parent must get it all, or close.
    for (std::size_t sent = 0; sent < text.size();) {
        const ssize_t n = ::write(fd, text.data() + sent, text.size() - sent);
        if (n > 0) sent += static_cast<std::size_t>(n);
        else if (errno != EAGAIN) return;
        else std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace

int fake_protocol(const StartMessage& start) {
    const auto script = load_script(start);
    if (!script.ok() || !script->contains("protocol")) return kWorkerProtocol;
    return (*script)["protocol"].is_number_integer() ? (*script)["protocol"].get<int>() : 0;
}

Result<optimizer::Trial> run_fake_trial(const StartMessage& start, WorkerSession& session) {
    TENPAK_ASSIGN(const Json script, load_script(start));
    TENPAK_ASSIGN(const Json steps, steps_of(script, start));
    const JobContext ctx = session.context();
    Json result = {{"id", start.candidate}, {"candidate", start.candidate}, {"status", "done"}, {"provenance", "measured"}, {"device", "fake device"}};
    bool deaf = false;
    for (const Json& step : steps) {
        if (!step.is_object() || step.empty()) return make_error(ErrorCode::kMalformed, "a step must be an object", "script");
        if (!deaf) TENPAK_RETURN_IF_ERROR(ctx.check());
        const auto text = [&](const char* key) { return step.value(key, std::string()); };
        if (step.contains("phase")) session.report(text("phase"), step.value("fraction", 0.0));
        else if (step.contains("sleep_ms")) {
            const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(step["sleep_ms"].get<int>());
            TENPAK_RETURN_IF_ERROR(wait_until(ctx, deaf, [&] { return std::chrono::steady_clock::now() >= end; }));
        } else if (step.contains("wait_file")) {
            TENPAK_RETURN_IF_ERROR(wait_until(ctx, deaf, [&] { return std::filesystem::exists(text("wait_file")); }));
        } else if (step.contains("ignore_cancel")) {
            deaf = true;
            session.ignore_cancel();
            ::signal(SIGTERM, SIG_IGN);
        } else if (step.contains("metrics")) result["metrics"] = step["metrics"];
        else if (step.contains("error")) {
            ErrorCode code = ErrorCode::kInternal;
            for (int i = 0; i < kErrorCodeCount; ++i) {
                if (text("error") == error_code_name(static_cast<ErrorCode>(i))) code = static_cast<ErrorCode>(i);
            }
            return make_error(code, text("what"), start.candidate);
        } else if (step.contains("crash")) die_of(text("crash"));
        else if (step.contains("exit")) ::_exit(step["exit"].get<int>());
        else if (step.contains("hang")) {
            session.stop_heartbeat();
            session.ignore_cancel();
            for (;;) ::pause();
        } else if (step.contains("allocate_mb")) allocate_until_no_more(step["allocate_mb"].get<std::uint64_t>());
        else if (step.contains("garbage")) write_raw(session.fd(), text("garbage"));
        else if (step.contains("flood_mb")) write_raw(session.fd(), std::string(step["flood_mb"].get<std::size_t>() << 20, 'x'));
        else if (step.contains("stderr")) {
            const std::string words = text("stderr") + "\n";
            std::fwrite(words.data(), 1, words.size(), stderr);
        } else if (step.contains("append")) {
            std::ofstream(text("append"), std::ios::app) << text("text") << "\n" << std::flush;
        } else return make_error(ErrorCode::kMalformed, "unknown step " + canonical_json(step), "script");
    }
    if (!result.contains("metrics")) ::_exit(0);  // "no result at all" is a fault, too
    return trial_from_json(canonical_json(result), "script");
}

}  // namespace tenpak::jobs
