// SPDX-License-Identifier: Apache-2.0
// Scripts for the fake backend, and the spec and options that run them.
#pragma once
#include <fstream>
#include <iterator>
#include <string>

#include "core/base/json.h"
#include "core/jobs/worker.h"
#include "tests/support/temp_dir.h"

namespace tenpak::jobs::fake {

inline Json metrics(double ppl, double delta, double p99, double tps) {
    return {{"metrics", {{"perplexity", ppl}, {"ppl_delta", delta}, {"ppl_delta_low", delta - 0.1}, {"ppl_delta_high", delta + 0.1}, {"window_nll", {2.0, 3.0}},
                         {"compression", 2.0}, {"memory_bytes", 5'000'000},
                         {"batches", {{{"batch", 1}, {"p50_ms", p99 / 2}, {"p95_ms", p99 * 0.9}, {"p99_ms", p99}, {"throughput_tps", tps}, {"samples", 300}}}}}}};
}
inline Json note(const std::filesystem::path& log, const std::string& text) { return {{"append", log.string()}, {"text", text}}; }

/// Writes the script and gives a spec that runs it.
inline SweepSpec spec_for(const test::TempDir& dir, const Json& candidates, const Json& more = Json::object()) {
    Json script = more;
    script["candidates"] = candidates;
    SweepSpec s;
    s.model_path = "/nowhere/model";
    s.candidates = {"fp16"};
    for (const auto& [name, steps] : candidates.items()) {
        if (name != "fp16") s.candidates.push_back(name);
    }
    s.backend = "fake:" + dir.write("script.json", script.dump()).string();
    s.model_fingerprint = s.device = "fake";
    return s;
}
inline SweepOptions options() {
    SweepOptions o;
    o.worker_program = test::bin_dir() / "tenpak";
    o.heartbeat_timeout_s = 20;  // the machine may be loaded
    return o;
}
inline std::string read(const std::filesystem::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace tenpak::jobs::fake
