// SPDX-License-Identifier: GPL-3.0-or-later
#include <QAccessible>
#include <QDir>
#include <QDoubleSpinBox>
#include <QDropEvent>
#include <QMimeData>
#include <QPushButton>
#include <QRegularExpression>
#include <QSignalSpy>
#include <QTest>
#include <QWindow>

#include "app/action_registry.h"
#include "app/candidate_model.h"
#include "app/files_model.h"
#include "app/tensor_model.h"
#include "tests/ui/scenes/fixtures.h"
#include "ui/artifacts/answers.h"
#include "ui/artifacts/artifacts_page.h"
#include "ui/charts/pareto_plot.h"
#include "ui/delta/delta_page.h"
#include "ui/delta/layer_grid.h"
#include "ui/delta/layer_map.h"
#include "ui/dialogs/archive_dialog.h"
#include "ui/dialogs/compress_dialog.h"
#include "ui/dialogs/find_base_dialog.h"
#include "ui/shell/main_window.h"
#include "ui/start/start_page.h"
#include "ui/sweep/sweep_banner.h"
#include "ui/sweep/sweep_page.h"
#include "ui/theme/studio_style.h"
#include "ui/theme/theme.h"
#include "ui/widgets/pill.h"
#include "ui/widgets/segmented.h"
#include "ui/widgets/table.h"

using namespace tenpak;
using namespace tenpak::ui;
using SweepPhase = app::SweepViewState::Phase;
using DeltaPhase = app::DeltaViewState::Phase;

namespace {

/// WCAG contrast of two opaque colours.
double contrast(const QColor& a, const QColor& b) {
    const auto luminance = [](const QColor& c) {
        const auto linear = [](double v) { return v <= 0.03928 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); };
        return 0.2126 * linear(c.redF()) + 0.7152 * linear(c.greenF()) + 0.0722 * linear(c.blueF());
    };
    const double x = luminance(a), y = luminance(b);
    return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

}  // namespace

class PagesTest : public QObject {
    Q_OBJECT

   private slots:
    void initTestCase() {
        QLocale::setDefault(QLocale::c());
        QApplication::setStyle(new StudioStyle);
        Theme::instance().setDark(false);
    }

    void tokensHaveTheContrastPromised() {
        for (const Tokens* t : {&lightTokens(), &darkTokens()}) {
            for (const QColor& ground : {t->window, t->surface, t->sunken}) {
                QVERIFY(contrast(t->text, ground) >= 10);
                QVERIFY(contrast(t->text2, ground) >= 5.3);
            }
            QVERIFY(contrast(t->onAccent, t->accent) >= 4.5);
            QVERIFY(contrast(t->text, t->accentTint) >= 7);
            QVERIFY(contrast(t->borderStrong, t->surface) >= 3.2);
            QVERIFY(contrast(t->ok, t->okTint) >= 5);
            QVERIFY(contrast(t->warn, t->warnTint) >= 5);
            QVERIFY(contrast(t->err, t->errTint) >= 5);
            QVERIFY(contrast(t->accent, t->surface) >= 4.5);
            for (std::size_t i = 0; i < t->cost.size(); ++i) {
                QVERIFY(contrast(t->cost[i], t->surface) >= 3);
                if (i > 0) QVERIFY(contrast(t->cost[i], Qt::black) < contrast(t->cost[i - 1], Qt::black));  // darker step by step
            }
            // Method colours differ from each other.
            const std::array<QColor, 7> methods = {t->identical, t->difference, t->sparse, t->lowRank, t->standalone, t->raw, t->lossy};
            for (std::size_t i = 0; i < methods.size(); ++i)
                for (std::size_t j = i + 1; j < methods.size(); ++j) QVERIFY(methods[i] != methods[j]);
        }
    }

