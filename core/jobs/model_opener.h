// SPDX-License-Identifier: Apache-2.0
// How sweeps and their workers open a model. The engine itself knows folders and .safetensors files; a program that links
// core/artifact installs an opener that knows a .tnpk and its base, too (arrows point downwards).
#pragma once
#include <functional>
#include <memory>

#include "core/tensor/model_source.h"

namespace tenpak::jobs {

/// `base` is empty where none was named.
using ModelOpener = std::function<Result<std::shared_ptr<const ModelSource>>(const fs::path& model, const fs::path& base)>;
/// Once, at the program's start, before anything opens a model.
void set_model_opener(ModelOpener opener);
Result<std::shared_ptr<const ModelSource>> open_sweep_model(const fs::path& model, const fs::path& base);

}  // namespace tenpak::jobs
