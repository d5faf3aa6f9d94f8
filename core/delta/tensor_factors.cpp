// SPDX-License-Identifier: Apache-2.0
#include "core/delta/tensor_factors.h"

#include "core/delta/low_rank_adapter.h"
#include "core/delta/predict.h"

namespace tenpak::delta {

std::optional<MatrixPair> matrix_of(const ModelSource& base, const ModelSource& fine_tune, const TensorPair& pair) {
    const TensorInfo& t = fine_tune.tensors()[pair.fine_tune];
    const auto kind = float_kind(t.dtype);
    if (!pair.base || !kind || t.shape.size() < 2 || t.bytes == 0 || pair.weights != t.elements()) return std::nullopt;
    const std::uint64_t rows = t.shape[0], columns = t.elements() / std::max<std::uint64_t>(rows, 1);
    if (rows > 0xffffffffu || columns > 0xffffffffu) return std::nullopt;
    const TensorInfo& b = base.tensors()[*pair.base];
    MatrixPair m;
    m.rows = static_cast<std::uint32_t>(rows);
    m.columns = static_cast<std::uint32_t>(columns);
    m.kind = *kind;
    m.read = [&base, &fine_tune, &t, &b, pair](std::uint64_t offset, std::span<std::byte> from, std::span<std::byte> to) -> Status {
        TENPAK_RETURN_IF_ERROR(fine_tune.read(t, offset, to));
        const unsigned bits = dtype_bits(b.dtype);
        const std::uint64_t first = pair.base_weight + offset * 8 / dtype_bits(t.dtype), weights = to.size() * 8 / dtype_bits(t.dtype);
        if (pair.transform.empty()) return base.read(b, first * bits / 8, from);
        TENPAK_ASSIGN(const Bytes predicted, predict_weights(base, b, first, weights, pair.transform));
        std::copy(predicted.begin(), predicted.end(), from.begin());
        return {};
    };
    return m;
}

Result<TensorFactors> prepare_factors(Factors factors) {
    TensorFactors f;
    TENPAK_ASSIGN(LowRankPredictor predictor, LowRankPredictor::make(factors));
    f.predictor = std::make_shared<const LowRankPredictor>(std::move(predictor));
    f.raw = factors_to_bytes(factors);
    f.stored = factors_encode(factors);
    f.factors = std::move(factors);
    return f;
}

Result<std::optional<TensorFactors>> recover_tensor(const ModelSource& base, const ModelSource& fine_tune, const TensorPair& pair, unsigned threads, const JobContext& ctx) {
    std::optional<TensorFactors> none;
    const auto matrix = matrix_of(base, fine_tune, pair);
    if (!matrix) return none;
    RecoverOptions options;
    options.threads = threads;
    TENPAK_ASSIGN(std::optional<Recovered> r, recover_low_rank(*matrix, options, ctx));
    TENPAK_RETURN_IF_ERROR(ctx.check());  // a search that was cut short looks like one that found nothing
    if (!r) return none;
    TENPAK_ASSIGN(TensorFactors f, prepare_factors(std::move(r->factors)));
    f.base_tensor = base.tensors()[*pair.base].name;
    return std::optional<TensorFactors>(std::move(f));
}

Result<FactorMap> replay_factors(const ModelSource& base, const ModelSource& fine_tune, const PairPlan& pairs, const PeftAdapter& adapter, unsigned threads, const JobContext& ctx) {
    TENPAK_ASSIGN(const std::vector<LoraTarget> targets, adapter.match(base));
    std::map<std::uint32_t, const LoraTarget*> by_tensor;
    for (const LoraTarget& t : targets) by_tensor[t.tensor] = &t;
    FactorMap map;
    std::uint64_t done = 0;
    for (const TensorPair& p : pairs.pairs) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        ctx.report({"recover", done++, pairs.pairs.size(), "tensors", fine_tune.tensors()[p.fine_tune].name});
        const auto matrix = matrix_of(base, fine_tune, p);
        if (!matrix) continue;
        std::optional<TensorFactors> f;
        if (const auto target = by_tensor.find(*p.base); target != by_tensor.end()) {
            TENPAK_ASSIGN(const LoraMatrices lora, adapter.load(*target->second));
            TENPAK_ASSIGN(std::optional<Recovered> r, replay_adapter(*matrix, lora, ctx));
            TENPAK_RETURN_IF_ERROR(ctx.check());  // a search that was stopped has no result
            if (r) {
                TENPAK_ASSIGN(f, prepare_factors(std::move(r->factors)));
                f->base_tensor = base.tensors()[*p.base].name;
            }
        }
        if (!f) {
            TENPAK_ASSIGN(f, recover_tensor(base, fine_tune, p, threads, ctx));
        }
        if (f) map.emplace(p.fine_tune, std::move(*f));
    }
    return map;
}

Status export_adapter(const FactorMap& factors, const std::string& base_model, const fs::path& dir) {
    std::vector<LoraToWrite> modules;
    for (const auto& [tensor, f] : factors)
        if (f.base_tensor.ends_with(".weight")) modules.push_back(lora_of(f.factors, f.base_tensor));
    if (modules.empty()) return make_error(ErrorCode::kNotFound, "no adapter was recovered: the fine-tune is no merged LoRA of this base", dir.string());
    return write_peft_adapter(dir, modules, base_model, DType::kF32);
}

Result<FactorMap> recover_factors(const ModelSource& base, const ModelSource& fine_tune, const PairPlan& pairs, unsigned threads, const JobContext& ctx) {
    FactorMap map;
    std::uint64_t total = 0, done = 0;
    for (const TensorPair& p : pairs.pairs) total += fine_tune.tensors()[p.fine_tune].bytes;
    for (const TensorPair& p : pairs.pairs) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        TENPAK_ASSIGN(std::optional<TensorFactors> f, recover_tensor(base, fine_tune, p, threads, ctx));
        if (f) map.emplace(p.fine_tune, std::move(*f));
        done += fine_tune.tensors()[p.fine_tune].bytes;
        ctx.report({"recover", done, total, "bytes", fine_tune.tensors()[p.fine_tune].name});
    }
    return map;
}

}  // namespace tenpak::delta
