// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/export_controller.h"

#include <QDir>
#include <QFileInfo>

#include "app/commands.h"
#include "app/format.h"
#include "app/engine_rows.h"
#include "app/export_candidate.h"

namespace tenpak::app {
ExportController::ExportController(JobManager& jobs, Settings& settings, SigningKeys& keys, QObject* parent)
    : QObject(parent), m_jobs(jobs), m_settings(settings), m_keys(keys) {}

CompressDialogState ExportController::dialogState(const QString& candidate, const QString& modelPath, quint64 storedBytes) const {
    CompressDialogState s;
    const QString name = QFileInfo(modelPath).fileName() + u'-' + candidate;
    s.heading = tr("Export %1").arg(candidate);
    s.primary = tr("Export");
    const QString folder = m_settings.outputFolder();
    s.request.path = QDir(folder).filePath(name + QStringLiteral(".tnpk"));
    for (int i = 2; QFileInfo::exists(s.request.path); ++i) s.request.path = QDir(folder).filePath(QStringLiteral("%1-%2.tnpk").arg(name).arg(i));
    s.keys = m_keys.choices();
    s.request.signing = s.keys.first();
    QStringList expected;
    if (storedBytes > 0) expected.append(tr("Weights %1 in the sweep").arg(format::bytes(static_cast<double>(storedBytes))));
    if (const auto free = free_bytes(fs::path(folder.toStdString())); free.ok()) expected.append(tr("%1 free").arg(format::bytes(static_cast<double>(*free))));
    s.expected = expected.join(QStringLiteral(" \u00B7 "));
    for (const CandidateLayout& l : candidate_layouts(fs::path(modelPath.toStdString()), candidate.toStdString())) s.layouts.append(engineVerdicts(l));
    s.canRebuild = true;  // the packed directory, not the 16-bit model, is what is rebuilt and compared
    s.commandTemplate = QStringLiteral("tenpak quantize ") + shellQuoted(modelPath) + QStringLiteral(" --candidate ") + candidate +
                        QStringLiteral("%2 -o ") + shellQuoted(name) + QStringLiteral(" && tenpak artifact pack ") + shellQuoted(name) + QStringLiteral(" -o %1");
    return s;
}

void ExportController::exportCandidate(const QString& candidate, const QString& modelPath, const CompressRequest& request, const QString& passphrase) {
    if (running()) return;
    if (request.signing.kind != SigningChoice::Kind::kNone) m_keys.remember(request.signing);
    m_settings.setOutputFolder(QFileInfo(request.path).absolutePath());
    WriteRequest write;
    write.path = request.path.toStdString();
    write.folder = request.folder;
    write.key = SigningKeys::toKey(request.signing, passphrase);
    write.model_id = QString(QFileInfo(modelPath).fileName() + u'-' + candidate).toStdString();
    write.rebuild_and_compare = request.rebuildAndCompare;
    JobSpec spec{QStringLiteral("pack"), tr("Export %1").arg(candidate)};
    m_job = m_jobs.start<WriteOutcome>(
        spec, this,
        [name = candidate.toStdString(), layout = request.layout.toStdString(), model = modelPath.toStdString(), write](const JobRun& job) {
            return export_candidate(name, layout, model, write, job.context());
        },
        [this, candidate](Result<WriteOutcome> r) {
            emit changed();
            if (r.ok()) emit exported(QString::fromStdString(r->artifact->path().string()), candidate);
            else if (r.error().code != ErrorCode::kCancelled) emit failed(r.error());
        });
    connect(m_job, &Job::changed, this, &ExportController::changed);
    emit changed();
}

}  // namespace tenpak::app
