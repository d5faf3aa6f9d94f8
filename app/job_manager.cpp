// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/job_manager.h"

#include <new>

namespace tenpak::app {

struct JobManager::Entry {
    Job* job = nullptr;
    bool listed = true;
    QPointer<QObject> context;  // read on the UI thread only: QPointer is not thread-safe
    std::function<void(const Status&)> done;
};

JobManager::JobManager(QObject* parent) : QObject(parent) {
    m_light.setMaxThreadCount(2);
    m_heavy.setMaxThreadCount(1);
    m_drain.setInterval(100);
    connect(&m_drain, &QTimer::timeout, this, [this] {
        const auto entries = m_entries;  // a callback may start or end jobs
        for (const auto& e : entries)
            if (m_entries.contains(e)) e->job->drain();
    });
}

JobManager::~JobManager() {
    m_drain.stop();
    for (const auto& e : m_entries) e->job->m_shared->stop.request_stop();
    m_light.waitForDone();
    m_heavy.waitForDone();
}

Job* JobManager::startErased(const JobSpec& spec, QObject* context, std::function<Status(const JobRun&)> work,
                             std::function<void(const Status&)> done) {
    auto entry = std::make_shared<Entry>();
    auto* job = new Job(QStringLiteral("%1-%2").arg(spec.kind).arg(++m_counter), spec.kind, spec.title, this);
    entry->job = job;
    entry->listed = spec.listed;
    entry->context = context;
    entry->done = std::move(done);
    m_entries.append(entry);
    if (spec.listed) {
        m_jobs.prepend(job);
        connect(job, &Job::changed, this, &JobManager::changed);
    }
    job->m_endQueued = [this, weak = std::weak_ptr(entry)] {
        QMetaObject::invokeMethod(
            this, [this, weak] { if (const auto e = weak.lock()) onEnded(e, make_error(ErrorCode::kCancelled, "stopped by the user")); }, Qt::QueuedConnection);
    };
    QThreadPool& pool = spec.lane == JobLane::kLight ? m_light : m_heavy;
    pool.start([this, entry, shared = job->m_shared, work = std::move(work)] {
        Status status;
        {
            const std::lock_guard lock(shared->mutex);
            if (shared->stop.stop_requested()) return;  // ended while it waited
            shared->begun = true;
        }
        {
            QMetaObject::invokeMethod(this, [this, entry] { if (m_entries.contains(entry)) entry->job->start(); }, Qt::QueuedConnection);
            try {
                status = work(JobRun(shared));
            } catch (const std::bad_alloc&) {
                status = make_error(ErrorCode::kOutOfMemory, "out of memory");
            } catch (const std::exception& e) {
                status = make_error(ErrorCode::kInternal, e.what());
            }
        }
        QMetaObject::invokeMethod(this, [this, entry, status] { onEnded(entry, status); }, Qt::QueuedConnection);
    });
    m_drain.start();
    emit changed();
    return job;
}

void JobManager::onEnded(const std::shared_ptr<Entry>& entry, const Status& status) {
    if (!m_entries.contains(entry)) return;
    Job* job = entry->job;
    job->end(status);
    m_entries.removeOne(entry);
    if (entry->context && entry->done) entry->done(status);
    emit job->changed();
    emit job->finished();
    emit jobFinished(job);
    if (!entry->listed) job->deleteLater();
    if (m_entries.isEmpty()) {
        m_drain.stop();
        emit allFinished();
    }
}

Job* JobManager::find(const QString& id) const {
    for (Job* j : m_jobs)
        if (j->id() == id) return j;
    return nullptr;
}

bool JobManager::anyActive() const { return !activeJobs().isEmpty(); }

QList<Job*> JobManager::activeJobs() const {
    QList<Job*> out;
    for (const auto& e : m_entries)
        if (e->listed) out.append(e->job);
    return out;
}

void JobManager::stopAll() {
    const auto entries = m_entries;
    for (const auto& e : entries) e->job->stop();
}

void JobManager::remove(Job* job) {
    if (job == nullptr || job->active() || !m_jobs.removeOne(job)) return;
    job->deleteLater();
    emit changed();
}

void JobManager::clearFinished() {
    const auto jobs = m_jobs;
    for (Job* j : jobs)
        if (!j->active() && j->state() != Job::State::kPaused) remove(j);
}

}  // namespace tenpak::app
