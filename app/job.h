// SPDX-License-Identifier: GPL-3.0-or-later
// One long operation as the window sees it: the page's pill, the rail's dot, the status bar and the drawer's row all come
// from this object. Lives on the UI thread; what runs on the worker thread sees only a JobRun.
#pragma once
#include <QDateTime>
#include <QElapsedTimer>
#include <QObject>
#include <QStringList>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "app/eta.h"
#include "app/view_states.h"
#include "core/base/job_context.h"

namespace tenpak::app {

/// Engine jobs that measure time or fill the disk run one after the other; short reading ones beside them.
enum class JobLane { kLight, kHeavy };

/// What the worker thread gets. `context()` reports progress; `post()` hands a value to the UI thread: only the latest of
/// each key is delivered, at most every 100 ms, so a fast producer cannot flood the window.
class JobRun {
   public:
    const JobContext& context() const { return m_context; }
    void post(const std::string& key, std::function<void()> onUiThread) const;

   private:
    friend class Job;
    friend class JobManager;
    struct Shared {
        std::mutex mutex;
        std::stop_source stop;
        bool begun = false;  ///< by the worker thread: from then on only it ends the job
        std::optional<Progress> progress;
        std::map<std::string, std::function<void()>> mail;
    };
    explicit JobRun(std::shared_ptr<Shared> shared);
    std::shared_ptr<Shared> m_shared;
    JobContext m_context;
};

class Job : public QObject {
    Q_OBJECT
   public:
    using State = JobRow::State;

    const QString& id() const { return m_id; }
    const QString& kind() const { return m_kind; }
    const QString& title() const { return m_title; }
    State state() const { return m_state; }
    bool active() const { return m_state == State::kQueued || m_state == State::kRunning || m_state == State::kStopping; }
    const Progress& progress() const { return m_progress; }
    double fraction() const { return m_fraction; }            ///< negative where not known
    double secondsLeft() const { return m_secondsLeft; }      ///< NaN before three samples
    double rate() const { return m_eta.rate(); }              ///< units of progress a second; NaN before three samples
    double elapsedSeconds() const;
    const std::optional<Error>& error() const { return m_error; }
    JobRow row() const;

    /// At once "Stopping"; the work hears it within 50 ms. `keepAs`: what it is afterwards (kPaused for a sweep).
    void stop(State keepAs = State::kStopped);
    void setPhaseText(const QString& text);                   ///< instead of the words for progress().phase
    void setFraction(double fraction, double secondsLeft);    ///< from here on not taken from the progress
    void setCanPause(bool can) { m_canPause = can; }
    void setRetry(std::function<void()> retry) { m_retry = std::move(retry); }
    void setShow(std::function<void()> show) { m_show = std::move(show); }
    void retry() const { if (m_retry) m_retry(); }
    void show() const { if (m_show) m_show(); }

   signals:
    void changed();
    void finished();  ///< after the result was delivered

   private:
    friend class JobManager;
    Job(QString id, QString kind, QString title, QObject* parent);
    void start();
    void drain();             ///< progress and mail of the last 100 ms
    void end(Status result);
    void log(const QString& line);

    QString m_id, m_kind, m_title, m_phaseText, m_lastPhase;
    State m_state = State::kQueued, m_keepAs = State::kStopped;
    Progress m_progress;
    Eta m_eta;
    double m_fraction = -1, m_secondsLeft;
    bool m_ownFraction = false, m_canPause = false;
    QElapsedTimer m_clock;
    double m_total = 0;  ///< seconds, once ended
    std::optional<Error> m_error;
    QStringList m_log;
    std::function<void()> m_retry, m_show, m_endQueued;
    std::shared_ptr<JobRun::Shared> m_shared = std::make_shared<JobRun::Shared>();
};

/// "compress" -> "Compressing": the engine's phase words, translated; unknown ones as they are.
QString jobPhaseText(const std::string& phase);

}  // namespace tenpak::app
