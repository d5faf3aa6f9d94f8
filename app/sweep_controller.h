// SPDX-License-Identifier: GPL-3.0-or-later
// The sweep of the project's model: prepares and runs it in worker processes, pauses, goes on, stops, retries; shows
// recorded results; judges under the limits (a filter: changing one runs nothing). UI thread.
#pragma once
#include <QElapsedTimer>
#include <QObject>
#include <QPointer>
#include <memory>
#include <optional>

#include "app/hardware_controller.h"
#include "app/job_manager.h"
#include "app/locations.h"
#include "app/project.h"
#include "app/view_states.h"
#include "core/jobs/job_store.h"
#include "core/jobs/sweep.h"

namespace tenpak::app {

/// A sweep whose program ended while it ran.
struct InterruptedSweep {
    QString jobId, title, model;
    int done = 0, total = 0;
};

class SweepController : public QObject {
    Q_OBJECT
   public:
    SweepController(Project& project, JobManager& jobs, HardwareController& hardware, QString workerProgram, std::optional<SampleFiles> sample,
                    QObject* parent = nullptr);
    ~SweepController() override;

    SweepViewState state() const;
    void setPair(const PairState& pair);  ///< for the set-up's choices

    void start(const QStringList& candidates);
    void pause();
    void resume();
    void stop();
    void retry(const QString& candidate);
    void chooseModel(const QString& id);
    void chooseText(const QString& id);   ///< a path, or kChooseText
    static constexpr const char* kChooseText = "choose";
    void setCandidates(const QStringList& names);
    void addImport(const QString& path);  ///< a model that is quantized already
    void removeImport(const QString& candidate);
    QStringList imports() const;          ///< paths of those that are chosen
    void setLimits(const optimizer::Limits& limits);
    void acknowledge();                   ///< the banner of a failed run was closed
    bool running() const;
    bool paused() const { return m_paused; }
    int done() const;
    int total() const { return m_trials ? static_cast<int>(m_trials->size()) : 0; }
    /// The sample's model that its recorded sweep is of; empty where there is none.
    static QString recordedModel(const SampleFiles& sample);
    QString jobId() const { return m_jobId; }
    QString winner() const;
    const optimizer::Trial* trial(const QString& candidate) const;
    QString modelPath() const;            ///< what is measured
    QString textPath() const;             ///< empty: the model's own
    Job* job() const { return m_job; }

    /// Sweeps in the store that were running when their program ended.
    QList<InterruptedSweep> interrupted() const;
    void keepAsItIs(const QString& jobId);
    /// What is not chosen in the window (windows, timing samples, batches, backend); tests measure little.
    void setDefaults(const jobs::SweepSpec& spec) { m_defaults = spec; }

   signals:
    void changed();
    void finished(bool complete);         ///< a run ended by itself
    void failed(const tenpak::Error& error);
    void chooseTextRequested();

   private:
    void restore();                       ///< what the store or the sample knows of the present model
    bool loadRecorded();
    void run();
    void takeTrial(const optimizer::Trial& trial);
    void takeTrials(std::vector<optimizer::Trial> trials);
    void judge();
    void ended(const Status& status);
    jobs::SweepSpec spec(const QStringList& candidates) const;
    QStringList chosen() const;
    QString expectedText() const;
    const QHash<QString, EngineVerdicts>& engines() const;
    QString noteText() const;
    void updateJob();

    Project& m_project;
    JobManager& m_jobs;
    HardwareController& m_hardware;
    QString m_worker;
    std::optional<SampleFiles> m_sample;
    std::shared_ptr<jobs::JobStore> m_store;
    std::optional<Error> m_storeError;
    PairState m_pair;
    QString m_jobId, m_recorded, m_shownFor;
    mutable QString m_enginesOf;              ///< model that m_engines is of
    mutable QHash<QString, EngineVerdicts> m_engines;
    std::shared_ptr<const std::vector<optimizer::Trial>> m_trials;
    std::shared_ptr<const optimizer::Judgement> m_judgement;
    QPointer<Job> m_job;
    bool m_paused = false, m_pausing = false;
    std::optional<Error> m_error;
    QElapsedTimer m_runClock;
    int m_measuredInRun = 0;
    double m_measuredSeconds = 0;
    qint64 m_trialStart = -1;
    jobs::SweepSpec m_defaults;
};

}  // namespace tenpak::app
