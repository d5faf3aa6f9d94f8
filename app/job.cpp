// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/job.h"

#include <cmath>

#include "app/error_text.h"
#include "app/format.h"

namespace tenpak::app {

JobRun::JobRun(std::shared_ptr<Shared> shared) : m_shared(std::move(shared)) {
    m_context.stop = m_shared->stop.get_token();
    m_context.on_progress = [s = m_shared](const Progress& p) {
        const std::lock_guard lock(s->mutex);
        s->progress = p;
    };
}

void JobRun::post(const std::string& key, std::function<void()> onUiThread) const {
    const std::lock_guard lock(m_shared->mutex);
    m_shared->mail[key] = std::move(onUiThread);
}

QString jobPhaseText(const std::string& phase) {
    if (phase == "headers" || phase == "open") return Job::tr("Reading headers");
    if (phase == "estimate") return Job::tr("Estimating");
    if (phase == "find") return Job::tr("Looking for models");
    if (phase == "recover") return Job::tr("Looking for a merged adapter");
    if (phase == "compress") return Job::tr("Compressing");
    if (phase == "pack") return Job::tr("Packing");
    if (phase == "hash" || phase == "hash base" || phase == "base") return Job::tr("Hashing the base");
    if (phase == "verify" || phase == "check") return Job::tr("Checking every chunk");
    if (phase == "verify rebuild" || phase == "compare") return Job::tr("Rebuilding and comparing");
    if (phase == "reconstruct" || phase == "rebuild" || phase == "unpack") return Job::tr("Rebuilding");
    if (phase == "sign") return Job::tr("Signing");
    if (phase == "quantize") return Job::tr("Quantizing");
    if (phase == "calibrate") return Job::tr("Calibrating");
    if (phase == "export") return Job::tr("Writing the model");
    if (phase == "write") return Job::tr("Writing");
    if (phase == "load") return Job::tr("Loading");
    if (phase == "perplexity") return Job::tr("Perplexity");
    if (phase == "timing") return Job::tr("Timing");
    QString s = QString::fromStdString(phase);
    if (!s.isEmpty()) s[0] = s[0].toUpper();
    return s;
}

Job::Job(QString id, QString kind, QString title, QObject* parent)
    : QObject(parent), m_id(std::move(id)), m_kind(std::move(kind)), m_title(std::move(title)), m_secondsLeft(std::nan("")) {
    setObjectName(m_id);
}

double Job::elapsedSeconds() const {
    if (!m_clock.isValid()) return 0;
    return active() ? static_cast<double>(m_clock.elapsed()) / 1000 : m_total;
}

void Job::start() {
    if (m_clock.isValid()) return;
    if (m_state == State::kQueued) m_state = State::kRunning;
    m_clock.start();
    log(tr("Started"));
    emit changed();
}

void Job::stop(State keepAs) {
    if (!active() || m_state == State::kStopping) return;
    m_keepAs = keepAs;
    m_state = State::kStopping;
    log(tr("Stop requested"));
    bool begun = false;
    {
        const std::lock_guard lock(m_shared->mutex);
        m_shared->stop.request_stop();
        begun = m_shared->begun;
    }
    emit changed();
    if (!begun && m_endQueued) m_endQueued();  // nobody else would, before the job in front of it ends
}

void Job::setPhaseText(const QString& text) {
    if (text == m_phaseText) return;
    m_phaseText = text;
    log(text);
    emit changed();
}

void Job::setFraction(double fraction, double secondsLeft) {
    m_ownFraction = true;
    m_fraction = fraction;
    m_secondsLeft = secondsLeft;
    emit changed();
}

void Job::drain() {
    std::optional<Progress> progress;
    std::map<std::string, std::function<void()>> mail;
    {
        const std::lock_guard lock(m_shared->mutex);
        progress.swap(m_shared->progress);
        mail.swap(m_shared->mail);
    }
    if (!m_clock.isValid() && (progress || !mail.empty())) start();
    for (auto& m : mail) m.second();
    if (!progress) return;
    if (progress->phase != m_progress.phase) {
        m_eta.reset();
        log(jobPhaseText(progress->phase));
    }
    m_progress = std::move(*progress);
    m_eta.addSample(static_cast<double>(m_progress.done), static_cast<double>(m_clock.elapsed()) / 1000);
    if (!m_ownFraction) {
        const auto total = static_cast<double>(m_progress.total);
        m_fraction = total > 0 ? std::min(1.0, static_cast<double>(m_progress.done) / total) : -1;
        m_secondsLeft = total > 0 ? m_eta.secondsLeft(total) : std::nan("");
    }
    emit changed();
}

void Job::end(Status result) {
    drain();
    m_total = m_clock.isValid() ? static_cast<double>(m_clock.elapsed()) / 1000 : 0;
    m_secondsLeft = std::nan("");
    if (result.ok()) {
        m_state = State::kDone;
        m_fraction = 1;
        log(tr("Done"));
    } else if (result.error().code == ErrorCode::kCancelled) {
        m_state = m_keepAs;
        log(tr("Stopped"));
    } else {
        m_state = State::kFailed;
        m_error = result.error();
        log(errorText(*m_error).details);
    }
}

void Job::log(const QString& line) {
    if (m_log.size() >= 200) m_log.removeFirst();  // a long sweep must not grow without bound
    m_log.append(QDateTime::currentDateTime().toString(QStringLiteral("HH:mm:ss ")) + line);
}

JobRow Job::row() const {
    JobRow r;
    r.id = m_id;
    r.kind = m_kind;
    r.title = m_title;
    r.state = m_state;
    r.fraction = m_fraction;
    switch (m_state) {
        case State::kQueued: r.phase = tr("Waiting for the job before it"); break;
        case State::kStopping: r.phase = tr("Stopping…"); break;
        case State::kPaused: r.phase = m_phaseText.isEmpty() ? tr("Paused") : m_phaseText; break;
        case State::kDone: r.phase = tr("Done"); break;
        case State::kStopped: r.phase = tr("Stopped"); break;
        case State::kFailed: r.phase = m_error ? errorTitle(m_error->code) : tr("Failed"); break;
        case State::kRunning: r.phase = m_phaseText.isEmpty() ? jobPhaseText(m_progress.phase) : m_phaseText; break;
    }
    if (m_state == State::kRunning && std::isfinite(m_secondsLeft)) r.time = format::timeLeft(m_secondsLeft);
    else if (m_clock.isValid() && m_state != State::kPaused) r.time = format::duration(elapsedSeconds());
    r.canPause = m_canPause && (m_state == State::kRunning || m_state == State::kPaused);
    r.canStop = m_state == State::kRunning || m_state == State::kQueued || m_state == State::kPaused;
    r.canRetry = m_retry && (m_state == State::kFailed || m_state == State::kStopped);
    r.canShow = static_cast<bool>(m_show);
    if (m_error) {
        const ErrorText t = errorText(*m_error);
        r.error = t.body;
        r.hint = t.hint;
    }
    r.log = m_log.join(u'\n');
    return r;
}

}  // namespace tenpak::app
