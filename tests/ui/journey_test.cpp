// SPDX-License-Identifier: GPL-3.0-or-later
// The whole journey through the real window, with the real engine, real worker processes and the sample models:
// models -> estimate -> compress (signed) -> rebuild -> sweep -> select -> export -> verify in place and by the CLI.
// Once by mouse with drops through the window handle, once by keyboard alone. Only file choosers are scripted.
#include <QApplication>
#include <QCheckBox>
#include <QComboBox>
#include <QDir>
#include <QDoubleSpinBox>
#include <QDragEnterEvent>
#include <QLabel>
#include <QLineEdit>
#include <QMimeData>
#include <QProcess>
#include <QPushButton>
#include <QSettings>
#include <QStandardPaths>
#include <QTableView>
#include <QTemporaryDir>
#include <QTest>
#include <QWindow>

#include "app/delta_view.h"
#include "app/item_roles.h"
#include "app/studio/studio.h"
#include "core/base/json.h"
#include "ui/artifacts/artifacts_page.h"
#include "ui/charts/pareto_plot.h"
#include "ui/delta/delta_page.h"
#include "ui/dialogs/compress_dialog.h"
#include "ui/shell/main_window.h"
#include "ui/start/start_page.h"
#include "ui/sweep/sweep_page.h"
#include "ui/theme/studio_style.h"

using namespace tenpak;
using namespace tenpak::app;
using ui::Page;

namespace {

constexpr int kLong = 120'000;  // ms; the machine may be busy

QString sample(const char* name) { return QStringLiteral(TENPAK_SOURCE_DIR "/resources/sample/") + QLatin1String(name); }

void copyFolder(const QString& from, const QString& to) {
    QDir().mkpath(to);
    for (const QFileInfo& f : QDir(from).entryInfoList(QDir::Files)) QVERIFY(QFile::copy(f.filePath(), to + u'/' + f.fileName()));
}

/// A drag as the window system delivers it: the window finds the widget under the pointer itself.
void dropOn(QWidget* window, const QPoint& at, const QStringList& paths) {
    QMimeData data;
    QList<QUrl> urls;
    for (const QString& p : paths) urls.append(QUrl::fromLocalFile(p));
    data.setUrls(urls);
    QWindow* handle = window->windowHandle();
    QDragEnterEvent enter(at, Qt::CopyAction | Qt::MoveAction, &data, Qt::LeftButton, Qt::NoModifier);
    QCoreApplication::sendEvent(handle, &enter);
    for (int i = 0; i < 2; ++i) {
        QDragMoveEvent move(at, Qt::CopyAction | Qt::MoveAction, &data, Qt::LeftButton, Qt::NoModifier);
        QCoreApplication::sendEvent(handle, &move);
    }
    QDropEvent drop(QPointF(at), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
    QCoreApplication::sendEvent(handle, &drop);
    QCoreApplication::processEvents();
}

Json runCli(const QStringList& arguments, int* exitCode) {
    QProcess p;
    p.start(QStringLiteral(TENPAK_BIN_DIR "/tenpak"), arguments);
    if (!p.waitForFinished(60000)) return {};
    *exitCode = p.exitCode();
    const QByteArray out = p.readAllStandardOutput();
    const auto json = parse_json(std::string_view(out.constData(), static_cast<std::size_t>(out.size())), "tenpak");
    return json.ok() ? *json : Json();
}

}  // namespace

class JourneyTest : public QObject {
    Q_OBJECT
    std::unique_ptr<QTemporaryDir> m_dir;
    std::unique_ptr<QSettings> m_store;
    std::unique_ptr<ScriptedDialogService> m_dialogs;
    std::unique_ptr<studio::Studio> m_studio;

