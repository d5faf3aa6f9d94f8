// SPDX-License-Identifier: Apache-2.0
// All candidates in one pass, its checkpoints, and what a run that was cut off does with them.
#include <gtest/gtest.h>

#include <fstream>

#include "core/compute/cpu/cpu_backend.h"
#include "core/quant/layer_pass.h"
#include "core/quant/quantize.h"
#include "tests/core/quant/tiny_model.h"

using namespace tenpak;
using namespace tenpak::quant;

namespace {

std::vector<model::Token> tokens(std::size_t n, unsigned seed = 11) {
    std::mt19937 rng(seed);
    std::vector<model::Token> t(n);
    for (auto& x : t) x = static_cast<model::Token>(rng() % 96);
    return t;
}
std::vector<Candidate> all() {
    std::vector<Candidate> out;
    for (const Candidate& c : known_candidates()) {
        if (c.method != Method::kMixed) out.push_back(c);
    }
    return out;
}
QuantizeManyOptions few(const fs::path& checkpoints = {}) {
    QuantizeManyOptions o;
    o.calibration.sequences = 24;
    o.calibration.length = 64;
    o.checkpoints = checkpoints;
    return o;
}

class QuantizeMany : public ::testing::Test {
   protected:
    void SetUp() override {
        test::TinyModel tiny;
        tiny.layers = 3;
        source = *ModelDirectory::open(tiny.write(dir, "m"));
    }
    Result<std::vector<QuantizedModel>> run(const std::vector<Candidate>& candidates, const QuantizeManyOptions& o, unsigned threads = 2, const JobContext& ctx = {}) {
        const auto backend = compute::make_cpu_backend(threads);
        std::vector<QuantizedModel> out;
        TENPAK_RETURN_IF_ERROR(quantize_many(source, candidates, text, o, *backend, ctx, [&](QuantizedModel q) -> Status {
            out.push_back(std::move(q));
            return {};
        }));
        return out;
    }
    std::vector<fs::path> files(const fs::path& folder) const {
        std::vector<fs::path> out;
        for (const auto& e : fs::recursive_directory_iterator(folder)) {
            if (e.is_regular_file()) out.push_back(e.path());
        }
        std::sort(out.begin(), out.end());
        return out;
    }
    test::TempDir dir;
    std::shared_ptr<const ModelSource> source;
    std::vector<model::Token> text = tokens(3000);
};

void expect_same(const QuantizedModel& a, const QuantizedModel& b) {
    ASSERT_EQ(a.candidate.name, b.candidate.name);
    ASSERT_EQ(a.weights.linears.size(), b.weights.linears.size()) << a.candidate.name;
    for (const auto& [name, w] : a.weights.linears) {
        const auto& v = b.weights.linears.at(name);
        const std::string where = a.candidate.name + " " + name;
        EXPECT_EQ(w.codes, v.codes) << where;
        EXPECT_EQ(w.scales, v.scales) << where;
        EXPECT_EQ(w.zeros, v.zeros) << where;
        EXPECT_EQ(w.low, v.low) << where;
        EXPECT_EQ(w.mask, v.mask) << where;
        EXPECT_EQ(w.multiples, v.multiples) << where;
        EXPECT_EQ(w.group_index, v.group_index) << where;
        EXPECT_EQ(w.scale_codes, v.scale_codes) << where;
        EXPECT_EQ(w.nested_scales, v.nested_scales) << where;
        EXPECT_EQ(w.nested_offset, v.nested_offset) << where;
        EXPECT_EQ(w.outlier_threshold, v.outlier_threshold) << where;
        EXPECT_TRUE(w.format == v.format && w.group == v.group && w.symmetric == v.symmetric) << where;
    }
    EXPECT_EQ(a.weights.vectors, b.weights.vectors) << a.candidate.name;
    EXPECT_EQ(a.notes, b.notes) << a.candidate.name;
    EXPECT_EQ(a.stored_bytes, b.stored_bytes) << a.candidate.name;
    ASSERT_EQ(a.errors.size(), b.errors.size()) << a.candidate.name;
    for (std::size_t i = 0; i < a.errors.size(); ++i) {
        EXPECT_EQ(a.errors[i].name, b.errors[i].name);
        EXPECT_EQ(a.errors[i].relative, b.errors[i].relative) << a.errors[i].name;
        EXPECT_EQ(a.errors[i].nearest, b.errors[i].nearest) << a.errors[i].name;
    }
}
void expect_same(const Result<std::vector<QuantizedModel>>& a, const Result<std::vector<QuantizedModel>>& b) {
    ASSERT_TRUE(a.ok()) << a.error().text();
    ASSERT_TRUE(b.ok()) << b.error().text();
    ASSERT_EQ(a->size(), b->size());
    for (std::size_t i = 0; i < a->size(); ++i) expect_same((*a)[i], (*b)[i]);
}

}  // namespace

