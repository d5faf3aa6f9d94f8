// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/table.h"

#include <cstdio>

#include "tests/bench/program.h"

namespace tenpak::bench {

namespace {

const std::vector<std::string> kPeers{"patch-from", "xdelta3", "TX", "BitX", "FM", "zipnn", "lmzip", "sparse-llm"};

std::string verdict(bool ok) { return ok ? "PASS" : "**FAIL**"; }
double mb_s(const Row& r, double seconds) { return seconds > 0 ? static_cast<double>(r.paired) / seconds / 1e6 : 0; }

}  // namespace

void print_sizes_head() {
    std::printf(
        "Stored bytes of the whole fine-tune over its raw bytes, in brackets bits per weight. `tnpk`: the file on disk "
        "with manifest and\n"
        "hashes, rebuilt and compared; the peers have no container here. `entropy`: of the integer difference given "
        "the base's exponent\n"
        "(entropy.h: `plug-in` as it is counted, `entropy` without its bias), plus the same bytes outside paired "
        "tensors as the peers.\n\n");
    std::printf("| pair | raw MB | **tnpk** |");
    for (const auto& n : kPeers) std::printf(" %s |", n.c_str());
    std::printf(" plug-in | entropy |\n|---|---:|---:|");
    for (std::size_t i = 0; i < kPeers.size() + 2; ++i) std::printf("---:|");
    std::printf("\n");
}

void print_sizes(const Row& r) {
    const auto fraction = [&](double bytes) { return bytes / static_cast<double>(r.raw); };
    if (!r.ours.ok())
        std::printf("| %s | %.2f | **%s** |", r.spec.name.c_str(), static_cast<double>(r.raw) / 1e6,
                    r.ours.absent.c_str());
    else
        std::printf("| %s | %.2f | **%.4f (%.3f)**%s |", r.spec.name.c_str(), static_cast<double>(r.raw) / 1e6,
                    fraction(r.ours.bytes), 8 * r.ours.bytes / static_cast<double>(r.weights),
                    r.ours.lossless ? "" : " DIFFERS");
    for (const auto& n : kPeers) {
        const auto f = r.peers.find(n);
        if (f == r.peers.end())
            std::printf(" - |");
        else if (!f->second.ok())
            std::printf(" %s |", f->second.absent.c_str());
        else
            std::printf(" %.4f%s |", fraction(f->second.bytes), f->second.lossless ? "" : " lossy");
    }
    std::printf(" %.4f | %.4f |\n", fraction(r.entropy.plug_in + r.rest), fraction(r.entropy.estimate + r.rest));
    std::fflush(stdout);
}

bool print_verdicts(const std::vector<Row>& rows) {
    bool all = true;
    std::printf(
        "\n| pair | tnpk, bytes | limit | | smallest lossless peer | | entropy, bytes | tnpk / entropy | within 5 %% + "
        "16 KiB |\n|---|---:|---|---|---|---|---:|---:|---|\n");
    for (const Row& r : rows) {
        if (!r.ours.ok()) {
            std::printf("| %s | %s | | **FAIL** | | **FAIL** | | | **FAIL** |\n", r.spec.name.c_str(),
                        r.ours.absent.c_str());
            all = false;
            continue;
        }
        std::string limit = "-", limit_verdict = "";
        if (r.spec.most_bits_per_weight) {
            const double bits = 8 * r.ours.bytes / static_cast<double>(r.weights);
            const bool ok = bits <= *r.spec.most_bits_per_weight;
            limit = format("%.4f of at most %.3f bit/weight", bits, *r.spec.most_bits_per_weight);
            limit_verdict = verdict(ok);
            all = all && ok;
        } else if (r.spec.least_saved) {
            const double saved = 1 - r.ours.bytes / static_cast<double>(r.raw);
            const bool ok = saved >= *r.spec.least_saved;
            limit = format("%.2f of at least %.1f %% saved", 100 * saved, 100 * *r.spec.least_saved);
            limit_verdict = verdict(ok);
            all = all && ok;
        }
        const std::pair<const std::string, Figure>* best = nullptr;
        for (const auto& p : r.peers)
            if (p.second.ok() && p.second.lossless && (best == nullptr || p.second.bytes < best->second.bytes))
                best = &p;
        const bool smallest = r.ours.lossless && (best == nullptr || r.ours.bytes < best->second.bytes);
        const double entropy = r.entropy.estimate + r.rest;
        const bool near = r.ours.bytes <= 1.05 * entropy + 16384;
        all = all && smallest && near;
        std::printf(
            "| %s | %.0f | %s | %s | %s | %s | %.0f | %.3f | %s |\n", r.spec.name.c_str(), r.ours.bytes, limit.c_str(),
            limit_verdict.c_str(),
            best == nullptr
                ? "none"
                : format("%s %.0f (x %.2f)", best->first.c_str(), best->second.bytes, best->second.bytes / r.ours.bytes)
                      .c_str(),
            verdict(smallest).c_str(), entropy, entropy > 0 ? r.ours.bytes / entropy : 0,
            near ? (r.spec.merged_lora && r.ours.bytes < .8 * entropy ? "PASS (low rank)" : "PASS") : "**FAIL**");
    }
    return all;
}

void print_speeds(const std::vector<Row>& rows) {
    std::printf(
        "\nEncode / decode, MB of raw paired weights a second of CPU time, one thread. In memory but for `whole`, "
        "which is the command line with\n"
        "files, hashes and the check after writing, recovery of a LoRA included; zipnn, lmzip, sparse-llm and xdelta3 "
        "are wall clock with files.\n\n");
    std::printf(
        "| pair | whole | codecs | TX | BitX | FM | xdelta3 | zipnn | lmzip | sparse-llm "
        "|\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    for (const Row& r : rows) {
        const auto cell = [&](const Figure& f) {
            return f.ok() ? format("%.0f / %.0f", mb_s(r, f.encode_s), mb_s(r, f.decode_s)) : std::string("-");
        };
        std::printf("| %s | %s | %s |", r.spec.name.c_str(), cell(r.ours).c_str(), cell(r.codecs).c_str());
        for (const char* n : {"TX", "BitX", "FM", "xdelta3", "zipnn", "lmzip", "sparse-llm"}) {
            const auto f = r.peers.find(n);
            std::printf(" %s |", f == r.peers.end() ? "-" : cell(f->second).c_str());
        }
        std::printf("\n");
    }
}

bool print_kernel(const std::vector<Row>& rows) {
    bool all = true;
    for (const Row& r : rows) {
        const auto tx = r.peers.find("TX");
        if (!r.spec.kernel_floor || tx == r.peers.end()) continue;
        const double ours = mb_s(r, r.codecs.decode_s) / 1000, theirs = mb_s(r, tx->second.decode_s) / 1000,
                     encode = mb_s(r, r.codecs.encode_s);
        const bool ok = ours >= 2.5 * theirs && ours >= 1.2, fast = encode >= 150;
        all = all && ok && fast;
        std::printf(
            "\nDecode kernel on \"%s\", one core, base and output in RAM, result compared outside the clock, fastest "
            "of three passes each:\n"
            "%.2f GB/s of bf16, TX timed identically %.2f GB/s: %.2f x (at least 2.5 x, aim 4 x; at least 1.2 GB/s, "
            "aim 2.4): %s\n",
            r.spec.name.c_str(), ours, theirs, ours / theirs, verdict(ok).c_str());
        std::printf("Encode there: %.0f MB/s a core (at least 150): %s\n", encode, verdict(fast).c_str());
    }
    return all;
}

}  // namespace tenpak::bench
