// SPDX-License-Identifier: GPL-3.0-or-later
// The sweep's controller with real worker processes and the fake backend (core/jobs/fake_backend.h): run, pause, go on,
// fail, retry, restore, recorded results, judging without running.
#include <QDir>
#include <QFile>
#include <QSettings>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <QTest>

#include "app/sweep_controller.h"
#include "core/base/json.h"
#include "core/jobs/recorded_sweep.h"

using namespace tenpak;
using namespace tenpak::app;
using Phase = SweepViewState::Phase;

namespace {

QString sample(const char* name) { return QStringLiteral(TENPAK_SOURCE_DIR "/resources/sample/") + QLatin1String(name); }

Json result(double delta, double p99, double tps) {
    return {{"metrics", {{"perplexity", 8.0}, {"ppl_delta", delta}, {"ppl_delta_low", delta - 0.1}, {"ppl_delta_high", delta + 0.1}, {"window_nll", {2.0, 3.0}},
                         {"compression", 2.0}, {"memory_bytes", 5'000'000}, {"stored_bytes", 3'000'000},
                         {"batches", {{{"batch", 1}, {"p50_ms", p99 / 2}, {"p95_ms", p99 * 0.9}, {"p99_ms", p99}, {"throughput_tps", tps}, {"samples", 300}}}}}}};
}

struct App {
    explicit App(const QString& folder, std::optional<SampleFiles> bundled = {}, const QString& worker = QStringLiteral(TENPAK_BIN_DIR "/tenpak"))
        : store(folder + QStringLiteral("/studio.ini"), QSettings::IniFormat), sweep(project, jobs, hardware, worker, std::move(bundled)) {}
    QSettings store;
    Settings settings{store};
    JobManager jobs;
    Project project;
    HardwareController hardware{jobs, settings, {}};
    SweepController sweep;
};

}  // namespace

class SweepTest : public QObject {
    Q_OBJECT
    std::unique_ptr<QTemporaryDir> m_dir;
    QString at(const QString& name) const { return m_dir->filePath(name); }
    void writeFile(const QString& name, const std::string& text = {}) {
        QFile f(at(name));
        QVERIFY(f.open(QIODevice::WriteOnly));
        f.write(text.data(), static_cast<qint64>(text.size()));
    }
    QByteArray ran() {
        QFile f(at(QStringLiteral("ran")));
        return f.open(QIODevice::ReadOnly) ? f.readAll().simplified() : QByteArray();
    }
    Json log(const char* name) { return {{"append", at(QStringLiteral("ran")).toStdString()}, {"text", std::string(name) + " "}}; }
    Json waitFor(const char* name) { return {{"wait_file", at(QLatin1String(name)).toStdString()}}; }
    void useScript(App& app, const Json& candidates, const QStringList& names) {
        Json script;
        script["candidates"] = candidates;
        writeFile(QStringLiteral("script.json"), script.dump());
        jobs::SweepSpec spec;
        spec.backend = "fake:" + at(QStringLiteral("script.json")).toStdString();
        app.sweep.setDefaults(spec);
        app.project.setPair(sample("base"), sample("finetune"), false);
        app.project.setCandidates(names);
        PairState pair;
        pair.base.path = sample("base");
        pair.fineTune.path = sample("finetune");
        app.sweep.setPair(pair);
    }

   private slots:
    void initTestCase() {
        QLocale::setDefault(QLocale(QLocale::English, QLocale::UnitedStates));
        if (!QFileInfo::exists(sample("base/model.safetensors"))) QSKIP("the sample models are not in resources/sample");
        QVERIFY2(QFileInfo::exists(QStringLiteral(TENPAK_BIN_DIR "/tenpak")), "build tenpak first");
    }
    void init() {
        m_dir = std::make_unique<QTemporaryDir>();
        qputenv("XDG_CONFIG_HOME", at(QStringLiteral("config")).toLocal8Bit());
        qputenv("XDG_CACHE_HOME", at(QStringLiteral("cache")).toLocal8Bit());
        qputenv("TENPAK_DATA_DIR", at(QStringLiteral("data")).toLocal8Bit());
    }

