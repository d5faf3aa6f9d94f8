// SPDX-License-Identifier: GPL-3.0-or-later
// Controllers with the real engine on the bundled sample: drops and refusals, estimate, compress, sign, verify, damage.
#include <QDir>
#include <QElapsedTimer>
#include <QRegularExpression>
#include <QFile>
#include <QSettings>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <QTest>
#include <set>
#include <thread>

#include "app/artifact_controller.h"
#include "app/commands.h"
#include "app/delta_view.h"
#include "app/error_text.h"
#include "app/inspect_artifact.h"
#include "app/recent_projects.h"
#include "tests/support/temp_dir.h"

using namespace tenpak;
using namespace tenpak::app;

namespace {

QString sample(const char* name) { return QStringLiteral(TENPAK_SOURCE_DIR "/resources/sample/") + QLatin1String(name); }
void write(const QString& path, const QByteArray& bytes) {
    QDir().mkpath(QFileInfo(path).absolutePath());
    QFile f(path);
    QVERIFY(f.open(QIODevice::WriteOnly));
    QCOMPARE(f.write(bytes), bytes.size());
}
void copyFolder(const QString& from, const QString& to) {
    QDir().mkpath(to);
    for (const QFileInfo& f : QDir(from).entryInfoList(QDir::Files)) QVERIFY(QFile::copy(f.filePath(), to + u'/' + f.fileName()));
}

/// Everything below the window.
struct App {
    explicit App(const QString& folder) : store(folder + QStringLiteral("/studio.ini"), QSettings::IniFormat) { settings.setOutputFolder(folder); }
    QSettings store;
    Settings settings{store};
    JobManager jobs;
    Project project;
    ScriptedDialogService dialogs;
    SigningKeys keys{settings};
    PairController pair{project, jobs, dialogs, settings};
    EstimateController estimate{jobs};
    CompressController compress{jobs, settings, keys};
    ArtifactController artifacts{jobs, settings, keys, dialogs};
};

}  // namespace

class ControllersTest : public QObject {
    Q_OBJECT
    std::unique_ptr<QTemporaryDir> m_dir;
    QString at(const QString& name) const { return m_dir->filePath(name); }

   private slots:
    void initTestCase() { QLocale::setDefault(QLocale(QLocale::English, QLocale::UnitedStates)); }
    void init() {
        m_dir = std::make_unique<QTemporaryDir>();
        qputenv("XDG_CONFIG_HOME", at(QStringLiteral("config")).toLocal8Bit());
        qputenv("XDG_CACHE_HOME", at(QStringLiteral("cache")).toLocal8Bit());
        qputenv("TENPAK_DATA_DIR", at(QStringLiteral("data")).toLocal8Bit());
        if (!QFileInfo::exists(sample("base/model.safetensors"))) QSKIP("the sample models are not in resources/sample");
    }

    void cardsNameTheBase_data() {
        QTest::addColumn<QByteArray>("card");
        QTest::addColumn<QStringList>("bases");
        QTest::newRow("plain") << QByteArray("---\nbase_model: Org/Base-1\n---\n") << QStringList{QStringLiteral("org/base-1")};
        QTest::newRow("quoted") << QByteArray("---\nbase_model: 'base'\n---\n") << QStringList{QStringLiteral("base")};
        QTest::newRow("list") << QByteArray("---\nbase_model:\n- a/b\n- c\nlicense: mit\n---\n") << QStringList{QStringLiteral("a/b"), QStringLiteral("c")};
        QTest::newRow("flow") << QByteArray("---\nbase_model: [a, \"b\"]\n---\n") << QStringList{QStringLiteral("a"), QStringLiteral("b")};
        QTest::newRow("no front matter") << QByteArray("base_model: x\n") << QStringList();
        QTest::newRow("after it") << QByteArray("---\nlicense: mit\n---\nbase_model: x\n") << QStringList();
    }
    void cardsNameTheBase() {
        QFETCH(QByteArray, card);
        QFETCH(QStringList, bases);
        write(at(QStringLiteral("m/README.md")), card);
        QCOMPARE(baseModelsOfCard(at(QStringLiteral("m"))), bases);
    }