    void everyIconThatIsNamedExists() {
        const QRegularExpression use(QStringLiteral("(?:drawIcon\\([^;]*?|makeButton\\([^;]*?|makeIconButton\\([^;]*?|IconLabel\\(|Icon\\([^;]*?|icon = |Tone::k\\w+, )QStringLiteral\\(\"([a-z]+)\"\\)"));
        int found = 0;
        for (const char* folder : {"artifacts", "charts", "delta", "dialogs", "shell", "start", "sweep", "widgets"}) {
            const QDir dir(QStringLiteral(TENPAK_SOURCE_DIR "/ui/") + QLatin1String(folder));
            for (const QString& name : dir.entryList({QStringLiteral("*.cpp")})) {
                QFile f(dir.filePath(name));
                QVERIFY(f.open(QIODevice::ReadOnly));
                const QString text = QString::fromUtf8(f.readAll());
                for (auto it = use.globalMatch(text); it.hasNext();) {
                    const QString icon = it.next().captured(1);
                    QVERIFY2(Theme::hasIcon(icon), qPrintable(name + QStringLiteral(": ") + icon));
                    ++found;
                }
            }
        }
        QVERIFY(found > 40);
    }

    void robotoIsEmbedded() { QCOMPARE(QFontInfo(typeFont(Type::kBody)).family(), QStringLiteral("Roboto")); }

    void gridCountsEveryLayerAndProjection() {
        const auto whole = fixtures::estimate(22, 1, true);
        const LayerGrid g = makeLayerGrid(*whole);
        QCOMPARE(g.layers, 22);
        QCOMPARE(g.rows.size(), 8);  // seven projections and the norms
        QVERIFY(g.hasLeft && g.hasRight && !g.partial);
        QCOMPARE(g.cells.size(), std::size_t(22 * 8 + 2));
        double raw = 0;
        for (const GridColumn& c : g.columns) raw += c.raw;
        QVERIFY(raw + g.left.raw + g.right.raw < static_cast<double>(whole->raw_bytes) + 1);
        QVERIFY(raw + g.left.raw + g.right.raw > static_cast<double>(whole->raw_bytes) * .999);
        const LayerGrid early = makeLayerGrid(*fixtures::estimate(22, .05, false));
        QVERIFY(early.partial);
        QCOMPARE(makeLayerGrid(*fixtures::estimateWithoutLayers()).layers, 0);
    }

    void mapArrowsReachEveryCell() {
        LayerMap map;
        map.resize(900, 320);
        map.setEstimate(fixtures::estimate(6, 1, true));
        map.show();
        const auto snapshot = fixtures::estimate(6, 1, true);
        const LayerGrid grid = makeLayerGrid(*snapshot);
        const auto go = [&](int cell) { map.setCurrentTensor(QString::fromStdString(snapshot->tensors[grid.cells[static_cast<std::size_t>(cell)].tensors.front()].name)); };
        QSet<int> seen{0};
        QList<int> open{0};
        while (!open.isEmpty()) {
            const int from = open.takeLast();
            for (Qt::Key key : {Qt::Key_Left, Qt::Key_Right, Qt::Key_Up, Qt::Key_Down}) {
                go(from);
                QCOMPARE(map.current(), from);
                QTest::keyClick(&map, key);
                if (seen.contains(map.current())) continue;
                seen.insert(map.current());
                open.append(map.current());
            }
        }
        QCOMPARE(seen.size(), map.cellCount());
        QSignalSpy layer(&map, &LayerMap::layerActivated);
        QTest::keyClick(&map, Qt::Key_Return);
        QCOMPARE(layer.size(), 1);
    }

    void headlineChangesFourTimesASecond() {
        app::TensorModel model;
        DeltaPage page;
        page.setTensorModel(&model);
        page.resize(1300, 800);
        page.show();
        auto* size = page.findChild<QLabel*>(QStringLiteral("storedSize"));
        QStringList texts;
        QElapsedTimer clock;
        clock.start();
        int frames = 0;
        while (clock.elapsed() < 1500) {
            app::DeltaViewState s = fixtures::delta(DeltaPhase::kEstimating);
            s.estimate = fixtures::estimate(4, .05 + .2 * clock.elapsed() / 1500.0, false);
            page.setState(s);
            QTest::qWait(40);
            ++frames;
            if (texts.isEmpty() || texts.last() != size->text()) texts.append(size->text());
        }
        QVERIFY(texts.size() >= 2);
        QVERIFY2(texts.size() <= 8, qPrintable(QString::number(texts.size())));  // 1.5 s: at most 6, and the first
    }

