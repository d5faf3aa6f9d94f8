// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/locations.h"

#include <QDir>
#include <QDirIterator>
#include <QFileInfo>

#include "core/jobs/job_store.h"

namespace tenpak::app {
namespace {

quint64 bytesIn(const QString& folder) {
    quint64 n = 0;
    for (QDirIterator it(folder, QDir::Files, QDirIterator::Subdirectories); it.hasNext();) {
        it.next();
        n += static_cast<quint64>(it.fileInfo().size());
    }
    return n;
}
bool holdsModel(const QString& folder) { return !QDir(folder).entryList({QStringLiteral("*.safetensors")}, QDir::Files).isEmpty(); }

}  // namespace

std::optional<SampleFiles> findSample(const QString& programFolder) {
    QStringList folders;
    if (const QString env = qEnvironmentVariable("TENPAK_SAMPLE_DIR"); !env.isEmpty()) folders.append(env);
    folders.append(QDir(programFolder).filePath(QStringLiteral("../share/tenpak/sample")));
    QDir up(programFolder);
    for (int i = 0; i < 5; ++i) {
        folders.append(up.filePath(QStringLiteral("resources/sample")));
        if (!up.cdUp()) break;
    }
    for (const QString& folder : folders) {
        const QDir d(folder);
        SampleFiles s;
        s.folder = d.canonicalPath();
        s.base = QDir(s.folder).filePath(QStringLiteral("base"));
        s.fineTune = QDir(s.folder).filePath(QStringLiteral("finetune"));
        if (s.folder.isEmpty() || !holdsModel(s.base) || !holdsModel(s.fineTune)) continue;
        const QStringList sweeps = QDir(s.folder).entryList({QStringLiteral("*sweep*.json")}, QDir::Files, QDir::Name);
        if (!sweeps.isEmpty()) s.recordedSweep = QDir(s.folder).filePath(sweeps.first());
        s.bytes = bytesIn(s.base) + bytesIn(s.fineTune);
        return s;
    }
    return {};
}

QString findWorkerProgram(const QString& programFolder) {
    const QFileInfo f(QDir(programFolder).filePath(QStringLiteral("tenpak")));
    return f.isFile() && f.isExecutable() ? f.absoluteFilePath() : QString();
}

QString dataFolder() { return QString::fromStdString(jobs::JobStore::default_directory().string()); }

}  // namespace tenpak::app
