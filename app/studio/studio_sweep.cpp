// SPDX-License-Identifier: GPL-3.0-or-later
// The sweep, its export, and recovery after a crash.
#include <QFileInfo>

#include "app/commands.h"
#include "app/error_text.h"
#include "app/format.h"
#include "app/studio/studio.h"
#include "ui/charts/pareto_plot.h"
#include "ui/shell/main_window.h"
#include "ui/sweep/sweep_page.h"

namespace tenpak::studio {

using ui::Page;

void Studio::connectSweep() {
    ui::SweepPage* page = m_window->sweepPage();
    app::SweepController* sweep = m_sweep.get();
    connect(sweep, &app::SweepController::changed, this, [this] { refresh(kSweep); });
    connect(sweep, &app::SweepController::chooseTextRequested, this, [this] {
        app::ChooserRequest r;
        r.kind = app::ChooserKind::kOpenText;
        r.title = tr("Choose the text to measure on");
        r.startFolder = m_settings.lastFolder();
        m_dialogs.choosePath(r, [this](const QString& path) {
            if (!path.isEmpty()) m_sweep->chooseText(path);
            refresh(kSweep);  // the list goes back to what is chosen
        });
    });
    connect(page, &ui::SweepPage::importRequested, this, [this] {
        app::ChooserRequest r;
        r.kind = app::ChooserKind::kOpenQuantized;
        r.title = tr("Add a model that is quantized already");
        r.startFolder = m_settings.lastFolder();
        m_dialogs.choosePath(r, [this](const QString& path) { m_sweep->addImport(path); });
    });
    connect(page, &ui::SweepPage::importRemoved, sweep, &app::SweepController::removeImport);
    connect(page, &ui::SweepPage::limitsChanged, sweep, &app::SweepController::setLimits);
    connect(page, &ui::SweepPage::startRequested, sweep, &app::SweepController::start);
    connect(page, &ui::SweepPage::pauseRequested, sweep, &app::SweepController::pause);
    connect(page, &ui::SweepPage::resumeRequested, sweep, &app::SweepController::resume);
    connect(page, &ui::SweepPage::stopRequested, sweep, &app::SweepController::stop);
    connect(page, &ui::SweepPage::retryRequested, sweep, &app::SweepController::retry);
    connect(page, &ui::SweepPage::modelChosen, sweep, &app::SweepController::chooseModel);
    connect(page, &ui::SweepPage::textChosen, sweep, &app::SweepController::chooseText);
    connect(page, &ui::SweepPage::choicesChanged, sweep, &app::SweepController::setCandidates);
    connect(page, &ui::SweepPage::priceChosen, m_hardware.get(), &app::HardwareController::choosePrice);
    connect(page, &ui::SweepPage::exportRequested, this, &Studio::openExportDialog);
    connect(page, &ui::SweepPage::exportChartRequested, this, &Studio::exportChart);
    connect(page, &ui::SweepPage::copyCommandRequested, this, [this](const QString& candidate) {
        copy(app::optimizeCommand(m_sweep->modelPath(), m_sweep->textPath(), candidate.isEmpty() ? m_project.data().candidates : QStringList{candidate},
                                  m_project.data().limits, m_hardware->state().priceId, candidate.isEmpty() ? m_sweep->imports() : QStringList()));
    });
    connect(page, &ui::SweepPage::bannerActionTriggered, this, &Studio::bannerAction);
    connect(page, &ui::SweepPage::bannerClosed, this, [this] {
        if (m_banners[static_cast<int>(Page::kSweep)].isEmpty()) m_sweep->acknowledge();
        showBanner(Page::kSweep, {});
    });
    connect(m_export.get(), &app::ExportController::exported, this, [this](const QString& artifact, const QString& candidate) {
        m_artifacts->add(artifact);
        app::BannerState b;
        b.tone = app::Tone::kOk;
        b.title = tr("Exported %1").arg(candidate);
        b.body = tr("%1, %2. Read back whole and checked.").arg(QFileInfo(artifact).fileName(), app::format::bytes(static_cast<double>(QFileInfo(artifact).size())));
        b.actions = {{QStringLiteral("show-artifact"), tr("Show artifact"), QStringLiteral("shield"), true}};
        showBanner(Page::kSweep, b);
    });
    connect(m_export.get(), &app::ExportController::failed, this, [this](const Error& e) { showError(Page::kSweep, e); });
}

void Studio::openExportDialog(const QString& candidate) {
    if (candidate.isEmpty() || m_export->running()) return;
    if (candidate.startsWith(QStringLiteral("import:"))) {
        showMessage(tr("%1 is a model that was there already: there is nothing to export").arg(candidate.mid(7)));
        return;
    }
    const optimizer::Trial* trial = m_sweep->trial(candidate);
    const QString model = m_sweep->modelPath();
    runDialog(m_export->dialogState(candidate, model, trial ? trial->metrics.stored_bytes : 0),
              [this, candidate, model](const app::CompressRequest& request, const QString& passphrase) { m_export->exportCandidate(candidate, model, request, passphrase); });
}

void Studio::exportChart() {
    app::ChooserRequest r;
    r.kind = app::ChooserKind::kSaveChart;
    r.title = tr("Export the chart");
    r.startFolder = m_settings.outputFolder();
    r.suggestedName = QStringLiteral("sweep.png");
    m_dialogs.choosePath(r, [this](QString path) {
        if (path.isEmpty()) return;
        const QString suffix = QFileInfo(path).suffix().toLower();
        if (suffix != QStringLiteral("png") && suffix != QStringLiteral("svg")) path += QStringLiteral(".png");
        ui::ParetoPlot* plot = m_window->sweepPage()->plot();
        const bool ok = path.endsWith(QStringLiteral(".svg"), Qt::CaseInsensitive) ? plot->saveSvg(path) : plot->savePng(path);
        if (ok) showMessage(tr("Chart saved as %1").arg(QFileInfo(path).fileName()));
        else showError(Page::kSweep, make_error(ErrorCode::kIo, "the chart could not be written", path.toStdString()));
    });
}

void Studio::offerRecovery() {
    const auto all = m_sweep->interrupted();
    if (all.isEmpty()) return;
    const app::InterruptedSweep& s = all.first();
    app::BannerState b;
    b.tone = app::Tone::kWarn;
    b.title = tr("A sweep of %1 stopped at %2 of %3 when the program ended").arg(QFileInfo(s.model).fileName()).arg(s.done).arg(s.total);
    b.body = tr("What was measured is kept.");
    b.actions = {{QStringLiteral("sweep-go-on:") + s.jobId, tr("Go on"), QStringLiteral("play"), true},
                 {QStringLiteral("sweep-keep:") + s.jobId, tr("Keep as it is"), {}, false}};
    showBanner(m_window->page(), b);
}

void Studio::resumeInterrupted(const QString& jobId) {
    for (const app::RecentProject& r : m_recent.list()) {
        app::Project other;
        if (!other.load(r.path).ok() || other.data().sweepJob != jobId) continue;
        openProject(r.path);
        m_window->setPage(Page::kSweep);
        m_sweep->resume();
        return;
    }
    for (const app::InterruptedSweep& s : m_sweep->interrupted()) {
        if (s.jobId != jobId) continue;
        m_project.reset({});
        m_project.setSweepModel(s.model);
        m_project.recordSweep(jobId, {});
        m_sweep->setPair(m_pair->state());
        m_window->setPage(Page::kSweep);
        m_sweep->resume();
        return;
    }
}

}  // namespace tenpak::studio
