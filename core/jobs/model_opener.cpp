// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/model_opener.h"

#include "core/quant/layouts/gguf_model.h"

namespace tenpak::jobs {
namespace {

ModelOpener& opener() {
    static ModelOpener o;
    return o;
}

}  // namespace

void set_model_opener(ModelOpener o) { opener() = std::move(o); }

Result<std::shared_ptr<const ModelSource>> open_sweep_model(const fs::path& model, const fs::path& base) {
    if (opener()) return opener()(model, base);
    if (!base.empty()) return make_error(ErrorCode::kUnsupported, "a delta cannot be opened here", model.string(), "Rebuild it into a folder first");
    if (quant::GgufModel::is_gguf(model)) {
        TENPAK_ASSIGN(auto gguf, quant::GgufModel::open(model));
        return std::shared_ptr<const ModelSource>(std::move(gguf));
    }
    TENPAK_ASSIGN(auto directory, ModelDirectory::open(model));
    return std::shared_ptr<const ModelSource>(std::move(directory));
}

}  // namespace tenpak::jobs
