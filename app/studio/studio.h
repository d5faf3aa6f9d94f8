// SPDX-License-Identifier: GPL-3.0-or-later
// The composition root's one object: makes controllers, models and the window and connects them. Nothing here decides
// anything about models; that is the controllers' business.
#pragma once
#include <QObject>
#include <QSettings>
#include <QTimer>
#include <memory>
#include <optional>

#include "app/action_registry.h"
#include "app/archive_controller.h"
#include "app/artifact_controller.h"
#include "app/candidate_model.h"
#include "app/compress_controller.h"
#include "app/estimate_controller.h"
#include "app/export_controller.h"
#include "app/files_model.h"
#include "app/find_base_controller.h"
#include "app/hardware_controller.h"
#include "app/job_manager.h"
#include "app/locations.h"
#include "app/pair_controller.h"
#include "app/project.h"
#include "app/recent_projects.h"
#include "app/settings.h"
#include "app/signing_keys.h"
#include "app/sweep_controller.h"
#include "app/tensor_model.h"

class QCloseEvent;

namespace tenpak::ui {
class CompressDialog;
class MainWindow;
enum class Page;
}  // namespace tenpak::ui

namespace tenpak::studio {

struct StudioOptions {
    QSettings* store = nullptr;             ///< not owned
    app::DialogService* dialogs = nullptr;  ///< not owned; null: real dialogs
    QString programFolder;                  ///< where tenpak-studio and tenpak are
};

class Studio : public QObject {
    Q_OBJECT
   public:
    explicit Studio(const StudioOptions& options);
    ~Studio() override;

    ui::MainWindow& window() { return *m_window; }
    app::JobManager& jobs() { return m_jobs; }
    app::Project& project() { return m_project; }
    app::SweepController& sweep() { return *m_sweep; }
    app::CompressController& compress() { return *m_compress; }
    app::EstimateController& estimate() { return *m_estimate; }
    app::ArtifactController& artifacts() { return *m_artifacts; }
    app::ActionRegistry& actions() { return m_actions; }

    app::Settings& settings() { return m_settings; }

    /// False where the sample is not installed.
    bool openSample();
    void openProject(const QString& path);
    void newProject();
    /// What stood on the command line: a pair, a project or an artifact. An error names what it cannot be.
    Status openArguments(const QStringList& arguments);
    /// Asks about sweeps that were running when the program ended.
    void offerRecovery();

   private:
    void connectPair();
    void connectDelta();
    void connectSweep();
    void connectArtifacts();
    void connectShell();
    void connectActions();

    // Pages are refreshed once per turn of the event loop, however many signals asked for it.
    enum Dirty { kStart = 1, kPair = 2, kDelta = 4, kSweep = 8, kArtifacts = 16, kShell = 32, kHardware = 64 };
    void refresh(int what);
    void refreshNow();

    void onPairChanged();
    void showBanner(ui::Page page, const app::BannerState& banner);
    void showError(ui::Page page, const Error& error);
    void bannerAction(const QString& id);
    void showMessage(const QString& line);

    void openCompressDialog();
    void openExportDialog(const QString& candidate);
    void runDialog(const app::CompressDialogState& state, std::function<void(app::CompressRequest, QString)> accepted);
    void rebuildTo();
    void openArchive();
    void openFindBase();
    void chooseFolder(const QString& title, std::function<void(QString)> chosen);
    void exportAdapter();
    void resumeInterrupted(const QString& jobId);
    void copy(const QString& text);
    void copyCommand();
    void stopPageJob();
    void again();
    void exportChart();
    void saveProjectAs();
    void onAction(const QString& id);
    void openSettings();
    void openHelp(const QString& id);
    void applyTheme();
    void onClosing(QCloseEvent* event);
    void jobEnded(app::Job* job);
    QString projectPathForPair() const;
    bool isAutomatic(const QString& projectPath) const;

    app::Settings m_settings;
    std::unique_ptr<app::DialogService> m_ownDialogs;
    app::DialogService& m_dialogs;
    QString m_worker;
    std::optional<app::SampleFiles> m_sample;
    app::ActionRegistry m_actions;
    app::JobManager m_jobs;
    app::Project m_project;
    app::RecentProjects m_recent;
    app::SigningKeys m_keys;
    app::TensorModel m_tensorModel;
    app::CandidateModel m_candidateModel;
    app::FilesModel m_filesModel;
    std::unique_ptr<app::PairController> m_pair;
    std::unique_ptr<app::EstimateController> m_estimate;
    std::unique_ptr<app::ArchiveController> m_archive;
    std::unique_ptr<app::CompressController> m_compress;
    std::unique_ptr<app::FindBaseController> m_findBase;
    std::unique_ptr<app::HardwareController> m_hardware;
    std::unique_ptr<app::SweepController> m_sweep;
    std::unique_ptr<app::ExportController> m_export;
    std::unique_ptr<app::ArtifactController> m_artifacts;
    std::unique_ptr<ui::MainWindow> m_window;
    QTimer m_refresh, m_save;
    int m_dirty = 0;
    app::BannerState m_banners[4];
    QString m_message, m_filesShownFor;
    QList<app::RecentProject> m_recentList;
    bool m_quitting = false;
    bool m_desktopIsDark = false;  ///< as the desktop's palette was at the start
};

}  // namespace tenpak::studio
