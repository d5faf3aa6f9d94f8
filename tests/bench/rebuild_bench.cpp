// SPDX-License-Identifier: Apache-2.0
// How fast a fine-tune is rebuilt from base and delta, end to end, beside what this run's own parts allow and beside
// `cp`.
//   tenpak_bench_rebuild [--bytes N] [--passes N] [--disk FOLDER] [--memory FOLDER] [--pair BASE FT]
// Without --pair: a made-up full fine-tune (alpha .005) and a merged LoRA of rank 16 of N bytes (2e9), made in FOLDER.
// Stored hashes are checked in every rebuild. Everything lies in the page cache when the clock starts; --memory is a
// tmpfs (/dev/shm). Prints Markdown; exit code 1 when a figure misses what it has to reach. Wants a quiet machine: it
// prints the load.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>

#include "core/artifact/artifact.h"
#include "core/base/hash.h"
#include "core/delta/reconstruct.h"
#include "tests/bench/program.h"
#include "tests/bench/synth.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace tenpak;
using namespace tenpak::bench;

constexpr std::size_t kStep = 2u << 20;  ///< bytes a read or write takes: a block of 1 Mi bf16 weights
constexpr double k7B = 7.616e9 * 2;      ///< bytes of Qwen2.5-7B in bf16

struct Seconds {
    double wall = 1e99, cpu = 1e99;
    void least(double w, double c) {
        wall = std::min(wall, w);
        cpu = std::min(cpu, c);
    }
};
template <class F>
Seconds timed(int passes, F&& f) {
    Seconds s;
    for (int i = 0; i < passes; ++i) {
        const double w = wall_seconds(), c = thread_seconds();
        f();
        s.least(wall_seconds() - w, thread_seconds() - c);
    }
    return s;
}

/// The base in memory.
class MemoryModel : public ModelSource {
 public:
    explicit MemoryModel(const ModelSource& m) : model_(m), tensors_(m.tensors()) {
        for (const TensorInfo& t : tensors_) {
            Bytes b(t.bytes);
            need(m.read(t, 0, b));
            data_[t.name] = std::move(b);
        }
        index_names();
    }
    const std::string& id() const override { return model_.id(); }
    const std::vector<TensorInfo>& tensors() const override { return tensors_; }
    Status read(const TensorInfo& t, std::uint64_t at, std::span<std::byte> out) const override {
        std::memcpy(out.data(), data_.at(t.name).data() + at, out.size());
        return {};
    }
    Result<Bytes> read_side_file(std::string_view path) const override { return model_.read_side_file(path); }  // small

 private:
    const ModelSource& model_;
    std::vector<TensorInfo> tensors_;
    std::map<std::string, Bytes> data_;
};

/// The stored blocks in memory, not hashed again.
class MemoryBlocks : public BlockSource {
 public:
    explicit MemoryBlocks(const BlockSource& s) : source_(s) {
        for (BlockId i = 0; i < s.blocks().size(); ++i) data_.push_back(need(s.read_block(i)));
    }
    const ModelRecord& model() const override { return source_.model(); }
    const std::vector<FileRecord>& files() const override { return source_.files(); }
    const std::vector<BlockInfo>& blocks() const override { return source_.blocks(); }
    Result<Bytes> read_block(BlockId id) const override { return data_[id]; }
    std::uint64_t bytes() const {
        std::uint64_t n = 0;
        for (const auto& b : data_) n += b.size();
        return n;
    }
    const std::vector<Bytes>& data() const { return data_; }

 private:
    const BlockSource& source_;
    std::vector<Bytes> data_;
};

void read_all(const fs::path& p) {
    static Bytes buffer(kStep);
    const File f = need(File::open(p));
    for (std::uint64_t at = 0; at < f.size(); at += kStep)
        need(f.read_at(at, std::span(buffer).first(std::min<std::uint64_t>(kStep, f.size() - at))));
}

struct Parts {
    Seconds read, sha, decode;
    std::uint64_t base = 0, stored = 0, raw = 0;
};
/// Rates of one thread that need no destination.
Parts measure_parts(const fs::path& base, const fs::path& artifact, int passes) {
    Parts p;
    const auto model = need(ModelDirectory::open(base));
    const auto tnpk = need(Artifact::open(artifact));
    p.base = model->weight_bytes();
    p.raw = tnpk->raw_bytes();
    p.read = timed(passes, [&] {
        for (const ModelFile& f : model->files()) read_all(model->file_path(f));
        read_all(artifact);
    });
    const MemoryBlocks blocks(*tnpk);
    p.stored = blocks.bytes();
    p.sha = timed(passes, [&] {
        for (const Bytes& b : blocks.data()) (void)sha256(b);
    });
    const MemoryModel memory(*model);
    p.decode = timed(1, [&] {
        for (BlockId i = 0; i < blocks.blocks().size(); ++i) (void)need(delta::decode_block(blocks, i, &memory));
    });
    return p;
}

