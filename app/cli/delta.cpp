// SPDX-License-Identifier: Apache-2.0
// tenpak delta estimate | compress | reconstruct (find-base: find_base.cpp)
#include "core/delta/compress.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>

#include "app/cli/command.h"
#include "app/cli/delta_lossy.h"
#include "app/cli/find_base.h"
#include "core/artifact/artifact.h"
#include "core/delta/estimate.h"
#include "core/delta/merge_adapter.h"
#include "core/delta/reconstruct.h"
#include "core/signing/signing.h"

namespace tenpak::cli {

namespace {

namespace fs = std::filesystem;

struct Options {
    std::string base, fine_tune, artifact, output, mode = "lossless", form = "file", verify = "stored", sign_key, passphrase_file, text, adapter, export_adapter;
    bool stream = false, verify_base = false, merge = false;
    unsigned rank = 0, threads = 0, context = 0, samples = 0;
};

std::uint64_t whole(double bytes) { return bytes > 0 ? static_cast<std::uint64_t>(std::llround(bytes)) : 0; }

double saved(double stored, std::uint64_t raw) { return raw > 0 ? 1 - stored / static_cast<double>(raw) : 0; }

/// Where a tensor is not predicted by the base's of the same name, type and shape as it is.
void add_predictor(OrderedJson& tensor, const std::string& base_tensor, const std::string& how) {
    if (how.empty()) return;
    tensor["base_tensor"] = base_tensor;
    tensor["how"] = how;
}

OrderedJson to_json(const delta::EstimateSnapshot& s) {
    OrderedJson tensors = OrderedJson::array();
    for (const auto& t : s.tensors) {
        tensors.push_back({{"name", t.name}, {"method", t.method}, {"changed_fraction", t.changed_fraction}, {"raw_bytes", t.raw_bytes},
                           {"estimated_bytes", whole(t.estimated_bytes)}, {"low", whole(t.low)}, {"high", whole(t.high)}, {"complete", t.complete}});
        add_predictor(tensors.back(), t.base_tensor, t.how);
    }
    return {{"raw_bytes", s.raw_bytes}, {"estimated_bytes", whole(s.estimated_bytes)}, {"low", whole(s.low)}, {"high", whole(s.high)},
            {"saved_fraction", saved(s.estimated_bytes, s.raw_bytes)},
            {"sampled_fraction", s.bytes_total > 0 ? static_cast<double>(s.bytes_read) / static_cast<double>(s.bytes_total) : 1.0},
            {"seconds", s.seconds}, {"finished", s.finished}, {"tensors", std::move(tensors)}};
}

/// A fine-tune is read file by file: it must be a directory or one .safetensors file.
Result<std::shared_ptr<const ModelDirectory>> open_fine_tune(const std::string& path) {
    if (looks_like_artifact(path))
        return make_error(ErrorCode::kUnsupported, "the fine-tune is a .tnpk already", path, "Unpack it first: tenpak artifact unpack, or tenpak delta reconstruct");
    return ModelDirectory::open(path);
}

Result<int> run_estimate(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const auto base, open_model(o.base));
    TENPAK_ASSIGN(const auto fine, open_fine_tune(o.fine_tune));
    delta::EstimateOptions options;
    options.threads = o.threads;
    const auto show = [&](const delta::EstimateSnapshot& s) {
        if (!o.stream) {
            ctx.job.report({"estimate", s.bytes_read, s.bytes_total, "bytes", format_bytes(s.low) + " to " + format_bytes(s.high)});
            return;
        }
        const std::string line = to_json(s).dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + '\n';
        std::fwrite(line.data(), 1, line.size(), stdout);
        std::fflush(stdout);
    };
    TENPAK_ASSIGN(const delta::EstimateSnapshot s, delta::estimate(*base, *fine, options, show, ctx.job));
    if (o.stream) return 0;
    const double read = s.bytes_total > 0 ? static_cast<double>(s.bytes_read) / static_cast<double>(s.bytes_total) : 1;
    print_result(ctx, to_json(s),
                 "about " + format_bytes(s.estimated_bytes) + " of " + format_bytes(static_cast<double>(s.raw_bytes)) + ", " + format_percent(saved(s.estimated_bytes, s.raw_bytes)) +
                     " smaller (95 % range " + format_bytes(s.low) + " to " + format_bytes(s.high) + "; " + format_percent(read) + " of the bytes read in " + format_duration(s.seconds) + ")");
    return 0;
}

Result<delta::LossyOptions> lossy_options(const Options& o) {
    delta::LossyOptions lossy;
    const auto mode = delta::lossy_mode_from_name(o.mode);
    if (!mode) return make_error(ErrorCode::kInvalidArgument, "unknown mode " + o.mode);
    lossy.mode = *mode;
    if (lossy.mode == delta::LossyMode::kLowRank) {
        if (o.rank == 0) return make_error(ErrorCode::kInvalidArgument, "--mode lowrank needs --rank", {}, "Give the rank to keep, as 16");
        lossy.rank = o.rank;
    } else if (o.rank != 0) {
        return make_error(ErrorCode::kInvalidArgument, "--rank belongs to --mode lowrank", {}, "Leave it out, or give --mode lowrank");
    }
    return lossy;
}

/// Written, signed where that was asked for, and put in place only after it was rebuilt and compared with every file's hash.
struct Written {
    std::shared_ptr<const Artifact> artifact;
    delta::CompressReport report;
    std::uint64_t files = 0;  ///< compared
};
Result<Written> write_artifact(const Context& ctx, const Options& o, const std::string& model_id, const ModelSource* base,
                               const std::function<Result<delta::CompressReport>(BlockSink&)>& fill) {
    ArtifactOptions options;
    options.form = o.form == "dir" ? ArtifactForm::kDirectory : ArtifactForm::kFile;
    ArtifactWriter::Signer signer;
    if (!o.sign_key.empty()) {  // before the work: a wrong passphrase must not cost an hour
        signing::SigningKey key;
        key.private_key = o.sign_key;
        if (!o.passphrase_file.empty()) {
            TENPAK_ASSIGN(const std::string text, read_text_file(o.passphrase_file, 4096));
            key.passphrase = text.substr(0, text.find_first_of("\r\n"));  // the first line
        }
        TENPAK_ASSIGN(signer, signing::make_signer(key, model_id));
        options.signature_scheme = signing::scheme_of(key);
    }
    Written w;
    // What was there stays until the new one has been seen to rebuild.
    options.accept = [&](const Artifact& written) -> Status {
        TENPAK_ASSIGN(const delta::ReconstructReport rebuilt, delta::verify_rebuild(written, base, {}, ctx.job));
        w.files = rebuilt.files;
        return {};
    };
    TENPAK_ASSIGN(const auto writer, ArtifactWriter::create(o.output, options));
    TENPAK_ASSIGN(w.report, fill(*writer));
    TENPAK_ASSIGN(w.artifact, writer->finish(signer, ctx.job));
    return w;
}

/// An unmerged adapter: its files as they are, bound to the base's weights.
Result<int> run_compress_adapter(const Context& ctx, const Options& o) {
    const auto start = std::chrono::steady_clock::now();
    if (o.mode != "lossless" || !o.adapter.empty() || !o.export_adapter.empty())
        return make_error(ErrorCode::kInvalidArgument, "the fine-tune is an unmerged adapter, which is stored as it is", o.fine_tune, "Leave out --mode, --adapter and --export-adapter");
    TENPAK_ASSIGN(const auto base, open_model(o.base));
    TENPAK_ASSIGN(const auto adapter, PeftAdapter::open(o.fine_tune));
    delta::CompressOptions options;
    options.threads = o.threads;
    TENPAK_ASSIGN(const Written w, write_artifact(ctx, o, adapter->path().filename().string(), base.get(), [&](BlockSink& sink) { return delta::compress_adapter(*base, *adapter, sink, options, ctx.job); }));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const std::uint64_t stored = w.artifact->stored_bytes();
    OrderedJson methods = OrderedJson::object();
    for (const auto& [method, bytes] : w.report.methods) methods[method] = bytes;
    const double bits = w.report.weights > 0 ? 8.0 * static_cast<double>(stored) / static_cast<double>(w.report.weights) : 0;
    print_result(ctx,
                 {{"output", o.output}, {"kind", "adapter"}, {"raw_bytes", w.report.raw_bytes}, {"stored_bytes", stored}, {"saved_fraction", saved(static_cast<double>(stored), w.report.raw_bytes)},
                  {"bits_per_weight", bits}, {"seconds", seconds}, {"methods", std::move(methods)}, {"lossless", true}, {"max_abs_error", 0.0}, {"files", w.files}, {"verified", "full"},
                  {"signature_scheme", w.artifact->signature_scheme()}, {"modules", adapter->modules().size()}},
                 o.output + ": an unmerged adapter of " + std::to_string(adapter->modules().size()) + " modules as it is, " + format_bytes(static_cast<double>(stored)) + " of " +
                     format_bytes(static_cast<double>(w.report.raw_bytes)) + ", in " + format_duration(seconds) + "\nlossless: " + std::to_string(w.files) +
                     " files have the same SHA-256; tenpak delta reconstruct --merge merges it into its base");
    return 0;
}

Result<int> run_compress(const Context& ctx, const Options& o) {
    if (PeftAdapter::is_adapter(o.fine_tune)) return run_compress_adapter(ctx, o);
    const auto start = std::chrono::steady_clock::now();
    delta::CompressOptions options;
    options.threads = o.threads;
    TENPAK_ASSIGN(options.lossy, lossy_options(o));
    if (!o.text.empty()) {  // before the work, as the passphrase below
        TENPAK_RETURN_IF_ERROR(File::open(o.text));
    }
    TENPAK_ASSIGN(const auto base, open_model(o.base));
    TENPAK_ASSIGN(const auto fine, open_fine_tune(o.fine_tune));
    std::shared_ptr<const PeftAdapter> adapter;
    if (!o.adapter.empty()) {
        if (options.lossy.mode != delta::LossyMode::kLossless) return make_error(ErrorCode::kInvalidArgument, "--adapter belongs to --mode lossless");
        TENPAK_ASSIGN(adapter, PeftAdapter::open(o.adapter));
        options.adapter = adapter.get();
    }
    TENPAK_ASSIGN(const Written w, write_artifact(ctx, o, fine->id(), base.get(), [&](BlockSink& sink) { return delta::compress(*base, *fine, sink, options, ctx.job); }));
    const delta::CompressReport& r = w.report;
    const auto& artifact = w.artifact;
    const std::uint64_t rebuilt_files = w.files;
    if (!o.export_adapter.empty()) TENPAK_RETURN_IF_ERROR(delta::export_adapter(*r.factors, base->id(), o.export_adapter));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const std::uint64_t stored = artifact->stored_bytes();
    OrderedJson methods = OrderedJson::object();
    std::string method_text;
    for (const auto& [method, bytes] : r.methods) {
        methods[method] = bytes;
        method_text += (method_text.empty() ? "" : ", ") + method + " " + format_bytes(static_cast<double>(bytes));
    }
    OrderedJson tensors = OrderedJson::array();
    for (const auto& t : r.tensors) {
        tensors.push_back({{"name", t.name}, {"method", t.method}, {"changed_fraction", t.changed_fraction}, {"raw_bytes", t.raw_bytes}, {"stored_bytes", t.stored_bytes}});
        if (t.rank > 0) tensors.back()["rank"] = t.rank;
        add_predictor(tensors.back(), t.base_tensor, t.how);
    }
    const double bits = r.weights > 0 ? 8.0 * static_cast<double>(stored) / static_cast<double>(r.weights) : 0;
    char bits_text[32];
    std::snprintf(bits_text, sizeof bits_text, "%.3f", bits);
    OrderedJson json = {{"output", o.output}, {"raw_bytes", r.raw_bytes}, {"stored_bytes", stored}, {"saved_fraction", saved(static_cast<double>(stored), r.raw_bytes)},
                        {"bits_per_weight", bits}, {"seconds", seconds}, {"methods", std::move(methods)}, {"lossless", r.lossless}, {"max_abs_error", r.error.max_abs},
                        {"files", rebuilt_files}, {"verified", "full"}, {"signature_scheme", artifact->signature_scheme()}, {"tensors", std::move(tensors)}};
    std::string text = o.output + ": " + format_bytes(static_cast<double>(stored)) + " of " + format_bytes(static_cast<double>(r.raw_bytes)) + ", " +
                       format_percent(saved(static_cast<double>(stored), r.raw_bytes)) + " smaller, " + bits_text + " bit per weight, in " + format_duration(seconds) + "\n" +
                       "by method: " + method_text + "\n";
    add_lossy_json(json, r, options.lossy);
    if (options.lossy.mode == delta::LossyMode::kLossless) {
        text += "lossless: rebuilt and compared, " + std::to_string(rebuilt_files) + " of " + std::to_string(fine->files().size()) + " files have the same SHA-256";
        json["perplexity"] = nullptr;
        json["perplexity_not_measured"] = "lossless: it is the same";
    } else {
        PerplexityChange p;
        if (r.lossless) {
            p.why_not = "nothing was lost: it is the same";
        } else {
            TENPAK_ASSIGN(p, measure_perplexity_change(ctx, {o.base, o.fine_tune, o.output, o.text, o.context, o.samples, o.threads}));
        }
        json["perplexity"] = to_json(p);
        if (!p.why_not.empty()) json["perplexity_not_measured"] = p.why_not;
        text += lossy_text(r, options.lossy, p) + "\nrebuilt and compared: " + std::to_string(rebuilt_files) + " of " + std::to_string(fine->files().size()) + " files have the SHA-256 recorded" +
                (r.lossless ? "" : " for the lossy model");
    }
    if (!o.export_adapter.empty()) {
        json["adapter"] = o.export_adapter;
        text += "\n" + o.export_adapter + ": the recovered adapter, for PEFT";
    }
    print_result(ctx, json, text);
    return 0;
}

/// The adapter of the artifact, merged into the base in a new folder.
Result<int> run_merge(const Context& ctx, const Options& o, const std::shared_ptr<const Artifact>& artifact, const BlockSource& view) {
    if (artifact->model().codec != "adapter")
        return make_error(ErrorCode::kInvalidArgument, "--merge is for a .tnpk that holds an unmerged adapter", o.artifact, "Leave out --merge: this one is a whole model");
    TENPAK_ASSIGN(auto base, ModelDirectory::open(o.base));
    TENPAK_RETURN_IF_ERROR(delta::check_base(view, base.get(), o.verify_base, ctx.job));
    // PEFT's layout is read from files; they are small.
    TENPAK_ASSIGN(const AtomicDirectory beside, AtomicDirectory::create(fs::path(o.output + ".adapter")));
    const fs::path unpacked = beside.path() / "adapter";
    TENPAK_RETURN_IF_ERROR(delta::reconstruct(view, base.get(), unpacked, {.threads = o.threads, .verify = delta::Verify::kFull}, ctx.job));
    TENPAK_ASSIGN(auto adapter, PeftAdapter::open(unpacked));
    TENPAK_ASSIGN(const delta::MergeReport r, delta::merge_adapter(std::move(base), std::move(adapter), o.output, ctx.job));
    print_result(ctx, {{"output", o.output}, {"bytes_written", r.bytes_written}, {"files", r.files}, {"seconds", r.seconds},
                       {"gb_per_s", r.seconds > 0 ? static_cast<double>(r.bytes_written) / r.seconds / 1e9 : 0}, {"verified", "full"}, {"merged_modules", r.modules}},
                 o.output + ": " + std::to_string(r.modules) + " modules merged into " + o.base + ", " + std::to_string(r.files) + " files, " + format_bytes(static_cast<double>(r.bytes_written)) + " in " +
                     format_duration(r.seconds) + " (the adapter's files have the SHA-256 recorded; the merge follows PEFT, whose sums may differ in their last bit)");
    return 0;
}

Result<int> run_reconstruct(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const auto artifact, Artifact::open(o.artifact));
    // The signature first: nothing that a wrong one vouches for is written.
    TENPAK_ASSIGN(const auto trust, signing::TrustStore::open(signing::TrustStore::default_file()));
    TENPAK_RETURN_IF_ERROR(signing::refuse_forged(*artifact, &trust));
    TENPAK_ASSIGN(const auto view, unpacked_view(artifact));
    if (o.merge) return run_merge(ctx, o, artifact, *view);
    TENPAK_ASSIGN(const auto base, open_model(o.base));
    delta::ReconstructOptions options;
    options.threads = o.threads;
    options.verify = o.verify == "full" ? delta::Verify::kFull : delta::Verify::kStored;
    options.verify_base = o.verify_base;
    TENPAK_ASSIGN(const delta::ReconstructReport r, delta::reconstruct(*view, base.get(), o.output, options, ctx.job));
    const double rate = r.seconds > 0 ? static_cast<double>(r.bytes_written) / r.seconds / 1e9 : 0;
    print_result(ctx, {{"output", o.output}, {"bytes_written", r.bytes_written}, {"files", r.files}, {"seconds", r.seconds}, {"gb_per_s", rate}, {"verified", r.verified}, {"resumed_bytes", r.resumed_bytes}, {"lossless", artifact->model().lossless}},
                 o.output + ": " + std::to_string(r.files) + " files, " + format_bytes(static_cast<double>(r.bytes_written)) +
                     (r.resumed_bytes > 0 ? ", " + format_bytes(static_cast<double>(r.resumed_bytes)) + " of it kept from an interrupted run," : "") + " in " + format_duration(r.seconds) + " (" +
                     (r.verified == "full" ? (artifact->model().lossless ? "every file's SHA-256 is the original's" : "every file's SHA-256 is the recorded one") : "every stored chunk's SHA-256 checked") + ")" +
                     (artifact->model().lossless ? "" : "\nLOSSY by design: these are not the original fine-tune's weights (tenpak artifact inspect says how far off)"));
    return 0;
}

}  // namespace

