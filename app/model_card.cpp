// SPDX-License-Identifier: GPL-3.0-or-later
// What a path is, and what a model card says of its base.
#include <QDir>
#include <QFile>
#include <QFileInfo>

#include "app/pair_controller.h"
#include "core/artifact/artifact.h"

namespace tenpak::app {
namespace {

QString unquoted(QString s) {
    s = s.trimmed();
    if (s.size() >= 2 && (s.front() == u'"' || s.front() == u'\'') && s.back() == s.front()) s = s.mid(1, s.size() - 2);
    return s.toLower();
}

}  // namespace

DroppedKind classifyPath(const QString& path) {
    const QFileInfo info(path);
    if (!info.exists()) return DroppedKind::kOther;
    const QString suffix = info.suffix().toLower();
    if (info.isFile() && suffix == QStringLiteral("tnpkproj")) return DroppedKind::kProject;
    if (suffix == QStringLiteral("tnpk") || looks_like_artifact(fs::path(path.toStdString()))) return DroppedKind::kArtifact;
    if (info.isFile()) return suffix == QStringLiteral("safetensors") ? DroppedKind::kModel : DroppedKind::kOther;
    const QDir dir(path);
    const bool weights = !dir.entryList({QStringLiteral("*.safetensors"), QStringLiteral("*.safetensors.index.json")}, QDir::Files).isEmpty();
    return weights || dir.exists(QStringLiteral("config.json")) ? DroppedKind::kModel : DroppedKind::kOther;
}

QStringList baseModelsOfCard(const QString& modelPath) {
    const QFileInfo info(modelPath);
    QFile card(QDir(info.isDir() ? modelPath : info.absolutePath()).filePath(QStringLiteral("README.md")));
    if (!card.open(QIODevice::ReadOnly)) return {};
    const QStringList lines = QString::fromUtf8(card.read(65536)).split(u'\n');
    if (lines.isEmpty() || lines[0].trimmed() != QStringLiteral("---")) return {};
    QStringList out;
    bool inList = false;
    for (qsizetype i = 1; i < lines.size() && lines[i].trimmed() != QStringLiteral("---"); ++i) {
        const QString line = lines[i], bare = line.trimmed();
        if (bare.startsWith(QStringLiteral("base_model:"))) {
            const QString value = bare.mid(11).trimmed();
            inList = value.isEmpty();
            if (value.startsWith(u'[') && value.endsWith(u']'))
                for (const QString& v : value.mid(1, value.size() - 2).split(u',')) out.append(unquoted(v));
            else if (!value.isEmpty()) out.append(unquoted(value));
        } else if (inList && bare.startsWith(u'-')) {
            out.append(unquoted(bare.mid(1)));
        } else if (inList && !bare.isEmpty()) {
            inList = false;
        }
    }
    return out;
}

}  // namespace tenpak::app
