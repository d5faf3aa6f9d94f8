// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

namespace tenpak::bench {

void die(const std::string& what) {
    std::fprintf(stderr, "benchmark: %s\n", what.c_str());
    std::exit(1);
}

std::string format(const char* f, ...) {
    char s[1024];
    va_list v;
    va_start(v, f);
    std::vsnprintf(s, sizeof s, f, v);
    va_end(v);
    return s;
}

namespace {
double clock_s(clockid_t c) {
    timespec t{};
    clock_gettime(c, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
double seconds_of(timeval t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); }
}  // namespace
double thread_seconds() { return clock_s(CLOCK_THREAD_CPUTIME_ID); }
double wall_seconds() { return clock_s(CLOCK_MONOTONIC); }

Ran run(const std::string& program, const std::vector<std::string>& args) {
    Ran r;
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) return r;
    std::vector<std::string> words{program};
    words.insert(words.end(), args.begin(), args.end());
    std::vector<char*> argv;
    for (auto& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    const double start = wall_seconds();
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        execvp(argv[0], argv.data());
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    pollfd fds[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
    std::string* text[2] = {&r.out, &r.err};
    std::vector<char> buffer(65536);
    for (int open_ends = 2; open_ends > 0;) {
        poll(fds, 2, -1);
        for (int i = 0; i < 2; ++i) {
            if (fds[i].fd < 0 || fds[i].revents == 0) continue;
            const ssize_t n = read(fds[i].fd, buffer.data(), buffer.size());
            if (n > 0) {
                text[i]->append(buffer.data(), static_cast<std::size_t>(n));
            } else {
                fds[i].fd = -1;
                --open_ends;
            }
        }
    }
    close(out[0]);
    close(err[0]);
    int status = 0;
    rusage used{};
    wait4(pid, &status, 0, &used);
    r.wall_s = wall_seconds() - start;
    r.cpu_s = seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
    r.peak_bytes = static_cast<std::uint64_t>(used.ru_maxrss) * 1024;
    r.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return r;
}

bool in_path(const std::string& program) {
    const char* path = std::getenv("PATH");
    std::string rest = path != nullptr ? path : "";
    while (!rest.empty()) {
        const auto colon = rest.find(':');
        const std::string dir = rest.substr(0, colon);
        if (access((dir + "/" + program).c_str(), X_OK) == 0) return true;
        rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
    }
    return false;
}

fs::path tenpak_program() {
    if (const char* p = std::getenv("TENPAK")) return p;
    return fs::path(TENPAK_BIN_DIR) / "tenpak";
}

Result<TenpakRun> try_command(std::vector<std::string> args) {
    args.push_back("--json");
    args.push_back("--quiet");
    const Ran r = run(tenpak_program().string(), args);
    std::string line = "tenpak";
    for (const auto& a : args) line += " " + a;
    if (r.code != 0)
        return make_error(ErrorCode::kInternal, "exit code " + std::to_string(r.code) + ": " + r.err, line);
    auto json = parse_json(r.out, line);
    if (!json.ok()) return json.error();
    return TenpakRun{std::move(json).value(), r.wall_s, r.cpu_s, r.peak_bytes};
}
TenpakRun command(std::vector<std::string> args) { return need(try_command(std::move(args))); }

bool same_files(const fs::path& a, const fs::path& b, std::string* why) {
    const auto names = [](const fs::path& p) {
        std::set<std::string> s;
        for (const auto& e : fs::recursive_directory_iterator(p, fs::directory_options::follow_directory_symlink))
            if (e.is_regular_file()) s.insert(fs::relative(e.path(), p).string());
        return s;
    };
    const auto in_a = names(a);
    if (in_a != names(b)) {
        *why = "other files";
        return false;
    }
    Bytes x(4u << 20), y(4u << 20);
    for (const auto& n : in_a) {
        const File f = need(File::open(a / n)), g = need(File::open(b / n));
        bool same = f.size() == g.size();
        for (std::uint64_t at = 0; same && at < f.size(); at += x.size()) {
            const auto k = static_cast<std::size_t>(std::min<std::uint64_t>(x.size(), f.size() - at));
            need(f.read_at(at, std::span(x).first(k)));
            need(g.read_at(at, std::span(y).first(k)));
            same = std::memcmp(x.data(), y.data(), k) == 0;
        }
        if (!same) {
            *why = n + " differs";
            return false;
        }
    }
    return true;
}

}  // namespace tenpak::bench