void add_delta(CLI::App& app, Context& ctx) {
    auto* group = app.add_subcommand("delta", "Store a fine-tune as its difference from a base");
    group->require_subcommand(1);
    const auto o = std::make_shared<Options>();

    auto* estimate = group->add_subcommand("estimate", "How large the fine-tune will be, by sampling");
    estimate->add_option("BASE", o->base, "Base model: folder, .safetensors or .tnpk")->required();
    estimate->add_option("FT", o->fine_tune, "Fine-tune: folder or .safetensors")->required();
    estimate->add_flag("--stream", o->stream, "Print a snapshot a line, as JSON, while it refines");
    estimate->add_option("--threads", o->threads, "Threads (0: all usable CPUs)");
    estimate->callback([&ctx, o] { ctx.run = [&ctx, o] { return run_estimate(ctx, *o); }; });

    auto* compress = group->add_subcommand("compress", "Write the fine-tune as a .tnpk that needs the base");
    compress->add_option("BASE", o->base, "Base model: folder, .safetensors or .tnpk")->required();
    compress->add_option("FT", o->fine_tune, "Fine-tune: folder, .safetensors, or the PEFT folder of an unmerged adapter")->required();
    compress->add_option("-o,--output", o->output, "The .tnpk to write")->required();
    compress->add_option("--mode", o->mode, "lossless (every file bit by bit), or lossy: int8, int4, bit1, lowrank. The result says what was lost")->check(CLI::IsMember({"lossless", "int8", "int4", "bit1", "lowrank"}));
    compress->add_option("--rank", o->rank, "Rank of --mode lowrank")->check(CLI::Range(1u, 512u));
    compress->add_option("--text", o->text, "UTF-8 text: measure what a lossy mode does to the perplexity on it");
    compress->add_option("--context", o->context, "Tokens a window of the text (default: 2048 or the model's own limit)")->check(CLI::Range(2u, 1u << 20));
    compress->add_option("--eval-samples", o->samples, "Windows to evaluate, evenly spread over the text (default: all)")->check(CLI::PositiveNumber);
    compress->add_option("--adapter", o->adapter, "PEFT folder of the adapter that FT was merged from: replayed instead of recovered");
    compress->add_option("--export-adapter", o->export_adapter, "Write the recovered adapter as a PEFT folder");
    compress->add_option("--form", o->form, "One file or a folder")->check(CLI::IsMember({"file", "dir"}));
    compress->add_option("--sign-key", o->sign_key, "Sign with this private key (tenpak artifact keygen makes one)");
    compress->add_option("--passphrase-file", o->passphrase_file, "File with the key's passphrase");
    compress->add_option("--threads", o->threads, "Threads (0: all usable CPUs)");
    compress->callback([&ctx, o] { ctx.run = [&ctx, o] { return run_compress(ctx, *o); }; });

    auto* reconstruct = group->add_subcommand("reconstruct", "Rebuild the fine-tune from the base and a .tnpk");
    reconstruct->add_option("BASE", o->base, "The base that the delta was made from")->required();
    reconstruct->add_option("X", o->artifact, "The .tnpk")->required();
    reconstruct->add_option("-o,--output", o->output, "New folder for the rebuilt model")->required();
    reconstruct->add_option("--verify", o->verify, "stored: hashes of what is stored; full: also SHA-256 of every rebuilt file")->check(CLI::IsMember({"stored", "full"}));
    reconstruct->add_flag("--merge", o->merge, "X holds an unmerged adapter: merge it into the base");
    reconstruct->add_flag("--verify-base", o->verify_base, "Hash the base even if hashes of the unchanged files are remembered");
    reconstruct->add_option("--threads", o->threads, "Threads (0: all usable CPUs)");
    reconstruct->callback([&ctx, o] { ctx.run = [&ctx, o] { return run_reconstruct(ctx, *o); }; });

    add_delta_archive(*group, ctx);
    add_delta_extract(*group, ctx);
    add_find_base(*group, ctx);
}

}  // namespace tenpak::cli