    void twoDroppedAtOnceAreToldApartByTheCard() {
        App app(m_dir->path());
        QSignalSpy opened(&app.pair, &PairController::modelsOpened);
        app.pair.drop({sample("finetune"), sample("base")}, PairSlot::kEither);
        QCOMPARE(app.project.data().base, sample("base"));
        QCOMPARE(app.project.data().fineTune, sample("finetune"));
        QVERIFY(!app.pair.state().base.guessed);
        QTRY_COMPARE(opened.size(), 1);
        QVERIFY2(app.pair.state().base.facts.contains(QStringLiteral("bf16")), qPrintable(app.pair.state().base.facts));
        QVERIFY(!app.pair.state().base.fingerprint.isEmpty());
        app.pair.swap();
        QCOMPARE(app.pair.state().base.path, sample("finetune"));
        QCOMPARE(opened.size(), 2);  // at once: nothing is read again
    }
    void withoutACardTheOrderCountsAndSaysGuessed() {
        App app(m_dir->path());
        copyFolder(sample("base"), at(QStringLiteral("one")));
        copyFolder(sample("base"), at(QStringLiteral("two")));
        app.pair.drop({at(QStringLiteral("one")), at(QStringLiteral("two"))}, PairSlot::kEither);
        QCOMPARE(app.project.data().base, at(QStringLiteral("one")));
        QVERIFY(app.pair.state().fineTune.guessed);
    }

    void refusalsSayWhy_data() {
        QTest::addColumn<QString>("name");
        QTest::addColumn<QString>("title");
        QTest::addColumn<QString>("body");
        QTest::newRow("pdf") << QStringLiteral("notes.pdf") << QStringLiteral("notes.pdf is not a model") << QStringLiteral("Drop a folder with config.json, a .safetensors file or a .tnpk.");
        QTest::newRow("missing") << QStringLiteral("gone") << QStringLiteral("gone is not there") << QStringLiteral("moved or deleted");
        QTest::newRow("empty folder") << QStringLiteral("empty") << QStringLiteral("empty is not a model") << QStringLiteral("config.json");
        QTest::newRow("truncated") << QStringLiteral("cut.safetensors") << QStringLiteral("cut.safetensors cannot be opened") << QStringLiteral("truncated");
    }
    void refusalsSayWhy() {
        QFETCH(QString, name);
        QFETCH(QString, title);
        QFETCH(QString, body);
        write(at(QStringLiteral("notes.pdf")), "%PDF-1.4");
        QDir().mkpath(at(QStringLiteral("empty")));
        QFile whole(sample("base/model.safetensors"));
        QVERIFY(whole.open(QIODevice::ReadOnly));
        write(at(QStringLiteral("cut.safetensors")), whole.read(100000));
        App app(m_dir->path());
        QList<BannerState> banners;
        connect(&app.pair, &PairController::refused, this, [&](const BannerState& b) { banners.append(b); });
        app.pair.drop({at(name)}, PairSlot::kEither);
        QTRY_COMPARE(banners.size(), 1);
        QCOMPARE(banners[0].title, title);
        QVERIFY2(banners[0].body.contains(body), qPrintable(banners[0].body));
    }
    void artifactsAndProjectsGoWhereTheyBelong() {
        App app(m_dir->path());
        write(at(QStringLiteral("x.tnpk")), "whatever");
        write(at(QStringLiteral("p.tnpkproj")), "{}");
        QSignalSpy artifact(&app.pair, &PairController::artifactDropped), project(&app.pair, &PairController::projectDropped);
        app.pair.drop({at(QStringLiteral("x.tnpk"))}, PairSlot::kEither);
        app.pair.drop({at(QStringLiteral("p.tnpkproj"))}, PairSlot::kBase);
        QCOMPARE(artifact.size(), 1);
        QCOMPARE(project.size(), 1);
    }

    void estimateRefinesAndANewerPairSupersedes() {
        App app(m_dir->path());
        connect(&app.pair, &PairController::modelsOpened, this, [&] { app.estimate.start(app.pair.base(), app.pair.fineTune()); });
        app.pair.drop({sample("base"), sample("finetune")}, PairSlot::kEither);
        QTRY_COMPARE_WITH_TIMEOUT(app.estimate.phase(), EstimateController::Phase::kDone, 20000);
        const auto first = app.estimate.snapshot();
        QVERIFY(first && first->estimated_bytes > 0 && first->low <= first->estimated_bytes && first->high >= first->estimated_bytes);
        const DeltaViewState state = deltaViewState(app.pair, app.estimate, app.compress);
        QCOMPARE(state.phase, DeltaViewState::Phase::kEstimated);
        QVERIFY(!state.funnel.isEmpty());
        // Two changes in a row: only the last one's figures may come.
        app.pair.drop({sample("lora")}, PairSlot::kFineTune);
        QTRY_VERIFY(app.pair.fineTune() && app.pair.fineTune()->id() == "lora");
        app.estimate.start(app.pair.base(), app.pair.fineTune());
        app.estimate.again();
        QVERIFY(app.estimate.stale());
        QTRY_COMPARE_WITH_TIMEOUT(app.estimate.phase(), EstimateController::Phase::kDone, 20000);
        QVERIFY(!app.estimate.stale());
        QVERIFY(app.estimate.snapshot()->generation > first->generation);
    }

