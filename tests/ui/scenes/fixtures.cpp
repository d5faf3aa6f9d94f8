// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/ui/scenes/fixtures.h"

#include <QRandomGenerator>
#include <cmath>
#include <map>

namespace tenpak::fixtures {
namespace {

using optimizer::Trial;
using optimizer::TrialStatus;

struct Projection {
    const char* path;
    const char* name;
    std::vector<std::uint64_t> shape;
    double bits;
};
const std::vector<Projection>& projections() {
    static const std::vector<Projection> all = {{"self_attn.q_proj", "q_proj", {2048, 2048}, 5.6}, {"self_attn.k_proj", "k_proj", {256, 2048}, 7.2}, {"self_attn.v_proj", "v_proj", {256, 2048}, 7.2},
                                                {"self_attn.o_proj", "o_proj", {2048, 2048}, 5.6}, {"mlp.gate_proj", "gate_proj", {5632, 2048}, 6.4}, {"mlp.up_proj", "up_proj", {5632, 2048}, 6.4},
                                                {"mlp.down_proj", "down_proj", {2048, 5632}, 6.4}, {"input_layernorm", "input_layernorm", {2048}, 9}, {"post_attention_layernorm", "post_attention_layernorm", {2048}, 9}};
    return all;
}

class SnapshotBuilder {
   public:
    SnapshotBuilder(double progress, bool complete) : m_progress(progress), m_complete(complete) {}
    void add(const std::string& name, std::vector<std::uint64_t> shape, int layer, const std::string& projection, double bits, double changed, const std::string& method, std::uint32_t rank = 0) {
        tenpak::delta::TensorEstimate t;
        t.name = name;
        t.shape = std::move(shape);
        t.layer = layer;
        t.projection = projection;
        std::uint64_t weights = 1;
        for (auto d : t.shape) weights *= d;
        t.raw_bytes = weights * 2;
        const double first = m_random.generateDouble() * .16, slow = .25 + .7 * m_random.generateDouble(), noise = m_random.generateDouble() - .5;
        const double done = m_complete ? 1 : std::clamp((m_progress - first) / slow, 0.0, 1.0);
        const bool read = m_complete || m_progress > first * .35;
        if (read) {
            const double exact = static_cast<double>(t.raw_bytes) * bits / 16;
            t.method = method;
            t.changed_fraction = changed;
            t.sampled_fraction = m_complete ? 1 : std::max(.02, done);
            t.complete = m_complete || done >= 1;
            t.rank = t.complete ? rank : 0;
            t.estimated_bytes = t.complete ? exact : exact * (1 + noise * .36 * (1 - done));
            const double half = t.complete ? 0 : t.estimated_bytes * .36 * (1 - .92 * done);
            t.low = t.estimated_bytes - half;
            t.high = t.estimated_bytes + half;
            m_estimated += t.estimated_bytes;
            m_variance += half * half;
            m_readRaw += static_cast<double>(t.raw_bytes);
            m_snapshot.bytes_read += static_cast<std::uint64_t>(static_cast<double>(t.raw_bytes) * t.sampled_fraction);
        }
        m_snapshot.raw_bytes += t.raw_bytes;
        m_snapshot.bytes_total += t.raw_bytes;
        m_snapshot.tensors.push_back(std::move(t));
    }
    std::shared_ptr<const tenpak::delta::EstimateSnapshot> take() {
        auto& s = m_snapshot;
        const auto raw = static_cast<double>(s.raw_bytes);
        s.estimated_bytes = m_readRaw > 0 ? m_estimated * raw / m_readRaw : 0;
        const double half = m_complete ? 0 : 1.4 * std::sqrt(m_variance) + (raw - m_readRaw) * .18;
        s.low = s.estimated_bytes - half;
        s.high = s.estimated_bytes + half;
        s.finished = m_complete;
        return std::make_shared<const tenpak::delta::EstimateSnapshot>(std::move(s));
    }
    QRandomGenerator& random() { return m_random; }