    void runsJudgesAndIsThereAfterARestart() {
        const Json script = {{"fp16", {log("fp16"), result(0, 50, 100)}}, {"int8", {log("int8"), result(0.3, 30, 200)}}, {"rtn_g128", {log("rtn"), result(9, 20, 300)}}};
        QString jobId;
        {
            App app(m_dir->path());
            useScript(app, script, {QStringLiteral("fp16"), QStringLiteral("int8"), QStringLiteral("rtn_g128")});
            QCOMPARE(app.sweep.state().phase, Phase::kEmpty);
            QCOMPARE(app.sweep.state().total, 3);
            QSignalSpy finished(&app.sweep, &SweepController::finished);
            app.sweep.start({});
            QCOMPARE(app.sweep.state().phase, Phase::kRunning);
            QTRY_COMPARE_WITH_TIMEOUT(finished.size(), 1, 60000);
            QCOMPARE(app.sweep.state().phase, Phase::kFinished);
            QCOMPARE(app.sweep.done(), 3);
            QCOMPARE(app.sweep.winner(), QStringLiteral("int8"));  // rtn is faster, but 9 % is above the limit of 2 %
            QCOMPARE(ran(), QByteArray("fp16 int8 rtn"));

            optimizer::Limits none;
            app.sweep.setLimits(none);
            QCOMPARE(app.sweep.winner(), QStringLiteral("rtn_g128"));
            optimizer::Limits impossible;
            impossible.max_latency_p99_ms = 1;
            app.sweep.setLimits(impossible);
            QVERIFY(app.sweep.winner().isEmpty());
            QVERIFY(app.sweep.state().judgement->closest.has_value());
            app.project.undoStack()->undo();  // merged with the edit before: back to the first limits
            QCOMPARE(app.sweep.winner(), QStringLiteral("int8"));
            QCOMPARE(ran(), QByteArray("fp16 int8 rtn"));
            jobId = app.project.data().sweepJob;
            QVERIFY(!jobId.isEmpty());
            QVERIFY(app.project.saveAs(at(QStringLiteral("p"))).ok());
        }
        App again(m_dir->path());
        QVERIFY(again.project.load(at(QStringLiteral("p.tnpkproj"))).ok());
        again.sweep.setPair({});
        QCOMPARE(again.sweep.jobId(), jobId);
        QCOMPARE(again.sweep.done(), 3);
        QCOMPARE(again.sweep.winner(), QStringLiteral("int8"));
        QVERIFY(again.sweep.interrupted().isEmpty());
    }

    void pauseKeepsWhatIsDoneAndGoesOn() {
        App app(m_dir->path());
        useScript(app, {{"fp16", {log("fp16"), result(0, 50, 100)}}, {"int8", {log("int8"), waitFor("go"), result(0.3, 30, 200)}}}, {QStringLiteral("fp16"), QStringLiteral("int8")});
        app.sweep.start({});
        QTRY_VERIFY_WITH_TIMEOUT(app.sweep.done() == 1 && ran().contains("int8"), 60000);
        app.sweep.pause();
        QCOMPARE(app.sweep.job()->state(), Job::State::kStopping);
        QTRY_COMPARE_WITH_TIMEOUT(app.sweep.state().phase, Phase::kPaused, 10000);
        QCOMPARE(app.sweep.done(), 1);
        QVERIFY2(app.sweep.job()->row().phase.contains(QStringLiteral("1 of 2")), qPrintable(app.sweep.job()->row().phase));
        writeFile(QStringLiteral("go"));
        app.sweep.resume();
        QTRY_COMPARE_WITH_TIMEOUT(app.sweep.state().phase, Phase::kFinished, 60000);
        QCOMPARE(ran(), QByteArray("fp16 int8 int8"));  // fp16 was not measured again
        QCOMPARE(app.sweep.winner(), QStringLiteral("int8"));
        QCOMPARE(app.jobs.jobs().size(), 1);  // one row, not one a run
    }

    void aFailedTrialNamesItsReasonAndCanBeRetried() {
        App app(m_dir->path());
        const QStringList names{QStringLiteral("fp16"), QStringLiteral("int8")};
        useScript(app, {{"fp16", {log("fp16"), result(0, 50, 100)}}, {"int8", {{{"error", "out-of-memory"}, {"what", "needs 9 GB"}}}}}, names);
        QSignalSpy finished(&app.sweep, &SweepController::finished);
        app.sweep.start({});
        QTRY_COMPARE_WITH_TIMEOUT(finished.size(), 1, 60000);
        const optimizer::Trial* t = app.sweep.trial(QStringLiteral("int8"));
        QVERIFY(t != nullptr && t->status == optimizer::TrialStatus::kFailed);
        QVERIFY2(t->error.find("9 GB") != std::string::npos, t->error.c_str());
        QCOMPARE(app.sweep.winner(), QStringLiteral("fp16"));
        Json script;
        script["candidates"] = {{"fp16", {log("fp16"), result(0, 50, 100)}}, {"int8", {result(0.3, 30, 200)}}};
        writeFile(QStringLiteral("script.json"), script.dump());
        app.sweep.retry(QStringLiteral("int8"));
        QTRY_COMPARE_WITH_TIMEOUT(finished.size(), 2, 60000);
        QCOMPARE(app.sweep.winner(), QStringLiteral("int8"));
        QCOMPARE(ran(), QByteArray("fp16"));
    }