    QString at(const QString& name) const { return m_dir->filePath(name); }
    ui::MainWindow& window() { return m_studio->window(); }
    template <class T>
    T* find(const char* name) {
        for (QWidget* top : QApplication::topLevelWidgets())
            for (T* w : top->findChildren<T*>(QLatin1String(name)))
                if (w->isVisible()) return w;
        return nullptr;
    }
    void click(const char* name) {
        QTRY_VERIFY2(find<QWidget>(name) != nullptr, name);
        auto* w = find<QWidget>(name);
        QVERIFY2(w->isEnabled(), name);
        QTest::mouseClick(w, Qt::LeftButton);
    }
    ui::CompressDialog* dialog() { return qobject_cast<ui::CompressDialog*>(QApplication::activeModalWidget()); }
    /// What a window manager does when a dialog closes; the offscreen platform has none.
    void backToTheWindow() {
        QTRY_VERIFY(dialog() == nullptr);
        window().activateWindow();
        QVERIFY(QTest::qWaitForWindowActive(&window()));
    }
    /// Tab until the widget of that name has the focus.
    void tabTo(const char* name) {
        QStringList seen;
        for (int i = 0; i < 120; ++i) {
            QWidget* f = QApplication::focusWidget();
            if (f != nullptr && f->objectName() == QLatin1String(name)) return;
            seen.append(f != nullptr ? f->objectName() : QStringLiteral("(none)"));
            QTest::keyClick(f != nullptr ? f : &window(), Qt::Key_Tab);
        }
        QFAIL(qPrintable(QStringLiteral("%1 is not reached by Tab: %2").arg(QLatin1String(name), seen.mid(0, 40).join(u' '))));
    }
    void key(int k, Qt::KeyboardModifiers modifiers = Qt::NoModifier) {
        QWidget* f = QApplication::focusWidget();
        QTest::keyClick(f != nullptr ? f : &window(), static_cast<Qt::Key>(k), modifiers);
    }
    QString bannerTitle() {
        auto* l = find<QLabel>("bannerTitle");
        return l != nullptr ? l->text() : QString();
    }
    /// Little enough for a test, real all the same.
    void measureLittle() { measure(2, 128, 24, {1}); }
    void measure(std::uint32_t windows, std::uint32_t context, std::uint64_t samples, std::vector<std::uint32_t> batches) {
        jobs::SweepSpec spec;
        spec.eval_samples = windows;
        spec.context = context;
        spec.timing_samples = samples;
        spec.batches = std::move(batches);
        m_studio->sweep().setDefaults(spec);
    }
    void verifyByCli(const QString& artifact) {
        int code = -1;
        const Json report = runCli({QStringLiteral("artifact"), QStringLiteral("verify"), artifact, QStringLiteral("--json")}, &code);
        QCOMPARE(code, 0);
        QVERIFY(report.is_object());
        QVERIFY(report.value("intact", false));
        QVERIFY(report.value("verified", false));
        QVERIFY(report.value("trusted", false));
        QCOMPARE(QString::fromStdString(report.value("signature", "")), QStringLiteral("valid"));
    }
    void sameFiles(const QString& a, const QString& b) {
        const auto files = QDir(a).entryInfoList(QDir::Files, QDir::Name);
        QVERIFY(!files.isEmpty());
        for (const QFileInfo& f : files) {
            QFile x(f.filePath()), y(b + u'/' + f.fileName());
            QVERIFY2(x.open(QIODevice::ReadOnly) && y.open(QIODevice::ReadOnly), qPrintable(f.fileName()));
            QVERIFY2(x.readAll() == y.readAll(), qPrintable(f.fileName()));
        }
    }

   private slots:
    void initTestCase() {
        QApplication::setStyle(new ui::StudioStyle);
        QLocale::setDefault(QLocale(QLocale::English, QLocale::UnitedStates));
        if (!QFileInfo::exists(sample("base/model.safetensors"))) QSKIP("the sample models are not in resources/sample");
        QVERIFY2(QFileInfo::exists(QStringLiteral(TENPAK_BIN_DIR "/tenpak")), "build tenpak first: the sweep runs in its workers");
    }
    void init() {
        m_dir = std::make_unique<QTemporaryDir>();
        qputenv("XDG_CONFIG_HOME", at(QStringLiteral("config")).toLocal8Bit());
        qputenv("XDG_CACHE_HOME", at(QStringLiteral("cache")).toLocal8Bit());
        qputenv("TENPAK_DATA_DIR", at(QStringLiteral("data")).toLocal8Bit());
        QDir().mkpath(at(QStringLiteral("out")));
        m_store = std::make_unique<QSettings>(at(QStringLiteral("studio.ini")), QSettings::IniFormat);
        m_dialogs = std::make_unique<ScriptedDialogService>();
        studio::StudioOptions options;
        options.store = m_store.get();
        options.dialogs = m_dialogs.get();
        options.programFolder = QStringLiteral(TENPAK_BIN_DIR);
        m_studio = std::make_unique<studio::Studio>(options);
        m_studio->settings().setOutputFolder(at(QStringLiteral("out")));
        measureLittle();
        window().resize(1440, 900);
        window().show();
        QVERIFY(QTest::qWaitForWindowActive(&window()));
    }
    void cleanup() {
        m_studio.reset();  // joins whatever still runs
        m_dialogs.reset();
        m_store.reset();
    }

