// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/commands.h"

#include <QRegularExpression>

namespace tenpak::app {

QString shellQuoted(const QString& word) {
    static const QRegularExpression plain(QStringLiteral("^[A-Za-z0-9_@%+=:,./-]+$"));
    if (plain.match(word).hasMatch()) return word;
    QString s = word;
    return u'\'' + s.replace(u'\'', QStringLiteral("'\\''")) + u'\'';
}

QString estimateCommand(const QString& base, const QString& fineTune) {
    return QStringLiteral("tenpak delta estimate ") + shellQuoted(base) + u' ' + shellQuoted(fineTune);
}
QString compressCommand(const QString& base, const QString& fineTune, const QString& output) {
    return QStringLiteral("tenpak delta compress ") + shellQuoted(base) + u' ' + shellQuoted(fineTune) + QStringLiteral(" -o ") + output;
}

QString optimizeCommand(const QString& model, const QString& text, const QStringList& candidates, const optimizer::Limits& limits, const QString& hardware,
                        const QStringList& imports) {
    QString s = QStringLiteral("tenpak optimize ") + shellQuoted(model);
    const auto add = [&](const char* option, const QString& value) { s += u' ' + QLatin1String(option) + u' ' + value; };
    const auto number = [](double v) { return QString::number(v, 'g', 12); };
    if (!text.isEmpty()) add("--text", shellQuoted(text));
    if (limits.max_ppl_delta) add("--max-ppl-delta", number(*limits.max_ppl_delta));
    if (limits.max_latency_p99_ms) add("--max-latency-p99-ms", number(*limits.max_latency_p99_ms));
    if (limits.min_throughput_tps) add("--min-throughput-tps", number(*limits.min_throughput_tps));
    if (limits.max_memory_mb) add("--max-memory-mb", number(*limits.max_memory_mb));
    if (limits.min_accuracy) add("--min-accuracy", number(*limits.min_accuracy));
    QStringList names = candidates;
    names.removeIf([](const QString& name) { return name.startsWith(QStringLiteral("import:")); });
    if (!names.isEmpty()) add("--candidates", names.join(u','));
    for (const QString& path : imports) add("--import", shellQuoted(path));
    if (!hardware.isEmpty()) add("--hardware", shellQuoted(hardware));
    return s;
}

QString verifyCommand(const QString& artifact) { return QStringLiteral("tenpak artifact verify ") + shellQuoted(artifact); }

}  // namespace tenpak::app
