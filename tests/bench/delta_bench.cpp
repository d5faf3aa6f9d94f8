// SPDX-License-Identifier: Apache-2.0
// Stored size and speed of the delta engine beside its peers, on the same pairs in one run, one thread, in memory.
//   tenpak_bench_delta [--quick] [--no-patch] [BASE FT]...
// Without pairs: the bundled sample, what the shared data folder has, and synthetic pairs. Prints Markdown.
#include <time.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/artifact/artifact.h"
#include "core/delta/codec.h"
#include "core/delta/compress.h"
#include "core/delta/reconstruct.h"
#include "tests/bench/peers.h"
#include "tests/core/delta/synthetic.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace tenpak;
using bench::Span;

[[noreturn]] void die(const std::string& what) {
    std::fprintf(stderr, "tenpak_bench_delta: %s\n", what.c_str());
    std::exit(1);
}
template <class T>
T need(Result<T> r) {
    if (!r.ok()) die(r.error().text());
    return std::move(r).value();
}

struct Figure {
    double bytes = 0, encode_s = 0, decode_s = 0;
    double blocks = 0;  ///< ours: without the container (manifest, hashes), as the peers are counted
};

/// Tensors that have a base; the rest of the files counts the same for all: zstd -19 (whole files for `patch`).
struct Pair {
    std::string name;
    fs::path base_path, fine_path;
    std::shared_ptr<const ModelDirectory> base, fine;
    std::vector<Bytes> base_data, fine_data;
    std::vector<DType> types;
    double rest = 0;            ///< tensors without a base and bytes outside tensors, each by zstd -19
    std::uint64_t raw = 0, paired = 0, weights = 0;
};

Bytes file_bytes(const fs::path& p) { return need(read_file(p, std::uint64_t{8} << 30)); }

Pair load(const std::string& name, const fs::path& base, const fs::path& fine) {
    Pair p;
    p.name = name;
    p.base_path = base;
    p.fine_path = fine;
    p.base = need(ModelDirectory::open(base));
    p.fine = need(ModelDirectory::open(fine));
    p.raw = p.fine->total_bytes();
    p.weights = p.fine->parameters();
    for (const TensorInfo& t : p.fine->tensors()) {
        Bytes f(t.bytes);
        if (const Status s = p.fine->read(t, 0, f); !s.ok()) die(s.error().text());
        const TensorInfo* b = p.base->find(t.name);
        if (b == nullptr || b->shape != t.shape || b->dtype != t.dtype) {
            p.rest += static_cast<double>(bench::zstd_plain(f, 19).size());
            continue;
        }
        Bytes g(t.bytes);
        if (const Status s = p.base->read(*b, 0, g); !s.ok()) die(s.error().text());
        p.paired += f.size();
        p.base_data.push_back(std::move(g));
        p.fine_data.push_back(std::move(f));
        p.types.push_back(t.dtype);
    }
    for (const ModelFile& f : p.fine->files()) {
        Bytes all = file_bytes(p.fine->file_path(f));
        if (f.weights) all.resize(8 + *reinterpret_cast<const std::uint64_t*>(all.data()));
        p.rest += static_cast<double>(bench::zstd_plain(all, 19).size());
    }
    return p;
}

