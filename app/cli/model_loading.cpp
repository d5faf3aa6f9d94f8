// SPDX-License-Identifier: Apache-2.0
#include "app/cli/model_loading.h"

#include <algorithm>

#include "core/artifact/artifact.h"
#include "core/compute/devices.h"
#include "core/base/file.h"
#include "core/model/tokenizer.h"
#include "core/quant/export_layout.h"
#include "core/quant/layouts/gguf_import.h"

namespace tenpak::cli {
Result<std::unique_ptr<compute::Backend>> make_backend(const std::string& device, unsigned threads, const std::string& activations) {
    return compute::make_backend(device, compute::CpuOptions{threads, activations == "native" ? compute::Activations::kNative : compute::Activations::kExact});
}

Result<RunnableModel> load_runnable(const Context& ctx, const std::string& path, const std::string& base, const std::string& device, unsigned threads,
                                    const std::string& activations, const model::LoadOptions& options) {
    RunnableModel m;
    TENPAK_ASSIGN(m.backend, make_backend(device, threads, activations));
    TENPAK_ASSIGN(m.source, open_model(path, base));
    // A quantized checkpoint runs from its packed weights.
    TENPAK_ASSIGN(const auto overrides, quant::import_quantized(*m.source, ctx.job));
    m.notes = quant::gguf_import_notes(*m.source, overrides);
    TENPAK_ASSIGN(m.transformer, model::Transformer::load(m.source, overrides, *m.backend, options, ctx.job));
    return m;
}

void add_activations_option(CLI::App& command, std::string& value) {
    command.add_option("--activations", value, "exact: as the model defines; native: rounded to what the CPU multiplies fastest (bf16, int8)")
        ->check(CLI::IsMember({"exact", "native"}));
}

void add_memory_limit(CLI::App& command, std::uint64_t& bytes) {
    command.add_option("--memory-limit", bytes, "Memory for weights, KV cache and workspace, such as 8GB: a model that needs more is streamed from disk layer by layer (default: what is free)")
        ->transform(CLI::AsSizeValue(true));
}

Result<model::Token> added_bos(const model::Tokenizer& tokenizer) {
    TENPAK_ASSIGN(const auto with, tokenizer.encode("a", true));
    TENPAK_ASSIGN(const auto without, tokenizer.encode("a", false));
    return with.size() > without.size() && !with.empty() && (without.empty() || with.front() != without.front()) ? with.front() : -1;
}

Result<std::vector<model::Token>> read_tokens(const ModelSource& source, const std::string& text_file) {
    TENPAK_ASSIGN(const std::string text, read_text_file(text_file, 1u << 30));
    TENPAK_ASSIGN(const auto tokenizer, model::load_tokenizer(source));
    auto tokens = tokenizer->encode(text, true);
    if (tokens.ok()) return tokens;
    Error e = std::move(tokens).error();
    if (e.where.empty()) e.where = text_file;
    return e;
}

}  // namespace tenpak::cli