    void estimateKeepsRowsAndScrollPosition() {
        app::TensorModel model;
        DeltaPage page;
        page.setTensorModel(&model);
        page.resize(1300, 900);
        const auto show = [&](double progress) {
            app::DeltaViewState s = fixtures::delta(DeltaPhase::kEstimating);
            s.estimate = fixtures::estimate(22, progress, false);
            model.setEstimate(s.estimate);
            page.setState(s);
        };
        show(.1);
        page.show();
        auto* table = page.findChild<Table*>(QStringLiteral("tensorTable"));
        table->selectRow(7);
        table->verticalScrollBar()->setValue(120);
        const QString name = table->model()->index(7, 0).data().toString();
        QList<int> widths;
        for (int c = 0; c < table->model()->columnCount(); ++c) widths.append(table->columnWidth(c));
        for (double p : {.2, .4, .8}) show(p);
        QCOMPARE(table->model()->index(7, 0).data().toString(), name);
        QCOMPARE(table->currentIndex().row(), 7);
        QCOMPARE(table->verticalScrollBar()->value(), 120);
        for (int c = 0; c < widths.size(); ++c) QCOMPARE(table->columnWidth(c), widths.at(c));
    }

    void selectionLinksChartTableAndInspector() {
        const app::SweepViewState s = fixtures::sweep(SweepPhase::kFinished, 10);
        app::CandidateModel model;
        model.setResults(s.trials, s.judgement, s.limits, false, true);
        SweepPage page;
        page.setCandidateModel(&model);
        page.setState(s);
        page.resize(1340, 800);
        page.show();
        auto* table = page.findChild<Table*>(QStringLiteral("candidateTable"));
        QSignalSpy current(&page, &SweepPage::currentChanged);
        page.plot()->setFocus();
        QTest::keyClick(page.plot(), Qt::Key_Home);
        QCOMPARE(page.current(), QStringLiteral("fp16"));
        QCOMPARE(table->currentIndex().siblingAtColumn(0).data(app::kIdRole).toString(), QStringLiteral("fp16"));
        table->selectRow(3);
        table->setCurrentIndex(table->model()->index(3, 1));
        QCOMPARE(page.current(), QStringLiteral("nf4"));
        QCOMPARE(page.findChild<QLabel*>(QStringLiteral("inspectorName"))->text(), QStringLiteral("nf4"));
        QCOMPARE(current.size(), 2);
        QTest::keyClick(table, Qt::Key_Space);
        page.setSelection(QStringLiteral("int8"), {QStringLiteral("nf4"), QStringLiteral("int8")});
        QVERIFY(page.findChild<QPushButton*>(QStringLiteral("inspectorEndCompare")) != nullptr);
    }

    void limitFieldsAndBannerSayLimits() {
        app::SweepViewState s = fixtures::sweep(SweepPhase::kFinished, 10);
        SweepPage page;
        page.setState(s);
        QSignalSpy spy(&page, &SweepPage::limitsChanged);
        auto* field = page.findChild<QDoubleSpinBox*>(QStringLiteral("limitLatency"));
        QCOMPARE(field->value(), 100.0);
        field->setValue(42);
        QCOMPARE(*spy.last().first().value<optimizer::Limits>().max_latency_p99_ms, 42.0);
        field->setValue(0);  // empty: no limit
        QVERIFY(!spy.last().first().value<optimizer::Limits>().max_latency_p99_ms);

        s.limits = {};
        s.limits.max_latency_p99_ms = 20;
        fixtures::judge(s);
        QVERIFY(!s.judgement->winner);
        const SweepBanner b = sweepBanner(s);
        QVERIFY(b.state.tone == app::Tone::kWarn);
        QVERIFY(!b.state.actions.isEmpty());
        app::SweepViewState relaxed = s;
        relaxed.limits = allowed(s, b.state.actions.first().id);
        fixtures::judge(relaxed);
        QVERIFY2(relaxed.judgement->winner, "the limit that the button offers lets a candidate pass");
    }

