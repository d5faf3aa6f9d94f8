// SPDX-License-Identifier: Apache-2.0
// The live estimate of a large pair with a warm cache: when the first figure comes, how near the last is to the true
// size, and whether the true size lies inside every snapshot's range.
//   tenpak_check_estimate BASE FT [--within PERCENT] [--first-ms N] [--runs N]
// Needs the true size: compresses once. Prints Markdown; exit code 1 when something misses.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/bench/program.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace tenpak;
using namespace tenpak::bench;

struct Line {
    double at_s = 0;  ///< since the program was started
    Json json;
};
/// Snapshots with the time at which each line could be read.
std::vector<Line> stream(const fs::path& base, const fs::path& fine) {
    int out[2];
    if (pipe2(out, O_CLOEXEC) != 0) die("pipe");
    const std::string program = tenpak_program().string();
    const double start = wall_seconds();
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        execl(program.c_str(), program.c_str(), "delta", "estimate", base.c_str(), fine.c_str(), "--stream", "--quiet",
              nullptr);
        _exit(127);
    }
    close(out[1]);
    std::vector<Line> lines;
    std::string text;
    std::vector<char> buffer(1u << 20);
    for (ssize_t n; (n = read(out[0], buffer.data(), buffer.size())) > 0;) {
        text.append(buffer.data(), static_cast<std::size_t>(n));
        for (std::size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1))
            lines.push_back(
                {wall_seconds() - start, need(parse_json(std::string_view(text).substr(0, end), "estimate"))});
    }
    close(out[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || lines.empty()) die("tenpak delta estimate failed");
    return lines;
}

void warm(const fs::path& p) {
    Bytes buffer(4u << 20);
    for (const auto& e : fs::recursive_directory_iterator(p)) {
        if (!e.is_regular_file()) continue;
        const File f = need(File::open(e.path()));
        for (std::uint64_t at = 0; at < f.size(); at += buffer.size())
            need(f.read_at(at, std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), f.size() - at))));
    }
}

}  // namespace

int main(int argc, char** argv) {
    double within = 2, first_ms = 300;
    int runs = 5;
    std::vector<fs::path> models;
    for (int i = 1; i < argc; ++i) {
        const bool more = i + 1 < argc;
        if (std::strcmp(argv[i], "--within") == 0 && more)
            within = std::atof(argv[++i]);
        else if (std::strcmp(argv[i], "--first-ms") == 0 && more)
            first_ms = std::atof(argv[++i]);
        else if (std::strcmp(argv[i], "--runs") == 0 && more)
            runs = std::atoi(argv[++i]);
        else
            models.push_back(argv[i]);
    }
    if (models.size() != 2) {
        std::fprintf(stderr, "usage: tenpak_check_estimate BASE FT [--within PERCENT] [--first-ms N] [--runs N]\n");
        return 2;
    }
    const test::TempDir temp;
    setenv("XDG_CACHE_HOME", (temp / "cache").c_str(), 1);
    const TenpakRun c = command({"delta", "compress", models[0], models[1], "-o", temp / "x.tnpk"});
    const auto truth = c.json["stored_bytes"].get<double>();
    fs::remove(temp / "x.tnpk");
    warm(models[0]);
    warm(models[1]);
    std::printf(
        "True size %.0f bytes of %.0f (%.4f).\n\n| run | first figure | | snapshots | inside [low, high] | | last "
        "figure | error | | seconds |\n|---:|---:|---|---:|---:|---|---:|---:|---|---:|\n",
        truth, c.json["raw_bytes"].get<double>(), truth / c.json["raw_bytes"].get<double>());
    bool all = true;
    for (int i = 0; i < runs; ++i) {
        const auto lines = stream(models[0], models[1]);
        std::size_t inside = 0;
        for (const Line& l : lines) {
            if (l.json["low"].get<double>() <= truth && truth <= l.json["high"].get<double>())
                ++inside;
            else
                std::fprintf(stderr, "run %d at %.2f s: [%.0f, %.0f] leaves out %.0f\n", i + 1, l.at_s,
                             l.json["low"].get<double>(), l.json["high"].get<double>(), truth);
        }
        const auto last = lines.back().json["estimated_bytes"].get<double>();
        const double error = 100 * (last / truth - 1);
        const bool soon = 1000 * lines.front().at_s <= first_ms, in = inside == lines.size(),
                   near = std::abs(error) <= within;
        all = all && soon && in && near;
        const auto v = [](bool ok) { return ok ? "PASS" : "**FAIL**"; };
        std::printf("| %d | %.0f ms | %s | %zu | %zu | %s | %.0f | %+.2f %% | %s | %.1f |\n", i + 1,
                    1000 * lines.front().at_s, v(soon), lines.size(), inside, v(in), last, error, v(near),
                    lines.back().at_s);
        std::fflush(stdout);
    }
    return all ? 0 : 1;
}
