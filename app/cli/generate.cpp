// SPDX-License-Identifier: Apache-2.0
// tenpak generate: a model's continuation of a prompt, or its answer to one message.
#include <unistd.h>

#include <cstdio>

#include "app/cli/command.h"
#include "app/cli/model_loading.h"
#include "core/artifact/artifact.h"
#include "core/base/file.h"
#include "core/model/chat_template.h"
#include "core/model/generate.h"
#include "core/quant/candidate.h"
#include "core/quant/quantize.h"

namespace tenpak::cli {
namespace {

struct Options {
    std::string model, base, device, candidate, prompt, prompt_file, chat, system;
    unsigned threads = 0;
    model::GenerateOptions generate;
};

/// The tokens to continue: of a plain text with BOS where the model has one; a chat template writes its own.
Result<std::vector<model::Token>> prompt_tokens(const Options& o, const ModelSource& source, const model::Tokenizer& tokenizer) {
    if (o.chat.empty()) {
        std::string text = o.prompt;
        if (!o.prompt_file.empty()) {
            TENPAK_ASSIGN(text, read_text_file(o.prompt_file, 64u << 20));
        }
        return tokenizer.encode(text, true);
    }
    TENPAK_ASSIGN(const auto chat, model::ChatTemplate::load(source));
    OrderedJson messages = OrderedJson::array();
    if (!o.system.empty()) messages.push_back({{"role", "system"}, {"content", o.system}});
    messages.push_back({{"role", "user"}, {"content", o.chat}});
    TENPAK_ASSIGN(const std::string text, chat.render({{"messages", std::move(messages)}}));
    return tokenizer.encode(text, false);
}

/// The candidate's packed weights in place of the model's own.
Status apply_candidate(const Context& ctx, const std::string& name, RunnableModel& m) {
    TENPAK_ASSIGN(const quant::Candidate candidate, quant::find_candidate(name));
    if (candidate.method == quant::Method::kNone) return {};
    if (candidate.needs_calibration()) {
        return make_error(ErrorCode::kInvalidArgument, "candidate " + name + " needs a calibration text", {}, "Write it with tenpak quantize and give the directory that it makes");
    }
    TENPAK_ASSIGN(const auto quantized, quant::quantize(m.source, candidate, {}, {}, *m.backend, ctx.job));
    TENPAK_ASSIGN(m.transformer, model::Transformer::load(m.source, quantized.weights, *m.backend, {}, ctx.job));
    return {};
}

/// For a terminal: text of a model's may hold control sequences.
std::string shown(const std::string& text, bool terminal) {
    if (!terminal) return text;
    std::string out;
    for (const char c : text) {
        if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f) out += "\xef\xbf\xbd";
        else out += c;
    }
    return out;
}

Result<int> run(const Context& ctx, Options o) {
    if (int{!o.prompt.empty()} + int{!o.prompt_file.empty()} + int{!o.chat.empty()} != 1) return make_error(ErrorCode::kInvalidArgument, "exactly one of --prompt, --prompt-file and --chat is needed");
    if (!o.system.empty() && o.chat.empty()) return make_error(ErrorCode::kInvalidArgument, "--system goes with --chat");
    TENPAK_RETURN_IF_ERROR(model::check_sampling(o.generate.sampling));
    TENPAK_ASSIGN(const auto source, open_model(o.model, o.base));
    // Before the weights, which take longer: whether the prompt can be used at all.
    TENPAK_ASSIGN(const auto tokenizer, model::load_tokenizer(*source));
    TENPAK_ASSIGN(const auto prompt, prompt_tokens(o, *source, *tokenizer));
    TENPAK_ASSIGN(o.generate.end_tokens, model::end_tokens(*source, *tokenizer));
    TENPAK_ASSIGN(RunnableModel m, load_runnable(ctx, o.model, o.base, o.device, o.threads));
    if (!o.candidate.empty()) TENPAK_RETURN_IF_ERROR(apply_candidate(ctx, o.candidate, m));

    const bool terminal = isatty(STDOUT_FILENO) != 0;
    if (!ctx.quiet && isatty(STDERR_FILENO) != 0) std::fputs("\r\x1b[2K", stderr);  // the progress of loading makes room for the text
    const auto stream = [&](const std::string& text) {
        if (ctx.json) return;
        const std::string out = shown(text, terminal);
        std::fwrite(out.data(), 1, out.size(), stdout);
        std::fflush(stdout);
    };
    TENPAK_ASSIGN(const model::Generated g, model::generate(*m.transformer, *tokenizer, prompt, o.generate, stream, ctx.job));
    if (!ctx.json) {
        if (!g.text.ends_with('\n')) stream("\n");
        char line[256];
        std::snprintf(line, sizeof line, "%zu + %zu tokens (%s), first after %s, then %.1f tokens/s", prompt.size(), g.tokens.size(), g.finish_reason.c_str(), format_duration(g.first_token_seconds).c_str(),
                      g.tokens_per_second);
        print_note(ctx, line);
        for (const auto& note : m.notes) print_note(ctx, "note: " + note);
        return 0;
    }
    const model::SamplingOptions& s = o.generate.sampling;
    OrderedJson j = {{"text", g.text}, {"tokens", g.tokens}, {"finish_reason", g.finish_reason}, {"prompt_tokens", prompt.size()}, {"first_token_seconds", g.first_token_seconds},
                     {"seconds", g.seconds}, {"tokens_per_second", g.tokens_per_second}};
    j["sampling"] = {{"temperature", s.temperature}, {"top_k", s.top_k}, {"top_p", s.top_p}, {"min_p", s.min_p}, {"repetition_penalty", s.repetition_penalty}, {"seed", s.seed}};
    j["candidate"] = o.candidate.empty() ? OrderedJson() : OrderedJson(o.candidate);
    j["backend"] = m.backend->name();
    j["device"] = m.backend->description();
    j["kernels"] = m.transformer->kernels();
    j["notes"] = m.notes;
    print_result(ctx, j, {});
    return 0;
}

}  // namespace

