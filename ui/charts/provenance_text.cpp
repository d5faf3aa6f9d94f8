// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/charts/provenance_text.h"

#include <QCoreApplication>
#include <QDateTime>

#include "app/format.h"

namespace tenpak::ui {
namespace {
struct Tr {
    Q_DECLARE_TR_FUNCTIONS(ParetoPlot)
};
}  // namespace

QString provenanceText(const optimizer::Trial& trial) {
    const QString device = QString::fromStdString(trial.device);
    const QDateTime at = QDateTime::fromString(QString::fromStdString(trial.measured_at), Qt::ISODate).toLocalTime();
    switch (trial.provenance) {
        case optimizer::Provenance::kMeasured: {
            QString s = at.isValid() ? Tr::tr("Measured here, %1").arg(app::format::when(at)) : Tr::tr("Measured here");
            return device.isEmpty() ? s : s + QStringLiteral(", ") + device;
        }
        case optimizer::Provenance::kRecorded: {
            const QString s = Tr::tr("Recorded on %1").arg(device.isEmpty() ? Tr::tr("an unnamed device") : device);
            return at.isValid() ? s + QStringLiteral(", ") + app::format::date(at) : s;
        }
        case optimizer::Provenance::kProjected: return device.isEmpty() ? Tr::tr("Projected, not measured") : Tr::tr("Projected to %1, not measured").arg(device);
    }
    return {};
}

}  // namespace tenpak::ui
