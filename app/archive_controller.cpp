// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/archive_controller.h"

#include <QDir>
#include <QFileInfo>
#include <set>

#include "app/error_text.h"
#include "app/format.h"
#include "core/jobs/job_store.h"

namespace tenpak::app {
namespace {

using Phase = ArchiveState::Phase;
using State = ArchiveRow::State;

QString qpath(const fs::path& p) { return QString::fromStdString(p.string()); }

ArchiveRow rowOf(const fs::path& path) {
    ArchiveRow r;
    r.path = qpath(path);
    r.name = QFileInfo(r.path).fileName();
    return r;
}
QString sentence(const std::string& reason) {
    QString s = QString::fromStdString(reason);
    if (!s.isEmpty()) s[0] = s[0].toUpper();
    return s;
}

}  // namespace

ArchiveController::ArchiveController(JobManager& jobs, QObject* parent) : QObject(parent), m_jobs(jobs) {}

archive::Options ArchiveController::options() const {
    archive::Options o;
    for (const QString& f : m_state.folders) o.folders.emplace_back(f.toStdString());
    o.replace = m_state.replace;
    o.known_homes = jobs::JobStore::default_directory() / "archives.txt";
    return o;
}

void ArchiveController::addFolder(const QString& folder) {
    const QString clean = QDir::cleanPath(folder);
    if (busy() || m_state.folders.contains(clean)) return;
    m_state.folders.append(clean);
    m_state.phase = Phase::kEmpty;
    m_state.rows.clear();
    m_state.result.clear();
    m_state.canUndo = true;  // whether anything was archived there is known when it is asked for
    emit changed();
}

void ArchiveController::removeFolder(const QString& folder) {
    if (busy()) return;
    m_state.folders.removeAll(folder);
    m_state.phase = Phase::kEmpty;
    m_state.rows.clear();
    m_state.result.clear();
    m_state.canUndo = !m_state.folders.isEmpty();
    emit changed();
}

void ArchiveController::setChecked(const QString& path, bool checked) {
    for (ArchiveRow& r : m_state.rows)
        if (r.path == path) r.checked = checked;
    emit changed();
}

void ArchiveController::setReplace(bool on) {
    if (busy()) return;
    m_state.replace = on;
    emit changed();
}

template <class T>
void ArchiveController::run(const JobSpec& spec, Phase phase, std::function<Result<T>(const archive::Options&, const JobRun&)> work, std::function<void(const T&)> done) {
    if (busy() || m_state.folders.isEmpty()) return;
    const Phase before = m_state.phase;
    m_state.phase = phase;
    m_state.banner = {};
    m_job = m_jobs.start<T>(
        spec, this, [work = std::move(work), o = options()](const JobRun& run) { return work(o, run); },
        [this, before, done = std::move(done)](Result<T> r) {
            if (r.ok()) {
                done(*r);
            } else {
                m_state.phase = before;
                const ErrorText t = errorText(r.error());
                const bool stopped = r.error().code == ErrorCode::kCancelled;
                m_state.banner.tone = stopped ? Tone::kNeutral : Tone::kError;
                m_state.banner.title = stopped ? tr("Stopped") : t.title;
                m_state.banner.body = stopped ? tr("What is finished stays, nothing half-done is left. Archive again to go on.") : QString(t.body + u' ' + t.hint);
                m_state.banner.details = stopped ? QString() : t.details;
            }
            emit changed();
        });
    connect(m_job, &Job::changed, this, &ArchiveController::changed);
    emit changed();
}

void ArchiveController::plan() {
    run<archive::Plan>({QStringLiteral("archive"), tr("Look for fine-tunes to archive")}, Phase::kPlanning,
                       [](const archive::Options& o, const JobRun& run) { return archive::make_plan(o, run.context()); },
                       [this](const archive::Plan& p) { takePlan(p); });
}

void ArchiveController::takePlan(const archive::Plan& plan) {
    m_plan = plan;
    m_state.phase = Phase::kPlanned;
    m_state.rows.clear();
    double raw = 0, estimated = 0, low = 0, high = 0;
    for (const archive::PlannedDelta& d : plan.deltas) {
        ArchiveRow r = rowOf(d.fine_tune);
        r.base = QFileInfo(qpath(d.base)).fileName();
        r.reason = QString::fromStdString(d.reason);
        r.rawBytes = d.raw_bytes;
        r.estimated = d.estimated_bytes;
        r.low = d.low;
        r.high = d.high;
        raw += static_cast<double>(d.raw_bytes);
        estimated += d.estimated_bytes;
        low += d.low;
        high += d.high;
        m_state.rows.append(r);
    }
    for (const archive::Skipped& s : plan.skipped) {
        ArchiveRow r = rowOf(s.path);
        r.state = State::kKept;
        r.reason = sentence(s.reason);
        for (const archive::FoundModel& m : plan.models)
            if (m.path == s.path) r.rawBytes = m.bytes;
        m_state.rows.append(r);
    }
    if (plan.deltas.empty()) m_state.result = tr("%n model(s) found, none to archive.", nullptr, static_cast<int>(plan.models.size()));
    else
        m_state.result = tr("%n model(s) found", nullptr, static_cast<int>(plan.models.size())) + QStringLiteral(" \u00B7 ") +
                         tr("%1 would take %2, %3 less").arg(format::bytes(raw), format::estimatedBytes(estimated, low, high), QStringLiteral("\u2248\u00A0") + format::bytes(raw - estimated, 2));
}

void ArchiveController::archive() {
    std::set<fs::path> chosen;
    bool all = true;
    for (const ArchiveRow& r : m_state.rows) {
        if (r.state != State::kPlanned) continue;
        if (r.checked) chosen.insert(fs::path(r.path.toStdString()));
        else all = false;
    }
    if (chosen.empty()) return;
    // The engine archives what it finds under the folders that it is given: of a part, the models themselves and their bases.
    std::set<fs::path> only;
    if (!all)
        for (const archive::PlannedDelta& d : m_plan.deltas)
            if (chosen.contains(d.fine_tune)) only.insert({d.fine_tune, d.base});
    run<archive::Report>({QStringLiteral("archive"), tr("Archive %n model(s)", nullptr, static_cast<int>(chosen.size()))}, Phase::kRunning,
                         [only](const archive::Options& o, const JobRun& run) {
                             archive::Options part = o;
                             if (!only.empty()) part.folders.assign(only.begin(), only.end());
                             return archive::archive(part, {}, run.context());
                         },
                         [this](const archive::Report& r) { takeReport(r); });
}

void ArchiveController::takeReport(const archive::Report& report) {
    m_state.phase = Phase::kDone;
    m_state.canUndo = true;
    const auto rowFor = [&](const fs::path& path) -> ArchiveRow& {
        for (ArchiveRow& r : m_state.rows)
            if (r.path == qpath(path)) return r;
        m_state.rows.append(rowOf(path));
        return m_state.rows.last();
    };
    for (const archive::Done& d : report.done) {
        ArchiveRow& r = rowFor(d.fine_tune);
        r.state = State::kDone;
        r.base = QFileInfo(qpath(d.base)).fileName();
        r.rawBytes = d.raw_bytes;
        r.storedBytes = d.stored_bytes;
        r.freedBytes = d.freed_bytes;
        r.reason = qpath(d.artifact);
    }
    for (const archive::Failure& f : report.failed) {
        ArchiveRow& r = rowFor(f.path);
        r.state = State::kFailed;
        r.reason = errorText(f.error).body;
    }
    m_state.result = report.done.empty() ? tr("Nothing was archived.")
                                         : tr("%1 stored in %2, rebuilt and compared").arg(format::bytes(static_cast<double>(report.raw_bytes)), format::bytes(static_cast<double>(report.stored_bytes)));
    if (report.freed_bytes > 0) m_state.result += QStringLiteral(" \u00B7 ") + tr("%1 of originals removed").arg(format::bytes(static_cast<double>(report.freed_bytes)));
    if (!report.failed.empty()) m_state.result += QStringLiteral(" \u00B7 ") + tr("%n failed and stayed as they were", nullptr, static_cast<int>(report.failed.size()));
}

void ArchiveController::undo() {
    run<archive::UndoReport>({QStringLiteral("archive"), tr("Undo an archive")}, Phase::kRunning,
                             [](const archive::Options& o, const JobRun& run) -> Result<archive::UndoReport> {
                                 archive::UndoReport all;
                                 std::optional<Error> missing;
                                 for (const fs::path& folder : o.folders) {
                                     auto r = archive::undo(folder, o, run.context());
                                     if (!r.ok() && r.error().code == ErrorCode::kNotFound) {
                                         missing = r.error();
                                         continue;
                                     }
                                     if (!r.ok()) return r.error();
                                     all.undone.insert(all.undone.end(), r->undone.begin(), r->undone.end());
                                     all.failed.insert(all.failed.end(), r->failed.begin(), r->failed.end());
                                 }
                                 if (all.undone.empty() && all.failed.empty() && missing) return *missing;
                                 return all;
                             },
                             [this](const archive::UndoReport& r) { takeUndo(r); });
}

void ArchiveController::takeUndo(const archive::UndoReport& report) {
    m_state.phase = Phase::kEmpty;
    m_state.rows.clear();
    std::uint64_t restored = 0;
    for (const archive::Undone& u : report.undone) restored += u.restored_bytes;
    for (const archive::Failure& f : report.failed) {
        ArchiveRow r = rowOf(f.path);
        r.state = State::kFailed;
        r.reason = errorText(f.error).body;
        m_state.rows.append(r);
    }
    m_state.result = tr("%n model(s) are as they were", nullptr, static_cast<int>(report.undone.size())) + QStringLiteral(" \u00B7 ") +
                     tr("%1 restored, their artifacts are removed").arg(format::bytes(static_cast<double>(restored)));
}

void ArchiveController::stop() {
    if (m_job && m_job->active()) m_job->stop();
}

ArchiveState ArchiveController::state() const {
    ArchiveState s = m_state;
    if (busy()) {
        const JobRow row = m_job->row();
        s.fraction = row.fraction;
        s.phaseText = row.time.isEmpty() ? row.phase : QString(row.phase + QStringLiteral(" \u00B7 ") + row.time);
    }
    return s;
}

}  // namespace tenpak::app
