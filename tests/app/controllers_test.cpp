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

#include "app/archive_controller.h"
#include "app/artifact_controller.h"
#include "app/commands.h"
#include "app/delta_view.h"
#include "app/error_text.h"
#include "app/find_base_controller.h"
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

    /// The bytes of a block that small tensors share are told tensor by tensor.
    void progressKnowsTensorsNotBlocks() {
        const char* const names[] = {"a.weight", "b.bias", "c.bias", "d+2.bias"};
        std::vector<std::uint16_t> weights(256 * 256);
        std::shared_ptr<const ModelDirectory> models[2];
        for (int m = 0; m < 2; ++m) {
            for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<std::uint16_t>(0x3c00 + (i * 2654435761u >> 24) + static_cast<unsigned>(m) * (i % 3));
            const auto bytes = std::as_bytes(std::span(weights));
            const QString folder = at(QStringLiteral("m%1").arg(m));
            QDir().mkpath(folder);
            QVERIFY(write_safetensors(fs::path(folder.toStdString()) / "model.safetensors",
                                      {{names[0], DType::kBF16, {256, 256}, bytes}, {names[1], DType::kBF16, {256}, bytes.first(512)},
                                       {names[2], DType::kBF16, {512}, bytes.first(1024)}, {names[3], DType::kBF16, {256}, bytes.first(512)}}).ok());
            auto opened = ModelDirectory::open(fs::path(folder.toStdString()));
            QVERIFY(opened.ok());
            models[m] = *opened;
        }
        /// The last report must come after the last block.
        class Slow : public BlockSink {
           public:
            explicit Slow(BlockSink& next) : m_next(next) {}
            Result<BlockId> add_block(const BlockInfo& info, std::span<const std::byte> stored) override {
                names.push_back(info.name);
                std::this_thread::sleep_for(std::chrono::milliseconds(120));
                return m_next.add_block(info, stored);
            }
            Status add_file(FileRecord file) override { return m_next.add_file(std::move(file)); }
            Status set_model(ModelRecord model) override { return m_next.set_model(std::move(model)); }
            std::vector<std::string> names;

           private:
            BlockSink& m_next;
        };
        WriteRequest request;
        request.path = at(QStringLiteral("x.tnpk")).toStdString();
        request.model = models[1];
        WriteProgress last;
        std::vector<std::string> blocks;
        const auto outcome = write_artifact(request, [&](BlockSink& sink) {
            Slow slow(sink);
            auto report = delta::compress(*models[0], *models[1], slow, {}, JobContext{});
            blocks = slow.names;
            return report;
        }, models[0].get(), [&](const WriteProgress& p) { last = p; }, JobContext{});
        QVERIFY2(outcome.ok(), outcome.ok() ? "" : outcome.error().text().c_str());
        QVERIFY(std::find(blocks.begin(), blocks.end(), "b.bias+2#0") != blocks.end());  // else this tests nothing
        std::uint64_t stored = 0;
        for (const TensorInfo& t : models[1]->tensors()) {
            QVERIFY2(last.tensors.contains(t.name), t.name.c_str());
            QCOMPARE(last.tensors[t.name].raw_bytes, t.bytes);
            QVERIFY2(!last.tensors[t.name].method().empty(), t.name.c_str());
        }
        for (const auto& [name, t] : last.tensors) stored += t.stored_bytes;
        QCOMPARE(stored, last.stored_bytes);
        QCOMPARE(last.tensors.size(), std::size_t(5));  // the header of the file, too
        QCOMPARE(last.raw_bytes, models[1]->total_bytes());

        // What the Artifacts page says of the file counts tensors, not blocks.
        const ArtifactDetails details = describeArtifact(*outcome->artifact);
        QCOMPARE(details.files.size(), std::size_t(1));
        int counted = 0;
        for (auto it = QRegularExpression(QStringLiteral("(\\d+)(?:,| tensors)")).globalMatch(details.files[0].how); it.hasNext();) counted += it.next().captured(1).toInt();
        QVERIFY2(counted == 4, qPrintable(details.files[0].how));
    }

    void aLossyModeIsMeasuredAndSaysSo() {
        App app(m_dir->path());
        app.pair.drop({sample("base"), sample("finetune")}, PairSlot::kEither);
        QTRY_VERIFY(app.pair.base() && app.pair.fineTune());
        CompressRequest request = app.compress.dialogState(*app.pair.base(), *app.pair.fineTune(), nullptr).request;
        request.mode = DeltaMode::kInt8;
        request.perplexityText = sample("text/finetune.txt");
        app.compress.compress(request, {}, app.pair.base(), app.pair.fineTune(), nullptr);
        QTRY_VERIFY_WITH_TIMEOUT(app.compress.phase() != CompressController::Phase::kCompressing, 120000);
        QVERIFY2(!app.compress.error(), app.compress.error() ? app.compress.error()->text().c_str() : "");
        const DeltaViewState s = deltaViewState(app.pair, app.estimate, app.compress);
        QVERIFY(s.lossy);
        QCOMPARE(s.lossyMode, QStringLiteral("INT8"));
        QVERIFY(s.maxAbsError > 0 && s.relativeError > 0 && s.changeError > s.relativeError);
        QVERIFY(s.errors && s.errors->size() == app.pair.fineTune()->tensors().size());
        QVERIFY2(s.perplexity.contains(QStringLiteral("measured here")), qPrintable(s.perplexity));
        QCOMPARE(s.adapterRank, 0);
        app.artifacts.add(request.path);
        QTRY_VERIFY(app.artifacts.current() && !app.artifacts.current()->files.empty());
        QVERIFY(!app.artifacts.current()->madeLossless);
        QVERIFY2(app.artifacts.current()->lossyWhat.contains(QStringLiteral("int8")), qPrintable(app.artifacts.current()->lossyWhat));
    }

    void aMergedAdapterIsFoundAndExported() {
        App app(m_dir->path());
        app.pair.drop({sample("base"), sample("lora")}, PairSlot::kEither);
        QTRY_VERIFY(app.pair.base() && app.pair.fineTune());
        const CompressRequest request = app.compress.dialogState(*app.pair.base(), *app.pair.fineTune(), nullptr).request;
        app.compress.compress(request, {}, app.pair.base(), app.pair.fineTune(), nullptr);
        QTRY_VERIFY_WITH_TIMEOUT(app.compress.phase() != CompressController::Phase::kCompressing, 120000);
        const DeltaViewState s = deltaViewState(app.pair, app.estimate, app.compress);
        QVERIFY(!s.lossy && s.adapterRank > 0 && s.adapterTensors > 0);
        const auto artifact = Artifact::open(fs::path(request.path.toStdString()));
        QVERIFY(artifact.ok());
        std::uint64_t stored = 0, blocks = 0;
        for (const ArtifactFile& f : describeArtifact(**artifact).files) {
            if (f.path.endsWith(QStringLiteral(".safetensors"))) QVERIFY2(f.how.contains(QStringLiteral("low rank ")), qPrintable(f.how));
            stored += f.storedBytes;
        }
        for (const BlockInfo& b : (*artifact)->blocks()) blocks += b.stored_size;
        QCOMPARE(stored, blocks);  // factors belong to no file, but cost
        for (const auto& t : s.estimate->tensors) QVERIFY2((t.method == "lowrank") == (t.rank > 0), t.name.c_str());
        QSignalSpy exported(&app.compress, &CompressController::adapterExported);
        app.compress.exportAdapter(at(QStringLiteral("adapter")));
        QTRY_COMPARE_WITH_TIMEOUT(exported.size(), 1, 20000);
        QVERIFY(QFileInfo::exists(at(QStringLiteral("adapter/adapter_config.json"))));
        QVERIFY(QFileInfo(at(QStringLiteral("adapter/adapter_model.safetensors"))).size() > 1000);
    }

    void aFolderIsArchivedAndPutBack() {
        App app(m_dir->path());
        const QString models = at(QStringLiteral("models"));
        for (const char* name : {"base", "finetune", "lora"}) copyFolder(sample(name), models + u'/' + QLatin1String(name));
        ArchiveController archive(app.jobs);
        archive.addFolder(models);
        archive.plan();
        QTRY_VERIFY_WITH_TIMEOUT(!archive.busy(), 60000);
        QCOMPARE(archive.state().phase, ArchiveState::Phase::kPlanned);
        int planned = 0;
        for (const ArchiveRow& r : archive.state().rows) planned += r.state == ArchiveRow::State::kPlanned;
        QCOMPARE(planned, 2);
        archive.setChecked(models + QStringLiteral("/finetune"), false);
        archive.setReplace(true);
        archive.archive();
        QTRY_VERIFY_WITH_TIMEOUT(!archive.busy(), 120000);
        QVERIFY2(archive.state().banner.isEmpty(), qPrintable(archive.state().banner.body));
        QCOMPARE(archive.state().phase, ArchiveState::Phase::kDone);
        QVERIFY(!QFileInfo::exists(models + QStringLiteral("/lora")));
        QVERIFY(QFileInfo::exists(models + QStringLiteral("/finetune")));  // was not chosen
        QVERIFY(QFileInfo::exists(models + QStringLiteral("/base")));
        archive.undo();
        QTRY_VERIFY_WITH_TIMEOUT(!archive.busy(), 60000);
        QVERIFY2(archive.state().banner.isEmpty(), qPrintable(archive.state().banner.body));
        for (const QFileInfo& f : QDir(sample("lora")).entryInfoList(QDir::Files)) {
            QFile a(f.filePath()), b(models + QStringLiteral("/lora/") + f.fileName());
            QVERIFY(a.open(QIODevice::ReadOnly) && b.open(QIODevice::ReadOnly));
            QVERIFY2(a.readAll() == b.readAll(), qPrintable(f.fileName()));
        }
    }

    void theBaseIsFoundAmongTheModelsOfAFolder() {
        App app(m_dir->path());
        const QString models = at(QStringLiteral("models"));
        for (const char* name : {"base", "finetune", "lora"}) copyFolder(sample(name), models + u'/' + QLatin1String(name));
        QDir().mkpath(models + QStringLiteral("/empty"));
        QCOMPARE(modelsBelow(models, 6, 200, JobContext{}).size(), 3);
        QCOMPARE(modelsBelow(models, 6, 2, JobContext{}).size(), 2);
        app.pair.drop({models + QStringLiteral("/lora")}, PairSlot::kFineTune);
        QTRY_VERIFY(app.pair.fineTune());
        FindBaseController find(app.jobs, app.settings);
        find.setFineTune(app.pair.fineTune());
        QCOMPARE(find.state().folders, QStringList{models});  // where the fine-tune lies
        find.search();
        QVERIFY(find.state().searching);
        QTRY_VERIFY_WITH_TIMEOUT(find.state().searched, 20000);
        const FindBaseState s = find.state();
        QCOMPARE(s.candidates.size(), 2);  // not the fine-tune itself
        QVERIFY(s.candidates[0].best && s.candidates[0].fits);
        QCOMPARE(s.candidates[0].name, QStringLiteral("base"));
        QVERIFY(!s.candidates[0].reason.isEmpty() && !s.candidates[1].best);
        find.removeFolder(models);
        find.addFolder(models + QStringLiteral("/empty"));
        find.search();
        QTRY_VERIFY_WITH_TIMEOUT(find.state().searched, 20000);
        QVERIFY(find.state().candidates.isEmpty());
        QCOMPARE(find.state().result, QStringLiteral("No other model lies under these folders."));
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
        QCOMPARE(optimizeCommand(QStringLiteral("/m"), {}, {QStringLiteral("fp16"), QStringLiteral("import:x AWQ")}, {}, {}, {QStringLiteral("/hub/x AWQ")}),
                 QStringLiteral("tenpak optimize /m --candidates fp16 --import '/hub/x AWQ'"));
    }
};

QTEST_GUILESS_MAIN(ControllersTest)
#include "controllers_test.moc"
