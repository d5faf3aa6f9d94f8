// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/thread_pool.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/compute/cuda/cuda_backend.h"
#include "core/evaluate/multiple_choice.h"
#include "core/jobs/model_opener.h"
#include "core/jobs/sweep.h"
#include "core/model/config.h"
#include "core/model/tokenizer.h"
#include "core/quant/calibration_text.h"
#include "core/quant/candidate.h"
#include "core/tensor/model_source.h"

namespace tenpak::jobs {
namespace {

// 128 windows of 256 tokens: enough for an interval of some tenths of a percent at 4 bit, some seconds on the sample.
constexpr std::uint32_t kDefaultWindows = 128, kDefaultContext = 256;
constexpr std::uint64_t kMaxText = 1u << 30;

std::optional<fs::path> bundled_text(const fs::path& model, const std::vector<std::string>& names) {
    std::error_code ec;
    for (const fs::path& folder : {model / "text", model.parent_path() / "text"}) {
        for (const std::string& n : names) {
            if (fs::is_regular_file(folder / n, ec)) return folder / n;
        }
    }
    return std::nullopt;
}

Result<std::string> absolute_file(const std::string& path, const char* option) {
    std::error_code ec;
    const fs::path p = fs::canonical(path, ec);
    if (ec || !fs::is_regular_file(p, ec)) {
        return make_error(ErrorCode::kNotFound, std::string("no text file there"), path, std::string("Name an existing text file with ") + option);
    }
    return p.string();
}

Status check_candidates(SweepSpec& spec, bool& calibrates) {
    if (spec.candidates.empty()) return make_error(ErrorCode::kInvalidArgument, "the candidate list is empty", {}, "Name at least one candidate");
    for (std::size_t i = 0; i < spec.candidates.size(); ++i) {
        if (!spec.candidates[i].starts_with(kImportPrefix)) {
            TENPAK_ASSIGN(const quant::Candidate c, quant::find_candidate(spec.candidates[i]));
            calibrates |= c.needs_calibration();
        }
        for (std::size_t k = 0; k < i; ++k) {
            if (spec.candidates[k] == spec.candidates[i]) {
                return make_error(ErrorCode::kInvalidArgument, "the candidate \"" + spec.candidates[i] + "\" is named twice");
            }
        }
    }
    return {};
}

// Names follow from the paths; models that `candidates` does not name yet are put behind the others.
Status name_imports(SweepSpec& spec) {
    for (ImportedModel& m : spec.imports) {
        std::error_code ec;
        const fs::path path = fs::canonical(m.path, ec);
        if (ec) return make_error(ErrorCode::kNotFound, "no model there", m.path, "Name the folder of a quantized model with --import");
        m.path = path.string();
        m.name = kImportPrefix + path.filename().string();
        if (std::find(spec.candidates.begin(), spec.candidates.end(), m.name) == spec.candidates.end()) spec.candidates.push_back(m.name);
        const auto same = std::count_if(spec.imports.begin(), spec.imports.end(), [&](const ImportedModel& other) { return other.name == m.name; });
        if (same > 1) return make_error(ErrorCode::kInvalidArgument, "two imported models are called \"" + path.filename().string() + "\"", m.path, "Rename one of the folders");
    }
    for (const std::string& c : spec.candidates) {
        const bool known = std::any_of(spec.imports.begin(), spec.imports.end(), [&](const ImportedModel& m) { return m.name == c; });
        if (c.starts_with(kImportPrefix) && !known) return make_error(ErrorCode::kInvalidArgument, "no path is known of the candidate \"" + c + "\"", {}, "Name its folder with --import DIR");
    }
    return {};
}

// fp16 to the front, added where it is missing.
void put_baseline_first(std::vector<std::string>& candidates) {
    std::erase(candidates, "fp16");
    candidates.insert(candidates.begin(), "fp16");
}

Status find_texts(SweepSpec& spec, bool calibrates) {
    const fs::path model = spec.model_path;
    if (spec.text_path.empty()) {
        const auto found = bundled_text(model, {(model.extension() == ".tnpk" ? model.stem() : model.filename()).string() + ".txt", "base.txt"});
        if (!found) {
            return make_error(ErrorCode::kInvalidArgument, "no text to measure perplexity on: the model brings none", (model / "text").string(), "Name one with --text FILE");
        }
        spec.text_path = found->string();
    }
    TENPAK_ASSIGN(spec.text_path, absolute_file(spec.text_path, "--text"));
    const std::string stem = (model.extension() == ".tnpk" ? model.stem() : model.filename()).string();
    if (spec.tasks_path.empty()) {
        if (const auto found = bundled_text(model, {stem + ".jsonl", "tasks.jsonl"})) spec.tasks_path = found->string();
    }
    if (!spec.tasks_path.empty()) {
        TENPAK_ASSIGN(spec.tasks_path, absolute_file(spec.tasks_path, "--tasks"));
    }
    if (spec.split_text) {
        if (!spec.calibration_path.empty()) {
            return make_error(ErrorCode::kInvalidArgument, "a calibration text is named, and the evaluation text is to be split for one", spec.calibration_path,
                              "Leave out --calibration or --split-text");
        }
        spec.calibration_path = spec.text_path;
        return {};
    }
    if (spec.calibration_path.empty()) {
        const auto found = bundled_text(model, {"calibration.txt"});
        if (!found && calibrates) {
            return make_error(ErrorCode::kInvalidArgument, "no text to calibrate with: the model brings none", (model / "text").string(),
                              "Name one with --calibration FILE, let --split-text take a part of the evaluation text, or leave out candidates that need it");
        }
        if (!found) return {};
        spec.calibration_path = found->string();
    }
    TENPAK_ASSIGN(spec.calibration_path, absolute_file(spec.calibration_path, "--calibration"));
    return {};
}

// Size, time and inode of the weight files: their content would take minutes to hash on a large model.
class Fingerprint {
   public:
    void add(const std::string& s) { hash_.update(as_bytes(s + "\n")); }
    Status add_model(const ModelSource& model, const fs::path& path, const fs::path& base_path) {
        if (const auto* directory = dynamic_cast<const ModelDirectory*>(&model)) {
            add_weights(*directory);
        } else {  // an artifact, and the base that it needs: a folder's manifest names all of its content by hash
            std::error_code ec;
            TENPAK_ASSIGN(const File artifact, File::open(fs::is_directory(path, ec) ? path / "manifest.json" : path));
            add_file("artifact", artifact.identity());
            if (!base_path.empty()) {
                TENPAK_ASSIGN(const auto base, ModelDirectory::open(base_path));
                add("base");
                add_weights(*base);
            }
        }
        for (const char* side : {"config.json", "tokenizer.json"}) {
            const auto bytes = model.read_side_file(side);
            if (bytes.ok()) add(to_hex(sha256(*bytes)));
        }
        return {};
    }
    std::string finish() { return to_hex(hash_.finish()); }