void add_generate(CLI::App& app, Context& ctx) {
    auto* cmd = app.add_subcommand("generate", "Continue a prompt, or answer a message");
    auto o = std::make_shared<Options>();
    model::SamplingOptions& s = o->generate.sampling;
    s.temperature = 0;
    cmd->add_option("MODEL", o->model, "Model directory or .tnpk")->required();
    cmd->add_option("--prompt", o->prompt, "Text to continue");
    cmd->add_option("--prompt-file", o->prompt_file, "UTF-8 file with the text to continue");
    cmd->add_option("--chat", o->chat, "Message to answer, by the model's own chat template");
    cmd->add_option("--system", o->system, "System message before --chat");
    cmd->add_option("--max-tokens", o->generate.max_tokens, "Tokens at most (default: 128)")->check(CLI::Range(1u, 1u << 20));
    cmd->add_option("--temperature", s.temperature, "0 (default): always the likeliest token");
    cmd->add_option("--top-k", s.top_k, "Choose among the K likeliest tokens (default: all)");
    cmd->add_option("--top-p", s.top_p, "Choose among the likeliest tokens that sum to P (default: 1, all)");
    cmd->add_option("--min-p", s.min_p, "Leave out tokens less likely than P times the likeliest (default: 0)");
    cmd->add_option("--repetition-penalty", s.repetition_penalty, "Above 1: tokens seen before become less likely (default: 1)");
    cmd->add_option("--seed", s.seed, "The same seed gives the same text (default: 0)");
    cmd->add_option("--candidate", o->candidate, "Quantize in memory first, for example rtn_g128");
    cmd->add_option("--base", o->base, "Base model, where MODEL is a delta");
    cmd->add_option("--device", o->device, "cpu");
    cmd->add_option("--threads", o->threads, "Threads (default: all CPUs)")->check(CLI::Range(1u, 1024u));
    cmd->callback([&ctx, o] { ctx.run = [&ctx, o] { return run(ctx, *o); }; });
}

}  // namespace tenpak::cli
