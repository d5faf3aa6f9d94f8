// SPDX-License-Identifier: Apache-2.0
// `tenpak optimize` with a scripted backend: scripts, stores, and a run that can be killed.
#pragma once
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "tests/e2e/background_program.h"
#include "tests/support/run_program.h"

namespace tenpak::e2e {

inline Json metrics(double ppl, double delta, double p99, double tps) {
    return {{"metrics", {{"perplexity", ppl}, {"ppl_delta", delta}, {"ppl_delta_low", delta - 0.1}, {"ppl_delta_high", delta + 0.1}, {"window_nll", {2.0, 3.0}},
                         {"compression", 2.0}, {"memory_bytes", 5'000'000},
                         {"batches", {{{"batch", 1}, {"p50_ms", p99 / 2}, {"p95_ms", p99 * 0.9}, {"p99_ms", p99}, {"throughput_tps", tps}, {"samples", 300}}}}}}};
}

class Bench {
   public:
    std::filesystem::path log() const { return dir / "log"; }
    std::filesystem::path store() const { return dir / "jobs.sqlite"; }
    Json ran(const std::string& name) const { return {{"append", log().string()}, {"text", name}}; }
    std::string read_log() const {
        std::ifstream in(log());
        return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    }
    void script(const Json& candidates) const { dir.write("script.json", Json({{"candidates", candidates}}).dump()); }
    std::vector<std::string> arguments(const std::string& candidates, const std::vector<std::string>& more = {}) const {
        std::vector<std::string> a = {"optimize", (dir / "model").string(), "--json", "--backend", "fake:" + (dir / "script.json").string(),
                                      "--store", store().string(), "--candidates", candidates};
        a.insert(a.end(), more.begin(), more.end());
        return a;
    }
    test::Finished run(const std::string& candidates, const std::vector<std::string>& more = {}) const {
        return test::run_program(test::bin_dir() / "tenpak", arguments(candidates, more), environment());
    }
    /// The user's own price table and data folder are not seen.
    std::vector<std::string> environment() const {
        return {"XDG_CONFIG_HOME=" + dir.path().string(), "TENPAK_DATA_DIR=" + (dir / "data").string()};
    }
    test::TempDir dir;
};

/// Pids of workers of `parent` that are alive (not only waiting to be reaped).
inline std::vector<pid_t> workers_of(pid_t parent) {
    std::vector<pid_t> found;
    std::error_code ec;
    for (const auto& p : std::filesystem::directory_iterator("/proc", ec)) {
        const std::string name = p.path().filename().string();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        const auto slurp = [&](const char* file) {
            std::ifstream in(p.path() / file);
            return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
        };
        std::string command = slurp("cmdline");
        std::replace(command.begin(), command.end(), '\0', ' ');
        if (command.find("--parent " + std::to_string(parent) + " ") == std::string::npos || slurp("stat").find(") Z ") != std::string::npos) continue;
        found.push_back(std::stoi(name));
    }
    return found;
}

}  // namespace tenpak::e2e
