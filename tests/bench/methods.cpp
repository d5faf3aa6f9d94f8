// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/methods.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/bench/peers.h"
#include "tests/bench/program.h"
#include "tests/support/temp_dir.h"

namespace tenpak::bench {

namespace {

/// What to run how often: the fastest of several passes counts where a pass is short.
int passes(const Pair& p) { return p.paired < (std::uint64_t{64} << 20) ? 3 : 1; }

using Encode = Bytes (*)(Span, Span, DType);
using Decode = void (*)(Span, Span, DType, std::span<std::byte>);
Figure in_memory(const Pair& p, Encode encode, Decode decode) {
    Figure r;
    r.bytes = p.rest;
    r.lossless = true;
    for (const PairedTensor& t : p.tensors) {
        const Bytes none(t.cast
                             ? t.base.size()
                             : 0);  // a base of another type is none: XOR with zeros, planes of the weights themselves
        const Span base = t.cast ? Span(none) : Span(t.base);
        Bytes stored, back(t.fine.size());
        double encode_s = 1e99, decode_s = 1e99;
        for (int i = 0; i < passes(p); ++i) {
            double start = thread_seconds();
            stored = encode(t.fine, base, t.type);
            encode_s = std::min(encode_s, thread_seconds() - start);
            std::memset(back.data(), 0, back.size());
            start = thread_seconds();
            decode(stored, base, t.type, back);
            decode_s = std::min(decode_s, thread_seconds() - start);
        }
        r.lossless = r.lossless && back == t.fine;
        r.encode_s += encode_s;
        r.decode_s += decode_s;
        r.bytes += static_cast<double>(stored.size());
    }
    return r;
}

/// Files of the fine-tune, each with the base's file that a user would name: the same name, or the only weights file.
struct FilePair {
    fs::path fine, base;
};
std::vector<FilePair> file_pairs(const Pair& p) {
    const auto base = need(ModelDirectory::open(p.base_path)), fine = need(ModelDirectory::open(p.fine_path));
    std::vector<FilePair> out;
    for (const ModelFile& f : fine->files()) {
        FilePair x{fine->file_path(f), {}};
        const auto weights =
            std::count_if(base->files().begin(), base->files().end(), [](const ModelFile& b) { return b.weights; });
        for (const ModelFile& b : base->files())
            if (b.path == f.path || (f.weights && b.weights && weights == 1)) x.base = base->file_path(b);
        out.push_back(std::move(x));
    }
    return out;
}

}  // namespace

std::map<std::string, Figure> plane_peers(const Pair& p) {
    return {{"TX", in_memory(p, tx_encode, tx_decode)},
            {"BitX", in_memory(p, bitx_encode, bitx_decode)},
            {"FM", in_memory(p, fm_encode, fm_decode)}};
}

Figure patch_from(const Pair& p) {
    Figure r;
    r.lossless = true;
    const int level = p.raw <= 40'000'000 ? 19 : 9;
    for (const FilePair& f : file_pairs(p)) {
        const Bytes fine = need(read_file(f.fine, std::uint64_t{8} << 30));
        const Bytes base = f.base.empty() ? Bytes{} : need(read_file(f.base, std::uint64_t{8} << 30));
        double start = thread_seconds();
        const Bytes stored = patch_encode(fine, base, level);
        r.encode_s += thread_seconds() - start;
        start = thread_seconds();
        const Bytes back = patch_decode(stored, base, fine.size());
        r.decode_s += thread_seconds() - start;
        r.lossless = r.lossless && back == fine;
        r.bytes += static_cast<double>(stored.size());
    }
    return r;
}

Figure xdelta3(const Pair& p, const fs::path& work) {
    if (!in_path("xdelta3")) {
        std::fprintf(stderr, "SKIPPED: xdelta3 is not installed (Debian package xdelta3)\n");
        return no_figure("not installed");
    }
    Figure r;
    r.lossless = true;
    const std::string patch = work / "pair.vcdiff", back = work / "pair.back";
    for (const FilePair& f : file_pairs(p)) {
        std::vector<std::string> encode{"-e", "-f", "-q", "-9"}, decode{"-d", "-f", "-q"};
        if (!f.base.empty()) {
            // The whole base in the source window, so that matches are found wherever they lie.
            const std::string window =
                std::to_string(std::clamp<std::uint64_t>(fs::file_size(f.base), 1u << 20, 2147483647u));
            encode.insert(encode.end(), {"-B", window, "-s", f.base.string()});
            decode.insert(decode.end(), {"-B", window, "-s", f.base.string()});
        }
        encode.insert(encode.end(), {f.fine.string(), patch});
        decode.insert(decode.end(), {patch, back});
        const Ran e = run("xdelta3", encode);
        if (e.code != 0) return no_figure("failed: " + e.err.substr(0, e.err.find('\n')));
        const Ran d = run("xdelta3", decode);
        if (d.code != 0) return no_figure("failed: " + d.err.substr(0, d.err.find('\n')));
        r.encode_s += e.wall_s;
        r.decode_s += d.wall_s;
        r.lossless = r.lossless &&
                     need(read_file(back, std::uint64_t{8} << 30)) == need(read_file(f.fine, std::uint64_t{8} << 30));
        r.bytes += static_cast<double>(fs::file_size(patch));
    }
    fs::remove(patch);
    fs::remove(back);
    return r;
}

std::map<std::string, Figure> pypi_peers(const Pair& p) {
    std::map<std::string, Figure> out;
    const auto all = [&](const std::string& why) {
        for (const char* n : {"zipnn", "lmzip", "sparse-llm"}) out[n] = no_figure(why);
        return out;
    };
    const char* python = std::getenv("TENPAK_PEERS_PYTHON");
    if (python == nullptr) {
        std::fprintf(stderr,
                     "SKIPPED: zipnn, lmzip and sparse-llm ($TENPAK_PEERS_PYTHON is not set; pypi_peers.py --install "
                     "VENV makes one)\n");
        return all("not run");
    }
    const Ran r = run(python, {(test::source_dir() / "tests/bench/pypi_peers.py").string(), "--json",
                               p.base_path.string(), p.fine_path.string()});
    if (r.code != 0) return all("failed");
    const Json j = need(parse_json(r.out, "pypi_peers.py"));
    for (const auto& item : j.items()) {
        const Json& f = item.value();
        if (f.contains("error")) {
            out[item.key()] = no_figure(f["error"].get<std::string>());
            continue;
        }
        Figure g;
        g.bytes = f["bytes"].get<double>();
        g.lossless = f["exact"].get<bool>();
        g.encode_s = f["encode_s"].get<double>();
        g.decode_s = f["decode_s"].get<double>();
        out[item.key()] = g;
    }
    return out;
}

}  // namespace tenpak::bench