    void theFourPicturesDiffer() {
        using fixtures::ArtifactCase;
        QSet<QString> seen;
        for (ArtifactCase c : {ArtifactCase::kDamaged, ArtifactCase::kUnknownKey, ArtifactCase::kHmac, ArtifactCase::kLossy, ArtifactCase::kSigned, ArtifactCase::kUnsigned}) {
            QString all;
            for (const Answer& a : answersFor(fixtures::artifacts(c).details)) all += a.icon + QString::number(static_cast<int>(a.ink)) + a.answer + QLatin1Char('|');
            QVERIFY(!seen.contains(all));
            seen.insert(all);
        }
        // Nothing is called verified before it was.
        for (const Answer& a : answersFor(fixtures::artifacts(ArtifactCase::kNotChecked).details))
            QVERIFY(a.ink != Ink::kOk || a.question.contains(QStringLiteral("base")));
        // Nobody's name for a shared secret.
        const Answer hmac = signedAnswer(fixtures::artifacts(ArtifactCase::kHmac).details);
        QVERIFY(hmac.ink != Ink::kOk);
        // Unpack is off while damaged.
        ArtifactsPage page;
        page.setState(fixtures::artifacts(ArtifactCase::kDamaged));
        QVERIFY(!page.findChild<QPushButton*>(QStringLiteral("artifactUnpack"))->isEnabled());
    }

    void losslessAndLossyNeverTogether() {
        DeltaPage page;
        app::DeltaViewState s = fixtures::delta(DeltaPhase::kMeasured);
        s.lossy = true;
        s.maxAbsError = 1e-4;
        page.setState(s);
        const QString text = page.findChild<QWidget*>(QStringLiteral("sizeTruth"))->accessibleName();
        QVERIFY(text.startsWith(QStringLiteral("Lossy")));
        s.lossy = false;
        s.filesCompared = s.filesEqual = 0;
        page.setState(s);
        QVERIFY(!page.findChild<QWidget*>(QStringLiteral("sizeTruth"))->isVisibleTo(&page));  // not rebuilt: nothing is claimed
    }

    void dropOnTheWindowTellsTheHalf() {
        app::ActionRegistry actions;
        MainWindow window(actions);
        window.setPair(fixtures::pair());
        window.setPage(Page::kDelta);
        window.show();
        QVERIFY(QTest::qWaitForWindowExposed(&window));
        QSignalSpy spy(&window, &MainWindow::filesDropped);
        QMimeData mime;
        mime.setUrls({QUrl::fromLocalFile(QStringLiteral("/models/a"))});
        const auto drop = [&](const QPoint& at) {
            QDragEnterEvent enter(at, Qt::CopyAction, &mime, Qt::LeftButton, {});
            QCoreApplication::sendEvent(window.windowHandle(), &enter);
            QDragMoveEvent move(at, Qt::CopyAction, &mime, Qt::LeftButton, {});
            QCoreApplication::sendEvent(window.windowHandle(), &move);
            QDropEvent event(at, Qt::CopyAction, &mime, Qt::LeftButton, {});
            QCoreApplication::sendEvent(window.windowHandle(), &event);
        };
        drop({300, 500});
        QCOMPARE(spy.size(), 1);
        QCOMPARE(spy.last().at(1).value<app::PairSlot>(), app::PairSlot::kBase);
        drop({1200, 500});
        QCOMPARE(spy.last().at(1).value<app::PairSlot>(), app::PairSlot::kFineTune);
        mime.setUrls({QUrl::fromLocalFile(QStringLiteral("/models/a")), QUrl::fromLocalFile(QStringLiteral("/models/b"))});
        drop({1200, 500});
        QCOMPARE(spy.last().at(1).value<app::PairSlot>(), app::PairSlot::kEither);
    }

    void f6VisitsEveryRegion() {
        app::ActionRegistry actions;
        MainWindow window(actions);
        window.setPair(fixtures::pair());
        window.setPage(Page::kSweep);
        window.sweepPage()->setState(fixtures::sweep(SweepPhase::kFinished, 10));
        window.show();
        QVERIFY(QTest::qWaitForWindowActive(&window));
        QSet<QWidget*> visited;
        for (int i = 0; i < 5; ++i) {
            window.focusNextRegion();
            QVERIFY(QApplication::focusWidget() != nullptr);
            visited.insert(QApplication::focusWidget());
        }
        QVERIFY(visited.size() >= 4);
    }

