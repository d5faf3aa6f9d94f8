// SPDX-License-Identifier: Apache-2.0
// Runs a program to its end: what it printed, wall and CPU seconds, peak resident memory.
#pragma once
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"

namespace tenpak::bench {

struct Ran {
    int code = -1;  ///< exit code; 128 + signal; 127: not found
    std::string out, err;
    double wall_s = 0, cpu_s = 0;
    std::uint64_t peak_bytes = 0;
};
/// Looked up in PATH where `program` has no slash.
Ran run(const std::string& program, const std::vector<std::string>& args);
bool in_path(const std::string& program);
/// The built command line: its JSON document, or what it said when it failed. command() ends the benchmark then.
struct TenpakRun {
    Json json;
    double wall_s = 0, cpu_s = 0;
    std::uint64_t peak_bytes = 0;
};
Result<TenpakRun> try_command(std::vector<std::string> args);
TenpakRun command(std::vector<std::string> args);
fs::path tenpak_program();  ///< $TENPAK, else the one built with this benchmark

[[noreturn]] void die(const std::string& what);
template <class T>
T need(Result<T> r) {
    if (!r.ok()) die(r.error().text());
    return std::move(r).value();
}
inline void need(const Status& s) {
    if (!s.ok()) die(s.error().text());
}
/// printf into a string, for tables.
[[gnu::format(printf, 1, 2)]] std::string format(const char* f, ...);

/// CPU time of this thread: what else the machine does does not count (caches and clocks are shared all the same).
double thread_seconds();
double wall_seconds();
/// Every file below the folder is the same in both, byte for byte, and there are no others. `why` says the first that
/// is not.
bool same_files(const fs::path& a, const fs::path& b, std::string* why);

}  // namespace tenpak::bench
