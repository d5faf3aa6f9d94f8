// SPDX-License-Identifier: Apache-2.0
// tenpak eval: perplexity of a model on a text, its divergence from another model, its accuracy on multiple-choice items.
#include <cstdio>

#include "app/cli/bench_endpoint.h"
#include "app/cli/command.h"
#include "app/cli/model_loading.h"
#include "core/evaluate/multiple_choice.h"
#include "core/evaluate/perplexity.h"

namespace tenpak::cli {
namespace {

struct Options {
    std::string model, base, text, device, reference, save_reference, tasks, convention, activations;
    unsigned context = 0, samples = 0, threads = 0, stride = 0, task_samples = 0;
    model::LoadOptions load;
};

struct Measured {
    evaluate::Comparison text;
    bool has_text = false, compared = false;
    std::optional<evaluate::AccuracyResult> accuracy;
    std::optional<evaluate::AccuracyDelta> accuracy_delta;
};

/// All but the BOS, which needs a tokenizer.
Result<evaluate::PerplexityOptions> perplexity_options(const Options& o) {
    evaluate::PerplexityOptions p;
    p.context = o.context;
    p.max_windows = o.samples;
    p.stride = o.stride;
    TENPAK_ASSIGN(p.convention, evaluate::find_convention(o.convention.empty() ? (o.stride != 0 ? "stride" : "windows") : o.convention));
    if (o.stride != 0 && p.convention != evaluate::Convention::kStride) {
        return make_error(ErrorCode::kInvalidArgument, "--stride belongs to the stride convention, not to " + o.convention, {}, "Leave one of the two out");
    }
    return p;
}

Result<int> run_endpoint(const Context& ctx, const EndpointOptions& endpoint, const Options& o) {
    if (!o.reference.empty() || !o.save_reference.empty() || !o.tasks.empty()) {
        return make_error(ErrorCode::kUnsupported, "--reference, --save-reference and --tasks are for models that run here, not behind an --endpoint", endpoint.url, "Leave them out");
    }
    TENPAK_ASSIGN(const auto options, perplexity_options(o));
    return eval_endpoint(ctx, endpoint, o.text, options);
}

Result<evaluate::PerplexityOptions> perplexity_options(const Options& o, const ModelSource& source) {
    TENPAK_ASSIGN(auto p, perplexity_options(o));
    if (p.convention == evaluate::Convention::kSecondHalf) {
        TENPAK_ASSIGN(const auto tokenizer, model::load_tokenizer(source));
        TENPAK_ASSIGN(p.bos, added_bos(*tokenizer));
    }
    return p;
}

Status measure_text(const Context& ctx, const Options& o, const RunnableModel& m, const RunnableModel* reference, Measured& out) {
    TENPAK_ASSIGN(const auto options, perplexity_options(o, *m.source));
    TENPAK_ASSIGN(const auto tokens, read_tokens(*m.source, o.text));
    out.has_text = true;
    if (reference != nullptr) {
        out.compared = true;
        TENPAK_ASSIGN(out.text, evaluate::compare(*m.transformer, *reference->transformer, tokens, options, ctx.job));
    } else if (!o.reference.empty()) {
        out.compared = true;
        TENPAK_ASSIGN(auto kept, evaluate::ReferenceReader::open(o.reference));
        TENPAK_ASSIGN(out.text, evaluate::compare(*m.transformer, kept, tokens, options, ctx.job));
    } else if (!o.save_reference.empty()) {
        TENPAK_ASSIGN(out.text.candidate, evaluate::perplexity_and_keep(*m.transformer, tokens, options, o.save_reference, o.model, ctx.job));
    } else {
        TENPAK_ASSIGN(out.text.candidate, evaluate::perplexity(*m.transformer, tokens, options, ctx.job));
    }
    return {};
}

Status measure_tasks(const Context& ctx, const Options& o, const RunnableModel& m, const RunnableModel* reference, Measured& out) {
    TENPAK_ASSIGN(const auto items, evaluate::read_choice_items(o.tasks));
    TENPAK_ASSIGN(const auto tokenizer, model::load_tokenizer(*m.source));
    TENPAK_ASSIGN(out.accuracy, evaluate::task_accuracy(*m.transformer, *tokenizer, items, {o.task_samples}, ctx.job));
    if (reference == nullptr) return {};
    TENPAK_ASSIGN(const auto other, evaluate::task_accuracy(*reference->transformer, *tokenizer, items, {o.task_samples}, ctx.job));
    TENPAK_ASSIGN(out.accuracy_delta, evaluate::accuracy_delta(*out.accuracy, other));
    return {};
}

std::string text_of(const Options& o, const RunnableModel& m, const Measured& r) {
    char line[512];
    std::string text;
    const auto add = [&](auto... args) {
        std::snprintf(line, sizeof line, args...);
        text += (text.empty() ? "" : "\n") + std::string(line);
    };
    if (r.has_text) {
        const evaluate::PerplexityResult& p = r.text.candidate;
        add("perplexity %.4f ± %.4f (%s: %u windows, %llu predicted tokens, %s)", p.perplexity, p.standard_error, p.convention.c_str(), p.windows,
            static_cast<unsigned long long>(p.tokens), format_duration(p.seconds).c_str());
        if (!o.save_reference.empty()) add("its predictions are kept in %s", o.save_reference.c_str());
    }
    if (r.compared) {
        const auto& a = r.text.agreement;
        add("against %s: %+.3f %% (95 %%: %+.3f to %+.3f), KL divergence %.5f ± %.5f%s, same likeliest token %.2f %%", o.reference.c_str(), r.text.delta.percent, r.text.delta.low,
            r.text.delta.high, a.kl_divergence, a.kl_standard_error, a.top_k == 0 ? "" : (" (exact over the " + std::to_string(a.top_k) + " likeliest, the rest sampled)").c_str(), 100 * a.top1_agreement);
    }
    if (r.accuracy) {
        add("accuracy %.1f %% ± %.1f (length-normalized; plain %.1f %%; %u items, %s)", r.accuracy->accuracy, r.accuracy->standard_error, r.accuracy->accuracy_raw, r.accuracy->items,
            format_duration(r.accuracy->seconds).c_str());
    }
    if (r.accuracy_delta) {
        const auto& d = *r.accuracy_delta;
        add("against %s: %+.1f points (95 %%: %+.1f to %+.1f), %u answers lost, %u gained", o.reference.c_str(), d.points, d.low, d.high, d.lost, d.gained);
    }
    text += "\n" + m.backend->description();
    if (m.transformer->streamed()) text += " · " + m.transformer->memory_plan().note;
    for (const auto& k : m.transformer->kernels()) text += " · " + k;
    for (const auto& note : m.notes) text += "\nnote: " + note;
    return text;
}

OrderedJson json_of(const RunnableModel& m, const Measured& r) {
    OrderedJson j;
    const evaluate::PerplexityResult& p = r.text.candidate;
    OrderedJson none;
    j["perplexity"] = r.has_text ? OrderedJson(p.perplexity) : none;
    j["standard_error"] = r.has_text ? OrderedJson(p.standard_error) : none;
    j["tokens"] = p.tokens;
    j["nll"] = r.has_text ? OrderedJson(p.nll) : none;
    j["convention"] = r.has_text ? OrderedJson(p.convention) : none;
    j["kl_divergence"] = j["kl_standard_error"] = j["kl_top_k"] = j["top1_agreement"] = j["ppl_delta"] = none;
    if (r.compared) {
        const auto& a = r.text.agreement;
        j["kl_divergence"] = a.kl_divergence;
        j["kl_standard_error"] = a.kl_standard_error;
        if (a.top_k != 0) j["kl_top_k"] = a.top_k;
        j["top1_agreement"] = a.top1_agreement;
        j["ppl_delta"] = {{"percent", r.text.delta.percent}, {"low", r.text.delta.low}, {"high", r.text.delta.high}, {"reference_perplexity", r.text.reference.perplexity}};
    }
    j["accuracy"] = none;
    if (r.accuracy) {
        j["accuracy"] = r.accuracy->accuracy;
        j["accuracy_standard_error"] = r.accuracy->standard_error;
        j["accuracy_raw"] = r.accuracy->accuracy_raw;
        j["items"] = r.accuracy->items;
    }
    if (r.accuracy_delta) {
        const auto& d = *r.accuracy_delta;
        j["accuracy_delta"] = {{"points", d.points}, {"low", d.low}, {"high", d.high}, {"lost", d.lost}, {"gained", d.gained}};
    }
    j["backend"] = m.backend->name();
    j["device"] = m.backend->description();
    j["memory"] = m.transformer->memory_plan().note;
    j["kernels"] = m.transformer->kernels();
    j["notes"] = m.notes;
    j["windows"] = p.windows;
    j["context"] = p.context;
    j["seconds"] = p.seconds + (r.accuracy ? r.accuracy->seconds : 0);
    j["tokens_per_second"] = p.seconds > 0 ? static_cast<double>(p.tokens) / p.seconds : 0.0;
    return j;
}

Status check(const Options& o) {
    const auto bad = [](const char* what, const char* hint) { return make_error(ErrorCode::kInvalidArgument, what, {}, hint); };
    if (o.text.empty() && o.tasks.empty()) return bad("nothing to evaluate on", "Name a text with --text, items with --tasks, or both");
    if (!o.save_reference.empty() && !o.reference.empty()) return bad("--save-reference and --reference exclude each other", "Save the reference's own predictions first");
    if (!o.save_reference.empty() && o.text.empty()) return bad("--save-reference keeps predictions on a text", "Name one with --text");
    return {};
}

Result<int> run(const Context& ctx, const Options& o) {
    TENPAK_RETURN_IF_ERROR(check(o));
    TENPAK_ASSIGN(const RunnableModel m, load_runnable(ctx, o.model, o.base, o.device, o.threads, o.activations, o.load));
    std::optional<RunnableModel> reference;
    if (!o.reference.empty() && !evaluate::is_reference_log(o.reference)) {
        TENPAK_ASSIGN(reference, load_runnable(ctx, o.reference, o.base, o.device, o.threads, o.activations, o.load));
    }
    Measured r;
    const auto with_place = [](Status s, const std::string& where) -> Status {
        if (s.ok() || !s.error().where.empty() || s.error().code != ErrorCode::kInvalidArgument) return s;
        Error e = std::move(s).error();
        e.where = where;
        return e;
    };
    if (!o.text.empty()) TENPAK_RETURN_IF_ERROR(with_place(measure_text(ctx, o, m, reference ? &*reference : nullptr, r), o.text));
    if (!o.tasks.empty()) TENPAK_RETURN_IF_ERROR(with_place(measure_tasks(ctx, o, m, reference ? &*reference : nullptr, r), o.tasks));
    print_result(ctx, json_of(m, r), text_of(o, m, r));
    return 0;
}

}  // namespace

void add_eval(CLI::App& app, Context& ctx) {
    auto* cmd = app.add_subcommand("eval", "Measure a model's perplexity on a text, its divergence from another model, its accuracy on items");
    auto o = std::make_shared<Options>();
    cmd->add_option("MODEL", o->model, "Model directory or .tnpk");
    auto endpoint = add_endpoint_options(*cmd, false);
    cmd->add_option("--text", o->text, "UTF-8 text file");
    cmd->add_option("--base", o->base, "Base model, where MODEL is a delta");
    cmd->add_option("--context", o->context, "Tokens a window (default: 2048, second-half 512, or the model's own limit)")->check(CLI::Range(2u, 1u << 20));
    cmd->add_option("--convention", o->convention, "windows (GPTQ's, the default), second-half (llama.cpp's) or stride (transformers' sliding window)");
    cmd->add_option("--stride", o->stride, "Tokens between the beginnings of overlapping windows; means --convention stride")->check(CLI::Range(1u, 1u << 20));
    cmd->add_option("--eval-samples", o->samples, "Windows to evaluate, evenly spread over the text (default: all)")->check(CLI::PositiveNumber);
    cmd->add_option("--reference", o->reference, "Model, or file of --save-reference, to compare with: KL divergence, agreement, paired difference");
    cmd->add_option("--save-reference", o->save_reference, "Keep what MODEL predicts on the text, for --reference")->type_name("FILE");
    cmd->add_option("--tasks", o->tasks, "Multiple-choice items, a JSON object a line: question (or context), choices, answer")->type_name("FILE.jsonl");
    cmd->add_option("--task-samples", o->task_samples, "Items to score, evenly spread (default: all)")->check(CLI::PositiveNumber);
    cmd->add_option("--device", o->device, "cpu (default), cuda or cuda:N; tenpak worker --probe lists the GPUs");
    add_memory_limit(*cmd, o->load.memory_limit);
    cmd->add_option("--threads", o->threads, "Threads (default: all CPUs)")->check(CLI::Range(1u, 1024u));
    add_activations_option(*cmd, o->activations);
    cmd->callback([&ctx, o, endpoint] {
        if (o->model.empty() != endpoint->given()) throw CLI::ValidationError("eval", "needs a MODEL or an --endpoint, and one of them only");
        ctx.run = [&ctx, o, endpoint] { return endpoint->given() ? run_endpoint(ctx, *endpoint, *o) : run(ctx, *o); };
    });
}

}  // namespace tenpak::cli
