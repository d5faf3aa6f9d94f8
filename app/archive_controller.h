// SPDX-License-Identifier: GPL-3.0-or-later
// Archiving folders of models: plan, archive, undo (core/archive). UI thread; the work runs as jobs. Asking the user before
// originals are removed is the caller's business.
#pragma once
#include <QObject>
#include <QPointer>

#include "app/job_manager.h"
#include "app/view_states.h"
#include "core/archive/archive.h"

namespace tenpak::app {

class ArchiveController : public QObject {
    Q_OBJECT
   public:
    explicit ArchiveController(JobManager& jobs, QObject* parent = nullptr);
    void addFolder(const QString& folder);
    void removeFolder(const QString& folder);
    void setChecked(const QString& path, bool checked);
    void setReplace(bool on);
    void plan();
    /// The checked rows of the plan.
    void archive();
    /// All that was archived under the folders.
    void undo();
    void stop();
    ArchiveState state() const;
    bool busy() const { return m_job && m_job->active(); }

   signals:
    void changed();

   private:
    archive::Options options() const;
    template <class T>
    void run(const JobSpec& spec, ArchiveState::Phase phase, std::function<Result<T>(const archive::Options&, const JobRun&)> work, std::function<void(const T&)> done);
    void takePlan(const archive::Plan& plan);
    void takeReport(const archive::Report& report);
    void takeUndo(const archive::UndoReport& report);

    JobManager& m_jobs;
    ArchiveState m_state;
    archive::Plan m_plan;
    QPointer<Job> m_job;
};

}  // namespace tenpak::app
