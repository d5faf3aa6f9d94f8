// SPDX-License-Identifier: GPL-3.0-or-later
// Owns the jobs and the threads they run on. UI thread only; no nested event loop anywhere. A result comes back once, on
// the UI thread, also when the job was stopped (then it is a kCancelled error); never after the context object is gone.
// Destroying the manager stops everything and joins: an engine job ends within about 200 ms of being told.
#pragma once
#include <QPointer>
#include <QThreadPool>
#include <QTimer>

#include "app/job.h"

namespace tenpak::app {

struct JobSpec {
    QString kind;   ///< "compress": see JobRow
    QString title;
    JobLane lane = JobLane::kHeavy;
    bool listed = true;  ///< false: no row in the drawer (header reading, hardware probe)
};

class JobManager : public QObject {
    Q_OBJECT
   public:
    explicit JobManager(QObject* parent = nullptr);
    ~JobManager() override;

    /// Runs work(run) on a worker thread and then done(result) on this one. The pointer stays valid until remove(),
    /// clearFinished() or, for an unlisted job, until it ended.
    template <class T>
    Job* start(const JobSpec& spec, QObject* context, std::function<Result<T>(const JobRun&)> work, std::function<void(Result<T>)> done) {
        auto slot = std::make_shared<std::optional<Result<T>>>();
        return startErased(
            spec, context,
            [slot, work = std::move(work)](const JobRun& run) -> Status {
                *slot = work(run);
                if ((*slot)->ok()) return {};
                return (*slot)->error();
            },
            [slot, done = std::move(done)](const Status& status) {
                // The work threw, or never ran: the status is all there is.
                if (!status.ok() && (!slot->has_value() || (*slot)->ok())) done(Result<T>(status.error()));
                else done(std::move(**slot));
            });
    }

    const QList<Job*>& jobs() const { return m_jobs; }  ///< listed ones, newest first
    Job* find(const QString& id) const;
    bool anyActive() const;
    QList<Job*> activeJobs() const;
    void stopAll();
    void remove(Job* job);
    void clearFinished();

   signals:
    void changed();            ///< any listed job did
    void jobFinished(tenpak::app::Job* job);
    void allFinished();        ///< the last active one ended

   private:
    struct Entry;
    Job* startErased(const JobSpec& spec, QObject* context, std::function<Status(const JobRun&)> work, std::function<void(const Status&)> done);
    void onEnded(const std::shared_ptr<Entry>& entry, const Status& status);

    QThreadPool m_light, m_heavy;
    QTimer m_drain;
    QList<Job*> m_jobs;
    QList<std::shared_ptr<Entry>> m_entries;  ///< active ones, unlisted too
    int m_counter = 0;
};

}  // namespace tenpak::app