    void dialogGivesWhatItShows() {
        CompressDialog dialog(fixtures::compressDialog(false));
        app::CompressRequest r = dialog.request();
        QCOMPARE(r.path, QStringLiteral("/home/you/models/chat.tnpk"));
        QVERIFY(r.readBack && r.rebuildAndCompare && !r.folder);
        QVERIFY(r.signing.kind == app::SigningChoice::Kind::kKeyFile);
        dialog.setPath(QStringLiteral("/x/it's here.tnpk"));
        QSignalSpy copy(&dialog, &CompressDialog::copyRequested);
        dialog.findChild<QPushButton*>(QStringLiteral("compressCopy"))->click();
        QVERIFY(copy.last().first().toString().contains(QStringLiteral("-o '/x/it'\\''s here.tnpk'")));
        QSignalSpy make(&dialog, &CompressDialog::makeKeyRequested);
        dialog.findChild<QPushButton*>(QStringLiteral("compressMakeKey"))->click();
        dialog.findChild<QPushButton*>(QStringLiteral("compressMakeKeyNow"))->click();
        QCOMPARE(make.size(), 1);
        dialog.addKey({app::SigningChoice::Kind::kKeyFile, QStringLiteral("/new.key"), QStringLiteral("new"), {}});
        QCOMPARE(dialog.request().signing.file, QStringLiteral("/new.key"));
    }

    void aLossyModeSaysSoBeforeAndAfter() {
        CompressDialog dialog(fixtures::compressDialog(false));
        dialog.show();
        auto* mode = dialog.findChild<Segmented*>(QStringLiteral("compressMode"));
        auto* lossy = dialog.findChild<QWidget*>(QStringLiteral("compressLossy"));
        auto* rank = dialog.findChild<QSpinBox*>(QStringLiteral("compressRank"));
        auto* text = dialog.findChild<QComboBox*>(QStringLiteral("compressText"));
        const auto command = [&] {
            QSignalSpy copy(&dialog, &CompressDialog::copyRequested);
            dialog.findChild<QPushButton*>(QStringLiteral("compressCopy"))->click();
            return copy.last().first().toString();
        };
        QVERIFY(mode && lossy && rank && text);
        QVERIFY(!lossy->isVisible() && !rank->isVisible() && !text->isVisible());
        QVERIFY(!command().contains(QStringLiteral("--mode")));
        mode->setCurrent(4);
        QVERIFY(lossy->isVisible() && rank->isVisible() && text->isVisible());
        rank->setValue(32);
        text->setCurrentIndex(1);
        QVERIFY2(command().contains(QStringLiteral("--mode lowrank --rank 32 --text ")), qPrintable(command()));
        app::CompressRequest r = dialog.request();
        QVERIFY(r.mode == app::DeltaMode::kLowRank);
        QCOMPARE(r.rank, 32);
        QVERIFY(!r.perplexityText.isEmpty());
        mode->setCurrent(0);  // what belongs to lossy modes does not stay behind
        QVERIFY(!lossy->isVisible());
        QVERIFY(dialog.request().perplexityText.isEmpty());
        CompressDialog export_(fixtures::compressDialog(true));
        export_.show();
        QVERIFY(!export_.findChild<Segmented*>(QStringLiteral("compressMode"))->isVisible());
        QVERIFY(export_.request().mode == app::DeltaMode::kLossless);

        app::TensorModel model;
        DeltaPage page;
        page.setTensorModel(&model);
        page.resize(1300, 800);
        page.show();
        page.setState(fixtures::lossy());
        auto* pill = page.findChild<Pill*>(QStringLiteral("sizeTruth"));
        auto* loss = page.findChild<QLabel*>(QStringLiteral("lossText"));
        auto* table = page.findChild<Table*>(QStringLiteral("tensorTable"));
        QVERIFY2(pill->text().startsWith(QStringLiteral("Lossy: largest weight error 3.1e")), qPrintable(pill->text()));
        QVERIFY2(loss->isVisible() && loss->text().contains(QStringLiteral("of the change")) && loss->text().contains(QStringLiteral("perplexity")), qPrintable(loss->text()));
        QVERIFY(!table->isColumnHidden(app::TensorColumn::kError));
        QVERIFY(!page.findChild<QPushButton*>(QStringLiteral("deltaAdapter"))->isVisible());
        page.setState(fixtures::delta(DeltaPhase::kMeasured));
        QVERIFY(pill->text().startsWith(QStringLiteral("Lossless")) && !loss->isVisible() && table->isColumnHidden(app::TensorColumn::kError));
    }

