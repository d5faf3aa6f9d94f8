// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/estimate_controller.h"

#include <cmath>

namespace tenpak::app {

EstimateController::EstimateController(JobManager& jobs, QObject* parent) : QObject(parent), m_jobs(jobs) {}

void EstimateController::clear() {
    stop();
    ++m_generation;
    m_base = m_fineTune = nullptr;
    m_phase = Phase::kNone;
    m_snapshot = nullptr;
    m_funnel.clear();
    m_stale = false;
    emit changed();
}

void EstimateController::stop() {
    if (m_job) m_job->stop();
}

void EstimateController::again() {
    if (m_base && m_fineTune) start(m_base, m_fineTune);
}

void EstimateController::start(std::shared_ptr<const ModelDirectory> base, std::shared_ptr<const ModelDirectory> fineTune) {
    if (m_job) {
        m_job->stop();
        m_jobs.remove(m_job);  // a superseded estimate is no news; kept only while it still winds down
    }
    m_base = std::move(base);
    m_fineTune = std::move(fineTune);
    m_stale = m_snapshot != nullptr;
    m_error.reset();
    m_plan = delta::pair_tensors(*m_base, *m_fineTune);
    const quint64 generation = ++m_generation;
    if (!m_plan.fits) {
        m_phase = Phase::kMisfit;
        m_snapshot = nullptr;
        m_funnel.clear();
        emit changed();
        return;
    }
    m_phase = m_snapshot ? Phase::kRunning : Phase::kOpening;
    JobSpec spec{QStringLiteral("estimate"), tr("Estimate, %1").arg(QString::fromStdString(m_fineTune->id())), JobLane::kLight};
    m_job = m_jobs.start<Snapshot>(
        spec, this,
        // Copied on the worker thread, used on this one only: a QPointer is not thread-safe to look through.
        [self = QPointer(this), generation, b = m_base, f = m_fineTune](const JobRun& run) -> Result<Snapshot> {
            delta::EstimateOptions options;
            options.generation = generation;
            TENPAK_ASSIGN(auto last, delta::estimate(*b, *f, options,
                                                     [&self, &run](const delta::EstimateSnapshot& s) {
                                                         Progress p;
                                                         p.phase = "estimate";
                                                         p.done = s.bytes_read;
                                                         p.total = s.bytes_total;
                                                         run.context().report(p);
                                                         run.post("snapshot", [self, copy = std::make_shared<const delta::EstimateSnapshot>(s)] {
                                                             if (self) self->take(copy);
                                                         });
                                                     },
                                                     run.context()));
            return std::make_shared<const delta::EstimateSnapshot>(std::move(last));
        },
        [this, generation](Result<Snapshot> r) {
            if (generation != m_generation) return;
            if (r.ok()) {
                take(*r);
                m_phase = Phase::kDone;
            } else if (r.error().code == ErrorCode::kCancelled) {
                m_phase = Phase::kStopped;
            } else {
                m_phase = Phase::kFailed;
                m_error = r.error();
            }
            emit changed();
        });
    m_job->setRetry([self = QPointer(this)] { if (self) self->again(); });
    emit changed();
}

void EstimateController::take(Snapshot snapshot) {
    if (snapshot->generation != m_generation || snapshot == m_snapshot) return;
    if (m_stale || !m_snapshot || m_snapshot->generation != m_generation) m_funnel.clear();
    m_stale = false;
    m_snapshot = std::move(snapshot);
    m_phase = Phase::kRunning;
    const delta::EstimateSnapshot& s = *m_snapshot;
    const double read = s.bytes_total > 0 ? static_cast<double>(s.bytes_read) / static_cast<double>(s.bytes_total) : 1;
    m_funnel.append({read, s.estimated_bytes, s.low, s.high});
    if (m_funnel.size() > 400) {  // every second point: the funnel's shape stays, memory does not grow
        QList<FunnelPoint> half;
        for (qsizetype i = 0; i < m_funnel.size(); i += 2) half.append(m_funnel[i]);
        m_funnel = half;
    }
    emit changed();
}

double EstimateController::secondsLeft() const {
    // The estimate ends when its range is narrow enough. A range falls with the square root of what was read, so the
    // bytes still needed follow from the present range; where that is more than all there is, all.
    if (!m_job || m_phase != Phase::kRunning || !m_snapshot || m_stale || std::isnan(m_job->rate())) return -1;
    const double half = (m_snapshot->high - m_snapshot->low) / 2, target = 0.005 * m_snapshot->estimated_bytes;
    if (!(target > 0)) return -1;
    const double read = static_cast<double>(m_snapshot->bytes_read), total = static_cast<double>(m_snapshot->bytes_total);
    const double factor = half / target;
    const double needed = std::min(total, read * factor * factor);
    return m_job->rate() > 0 ? std::max(0.0, needed - read) / m_job->rate() : -1;
}

}  // namespace tenpak::app
