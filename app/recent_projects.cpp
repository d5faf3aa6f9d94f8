// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/recent_projects.h"

#include <QFileInfo>

#include "app/format.h"
#include "app/project.h"
#include "core/base/file.h"

namespace tenpak::app {
namespace {

QString fileName(const QString& path) { return QFileInfo(path).fileName(); }

}  // namespace

RecentProjects::RecentProjects(Settings& settings, QObject* parent) : QObject(parent), m_settings(settings) {}

void RecentProjects::add(const QString& projectFile) {
    QStringList files = m_settings.recentProjects();
    files.removeAll(projectFile);
    files.prepend(projectFile);
    m_settings.setRecentProjects(files.mid(0, kMost));
    emit changed();
}

QList<RecentProject> RecentProjects::list() {
    QList<RecentProject> out;
    QStringList kept;
    for (const QString& file : m_settings.recentProjects()) {
        const auto json = read_text_file(fs::path(file.toStdString()), 1 << 20);
        if (!json.ok()) continue;
        const auto data = Project::fromJson(QByteArray::fromStdString(*json), file);
        if (!data.ok() || data->base.isEmpty() || data->fineTune.isEmpty()) continue;
        kept.append(file);
        RecentProject r;
        r.path = file;
        r.name = tr("%1 vs %2").arg(fileName(data->fineTune), fileName(data->base));
        r.pair = fileName(data->base) + QStringLiteral(" \u2192 ") + fileName(data->fineTune);
        QStringList results;
        if (data->savedPercent >= 0) results.append(tr("%1 smaller").arg(format::percent(data->savedPercent)));
        if (!data->winner.isEmpty()) results.append(tr("%1 wins").arg(data->winner));
        r.result = results.isEmpty() ? tr("No result yet") : results.join(QStringLiteral(" \u00B7 "));
        r.when = format::when(data->used);
        out.append(r);
    }
    if (kept != m_settings.recentProjects()) m_settings.setRecentProjects(kept);
    return out;
}

}  // namespace tenpak::app
