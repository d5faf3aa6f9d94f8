// SPDX-License-Identifier: Apache-2.0
// Between PEFT adapters (core/tensor/peft_adapter.h) and the integer factors of the low-rank predictor.
#pragma once
#include "core/delta/low_rank_recover.h"
#include "core/tensor/peft_adapter.h"

namespace tenpak::delta {

/// The factors of an adapter that the user has, as the predictor wants them: nothing is searched but the precision.
/// `pair` is the weight that the adapter was merged into. No value where the plain difference would be smaller (another
/// adapter?).
Result<std::optional<Recovered>> replay_adapter(const MatrixPair& pair, const LoraMatrices& lora,
                                                const JobContext& ctx);

/// Recovered factors as a module of an adapter: the same product, exactly.
LoraToWrite lora_of(const Factors& f, std::string tensor);

}  // namespace tenpak::delta
