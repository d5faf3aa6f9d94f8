// SPDX-License-Identifier: Apache-2.0
// Whether a tensor is nearer to its base scaled, or quantized to NF4 and back (a QLoRA merge), than to the base itself.
// Judged on some thousand weights of each tensor, by the bits that differences have (match_sketch.h): weight by weight, so
// that a gain which is only chance is not taken for one.
#pragma once
#include <string>

#include "core/delta/transform.h"
#include "core/tensor/model_source.h"

namespace tenpak::delta {

/// One chooser for a pair of models: what was found in some tensors saves looking for it in others.
class TransformChooser {
   public:
    TransformChooser(const ModelSource& base, const ModelSource& fine_tune) : base_(base), fine_tune_(fine_tune) {}

    /// The text for the first `weights` weights of both tensors: the plain cast (or nothing) where nothing pays. Reads about
    /// 16 kB of each; all of the base's tensor only where doubly quantized NF4 is likely. What cannot be read changes nothing.
    std::string choose(const TensorInfo& base, const TensorInfo& fine_tune, std::uint64_t weights);

   private:
    struct Sample;
    void try_scales(Sample& s, const TensorInfo& base, const TensorInfo& fine_tune);
    void try_nf4(Sample& s, const TensorInfo& base, const TensorInfo& fine_tune, std::uint64_t weights);
    void try_nested(Sample& s, const TensorInfo& base, const TensorInfo& fine_tune, std::uint64_t weights);

    const ModelSource& base_;
    const ModelSource& fine_tune_;
    unsigned nested_tried_ = 0, nested_found_ = 0;
};

/// In few words for people: "F32 to BF16", "base x 0.75", "base in NF4"; empty for none.
std::string transform_in_words(const std::string& text);

}  // namespace tenpak::delta
