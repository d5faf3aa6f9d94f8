// SPDX-License-Identifier: Apache-2.0
// Which tensors of a fine-tune are stored with a low-rank term, and that term: recovered from the pair (a merged LoRA), or
// given (an adapter that is replayed).
#pragma once
#include <map>
#include <memory>
#include <string>

#include "core/base/job_context.h"
#include "core/delta/low_rank_recover.h"
#include "core/delta/pair.h"
#include "core/tensor/peft_adapter.h"

namespace tenpak::delta {

struct TensorFactors {
    Factors factors;                             ///< for export
    std::shared_ptr<const LowRankPredictor> predictor;
    std::string base_tensor;                     ///< what the term is added to: its module in an adapter
    Bytes raw, stored;                           ///< canonical bytes, and as a block of codec "factors"
};

/// By index of the fine-tune's tensor.
using FactorMap = std::map<std::uint32_t, TensorFactors>;

/// Weights of a pair as a matrix, the base's transformed as blocks will have them. No value where a low-rank term is not for such a
/// pair. Refers to both models.
std::optional<MatrixPair> matrix_of(const ModelSource& base, const ModelSource& fine_tune, const TensorPair& pair);
/// No value where the difference is not of low rank.
Result<std::optional<TensorFactors>> recover_tensor(const ModelSource& base, const ModelSource& fine_tune, const TensorPair& pair, unsigned threads, const JobContext& ctx);
/// Looks at every pair that can have one. Memory: the factors, and some row blocks. kCancelled, kIo.
Result<FactorMap> recover_factors(const ModelSource& base, const ModelSource& fine_tune, const PairPlan& pairs, unsigned threads, const JobContext& ctx);
/// The same from an adapter that the fine-tune was made with; what it does not explain is looked for all the same. kMismatch
/// where the adapter does not fit the base.
Result<FactorMap> replay_factors(const ModelSource& base, const ModelSource& fine_tune, const PairPlan& pairs, const PeftAdapter& adapter, unsigned threads, const JobContext& ctx);
/// Writes the factors as a PEFT adapter of the base (fp32). kNotFound where there are none.
Status export_adapter(const FactorMap& factors, const std::string& base_model, const fs::path& dir);
/// Makes what is stored of given factors.
Result<TensorFactors> prepare_factors(Factors factors);

}  // namespace tenpak::delta
