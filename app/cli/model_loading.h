// SPDX-License-Identifier: Apache-2.0
// How eval and bench open a MODEL and its text.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "app/cli/command.h"
#include "core/compute/backend.h"
#include "core/model/transformer.h"

namespace tenpak::cli {

struct RunnableModel {
    std::shared_ptr<const ModelSource> source;
    std::unique_ptr<compute::Backend> backend;
    std::unique_ptr<model::Transformer> transformer;  ///< after backend: it must be destroyed first
};
/// `base`: needed by a .tnpk that holds a delta. `device`: "cpu" or empty, "cuda", "cuda:N" (in a worker process, run_in_worker.h), refused where the model does not fit it.
Result<RunnableModel> load_runnable(const Context& ctx, const std::string& path, const std::string& base, const std::string& device, unsigned threads);
/// The backend for --device; kUnsupported for one that is not built in.
Result<std::unique_ptr<compute::Backend>> make_backend(const std::string& device, unsigned threads);
/// A text file in the tokens of the model's own tokenizer.
Result<std::vector<model::Token>> read_tokens(const ModelSource& source, const std::string& text_file);

}  // namespace tenpak::cli