    void aPairThatDoesNotFitIsExplained() {
        App app(m_dir->path());
        const QString other = QString::fromStdString((test::shared_data() / "models/stories260K/hf-base-bf16").string());
        if (!QFileInfo::exists(other)) QSKIP("shared data are not here");
        connect(&app.pair, &PairController::modelsOpened, this, [&] { app.estimate.start(app.pair.base(), app.pair.fineTune()); });
        app.pair.drop({sample("base")}, PairSlot::kBase);
        app.pair.drop({other}, PairSlot::kFineTune);
        QTRY_COMPARE(app.estimate.phase(), EstimateController::Phase::kMisfit);
        const DeltaViewState s = deltaViewState(app.pair, app.estimate, app.compress);
        QCOMPARE(s.phase, DeltaViewState::Phase::kMisfit);
        QVERIFY(!s.misfits.empty());
        QVERIFY(!s.misfitReason.isEmpty());
        QVERIFY(s.baseFingerprint != s.fineTuneFingerprint);
    }

    void compressSignVerifyRebuildAndFindDamage() {
        App app(m_dir->path());
        app.pair.drop({sample("base"), sample("finetune")}, PairSlot::kEither);
        QTRY_VERIFY(app.pair.base() && app.pair.fineTune());
        const auto key = app.keys.make({});
        QVERIFY2(key.ok(), key.ok() ? "" : key.error().text().c_str());
        QCOMPARE(app.keys.choices().size(), 2);

        CompressDialogState dialog = app.compress.dialogState(*app.pair.base(), *app.pair.fineTune(), nullptr);
        QVERIFY(dialog.commandTemplate.endsWith(QStringLiteral("-o %1")));
        CompressRequest request = dialog.request;
        QCOMPARE(QFileInfo(request.path).fileName(), QStringLiteral("finetune.tnpk"));
        request.signing = *key;
        QSignalSpy done(&app.compress, &CompressController::compressed);
        app.compress.compress(request, {}, app.pair.base(), app.pair.fineTune(), nullptr);
        QCOMPARE(app.compress.phase(), CompressController::Phase::kCompressing);
        QTRY_VERIFY_WITH_TIMEOUT(app.compress.phase() != CompressController::Phase::kCompressing, 60000);
        QVERIFY2(!app.compress.error(), app.compress.error() ? app.compress.error()->text().c_str() : "");
        QCOMPARE(done.size(), 1);
        QVERIFY(done[0][1].toDouble() > 50);  // smaller by more than half
        const DeltaViewState s = deltaViewState(app.pair, app.estimate, app.compress);
        QCOMPARE(s.phase, DeltaViewState::Phase::kMeasured);
        QCOMPARE(s.filesCompared, static_cast<int>(app.pair.fineTune()->files().size()));
        QCOMPARE(static_cast<qint64>(s.storedBytes), QFileInfo(request.path).size());
        for (const auto& t : s.estimate->tensors) QVERIFY2(t.complete && !t.method.empty(), t.name.c_str());

        app.artifacts.add(request.path);
        app.artifacts.setPairBase(sample("base"));
        QTRY_VERIFY(app.artifacts.current() && !app.artifacts.current()->files.empty());
        QCOMPARE(trustOf(*app.artifacts.current()), Trust::kNotChecked);
        QSignalSpy verified(&app.artifacts, &ArtifactController::verified);
        app.artifacts.verify();
        QTRY_COMPARE_WITH_TIMEOUT(verified.size(), 1, 20000);
        QVERIFY(verified[0][1].toBool());
        const ArtifactDetails* d = app.artifacts.current();
        QCOMPARE(trustOf(*d), Trust::kSigned);
        QCOMPARE(QString::fromStdString(d->report.signer), QStringLiteral("You"));
        QCOMPARE(d->base, ArtifactDetails::Base::kFound);
        app.artifacts.rebuildAndCompare();
        QTRY_COMPARE_WITH_TIMEOUT(app.artifacts.current()->rebuild, ArtifactDetails::Rebuild::kSame, 20000);
        QCOMPARE(app.artifacts.current()->filesEqual, s.filesCompared);

        QSignalSpy rebuilt(&app.compress, &CompressController::rebuilt);
        app.compress.rebuild(request.path, app.pair.base(), at(QStringLiteral("out")));
        QTRY_COMPARE_WITH_TIMEOUT(rebuilt.size(), 1, 20000);
        for (const QFileInfo& f : QDir(sample("finetune")).entryInfoList(QDir::Files)) {
            QFile a(f.filePath()), b(at(QStringLiteral("out/")) + f.fileName());
            QVERIFY(a.open(QIODevice::ReadOnly) && b.open(QIODevice::ReadOnly));
            QVERIFY2(a.readAll() == b.readAll(), qPrintable(f.fileName()));
        }

        // Any change sets the answers back; the next check finds the flipped byte.
        QFile f(request.path);
        QVERIFY(f.open(QIODevice::ReadWrite));
        f.seek(f.size() / 2);
        char c = 0;
        f.getChar(&c);
        f.seek(f.size() / 2);
        f.putChar(static_cast<char>(c ^ 1));
        f.close();
        app.artifacts.refresh();
        QTRY_COMPARE(trustOf(*app.artifacts.current()), Trust::kNotChecked);
        app.artifacts.verify();
        QTRY_COMPARE_WITH_TIMEOUT(trustOf(*app.artifacts.current()), Trust::kDamaged, 20000);
    }

