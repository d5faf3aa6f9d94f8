// SPDX-License-Identifier: Apache-2.0
// A whole tiny model on some backend: what the emulated GPU's test and the program for a real GPU compare with the CPU.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "core/model/transformer.h"
#include "tests/core/compute/weights.h"
#include "tests/core/model/tiny_model.h"

namespace tenpak::test {

/// Logits of prompts of three sequences (4, 13 and 22 tokens), then of `steps` - 1 decode steps of all of them, one after the other.
inline Result<std::vector<float>> model_steps(const TinyModel& tiny, const std::filesystem::path& dir, const compute::WeightOverrides& overrides, compute::Backend& backend,
                                              bool f32, unsigned steps) {
    TENPAK_ASSIGN(const auto source, ModelDirectory::open(dir));
    TENPAK_ASSIGN(const auto m, model::Transformer::load(source, overrides, backend, {f32}, {}));
    model::KvCache cache(m->config(), backend, 3, 48);
    std::vector<float> all, logits;
    std::vector<std::vector<model::Token>> texts;
    std::vector<model::SequenceChunk> chunks;
    for (std::uint32_t s = 0; s < 3; ++s) texts.push_back(random_tokens(4 + 9 * s, tiny.shape.vocab, s + 1));
    for (std::uint32_t s = 0; s < 3; ++s) chunks.push_back({s, texts[s]});
    for (unsigned step = 0; step < steps; ++step) {
        TENPAK_RETURN_IF_ERROR(m->forward(chunks, cache, step == 0 ? model::LogitsOf::kAll : model::LogitsOf::kLastOfChunk, logits));
        all.insert(all.end(), logits.begin(), logits.end());
        for (std::uint32_t s = 0; s < 3; ++s) {
            texts[s] = random_tokens(1, tiny.shape.vocab, (100 + step) * 3 + s);
            chunks[s] = {s, texts[s]};
        }
    }
    return all;
}

/// Every projection in this format, with zeros in the middle: others make a model that amplifies rounding.
inline compute::WeightOverrides quantized_projections(const TinyModel& tiny, compute::WeightFormat format) {
    compute::WeightOverrides overrides;
    unsigned seed = 1;
    for (const auto& [name, dims] : tiny.shapes) {
        if (name.find("proj.weight") == std::string::npos) continue;
        compute::LinearWeight w = random_weight(format, static_cast<std::uint32_t>(dims[0]), static_cast<std::uint32_t>(dims[1]), dims[1] % 64 == 0 ? 64 : 16, ++seed);
        for (auto& z : w.zeros) z = static_cast<std::uint8_t>((format == compute::WeightFormat::kInt4Residual ? 31 : 7) + z % 2);
        overrides.linears.emplace(name, std::move(w));
    }
    return overrides;
}

/// How far such a model's logits may be from another backend's: activations that are rounded to int8 or e4m3 turn a small
/// difference into a whole step here and there.
inline double quantized_tolerance(compute::WeightFormat f) { return f == compute::WeightFormat::kInt8Channel || f == compute::WeightFormat::kFp8Channel ? 6e-2 : 2e-2; }

}  // namespace tenpak::test