    void mergedAdaptersAreVisible() {
        app::TensorModel model;
        DeltaPage page;
        page.setTensorModel(&model);
        page.resize(1300, 900);
        page.show();
        page.setState(fixtures::mergedAdapter(DeltaPhase::kCompressing));
        auto* pill = page.findChild<Pill*>(QStringLiteral("sizeState"));
        QVERIFY2(pill->text().startsWith(QStringLiteral("Looking for a merged adapter")), qPrintable(pill->text()));
        const app::DeltaViewState done = fixtures::mergedAdapter(DeltaPhase::kMeasured);
        page.setState(done);
        auto* button = page.findChild<QPushButton*>(QStringLiteral("deltaAdapter"));
        QVERIFY(button->isVisible());
        QSignalSpy asked(&page, &DeltaPage::exportAdapterRequested);
        button->click();
        QCOMPARE(asked.size(), 1);
        auto* map = page.findChild<LayerMap*>();
        map->setCurrentTensor(QStringLiteral("model.layers.9.mlp.gate_proj.weight"));
        QVERIFY2(map->readout(map->current()).contains(QStringLiteral("Low rank, rank 16")), qPrintable(map->readout(map->current())));
        // A merged adapter takes a fraction of a bit: on the scale of a full fine-tune its map would be blank.
        QCOMPARE(fullScaleBits(makeLayerGrid(*done.estimate)), 1.0);
        QCOMPARE(fullScaleBits(makeLayerGrid(*fixtures::estimate(22, 1, true))), 16.0);
        QCOMPARE(fullScaleBits(makeLayerGrid(*fixtures::estimate(22, -1, false))), 0.0);
    }

    void theBaseIsFoundByDialog() {
        FindBaseDialog dialog;
        dialog.setState(fixtures::findBase(false));
        dialog.show();
        auto* accept = dialog.findChild<QPushButton*>(QStringLiteral("findBaseAccept"));
        QVERIFY(!accept->isEnabled());
        dialog.setState(fixtures::findBase(true));
        QVERIFY(accept->isEnabled());  // the best one is chosen to begin with
        auto* table = dialog.findChild<Table*>(QStringLiteral("baseTable"));
        table->setCurrentIndex(table->model()->index(2, 0));
        QVERIFY(!accept->isEnabled());  // one that does not fit cannot be taken
        table->setCurrentIndex(table->model()->index(1, 0));
        QSignalSpy chosen(&dialog, &FindBaseDialog::baseChosen);
        accept->click();
        QCOMPARE(chosen.size(), 1);
        QCOMPARE(chosen.first().first().toString(), QStringLiteral("/home/you/models/TinyLlama-1.1B-step-715k"));
    }

    void archivingSaysWhatWillBeRemoved() {
        ArchiveDialog dialog;
        dialog.setState(fixtures::archive(app::ArchiveState::Phase::kPlanned));
        dialog.show();
        auto* accept = dialog.findChild<QPushButton*>(QStringLiteral("archiveAccept"));
        QVERIFY2(accept->text().contains(QStringLiteral("remove 2 original")), qPrintable(accept->text()));
        auto* table = dialog.findChild<Table*>(QStringLiteral("archiveTable"));
        QSignalSpy checked(&dialog, &ArchiveDialog::rowChecked);
        table->model()->setData(table->model()->index(2, 0), Qt::Checked, Qt::CheckStateRole);
        QCOMPARE(checked.size(), 1);
        QCOMPARE(checked.first().at(1).toBool(), true);
        app::ArchiveState s = fixtures::archive(app::ArchiveState::Phase::kPlanned);
        for (app::ArchiveRow& r : s.rows) r.checked = false;
        dialog.setState(s);
        QVERIFY(!accept->isEnabled());
        dialog.setState(fixtures::archive(app::ArchiveState::Phase::kRunning));
        QVERIFY(!accept->isEnabled());
        QSignalSpy stop(&dialog, &ArchiveDialog::stopRequested);
        dialog.findChild<QPushButton*>(QStringLiteral("archivePlan"))->click();
        QCOMPARE(stop.size(), 1);
    }
};

QTEST_MAIN(PagesTest)
#include "pages_test.moc"
