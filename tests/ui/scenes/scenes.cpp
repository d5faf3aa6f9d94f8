// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/ui/scenes/scenes.h"

#include <QDragEnterEvent>
#include <QMimeData>
#include <QPushButton>
#include <QScrollArea>
#include <QScrollBar>
#include <QUrl>
#include <QWindow>

#include "tests/ui/scenes/fixtures.h"
#include "ui/artifacts/artifacts_page.h"
#include "ui/charts/pareto_plot.h"
#include "ui/delta/delta_page.h"
#include "ui/delta/layer_map.h"
#include "ui/dialogs/archive_dialog.h"
#include "ui/dialogs/compress_dialog.h"
#include "ui/dialogs/find_base_dialog.h"
#include "ui/dialogs/help_dialog.h"
#include "ui/dialogs/settings_dialog.h"
#include "ui/shell/command_palette.h"
#include "ui/shell/hardware_chip.h"
#include "ui/start/start_page.h"
#include "ui/sweep/sweep_page.h"
#include "ui/widgets/segmented.h"

namespace tenpak::scenes {
namespace {

using DeltaPhase = app::DeltaViewState::Phase;
using SweepPhase = app::SweepViewState::Phase;
using fixtures::ArtifactCase;

using Make = std::function<QWidget*(Stage&, const QSize&)>;
using After = std::function<void(Stage&)>;

Make deltaScene(const app::DeltaViewState& state) {
    return [state](Stage& stage, const QSize& size) {
        QWidget* w = stage.open(size, ui::Page::kDelta, state.phase != DeltaPhase::kNoPair);
        stage.show(state);
        return w;
    };
}
Make sweepScene(const app::SweepViewState& state, const QString& current = {}, const QStringList& compared = {}) {
    return [=](Stage& stage, const QSize& size) {
        ui::MainWindow* w = stage.open(size, ui::Page::kSweep, state.phase != SweepPhase::kNoModel);
        stage.show(state);
        w->sweepPage()->setSelection(current, compared);
        return w;
    };
}
Make artifactScene(ArtifactCase which) {
    return [which](Stage& stage, const QSize& size) {
        QWidget* w = stage.open(size, ui::Page::kArtifacts);
        stage.show(fixtures::artifacts(which));
        return w;
    };
}

/// Something is dragged over the window.
void drag(Stage& stage, const QPoint& at) {
    static QMimeData mime;
    mime.setUrls({QUrl::fromLocalFile(QStringLiteral("/models/a"))});
    QDragEnterEvent enter(at, Qt::CopyAction, &mime, Qt::LeftButton, {});
    QCoreApplication::sendEvent(stage.window->windowHandle(), &enter);
    for (int i = 0; i < 2; ++i) {
        QDragMoveEvent move(at, Qt::CopyAction, &mime, Qt::LeftButton, {});
        QCoreApplication::sendEvent(stage.window->windowHandle(), &move);
    }
}

void addStart(std::vector<Scene>& list) {
    list.push_back({QStringLiteral("start"), [](Stage& s, const QSize& size) {
                        ui::MainWindow* w = s.open(size, ui::Page::kStart, false);
                        w->startPage()->setState(fixtures::start());
                        return w;
                    }, {}, {}});
    list.push_back({QStringLiteral("start-first-run"), [](Stage& s, const QSize& size) {
                        ui::MainWindow* w = s.open(size, ui::Page::kStart, false);
                        app::StartViewState state = fixtures::start();
                        state.recent.clear();
                        w->startPage()->setState(state);
                        return w;
                    }, {}, {}});
    list.push_back({QStringLiteral("start-crash"), [](Stage& s, const QSize& size) {
                        ui::MainWindow* w = s.open(size, ui::Page::kStart);
                        app::StartViewState state = fixtures::start();
                        state.banner = {app::Tone::kWarn, QStringLiteral("The sweep of chat-vs-base stopped at 4 of 10 when the program ended"), QStringLiteral("What was measured is kept."), {},
                                        {{QStringLiteral("goOn"), QStringLiteral("Go on"), QStringLiteral("play"), true}, {QStringLiteral("keep"), QStringLiteral("Keep as it is"), {}, false}}, false};
                        w->startPage()->setState(state);
                        return w;
                    }, {}, {}});
    list.push_back({QStringLiteral("start-refused"), [](Stage& s, const QSize& size) {
                        ui::MainWindow* w = s.open(size, ui::Page::kStart, false);
                        app::StartViewState state = fixtures::start();
                        state.banner = {app::Tone::kError, QStringLiteral("notes.pdf is not a model"), QStringLiteral("Drop a folder with config.json, a .safetensors file or a .tnpk."), QStringLiteral("x"), {}, true};
                        w->startPage()->setState(state);
                        return w;
                    }, {}, {}});
}

void addDelta(std::vector<Scene>& list) {
    const auto add = [&](const char* name, const app::DeltaViewState& state, const After& after = {}) { list.push_back({QLatin1String(name), deltaScene(state), after, {}}); };
    add("delta-no-pair", fixtures::delta(DeltaPhase::kNoPair));
    add("delta-opening", fixtures::delta(DeltaPhase::kOpening));
    add("delta-misfit", fixtures::delta(DeltaPhase::kMisfit));
    app::DeltaViewState early = fixtures::delta(DeltaPhase::kEstimating);
    early.estimate = fixtures::estimate(22, .05, false);
    early.funnel = fixtures::funnel(.02);
    add("delta-estimating-early", early);
    add("delta-estimating", fixtures::delta(DeltaPhase::kEstimating), [](Stage& s) { s.window->findChild<ui::LayerMap*>()->setCurrentTensor(QStringLiteral("model.layers.9.mlp.gate_proj.weight")); });
    app::DeltaViewState stale = fixtures::delta(DeltaPhase::kEstimating);
    stale.stale = true;
    add("delta-stale", stale);
    add("delta-estimated", fixtures::delta(DeltaPhase::kEstimated));
    add("delta-compressing", fixtures::delta(DeltaPhase::kCompressing), [](Stage& s) {
        s.window->setShell(fixtures::shell(false, false));
        s.window->setJobsVisible(true);
    });
    add("delta-measured", fixtures::delta(DeltaPhase::kMeasured));
    app::DeltaViewState notRebuilt = fixtures::delta(DeltaPhase::kMeasured);
    notRebuilt.filesCompared = notRebuilt.filesEqual = 0;
    add("delta-measured-not-rebuilt", notRebuilt);
    add("delta-lossy", fixtures::lossy());
    add("delta-lossy-table", fixtures::lossy(), [](Stage& s) {
        s.window->findChild<ui::Segmented*>(QStringLiteral("mapMetric"))->setCurrent(2);
        auto* bar = s.window->findChild<QScrollArea*>(QStringLiteral("deltaScroll"))->verticalScrollBar();
        bar->setValue(bar->maximum());
    });
    const auto showMethods = [](Stage& s) { s.window->findChild<ui::Segmented*>(QStringLiteral("mapMetric"))->setCurrent(2); };
    app::DeltaViewState added = fixtures::delta(DeltaPhase::kMeasured);
    added.misfits = {{"model.embed_tokens.weight", "32000 \u00D7 2048 bf16", "32003 \u00D7 2048 bf16", "3 rows were added"}, {"model.vision.patch.weight", "absent", "768 \u00D7 768 bf16", "is not in the base"}};
    add("delta-added-tensors", added);
    add("delta-lowrank-estimating", fixtures::mergedAdapter(DeltaPhase::kEstimating));
    add("delta-lowrank-recovering", fixtures::mergedAdapter(DeltaPhase::kCompressing), [](Stage& s) {
        app::ShellState shell = fixtures::shell(false, false);
        shell.jobs = {{QStringLiteral("j1"), QStringLiteral("compress"), QStringLiteral("Compress, TinyLlama-1.1B-Chat"), QStringLiteral("Looking for a merged adapter"), app::JobRow::State::kRunning, .37,
                       QStringLiteral("38 s left"), false, true, false, false, {}, {}, {}}};
        s.window->setShell(shell);
        s.window->setJobsVisible(true);
    });
    add("delta-lowrank-measured", fixtures::mergedAdapter(DeltaPhase::kMeasured), [](Stage& s) { s.window->findChild<ui::LayerMap*>()->setCurrentTensor(QStringLiteral("model.layers.9.mlp.gate_proj.weight")); });
    add("delta-lowrank-method", fixtures::mergedAdapter(DeltaPhase::kMeasured), showMethods);
    add("delta-stopped", fixtures::delta(DeltaPhase::kStopped));
    add("delta-failed", fixtures::delta(DeltaPhase::kFailed));
    add("delta-method", fixtures::delta(DeltaPhase::kMeasured), [](Stage& s) { s.window->findChild<ui::Segmented*>(QStringLiteral("mapMetric"))->setCurrent(2); });
    add("delta-changed", fixtures::delta(DeltaPhase::kEstimated), [](Stage& s) { s.window->findChild<ui::Segmented*>(QStringLiteral("mapMetric"))->setCurrent(1); });
    add("delta-6-layers", fixtures::delta(DeltaPhase::kMeasured, 6));
    add("delta-80-layers", fixtures::delta(DeltaPhase::kEstimated, 80));
    app::DeltaViewState flat = fixtures::delta(DeltaPhase::kEstimated);
    flat.estimate = fixtures::estimateWithoutLayers();
    list.push_back({QStringLiteral("delta-no-layers"), deltaScene(flat), {}, {}});
    add("delta-scrolled", fixtures::delta(DeltaPhase::kMeasured), [](Stage& s) {
        auto* bar = s.window->findChild<QScrollArea*>(QStringLiteral("deltaScroll"))->verticalScrollBar();
        bar->setValue(bar->maximum());
    });
}

void addSweep(std::vector<Scene>& list) {
    const auto add = [&](const char* name, const Make& make, const After& after = {}, layout_check::Options check = {}) { list.push_back({QLatin1String(name), make, after, check}); };
    add("sweep-no-model", sweepScene(fixtures::sweep(SweepPhase::kNoModel, 0)));
    app::SweepViewState empty = fixtures::sweep(SweepPhase::kEmpty, 0);
    auto none = std::make_shared<std::vector<optimizer::Trial>>(*empty.trials);
    for (auto& t : *none) t.status = optimizer::TrialStatus::kQueued;
    empty.trials = none;
    fixtures::judge(empty);
    add("sweep-empty", sweepScene(empty));
    add("sweep-first", sweepScene(fixtures::sweep(SweepPhase::kRunning, 0)));
    add("sweep-running", sweepScene(fixtures::sweep(SweepPhase::kRunning, 6), QStringLiteral("awq_g128")), [](Stage& s) {
        s.window->setShell(fixtures::shell(true, false));
        s.window->setJobsVisible(true);
    });
    add("sweep-paused", sweepScene(fixtures::sweep(SweepPhase::kPaused, 6)));
    add("sweep-winner", sweepScene(fixtures::sweep(SweepPhase::kFinished, 10), QStringLiteral("awq_g128")));
    add("sweep-hover", sweepScene(fixtures::sweep(SweepPhase::kFinished, 10, true), QStringLiteral("awq_g128")), [](Stage& s) { s.window->sweepPage()->plot()->showHover(QStringLiteral("gptq_g128")); }, {true, false});
    app::SweepViewState none2 = fixtures::sweep(SweepPhase::kFinished, 10);
    none2.limits.max_ppl_delta = 1;
    none2.limits.max_latency_p99_ms = 40;
    fixtures::judge(none2);
    add("sweep-none-passes", sweepScene(none2));
    add("sweep-partial-failure", sweepScene(fixtures::sweep(SweepPhase::kFinished, 10, true), QStringLiteral("fp8")));
    app::SweepViewState recorded = fixtures::sweep(SweepPhase::kFinished, 10);
    auto past = std::make_shared<std::vector<optimizer::Trial>>(*recorded.trials);
    for (auto& t : *past) t.provenance = optimizer::Provenance::kRecorded;
    recorded.trials = past;
    recorded.recorded = QStringLiteral("Recorded on CPU, 2 cores, AMX, 22 Nov 2026");
    recorded.note = QStringLiteral("The weights of this model fit the cache of the processor, so differences in speed are mostly overhead.");
    add("sweep-recorded", sweepScene(recorded, QStringLiteral("awq_g256")));
    app::SweepViewState projected = fixtures::sweep(SweepPhase::kFinished, 10);
    auto far = std::make_shared<std::vector<optimizer::Trial>>(*projected.trials);
    for (auto& t : *far) {
        t.provenance = optimizer::Provenance::kProjected;
        t.device = "NVIDIA H100";
    }
    projected.trials = far;
    fixtures::judge(projected);
    add("sweep-projected", sweepScene(projected, QStringLiteral("awq_g256")));
    add("sweep-compare-2", sweepScene(fixtures::sweep(SweepPhase::kFinished, 10), QStringLiteral("awq_g128"), {QStringLiteral("awq_g128"), QStringLiteral("int8")}), [](Stage& s) {
        if (s.window->width() < 1400) s.window->toggleInspector();
    });
    add("sweep-compare-4", sweepScene(fixtures::sweep(SweepPhase::kFinished, 10), QStringLiteral("awq_g128"), {QStringLiteral("awq_g128"), QStringLiteral("int8"), QStringLiteral("nf4"), QStringLiteral("mixed")}));
    app::SweepViewState many = fixtures::sweep(SweepPhase::kFinished, 10);
    many.trials = fixtures::manyTrials(2000);
    fixtures::judge(many);
    add("sweep-2000", sweepScene(many));
    add("sweep-inspector-drawer", sweepScene(fixtures::sweep(SweepPhase::kFinished, 10), QStringLiteral("nf4")), [](Stage& s) {
        if (s.window->width() < 1400) s.window->toggleInspector();
    });
}

void addArtifacts(std::vector<Scene>& list) {
    const auto add = [&](const char* name, ArtifactCase which) { list.push_back({QLatin1String(name), artifactScene(which), {}, {}}); };
    add("artifact-not-checked", ArtifactCase::kNotChecked);
    add("artifact-checking", ArtifactCase::kChecking);
    add("artifact-unknown-key", ArtifactCase::kUnknownKey);
    add("artifact-signed", ArtifactCase::kSigned);
    add("artifact-damaged", ArtifactCase::kDamaged);
    add("artifact-hmac", ArtifactCase::kHmac);
    add("artifact-unsigned", ArtifactCase::kUnsigned);
    add("artifact-lossy", ArtifactCase::kLossy);
    add("artifact-base-missing", ArtifactCase::kBaseMissing);
    add("artifact-wrong-base", ArtifactCase::kWrongBase);
    add("artifact-rebuilding", ArtifactCase::kRebuilding);
    list.push_back({QStringLiteral("artifact-none"), [](Stage& s, const QSize& size) {
                        QWidget* w = s.open(size, ui::Page::kArtifacts);
                        s.show(app::ArtifactViewState{});
                        return w;
                    }, {}, {}});
}

void addShell(std::vector<Scene>& list) {
    list.push_back({QStringLiteral("jobs-failed"), deltaScene(fixtures::delta(DeltaPhase::kEstimated)), [](Stage& s) {
                        s.window->setShell(fixtures::shell(true, true));
                        s.window->setJobsVisible(true);
                        s.window->findChild<QPushButton*>(QStringLiteral("job.j3.details"))->click();
                    }, {}});
    list.push_back({QStringLiteral("pair-no-base"), [](Stage& s, const QSize& size) {
                        ui::MainWindow* w = s.open(size, ui::Page::kDelta);
                        app::PairState pair = fixtures::pair();
                        pair.base = {};
                        w->setPair(pair);
                        s.show(app::DeltaViewState());
                        return w;
                    }, {}, {}});
    for (const bool found : {false, true})
        list.push_back({found ? QStringLiteral("dialog-find-base") : QStringLiteral("dialog-find-base-searching"), [found](Stage& s, const QSize&) {
                            auto* d = new ui::FindBaseDialog;
                            s.other.reset(d);
                            d->setState(fixtures::findBase(found));
                            return s.other.get();
                        }, {}, {}, true});
    for (const auto phase : {app::ArchiveState::Phase::kPlanned, app::ArchiveState::Phase::kRunning, app::ArchiveState::Phase::kDone})
        list.push_back({QStringLiteral("dialog-archive-%1").arg(static_cast<int>(phase)), [phase](Stage& s, const QSize&) {
                            auto* d = new ui::ArchiveDialog;
                            s.other.reset(d);
                            d->setState(fixtures::archive(phase));
                            return s.other.get();
                        }, {}, {}, true});
    list.push_back({QStringLiteral("pair-guessed"), [](Stage& s, const QSize& size) {
                        ui::MainWindow* w = s.open(size, ui::Page::kDelta);
                        app::PairState pair = fixtures::pair();
                        pair.base.guessed = pair.fineTune.guessed = true;
                        w->setPair(pair);
                        s.show(fixtures::delta(DeltaPhase::kEstimating));
                        return w;
                    }, {}, {}});
    list.push_back({QStringLiteral("pair-long-names"), [](Stage& s, const QSize& size) {
                        ui::MainWindow* w = s.open(size, ui::Page::kDelta);
                        app::PairState pair = fixtures::pair();
                        pair.base.name = QStringLiteral("a-very-long-organisation-name_a-very-long-model-name-7B-base-v0.3-revision-20261122");
                        pair.fineTune.name = QStringLiteral("a-very-long-organisation-name_a-very-long-model-name-7B-instruct-dpo-merged-v0.3");
                        w->setPair(pair);
                        s.show(fixtures::delta(DeltaPhase::kEstimated));
                        return w;
                    }, {}, {false, true}});
    list.push_back({QStringLiteral("drop-halves"), deltaScene(fixtures::delta(DeltaPhase::kEstimated)), [](Stage& s) { drag(s, {400, 500}); }, {true, false}});
    list.push_back({QStringLiteral("drop-on-slot"), deltaScene(fixtures::delta(DeltaPhase::kEstimated)), [](Stage& s) { drag(s, {s.window->width() - 500, 60}); }, {true, false}});
    list.push_back({QStringLiteral("dialog-settings"), [](Stage& s, const QSize&) {
                        s.store = std::make_unique<QSettings>(QStringLiteral("/nonexistent/tenpak-scenes.ini"), QSettings::IniFormat);
                        s.settings = std::make_unique<app::Settings>(*s.store);
                        s.other = std::make_unique<ui::SettingsDialog>(*s.settings, std::vector<signing::TrustedKey>{{"a1b2c3d4e5f60718293a4b5c6d7e8f90", "You", "", ""}});
                        return s.other.get();
                    }, {}, {}, true, false});
    for (const auto& [name, topic] : {std::pair{"dialog-help", ui::HelpTopic::kContents}, std::pair{"dialog-keys", ui::HelpTopic::kKeys}, std::pair{"dialog-about", ui::HelpTopic::kAbout}})
        list.push_back({QLatin1String(name), [topic = topic](Stage& s, const QSize&) {
                            s.other = std::make_unique<ui::HelpDialog>(topic, s.actions);
                            return s.other.get();
                        }, {}, {}, true, false});
    list.push_back({QStringLiteral("dialog-compress"), [](Stage& s, const QSize&) {
                        s.other = std::make_unique<ui::CompressDialog>(fixtures::compressDialog(false));
                        return s.other.get();
                    }, {}, {}, true});
    for (const auto& [name, mode] : {std::pair{"dialog-compress-int8", 1}, std::pair{"dialog-compress-lowrank", 4}})
        list.push_back({QLatin1String(name), [mode = mode](Stage& s, const QSize&) {
                            s.other = std::make_unique<ui::CompressDialog>(fixtures::compressDialog(false));
                            s.other->findChild<ui::Segmented*>(QStringLiteral("compressMode"))->setCurrent(mode);
                            return s.other.get();
                        }, [](Stage& s) { s.other->adjustSize(); }, {}, true});
    list.push_back({QStringLiteral("dialog-export"), [](Stage& s, const QSize&) {
                        s.other = std::make_unique<ui::CompressDialog>(fixtures::compressDialog(true));
                        return s.other.get();
                    }, [](Stage& s) {
                        s.other->findChild<QPushButton*>(QStringLiteral("compressMakeKey"))->click();
                        static_cast<ui::CompressDialog*>(s.other.get())->showError(QStringLiteral("This folder cannot be written"));
                        s.other->adjustSize();
                    }, {}, true});
    list.push_back({QStringLiteral("popover-hardware"), [](Stage& s, const QSize&) {
                        auto* p = new ui::HardwarePopover(fixtures::hardware());
                        p->setAttribute(Qt::WA_DeleteOnClose, false);
                        s.other.reset(p);
                        return s.other.get();
                    }, {}, {}, true});
    list.push_back({QStringLiteral("palette"), [](Stage& s, const QSize&) {
                        auto* p = new ui::CommandPalette(s.actions, nullptr);
                        p->setAttribute(Qt::WA_DeleteOnClose, false);
                        s.other.reset(p);
                        return s.other.get();
                    }, {}, {}, true});
}

}  // namespace

ui::MainWindow* Stage::open(const QSize& size, ui::Page page, bool withPair) {
    window = std::make_unique<ui::MainWindow>(actions);
    window->resize(size);
    window->deltaPage()->setTensorModel(&tensors);
    window->sweepPage()->setCandidateModel(&candidates);
    window->artifactsPage()->setFilesModel(&files);
    window->setHardware(fixtures::hardware());
    if (withPair) window->setPair(fixtures::pair());
    app::ShellState shell;
    shell.title = withPair ? QStringLiteral("chat-vs-base") : QString();
    shell.savedText = withPair ? QStringLiteral("Autosaved 14:02") : QString();
    window->setShell(shell);
    window->setPage(page);
    return window.get();
}

void Stage::show(const app::DeltaViewState& state) {
    tensors.setEstimate(state.estimate);
    tensors.setErrors(state.errors);
    window->deltaPage()->setState(state);
}

void Stage::show(const app::SweepViewState& state) {
    candidates.setResults(state.trials, state.judgement, state.limits, state.phase == SweepPhase::kRunning || state.phase == SweepPhase::kPaused, state.phase != SweepPhase::kEmpty);
    window->sweepPage()->setState(state);
}

void Stage::show(const app::ArtifactViewState& state) {
    files.setFiles(state.details.files);
    window->artifactsPage()->setState(state);
}

const std::vector<Scene>& all() {
    static const std::vector<Scene> list = [] {
        std::vector<Scene> scenes;
        addStart(scenes);
        addDelta(scenes);
        addSweep(scenes);
        addArtifacts(scenes);
        addShell(scenes);
        return scenes;
    }();
    return list;
}

}  // namespace tenpak::scenes
