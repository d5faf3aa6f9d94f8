// SPDX-License-Identifier: Apache-2.0
#include "app/cli/model_loading.h"

#include <algorithm>

#include "core/artifact/artifact.h"
#include "core/compute/devices.h"
#include "core/base/file.h"
#include "core/model/memory_need.h"
#include "core/model/tokenizer.h"
#include "core/quant/export_layout.h"

namespace tenpak::cli {
namespace {

constexpr std::uint32_t kUsualContext = 2048;  // what is asked later may be more; then the cache says so

}  // namespace

Result<std::unique_ptr<compute::Backend>> make_backend(const std::string& device, unsigned threads) { return compute::make_backend(device, threads); }

Result<RunnableModel> load_runnable(const Context& ctx, const std::string& path, const std::string& base, const std::string& device, unsigned threads) {
    RunnableModel m;
    TENPAK_ASSIGN(m.backend, make_backend(device, threads));
    TENPAK_ASSIGN(m.source, open_model(path, base));
    // A directory in compressed-tensors layout runs from its packed weights.
    TENPAK_ASSIGN(const auto overrides, quant::import_quantized(*m.source, ctx.job));
    if (const compute::DeviceMemory* const memory = compute::device_memory(*m.backend)) {
        TENPAK_ASSIGN(const model::ModelConfig config, model::read_config(*m.source));
        model::MemoryUse use;
        use.positions = use.batch_tokens = std::min(kUsualContext, config.max_positions);
        std::uint64_t bits = 0, weights = 0;
        for (const auto& [name, w] : overrides.linears) {
            bits += w.stored_bytes() * 8;
            weights += std::uint64_t{w.n} * w.k;
        }
        if (weights > 0) use.bits_per_weight = static_cast<double>(bits) / static_cast<double>(weights);
        TENPAK_RETURN_IF_ERROR(compute::check_fits(model::memory_need(config, use), memory->free_bytes(), memory->total_bytes(), m.backend->description()));
    }
    TENPAK_ASSIGN(m.transformer, model::Transformer::load(m.source, overrides, *m.backend, {}, ctx.job));
    return m;
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
