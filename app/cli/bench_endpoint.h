// SPDX-License-Identifier: Apache-2.0
// What --endpoint means for `tenpak bench` and `tenpak eval`: the target is a running OpenAI-compatible server.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "app/cli/command.h"
#include "core/evaluate/windows.h"

namespace tenpak::cli {

struct EndpointOptions {
    std::string url, model, tokenizer, token_env, token_file, ca_file;
    std::vector<unsigned> concurrency;
    double request_rate = 0, timeout_s = 600;
    bool chat = false;
    bool given() const { return !url.empty(); }
};
/// Adds --endpoint and what belongs to it; `bench` adds what only a benchmark has.
std::shared_ptr<EndpointOptions> add_endpoint_options(CLI::App& cmd, bool bench);

/// `generate` 0: 64.
Result<int> bench_endpoint(const Context& ctx, const EndpointOptions& o, unsigned prompt, unsigned generate, unsigned samples);

/// `options.bos` is found here.
Result<int> eval_endpoint(const Context& ctx, const EndpointOptions& o, const std::string& text_file, evaluate::PerplexityOptions options);

}  // namespace tenpak::cli
