// SPDX-License-Identifier: Apache-2.0
// How eval and bench open a MODEL and its text.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "app/cli/command.h"
#include "core/compute/backend.h"
#include "core/model/tokenizer.h"
#include "core/model/transformer.h"

namespace tenpak::cli {

struct RunnableModel {
    std::shared_ptr<const ModelSource> source;
    std::unique_ptr<compute::Backend> backend;
    std::unique_ptr<model::Transformer> transformer;  ///< after backend: it must be destroyed first
    std::vector<std::string> notes;                   ///< what measurements of this model do not say of its own format
};
/// `base`: needed by a .tnpk that holds a delta. `device`: "cpu" or empty; "cuda", "cuda:N" (in a worker process, run_in_worker.h). `activations`: "native", "exact" or empty (exact).
Result<RunnableModel> load_runnable(const Context& ctx, const std::string& path, const std::string& base, const std::string& device, unsigned threads,
                                    const std::string& activations = {}, const model::LoadOptions& options = {});
/// --memory-limit SIZE ("8GB", "500MiB"), into LoadOptions::memory_limit.
void add_memory_limit(CLI::App& command, std::uint64_t& bytes);
/// The backend for --device; kUnsupported for one that is not built in.
Result<std::unique_ptr<compute::Backend>> make_backend(const std::string& device, unsigned threads, const std::string& activations = {});
/// --activations exact|native
void add_activations_option(CLI::App& command, std::string& value);
/// The token that the tokenizer puts before a text by itself, -1 if none.
Result<model::Token> added_bos(const model::Tokenizer& tokenizer);
/// A text file in the tokens of the model's own tokenizer.
Result<std::vector<model::Token>> read_tokens(const ModelSource& source, const std::string& text_file);

}  // namespace tenpak::cli
