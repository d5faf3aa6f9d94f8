// SPDX-License-Identifier: Apache-2.0
#include "core/quant/engine_support.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "core/model/layout.h"
#include "core/quant/layouts/compressed_tensors_config.h"
#include "core/quant/layouts/gguf_export.h"
#include "core/quant/layouts/int8_form.h"
#include "core/quant/layouts/integer_groups.h"
#include "core/quant/layouts/linear_forms.h"
#include "core/quant/layouts/model_writer.h"

namespace tenpak::quant {
namespace {

using compute::WeightFormat;

// What a GPU engine multiplies at once: one linear, or q, k and v (gate and up) side by side, as it lies in the layout.
struct Module {
    std::string name;
    std::uint64_t n = 0;
    std::uint32_t k = 0;
    std::uint32_t group = 0;  ///< as exported; 0: one a row
    unsigned bits = 16;       ///< 16: dense
    bool integer = false, activations = false, symmetric = true, group_index = false;
    bool one_scheme = true;   ///< its parts agree
    bool aligned() const { return n % 64 == 0 && k % 128 == 0; }  ///< what Marlin's tiles want
};

std::uint32_t exported_group(const LinearForm& f, Layout layout, std::uint32_t common, std::uint32_t zeros_group) {
    if (layout == Layout::kAutoAwq || layout == Layout::kGptq || layout == Layout::kGptqV2) return common;
    if (zeros_group != 0 && f.format == WeightFormat::kInt4Group && !f.symmetric) return zeros_group;
    if (f.group == 256) return 128;
    return f.group == f.k && f.group != 128 && f.group != 64 && f.group != 32 ? 0 : f.group;
}

std::vector<Module> modules_of(const std::vector<LinearForm>& forms, Layout layout) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> groups;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> zeros;
    for (const LinearForm& f : forms) {
        groups.emplace_back(f.group, f.k);
        if (f.format == WeightFormat::kInt4Group && !f.symmetric) zeros.emplace_back(f.group, f.k);
    }
    const std::uint32_t common = common_group(groups).value_or(0), zeros_group = shared_zeros_group(zeros);
    std::map<std::uint32_t, Module> fused;
    for (const LinearForm& f : forms) {
        Module m;
        m.name = f.name;
        m.n = f.n;
        m.k = f.k;
        if (layout != Layout::kBf16 && !is_dense(f.format)) {
            m.bits = f.format == WeightFormat::kInt4Group || f.format == WeightFormat::kNf4Group ? 4 : 8;
            m.activations = f.format == WeightFormat::kInt8Channel || f.format == WeightFormat::kFp8Channel;
            m.integer = f.format != WeightFormat::kNf4Group && f.format != WeightFormat::kFp8Channel;
            m.symmetric = f.format != WeightFormat::kInt4Group || f.symmetric;
            m.group_index = f.group_index;
            m.group = m.activations ? 0 : exported_group(f, layout, common, zeros_group);
        }
        const auto [it, fresh] = fused.try_emplace(f.fused, m);
        if (fresh) continue;
        Module& whole = it->second;
        whole.n += m.n;
        whole.one_scheme = whole.one_scheme && whole.bits == m.bits && whole.group == m.group && whole.symmetric == m.symmetric && whole.integer == m.integer &&
                           whole.activations == m.activations && whole.group_index == m.group_index;
    }
    std::vector<Module> out;
    for (auto& [number, m] : fused) out.push_back(std::move(m));
    return out;
}

// One module's fate on one engine.
struct Fate {
    Loads loads = Loads::kYes;
    std::string kernel, why;
    bool shape = false;  ///< the reason is the module's shape
};
Fate no(std::string why, bool shape = false) { return {Loads::kNo, {}, std::move(why), shape}; }
Fate if_only(std::string kernel, std::string why, bool shape = false) { return {Loads::kConditionally, std::move(kernel), std::move(why), shape}; }
Fate yes(std::string kernel) { return {Loads::kYes, std::move(kernel), {}, false}; }

bool marlin_group(std::uint32_t g) { return g == 0 || g == 32 || g == 64 || g == 128; }
std::string shape_of(const Module& m) { return "N = " + std::to_string(m.n) + ", K = " + std::to_string(m.k); }
std::string group_text(std::uint32_t g) { return g == 0 ? "one group a row" : "groups of " + std::to_string(g); }
const std::string kTiles = "Marlin wants N in multiples of 64 and K of 128";

// compressed-tensors, which the engines parse their settings with, has removed actorder "group" in 2026.
const std::string kNoGroupIndex = "compressed-tensors 0.20 has removed weights with a group index (actorder \"group\")";

// Integer weights with groups in any of the layouts: compressed-tensors, AWQ, GPTQ.
Fate vllm_groups(const Module& m, Layout layout) {
    const bool awq = layout == Layout::kAutoAwq, gptq = layout == Layout::kGptq || layout == Layout::kGptqV2;
    const std::string marlin = !awq && m.symmetric && !m.group_index && m.group != 32 ? "Marlin (Machete on H100)" : "Marlin";
    if (gptq && !m.symmetric) {
        return if_only("Exllama", "GPTQ with zero points has no Marlin kernel in vLLM: releases with its older kernel load it with --dtype float16, newer ones may refuse it");
    }
    if (marlin_group(m.group)) {
        if (m.aligned()) return m.group_index ? if_only(marlin, "slower than without a group index (desc_act)") : yes(marlin);
        if (m.group_index) return if_only("Exllama", "with --dtype float16: " + kTiles + ", and does not pad weights with a group index", true);
        std::string older = ": releases before 2026 do not pad, and ";
        if (awq) {
            older += "take the older AWQ kernel with --dtype float16";
        } else if (m.symmetric && m.group != 0) {
            older += "take Exllama with --dtype float16";
        } else {
            older += "find no kernel";
        }
        return if_only(marlin + ", padded", kTiles + older, true);
    }
    if (awq) return m.group % 32 == 0 ? if_only("older AWQ kernel", "with --dtype float16; slow") : no("its AWQ kernels have no " + group_text(m.group));
    if (gptq) return no("its GPTQ loader wants groups of 32, 64 or 128, not " + group_text(m.group));
    if (m.symmetric) return if_only("Exllama", "with --dtype float16: no faster kernel has " + group_text(m.group));
    return no("no kernel of vLLM has " + group_text(m.group) + " with zero points");
}

Fate sglang_groups(const Module& m, Layout layout) {
    const bool awq = layout == Layout::kAutoAwq, gptq = layout == Layout::kGptq || layout == Layout::kGptqV2;
    if (gptq && !m.symmetric) return if_only("GPTQ", "GPTQ with zero points has no Marlin kernel: --quantization gptq --dtype float16");
    if (marlin_group(m.group) && m.aligned()) return m.group_index ? if_only("Marlin", "slower than without a group index (desc_act)") : yes("Marlin");
    if (awq && m.group % 32 == 0) return if_only("AWQ", "with --quantization awq --dtype float16, its older kernel: " + kTiles, true);
    if (gptq && m.group % 32 == 0) return if_only("GPTQ", "with --quantization gptq --dtype float16, its older kernel: " + kTiles, true);
    if (!marlin_group(m.group)) return no("its Marlin kernels want groups of 32, 64 or 128, not " + group_text(m.group));
    return no(kTiles, true);
}

Fate tgi_groups(const Module& m, Layout layout) {
    const bool gptq = layout == Layout::kGptq || layout == Layout::kGptqV2;
    if (layout == Layout::kGptqV2) return no("TGI reads checkpoint_format \"gptq\" only");
    if (marlin_group(m.group) && m.aligned() && (m.symmetric || !gptq)) return yes("GPTQ-Marlin");
    if (gptq && m.group != 0) return if_only("Exllama", "slower than Marlin, which wants symmetric groups of 32, 64 or 128, N in multiples of 64 and K of 128; float16");
    if (layout == Layout::kAutoAwq && m.group != 0) return if_only("AWQ", "its older kernel, float16: " + kTiles, true);
    return no(kTiles + " and groups of 32, 64 or 128, not " + group_text(m.group), true);
}

Fate transformers_groups(const Module& m, Layout layout) {
    if (layout == Layout::kCompressedTensors) {
        if (!m.symmetric && m.bits == 4) {
            return if_only("dequantized at load", "with compressed-tensors installed and quantization_config=CompressedTensorsConfig(dequantize=True): releases to 0.20 size packed zero points wrongly");
        }
        return if_only("dequantized at load", "with compressed-tensors installed");
    }
    return if_only("GPTQModel", layout == Layout::kAutoAwq ? "with gptqmodel installed" : "with optimum and gptqmodel installed");
}

Fate module_fate(Engine engine, const Module& m, Layout layout) {
    const bool gpu = engine != Engine::kTransformers;
    if (engine == Engine::kLlamaCpp) return no("llama.cpp reads GGUF only");
    if (m.bits == 16) return yes("dense, 16 bit");
    if (gpu && !m.one_scheme) return no("it multiplies q, k and v (gate and up) at once, and these have different formats: " + m.name);
    if (layout == Layout::kBitsandbytes) {
        if (engine == Engine::kTgi) return no("TGI quantizes with bitsandbytes while loading 16-bit weights, and reads no such files");
        const std::string kernel = m.bits == 4 ? "bitsandbytes NF4" : "bitsandbytes LLM.int8";
        return if_only(kernel, engine == Engine::kVllm ? "with bitsandbytes 0.46.1 or newer installed" : "with bitsandbytes installed");
    }
    if (m.activations && m.integer) {  // compressed-tensors int-quantized
        if (!gpu) return if_only("dequantized at load", "with compressed-tensors installed; slow, activations are rounded in floating point");
        return m.n % 16 == 0 && m.k % 16 == 0 ? if_only("CUTLASS int8", "on GPUs from sm75 to sm90; newer ones have no int8 kernel there: take fp8")
                                              : no("its int8 kernels want N and K in multiples of 16", true);
    }
    if (m.activations) {
        if (!gpu) return if_only("dequantized at load", "with compressed-tensors installed; slow, activations are rounded in floating point");
        return m.n % 16 == 0 && m.k % 16 == 0 ? if_only("CUTLASS FP8", "on GPUs from sm89 (Ada, Hopper) on; older ones from sm80 take Marlin with FP8 weights and 16-bit activations")
                                              : no("its FP8 kernels want N and K in multiples of 16", true);
    }
    Fate f;
    switch (engine) {
        case Engine::kVllm: f = vllm_groups(m, layout); break;
        case Engine::kSglang: f = sglang_groups(m, layout); break;
        case Engine::kTgi: f = tgi_groups(m, layout); break;
        default: f = transformers_groups(m, layout); break;
    }
    if (layout != Layout::kCompressedTensors || !m.group_index || f.loads == Loads::kNo) return f;
    return gpu ? if_only(f.kernel, "with an older compressed-tensors installed: " + kNoGroupIndex) : no(kNoGroupIndex);
}

// Kernels and reasons over all modules: the worst verdict counts, and says of how many modules and shapes it is.
EngineVerdict combine(Engine engine, const std::vector<Module>& modules, Layout layout) {
    struct Reason {
        std::size_t modules = 0;
        std::vector<std::string> shapes;
    };
    EngineVerdict v;
    v.engine = engine;
    std::map<std::string, Reason> reasons[3];  // of each Loads
    std::vector<std::string> kernels;
    const auto once = [](std::vector<std::string>& list, const std::string& s) {
        if (std::find(list.begin(), list.end(), s) == list.end()) list.push_back(s);
    };
    std::set<std::tuple<unsigned, std::uint32_t, bool, bool>> schemes;
    bool zeros = false;
    for (const Module& m : modules) {
        if (m.bits == 16) continue;
        schemes.emplace(m.bits, m.group, m.symmetric, m.activations);
        zeros = zeros || !m.symmetric;
    }
    const bool several_with_zeros = zeros && schemes.size() > 1;
    for (const Module& m : modules) {
        Fate f = module_fate(engine, m, layout);
        if (engine == Engine::kTransformers && layout == Layout::kCompressedTensors && several_with_zeros) {
            f = no("its CompressedTensorsConfig(dequantize=True), which zero points need, knows one scheme for all modules");
        }
        v.loads = std::min(v.loads, f.loads);
        if (!f.kernel.empty()) once(kernels, f.kernel);
        if (f.why.empty()) continue;
        Reason& r = reasons[static_cast<int>(f.loads)][f.why];
        ++r.modules;
        if (f.shape) once(r.shapes, shape_of(m));
    }
    if (v.loads != Loads::kNo) {
        for (const std::string& k : kernels) v.kernel += (v.kernel.empty() ? "" : ", ") + k;
    }
    for (const auto& [why, r] : reasons[static_cast<int>(v.loads)]) {
        v.why += (v.why.empty() ? "" : "; ") + why;
        std::string where;
        if (r.modules < modules.size()) where = std::to_string(r.modules) + " of " + std::to_string(modules.size()) + " modules";
        if (!r.shapes.empty()) where += (where.empty() ? "" : ", ") + std::string("such as ") + r.shapes.front();
        if (!where.empty()) v.why += " (" + where + ")";
    }
    return v;
}

EngineVerdict gguf_verdict(Engine engine, const Status& can) {
    EngineVerdict v;
    v.engine = engine;
    if (!can.ok()) {
        v.loads = Loads::kNo;
        v.why = can.error().what;
        return v;
    }
    switch (engine) {
        case Engine::kLlamaCpp: v.kernel = "llama.cpp's own"; break;
        case Engine::kVllm:
            v.loads = Loads::kConditionally;
            v.kernel = "GGUF";
            v.why = "experimental there, and slower than its other kernels; name the tokenizer with --tokenizer";
            break;
        case Engine::kSglang:
            v.loads = Loads::kConditionally;
            v.kernel = "GGUF";
            v.why = "with --load-format gguf; slower than its other kernels";
            break;
        case Engine::kTransformers:
            v.loads = Loads::kConditionally;
            v.kernel = "dequantized at load";
            v.why = "with gguf installed";
            break;
        case Engine::kTgi:
            v.loads = Loads::kNo;
            v.why = "TGI reads GGUF with its llama.cpp backend only";
            break;
    }
    return v;
}

// What a `mixed` result will be: compressed-tensors groups of INT4, INT8 and dense modules.
EngineVerdict mixed_verdict(Engine engine, Layout layout) {
    EngineVerdict v;
    v.engine = engine;
    if (engine == Engine::kLlamaCpp) {
        v.loads = Loads::kNo;
        v.why = "llama.cpp reads GGUF only";
    } else if (layout == Layout::kBf16) {
        v.kernel = "dense, 16 bit";
    } else if (layout == Layout::kCompressedTensors) {
        v.loads = Loads::kConditionally;
        v.kernel = engine == Engine::kTransformers ? "dequantized at load" : "Marlin";
        v.why = engine == Engine::kTransformers ? "with compressed-tensors installed"
                                                : "where q, k and v, and gate and up, got one format each: known after the search, and said again then";
    } else {
        v.loads = Loads::kNo;
        v.why = std::string(layout_name(layout)) + " files have one format for all linears";
    }
    return v;
}

std::vector<EngineVerdict> verdicts_of(const std::vector<LinearForm>& forms, const std::string& candidate, Layout layout, const Status& gguf) {
    std::vector<EngineVerdict> out;
    const Status can = layout == Layout::kGguf ? gguf : check_forms(layout, forms, candidate);
    const std::vector<Module> modules = modules_of(forms, layout);
    for (const Engine e : kEngines) {
        if (layout == Layout::kGguf) {
            out.push_back(gguf_verdict(e, can));
        } else if (!can.ok()) {
            out.push_back({e, Loads::kNo, {}, can.error().what, {}});
        } else {
            out.push_back(combine(e, modules, layout));
        }
    }
    return out;
}

// Where an engine does not load it plainly: the layout from which it does better, the smaller one first.
template <class Verdicts>
std::vector<EngineVerdict> with_alternatives(Layout layout, const Verdicts& verdicts) {
    std::vector<EngineVerdict> out = verdicts(layout);
    std::map<Layout, std::vector<EngineVerdict>> others;
    for (const Layout l : kLayouts) {
        if (l != layout) others.emplace(l, verdicts(l));
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (out[i].loads == Loads::kYes) continue;
        std::optional<Layout> best;
        for (const auto& [l, v] : others) {
            if (l == Layout::kBf16 && out[i].loads != Loads::kNo) continue;  // nobody wants 16 bit to spare a condition
            const Loads have = best.has_value() ? others.at(*best)[i].loads : out[i].loads;
            if (v[i].loads > have && !(l == Layout::kBf16 && best.has_value())) best = l;
        }
        if (best.has_value()) out[i].instead = layout_name(*best);
    }
    return out;
}

Status gguf_status(const model::ModelConfig& config, const Candidate& candidate) {
    return candidate.lossy() ? check_gguf(config, candidate) : Status();
}

std::vector<EngineVerdict> plain_verdicts(const model::ModelConfig& config, const Candidate& candidate, Layout layout) {
    const Status gguf = gguf_status(config, candidate);
    if (candidate.method != Method::kMixed) return verdicts_of(planned_forms(config, candidate), candidate.name, layout, gguf);
    std::vector<EngineVerdict> out;
    for (const Engine e : kEngines) out.push_back(layout == Layout::kGguf ? gguf_verdict(e, gguf) : mixed_verdict(e, layout));
    return out;
}

}  // namespace