    /// The bytes of blocks that small tensors share, and of factors, are told tensor by tensor.
    void progressKnowsTensorsNotBlocks() {
        const auto base = ModelDirectory::open(fs::path(sample("base").toStdString()));
        const auto fineTune = ModelDirectory::open(fs::path(sample("lora").toStdString()));
        QVERIFY(base.ok() && fineTune.ok());
        std::set<std::string> names;
        std::map<std::string, std::uint64_t> bytes;
        for (const TensorInfo& t : (*fineTune)->tensors()) bytes[t.name] = t.bytes;
        for (const ModelFile& f : (*fineTune)->files()) names.insert(f.path);
        WriteRequest request;
        request.path = at(QStringLiteral("x.tnpk")).toStdString();
        request.model = *fineTune;
        WriteProgress last;
        bool shared = false;
        class Watch : public BlockSink {
           public:
            Watch(BlockSink& next, bool& shared) : m_next(next), m_shared(shared) {}
            Result<BlockId> add_block(const BlockInfo& info, std::span<const std::byte> stored) override {
                m_shared = m_shared || info.name.find('+') != std::string::npos;
                std::this_thread::sleep_for(std::chrono::milliseconds(info.name.ends_with("#factors") ? 0 : 2));
                return m_next.add_block(info, stored);
            }
            Status add_file(FileRecord file) override {
                std::this_thread::sleep_for(std::chrono::milliseconds(110));
                return m_next.add_file(std::move(file));
            }
            Status set_model(ModelRecord model) override { return m_next.set_model(std::move(model)); }
           private:
            BlockSink& m_next;
            bool& m_shared;
        };
        const auto outcome = write_artifact(request, [&](BlockSink& sink) {
            Watch watch(sink, shared);
            return delta::compress(**base, **fineTune, watch, {}, JobContext{});
        }, base->get(), [&](const WriteProgress& p) { last = p; }, JobContext{});
        QVERIFY2(outcome.ok(), outcome.ok() ? "" : outcome.error().text().c_str());
        QVERIFY(shared);  // else the sample has no small tensors, and this tests nothing
        QVERIFY(!last.tensors.empty());
        int seen = 0, lowRank = 0;
        for (const auto& [name, t] : last.tensors) {
            if (names.contains(name)) continue;
            QVERIFY2(bytes.contains(name), name.c_str());
            QVERIFY2(t.raw_bytes <= bytes[name], name.c_str());
            seen += t.raw_bytes == bytes[name];
            lowRank += t.method() == "lowrank";
        }
        QVERIFY2(seen > 3 * static_cast<int>(bytes.size()) / 4, qPrintable(QString::number(seen)));
        QVERIFY(lowRank > 0);
        QVERIFY(last.raw_bytes <= (*fineTune)->total_bytes());

        // What the Artifacts page says of the file counts tensors, not blocks.
        const ArtifactDetails details = describeArtifact(*outcome->artifact);
        int counted = 0;
        for (const ArtifactFile& f : details.files) {
            if (!f.path.endsWith(QStringLiteral(".safetensors"))) continue;
            QVERIFY2(f.how.contains(QStringLiteral("low rank ")), qPrintable(f.how));
            for (auto it = QRegularExpression(QStringLiteral("(\\d+)(?:,| tensors)")).globalMatch(f.how); it.hasNext();) counted += it.next().captured(1).toInt();
        }
        QCOMPARE(counted, static_cast<int>(bytes.size()));
        std::uint64_t stored = 0, blocks = 0;
        for (const ArtifactFile& f : details.files) stored += f.storedBytes;
        for (const BlockInfo& b : outcome->artifact->blocks()) blocks += b.stored_size;
        QCOMPARE(stored, blocks);
    }

