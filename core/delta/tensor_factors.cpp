// SPDX-License-Identifier: Apache-2.0
#include "core/delta/tensor_factors.h"

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
    if (!r) return none;
    TENPAK_ASSIGN(TensorFactors f, prepare_factors(std::move(r->factors)));
    return std::optional<TensorFactors>(std::move(f));
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