const char* engine_name(Engine engine) {
    switch (engine) {
        case Engine::kVllm: return "vLLM";
        case Engine::kSglang: return "SGLang";
        case Engine::kTgi: return "TGI";
        case Engine::kTransformers: return "transformers";
        case Engine::kLlamaCpp: return "llama.cpp";
    }
    return "unknown";
}

const char* loads_name(Loads loads) {
    switch (loads) {
        case Loads::kNo: return "no";
        case Loads::kConditionally: return "conditionally";
        case Loads::kYes: return "yes";
    }
    return "unknown";
}

std::vector<EngineVerdict> engine_verdicts(const model::ModelConfig& config, const Candidate& candidate, Layout layout) {
    return with_alternatives(layout, [&](Layout l) { return plain_verdicts(config, candidate, l); });
}

std::vector<EngineVerdict> engine_verdicts(const model::ModelConfig& config, const QuantizedModel& model, Layout layout) {
    const std::vector<LinearForm> forms = actual_forms(config, model);
    const Status gguf = gguf_status(config, model.candidate);
    return with_alternatives(layout, [&](Layout l) { return verdicts_of(forms, model.candidate.name, l, gguf); });
}

Layout default_layout(const model::ModelConfig& config, const Candidate& candidate) {
    // A plain yes counts twice; 16 bit is loaded everywhere, but is what a candidate is made to avoid, and GGUF by one engine.
    Layout best = Layout::kBf16;
    int most = 0;
    for (const Layout l : kLayouts) {
        if (l == Layout::kBf16 || l == Layout::kGguf || !check_layout(l, config, candidate).ok()) continue;
        int score = 0;
        for (const EngineVerdict& v : plain_verdicts(config, candidate, l)) score += static_cast<int>(v.loads);
        if (score > most) {
            most = score;
            best = l;
        }
    }
    return best;
}

OrderedJson verdicts_json(const std::vector<EngineVerdict>& verdicts) {
    OrderedJson out = OrderedJson::array();
    const auto text = [](const std::string& s) { return s.empty() ? OrderedJson() : OrderedJson(s); };
    for (const EngineVerdict& v : verdicts) {
        out.push_back({{"engine", engine_name(v.engine)}, {"loads", loads_name(v.loads)}, {"kernel", text(v.kernel)}, {"why", text(v.why)}, {"instead", text(v.instead)}});
    }
    return out;
}

std::string verdicts_text(const std::vector<EngineVerdict>& verdicts) {
    std::string out;
    for (const EngineVerdict& v : verdicts) {
        std::string line = engine_name(v.engine);
        line.resize(std::max<std::size_t>(line.size(), 14), ' ');
        std::string loads = v.loads == Loads::kConditionally ? "if" : loads_name(v.loads);
        loads.resize(5, ' ');
        line += loads + v.kernel;
        if (!v.why.empty()) line += (v.kernel.empty() ? "" : ": ") + v.why;
        if (!v.instead.empty()) line += " (--layout " + v.instead + " instead)";
        out += line + "\n";
    }
    return out;
}

}  // namespace tenpak::quant
