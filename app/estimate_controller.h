// SPDX-License-Identifier: GPL-3.0-or-later
// The live estimate of the pair: starts by itself when both models are open, a newer pair supersedes an older one by
// generation id, snapshots arrive at most every 100 ms. UI thread.
#pragma once
#include <QList>
#include <QObject>
#include <memory>
#include <optional>

#include "app/job_manager.h"
#include "app/view_states.h"
#include "core/delta/estimate.h"
#include "core/tensor/model_source.h"

namespace tenpak::app {

class EstimateController : public QObject {
    Q_OBJECT
   public:
    enum class Phase { kNone, kOpening, kRunning, kDone, kMisfit, kStopped, kFailed };
    using Snapshot = std::shared_ptr<const delta::EstimateSnapshot>;
    EstimateController(JobManager& jobs, QObject* parent = nullptr);

    void start(std::shared_ptr<const ModelDirectory> base, std::shared_ptr<const ModelDirectory> fineTune);
    void again();  ///< F5
    void stop();
    void clear();  ///< no pair any more

    Phase phase() const { return m_phase; }
    const Snapshot& snapshot() const { return m_snapshot; }
    bool stale() const { return m_stale; }  ///< the snapshot is of the pair before
    const QList<FunnelPoint>& funnel() const { return m_funnel; }
    double secondsLeft() const;             ///< negative: not known
    const delta::PairPlan& plan() const { return m_plan; }
    const std::optional<Error>& error() const { return m_error; }
    Job* job() const { return m_job; }

   signals:
    void changed();

   private:
    void take(Snapshot snapshot);

    JobManager& m_jobs;
    std::shared_ptr<const ModelDirectory> m_base, m_fineTune;
    Phase m_phase = Phase::kNone;
    Snapshot m_snapshot;
    QList<FunnelPoint> m_funnel;
    delta::PairPlan m_plan;
    std::optional<Error> m_error;
    quint64 m_generation = 0;
    bool m_stale = false;
    QPointer<Job> m_job;
};

}  // namespace tenpak::app
