// SPDX-License-Identifier: Apache-2.0
#include "app/cli/bench_endpoint.h"

#include <algorithm>
#include <cstdio>

#include "app/cli/model_loading.h"
#include "core/base/file.h"
#include "core/serving/benchmark.h"
#include "core/serving/prompts.h"
#include "core/serving/server_perplexity.h"

namespace tenpak::cli {
namespace {

struct Target {
    std::unique_ptr<hub::HttpClient> client;
    serving::Endpoint endpoint;
    serving::ServerInfo info;
};

Result<Target> open_target(const Context& ctx, const EndpointOptions& o) {
    Target t;
    TENPAK_ASSIGN(t.endpoint, serving::parse_endpoint(o.url, o.chat));
    t.endpoint.model = o.model;
    t.endpoint.timeout_s = o.timeout_s;
    if (!o.token_env.empty()) {
        TENPAK_ASSIGN(t.endpoint.token, hub::BearerToken::from_environment(o.token_env));
    } else if (!o.token_file.empty()) {
        TENPAK_ASSIGN(t.endpoint.token, hub::BearerToken::from_file(o.token_file));
    }
    TENPAK_ASSIGN(t.client, hub::HttpClient::create({o.ca_file}));
    TENPAK_ASSIGN(t.info, serving::discover(t.endpoint, *t.client, ctx.job));
    return t;
}

OrderedJson percentiles_json(const evaluate::Percentiles& p) { return {{"p50", p.p50}, {"p95", p.p95}, {"p99", p.p99}}; }

OrderedJson level_json(const serving::LevelTiming& l) {
    return {{"concurrency", l.concurrency}, {"requests", l.requests}, {"errors", l.errors}, {"error_messages", l.error_messages}, {"finish_reasons", l.finish_reasons},
            {"latency_ms", percentiles_json(l.latency_ms)}, {"samples", l.samples}, {"ttft_ms", percentiles_json(l.ttft_ms)}, {"tpot_ms", percentiles_json(l.tpot_ms)},
            {"e2e_ms", percentiles_json(l.e2e_ms)}, {"decode_tps", l.output_tps}, {"requests_per_second", l.requests_per_second}, {"prompt_tokens", l.prompt_tokens},
            {"generated_tokens", l.generated_tokens}, {"chunks", l.pieces}, {"seconds", l.seconds}, {"variation", l.variation}, {"rounds", l.rounds}};
}

OrderedJson bench_json(const Target& t, const EndpointOptions& o, const serving::BenchmarkResult& r, unsigned prompt, unsigned generate) {
    const serving::LevelTiming& first = r.levels.front();
    OrderedJson levels = OrderedJson::array(), concurrency = OrderedJson::array();
    std::uint64_t requests = 0, errors = 0;
    for (const auto& l : r.levels) {
        levels.push_back(level_json(l));
        concurrency.push_back(l.concurrency);
        requests += l.requests;
        errors += l.errors;
    }
    OrderedJson prefill, rate;
    if (r.prefill_tps > 0) prefill = r.prefill_tps;
    if (o.request_rate > 0) rate = o.request_rate;
    return {{"latency_ms", percentiles_json(first.latency_ms)}, {"samples", first.samples}, {"time_to_first_token_ms", first.ttft_ms.p50}, {"prefill_tps", prefill},
            {"decode_tps", first.output_tps}, {"memory_bytes", nullptr}, {"bandwidth_fraction", nullptr}, {"backend", "endpoint"}, {"device", t.endpoint.completions_url()},
            {"batch", first.concurrency}, {"prompt", prompt}, {"generate", generate}, {"model", t.endpoint.model}, {"server", t.info.server}, {"requests", requests}, {"errors", errors},
            {"ttft_ms", percentiles_json(first.ttft_ms)}, {"tpot_ms", percentiles_json(first.tpot_ms)}, {"e2e_ms", percentiles_json(first.e2e_ms)}, {"concurrency", concurrency},
            {"request_rate", rate}, {"token_counts", serving::counts_from_name(r.counts)}, {"prompt_counts", r.prompt_counts}, {"token_id_prompts", r.dialect.token_prompts},
            {"ignore_eos", r.dialect.ignore_eos}, {"variation", first.variation}, {"levels", levels}};
}

std::string bench_text(const Target& t, const EndpointOptions& o, const serving::BenchmarkResult& r) {
    char line[512];
    std::string text;
    bool few = false, bundled = false;
    std::uint64_t early = 0;
    for (const auto& l : r.levels) {
        std::snprintf(line, sizeof line,
                      "concurrency %-3u %8.2f ms between tokens (p95 %.2f, p99 %.2f; %llu samples), %.2f ms a token of a request\n"
                      "          first token after %.1f ms (p95 %.1f, p99 %.1f), whole answer %.0f ms, %.1f tokens/s, %.2f requests/s, variation %.1f %%\n"
                      "          %llu requests, %llu errors\n",
                      l.concurrency, l.latency_ms.p50, l.latency_ms.p95, l.latency_ms.p99, static_cast<unsigned long long>(l.samples), l.tpot_ms.p50, l.ttft_ms.p50, l.ttft_ms.p95, l.ttft_ms.p99,
                      l.e2e_ms.p50, l.output_tps, l.requests_per_second, 100 * l.variation, static_cast<unsigned long long>(l.requests), static_cast<unsigned long long>(l.errors));
        text += line;
        for (const auto& [message, count] : l.error_messages) text += "          " + std::to_string(count) + " x " + make_error(ErrorCode::kIo, message).text() + "\n";
        for (const auto& [reason, count] : l.finish_reasons) early += reason == "length" ? 0 : count;
        few |= l.samples < 300;
        bundled |= r.counts == serving::CountsFrom::kServer && static_cast<double>(l.generated_tokens) > 1.02 * static_cast<double>(l.pieces);
    }
    if (few) text += "fewer than 300 samples: p99 is little more than the slowest step\n";
    if (bundled) text += "the server sends several tokens at once: the time between two pieces is not that between two tokens; the time a token of a request is\n";
    text += std::string("tokens counted ") + (r.counts == serving::CountsFrom::kServer ? "by the server" : r.counts == serving::CountsFrom::kPieces ? "as pieces of the stream: the server sends no counts" : "by the server where it does, else as pieces of the stream");
    if (r.prompt_counts == "words") text += "; prompts are words, their tokens are not known (--tokenizer DIR makes them exact)";
    if (early != 0) text += "; " + std::to_string(early) + " answers ended before their length";
    text += o.request_rate > 0 ? "; Poisson arrivals, waits included\n" : "; tokens/s over the whole time, prefill included\n";
    return text + t.endpoint.completions_url() + (t.endpoint.model.empty() ? "" : " · " + t.endpoint.model) + (t.info.server.empty() ? "" : " · " + t.info.server);
}

void warn_of_open_token(const Context& ctx, const Target& t) {
    if (!t.endpoint.token.empty() && t.endpoint.base.starts_with("http://")) print_note(ctx, "the token goes over http, unencrypted");
}

}  // namespace

std::shared_ptr<EndpointOptions> add_endpoint_options(CLI::App& cmd, bool bench) {
    auto o = std::make_shared<EndpointOptions>();
    const std::string group = "A running server as the target";
    cmd.add_option("--endpoint", o->url, "Address of an OpenAI-compatible server (vLLM, SGLang, TGI, llama-server), instead of MODEL")->group(group);
    cmd.add_option("--model", o->model, "Model name that the server knows (default: the first that it lists)")->group(group);
    cmd.add_option("--tokenizer", o->tokenizer, bench ? "Model folder whose tokenizer.json makes prompts of exact length" : "Model folder whose tokenizer.json cuts the text")->group(group);
    cmd.add_option("--concurrency", o->concurrency, bench ? "Requests at once; a list \"1,4,16\" measures each (default 1)" : "Requests at once (default 4)")
        ->delimiter(',')->check(CLI::Range(1u, 1024u))->group(group);
    auto* env = cmd.add_option("--token-env", o->token_env, "Environment variable that holds the server's bearer token")->group(group);
    cmd.add_option("--token-file", o->token_file, "File that holds it")->excludes(env)->group(group);
    cmd.add_option("--ca-file", o->ca_file, "PEM certificates to trust instead of the system's")->group(group);
    cmd.add_option("--timeout", o->timeout_s, "Seconds that one request may take (default 600)")->check(CLI::Range(0.1, 86400.0))->group(group);
    if (!bench) return o;
    cmd.add_flag("--chat", o->chat, "Use /v1/chat/completions")->group(group);
    cmd.add_option("--request-rate", o->request_rate, "Poisson arrivals a second, at most --concurrency at once (default: each answer is followed by the next request)")
        ->check(CLI::Range(0.0, 1e5))->group(group);
    return o;
}

Result<int> bench_endpoint(const Context& ctx, const EndpointOptions& o, unsigned prompt, unsigned generate, unsigned samples) {
    TENPAK_ASSIGN(Target t, open_target(ctx, o));
    warn_of_open_token(ctx, t);
    std::shared_ptr<const model::Tokenizer> tokenizer;
    if (!o.tokenizer.empty()) {
        TENPAK_ASSIGN(tokenizer, serving::load_local_tokenizer(o.tokenizer));
    }
    serving::BenchmarkOptions options;
    options.prompt = prompt;
    if (generate != 0) options.generate = generate;
    options.samples = samples;
    options.request_rate = o.request_rate;
    if (!o.concurrency.empty()) options.concurrency.assign(o.concurrency.begin(), o.concurrency.end());
    TENPAK_ASSIGN(const auto r, serving::measure_endpoint(t.endpoint, *t.client, tokenizer, options, ctx.job));
    print_result(ctx, bench_json(t, o, r, prompt, options.generate), bench_text(t, o, r));
    return 0;
}

Result<int> eval_endpoint(const Context& ctx, const EndpointOptions& o, const std::string& text_file, evaluate::PerplexityOptions options) {
    if (text_file.empty()) return make_error(ErrorCode::kInvalidArgument, "there is nothing to measure on", o.url, "Give a text file with --text FILE");
    if (o.tokenizer.empty()) {
        return make_error(ErrorCode::kInvalidArgument, "perplexity through a server needs the model's tokenizer", o.url, "Name the model's folder with --tokenizer DIR (tokenizer.json is enough)");
    }
    TENPAK_ASSIGN(const auto tokenizer, serving::load_local_tokenizer(o.tokenizer));
    TENPAK_ASSIGN(const std::string text, read_text_file(text_file, 1u << 30));
    auto tokens = tokenizer->encode(text, true);
    if (!tokens.ok()) {
        Error e = std::move(tokens).error();
        if (e.where.empty()) e.where = text_file;
        return e;
    }
    TENPAK_ASSIGN(Target t, open_target(ctx, o));
    warn_of_open_token(ctx, t);
    if (options.convention == evaluate::Convention::kSecondHalf) {
        TENPAK_ASSIGN(options.bos, added_bos(*tokenizer));
    }
    // One token of the context is for the one that every request generates.
    const std::uint32_t most = t.info.max_model_len > 2 ? t.info.max_model_len - 1 : UINT32_MAX;
    TENPAK_ASSIGN(const auto plan, evaluate::plan_windows(tokens->size(), most, options));
    TENPAK_ASSIGN(const auto r, serving::server_perplexity(t.endpoint, *t.client, *tokenizer, *tokens, plan, o.concurrency.empty() ? 4 : o.concurrency.front(), ctx.job));
    char line[512];
    std::snprintf(line, sizeof line, "perplexity %.4f ± %.4f (%s: %u windows, %llu predicted tokens, %s)\nby %s, %s\n", r.perplexity, r.standard_error, r.convention.c_str(), r.windows,
                  static_cast<unsigned long long>(r.tokens), format_duration(r.seconds).c_str(), serving::logprobs_by_name(r.by), r.alignment().c_str());
    const std::string where = t.endpoint.completions_url();
    print_result(ctx,
                 {{"perplexity", r.perplexity}, {"standard_error", r.standard_error}, {"tokens", r.tokens}, {"nll", r.nll}, {"convention", r.convention}, {"kl_divergence", nullptr},
                  {"top1_agreement", nullptr}, {"accuracy", nullptr}, {"backend", "endpoint"}, {"device", where}, {"model", t.endpoint.model}, {"server", t.info.server},
                  {"logprobs_by", serving::logprobs_by_name(r.by)}, {"alignment", r.alignment()}, {"windows_retokenized", r.windows_retokenized}, {"server_adds_bos", r.server_adds_bos},
                  {"windows", r.windows}, {"context", r.context}, {"seconds", r.seconds}, {"tokens_per_second", r.seconds > 0 ? static_cast<double>(r.tokens) / r.seconds : 0.0}},
                 line + where + (t.endpoint.model.empty() ? "" : " · " + t.endpoint.model) + (t.info.server.empty() ? "" : " · " + t.info.server));
    return 0;
}

}  // namespace tenpak::cli