    void stopAnswersAtOnceAndTheJobCanGoOn() {
        App app(m_dir->path());
        useScript(app, {{"fp16", {log("fp16"), waitFor("never"), result(0, 50, 100)}}}, {QStringLiteral("fp16")});
        app.sweep.start({});
        QTRY_VERIFY_WITH_TIMEOUT(ran().contains("fp16"), 60000);
        app.sweep.stop();
        QCOMPARE(app.sweep.job()->state(), Job::State::kStopping);
        QTRY_VERIFY_WITH_TIMEOUT(!app.sweep.running(), 10000);
        QCOMPARE(app.sweep.state().phase, Phase::kEmpty);  // nothing was measured
        QVERIFY(app.sweep.state().banner.isEmpty());       // stopping is no error
    }

    void aQuantizedModelIsMeasuredBesideTheCandidates() {
        const QString name = QStringLiteral("import:finetune");
        App app(m_dir->path());
        useScript(app, {{"fp16", {result(0, 50, 100)}}, {"import:finetune", {result(0.3, 30, 200)}}}, {QStringLiteral("fp16")});
        app.sweep.addImport(sample("finetune"));
        app.sweep.addImport(sample("finetune"));  // again: still once
        QCOMPARE(app.sweep.imports(), QStringList{sample("finetune")});
        QCOMPARE(app.sweep.state().choices.last().name, name);
        QVERIFY(app.sweep.state().choices.last().checked);
        QSignalSpy finished(&app.sweep, &SweepController::finished);
        app.sweep.start({});
        QVERIFY(finished.wait(20000));
        QVERIFY(app.sweep.trial(name) != nullptr);
        QVERIFY(app.sweep.trial(name)->status == optimizer::TrialStatus::kDone);
        QCOMPARE(app.sweep.winner(), name);
        app.sweep.removeImport(name);
        QVERIFY(app.sweep.imports().isEmpty());
        for (const CandidateChoice& c : app.sweep.state().choices) QVERIFY(c.importedFrom.isEmpty());
        app.project.undoStack()->undo();
        QCOMPARE(app.sweep.imports(), QStringList{sample("finetune")});
    }

    void withoutTheWorkerProgramTheReasonIsSaid() {
        App app(m_dir->path(), {}, {});
        useScript(app, {{"fp16", {result(0, 50, 100)}}}, {QStringLiteral("fp16")});
        QSignalSpy failed(&app.sweep, &SweepController::failed);
        app.sweep.start({});
        QCOMPARE(failed.size(), 1);
        QVERIFY(app.sweep.state().banner.body.contains(QStringLiteral("tenpak")));
        app.sweep.acknowledge();
        QVERIFY(app.sweep.state().banner.isEmpty());
    }

    void theSamplesRecordedSweepSaysWhereAndWhen() {
        SampleFiles bundled;
        bundled.folder = QFileInfo(sample("base")).absolutePath();
        bundled.base = sample("base");
        bundled.fineTune = sample("finetune");
        bundled.recordedSweep = at(QStringLiteral("recorded-sweep.json"));
        jobs::RecordedSweep recorded;
        recorded.spec.model_path = "base";
        recorded.spec.candidates = {"fp16"};
        optimizer::Trial t;
        t.id = t.candidate = "fp16";
        t.status = optimizer::TrialStatus::kDone;
        t.device = "CPU, 2 cores, test";
        t.measured_at = "2026-11-20T10:00:00Z";
        t.metrics.perplexity = 8;
        t.metrics.ppl_delta = t.metrics.ppl_delta_low = t.metrics.ppl_delta_high = 0;
        optimizer::BatchPoint b;
        b.p50_ms = b.p95_ms = b.p99_ms = 5;
        b.throughput_tps = 200;
        t.metrics.batches = {b};
        recorded.trials = {t};
        const Status saved = jobs::save_recorded_sweep(bundled.recordedSweep.toStdString(), recorded);
        QVERIFY2(saved.ok(), saved.ok() ? "" : saved.error().text().c_str());
        QCOMPARE(SweepController::recordedModel(bundled), sample("base"));

        App app(m_dir->path(), bundled);
        app.project.setPair(sample("base"), sample("finetune"), false);
        app.project.setSweepModel(sample("base"));
        app.sweep.setPair({});
        const SweepViewState s = app.sweep.state();
        QCOMPARE(s.phase, Phase::kFinished);
        QVERIFY2(s.recorded.startsWith(QStringLiteral("Recorded on CPU, 2 cores, test, ")), qPrintable(s.recorded));
        QCOMPARE((*s.trials)[0].provenance, optimizer::Provenance::kRecorded);
        app.sweep.chooseModel(sample("finetune"));  // not what was recorded
        QVERIFY(app.sweep.state().recorded.isEmpty());
        QCOMPARE(app.sweep.state().phase, Phase::kEmpty);
    }
};

QTEST_GUILESS_MAIN(SweepTest)
#include "sweep_test.moc"
