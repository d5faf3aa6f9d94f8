// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/shell_view.h"

#include <QCoreApplication>

#include "app/format.h"

namespace tenpak::app {
namespace {

QString text(const char* s) { return QCoreApplication::translate("shell", s); }

}  // namespace

JobPage pageOfJob(const QString& kind) {
    if (kind == QStringLiteral("sweep") || kind == QStringLiteral("pack")) return JobPage::kSweep;
    if (kind == QStringLiteral("verify") || kind == QStringLiteral("unpack") || kind == QStringLiteral("compare")) return JobPage::kArtifacts;
    return JobPage::kDelta;
}

ShellState shellState(const JobManager& jobs, const Project& project) {
    ShellState s;
    s.title = project.data().base.isEmpty() && project.data().fineTune.isEmpty() ? QString() : project.name();
    if (project.savedAt().isValid()) s.savedText = text("Autosaved %1").arg(format::clockTime(project.savedAt()));
    int running = 0, waiting = 0;
    QString first;
    for (const Job* j : jobs.jobs()) {
        const JobRow row = j->row();
        s.jobs.append(row);
        if (!j->active()) continue;
        (j->state() == Job::State::kQueued ? waiting : running) += 1;
        switch (pageOfJob(j->kind())) {
            case JobPage::kDelta: s.deltaBusy = true; break;
            case JobPage::kSweep: s.sweepBusy = true; break;
            case JobPage::kArtifacts: s.artifactsBusy = true; break;
        }
        if (first.isEmpty() && j->state() != Job::State::kQueued) {
            QStringList parts{row.phase};
            if (!row.time.isEmpty()) parts.append(row.time);
            first = parts.join(QStringLiteral(" \u00B7 "));
        }
    }
    s.jobsRunning = running + waiting > 0;
    if (s.jobsRunning) {
        QStringList parts{running == 1 ? text("1 job running") : text("%1 jobs running").arg(running)};
        if (waiting > 0) parts.append(text("%1 waiting").arg(waiting));
        if (running == 1 && !first.isEmpty()) parts.append(first);
        s.jobsText = parts.join(QStringLiteral(" \u00B7 "));
    }
    return s;
}

}  // namespace tenpak::app
