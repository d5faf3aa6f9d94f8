// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/studio/studio.h"

#include <QCryptographicHash>
#include <QDir>
#include <QFileInfo>
#include <QGuiApplication>
#include <QPalette>

#include "app/delta_view.h"
#include "app/error_text.h"
#include "app/format.h"
#include "app/shell_view.h"
#include "ui/artifacts/artifacts_page.h"
#include "ui/delta/delta_page.h"
#include "ui/dialogs/qt_dialog_service.h"
#include "ui/shell/main_window.h"
#include "ui/start/start_page.h"
#include "ui/sweep/sweep_page.h"

namespace tenpak::studio {

using ui::Page;

Studio::Studio(const StudioOptions& options)
    : m_settings(*options.store), m_ownDialogs(options.dialogs ? nullptr : std::make_unique<ui::QtDialogService>()),
      m_dialogs(options.dialogs ? *options.dialogs : *m_ownDialogs), m_worker(app::findWorkerProgram(options.programFolder)),
      m_sample(app::findSample(options.programFolder)), m_recent(m_settings), m_keys(m_settings) {
    m_desktopIsDark = QGuiApplication::palette().color(QPalette::Window).lightness() < 128;
    applyTheme();
    m_pair = std::make_unique<app::PairController>(m_project, m_jobs, m_dialogs, m_settings);
    m_estimate = std::make_unique<app::EstimateController>(m_jobs);
    m_compress = std::make_unique<app::CompressController>(m_jobs, m_settings, m_keys);
    m_findBase = std::make_unique<app::FindBaseController>(m_jobs, m_settings);
    m_archive = std::make_unique<app::ArchiveController>(m_jobs);
    m_hardware = std::make_unique<app::HardwareController>(m_jobs, m_settings, m_worker);
    m_sweep = std::make_unique<app::SweepController>(m_project, m_jobs, *m_hardware, m_worker, m_sample);
    m_export = std::make_unique<app::ExportController>(m_jobs, m_settings, m_keys);
    m_artifacts = std::make_unique<app::ArtifactController>(m_jobs, m_settings, m_keys, m_dialogs);
    m_window = std::make_unique<ui::MainWindow>(m_actions);
    if (auto* real = qobject_cast<ui::QtDialogService*>(&m_dialogs)) real->setWindow(m_window.get());
    m_window->deltaPage()->setTensorModel(&m_tensorModel);
    m_window->sweepPage()->setCandidateModel(&m_candidateModel);
    m_window->artifactsPage()->setFilesModel(&m_filesModel);

    m_refresh.setSingleShot(true);
    connect(&m_refresh, &QTimer::timeout, this, &Studio::refreshNow);
    // Every edit is on disk two seconds later.
    m_save.setSingleShot(true);
    m_save.setInterval(2000);
    connect(&m_project, &app::Project::changed, this, [this] {
        if (!m_project.path().isEmpty()) m_save.start();
        refresh(kShell);
    });
    connect(&m_save, &QTimer::timeout, this, [this] {
        if (m_project.dirty() && !m_project.path().isEmpty())
            if (const Status s = m_project.save(); !s.ok()) showError(m_window->page(), s.error());
    });
    connect(&m_project, &app::Project::saved, this, [this] {
        if (m_pair->state().complete()) m_recent.add(m_project.path());
        m_settings.setLastProject(m_project.path());
        refresh(kShell);
    });
    connect(&m_recent, &app::RecentProjects::changed, this, [this] { refresh(kStart); });

    connectPair();
    connectDelta();
    connectSweep();
    connectArtifacts();
    connectShell();
    connectActions();
    if (const QByteArray geometry = m_settings.viewState(QStringLiteral("window")); !geometry.isEmpty()) m_window->restoreGeometry(geometry);
    m_hardware->probe();
    m_recentList = m_recent.list();
    refresh(kStart | kPair | kDelta | kSweep | kArtifacts | kShell | kHardware);
    refreshNow();
}

Studio::~Studio() {
    if (m_project.dirty() && !m_project.path().isEmpty()) (void)m_project.save();
    m_refresh.stop();
    m_save.stop();
}

void Studio::refresh(int what) {
    m_dirty |= what;
    if (!m_refresh.isActive()) m_refresh.start(0);
}

void Studio::refreshNow() {
    m_refresh.stop();
    const int what = std::exchange(m_dirty, 0);
    const auto withBanner = [this](auto state, Page page) {
        const app::BannerState& b = m_banners[static_cast<int>(page)];
        if (!b.isEmpty()) state.banner = b;
        return state;
    };
    if (what & kStart) {
        app::StartViewState s;
        s.sampleAvailable = m_sample.has_value();
        if (m_sample) s.sampleCost = tr("Two small real models, %1. The estimate takes a second, a sweep about a minute.").arg(app::format::bytes(static_cast<double>(m_sample->bytes), 2));
        m_recentList = m_recent.list();
        s.recent = m_recentList;
        m_window->startPage()->setState(withBanner(s, Page::kStart));
        for (int i = 0; i < 9; ++i) {
            QAction* a = m_actions.action(QLatin1String(QByteArray("recent.") + QByteArray::number(i + 1)));
            a->setVisible(i < m_recentList.size());
            if (i < m_recentList.size()) a->setText(m_recentList[i].name);
        }
    }
    if (what & kPair) m_window->setPair(m_pair->state());
    if (what & (kPair | kDelta)) {
        app::DeltaViewState s = withBanner(app::deltaViewState(*m_pair, *m_estimate, *m_compress), Page::kDelta);
        // An artifact made earlier can be rebuilt without compressing again.
        if (s.artifactPath.isEmpty() && s.pair.complete() && QFileInfo::exists(m_project.data().artifact)) s.artifactPath = m_project.data().artifact;
        m_tensorModel.setEstimate(s.phase == app::DeltaViewState::Phase::kMisfit ? nullptr : s.estimate);
        m_tensorModel.setErrors(s.phase == app::DeltaViewState::Phase::kMeasured ? s.errors : nullptr);
        m_window->deltaPage()->setState(s);
    }
    if (what & kSweep) {
        const app::SweepViewState s = withBanner(m_sweep->state(), Page::kSweep);
        const bool running = s.phase == app::SweepViewState::Phase::kRunning;
        m_candidateModel.setResults(s.trials, s.judgement, s.limits, running, running || s.phase == app::SweepViewState::Phase::kPaused || s.done > 0);
        m_window->sweepPage()->setState(s);
    }
    if (what & kArtifacts) {
        const app::ArtifactViewState s = withBanner(m_artifacts->state(), Page::kArtifacts);
        const QString shown = s.details.path + QString::number(s.details.files.size());
        if (shown != m_filesShownFor) {
            m_filesShownFor = shown;
            m_filesModel.setFiles(s.details.files);
        }
        m_window->artifactsPage()->setState(s);
    }
    if (what & kShell) {
        app::ShellState s = app::shellState(m_jobs, m_project);
        s.message = m_message;
        m_window->setShell(s);
        m_actions.action("edit.undo")->setEnabled(m_project.undoStack()->canUndo());
        m_actions.action("edit.redo")->setEnabled(m_project.undoStack()->canRedo());
    }
    if (what & kHardware) m_window->setHardware(m_hardware->state());
}

void Studio::showBanner(Page page, const app::BannerState& banner) {
    m_banners[static_cast<int>(page)] = banner;
    refresh(kStart | kDelta | kSweep | kArtifacts);
}

void Studio::showError(Page page, const Error& error) {
    const app::ErrorText t = app::errorText(error);
    app::BannerState b;
    b.tone = app::Tone::kError;
    b.title = t.title;
    b.body = t.body + u' ' + t.hint;
    b.details = t.details;
    showBanner(page, b);
}

void Studio::showMessage(const QString& line) {
    m_message = line;
    refresh(kShell);
}

bool Studio::isAutomatic(const QString& path) const { return path.startsWith(app::dataFolder() + QStringLiteral("/projects/")); }

QString Studio::projectPathForPair() const {
    const app::ProjectData& d = m_project.data();
    const QByteArray pair = (d.base + u'\n' + d.fineTune).toUtf8();
    const QString hash = QString::fromLatin1(QCryptographicHash::hash(pair, QCryptographicHash::Sha256).toHex().left(8));
    return QStringLiteral("%1/projects/%2-vs-%3-%4.tnpkproj").arg(app::dataFolder(), QFileInfo(d.fineTune).fileName(), QFileInfo(d.base).fileName(), hash);
}

void Studio::newProject() {
    if (m_project.dirty() && !m_project.path().isEmpty()) (void)m_project.save();
    m_project.reset({});
    m_window->setPage(Page::kStart);
}

bool Studio::openSample() {
    if (!m_sample) return false;
    if (m_project.dirty() && !m_project.path().isEmpty()) (void)m_project.save();
    m_project.reset({});
    m_project.setPair(m_sample->base, m_sample->fineTune, false);
    if (const QString model = app::SweepController::recordedModel(*m_sample); !model.isEmpty() && model != m_sample->fineTune) m_project.setSweepModel(model);
    m_project.undoStack()->clear();
    m_window->setPage(Page::kDelta);
    return true;
}

void Studio::openProject(const QString& path) {
    if (m_project.dirty() && !m_project.path().isEmpty()) (void)m_project.save();
    if (const Status s = m_project.load(path); !s.ok()) {
        showError(m_window->page(), s.error());
        m_recentList = m_recent.list();
        return;
    }
    m_recent.add(path);
    m_settings.setLastProject(path);
    m_window->setPage(m_project.data().base.isEmpty() ? Page::kStart : Page::kDelta);
}

Status Studio::openArguments(const QStringList& arguments) {
    if (arguments.isEmpty()) return {};
    if (arguments.size() > 2) return make_error(ErrorCode::kInvalidArgument, "more than two files were given", {}, "Give a base and a fine-tune, a project, or a .tnpk");
    for (const QString& a : arguments)
        if (!QFileInfo::exists(a)) return make_error(ErrorCode::kNotFound, "no such file or folder", a.toStdString(), "Check the path");
    if (arguments.size() == 2) {
        m_pair->drop(QStringList{arguments[0]}, app::PairSlot::kBase);
        m_pair->drop(QStringList{arguments[1]}, app::PairSlot::kFineTune);
    } else {
        m_pair->drop(arguments, app::PairSlot::kEither);
    }
    return {};
}

}  // namespace tenpak::studio
