// SPDX-License-Identifier: GPL-3.0-or-later
// Item models: Qt's own consistency checks while data arrive, stable rows, what the cells say.
#include <QAbstractItemModelTester>
#include <QSignalSpy>
#include <QTest>

#include "app/candidate_model.h"
#include "app/files_model.h"
#include "app/tensor_model.h"

using namespace tenpak;
using namespace tenpak::app;
using optimizer::Trial;
using optimizer::TrialStatus;

namespace {

std::shared_ptr<delta::EstimateSnapshot> snapshot(int tensors, double sampled) {
    auto s = std::make_shared<delta::EstimateSnapshot>();
    for (int i = 0; i < tensors; ++i) {
        delta::TensorEstimate t;
        t.name = "model.layers." + std::to_string(i) + ".mlp.up_proj.weight";
        t.shape = {64, 32};
        t.raw_bytes = 4096;
        t.sampled_fraction = sampled;
        t.complete = sampled >= 1;
        if (sampled > 0) {
            t.method = "difference";
            t.changed_fraction = 0.689;
            t.estimated_bytes = 2048;
            t.low = t.complete ? 2048 : 1900;
            t.high = t.complete ? 2048 : 2200;
        }
        s->tensors.push_back(t);
    }
    return s;
}

QString cell(const QAbstractItemModel& m, int row, int column, int role = Qt::DisplayRole) { return m.data(m.index(row, column), role).toString(); }

struct Sweep {
    std::shared_ptr<std::vector<Trial>> trials = std::make_shared<std::vector<Trial>>();
    std::shared_ptr<optimizer::Judgement> judgement = std::make_shared<optimizer::Judgement>();
    void add(const char* id, TrialStatus status) {
        Trial t;
        t.id = t.candidate = id;
        t.status = status;
        trials->push_back(t);
        optimizer::Judged j;
        j.id = id;
        judgement->trials.push_back(j);
    }
};

}  // namespace

class ModelsTest : public QObject {
    Q_OBJECT
   private slots:
    void initTestCase() { QLocale::setDefault(QLocale(QLocale::English, QLocale::UnitedStates)); }

    void tensorsKeepTheirRowsWhileTheEstimateRefines() {
        TensorModel model;
        QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        QSignalSpy resets(&model, &QAbstractItemModel::modelReset), changes(&model, &QAbstractItemModel::dataChanged);
        model.setEstimate(snapshot(5, 0));
        QCOMPARE(resets.size(), 1);
        QCOMPARE(cell(model, 0, TensorColumn::kStored), QStringLiteral("–"));
        QCOMPARE(cell(model, 0, TensorColumn::kMethod), QStringLiteral("Not read yet"));
        model.setEstimate(snapshot(5, 0.5));
        QCOMPARE(resets.size(), 1);
        QCOMPARE(changes.size(), 1);
        QCOMPARE(cell(model, 0, TensorColumn::kStored), QStringLiteral("≈\u00A02.0\u00A0kB"));
        QCOMPARE(cell(model, 0, TensorColumn::kBits), QStringLiteral("≈\u00A08.0"));
        model.setEstimate(snapshot(5, 1));
        QCOMPARE(cell(model, 0, TensorColumn::kStored), QStringLiteral("2.05\u00A0kB"));
        QCOMPARE(cell(model, 0, TensorColumn::kChanged), QStringLiteral("68.9\u202F%"));
        QCOMPARE(cell(model, 0, TensorColumn::kShape), QStringLiteral("64\u2009×\u200932 bf16"));
        QCOMPARE(cell(model, 3, TensorColumn::kTensor, kIdRole), QStringLiteral("model.layers.3.mlp.up_proj.weight"));
        model.setEstimate(snapshot(3, 1));
        QCOMPARE(resets.size(), 2);
        model.setEstimate(nullptr);
        QCOMPARE(model.rowCount(), 0);
    }

    void candidatesAppendAndNeverMove() {
        CandidateModel model;
        QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        QSignalSpy inserts(&model, &QAbstractItemModel::rowsInserted), resets(&model, &QAbstractItemModel::modelReset);
        Sweep a;
        a.add("fp16", TrialStatus::kDone);
        a.add("awq_g128", TrialStatus::kRunning);
        model.setResults(a.trials, a.judgement, {}, true, true);
        QCOMPARE(inserts.size(), 1);
        Sweep b;
        b.add("fp16", TrialStatus::kDone);
        b.add("awq_g128", TrialStatus::kDone);
        b.add("int8", TrialStatus::kQueued);
        model.setResults(b.trials, b.judgement, {}, true, true);
        QCOMPARE(inserts.size(), 2);
        QCOMPARE(resets.size(), 0);
        QCOMPARE(model.rowOf(QStringLiteral("awq_g128")), 1);
        QCOMPARE(model.rowOf(QStringLiteral("nf4")), -1);
        Sweep c;
        c.add("int8", TrialStatus::kQueued);
        model.setResults(c.trials, c.judgement, {}, false, false);
        QCOMPARE(resets.size(), 1);
        QCOMPARE(cell(model, 0, CandidateColumn::kVerdict), QStringLiteral("Not measured yet"));
    }

