// SPDX-License-Identifier: Apache-2.0
// tenpak artifact pack | unpack | inspect | diff. Signing and verifying: artifact_sign.cpp.
#include <map>
#include <set>

#include "app/cli/artifact_sign.h"
#include "app/cli/command.h"
#include "core/artifact/artifact.h"
#include "core/delta/compress.h"
#include "core/delta/reconstruct.h"
#include "core/signing/signing.h"

namespace tenpak::cli {
namespace {

struct Options {
    std::string path, other, base, output, form = "file", verify = "stored";
    unsigned threads = 0;
};

std::string size_text(std::uint64_t n) { return format_bytes(static_cast<double>(n)); }

Result<std::shared_ptr<const ModelSource>> open_base(const std::string& base) {
    if (base.empty()) return std::shared_ptr<const ModelSource>();
    return open_model(base);
}

Result<int> run_pack(const Context& ctx, const Options& o) {
    if (looks_like_artifact(o.path)) {
        return make_error(ErrorCode::kInvalidArgument, "this is a .tnpk already", o.path, "Give a model folder or a .safetensors file");
    }
    TENPAK_ASSIGN(const auto model, ModelDirectory::open(o.path));
    TENPAK_ASSIGN(const auto base, open_base(o.base));
    ArtifactOptions options;
    options.form = o.form == "dir" ? ArtifactForm::kDirectory : ArtifactForm::kFile;
    // What was written is decoded and compared before it is put in place: an artifact that is there is one that rebuilds.
    options.accept = [&](const Artifact& written) -> Status {
        delta::ReconstructOptions full;
        full.threads = o.threads;
        full.verify = delta::Verify::kFull;
        auto r = delta::verify_rebuild(written, base.get(), full, ctx.job);
        if (!r.ok()) return std::move(r).error();
        return {};
    };
    TENPAK_ASSIGN(const auto writer, ArtifactWriter::create(o.output, options));
    delta::CompressOptions how;
    how.threads = o.threads;
    if (base) TENPAK_RETURN_IF_ERROR(status_of(delta::compress(*base, *model, *writer, how, ctx.job)));
    else TENPAK_RETURN_IF_ERROR(status_of(delta::pack(*model, *writer, how, ctx.job)));
    TENPAK_ASSIGN(const auto a, writer->finish({}, ctx.job));
    for (const std::string& i : model->ignored()) print_note(ctx, "left out: " + i);
    print_result(ctx, {{"output", o.output}, {"files", a->files().size()}, {"raw_bytes", a->raw_bytes()}, {"stored_bytes", a->stored_bytes()}, {"chunks", a->blocks().size()}, {"verified", "full"}},
                 o.output + ": " + std::to_string(a->files().size()) + " files, " + size_text(a->raw_bytes()) + " in " + size_text(a->stored_bytes()) + " (" +
                     std::to_string(a->blocks().size()) + " chunks); rebuilt and compared: every file has the same SHA-256");
    return 0;
}

Result<int> run_unpack(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const auto artifact, Artifact::open(o.path));
    // The signature first: nothing that a wrong one vouches for is written.
    TENPAK_ASSIGN(const auto trust, signing::TrustStore::open(signing::TrustStore::default_file()));
    TENPAK_RETURN_IF_ERROR(signing::refuse_forged(*artifact, &trust));
    TENPAK_ASSIGN(const auto base, open_base(o.base));
    if (artifact->model().base && !base) {
        return make_error(ErrorCode::kInvalidArgument, "this artifact is a delta of " + artifact->model().base->id, o.path, "Name its base with --base");
    }
    TENPAK_ASSIGN(const auto view, unpacked_view(artifact));
    delta::ReconstructOptions options;
    options.threads = o.threads;
    options.verify = o.verify == "full" ? delta::Verify::kFull : delta::Verify::kStored;
    TENPAK_ASSIGN(const auto r, delta::reconstruct(*view, base.get(), o.output, options, ctx.job));
    print_result(ctx, {{"output", o.output}, {"files", r.files}, {"raw_bytes", r.bytes_written}, {"stored_bytes", artifact->stored_bytes()}, {"chunks", artifact->blocks().size()}, {"verified", r.verified}},
                 o.output + ": " + std::to_string(r.files) + " files, " + size_text(r.bytes_written) + " (" +
                     (r.verified == "full" ? "every file's SHA-256 is the original's" : "every stored chunk's SHA-256 checked") + ")");
    return 0;
}

Result<int> run_inspect(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const auto a, Artifact::open(o.path));
    struct Sum {
        std::uint64_t chunks = 0, stored = 0, raw = 0;
    };
    std::map<std::string, Sum> codecs;
    for (const BlockInfo& b : a->blocks()) {
        Sum& s = codecs[b.codec];
        ++s.chunks;
        s.stored += b.stored_size;
        s.raw += b.raw_size;
    }
    OrderedJson by_codec = OrderedJson::object(), files = OrderedJson::array(), attestation = OrderedJson::object();
    std::string text = o.path + ": " + a->model().model_id + ", " + a->model().codec + (a->model().lossless ? ", lossless" : ", lossy by design") + "\n" +
                       std::to_string(a->files().size()) + " files, " + size_text(a->raw_bytes()) + " stored in " + size_text(a->stored_bytes()) + ", " +
                       std::to_string(a->blocks().size()) + " chunks, " + (a->is_directory() ? "directory form" : "one file") + ", created " + a->created() + "\n" +
                       (a->model().base ? "needs the base " + a->model().base->id : std::string("needs no base")) + "; signature: " + a->signature_scheme() +
                       (a->signature_scheme() == "none" ? "" : " (tenpak artifact verify checks it)") + "\n";
    if (!a->model().lossless) {
        std::string facts;
        for (const auto& [key, value] : a->model().attestation)
            if (key != "tool") facts += (facts.empty() ? "LOSSY: " : ", ") + key + " " + value;
        if (!facts.empty()) text += facts + "\n";
    }
    for (const auto& [codec, s] : codecs) {
        by_codec[codec] = {{"chunks", s.chunks}, {"stored_bytes", s.stored}, {"raw_bytes", s.raw}};
        text += "  " + codec + ": " + std::to_string(s.chunks) + " chunks, " + size_text(s.raw) + " in " + size_text(s.stored) + "\n";
    }
    for (const FileRecord& f : a->files()) {
        files.push_back({{"path", f.path}, {"size", f.size}, {"sha256", to_hex(f.sha256)}, {"chunks", f.blocks.size()}});
        text += "  " + to_hex(f.sha256).substr(0, 16) + "  " + size_text(f.size) + "  " + f.path + "\n";
    }
    for (const auto& [key, value] : a->model().attestation) attestation[key] = value;
    OrderedJson base;
    if (a->model().base) base = {{"id", a->model().base->id}, {"revision", a->model().base->revision}, {"tensors", a->model().base->tensors.size()}};
    print_result(ctx, {{"output", nullptr}, {"files", a->files().size()}, {"raw_bytes", a->raw_bytes()}, {"stored_bytes", a->stored_bytes()}, {"chunks", a->blocks().size()},
                       {"path", o.path}, {"form", a->is_directory() ? "dir" : "file"}, {"model_id", a->model().model_id}, {"codec", a->model().codec}, {"lossless", a->model().lossless},
                       {"created", a->created()}, {"base", std::move(base)}, {"signature", {{"scheme", a->signature_scheme()}}}, {"codecs", std::move(by_codec)},
                       {"attestation", std::move(attestation)}, {"file_list", std::move(files)}},
                 text);
    return 0;
}

