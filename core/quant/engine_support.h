// SPDX-License-Identifier: Apache-2.0
// Which serving engines load a candidate in a layout, on which kernel, and why not: said before minutes of quantizing, from names
// and shapes alone (reference optimizer.md 4.1 to 4.9). Facts of the engines' sources of 2026-08 to 2026-10, one GPU; no engine is
// asked, so a verdict is a rule applied to the real shapes, not a test.
#pragma once
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/quant/export_layout.h"

namespace tenpak::quant {

enum class Engine { kVllm, kSglang, kTgi, kTransformers, kLlamaCpp };
inline constexpr Engine kEngines[] = {Engine::kVllm, Engine::kSglang, Engine::kTgi, Engine::kTransformers, Engine::kLlamaCpp};
const char* engine_name(Engine engine);

enum class Loads { kNo, kConditionally, kYes };
const char* loads_name(Loads loads);  ///< "no", "conditionally", "yes"

struct EngineVerdict {
    Engine engine = Engine::kVllm;
    Loads loads = Loads::kYes;
    std::string kernel;   ///< what multiplies: "Marlin (Machete on H100)"; empty where it does not load
    std::string why;      ///< the condition, or why not; empty for a plain yes
    std::string instead;  ///< the layout that this engine loads the candidate from, where this one is not loaded or only conditionally
};

/// Before quantizing. For kMixed, whose formats are known afterwards only, what holds whatever the search chooses.
std::vector<EngineVerdict> engine_verdicts(const model::ModelConfig& config, const Candidate& candidate, Layout layout);
/// Of the quantized weights themselves.
std::vector<EngineVerdict> engine_verdicts(const model::ModelConfig& config, const QuantizedModel& model, Layout layout);

/// [{"engine", "loads", "kernel", "why", "instead"}]
OrderedJson verdicts_json(const std::vector<EngineVerdict>& verdicts);
/// A line an engine, aligned, each ended by a newline.
std::string verdicts_text(const std::vector<EngineVerdict>& verdicts);

}  // namespace tenpak::quant
