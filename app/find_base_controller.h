// SPDX-License-Identifier: GPL-3.0-or-later
// Which of the models under some folders a fine-tune was made from. UI thread; looking and comparing run as a job.
#pragma once
#include <QObject>
#include <QPointer>
#include <memory>

#include "app/job_manager.h"
#include "app/settings.h"
#include "app/view_states.h"
#include "core/tensor/model_source.h"

namespace tenpak::app {

/// Models below a folder, itself among them: folders with weights are not looked into further. Symbolic links to folders are
/// followed no deeper than `depth`. At most `most`. Stops early when `ctx` does.
QStringList modelsBelow(const QString& folder, int depth, int most, const JobContext& ctx);

class FindBaseController : public QObject {
    Q_OBJECT
   public:
    FindBaseController(JobManager& jobs, Settings& settings, QObject* parent = nullptr);
    /// Whose base is looked for; forgets what was found for another.
    void setFineTune(std::shared_ptr<const ModelDirectory> fineTune);
    void addFolder(const QString& folder);
    void removeFolder(const QString& folder);
    void search();
    void stop();
    FindBaseState state() const;

   signals:
    void changed();

   private:
    struct Found {
        QList<BaseCandidateRow> rows;
        int looked = 0;  ///< models that could be opened and are not the fine-tune itself
        double seconds = 0;
    };
    JobManager& m_jobs;
    Settings& m_settings;
    std::shared_ptr<const ModelDirectory> m_fineTune;
    QPointer<Job> m_job;
    FindBaseState m_state;
    quint64 m_generation = 0;
};

}  // namespace tenpak::app
