// SPDX-License-Identifier: Apache-2.0
// Which text may be calibrated on: never the one that candidates are judged by. A method that saw the evaluation text looks
// better on it than it is.
#pragma once
#include <span>
#include <string_view>

#include "core/base/error.h"
#include "core/model/tokenizer.h"

namespace tenpak::quant {

/// kInvalidArgument where the two are one text, or share it in part: at least kSharedLimit of the evaluation text's windows of
/// kSharedWindow tokens occur in the calibration text as they are, at any place.
Status refuse_same_text(std::span<const model::Token> calibration, std::span<const model::Token> evaluation);
inline constexpr std::size_t kSharedWindow = 48;
inline constexpr double kSharedLimit = 0.05;
/// What refuse_same_text measures: 0 for unrelated texts, 1 where all of the evaluation text is in the other.
double shared_text(std::span<const model::Token> calibration, std::span<const model::Token> evaluation);

/// A text in two: the first four fifths to calibrate on, the rest to measure on, cut behind a line (a word where there is none, a
/// character at least). Always the same for the same text.
struct TextSplit {
    std::string_view calibration, evaluation;
};
TextSplit split_text(std::string_view text);

}  // namespace tenpak::quant
