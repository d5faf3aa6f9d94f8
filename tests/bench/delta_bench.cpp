// SPDX-License-Identifier: Apache-2.0
// Stored size and speed of the delta engine beside its peers, on the same pairs in one run. Prints Markdown; exit code
// 1 when a figure misses what it has to reach.
//   tenpak_bench_delta [--quick] [--own] [--only PART]... [--work FOLDER] [BASE FT]...
// Without pairs: pair_list.cpp's. --own: peers that are programs of others are left out. Environment:
// TENPAK_SHARED_DATA, TENPAK_REAL_PAIRS (make_real_pairs.py), TENPAK_PEERS_PYTHON (pypi_peers.py), TENPAK (another
// build's command line).
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/bench/program.h"
#include "tests/bench/table.h"
#include "tests/support/temp_dir.h"

int main(int argc, char** argv) {
    using namespace tenpak;
    using namespace tenpak::bench;
    PairChoice choice;
    bool own = false;
    std::vector<std::string> models;
    const test::TempDir temp;
    fs::path work = temp.path();
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--quick") == 0)
            choice.quick = true;
        else if (std::strcmp(argv[i], "--own") == 0)
            own = true;
        else if (std::strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            choice.only.push_back(argv[++i]);
        else if (std::strcmp(argv[i], "--work") == 0 && i + 1 < argc)
            work = argv[++i];
        else
            models.push_back(argv[i]);
    }
    setenv("XDG_CACHE_HOME", (temp / "cache").c_str(), 1);
    std::vector<PairSpec> specs;
    for (std::size_t i = 0; i + 1 < models.size(); i += 2) {
        PairSpec s;
        s.name = fs::path(models[i + 1]).filename().string();
        s.make = [=] { return load_pair(s.name, models[i], models[i + 1]); };
        specs.push_back(std::move(s));
    }
    if (specs.empty()) specs = all_pairs(work, choice);
    print_sizes_head();
    std::vector<Row> rows;
    for (const PairSpec& spec : specs) {
        const Pair p = spec.make();
        Row r;
        r.spec = spec;
        r.raw = p.raw;
        r.paired = p.paired;
        r.weights = p.weights;
        r.rest = p.rest;
        r.ours = whole_artifact(p, temp.path());
        r.codecs = codecs_alone(p);
        r.peers = plane_peers(p);
        if (!own) {
            r.peers["patch-from"] = patch_from(p);
            r.peers["xdelta3"] = xdelta3(p, temp.path());
            r.peers.merge(pypi_peers(p));
        }
        std::vector<EntropyInput> input;
        for (const PairedTensor& t : p.tensors) input.push_back({t.fine, t.base, t.type});
        r.entropy = conditional_entropy(input);
        for (const auto& [name, f] : r.peers)
            if (f.ok() && !f.lossless) std::fprintf(stderr, "%s is lossy on %s\n", name.c_str(), spec.name.c_str());
        print_sizes(r);
        rows.push_back(std::move(r));
        rows.back().spec.make = nullptr;
    }
    const bool sizes = print_verdicts(rows);
    print_speeds(rows);
    const bool kernel = print_kernel(rows);
    return sizes && kernel ? 0 : 1;
}
