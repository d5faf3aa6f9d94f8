// SPDX-License-Identifier: Apache-2.0
// tenpak delta estimate | compress | reconstruct
#include "core/delta/compress.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <optional>

#include "app/cli/command.h"
#include "app/cli/delta_lossy.h"
#include "core/artifact/artifact.h"
#include "core/delta/estimate.h"
#include "core/delta/reconstruct.h"
#include "core/signing/signing.h"

namespace tenpak::cli {

namespace {

namespace fs = std::filesystem;

struct Options {
    std::string base, fine_tune, artifact, output, mode = "lossless", form = "file", verify = "stored", sign_key, passphrase_file, text;
    bool stream = false, verify_base = false;
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

Result<int> run_compress(const Context& ctx, const Options& o) {
    const auto start = std::chrono::steady_clock::now();
    delta::CompressOptions options;
    options.threads = o.threads;
    TENPAK_ASSIGN(options.lossy, lossy_options(o));
    if (!o.text.empty()) {  // before the work, as the passphrase below
        TENPAK_RETURN_IF_ERROR(File::open(o.text));
    }
    TENPAK_ASSIGN(const auto base, open_model(o.base));
    TENPAK_ASSIGN(const auto fine, open_fine_tune(o.fine_tune));
    ArtifactOptions artifact_options;
    artifact_options.form = o.form == "dir" ? ArtifactForm::kDirectory : ArtifactForm::kFile;
    ArtifactWriter::Signer signer;
    if (!o.sign_key.empty()) {  // before the work: a wrong passphrase must not cost an hour
        signing::SigningKey key;
        key.private_key = o.sign_key;
        if (!o.passphrase_file.empty()) {
            TENPAK_ASSIGN(const std::string text, read_text_file(o.passphrase_file, 4096));
            key.passphrase = text.substr(0, text.find_first_of("\r\n"));  // the first line
        }
        TENPAK_ASSIGN(signer, signing::make_signer(key, fine->id()));
        artifact_options.signature_scheme = signing::scheme_of(key);
    }
    // What was written is rebuilt and compared with every file's hash before it is put in place: what was there stays until then.
    std::uint64_t rebuilt_files = 0;
    artifact_options.accept = [&](const Artifact& written) -> Status {
        TENPAK_ASSIGN(const delta::ReconstructReport rebuilt, delta::verify_rebuild(written, base.get(), {}, ctx.job));
        rebuilt_files = rebuilt.files;
        return {};
    };
    TENPAK_ASSIGN(const auto writer, ArtifactWriter::create(o.output, artifact_options));
    TENPAK_ASSIGN(const delta::CompressReport r, delta::compress(*base, *fine, *writer, options, ctx.job));
    TENPAK_ASSIGN(const auto artifact, writer->finish(signer, ctx.job));
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
    print_result(ctx, json, text);
    return 0;
}

Result<int> run_reconstruct(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const auto artifact, Artifact::open(o.artifact));
    // The signature first: nothing that a wrong one vouches for is written.
    TENPAK_ASSIGN(const auto trust, signing::TrustStore::open(signing::TrustStore::default_file()));
    TENPAK_RETURN_IF_ERROR(signing::refuse_forged(*artifact, &trust));
    TENPAK_ASSIGN(const auto view, unpacked_view(artifact));
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
    compress->add_option("FT", o->fine_tune, "Fine-tune: folder or .safetensors")->required();
    compress->add_option("-o,--output", o->output, "The .tnpk to write")->required();
    compress->add_option("--mode", o->mode, "lossless (every file bit by bit), or lossy: int8, int4, bit1, lowrank. The result says what was lost")->check(CLI::IsMember({"lossless", "int8", "int4", "bit1", "lowrank"}));
    compress->add_option("--rank", o->rank, "Rank of --mode lowrank")->check(CLI::Range(1u, 512u));
    compress->add_option("--text", o->text, "UTF-8 text: measure what a lossy mode does to the perplexity on it");
    compress->add_option("--context", o->context, "Tokens a window of the text (default: 2048 or the model's own limit)")->check(CLI::Range(2u, 1u << 20));
    compress->add_option("--eval-samples", o->samples, "Windows to evaluate, evenly spread over the text (default: all)")->check(CLI::PositiveNumber);
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
    reconstruct->add_flag("--verify-base", o->verify_base, "Hash the base even if hashes of the unchanged files are remembered");
    reconstruct->add_option("--threads", o->threads, "Threads (0: all usable CPUs)");
    reconstruct->callback([&ctx, o] { ctx.run = [&ctx, o] { return run_reconstruct(ctx, *o); }; });

    add_delta_archive(*group, ctx);
    add_delta_extract(*group, ctx);
}

}  // namespace tenpak::cli
