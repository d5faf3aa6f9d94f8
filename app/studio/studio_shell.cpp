// SPDX-License-Identifier: GPL-3.0-or-later
// Shell: jobs drawer, hardware, actions, closing.
#include <QClipboard>
#include <QCloseEvent>
#include <QDesktopServices>
#include <QFileInfo>
#include <QGuiApplication>
#include <QUrl>

#include "app/commands.h"
#include "app/error_text.h"
#include "app/format.h"
#include "app/shell_view.h"
#include "app/studio/studio.h"
#include "ui/artifacts/artifacts_page.h"
#include "ui/delta/delta_page.h"
#include "ui/dialogs/help_dialog.h"
#include "ui/dialogs/settings_dialog.h"
#include "ui/shell/main_window.h"
#include "ui/start/start_page.h"
#include "ui/sweep/sweep_page.h"
#include "ui/theme/theme.h"

namespace tenpak::studio {

using app::Job;
using ui::Page;

namespace {

Page pageOf(const QString& kind) {
    switch (app::pageOfJob(kind)) {
        case app::JobPage::kDelta: return Page::kDelta;
        case app::JobPage::kSweep: return Page::kSweep;
        case app::JobPage::kArtifacts: return Page::kArtifacts;
    }
    return Page::kDelta;
}

app::ActionContext contextOf(Page page) {
    switch (page) {
        case Page::kDelta: return app::ActionContext::kDelta;
        case Page::kSweep: return app::ActionContext::kSweep;
        case Page::kArtifacts: return app::ActionContext::kArtifacts;
        case Page::kStart: break;
    }
    return app::ActionContext::kAlways;
}

}  // namespace

void Studio::connectShell() {
    ui::MainWindow* w = m_window.get();
    connect(&m_jobs, &app::JobManager::changed, this, [this] { refresh(kShell); });
    connect(&m_jobs, &app::JobManager::jobFinished, this, &Studio::jobEnded);
    connect(m_hardware.get(), &app::HardwareController::changed, this, [this] { refresh(kHardware | kSweep); });
    connect(m_hardware.get(), &app::HardwareController::failed, this, [this](const Error& e) { showError(m_window->page(), e); });
    connect(w, &ui::MainWindow::pageChanged, this, [this](Page page) {
        m_actions.setContext(contextOf(page));
        m_message.clear();
        if (page == Page::kArtifacts) m_artifacts->refresh();
        refresh(kShell);
    });
    connect(w, &ui::MainWindow::copyRequested, this, &Studio::copy);
    connect(w, &ui::MainWindow::priceEdited, m_hardware.get(), &app::HardwareController::editPrice);
    connect(w, &ui::MainWindow::priceChosen, m_hardware.get(), &app::HardwareController::choosePrice);
    connect(w, &ui::MainWindow::settingsRequested, this, [this] { onAction(QStringLiteral("app.settings")); });
    connect(w, &ui::MainWindow::jobPauseRequested, this, [this](const QString& id) {
        if (Job* j = m_jobs.find(id); j != nullptr && j == m_sweep->job()) m_sweep->pause();
    });
    connect(w, &ui::MainWindow::jobResumeRequested, this, [this](const QString& id) {
        if (Job* j = m_jobs.find(id); j != nullptr && j == m_sweep->job()) m_sweep->resume();
    });
    connect(w, &ui::MainWindow::jobStopRequested, this, [this](const QString& id) {
        Job* j = m_jobs.find(id);
        if (j == nullptr) return;
        if (j == m_sweep->job()) m_sweep->stop();
        else j->stop();
    });
    connect(w, &ui::MainWindow::jobRetryRequested, this, [this](const QString& id) { if (Job* j = m_jobs.find(id)) j->retry(); });
    connect(w, &ui::MainWindow::jobShowRequested, this, [this](const QString& id) { if (Job* j = m_jobs.find(id)) m_window->setPage(pageOf(j->kind())); });
    connect(w, &ui::MainWindow::clearFinishedJobsRequested, &m_jobs, &app::JobManager::clearFinished);
    connect(w, &ui::MainWindow::closing, this, &Studio::onClosing);
    m_actions.setContext(contextOf(m_window->page()));
}

void Studio::jobEnded(Job* job) {
    if (!m_jobs.jobs().contains(job) || m_window->page() == pageOf(job->kind())) return;
    switch (job->state()) {
        case Job::State::kDone: showMessage(tr("%1: done").arg(job->title())); break;
        case Job::State::kFailed: showMessage(tr("%1: %2").arg(job->title(), app::errorTitle(job->error()->code))); break;
        default: break;
    }
}

void Studio::connectActions() {
    connect(&m_actions, &app::ActionRegistry::triggered, this, &Studio::onAction);
}

void Studio::onAction(const QString& id) {
    ui::MainWindow& w = *m_window;
    const auto is = [&](const char* name) { return id == QLatin1String(name); };
    if (is("page.start")) w.setPage(Page::kStart);
    else if (is("page.delta")) w.setPage(Page::kDelta);
    else if (is("page.sweep")) w.setPage(Page::kSweep);
    else if (is("page.artifacts")) w.setPage(Page::kArtifacts);
    else if (is("project.new")) newProject();
    else if (is("project.open")) {
        app::ChooserRequest r;
        r.kind = app::ChooserKind::kOpenProject;
        r.title = tr("Open project");
        r.startFolder = m_settings.lastFolder();
        m_dialogs.choosePath(r, [this](const QString& path) { if (!path.isEmpty()) openProject(path); });
    } else if (is("project.save")) saveProjectAs();
    else if (is("sample.open")) openSample();
    else if (is("artifact.open")) {
        w.setPage(Page::kArtifacts);
        m_artifacts->open();
    } else if (is("pair.chooseBase")) m_pair->choose(app::PairSlot::kBase);
    else if (is("pair.chooseFineTune")) m_pair->choose(app::PairSlot::kFineTune);
    else if (is("pair.findBase")) openFindBase();
    else if (is("pair.swap")) m_pair->swap();
    else if (is("chart.export")) exportChart();
    else if (is("app.quit")) w.close();
    else if (is("edit.undo")) m_project.undoStack()->undo();
    else if (is("edit.redo")) m_project.undoStack()->redo();
    else if (is("edit.copyCommand")) copyCommand();
    else if (is("edit.filter")) w.focusFilter();
    else if (is("view.jobs")) w.setJobsVisible(!w.jobsVisible());
    else if (is("view.inspector")) w.toggleInspector();
    else if (is("view.nextRegion")) w.focusNextRegion();
    else if (is("view.palette")) w.showPalette();
    else if (is("run.primary")) w.triggerPrimary();
    else if (is("run.again")) again();
    else if (is("run.stop")) stopPageJob();
    else if (is("delta.compress")) openCompressDialog();
    else if (is("delta.rebuild")) rebuildTo();
    else if (is("delta.adapter")) exportAdapter();
    else if (is("tools.archive")) openArchive();
    else if (is("sweep.start")) m_sweep->start({});
    else if (is("sweep.pause")) m_sweep->running() ? m_sweep->pause() : m_sweep->resume();
    else if (is("sweep.export")) openExportDialog(m_sweep->winner());
    else if (is("artifact.verify")) m_artifacts->verify();
    else if (is("artifact.trust")) m_artifacts->trust();
    else if (is("artifact.rebuild")) m_artifacts->rebuildAndCompare();
    else if (is("artifact.unpack")) m_artifacts->unpack();
    else if (id.startsWith(QStringLiteral("recent."))) {
        const int i = id.mid(7).toInt() - 1;
        if (i >= 0 && i < m_recentList.size()) openProject(m_recentList[i].path);
    } else if (is("app.settings")) openSettings();
    else if (is("help.contents") || is("help.keys") || is("help.about")) openHelp(id);
}

void Studio::bannerAction(const QString& id) {
    if (id.startsWith(QStringLiteral("sweep-go-on:"))) {
        for (auto& b : m_banners) b = {};
        resumeInterrupted(id.mid(12));
    } else if (id.startsWith(QStringLiteral("sweep-keep:"))) {
        m_sweep->keepAsItIs(id.mid(11));
        for (auto& b : m_banners) b = {};
        offerRecovery();  // the next one, if there is
    } else if (id == QStringLiteral("find-base")) {
        openFindBase();
    } else if (id == QStringLiteral("estimate-again")) {
        m_estimate->again();
    } else if (id == QStringLiteral("show-artifact")) {
        showBanner(m_window->page(), {});
        m_window->setPage(Page::kArtifacts);
    }
    refresh(kStart | kDelta | kSweep | kArtifacts);
}

void Studio::copy(const QString& text) {
    QGuiApplication::clipboard()->setText(text);
    showMessage(tr("Copied"));
}

void Studio::copyCommand() {
    const app::ProjectData& d = m_project.data();
    switch (m_window->page()) {
        case Page::kSweep: copy(app::optimizeCommand(m_sweep->modelPath(), m_sweep->textPath(), d.candidates, d.limits, m_hardware->state().priceId, m_sweep->imports())); break;
        case Page::kArtifacts:
            if (!m_artifacts->currentPath().isEmpty()) copy(app::verifyCommand(m_artifacts->currentPath()));
            break;
        case Page::kStart:
        case Page::kDelta:
            if (!d.base.isEmpty() && !d.fineTune.isEmpty()) copy(app::estimateCommand(d.base, d.fineTune));
            break;
    }
}

void Studio::stopPageJob() {
    switch (m_window->page()) {
        case Page::kStart:
        case Page::kDelta:
            if (m_compress->phase() == app::CompressController::Phase::kCompressing || m_compress->rebuilding()) m_compress->stop();
            else m_estimate->stop();
            break;
        case Page::kSweep:
            if (m_export->running()) m_export->job()->stop();
            else m_sweep->stop();
            break;
        case Page::kArtifacts: m_artifacts->stop(); break;
    }
}

void Studio::again() {
    if (m_window->page() == Page::kArtifacts) m_artifacts->verify();
    else if (m_window->page() == Page::kDelta && m_compress->phase() != app::CompressController::Phase::kCompressing) {
        m_compress->clear();
        m_estimate->again();
    }
}

void Studio::saveProjectAs() {
    app::ChooserRequest r;
    r.kind = app::ChooserKind::kSaveProject;
    r.title = tr("Save project as");
    r.startFolder = m_settings.lastFolder();
    r.suggestedName = m_project.name() + QStringLiteral(".tnpkproj");
    m_dialogs.choosePath(r, [this](const QString& path) {
        if (path.isEmpty()) return;
        if (const Status s = m_project.saveAs(path); !s.ok()) showError(m_window->page(), s.error());
        else showMessage(tr("Saved as %1").arg(QFileInfo(m_project.path()).fileName()));
    });
}

void Studio::onClosing(QCloseEvent* event) {
    if (m_quitting || !m_jobs.anyActive()) {
        if (m_project.dirty() && !m_project.path().isEmpty()) (void)m_project.save();
        m_settings.setViewState(QStringLiteral("window"), m_window->saveGeometry());
        event->accept();
        return;
    }
    event->ignore();
    app::Question q;
    q.id = QStringLiteral("quit-with-jobs");
    if (m_sweep->running()) {
        q.title = tr("A sweep is running");
        q.body = tr("%1 of %2 candidates are done. They are kept, and it can go on later.").arg(m_sweep->done()).arg(m_sweep->total());
    } else {
        q.title = tr("%1 is running").arg(m_jobs.activeJobs().first()->title());
        q.body = tr("Nothing half-written is left behind.");
    }
    q.buttons = {tr("Stop and quit"), tr("Do not quit")};
    q.cancelButton = 1;
    m_dialogs.ask(q, [this](int answer) {
        if (answer != 0) return;
        m_quitting = true;
        if (!m_jobs.anyActive()) {
            m_window->close();
            return;
        }
        connect(&m_jobs, &app::JobManager::allFinished, this, [this] { m_window->close(); });
        if (m_sweep->running()) m_sweep->pause();  // a paused sweep goes on later
        m_jobs.stopAll();
    });
}

void Studio::applyTheme() {
    bool dark = m_settings.theme() == app::ThemeChoice::kDark;
    if (m_settings.theme() == app::ThemeChoice::kSystem) dark = m_desktopIsDark;
    ui::Theme::instance().setUseDesktopFont(m_settings.desktopFont());
    ui::Theme::instance().setDark(dark);
}

void Studio::openSettings() {
    const auto trust = signing::TrustStore::open(signing::TrustStore::default_file());
    if (!trust.ok()) showError(m_window->page(), trust.error());
    auto* dialog = new ui::SettingsDialog(m_settings, trust.ok() ? trust->keys() : std::vector<signing::TrustedKey>(), m_window.get());
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &ui::SettingsDialog::appearanceChanged, this, &Studio::applyTheme);
    connect(dialog, &ui::SettingsDialog::removeKeyRequested, this, [this](const QString& fingerprint) {
        auto store = signing::TrustStore::open(signing::TrustStore::default_file());
        const Status s = store.ok() ? store->remove(fingerprint.toStdString()) : Status(store.error());
        if (!s.ok()) showError(m_window->page(), s.error());
    });
    dialog->open();
}

void Studio::openHelp(const QString& id) {
    const auto topic = id == QStringLiteral("help.keys") ? ui::HelpTopic::kKeys : id == QStringLiteral("help.about") ? ui::HelpTopic::kAbout : ui::HelpTopic::kContents;
    auto* dialog = new ui::HelpDialog(topic, m_actions, m_window.get());
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->open();
}

}  // namespace tenpak::studio