   private:
    tenpak::delta::EstimateSnapshot m_snapshot;
    QRandomGenerator m_random{7};
    double m_progress, m_estimated = 0, m_variance = 0, m_readRaw = 0;
    bool m_complete;
};

}  // namespace

app::PairState pair() {
    app::PairState p;
    p.base = {QStringLiteral("/models/TinyLlama-1.1B"), QStringLiteral("TinyLlama-1.1B"), QStringLiteral("2.20 GB \u00B7 bf16 \u00B7 22 layers"), QStringLiteral("9f2c41ab"), false, false};
    p.fineTune = {QStringLiteral("/models/TinyLlama-1.1B-Chat"), QStringLiteral("TinyLlama-1.1B-Chat"), QStringLiteral("2.20 GB \u00B7 bf16 \u00B7 same shapes"), QStringLiteral("77d08e12"), false, false};
    return p;
}

app::HardwareState hardware() {
    app::HardwareState h;
    h.chip = QStringLiteral("CPU, 2 cores, AMX \u00B7 no NVIDIA driver");
    h.device = QStringLiteral("Intel Xeon (Sapphire Rapids)");
    h.instructionSets = QStringLiteral("AVX2, AVX-512 VNNI, AMX int8 and bf16");
    h.gpuReason = QStringLiteral("No NVIDIA driver found: running on the CPU");
    h.cores = 2;
    h.memoryBytes = 16'600'000'000;
    h.prices = {{"here", "This machine, 2 cores of a Xeon", .526, "entered here", "2026-11-12", true}, {"h100", "NVIDIA H100 80 GB", 2.99, "price list of a cloud", "2026-10-30", false}};
    h.priceId = QStringLiteral("here");
    return h;
}

std::shared_ptr<const delta::EstimateSnapshot> estimate(int layers, double progress, bool complete) {
    SnapshotBuilder b(progress, complete);
    b.add("model.embed_tokens.weight", {32000, 2048}, -1, "embed_tokens", 1.1, .06, "sparse");
    for (int layer = 0; layer < layers; ++layer)
        for (const Projection& p : projections()) {
            const double depth = layer / double(std::max(1, layers - 1)), wobble = b.random().generateDouble() - .5;
            double bits = p.bits * (.72 + .5 * depth) + wobble * 1.1, changed = std::clamp(bits / 9.5 + wobble * .08, .02, 1.0);
            std::string method = "difference";
            if (p.shape.size() == 1) method = layer < 2 ? "identical" : "standalone";
            else if (layer == 0 && p.bits < 6) method = "identical";
            else if (layer < 2) method = "sparse", bits *= .25, changed = bits / 10;
            else if (layer == 13 && std::string(p.name) == "down_proj") method = "standalone", bits = 12.6, changed = .99;
            if (method == "identical") bits = changed = 0;
            b.add("model.layers." + std::to_string(layer) + "." + p.path + ".weight", p.shape, layer, p.name, bits, changed, method);
        }
    b.add("model.norm.weight", {2048}, -1, "norm", 9, .7, "standalone");
    b.add("lm_head.weight", {32000, 2048}, -1, "lm_head", 4.8, .52, "difference");
    return b.take();
}

std::shared_ptr<const delta::EstimateSnapshot> estimateOfMergedAdapter(int layers, double progress, bool complete) {
    SnapshotBuilder b(progress, complete);
    b.add("model.embed_tokens.weight", {32000, 2048}, -1, "embed_tokens", 0, 0, "identical");
    for (int layer = 0; layer < layers; ++layer)
        for (const Projection& p : projections()) {
            const bool norm = p.shape.size() == 1;
            const double wobble = b.random().generateDouble() - .5;
            b.add("model.layers." + std::to_string(layer) + "." + p.path + ".weight", p.shape, layer, p.name, norm ? 0 : .22 + .1 * wobble, norm ? 0 : .3 + .1 * wobble, norm ? "identical" : "lowrank", norm ? 0 : 16);
        }
    b.add("model.norm.weight", {2048}, -1, "norm", 0, 0, "identical");
    b.add("lm_head.weight", {32000, 2048}, -1, "lm_head", .4, .02, "sparse");
    return b.take();
}

std::shared_ptr<const delta::EstimateSnapshot> estimateWithoutLayers() {
    SnapshotBuilder b(.7, false);
    for (int i = 0; i < 52; ++i)
        b.add("encoder.stage" + std::to_string(i / 10) + ".block_" + std::string(1, static_cast<char>('a' + i % 10)) + ".conv.weight", {static_cast<std::uint64_t>(64 + 40 * (i % 13)), 512}, -1, "", 3 + i % 7, .3 + .01 * i, "difference");
    return b.take();
}

QList<app::FunnelPoint> funnel(double upTo) {
    QList<app::FunnelPoint> points;
    for (int i = 1; i <= 24; ++i) {
        const double read = upTo * i / 24, wave = std::exp(-read * 9) * std::cos(read * 30);
        const double middle = 757e6 * (1 + .09 * wave), half = 757e6 * (.005 + .13 * std::exp(-read * 10));
        points.append({read, middle, middle - half, middle + half});
    }
    return points;
}

app::DeltaViewState delta(app::DeltaViewState::Phase phase, int layers) {
    using Phase = app::DeltaViewState::Phase;
    app::DeltaViewState s;
    s.phase = phase;
    if (phase == Phase::kNoPair) return s;
    s.pair = pair();
    const bool known = phase == Phase::kMeasured;
    s.estimate = estimate(layers, phase == Phase::kOpening ? -1 : phase == Phase::kEstimating ? .3 : .8, known);
    s.funnel = phase == Phase::kOpening || phase == Phase::kMisfit ? QList<app::FunnelPoint>() : funnel(phase == Phase::kEstimating ? .18 : .62);
    switch (phase) {
        case Phase::kEstimating: s.secondsLeft = 2; break;
        case Phase::kCompressing:
            s.fractionWritten = .61;
            s.bytesPerSecond = 0.83e9;
            s.secondsLeft = 2;
            s.bytesWritten = static_cast<quint64>(s.estimate->estimated_bytes * .61);
            break;
        case Phase::kMeasured:
            s.storedBytes = static_cast<quint64>(s.estimate->estimated_bytes);
            s.estimateBefore = s.estimate->estimated_bytes * .994;
            s.artifactPath = QStringLiteral("/models/chat.tnpk");
            s.filesCompared = s.filesEqual = 9;
            break;
        case Phase::kMisfit:
            s.misfitReason = QStringLiteral("model.embed_tokens is 32000 \u00D7 2048 in the base and 32003 \u00D7 2048 in the fine-tune.");
            s.baseFingerprint = QStringLiteral("9f2c 41ab");
            s.fineTuneFingerprint = QStringLiteral("77d0 8e12");
            s.misfits = {{"model.embed_tokens.weight", "32000 \u00D7 2048 bf16", "32003 \u00D7 2048 bf16", "another shape"}, {"lm_head.weight", "32000 \u00D7 2048 bf16", "32003 \u00D7 2048 bf16", "another shape"}};
            s.estimate.reset();
            break;
        case Phase::kStopped: s.banner = {app::Tone::kNeutral, QStringLiteral("Compression stopped"), QStringLiteral("Nothing was written."), {}, {{QStringLiteral("delta.again"), QStringLiteral("Compress again"), {}, false}}, true}; break;
        case Phase::kFailed:
            s.banner = {app::Tone::kError, QStringLiteral("The disk is full"), QStringLiteral("/models/chat.tnpk: 412 MB written, 346 MB more are needed. Nothing was left behind."), QStringLiteral("no-space"), {{QStringLiteral("delta.again"), QStringLiteral("Choose another folder\u2026"), QStringLiteral("folder"), false}}, true};
            break;
        default: break;
    }
    return s;
}

app::DeltaViewState lossy() {
    app::DeltaViewState s = delta(app::DeltaViewState::Phase::kMeasured);
    auto e = std::make_shared<delta::EstimateSnapshot>(*s.estimate);
    auto errors = std::make_shared<std::map<std::string, double>>();
    double total = 0;
    for (delta::TensorEstimate& t : e->tensors) {
        if (t.method == "difference" || t.method == "sparse") {
            t.method = t.method == "sparse" ? "int8" : "int4";
            t.estimated_bytes = t.low = t.high = static_cast<double>(t.raw_bytes) * (t.method == "int8" ? .03 : .17);
            (*errors)[t.name] = t.method == "int8" ? 4.1e-5 : 3.1e-4;
        } else {
            (*errors)[t.name] = 0;
        }
        total += t.estimated_bytes;
    }
    e->estimated_bytes = e->low = e->high = total;
    s.estimate = e;
    s.errors = errors;
    s.storedBytes = static_cast<quint64>(total);
    s.estimateBefore = 0;
    s.lossy = true;
    s.lossyMode = QStringLiteral("INT8");
    s.maxAbsError = 3.1e-4;
    s.relativeError = .0021;
    s.changeError = .043;
    s.perplexity = QStringLiteral("perplexity +0.02\u202F% (\u22120.01\u202F% to +0.05\u202F%) on wiki.test.raw, measured here");
    return s;
}

app::DeltaViewState mergedAdapter(app::DeltaViewState::Phase phase) {
    using Phase = app::DeltaViewState::Phase;
    app::DeltaViewState s = delta(phase == Phase::kMisfit ? Phase::kEstimated : phase);
    s.estimate = estimateOfMergedAdapter(22, phase == Phase::kEstimating ? .4 : .8, phase == Phase::kMeasured);
    for (app::FunnelPoint& p : s.funnel) {
        const double k = s.estimate->estimated_bytes / 757e6;
        p.estimated *= k, p.low *= k, p.high *= k;
    }
    if (phase == Phase::kMeasured) {
        s.storedBytes = static_cast<quint64>(s.estimate->estimated_bytes);
        s.estimateBefore = s.estimate->estimated_bytes * 1.04;
        s.adapterRank = 16;
        s.adapterTensors = 154;
    }
    if (phase == Phase::kCompressing) {
        s.bytesWritten = 0;
        s.fractionWritten = .37;
        s.bytesPerSecond = 41e6;
        s.secondsLeft = 38;
        s.step = QStringLiteral("Looking for a merged adapter");
    }
    return s;
}

std::shared_ptr<const std::vector<Trial>> trials(int done, bool withFailure) {
    struct Row {
        const char* name;
        double rise, half, p99, tps, memory, compression, bits;
    };
    static const std::vector<Row> rows = {{"fp16", 0, 0, 118, 905, 2.31, 1, 16},          {"int8", .21, .07, 71, 1480, 1.27, 1.94, 8.2},    {"int8_g128", .06, .05, 74, 1430, 1.29, 1.90, 8.4},
                                          {"nf4", 1.42, .16, 55, 1790, .79, 3.61, 4.4},   {"awq_g128", .92, .13, 43, 2310, .76, 3.72, 4.3}, {"awq_g256", 1.31, .15, 41.5, 2390, .73, 3.84, 4.15},
                                          {"gptq_g128", 1.08, .14, 43.6, 2290, .76, 3.72, 4.3}, {"int4_residual", .31, .08, 61, 1690, 1.04, 2.49, 6.4}, {"int4_sparse25", 3.65, .30, 38, 2480, .66, 4.40, 3.6},
                                          {"mixed", .55, .10, 46, 2190, .81, 3.40, 4.7}};
    auto out = std::make_shared<std::vector<Trial>>();
    int i = 0;
    for (const Row& r : rows) {
        Trial t;
        t.id = t.candidate = r.name;
        t.device = "CPU, 2 cores, AMX";
        if (i < done) {
            t.status = TrialStatus::kDone;
            t.measured_at = "2026-11-22T13:02:00Z";
            auto& m = t.metrics;
            m.perplexity = 7.84 * (1 + r.rise / 100);
            m.ppl_delta = r.rise;
            m.ppl_delta_low = r.rise - r.half;
            m.ppl_delta_high = r.rise + r.half;
            m.kl_divergence = r.rise * .01;
            m.top1_agreement = 1 - r.rise * .024;
            m.eval_windows = 32;
            m.eval_context = 512;
            m.memory_bytes = static_cast<std::uint64_t>(r.memory * 1e9);
            m.compression = r.compression;
            m.bits_per_weight = r.bits;
            m.batches = {{1, r.p99 * .6, r.p99 * .66, r.p99 * .7, r.tps * .4, 300, .03}, {4, r.p99 * .83, r.p99 * .95, r.p99, r.tps, 300, .03}};
            m.time_to_first_token_ms = r.p99 * 3;
            if (i > 0)
                for (int l = 0; l < 22; ++l) m.layer_error.push_back(r.rise * .02 * (l < 2 || l == 21 ? 1 : .4 + .2 * std::sin(l)) + .001);
        } else if (i == done) {
            t.status = TrialStatus::kRunning;
            t.phase = "perplexity";
            t.fraction = .43;
        }
        out->push_back(std::move(t));
        ++i;
    }
    if (withFailure) {
        Trial t;
        t.id = t.candidate = "fp8";
        t.status = TrialStatus::kFailed;
        t.error = "needs a GPU with FP8";
        t.error_code = "unsupported";
        out->push_back(std::move(t));
    }
    return out;
}

std::shared_ptr<const std::vector<Trial>> manyTrials(int count) {
    QRandomGenerator g(3);
    auto out = std::make_shared<std::vector<Trial>>();
    for (int i = 0; i < count; ++i) {
        Trial t;
        t.id = t.candidate = i == 0 ? "fp16" : "mixed-" + std::to_string(i);
        t.status = TrialStatus::kDone;
        const double bits = 3 + 9 * g.generateDouble(), p99 = 20 + 8 * bits + 14 * g.generateDouble();
        auto& m = t.metrics;
        m.perplexity = 7.8;
        m.ppl_delta = i == 0 ? 0 : 26 * std::exp(-.62 * bits) + std::pow(g.generateDouble(), 3) * 2.4;
        m.ppl_delta_low = m.ppl_delta - .1;
        m.ppl_delta_high = m.ppl_delta + .1;
        m.memory_bytes = 1'000'000'000;
        m.compression = 16 / bits;
        m.batches = {{1, p99 * .8, p99 * .9, p99, 9e4 / p99, 300, .03}};
        out->push_back(std::move(t));
    }
    return out;
}

void judge(app::SweepViewState& s) { s.judgement = std::make_shared<const optimizer::Judgement>(optimizer::judge(*s.trials, s.limits, .526)); }

namespace {

app::EngineVerdicts marlin(const QString& layout) {
    using Loads = app::EngineRow::Loads;
    return {layout, {{QStringLiteral("vLLM"), Loads::kYes, QStringLiteral("Marlin"), {}},
                     {QStringLiteral("SGLang"), Loads::kYes, QStringLiteral("Marlin"), {}},
                     {QStringLiteral("TGI"), Loads::kYes, QStringLiteral("GPTQ-Marlin"), {}},
                     {QStringLiteral("transformers"), Loads::kIf, QStringLiteral("dequantized at load"), QStringLiteral("with compressed-tensors installed")},
                     {QStringLiteral("llama.cpp"), Loads::kNo, {}, QStringLiteral("llama.cpp reads GGUF only")}}};
}

}  // namespace

app::SweepViewState sweep(app::SweepViewState::Phase phase, int done, bool withFailure) {
    using Phase = app::SweepViewState::Phase;
    app::SweepViewState s;
    s.phase = phase;
    if (phase == Phase::kNoModel) return s;
    s.pair = pair();
    s.limits.max_ppl_delta = 2;
    s.limits.max_latency_p99_ms = 100;
    s.limits.min_throughput_tps = 1000;
    s.models = {{QStringLiteral("ft"), QStringLiteral("Fine-tune: TinyLlama-1.1B-Chat")}, {QStringLiteral("base"), QStringLiteral("Base: TinyLlama-1.1B")}};
    s.modelId = QStringLiteral("ft");
    s.texts = {{QStringLiteral("wiki"), QStringLiteral("wiki.test.raw, 32 windows")}};
    s.textId = QStringLiteral("wiki");
    s.prices = hardware().prices;
    s.priceId = QStringLiteral("here");
    auto all = trials(done, withFailure);
    const std::map<std::string, const char*> bits = {{"int8", "8 bits"}, {"int8_g128", "8.13 bits"}, {"nf4", "4.13 bits"}, {"int4_residual", "6.17 bits"}, {"int4_sparse25", "6.16 bits"}, {"mixed", "by layer"}};
    for (const char* name : {"int8", "int8_g128", "nf4", "awq_g128", "awq_g256", "gptq_g128", "gptq_g128_desc", "int4_residual", "int4_sparse25", "mixed"})
        s.choices.append({QLatin1String(name), QLatin1String(bits.contains(name) ? bits.at(name) : "4.16 bits"), {}, true, true, {}});
    s.choices.append({QStringLiteral("fp8"), QStringLiteral("8 bits"), {}, false, false, QStringLiteral("Needs a GPU with FP8")});
    s.choices.append({QStringLiteral("import:TinyLlama-1.1B-Chat-v1.0-AWQ"), {}, QStringLiteral("/models/TinyLlama-1.1B-Chat-v1.0-AWQ"), false, true, {}});
    for (const auto& c : s.choices) s.engines.insert(c.name, marlin(QStringLiteral("compressed-tensors")));
    s.done = done;
    s.total = 10;
    if (phase != Phase::kRunning) {  // nothing is at work
        auto still = std::make_shared<std::vector<Trial>>(*all);
        for (Trial& t : *still)
            if (t.status == TrialStatus::kRunning) t.status = TrialStatus::kQueued;
        all = still;
    }
    s.trials = all;
    if (phase == Phase::kRunning) s.timeLeft = QStringLiteral("about 3 min left");
    if (phase == Phase::kEmpty) s.expected = QStringLiteral("9 candidates, about 6 min on this machine");
    judge(s);
    return s;
}

app::ArtifactViewState artifacts(ArtifactCase which) {
    using app::ArtifactDetails;
    app::ArtifactViewState s;
    s.items = {{QStringLiteral("/models/chat.tnpk"), QStringLiteral("chat.tnpk"), QStringLiteral("delta \u00B7 758 MB"), app::Trust::kNotChecked, {}},
               {QStringLiteral("/models/chat-awq.tnpk"), QStringLiteral("chat-awq.tnpk"), QStringLiteral("quantized \u00B7 573 MB"), app::Trust::kSigned, QStringLiteral("You")},
               {QStringLiteral("/models/legal.tnpk"), QStringLiteral("legal.tnpk"), QStringLiteral("delta \u00B7 18.6 MB"), app::Trust::kUnsigned, {}}};
    s.current = 0;
    ArtifactDetails& d = s.details;
    d.path = QStringLiteral("/models/chat.tnpk");
    d.name = QStringLiteral("chat.tnpk");
    d.summary = QStringLiteral("Delta of TinyLlama-1.1B-Chat from TinyLlama-1.1B \u00B7 758 MB instead of 2.20 GB \u00B7 made 22 Nov 2026, 14:02");
    d.base = ArtifactDetails::Base::kFound;
    d.baseName = QStringLiteral("TinyLlama-1.1B");
    d.baseRecorded = QStringLiteral("9f2c41ab77d08e129f2c41ab77d08e12");
    d.baseFound = QStringLiteral("1b02c3d4e5f60718293a4b5c6d7e8f90");
    d.files = {{QStringLiteral("model.safetensors"), 2'200'000'000, 758'000'000, QStringLiteral("difference 154, standalone 24, identical 6, sparse 17 tensors")},
               {QStringLiteral("tokenizer.json"), 1'840'000, 0, QStringLiteral("identical to the base")},
               {QStringLiteral("config.json"), 608, 354, QStringLiteral("zstd")},
               {QStringLiteral("generation_config.json"), 124, 118, QStringLiteral("zstd")},
               {QStringLiteral("special_tokens_map.json"), 551, 0, QStringLiteral("identical to the base")}};
    auto& r = d.report;
    d.checkedAt = QDateTime(QDate(2026, 11, 22), QTime(14, 3));
    d.checkSeconds = .7;
    d.check = ArtifactDetails::Check::kChecked;
    r.intact = true;
    r.chunks = 1061;
    r.bytes = 758'000'000;
    r.files = 9;
    r.signature = signing::SignatureState::kValid;
    r.scheme = "ecdsa-p256";
    r.fingerprint = r.signer = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90";
    d.rebuild = ArtifactDetails::Rebuild::kSame;
    d.filesCompared = d.filesEqual = 9;
    d.rebuiltBytes = 2'200'000'000;
    d.rebuildSeconds = 1.4;
    auto& trust = s.items[0].trust;
    switch (which) {
        case ArtifactCase::kNotChecked:
            d.check = ArtifactDetails::Check::kNotChecked;
            d.rebuild = ArtifactDetails::Rebuild::kNotRebuilt;
            r = {};
            break;
        case ArtifactCase::kChecking:
            d.check = ArtifactDetails::Check::kChecking;
            d.fraction = .42;
            d.rebuild = ArtifactDetails::Rebuild::kNotRebuilt;
            r = {};
            break;
        case ArtifactCase::kUnknownKey: trust = app::Trust::kUnknownKey; break;
        case ArtifactCase::kSigned:
            trust = app::Trust::kSigned;
            s.items[0].signer = QStringLiteral("You");
            r.trusted = true;
            r.signer = "You";
            break;
        case ArtifactCase::kDamaged:
            trust = app::Trust::kDamaged;
            r.intact = false;
            r.problem = "1 of 1,061 chunks does not match its SHA-256: layers.3, mlp.up_proj, bytes 214,958,080 to 219,152,384";
            break;
        case ArtifactCase::kHmac:
            trust = app::Trust::kSharedSecret;
            r.scheme = "hmac-sha256";
            r.fingerprint.clear();
            r.signer.clear();
            break;
        case ArtifactCase::kUnsigned:
            trust = app::Trust::kUnsigned;
            r.signature = signing::SignatureState::kNone;
            r.scheme = "none";
            d.rebuild = ArtifactDetails::Rebuild::kNotRebuilt;
            break;
        case ArtifactCase::kLossy:
            trust = app::Trust::kSigned;
            s.items[0].signer = QStringLiteral("You");
            r.trusted = true;
            r.signer = "You";
            d.madeLossless = false;
            d.lossyWhat = QStringLiteral("int8, largest weight error 3.1e\u22124");
            d.base = ArtifactDetails::Base::kNotNeeded;
            break;
        case ArtifactCase::kBaseMissing:
            trust = app::Trust::kUnknownKey;
            d.base = ArtifactDetails::Base::kNotFound;
            d.rebuild = ArtifactDetails::Rebuild::kNotRebuilt;
            break;
        case ArtifactCase::kWrongBase:
            trust = app::Trust::kUnknownKey;
            d.base = ArtifactDetails::Base::kWrong;
            d.rebuild = ArtifactDetails::Rebuild::kNotRebuilt;
            break;
        case ArtifactCase::kRebuilding:
            trust = app::Trust::kUnknownKey;
            d.rebuild = ArtifactDetails::Rebuild::kRebuilding;
            d.rebuildFraction = .37;
            break;
    }
    return s;
}

app::StartViewState start() {
    app::StartViewState s;
    s.sampleCost = QStringLiteral("Two small real models, 9 MB. Estimate in a second, sweep in about five minutes on this machine.");
    s.recent = {{QStringLiteral("/p/chat-vs-base"), QStringLiteral("chat-vs-base"), QStringLiteral("TinyLlama-1.1B \u2192 TinyLlama-1.1B-Chat"), QStringLiteral("65.5\u202F% smaller \u00B7 awq_g256 wins"), QStringLiteral("today, 14:02")},
                {QStringLiteral("/p/legal-lora"), QStringLiteral("legal-lora"), QStringLiteral("SmolLM2-135M \u2192 smollm2-legal-merged"), QStringLiteral("93.1\u202F% smaller \u00B7 signed"), QStringLiteral("yesterday, 9:15")},
                {QStringLiteral("/p/qwen-sweep"), QStringLiteral("qwen-sweep"), QStringLiteral("Qwen3-0.6B \u2192 qwen3-sql"), QStringLiteral("sweep stopped at 4 of 10"), QStringLiteral("18 Nov 2026")}};
    return s;
}

app::ShellState shell(bool sweepRunning, bool withFailed) {
    using State = app::JobRow::State;
    app::ShellState s;
    s.title = QStringLiteral("chat-vs-base");
    s.savedText = QStringLiteral("Autosaved 14:02");
    s.jobsRunning = true;
    if (sweepRunning) {
        s.jobsText = QStringLiteral("1 job running \u00B7 sweep 6 of 10 \u00B7 about 3 min left");
        s.sweepBusy = true;
        s.jobs.append({QStringLiteral("j2"), QStringLiteral("sweep"), QStringLiteral("Sweep, TinyLlama-1.1B-Chat"), QStringLiteral("gptq_g128: perplexity, 6 of 10 done"), State::kRunning, .63, QStringLiteral("about 3 min left"), true, true, false, false, {}, {}, {}});
    } else {
        s.jobsText = QStringLiteral("1 job running \u00B7 compress \u00B7 2 s left");
        s.deltaBusy = true;
        s.jobs.append({QStringLiteral("j2"), QStringLiteral("compress"), QStringLiteral("Compress to chat.tnpk"), QStringLiteral("layers.14.mlp.up_proj \u00B7 0.83 GB/s"), State::kRunning, .61, QStringLiteral("2 s left"), false, true, false, false, {}, {}, {}});
    }
    if (withFailed)
        s.jobs.append({QStringLiteral("j3"), QStringLiteral("rebuild"), QStringLiteral("Rebuild to /tmp/chat"), QStringLiteral("The disk is full"), State::kFailed, -1, QStringLiteral("0.8 s"), false, false, true, false, QStringLiteral("The disk is full (/tmp/chat/model.safetensors)"), QStringLiteral("Free some space or choose another folder."), QStringLiteral("rebuild: 1.2 GB written\nno-space")});
    s.jobs.append({QStringLiteral("j1"), QStringLiteral("estimate"), QStringLiteral("Estimate, TinyLlama-1.1B-Chat"), QStringLiteral("758 MB stored, 65.5\u202F% smaller"), State::kDone, -1, QStringLiteral("1.9 s"), false, false, false, true, {}, {}, {}});
    return s;
}

app::FindBaseState findBase(bool found) {
    app::FindBaseState s;
    s.fineTune = QStringLiteral("TinyLlama-1.1B-Chat");
    s.folders = {QStringLiteral("/home/you/models"), QStringLiteral("/mnt/archive/a-folder-with-a-rather-long-name/that-goes-on/and-on/huggingface/hub")};
    s.searching = !found;
    s.searched = found;
    s.fraction = .4;
    s.phase = QStringLiteral("Comparing samples of the weights");
    s.result = QStringLiteral("3 models compared in 1.2 s");
    if (found)
        s.candidates = {{QStringLiteral("/home/you/models/TinyLlama-1.1B"), QStringLiteral("TinyLlama-1.1B"), QStringLiteral("2.20 GB \u00B7 bf16 \u00B7 22 layers"), QStringLiteral("About 65 % smaller, all 201 tensors by name"), true, true},
                        {QStringLiteral("/home/you/models/TinyLlama-1.1B-step-715k"), QStringLiteral("TinyLlama-1.1B-step-715k"), QStringLiteral("2.20 GB \u00B7 bf16 \u00B7 22 layers"), QStringLiteral("About 31 % smaller, all 201 tensors by name"), false, true},
                        {QStringLiteral("/home/you/models/SmolLM2-135M"), QStringLiteral("SmolLM2-135M"), QStringLiteral("272 MB \u00B7 bf16 \u00B7 30 layers"), QStringLiteral("No tensor has a counterpart of its shape"), false, false}};
    return s;
}

app::ArchiveState archive(app::ArchiveState::Phase phase) {
    using Phase = app::ArchiveState::Phase;
    using State = app::ArchiveRow::State;
    app::ArchiveState s;
    s.phase = phase;
    s.folders = {QStringLiteral("/home/you/models")};
    s.replace = phase == Phase::kPlanned;
    s.canUndo = true;
    const auto row = [](const char* name, const char* base, const char* reason, State state, double raw, double stored) {
        app::ArchiveRow r;
        r.name = QLatin1String(name);
        r.path = QStringLiteral("/home/you/models/") + r.name;
        r.base = QLatin1String(base);
        r.reason = QLatin1String(reason);
        r.state = state;
        r.rawBytes = static_cast<quint64>(raw);
        r.estimated = stored, r.low = stored * .97, r.high = stored * 1.03;
        return r;
    };
    s.rows = {row("TinyLlama-1.1B-Chat", "TinyLlama-1.1B", "same shapes, nearest of 2", State::kPlanned, 2.2e9, 7.58e8), row("TinyLlama-1.1B-legal-merged", "TinyLlama-1.1B", "same shapes, nearest of 2", State::kPlanned, 2.2e9, 2.9e7),
              row("TinyLlama-1.1B-sql", "TinyLlama-1.1B", "same shapes, nearest of 2", State::kPlanned, 2.2e9, 9.1e8), row("SmolLM2-135M", "", "No other model has its shapes", State::kKept, 2.72e8, 0)};
    s.rows[2].checked = false;
    s.result = QStringLiteral("5 models found \u00B7 6.60 GB would take \u2248\u00A01.70 GB, \u2248\u00A04.9 GB less");
    if (phase == Phase::kRunning) {
        s.fraction = .4;
        s.phaseText = QStringLiteral("Looking for a merged adapter \u00B7 38 s left");
    }
    if (phase == Phase::kDone) {
        s.rows[0].state = s.rows[1].state = State::kDone;
        s.rows[0].storedBytes = 757'300'000;
        s.rows[0].freedBytes = 2'200'000'000;
        s.rows[1].storedBytes = 28'700'000;
        s.rows[2].state = State::kFailed;
        s.rows[2].reason = QStringLiteral("The disk is full: 346 MB more are needed");
        s.result = QStringLiteral("4.40 GB stored in 786 MB, rebuilt and compared \u00B7 2.20 GB of originals removed \u00B7 1 failed and stayed as they were");
    }
    return s;
}

app::CompressDialogState compressDialog(bool export_) {
    using Kind = app::SigningChoice::Kind;
    app::CompressDialogState s;
    s.heading = export_ ? QStringLiteral("Export awq_g256") : QStringLiteral("Compress TinyLlama-1.1B-Chat as a delta");
    s.expected = QStringLiteral("About 758 MB (range 740 MB \u2013 776 MB), about 4 s. 41.3 GB free on this disk.");
    if (export_) s.layouts = {marlin(QStringLiteral("compressed-tensors")), marlin(QStringLiteral("awq"))};
    s.primary = export_ ? QStringLiteral("Export") : QStringLiteral("Compress");
    s.request.path = QStringLiteral("/home/you/models/chat.tnpk");
    s.keys = {{Kind::kKeyFile, QStringLiteral("/home/you/tenpak.key"), QStringLiteral("Key file tenpak.key"), QStringLiteral("Key a1b2 c3d4 e5f6 0718. Anyone who has tenpak.pub can check the signature.")},
              {Kind::kHmac, QStringLiteral("/home/you/secret"), QStringLiteral("Shared secret (HMAC): proves nobody's identity"), QStringLiteral("Intact for whoever has the secret.")}};
    s.request.signing = s.keys.first();
    s.canRebuild = !export_;
    s.hasModes = !export_;
    if (s.hasModes) s.texts = {{QStringLiteral("/home/you/wiki.test.raw"), QStringLiteral("wiki.test.raw")}};
    s.commandTemplate = export_ ? QStringLiteral("tenpak quantize TinyLlama-1.1B-Chat --candidate awq_g256 -o %1 --layout tnpk") : QStringLiteral("tenpak delta compress TinyLlama-1.1B TinyLlama-1.1B-Chat -o %1");
    return s;
}

}  // namespace tenpak::fixtures