struct Write {
    Seconds write;
    double sync = 1e99;  ///< wall: waits for the device
};
/// A new file as large as the model, block by block, then fsync as the rebuild does it.
Write measure_write(const fs::path& folder, std::uint64_t bytes, int passes) {
    Write w;
    const Bytes block(kStep, std::byte{0x5a});
    const fs::path path = folder / "write-probe";
    for (int i = 0; i < passes; ++i) {
        fs::remove(path);
        const int fd = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
        if (fd < 0) die("cannot write in " + folder.string());
        double start = wall_seconds(), cpu = thread_seconds();
        for (std::uint64_t at = 0; at < bytes; at += kStep) {
            const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(kStep, bytes - at));
            if (pwrite(fd, block.data(), n, static_cast<off_t>(at)) != static_cast<ssize_t>(n))
                die("cannot write in " + folder.string());
        }
        w.write.least(wall_seconds() - start, thread_seconds() - cpu);
        start = wall_seconds();
        fsync(fd);
        w.sync = std::min(w.sync, wall_seconds() - start);
        close(fd);
    }
    fs::remove(path);
    return w;
}

double load_average() {
    std::ifstream f("/proc/loadavg");
    double one = 0;
    f >> one;
    return one;
}

struct Options {
    double bytes = 2e9;
    int passes = 3;
    fs::path disk, memory = "/dev/shm";
};

