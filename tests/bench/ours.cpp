// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "core/delta/codec.h"
#include "tests/bench/methods.h"
#include "tests/bench/peers.h"
#include "tests/bench/program.h"

namespace tenpak::bench {

Figure whole_artifact(const Pair& p, const fs::path& work) {
    const fs::path out = work / "pair.tnpk", back = work / "pair-back";
    fs::remove(out);
    fs::remove_all(back);
    Figure r;
    const auto compressed = try_command({"delta", "compress", p.base_path, p.fine_path, "-o", out, "--threads", "1"});
    if (!compressed.ok()) {
        std::fprintf(stderr, "%s: %s\n", p.name.c_str(), compressed.error().text().c_str());
        return no_figure("refused");
    }
    const TenpakRun& c = *compressed;
    r.bytes = c.json["stored_bytes"].get<double>();
    r.encode_s = c.cpu_s;
    const TenpakRun d =
        command({"delta", "reconstruct", p.base_path, out, "-o", back, "--verify", "full", "--threads", "1"});
    r.decode_s = d.cpu_s;
    std::string why;
    if (fs::is_directory(p.fine_path)) {
        r.lossless = same_files(back, p.fine_path, &why);
    } else {
        const auto name = p.fine_path.filename();
        r.lossless = need(read_file(back / name, std::uint64_t{8} << 30)) ==
                     need(read_file(p.fine_path, std::uint64_t{8} << 30));
    }
    fs::remove(out);
    fs::remove_all(back);
    return r;
}

Figure codecs_alone(const Pair& p) {
    Figure r;
    r.lossless = true;
    const int passes = p.paired < (std::uint64_t{64} << 20) ? 3 : 1;
    for (const PairedTensor& t : p.tensors) {
        const std::size_t step = (std::size_t{1} << 20) * std::max(dtype_bits(t.type) / 8, 1u);
        const auto prediction = [&](std::size_t at, std::size_t n) {
            return delta::Prediction(Span(t.base).subspan(at, n));
        };
        Bytes back(t.fine.size());
        double encode_s = 1e99, decode_s = 1e99;
        std::vector<delta::Encoded> blocks;
        for (int i = 0; i < passes; ++i) {
            blocks.clear();
            double start = thread_seconds();
            for (std::size_t at = 0; at < t.fine.size(); at += step) {
                const std::size_t n = std::min(step, t.fine.size() - at);
                blocks.push_back(delta::encode_smallest(Span(t.fine).subspan(at, n), prediction(at, n), t.type));
            }
            encode_s = std::min(encode_s, thread_seconds() - start);
            std::memset(back.data(), 0, back.size());
            start = thread_seconds();
            for (std::size_t at = 0, b = 0; at < t.fine.size(); at += step, ++b) {
                const std::size_t n = std::min(step, t.fine.size() - at);
                const delta::Codec& c = *blocks[b].codec;
                need(c.decode(blocks[b].stored, c.predicts() ? prediction(at, n) : delta::Prediction(),
                              std::span(back).subspan(at, n)));
            }
            decode_s = std::min(decode_s, thread_seconds() - start);
        }
        r.lossless = r.lossless && back == t.fine;
        r.encode_s += encode_s;
        r.decode_s += decode_s;
        for (const auto& b : blocks) r.bytes += static_cast<double>(b.stored.size());
    }
    return r;
}

}  // namespace tenpak::bench