    void aDroppedPdfIsRefusedWithTheReason() {
        QFile pdf(at(QStringLiteral("notes.pdf")));
        QVERIFY(pdf.open(QIODevice::WriteOnly));
        pdf.write("%PDF-1.4");
        pdf.close();
        auto* zone = find<QWidget>("dropBase");
        QVERIFY(zone != nullptr);
        dropOn(&window(), zone->mapTo(&window(), zone->rect().center()), {pdf.fileName()});
        QTRY_COMPARE(bannerTitle(), QStringLiteral("notes.pdf is not a model"));
        QCOMPARE(find<QLabel>("bannerBody")->text(), QStringLiteral("Drop a folder with config.json, a .safetensors file or a .tnpk."));
        QCOMPARE(window().page(), Page::kStart);
        QVERIFY(m_studio->project().data().base.isEmpty());
        click("bannerClose");
        QTRY_VERIFY(bannerTitle().isEmpty());
    }

    void byMouse() {
        // The models lie elsewhere than the bundled ones, with their texts beside them.
        for (const char* name : {"base", "finetune", "text"}) copyFolder(sample(name), at(QStringLiteral("models/")) + QLatin1String(name));
        const QString base = at(QStringLiteral("models/base")), fineTune = at(QStringLiteral("models/finetune"));
        auto* zone = find<QWidget>("dropFineTune");
        dropOn(&window(), zone->mapTo(&window(), zone->rect().center()), {fineTune, base});
        QTRY_COMPARE(window().page(), Page::kDelta);
        QCOMPARE(m_studio->project().data().base, base);  // told apart by the card, not by order
        QTRY_COMPARE_WITH_TIMEOUT(m_studio->estimate().phase(), EstimateController::Phase::kDone, kLong);
        QVERIFY(find<QLabel>("storedSize")->text().contains(QStringLiteral("MB")));
        const double low = m_studio->estimate().snapshot()->low, high = m_studio->estimate().snapshot()->high;

        // Compress, signed by a key made there and then.
        click("deltaPrimary");
        QTRY_VERIFY(dialog() != nullptr);
        const QString delta = at(QStringLiteral("out/delta.tnpk"));
        find<QLineEdit>("compressPath")->setText(delta);
        click("compressMakeKey");
        click("compressMakeKeyNow");
        QVERIFY(find<QPushButton>("compressAccept")->isEnabled());
        click("compressAccept");
        QTRY_VERIFY_WITH_TIMEOUT(m_studio->compress().phase() == CompressController::Phase::kMeasured || m_studio->compress().error(), kLong);
        QVERIFY2(!m_studio->compress().error(), m_studio->compress().error() ? m_studio->compress().error()->text().c_str() : "");
        // The estimate is of the delta; a signature is as large as the manifest that it wraps, whatever the model.
        auto stored = static_cast<double>(QFileInfo(delta).size());
        const auto artifact = Artifact::open(delta.toStdString());
        QVERIFY(artifact.ok());
        for (const char* name : {"signature.sig", "model.sig"})
            if (const auto signature = (*artifact)->read_signature(name); signature.ok()) stored -= static_cast<double>(signature->size());
        QVERIFY2(stored >= low && stored <= high, qPrintable(QStringLiteral("%1 not in [%2, %3]").arg(stored).arg(low).arg(high)));
        QCOMPARE(m_studio->compress().filesCompared(), 6);
        click("deltaPrimary");  // now: show artifact
        QTRY_COMPARE(window().page(), Page::kArtifacts);
        QTRY_VERIFY(m_studio->artifacts().current() && m_studio->artifacts().current()->rebuild == ArtifactDetails::Rebuild::kSame);
        window().setPage(Page::kDelta);

        // Rebuild.
        m_dialogs->nextPaths.push_back(at(QStringLiteral("out/rebuilt")));
        click("deltaRebuild");
        QTRY_COMPARE_WITH_TIMEOUT(bannerTitle(), QStringLiteral("Rebuilt to rebuilt"), kLong);
        sameFiles(fineTune, at(QStringLiteral("out/rebuilt")));

        // Sweep: three candidates in real worker processes.
        window().setPage(Page::kSweep);
        for (QCheckBox* box : window().sweepPage()->findChildren<QCheckBox*>()) {
            const QString name = box->objectName();
            const bool wanted = name == QStringLiteral("candidate.fp16") || name == QStringLiteral("candidate.int8_g128") || name == QStringLiteral("candidate.rtn_g128");
            if (name.startsWith(QStringLiteral("candidate.")) && box->isChecked() != wanted) QTest::mouseClick(box, Qt::LeftButton, {}, QPoint(10, box->height() / 2));
        }
        for (const char* field : {"limitPerplexity", "limitLatency"}) find<QDoubleSpinBox>(field)->setValue(1000);
        click("sweepStart");
        QTRY_VERIFY(m_studio->sweep().running());
        QTRY_VERIFY_WITH_TIMEOUT(!m_studio->sweep().running(), kLong);
        QTRY_COMPARE(m_studio->sweep().done(), 3);
        for (const char* c : {"fp16", "int8_g128", "rtn_g128"}) {
            const optimizer::Trial* t = m_studio->sweep().trial(QLatin1String(c));
            QVERIFY2(t != nullptr && t->status == optimizer::TrialStatus::kDone, t != nullptr ? t->error.c_str() : c);
            QCOMPARE(t->provenance, optimizer::Provenance::kMeasured);
        }
        const QString winner = m_studio->sweep().winner();
        QVERIFY(!winner.isEmpty());

        // Selecting in the chart selects the row, and back.
        ui::SweepPage* page = window().sweepPage();
        auto* table = page->findChild<QTableView*>(QStringLiteral("candidateTable"));
        QTRY_VERIFY(!page->plot()->positionOf(QStringLiteral("rtn_g128")).isNull());
        const QPoint point = page->plot()->positionOf(QStringLiteral("rtn_g128")).toPoint();
        QWidget* under = page->plot()->childAt(point);
        QVERIFY(under != nullptr);
        QTest::mouseClick(under, Qt::LeftButton, {}, under->mapFrom(page->plot(), point));
        QTRY_COMPARE(page->current(), QStringLiteral("rtn_g128"));
        QCOMPARE(table->currentIndex().data(kIdRole).toString(), QStringLiteral("rtn_g128"));
        const QModelIndexList fp16 = table->model()->match(table->model()->index(0, CandidateColumn::kCandidate), kIdRole, QStringLiteral("fp16"));
        QCOMPARE(fp16.size(), 1);
        QTest::mouseClick(table->viewport(), Qt::LeftButton, {}, table->visualRect(fp16.first()).center());
        QTRY_COMPARE(page->current(), QStringLiteral("fp16"));

        // A limit judges anew and measures nothing.
        const auto before = m_studio->sweep().state().trials;
        find<QDoubleSpinBox>("limitLatency")->setValue(0.0001);
        QTRY_VERIFY(m_studio->sweep().winner().isEmpty());
        QVERIFY(!m_studio->sweep().running());
        QCOMPARE(m_studio->sweep().state().trials.get(), before.get());
        find<QDoubleSpinBox>("limitLatency")->setValue(1000);
        QTRY_COMPARE(m_studio->sweep().winner(), winner);

        // Export the winner, signed.
        QTRY_VERIFY(find<QPushButton>("banner.sweep.export") != nullptr);
        click("banner.sweep.export");
        QTRY_VERIFY(dialog() != nullptr);
        const QString exported = at(QStringLiteral("out/winner.tnpk"));
        find<QLineEdit>("compressPath")->setText(exported);
        click("compressAccept");
        QTRY_COMPARE_WITH_TIMEOUT(bannerTitle(), QStringLiteral("Exported %1").arg(winner), kLong);
        click("banner.show-artifact");
        QTRY_COMPARE(window().page(), Page::kArtifacts);
        QCOMPARE(m_studio->artifacts().currentPath(), exported);

        // Verify in place, then by the command line.
        QTRY_VERIFY(m_studio->artifacts().current() && !m_studio->artifacts().current()->files.empty());
        m_studio->actions().action("artifact.verify")->trigger();
        QTRY_COMPARE_WITH_TIMEOUT(trustOf(*m_studio->artifacts().current()), Trust::kSigned, kLong);
        QCOMPARE(QString::fromStdString(m_studio->artifacts().current()->report.signer), QStringLiteral("You"));
        QCOMPARE(m_studio->artifacts().current()->madeLossless, winner == QStringLiteral("fp16"));
        verifyByCli(exported);
        verifyByCli(delta);
    }