/// CPU time of this thread: what else the machine does does not count (caches and clocks are shared all the same).
double seconds(const std::function<void()>& f) {
    const auto now = [] {
        timespec t{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
    };
    const double start = now();
    f();
    return now() - start;
}

using Encode = Bytes (*)(Span, Span, DType);
Figure peer(const Pair& p, Encode encode, Encode decode) {
    Figure r;
    r.bytes = p.rest;
    for (std::size_t i = 0; i < p.fine_data.size(); ++i) {
        if (p.fine_data[i].empty()) continue;
        Bytes stored, back;
        r.encode_s += seconds([&] { stored = encode(p.fine_data[i], p.base_data[i], p.types[i]); });
        r.decode_s += seconds([&] { back = decode(stored, p.base_data[i], p.types[i]); });
        if (back != p.fine_data[i]) die("a peer's round trip failed on " + p.name);
        r.bytes += static_cast<double>(stored.size());
    }
    return r;
}

/// Whole files against whole files of the base, as `zstd -19 --patch-from` does it.
Figure patch(const Pair& p) {
    Figure r;
    for (const ModelFile& f : p.fine->files()) {
        const Bytes fine = file_bytes(p.fine->file_path(f));
        Bytes base;
        const bool single = p.fine->files().size() == 1 && p.base->files().size() == 1;
        for (const ModelFile& b : p.base->files())
            if (b.path == f.path || single) base = file_bytes(p.base->file_path(b));
        Bytes stored, back;
        r.encode_s += seconds([&] { stored = bench::patch_encode(fine, base, 19); });
        r.decode_s += seconds([&] { back = bench::patch_decode(stored, base, fine.size()); });
        if (back != fine) die("zstd --patch-from failed on " + p.name);
        r.bytes += static_cast<double>(stored.size());
    }
    return r;
}

/// The whole .tnpk on disk, rebuilt and compared; speed of the codecs alone, block by block.
Figure ours(const Pair& p, const fs::path& folder) {
    Figure r;
    const fs::path out = folder / "pair.tnpk";
    fs::remove(out);
    auto writer = need(ArtifactWriter::create(out, {}));
    r.blocks = static_cast<double>(need(delta::compress(*p.base, *p.fine, *writer, {}, {})).stored_bytes);
    const auto artifact = need(writer->finish({}, {}));
    need(delta::verify_rebuild(*artifact, p.base.get(), {}, {}));
    r.bytes = static_cast<double>(artifact->stored_bytes());
    const std::size_t step = std::size_t{1} << 20;
    for (std::size_t i = 0; i < p.fine_data.size(); ++i) {
        const std::size_t bytes = step * std::max(dtype_bits(p.types[i]) / 8, 1u);
        for (std::size_t at = 0; at < p.fine_data[i].size(); at += bytes) {
            const std::size_t n = std::min(bytes, p.fine_data[i].size() - at);
            const Span fine = Span(p.fine_data[i]).subspan(at, n), base = Span(p.base_data[i]).subspan(at, n);
            delta::Encoded e;
            r.encode_s += seconds([&] { e = delta::encode_smallest(fine, base, p.types[i]); });
            Bytes back(n);
            r.decode_s += seconds([&] {
                if (!e.codec->decode(e.stored, e.codec->predicts() ? base : Span{}, back).ok()) die("decode failed");
            });
            if (std::memcmp(back.data(), fine.data(), n) != 0) die("round trip failed on " + p.name);
        }
    }
    return r;
}

void write_synthetic(const fs::path& dir, std::size_t rows, double alpha, DType t) {
    std::vector<TensorToWrite> tensors[2];
    std::vector<std::pair<Bytes, Bytes>> data;
    for (unsigned i = 0; i < 4; ++i) data.push_back(test::synthetic_pair(rows, 2048, alpha, t, 10 + i));
    for (int m = 0; m < 2; ++m) {
        for (std::size_t i = 0; i < data.size(); ++i)
            tensors[m].push_back({"model.layers." + std::to_string(i) + ".mlp.up_proj.weight", t, {rows, 2048}, m == 0 ? data[i].first : data[i].second});
        const fs::path f = dir / (m == 0 ? "base" : "ft");
        fs::create_directories(f);
        if (const Status s = write_safetensors(f / "model.safetensors", tensors[m]); !s.ok()) die(s.error().text());
    }
}

}  // namespace