bool measure_pair(const std::string& name, const fs::path& base, const fs::path& fine, const Options& o) {
    const fs::path artifact = o.disk / (name + ".tnpk");
    if (!fs::exists(artifact)) {
        const TenpakRun c = command({"delta", "compress", base, fine, "-o", artifact});
        std::printf("\n%s: %.0f MB stored as %.1f MB in %.1f s, %.0f MB/s a CPU second, peak %.0f MB\n", name.c_str(),
                    c.json["raw_bytes"].get<double>() / 1e6, c.json["stored_bytes"].get<double>() / 1e6, c.wall_s,
                    c.json["raw_bytes"].get<double>() / 1e6 / c.cpu_s, static_cast<double>(c.peak_bytes) / 1e6);
    }
    const Parts p = measure_parts(base, artifact, o.passes);
    const auto rate = [](std::uint64_t bytes, const Seconds& s) {
        return format("%.2f (%.2f)", static_cast<double>(bytes) / s.wall / 1e9,
                      static_cast<double>(bytes) / s.cpu / 1e9);
    };
    std::printf(
        "\n%s, one thread, GB/s of wall clock (of CPU time): read of base and delta from the page cache %s, SHA-256 "
        "%s, decode to memory %s; load %s\n\n",
        name.c_str(), rate(p.base + p.stored, p.read).c_str(), rate(p.stored, p.sha).c_str(),
        rate(p.raw, p.decode).c_str(), format("%.1f", load_average()).c_str());
    std::printf(
        "| rebuilt to | threads | write GB/s, fsync s | predicted GB/s | rebuilt GB/s | of the prediction | | `cp` "
        "GB/s (with "
        "sync) | of `cp` | | 7B, derived | load |\n|---|---:|---:|---:|---:|---:|---|---:|---:|---|---:|---:|\n");
    bool all = true;
    const auto raw = static_cast<double>(p.raw);
    for (const auto& [where, folder] : {std::pair<const char*, fs::path>{"memory", o.memory}, {"disk", o.disk}}) {
        const auto room = free_bytes(folder);
        if (!room.ok() || *room < 2 * p.raw) {
            std::fprintf(stderr, "SKIPPED: no room for the rebuilt model in %s\n", folder.c_str());
            continue;
        }
        const Write w = measure_write(folder, p.raw, o.passes);
        const fs::path out = folder / "tenpak-rebuilt", copy = folder / "tenpak-copied";
        Seconds cp, cp_sync, rebuilt[2];
        for (int i = 0; i < o.passes; ++i) {
            for (unsigned t = 1; t <= 2; ++t) {
                fs::remove_all(out);
                const TenpakRun r =
                    command({"delta", "reconstruct", base, artifact, "-o", out, "--threads", std::to_string(t)});
                rebuilt[t - 1].least(r.wall_s, r.cpu_s);
                std::string why;
                if (i == 0 && !same_files(out, fine, &why)) die("the rebuilt model differs: " + why);
                fs::remove_all(out);
            }
            fs::remove_all(copy);
            const double start = wall_seconds();
            const Ran c = run("cp", {"-r", fine.string(), copy.string()});
            if (c.code != 0) die("cp: " + c.err);
            cp.least(wall_seconds() - start, c.cpu_s);
            run("sync", {"-f", copy.string()});
            cp_sync.least(wall_seconds() - start, c.cpu_s);
            fs::remove_all(copy);
        }
        const double load = load_average();
        const bool busy = load > 2.5;
        for (unsigned t = 1; t <= 2; ++t) {
            // Reading, hashing, decoding and writing to the page cache are work of the threads; the device is waited
            // for.
            const double predicted = (p.read.wall + p.sha.wall + p.decode.wall + w.write.wall) / t + w.sync;
            const double predicted_cpu = p.read.cpu + p.sha.cpu + p.decode.cpu + w.write.cpu;
            const Seconds& m = rebuilt[t - 1];
            const double of_prediction = predicted / m.wall, of_prediction_cpu = predicted_cpu / m.cpu;
            const double of_cp = cp.wall / m.wall, of_cp_cpu = cp.cpu / (m.cpu / t);
            // Where others keep the cores busy, wall clock says how busy they are: CPU time is what counts then.
            const bool near = (busy ? of_prediction_cpu : of_prediction) >= .8;
            const bool third = t == 1 || (busy ? of_cp_cpu : of_cp) >= 1.0 / 3;
            all = all && near && third;
            std::printf(
                "| %s | %u | %.2f, %.2f | %.2f | %.2f | %.0f %% (%.0f %%) | %s | %.2f (%.2f) | %.0f %% (%.0f %%) | %s "
                "| "
                "%.1f s (%.1f s) on %u core%s | %.1f |\n",
                where, t, raw / w.write.wall / 1e9, w.sync, raw / predicted / 1e9, raw / m.wall / 1e9,
                100 * of_prediction, 100 * of_prediction_cpu, near ? "PASS" : "**FAIL**", raw / cp.wall / 1e9,
                raw / cp_sync.wall / 1e9, 100 * of_cp, 100 * of_cp_cpu,
                t == 1  ? ""
                : third ? "PASS"
                        : "**FAIL**",
                k7B * m.wall / raw, k7B * m.cpu / t / raw, t, t == 1 ? "" : "s", load);
            std::fflush(stdout);
        }
    }
    return all;
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    const test::TempDir temp;
    o.disk = temp.path();
    fs::path base, fine;
    for (int i = 1; i < argc; ++i) {
        const bool more = i + 1 < argc;
        if (std::strcmp(argv[i], "--bytes") == 0 && more)
            o.bytes = std::atof(argv[++i]);
        else if (std::strcmp(argv[i], "--passes") == 0 && more)
            o.passes = std::atoi(argv[++i]);
        else if (std::strcmp(argv[i], "--disk") == 0 && more)
            o.disk = argv[++i];
        else if (std::strcmp(argv[i], "--memory") == 0 && more)
            o.memory = argv[++i];
        else if (std::strcmp(argv[i], "--pair") == 0 && i + 2 < argc) {
            base = argv[++i];
            fine = argv[++i];
        } else {
            std::fprintf(stderr,
                         "usage: tenpak_bench_rebuild [--bytes N] [--passes N] [--disk FOLDER] [--memory FOLDER] "
                         "[--pair BASE FT]\n");
            return 2;
        }
    }
    setenv("XDG_CACHE_HOME", (temp / "cache").c_str(), 1);
    std::printf(
        "Predicted: (base and delta read + stored bytes hashed + decoded + written to the page cache) / threads + "
        "fsync, each timed in this run.\n"
        "At least 80 %% of it, and with two threads at least a third of `cp`, are wanted; in brackets the same by CPU "
        "time, which "
        "decides where the load says that others use the cores. 7B: %.1f GB of bf16 at the "
        "measured rate, derived, not run.\n",
        k7B / 1e9);
    bool ok = true;
    if (!base.empty()) {
        ok = measure_pair(fine.filename().string(), base, fine, o);
    } else {
        for (const bool lora : {false, true}) {
            const std::string name = lora ? "lora16" : "full";
            Synth s;
            s.quick_normals = true;
            s.shapes = llama_shapes(static_cast<std::uint64_t>(o.bytes));
            s.alpha = lora ? .01 : .005;
            s.merge = lora ? Merge::kFp32 : Merge::kNone;
            s.seed = lora ? 2 : 1;
            if (!fs::exists(o.disk / name)) need(write_pair(o.disk / name, s));
            ok = measure_pair(name, o.disk / name / "base", o.disk / name / "ft", o) && ok;
        }
    }
    return ok ? 0 : 1;
}
