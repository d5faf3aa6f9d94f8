// SPDX-License-Identifier: GPL-3.0-or-later
// No Qt in this file: the engine's headers use names that Qt makes macros.
#include "app/export_candidate.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "core/compute/cpu/cpu_backend.h"
#include "core/jobs/sweep.h"
#include "core/model/tokenizer.h"
#include "core/quant/export_layout.h"
#include "core/quant/quantize.h"

namespace tenpak::app {
namespace {

/// A folder beside the output (same file system), removed whatever happens.
class ScratchFolder {
   public:
    static Result<ScratchFolder> beside(const fs::path& output) {
        const fs::path parent = output.has_parent_path() ? output.parent_path() : fs::path(".");
        std::string pattern = (parent / ".tenpak-export-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) return errno_error("cannot create folder", parent.string(), errno);
        ScratchFolder s;
        s.path_ = pattern;
        return s;
    }
    ScratchFolder(ScratchFolder&& o) noexcept : path_(std::exchange(o.path_, {})) {}
    ScratchFolder& operator=(ScratchFolder&& o) noexcept {
        std::swap(path_, o.path_);
        return *this;
    }
    ~ScratchFolder() {
        std::error_code ec;
        if (!path_.empty()) fs::remove_all(path_, ec);
    }
    const fs::path& path() const { return path_; }

   private:
    ScratchFolder() = default;
    fs::path path_;
};

Result<std::vector<model::Token>> calibration_tokens(const fs::path& model_path, const ModelSource& source) {
    jobs::SweepSpec spec;
    spec.model_path = model_path.string();
    spec.candidates = {"fp16"};
    TENPAK_ASSIGN(const auto prepared, jobs::prepare_sweep(spec));  // finds the model's calibration text as the sweep did
    TENPAK_ASSIGN(const auto text, read_text_file(prepared.calibration_path));
    TENPAK_ASSIGN(const auto tokenizer, model::load_tokenizer(source));
    return tokenizer->encode(text, false);
}

}  // namespace

Result<WriteOutcome> export_candidate(const std::string& name, const std::string& layout_name, const fs::path& model_path, const WriteRequest& request, const JobContext& ctx) {
    TENPAK_ASSIGN(const auto candidate, quant::find_candidate(name));
    TENPAK_ASSIGN(auto source, ModelDirectory::open(model_path));
    std::shared_ptr<const ModelDirectory> packed = source;
    TENPAK_ASSIGN(const ScratchFolder scratch, ScratchFolder::beside(request.path));
    if (candidate.lossy()) {
        TENPAK_ASSIGN(const auto config, model::read_config(*source));
        // A .tnpk holds a folder: a GGUF file is none.
        quant::Layout layout = quant::default_layout(config, candidate);
        if (layout == quant::Layout::kGguf) layout = quant::Layout::kCompressedTensors;
        if (!layout_name.empty()) {
            TENPAK_ASSIGN(layout, quant::find_layout(layout_name));
        }
        TENPAK_RETURN_IF_ERROR(quant::check_layout(layout, config, candidate));  // before minutes of work
        std::vector<model::Token> calibration;
        if (candidate.needs_calibration()) {
            TENPAK_ASSIGN(calibration, calibration_tokens(model_path, *source));
        }
        const auto backend = compute::make_cpu_backend();
        TENPAK_ASSIGN(const auto quantized, quant::quantize(source, candidate, calibration, {}, *backend, ctx));
        std::vector<std::string> side_files;
        for (const ModelFile& f : source->files())
            if (!f.weights) side_files.push_back(f.path);
        // The folder's name becomes the model's id.
        const fs::path folder = scratch.path() / (source->id() + "-" + name);
        TENPAK_RETURN_IF_ERROR(quant::export_model(layout, *source, side_files, quantized, folder, ctx));
        TENPAK_ASSIGN(packed, ModelDirectory::open(folder));
    }
    WriteRequest write = request;
    if (candidate.lossy()) write.candidate = name;
    const FillSink fill = [&](BlockSink& sink) { return delta::pack(*packed, sink, {}, ctx); };
    return write_artifact(write, fill, nullptr, {}, ctx);
}

}  // namespace tenpak::app
