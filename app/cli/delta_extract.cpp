// SPDX-License-Identifier: Apache-2.0
// tenpak delta extract: single tensors, a layer or a part of a delta, without rebuilding the rest.
#include <map>

#include "app/cli/command.h"
#include "core/artifact/artifact.h"
#include "core/artifact/extract.h"
#include "core/signing/signing.h"

namespace tenpak::cli {

namespace {

struct Options {
    std::string base, artifact, output, part;
    std::vector<std::string> tensors;
    int layer = -1;
};

Result<int> run(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const auto artifact, Artifact::open(o.artifact));
    // The signature first: nothing that a wrong one vouches for is written.
    TENPAK_ASSIGN(const auto trust, signing::TrustStore::open(signing::TrustStore::default_file()));
    TENPAK_RETURN_IF_ERROR(signing::refuse_forged(*artifact, &trust));
    TENPAK_ASSIGN(const auto base, open_model(o.base));
    std::vector<std::string> wanted = o.tensors;
    if (o.layer >= 0) wanted.push_back("layers." + std::to_string(o.layer));
    if (!o.part.empty()) wanted.push_back(o.part);
    if (wanted.empty()) return make_error(ErrorCode::kInvalidArgument, "nothing to extract", {}, "Name it with --tensor, --layer or --part");
    TENPAK_ASSIGN(const auto r, artifact::extract(*artifact, base.get(), wanted, o.output, ctx.job));
    OrderedJson names = OrderedJson::array();
    for (const std::string& n : r.tensors) names.push_back(n);
    print_result(ctx,
                 {{"output", o.output}, {"tensors", std::move(names)}, {"bytes_written", r.bytes}, {"chunks_read", r.blocks_read}, {"chunks", r.blocks_total}, {"stored_bytes_read", r.stored_bytes_read},
                  {"stored_bytes", artifact->stored_bytes()}, {"seconds", r.seconds}},
                 o.output + ": " + std::to_string(r.tensors.size()) + " tensors, " + format_bytes(static_cast<double>(r.bytes)) + ", from " + std::to_string(r.blocks_read) + " of " +
                     std::to_string(r.blocks_total) + " chunks in " + format_duration(r.seconds));
    return 0;
}

}  // namespace

void add_delta_extract(CLI::App& group, Context& ctx) {
    const auto o = std::make_shared<Options>();
    auto* c = group.add_subcommand("extract", "Rebuild single tensors, a layer or a part of a delta into a .safetensors file");
    c->add_option("BASE", o->base, "The base that the delta was made from")->required();
    c->add_option("X", o->artifact, "The .tnpk")->required();
    c->add_option("-o,--output", o->output, "The .safetensors file to write")->required();
    c->add_option("--tensor", o->tensors, "A tensor's name; may be given several times");
    c->add_option("--layer", o->layer, "Number of a layer")->check(CLI::Range(0, 99999));
    c->add_option("--part", o->part, "embeddings, norm, head, other or layers.N");
    c->callback([&ctx, o] { ctx.run = [&ctx, o] { return run(ctx, *o); }; });
}

}  // namespace tenpak::cli