    void byKeyboardAlone() {
        key(Qt::Key_Return, Qt::ControlModifier);  // the start page's primary action: the sample
        QTRY_COMPARE(window().page(), Page::kDelta);
        QTRY_COMPARE_WITH_TIMEOUT(m_studio->estimate().phase(), EstimateController::Phase::kDone, kLong);

        // Compress: the dialog by Tab and Space, Return accepts.
        key(Qt::Key_Return, Qt::ControlModifier);
        QTRY_VERIFY(dialog() != nullptr);
        QTRY_VERIFY(QApplication::focusWidget() != nullptr && QApplication::focusWidget()->window() == dialog());
        tabTo("compressPath");
        key(Qt::Key_A, Qt::ControlModifier);
        const QString delta = at(QStringLiteral("out/typed.tnpk"));
        QTest::keyClicks(QApplication::focusWidget(), delta);
        tabTo("compressMakeKey");
        key(Qt::Key_Space);
        tabTo("compressMakeKeyNow");
        key(Qt::Key_Space);
        tabTo("compressAccept");
        key(Qt::Key_Return);
        backToTheWindow();
        QTRY_VERIFY_WITH_TIMEOUT(m_studio->compress().phase() == CompressController::Phase::kMeasured || m_studio->compress().error(), kLong);
        QVERIFY2(!m_studio->compress().error(), m_studio->compress().error() ? m_studio->compress().error()->text().c_str() : "");
        QCOMPARE(m_studio->compress().artifactPath(), delta);

        // Rebuild from the page's button.
        m_dialogs->nextPaths.push_back(at(QStringLiteral("out/again")));
        tabTo("deltaRebuild");
        key(Qt::Key_Space);
        QTRY_COMPARE_WITH_TIMEOUT(bannerTitle(), QStringLiteral("Rebuilt to again"), kLong);
        sameFiles(sample("finetune"), at(QStringLiteral("out/again")));

        // Sweep. Two candidates: the rest are unchecked with Space.
        key(Qt::Key_3, Qt::ControlModifier);
        QTRY_COMPARE(window().page(), Page::kSweep);
        for (QCheckBox* box : window().sweepPage()->findChildren<QCheckBox*>()) {
            const QString name = box->objectName();
            const bool wanted = name == QStringLiteral("candidate.fp16") || name == QStringLiteral("candidate.int8_g128");
            if (!name.startsWith(QStringLiteral("candidate.")) || box->isChecked() == wanted) continue;
            tabTo(qPrintable(name));
            key(Qt::Key_Space);
            QCOMPARE(box->isChecked(), wanted);
        }
        tabTo("limitPerplexity");
        key(Qt::Key_A, Qt::ControlModifier);
        QTest::keyClicks(QApplication::focusWidget(), QStringLiteral("1000"));
        key(Qt::Key_Return);
        tabTo("sweepStart");
        key(Qt::Key_Space);
        QTRY_VERIFY(m_studio->sweep().running());
        QTRY_VERIFY_WITH_TIMEOUT(!m_studio->sweep().running(), kLong);
        QTRY_COMPARE(m_studio->sweep().done(), 2);
        QTRY_VERIFY(!m_studio->sweep().winner().isEmpty());

        // Table and chart by arrows.
        ui::SweepPage* page = window().sweepPage();
        key(Qt::Key_F, Qt::ControlModifier);
        auto* table = page->findChild<QTableView*>(QStringLiteral("candidateTable"));
        QTRY_VERIFY(table->hasFocus());
        key(Qt::Key_Home, Qt::ControlModifier);
        key(Qt::Key_Down);
        const QString chosen = table->currentIndex().data(kIdRole).toString();
        QVERIFY(!chosen.isEmpty());
        QCOMPARE(page->current(), chosen);
        page->plot()->setFocus(Qt::TabFocusReason);
        key(Qt::Key_End);
        const QString fastest = page->current();
        key(Qt::Key_Home);
        QVERIFY(!page->current().isEmpty());
        QCOMPARE(table->currentIndex().data(kIdRole).toString(), page->current());
        QVERIFY(page->current() != fastest || fastest == QStringLiteral("fp16"));

        // Export the winner: Ctrl+Return, Return.
        const QString winner = m_studio->sweep().winner();
        key(Qt::Key_Return, Qt::ControlModifier);
        QTRY_VERIFY(dialog() != nullptr);
        QTRY_VERIFY(QApplication::focusWidget() != nullptr && QApplication::focusWidget()->window() == dialog());
        const QString exported = find<QLineEdit>("compressPath")->text();
        QVERIFY(exported.endsWith(winner + QStringLiteral(".tnpk")));
        key(Qt::Key_Return);
        backToTheWindow();
        QTRY_COMPARE_WITH_TIMEOUT(bannerTitle(), QStringLiteral("Exported %1").arg(winner), kLong);

        key(Qt::Key_4, Qt::ControlModifier);
        QTRY_COMPARE(window().page(), Page::kArtifacts);
        QTRY_VERIFY(m_studio->artifacts().current() && !m_studio->artifacts().current()->files.empty());
        key(Qt::Key_F5);
        QTRY_COMPARE_WITH_TIMEOUT(trustOf(*m_studio->artifacts().current()), Trust::kSigned, kLong);
        verifyByCli(exported);
        verifyByCli(delta);

        // Quit: nothing runs, so nothing is asked. What was done is in the recent projects.
        key(Qt::Key_Q, Qt::ControlModifier);
        QTRY_VERIFY(!window().isVisible());
        QVERIFY(m_dialogs->questionLog.isEmpty());
        QCOMPARE(m_studio->settings().recentProjects().size(), 1);
    }