    void stoppingACompressionLeavesNothing() {
        // Large enough that it is still at work when it is stopped, on any machine.
        std::vector<std::uint16_t> weights(16u << 20);
        std::uint32_t x = 1;
        for (const QString& name : {QStringLiteral("big-base"), QStringLiteral("big-finetune")}) {
            for (auto& w : weights) {
                x = x * 1664525u + 1013904223u;
                w = static_cast<std::uint16_t>(0x3c00u + (x >> 22));
            }
            QDir().mkpath(at(name));
            QVERIFY(write_safetensors(fs::path(at(name).toStdString()) / "model.safetensors",
                                      {{"w.weight", DType::kBF16, {4096, 4096}, std::as_bytes(std::span(weights))}}).ok());
        }
        App app(m_dir->path());
        app.pair.drop({at(QStringLiteral("big-base")), at(QStringLiteral("big-finetune"))}, PairSlot::kEither);
        QTRY_VERIFY(app.pair.base() && app.pair.fineTune());
        CompressRequest request;
        request.path = at(QStringLiteral("out/x.tnpk"));
        QDir().mkpath(at(QStringLiteral("out")));
        app.compress.compress(request, {}, app.pair.base(), app.pair.fineTune(), nullptr);
        QTest::qWait(20);
        app.compress.stop();
        QElapsedTimer clock;
        clock.start();
        QTRY_COMPARE_WITH_TIMEOUT(app.compress.phase(), CompressController::Phase::kStopped, 3000);
        QVERIFY2(clock.elapsed() < 1500, qPrintable(QString::number(clock.elapsed())));
        QVERIFY(QDir(at(QStringLiteral("out"))).isEmpty());
        QCOMPARE(deltaViewState(app.pair, app.estimate, app.compress).phase, DeltaViewState::Phase::kStopped);
        app.compress.acknowledge();
        QCOMPARE(app.compress.phase(), CompressController::Phase::kIdle);
    }

    void anUnwritableOutputIsAnErrorWithTitleAndHint() {
        App app(m_dir->path());
        app.pair.drop({sample("base"), sample("finetune")}, PairSlot::kEither);
        QTRY_VERIFY(app.pair.base() && app.pair.fineTune());
        CompressRequest request;
        request.path = at(QStringLiteral("no/such/folder/x.tnpk"));
        app.compress.compress(request, {}, app.pair.base(), app.pair.fineTune(), nullptr);
        QTRY_COMPARE_WITH_TIMEOUT(app.compress.phase(), CompressController::Phase::kFailed, 10000);
        const DeltaViewState s = deltaViewState(app.pair, app.estimate, app.compress);
        QCOMPARE(s.phase, DeltaViewState::Phase::kFailed);
        QCOMPARE(s.banner.title, errorTitle(ErrorCode::kNotFound));
        QVERIFY(s.banner.body.contains(QStringLiteral("x.tnpk")));
    }

    void commandsAreQuotedForAShell() {
        QCOMPARE(shellQuoted(QStringLiteral("/a/b-c.tnpk")), QStringLiteral("/a/b-c.tnpk"));
        QCOMPARE(shellQuoted(QStringLiteral("/a b/c'd")), QStringLiteral("'/a b/c'\\''d'"));
        optimizer::Limits l;
        l.max_ppl_delta = 2;
        l.max_latency_p99_ms = 100;
        QCOMPARE(optimizeCommand(QStringLiteral("/m"), {}, {QStringLiteral("fp16"), QStringLiteral("int8")}, l, QStringLiteral("l4")),
                 QStringLiteral("tenpak optimize /m --max-ppl-delta 2 --max-latency-p99-ms 100 --candidates fp16,int8 --hardware l4"));
    }
};

QTEST_GUILESS_MAIN(ControllersTest)
#include "controllers_test.moc"