    void verdictsSayWhatTheMarksMean() {
        Sweep s;
        s.add("fp16", TrialStatus::kDone);
        s.add("awq_g128", TrialStatus::kDone);
        s.add("int8", TrialStatus::kDone);
        s.add("gptq_g128", TrialStatus::kDone);
        s.add("rtn_g128", TrialStatus::kRunning);
        s.add("awq_g256", TrialStatus::kFailed);
        auto& j = s.judgement->trials;
        j[0].baseline = true;
        j[1].winner = j[1].on_front = true;
        j[1].cost_per_1m_tokens = 0.061;
        j[2].fails = {optimizer::Limit::kLatency};
        j[2].cost_per_1m_tokens = 0.16;
        j[3].fails = {optimizer::Limit::kLatency, optimizer::Limit::kPerplexity};
        (*s.trials)[4].phase = "perplexity";
        (*s.trials)[4].fraction = 0.43;
        (*s.trials)[5].error = "worker died";
        (*s.trials)[1].metrics.ppl_delta = 1.31;
        (*s.trials)[1].metrics.ppl_delta_low = 1.16;
        (*s.trials)[1].metrics.ppl_delta_high = 1.46;
        optimizer::Limits limits;
        limits.max_latency_p99_ms = 100;
        limits.max_ppl_delta = 2;
        CandidateModel model;
        QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        model.setResults(s.trials, s.judgement, limits, true, true);
        const auto verdict = [&](int row) { return cell(model, row, CandidateColumn::kVerdict); };
        const auto mark = [&](int row) { return Mark(model.data(model.index(row, CandidateColumn::kMark), kMarkRole).toInt()); };
        QCOMPARE(verdict(0), QStringLiteral("Baseline"));
        QCOMPARE(verdict(1), QStringLiteral("Cheapest so far"));
        QCOMPARE(verdict(2), QStringLiteral("Fails latency"));
        QCOMPARE(verdict(3), QStringLiteral("Fails 2 limits"));
        QCOMPARE(verdict(4), QStringLiteral("Perplexity 43\u202F%"));
        QCOMPARE(verdict(5), QStringLiteral("worker died"));
        QCOMPARE(mark(0), Mark::kBaseline);
        QCOMPARE(mark(1), Mark::kWinner);
        QCOMPARE(mark(2), Mark::kFails);
        QCOMPARE(mark(4), Mark::kRunning);
        QCOMPARE(mark(5), Mark::kFailed);
        QCOMPARE(cell(model, 1, CandidateColumn::kPerplexity), QStringLiteral("+1.31\u202F% ±\u00A00.15"));
        QCOMPARE(cell(model, 2, CandidateColumn::kLatency, Qt::ToolTipRole), QStringLiteral("Limit 100\u00A0ms"));
        QVERIFY(cell(model, 1, CandidateColumn::kLatency, Qt::ToolTipRole).isEmpty());
        QCOMPARE(model.data(model.index(2, CandidateColumn::kMark), kCostStepRole).toDouble(), 1.0);
        model.setResults(s.trials, s.judgement, limits, false, true);
        QCOMPARE(verdict(1), QStringLiteral("Cheapest that passes"));
    }

    void methodsAreSaidInWords() {
        QCOMPARE(methodText("lowrank", 16), QStringLiteral("Low rank, rank 16"));
        QCOMPARE(methodText("lowrank", 0), QStringLiteral("Low rank"));
        QCOMPARE(methodText("difference", 16), QStringLiteral("Difference"));
        QCOMPARE(methodInSentence("lowrank"), QStringLiteral("low rank"));
        QCOMPARE(methodInSentence("int8"), QStringLiteral("INT8"));
        QCOMPARE(methodInSentence("zstd"), QStringLiteral("zstd"));
        for (const char* method : {"identical", "difference", "sparse", "lowrank", "standalone", "patch", "zstd", "raw", "int8", "int4", "bit1"}) {
            QVERIFY2(methodText(method) != QLatin1String(method) || method == std::string("zstd"), method);
            QVERIFY2(methodHint(method).endsWith(u'.'), method);
        }
        TensorModel model;
        auto s = snapshot(1, 1);
        s->tensors[0].method = "lowrank";
        s->tensors[0].rank = 8;
        model.setEstimate(s);
        QCOMPARE(cell(model, 0, TensorColumn::kMethod), QStringLiteral("Low rank, rank 8"));
        QCOMPARE(cell(model, 0, TensorColumn::kMethod, kMethodRole), QStringLiteral("lowrank"));
        QCOMPARE(cell(model, 0, TensorColumn::kMethod, Qt::ToolTipRole), methodHint("lowrank"));
    }

    void errorsOfALossyModeStandBesideTheTensor() {
        TensorModel model;
        QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        const auto s = snapshot(2, 1);
        model.setEstimate(s);
        QCOMPARE(cell(model, 0, TensorColumn::kError), QStringLiteral("–"));
        model.setErrors(std::make_shared<const std::map<std::string, double>>(std::map<std::string, double>{{s->tensors[0].name, 3.1e-4}, {s->tensors[1].name, 0}}));
        QCOMPARE(cell(model, 0, TensorColumn::kError), QStringLiteral("3.1e−4"));
        QCOMPARE(cell(model, 1, TensorColumn::kError), QStringLiteral("none"));
        QCOMPARE(model.data(model.index(0, TensorColumn::kError), kSortRole).toDouble(), 3.1e-4);
    }

    void filesShowRawAndStored() {
        FilesModel model;
        QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        model.setFiles({{QStringLiteral("config.json"), 700, 300, QStringLiteral("zstd")}, {QStringLiteral("model.safetensors"), 7'000'000, 3'000'000, QStringLiteral("difference 30 tensors")}});
        QCOMPARE(model.rowCount(), 2);
        QCOMPARE(cell(model, 1, FileColumn::kStored), QStringLiteral("3.00\u00A0MB"));
        QCOMPARE(model.data(model.index(0, FileColumn::kRaw), kSortRole).toDouble(), 700.0);
    }
};

QTEST_GUILESS_MAIN(ModelsTest)
#include "models_test.moc"
