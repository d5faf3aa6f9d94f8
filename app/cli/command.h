// SPDX-License-Identifier: Apache-2.0
// What every subcommand of `tenpak` shares: one JSON document or plain lines on stdout at the end, progress on stderr,
// one-line errors, exit codes of design section 4. A subcommand is one file with one add_… function.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "core/base/job_context.h"
#include "core/base/json.h"

namespace tenpak::cli {

/// Options before the subcommand, and the running command's context (SIGINT and SIGTERM request its stop).
struct Context {
    bool json = false, quiet = false, no_progress_bar = false;
    JobContext job;                 ///< stop token and a progress printer, set up by main
    std::filesystem::path program;  ///< this executable: the worker program
    /// Set by the subcommand that was chosen; main runs it after parsing.
    std::function<Result<int>()> run;
};

/// What a command has to say at the end: `json` with --json, `text` otherwise.
void print_result(const Context& ctx, const OrderedJson& json, const std::string& text);
/// "tenpak: error[CODE]: …" on stderr, with --json also {"error":{…}} on stdout. Returns the exit code.
int print_error(const Context& ctx, const Error& error);
void print_note(const Context& ctx, const std::string& line);  ///< on stderr unless --quiet

/// Decimal units, three significant digits: "757 MB".
std::string format_bytes(double bytes);
std::string format_duration(double seconds);
std::string format_percent(double fraction);  ///< "65.5 %"

// One function a file; each adds its subcommand(s) to the parent and sets ctx.run from a callback.
void add_inspect(CLI::App& app, Context& ctx);
void add_delta(CLI::App& app, Context& ctx);     ///< estimate, compress, reconstruct, and the two below
void add_delta_archive(CLI::App& group, Context& ctx);
void add_delta_extract(CLI::App& group, Context& ctx);
void add_artifact(CLI::App& app, Context& ctx);  ///< pack, unpack, inspect, diff, keygen, sign, verify
void add_eval(CLI::App& app, Context& ctx);
void add_bench(CLI::App& app, Context& ctx);
void add_quantize(CLI::App& app, Context& ctx);
void add_optimize(CLI::App& app, Context& ctx);
void add_generate(CLI::App& app, Context& ctx);
void add_tokenize(CLI::App& app, Context& ctx);
void add_worker(CLI::App& app, Context& ctx);

}  // namespace tenpak::cli