    void closingWithARunningSweepAsksAndKeepsWhatIsDone() {
        QVERIFY(m_studio->openSample());
        QTRY_VERIFY(m_studio->estimate().phase() != EstimateController::Phase::kNone);
        measure(64, 256, 5000, {1, 2, 4, 8});
        window().setPage(Page::kSweep);
        m_studio->sweep().start({QStringLiteral("fp16"), QStringLiteral("int8_g128")});
        QTRY_VERIFY(m_studio->sweep().job() && m_studio->sweep().job()->state() == Job::State::kRunning);
        m_dialogs->nextAnswers = {1, 0};
        window().close();
        QTRY_COMPARE(m_dialogs->questionLog.size(), 1);
        QCOMPARE(m_dialogs->questionLog[0].title, QStringLiteral("A sweep is running"));
        QVERIFY(m_dialogs->questionLog[0].body.contains(QStringLiteral("are kept")));
        QCoreApplication::processEvents();
        QVERIFY(window().isVisible());
        QVERIFY(m_studio->sweep().running());  // "Do not quit"
        window().close();
        QTRY_VERIFY_WITH_TIMEOUT(!window().isVisible(), 10000);
        QVERIFY(!m_studio->jobs().anyActive());
    }
};

QTEST_MAIN(JourneyTest)
#include "journey_test.moc"