Result<int> run_diff(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const auto a, Artifact::open(o.path));
    TENPAK_ASSIGN(const auto b, Artifact::open(o.other));
    const ArtifactDiff d = diff(*a, *b);
    std::set<std::string_view> paths;
    for (const auto& x : {a, b}) {
        for (const FileRecord& f : x->files()) paths.insert(f.path);
    }
    std::string text = d.same_content ? "the same files with the same content\n" : "";
    for (const auto& p : d.only_a) text += "only in A: " + p + "\n";
    for (const auto& p : d.only_b) text += "only in B: " + p + "\n";
    for (const auto& p : d.changed) text += "changed: " + p + "\n";
    text += "shared chunks: " + std::to_string(d.shared_blocks) + " (" + size_text(d.shared_bytes) + "); only in A " + size_text(d.only_a_bytes) + ", only in B " + size_text(d.only_b_bytes);
    // files and bytes of both together: stored_bytes is what a store that keeps every chunk once would hold of them.
    print_result(ctx, {{"output", nullptr}, {"files", paths.size()}, {"raw_bytes", a->raw_bytes() + b->raw_bytes()}, {"stored_bytes", d.shared_bytes + d.only_a_bytes + d.only_b_bytes},
                       {"chunks", a->blocks().size() + b->blocks().size()}, {"same_content", d.same_content}, {"only_a", d.only_a}, {"only_b", d.only_b}, {"changed", d.changed},
                       {"shared_chunks", d.shared_blocks}, {"shared_bytes", d.shared_bytes}, {"only_a_bytes", d.only_a_bytes}, {"only_b_bytes", d.only_b_bytes}},
                 text);
    return 0;
}

}  // namespace

void add_artifact(CLI::App& app, Context& ctx) {
    auto* group = app.add_subcommand("artifact", "Write, read, sign and verify .tnpk artifacts");
    group->require_subcommand(1);
    const auto o = std::make_shared<Options>();
    const auto verb = [&](const char* name, const char* what, Result<int> (*run)(const Context&, const Options&)) {
        auto* cmd = group->add_subcommand(name, what);
        cmd->callback([&ctx, o, run] { ctx.run = [&ctx, o, run] { return run(ctx, *o); }; });
        return cmd;
    };
    auto* pack = verb("pack", "Write a model as a .tnpk, losslessly", run_pack);
    pack->add_option("DIR", o->path, "Model: folder or .safetensors")->required();
    pack->add_option("-o,--output", o->output, "The .tnpk to write")->required();
    pack->add_option("--base", o->base, "Store it as a delta of this model");
    pack->add_option("--form", o->form, "One file or a folder")->check(CLI::IsMember({"file", "dir"}));
    pack->add_option("--threads", o->threads, "Threads (0: all usable CPUs)");

    auto* unpack = verb("unpack", "Write an artifact's files into a new folder", run_unpack);
    unpack->add_option("X", o->path, "The .tnpk")->required();
    unpack->add_option("-o,--output", o->output, "New folder for the model")->required();
    unpack->add_option("--base", o->base, "The base, where the artifact needs one");
    unpack->add_option("--verify", o->verify, "stored: hashes of what is stored; full: also SHA-256 of every file")->check(CLI::IsMember({"stored", "full"}));
    unpack->add_option("--threads", o->threads, "Threads (0: all usable CPUs)");

    verb("inspect", "What an artifact says of itself", run_inspect)->add_option("X", o->path, "The .tnpk")->required();

    auto* compare = verb("diff", "What differs between two artifacts", run_diff);
    compare->add_option("A", o->path, "A .tnpk")->required();
    compare->add_option("B", o->other, "Another .tnpk")->required();

    add_artifact_sign(*group, ctx);
}

}  // namespace tenpak::cli
