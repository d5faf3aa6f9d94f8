// SPDX-License-Identifier: Apache-2.0
// tenpak eval: perplexity of a model on a text.
#include <cstdio>

#include "app/cli/command.h"
#include "app/cli/model_loading.h"
#include "core/evaluate/perplexity.h"

namespace tenpak::cli {
namespace {

struct Options {
    std::string model, base, text, device, reference, tasks;
    unsigned context = 0, samples = 0, threads = 0, stride = 0;
    model::LoadOptions load;
};

Error not_built(const char* option) {
    return make_error(ErrorCode::kUnsupported, std::string(option) + " is not built yet", {}, "Leave it out: tenpak eval measures perplexity by non-overlapping windows");
}

Result<evaluate::Comparison> measure(const Context& ctx, const Options& o, const RunnableModel& m, std::span<const model::Token> tokens) {
    const evaluate::PerplexityOptions options{o.context, o.samples};
    if (o.reference.empty()) {
        evaluate::Comparison alone;
        TENPAK_ASSIGN(alone.candidate, evaluate::perplexity(*m.transformer, tokens, options, ctx.job));
        return alone;
    }
    TENPAK_ASSIGN(const RunnableModel reference, load_runnable(ctx, o.reference, o.base, o.device, o.threads, o.load));
    return evaluate::compare(*m.transformer, *reference.transformer, tokens, options, ctx.job);
}

Result<int> run(const Context& ctx, const Options& o) {
    if (!o.tasks.empty()) return not_built("--tasks");
    if (o.stride != 0) return not_built("--stride");
    TENPAK_ASSIGN(const RunnableModel m, load_runnable(ctx, o.model, o.base, o.device, o.threads, o.load));
    TENPAK_ASSIGN(const auto tokens, read_tokens(*m.source, o.text));
    auto measured = measure(ctx, o, m, tokens);
    if (!measured.ok()) {
        Error e = std::move(measured).error();
        if (e.where.empty() && e.code == ErrorCode::kInvalidArgument) e.where = o.text;
        return e;
    }
    const evaluate::PerplexityResult& r = measured->candidate;
    const bool compared = !o.reference.empty();
    OrderedJson kl, top1, delta;
    if (compared) {
        kl = measured->agreement.kl_divergence;
        top1 = measured->agreement.top1_agreement;
        delta = {{"percent", measured->delta.percent}, {"low", measured->delta.low}, {"high", measured->delta.high}, {"reference_perplexity", measured->reference.perplexity}};
    }
    char line[512];
    std::snprintf(line, sizeof line, "perplexity %.4f ± %.4f (%s: %u windows, %llu predicted tokens, %s)", r.perplexity, r.standard_error, r.convention.c_str(), r.windows,
                  static_cast<unsigned long long>(r.tokens), format_duration(r.seconds).c_str());
    std::string text = line;
    if (compared) {
        std::snprintf(line, sizeof line, "\nagainst %s: %+.3f %% (95 %%: %+.3f to %+.3f), KL divergence %.5f, same likeliest token %.2f %%", o.reference.c_str(), measured->delta.percent,
                      measured->delta.low, measured->delta.high, measured->agreement.kl_divergence, 100 * measured->agreement.top1_agreement);
        text += line;
    }
    text += "\n" + m.backend->description();
    if (m.transformer->streamed()) text += " · " + m.transformer->memory_plan().note;
    for (const auto& k : m.transformer->kernels()) text += " · " + k;
    print_result(ctx,
                 {{"perplexity", r.perplexity}, {"standard_error", r.standard_error}, {"tokens", r.tokens}, {"nll", r.nll}, {"convention", r.convention},
                  {"kl_divergence", kl}, {"top1_agreement", top1}, {"accuracy", nullptr}, {"ppl_delta", delta}, {"backend", m.backend->name()}, {"device", m.backend->description()},
                  {"kernels", m.transformer->kernels()}, {"memory", m.transformer->memory_plan().note}, {"windows", r.windows}, {"context", r.context}, {"seconds", r.seconds},
                  {"tokens_per_second", r.seconds > 0 ? static_cast<double>(r.tokens) / r.seconds : 0.0}},
                 text);
    return 0;
}

}  // namespace

void add_eval(CLI::App& app, Context& ctx) {
    auto* cmd = app.add_subcommand("eval", "Measure a model's perplexity on a text");
    auto o = std::make_shared<Options>();
    cmd->add_option("MODEL", o->model, "Model directory or .tnpk")->required();
    cmd->add_option("--text", o->text, "UTF-8 text file")->required();
    cmd->add_option("--base", o->base, "Base model, where MODEL is a delta");
    cmd->add_option("--context", o->context, "Tokens a window (default: 2048 or the model's own limit)")->check(CLI::Range(2u, 1u << 20));
    cmd->add_option("--eval-samples", o->samples, "Windows to evaluate, evenly spread over the text (default: all)")->check(CLI::PositiveNumber);
    cmd->add_option("--stride", o->stride, "Overlapping windows (not built yet)");
    cmd->add_option("--reference", o->reference, "Model to compare with: KL divergence, agreement, paired difference");
    cmd->add_option("--tasks", o->tasks, "Multiple-choice items, JSONL (not built yet)");
    cmd->add_option("--device", o->device, "cpu");
    add_memory_limit(*cmd, o->load.memory_limit);
    cmd->add_option("--threads", o->threads, "Threads (default: all CPUs)")->check(CLI::Range(1u, 1024u));
    cmd->callback([&ctx, o] { ctx.run = [&ctx, o] { return run(ctx, *o); }; });
}

}  // namespace tenpak::cli