TEST_F(QuantizeMany, GivesWhatEachCandidateGivesAlone) {
    const auto together = run(all(), few());
    ASSERT_TRUE(together.ok()) << together.error().text();
    const auto backend = compute::make_cpu_backend(2);
    for (const QuantizedModel& q : *together) {
        const auto alone = quantize(source, q.candidate, text, few().calibration, *backend, {});
        ASSERT_TRUE(alone.ok()) << alone.error().text();
        expect_same(*alone, q);
    }
}

TEST_F(QuantizeMany, IsTheSameForAnyNumberOfThreadsAndWithCheckpoints) {
    const auto one = run(all(), few(), 1);
    expect_same(one, run(all(), few(), 2));
    expect_same(one, run(all(), few(dir / "c"), 3));
    expect_same(one, run(all(), few(dir / "c"), 1));  // all from disk
}

TEST_F(QuantizeMany, GoesOnWhereItStopped) {
    for (const bool propagate : {false, true}) {
        const std::vector<Candidate> candidates = {*find_candidate("awq_g128"), *find_candidate("gptq_g128"), *find_candidate("nf4")};
        QuantizeManyOptions plain = few();
        plain.calibration.propagate = propagate;
        const auto want = run(candidates, plain);
        for (const std::uint64_t after : {1u, 20u, 50u}) {
            const fs::path folder = dir / ((propagate ? "p" : "s") + std::to_string(after));
            QuantizeManyOptions kept = plain;
            kept.checkpoints = folder;
            std::stop_source stop;
            JobContext ctx;
            ctx.stop = stop.get_token();
            ctx.on_progress = [&](const Progress& p) {
                if (p.phase != "quantize") return;
                EXPECT_EQ(p.total, 63u);
                if (p.done >= after) stop.request_stop();
            };
            const auto cut = run(candidates, kept, 2, ctx);
            ASSERT_FALSE(cut.ok());
            EXPECT_EQ(cut.error().code, ErrorCode::kCancelled);
            std::uint64_t first = 1000;
            JobContext watch;
            watch.on_progress = [&](const Progress& p) { first = p.phase == "quantize" ? std::min(first, p.done) : first; };
            expect_same(want, run(candidates, kept, 2, watch));
            EXPECT_GE(first + 7, after) << "layers that were finished are not made again";
            const auto times = files(folder);
            EXPECT_EQ(times.size(), 9u);
        }
    }
}