   private:
    void add_file(const std::string& name, const FileIdentity& id) {
        add(name + " " + std::to_string(id.size) + " " + std::to_string(id.mtime_ns) + " " + std::to_string(id.device) + ":" + std::to_string(id.inode));
    }
    void add_weights(const ModelDirectory& m) {
        std::uint32_t weight = 0;
        for (const ModelFile& f : m.files())
            if (f.weights) add_file(f.path, m.weight_handle(weight++).identity());
    }
    Sha256 hash_;
};

// An imported model is measured on the same tokens as the model itself.
Status check_import(ImportedModel& m, const model::ModelConfig& config, const std::string& text, const std::vector<model::Token>& tokens) {
    TENPAK_ASSIGN(const auto source, open_sweep_model(m.path, {}));
    TENPAK_ASSIGN(const model::ModelConfig own, model::read_config(*source));
    if (own.vocab != config.vocab) {
        return make_error(ErrorCode::kMismatch, "the imported model has " + std::to_string(own.vocab) + " tokens, the model itself " + std::to_string(config.vocab), m.path,
                          "Import quantizations of the same model");
    }
    TENPAK_ASSIGN(const auto tokenizer, model::load_tokenizer(*source));
    TENPAK_ASSIGN(const auto own_tokens, tokenizer->encode(text, false));
    if (own_tokens != tokens) {
        return make_error(ErrorCode::kMismatch, "the imported model's tokenizer cuts the text into other tokens, so perplexities cannot be compared", m.path,
                          "Import quantizations of the same model");
    }
    Fingerprint f;
    TENPAK_RETURN_IF_ERROR(f.add_model(*source, m.path, {}));
    m.fingerprint = f.finish();
    return {};
}

}  // namespace

Result<SweepSpec> prepare_sweep(SweepSpec spec) {
    try {
        if (spec.batches.empty()) return make_error(ErrorCode::kInvalidArgument, "no batch size to measure");
        std::sort(spec.batches.begin(), spec.batches.end());
        spec.batches.erase(std::unique(spec.batches.begin(), spec.batches.end()), spec.batches.end());
        if (spec.batches.front() == 0 || spec.batches.back() > 4096) return make_error(ErrorCode::kInvalidArgument, "batch sizes must be from 1 to 4096");
        TENPAK_RETURN_IF_ERROR(name_imports(spec));
        bool calibrates = false;
        TENPAK_RETURN_IF_ERROR(check_candidates(spec, calibrates));
        put_baseline_first(spec.candidates);
        if (spec.eval_samples == 0) spec.eval_samples = kDefaultWindows;
        if (spec.backend.starts_with("fake:")) {  // nothing of the model is touched
            spec.model_fingerprint = spec.device = "fake";
            return spec;
        }
        const bool cuda = compute::is_cuda_device(spec.backend);
        if (cuda) {
            TENPAK_RETURN_IF_ERROR(compute::cuda_device_index(spec.backend));
            if (spec.device.empty()) return make_error(ErrorCode::kUnsupported, "no GPU was found to run on: running on the CPU", {}, "Use --device cpu");
        } else if (spec.backend != "cpu") {
            return make_error(ErrorCode::kUnsupported, "no backend \"" + spec.backend + "\"", {}, "Known: cpu, cuda, cuda:N");
        }

        TENPAK_ASSIGN(const auto model, open_sweep_model(spec.model_path, spec.base_path));
        std::error_code ec;
        if (!spec.base_path.empty()) spec.base_path = fs::canonical(spec.base_path, ec).string();
        if (ec) return errno_error("cannot resolve the base's path", spec.base_path, ec.value());
        spec.model_path = fs::canonical(spec.model_path, ec).string();
        if (ec) return errno_error("cannot resolve the model's path", spec.model_path, ec.value());
        TENPAK_ASSIGN(const model::ModelConfig config, model::read_config(*model));
        if (spec.context == 0) spec.context = std::min(kDefaultContext, config.max_positions > 0 ? config.max_positions : kDefaultContext);
        if (spec.context < 2 || (config.max_positions > 0 && spec.context > config.max_positions)) {
            return make_error(ErrorCode::kInvalidArgument, "the context must be from 2 to " + std::to_string(config.max_positions) + " tokens, the model's own", spec.model_path);
        }
        TENPAK_RETURN_IF_ERROR(find_texts(spec, calibrates));
        TENPAK_ASSIGN(const auto tokenizer, model::load_tokenizer(*model));
        std::vector<Digest> digests;
        TENPAK_ASSIGN(const std::string whole, read_text_file(spec.text_path, kMaxText));
        digests.push_back(sha256(as_bytes(whole)));
        const quant::TextSplit split = quant::split_text(whole);
        const std::string eval_text(spec.split_text ? split.evaluation : std::string_view(whole));
        TENPAK_ASSIGN(const auto eval_tokens, tokenizer->encode(eval_text, false));
        if (eval_tokens.size() < 2) return make_error(ErrorCode::kInvalidArgument, "the text has no tokens to measure on", spec.text_path, "Name a longer text");
        if (!spec.calibration_path.empty()) {
            std::string text(split.calibration);
            if (!spec.split_text) {
                TENPAK_ASSIGN(text, read_text_file(spec.calibration_path, kMaxText));
                digests.push_back(sha256(as_bytes(text)));
            }
            TENPAK_ASSIGN(const auto tokens, tokenizer->encode(text, false));
            if (tokens.size() < 2) return make_error(ErrorCode::kInvalidArgument, "the text has no tokens to calibrate on", spec.calibration_path, "Name a longer text");
            if (Status s = quant::refuse_same_text(tokens, eval_tokens); !s.ok()) {
                Error e = std::move(s).error();
                e.where = spec.calibration_path;
                e.hint = "Name two different texts with --text and --calibration, or let --split-text cut one in two";
                return e;
            }
        }
        if (!spec.tasks_path.empty()) {
            TENPAK_ASSIGN(const std::string items, read_text_file(spec.tasks_path, kMaxText));
            TENPAK_RETURN_IF_ERROR(evaluate::parse_choice_items(items, spec.tasks_path));
            digests.push_back(sha256(as_bytes(items)));
        }
        for (ImportedModel& m : spec.imports) TENPAK_RETURN_IF_ERROR(check_import(m, config, eval_text, eval_tokens));
        Fingerprint f;
        TENPAK_RETURN_IF_ERROR(f.add_model(*model, spec.model_path, spec.base_path));
        for (const Digest& d : digests) f.add(to_hex(d));
        spec.model_fingerprint = f.finish();
        const compute::CpuFeatures& cpu = compute::cpu_features();
        if (!cuda) spec.device = cpu.model + ", " + std::to_string(usable_cpus()) + " cores, " + cpu.instruction_sets();
        return spec;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to check the sweep's inputs", spec.model_path);
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kInternal, e.what(), spec.model_path);
    }
}

}  // namespace tenpak::jobs
