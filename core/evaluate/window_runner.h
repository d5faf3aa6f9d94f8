// SPDX-License-Identifier: Apache-2.0
// Runs a model over batches of windows and hands out the logits of the scored positions, a block of rows at a time.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "core/evaluate/windows.h"
#include "core/model/transformer.h"

namespace tenpak::evaluate {

class WindowRunner {
   public:
    /// `text` and `plan` must outlive it.
    WindowRunner(model::Transformer& model, std::span<const model::Token> text, const WindowPlan& plan);

    std::size_t vocabulary() const;
    std::size_t block_rows() const;  ///< rows that one call of logits() may ask for at most
    /// How many of the windows from `at` on make the next batch, at least 1.
    std::size_t batch_from(std::size_t at) const;
    /// Feeds windows [at, at + count).
    Status start(std::size_t at, std::size_t count);
    /// logits[count][vocabulary] of the scored rows [row, row + count) of window `index`, one of the batch. Valid until the
    /// next call.
    Result<std::span<const float>> logits(std::size_t index, std::size_t row, std::size_t count);

   private:
    model::Transformer& model_;
    std::span<const model::Token> text_;
    const WindowPlan& plan_;
    std::size_t most_;  ///< windows a batch
    model::KvCache cache_;
    std::size_t first_ = 0;
    std::vector<std::size_t> row_of_;  ///< first hidden row of each window of the batch
    std::vector<std::vector<model::Token>> replaced_;
    std::vector<float> hidden_, logits_;
};

}  // namespace tenpak::evaluate