TEST_F(QuantizeMany, NoticesDamagedCheckpoints) {
    const std::vector<Candidate> candidates = {*find_candidate("awq_g128"), *find_candidate("int4_sparse25"), *find_candidate("nf4")};
    const fs::path folder = dir / "c";
    const auto want = run(candidates, few(folder));
    const auto paths = files(folder);
    ASSERT_EQ(paths.size(), 9u);
    const auto contents = [&] {
        std::vector<std::string> out;
        for (const auto& p : paths) out.push_back(read_text_file(p).value());
        return out;
    };
    const auto before = contents();
    for (std::size_t i = 0; i < paths.size(); ++i) {
        std::string bytes = before[i];
        if (i % 3 == 0) bytes[bytes.size() - 1 - i * 7] = static_cast<char>(bytes[bytes.size() - 1 - i * 7] ^ 0x10);  // a bit of the data
        if (i % 3 == 1) bytes.resize(bytes.size() / 2);                                                               // cut off
        if (i % 3 == 2) {                                                                                            // an error or a note in the header
            const std::size_t at = bytes.find("nearest") != std::string::npos ? bytes.find("nearest") : bytes.find("symmetric");
            bytes[at] = 'X';
        }
        std::ofstream(paths[i], std::ios::binary) << bytes;
        const auto backend = compute::make_cpu_backend(1);
        int missing = 0;
        for (const Candidate& c : candidates) missing += load_checkpoint(source, c, text, few(folder), *backend, {}).ok() ? 0 : 1;
        EXPECT_EQ(missing, 1) << paths[i];
        expect_same(want, run(candidates, few(folder)));
        EXPECT_EQ(contents(), before) << "the file is made anew, the same";
    }
}

TEST_F(QuantizeMany, KeepsOtherSettingsApart) {
    const std::vector<Candidate> candidates = {*find_candidate("gptq_g128")};
    const fs::path folder = dir / "c";
    ASSERT_TRUE(run(candidates, few(folder)).ok());
    QuantizeManyOptions other = few(folder);
    other.calibration.sequences = 20;
    expect_same(run(candidates, other), [&] {
        QuantizeManyOptions plain = other;
        plain.checkpoints.clear();
        return run(candidates, plain);
    }());
    text = tokens(3000, 12);
    ASSERT_TRUE(run(candidates, few(folder)).ok());
    test::TinyModel tiny;
    tiny.layers = 3;
    tiny.intermediate = 192;
    source = *ModelDirectory::open(tiny.write(dir, "other"));
    ASSERT_TRUE(run(candidates, few(folder)).ok());
    EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 4);
    const auto backend = compute::make_cpu_backend(1);
    EXPECT_TRUE(load_checkpoint(source, candidates[0], text, few(folder), *backend, {}).ok());
    EXPECT_EQ(load_checkpoint(source, *find_candidate("nf4"), text, few(folder), *backend, {}).error().code, ErrorCode::kNotFound);
}

TEST_F(QuantizeMany, ShowsEveryLayerOnce) {
    QuantizeManyOptions o = few();
    std::vector<std::uint32_t> seen;
    o.also = [&](CalibratedLayer& layer) -> Status {
        seen.push_back(layer.index);
        EXPECT_EQ(layer.linears.size(), 7u);
        EXPECT_EQ(layer.inputs.size(), 4u);
        EXPECT_EQ(layer.input_of(0), layer.input_of(2));  // q and v
        EXPECT_NE(layer.input_of(0), layer.input_of(3));
        EXPECT_EQ(layer.inputs[3].gram().k(), 160u);
        EXPECT_EQ(layer.inputs[0].gram().tokens(), 24u * 64u);
        return {};
    };
    ASSERT_TRUE(run({*find_candidate("nf4")}, o).ok());
    EXPECT_EQ(seen, (std::vector<std::uint32_t>{0, 1, 2}));
    o.also = [](CalibratedLayer&) -> Status { return make_error(ErrorCode::kNumeric, "enough"); };
    EXPECT_EQ(run({*find_candidate("nf4")}, o).error().code, ErrorCode::kNumeric);
}

TEST_F(QuantizeMany, CallersErrorEndsIt) {
    const auto backend = compute::make_cpu_backend(1);
    int calls = 0;
    const std::vector<Candidate> candidates = {*find_candidate("nf4"), *find_candidate("fp8")};
    const Status s = quantize_many(source, candidates, text, few(), *backend, {}, [&](QuantizedModel) -> Status {
        ++calls;
        return make_error(ErrorCode::kNoSpace, "full");
    });
    EXPECT_EQ(s.error().code, ErrorCode::kNoSpace);
    EXPECT_EQ(calls, 1);
    Candidate evil = *find_candidate("nf4");
    evil.name = "../outside";
    EXPECT_FALSE(run({evil}, few(dir / "c")).ok());
}
