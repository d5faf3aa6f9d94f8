// SPDX-License-Identifier: Apache-2.0
// Task accuracy on multiple-choice items, scored as lm-evaluation-harness does: each choice is appended to the context
// after a space, the log-probability of its tokens is summed, and the largest wins; "normalized" divides the sum by the
// choice's length in characters (acc_norm). Context and choice are tokenized together without special tokens, the choice's
// tokens being those behind the context's own number of tokens; what is too long loses its beginning.
//
// A JSONL file has one item a line: {"question": "…", "choices": ["…", …], "answer": 1}. "question" is shown as
// "Question: …\nAnswer:"; a line with "context" instead is shown as it is. "answer" is an index from 0, a letter from A, or
// the choice's text. Other keys are ignored, empty lines skipped.
#pragma once
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/job_context.h"
#include "core/model/tokenizer.h"
#include "core/model/transformer.h"

namespace tenpak::evaluate {

struct ChoiceItem {
    std::string context;  ///< as it is shown, without trailing space
    std::vector<std::string> choices;
    std::size_t answer = 0;
};
/// kMalformed naming the line: at least one item, 2 to 64 choices an item, none of them empty.
Result<std::vector<ChoiceItem>> parse_choice_items(std::string_view jsonl, const std::string& where);
Result<std::vector<ChoiceItem>> read_choice_items(const fs::path& path);

struct ChoiceOptions {
    std::uint32_t max_items = 0;  ///< 0: all; evenly spread
};
struct AccuracyResult {
    double accuracy = 0;         ///< percent, length-normalized: what limits are held against
    double standard_error = 0;   ///< of it, in percent
    double accuracy_raw = 0;     ///< percent, by the plain sum
    std::uint32_t items = 0;
    std::vector<bool> right;     ///< item by item (normalized): pairs with another model's
    std::vector<double> scores;  ///< ln p of every choice, item after item
    double seconds = 0;
};
/// kInvalidArgument: an item without tokens; kOutOfMemory, kNumeric, kCancelled.
Result<AccuracyResult> task_accuracy(model::Transformer& model, const model::Tokenizer& tokenizer, const std::vector<ChoiceItem>& items, const ChoiceOptions& options,
                                     const JobContext& ctx);

/// Difference of two models' accuracy on the same items, in percentage points, with the 95 % interval of the paired
/// difference, and how many answers changed either way (a small difference may hide many).
struct AccuracyDelta {
    double points = 0, low = 0, high = 0;
    std::uint32_t lost = 0, gained = 0;
};
Result<AccuracyDelta> accuracy_delta(const AccuracyResult& candidate, const AccuracyResult& reference);

}  // namespace tenpak::evaluate
