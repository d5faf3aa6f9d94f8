// SPDX-License-Identifier: Apache-2.0
// tenpak tokenize: a text's tokens by a model's own tokenizer.
#include <cstdio>

#include "app/cli/command.h"
#include "core/artifact/artifact.h"
#include "core/base/file.h"
#include "core/model/tokenizer.h"

namespace tenpak::cli {
namespace {

struct Options {
    std::string model, base, text_file, text, lines;
    bool no_special = false, skip_special = false;
};

OrderedJson described(const model::Tokenizer& t, std::span<const model::Token> ids, bool skip_special) {
    std::vector<std::string> tokens;
    for (const auto id : ids) tokens.push_back(t.token_text(id).value_or(""));
    return {{"ids", ids}, {"tokens", tokens}, {"decoded", t.decode(ids, skip_special)}};
}

/// A JSON string a line in, a JSON object a line out: {"ids": …, "decoded": …}.
Result<int> tokenize_lines(const model::Tokenizer& t, const Options& o) {
    TENPAK_ASSIGN(const std::string all, read_text_file(o.lines, 1u << 30));
    std::string out;
    std::size_t number = 0;
    for (std::size_t at = 0; at < all.size();) {
        const auto end = std::min(all.find('\n', at), all.size());
        const std::string where = o.lines + " line " + std::to_string(++number);
        TENPAK_ASSIGN(const Json line, parse_json(std::string_view(all).substr(at, end - at), where));
        if (!line.is_string()) return make_error(ErrorCode::kMalformed, "not a JSON string", where);
        TENPAK_ASSIGN(const auto ids, t.encode(line.get_ref<const std::string&>(), !o.no_special));
        out += OrderedJson({{"ids", ids}, {"decoded", t.decode(ids, o.skip_special)}}).dump() + "\n";
        at = end + 1;
    }
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
    return 0;
}

/// A folder may have a tokenizer and no weights.
Result<std::shared_ptr<const model::Tokenizer>> open_tokenizer(const Options& o) {
    std::error_code ec;
    if (std::filesystem::is_directory(o.model, ec)) return model::load_tokenizer_folder(o.model);
    TENPAK_ASSIGN(const auto source, open_model(o.model, o.base));
    return model::load_tokenizer(*source);
}

Result<int> run(const Context& ctx, const Options& o) {
    if (int{!o.text.empty()} + int{!o.text_file.empty()} + int{!o.lines.empty()} > 1) {
        return make_error(ErrorCode::kInvalidArgument, "--text, --string and --lines are alternatives");
    }
    TENPAK_ASSIGN(const auto tokenizer, open_tokenizer(o));
    if (!o.lines.empty()) return tokenize_lines(*tokenizer, o);
    std::string text = o.text;
    if (!o.text_file.empty()) {
        TENPAK_ASSIGN(text, read_text_file(o.text_file, 1u << 30));
    }
    TENPAK_ASSIGN(const auto ids, tokenizer->encode(text, !o.no_special));
    std::string plain;
    for (const auto id : ids) plain += (plain.empty() ? "" : " ") + std::to_string(id);
    print_result(ctx, ctx.json ? described(*tokenizer, ids, o.skip_special) : OrderedJson(), plain);
    return 0;
}

}  // namespace

void add_tokenize(CLI::App& app, Context& ctx) {
    auto* cmd = app.add_subcommand("tokenize", "Show a text's tokens by a model's own tokenizer");
    auto o = std::make_shared<Options>();
    cmd->add_option("MODEL", o->model, "Model directory (a tokenizer is enough) or .tnpk")->required();
    cmd->add_option("--text", o->text_file, "UTF-8 text file");
    cmd->add_option("--string", o->text, "The text itself");
    cmd->add_option("--lines", o->lines, "File with a JSON string a line; answers with a JSON object a line");
    cmd->add_option("--base", o->base, "Base model, where MODEL is a delta");
    cmd->add_flag("--no-special", o->no_special, "Without the tokens that the model's template adds (BOS …)");
    cmd->add_flag("--skip-special", o->skip_special, "Leave special tokens out of the decoded text");
    cmd->callback([&ctx, o] { ctx.run = [&ctx, o] { return run(ctx, *o); }; });
}

}  // namespace tenpak::cli