int main(int argc, char** argv) {
    bool quick = false, with_patch = true;
    std::vector<std::string> args;
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--quick") == 0) quick = true;
        else if (std::strcmp(argv[i], "--no-patch") == 0) with_patch = false;
        else args.push_back(argv[i]);
    }
    const test::TempDir temp;
    setenv("XDG_CACHE_HOME", (temp / "cache").c_str(), 1);
    std::vector<std::function<Pair()>> pairs;
    for (std::size_t i = 0; i + 1 < args.size(); i += 2)
        pairs.push_back([&, i] { return load(fs::path(args[i + 1]).filename().string(), args[i], args[i + 1]); });
    if (pairs.empty()) {
        const fs::path sample = test::sample_dir(), shared = test::shared_data() / "models";
        for (const char* ft : {"finetune", "lora"}) pairs.push_back([=] { return load(std::string("sample ") + ft, sample / "base", sample / ft); });
        if (fs::exists(shared)) {
            const fs::path s = shared / "stories260K", v = shared / "plate-detect", y = shared / "yolov5n";
            pairs.push_back([=] { return load("stories260K bf16 full", s / "hf-base-bf16", s / "hf-selfmade-ft-bf16"); });
            pairs.push_back([=] { return load("stories260K bf16 quarter", s / "hf-base-bf16", s / "hf-selfmade-ft-quarter-bf16"); });
            pairs.push_back([=] { return load("stories260K fp32 full", s / "hf-base", s / "hf-selfmade-ft"); });
            pairs.push_back([=] { return load("plate-detect fp16", v / "plate_detect.safetensors", v / "ft_best.safetensors"); });
            pairs.push_back([=] { return load("plate-detect fp16, frozen body", v / "checkpoint_34_acc_0.9984.safetensors", v / "0.985047_epoth_59_model.safetensors"); });
            pairs.push_back([=] { return load("yolov5n fp16", y / "cabinet_1.safetensors", y / "cabinet_2.safetensors"); });
        } else {
            std::fprintf(stderr, "the shared data folder is absent: its pairs are left out\n");
        }
        const std::size_t rows = quick ? 256 : 2048;  // 4 x 2048 x 2048 bf16 = 33.6 MB
        for (const double alpha : {.0003, .001, .005, .02, .05}) {
            pairs.push_back([&temp, rows, alpha] {
                char name[64];
                std::snprintf(name, sizeof name, "synthetic bf16 alpha %g", alpha);
                write_synthetic(temp / name, rows, alpha, DType::kBF16);
                return load(name, temp / name / "base", temp / name / "ft");
            });
        }
    }
    std::printf("Stored bytes of the whole fine-tune over its raw bytes. `tnpk`: the whole file on disk with manifest and hashes, rebuilt and\n"
                "compared; `blocks`: without the container, as the peers, which have none here. `entropy`: of the integer difference given\n"
                "the base's exponent, plug-in, plus the same bytes outside paired tensors as the peers. In brackets: bits per weight.\n\n");
    std::printf("| pair | raw MB | **tnpk** | blocks | patch-from -19 | TX | BitX | FM | entropy |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    std::string speed = "| pair | tnpk | TX | BitX | FM |\n|---|---:|---:|---:|---:|\n";
    std::string larger, blocks_larger;
    for (const auto& make : pairs) {
        const Pair p = make();
        const Figure t = ours(p, temp.path()), tx = peer(p, bench::tx_encode, bench::tx_decode), bx = peer(p, bench::bitx_encode, bench::bitx_decode),
                     fm = peer(p, bench::fm_encode, bench::fm_decode);
        const bool patched = with_patch && p.raw < (std::uint64_t{20} << 20);  // minutes for more
        const Figure pf = patched ? patch(p) : Figure{};
        double entropy = p.rest;
        for (std::size_t i = 0; i < p.fine_data.size(); ++i) entropy += bench::conditional_entropy_bytes(p.fine_data[i], p.base_data[i], p.types[i]);
        const auto cell = [&](double bytes) {
            char s[64];
            std::snprintf(s, sizeof s, "%.4f (%.3f)", bytes / static_cast<double>(p.raw), 8 * bytes / static_cast<double>(p.weights));
            return std::string(s);
        };
        std::printf("| %s | %.2f | **%s** | %s | %s | %s | %s | %s | %s |\n", p.name.c_str(), static_cast<double>(p.raw) / 1e6, cell(t.bytes).c_str(), cell(t.blocks).c_str(),
                    patched ? cell(pf.bytes).c_str() : "not run", cell(tx.bytes).c_str(), cell(bx.bytes).c_str(), cell(fm.bytes).c_str(), cell(entropy).c_str());
        std::fflush(stdout);
        char line[256];
        const auto rate = [&](double s) { return s > 0 ? static_cast<double>(p.paired) / s / 1e6 : 0; };
        std::snprintf(line, sizeof line, "| %s | %.0f / %.0f | %.0f / %.0f | %.0f / %.0f | %.0f / %.0f |\n", p.name.c_str(), rate(t.encode_s), rate(t.decode_s), rate(tx.encode_s), rate(tx.decode_s),
                      rate(bx.encode_s), rate(bx.decode_s), rate(fm.encode_s), rate(fm.decode_s));
        speed += line;
        const double best = std::min({tx.bytes, bx.bytes, fm.bytes, patched ? pf.bytes : tx.bytes});
        if (t.bytes >= best) larger += (larger.empty() ? "" : ", ") + p.name;
        if (t.blocks >= best) blocks_larger += (blocks_larger.empty() ? "" : ", ") + p.name;
    }
    std::printf("\nEncode / decode, MB of raw weights a second of CPU time, one thread, in memory:\n\n%s\n", speed.c_str());
    std::printf("The whole .tnpk is the smallest on %s.\n", larger.empty() ? "every pair" : ("all pairs but: " + larger).c_str());
    std::printf("Its blocks are the smallest on %s.\n", blocks_larger.empty() ? "every pair" : ("all pairs but: " + blocks_larger).c_str());
    return blocks_larger.empty() ? 0 : 1;
}
