// SPDX-License-Identifier: GPL-3.0-or-later
// Every action as the `tenpak` command that does the same: what "Copy as tenpak command" puts on the clipboard.
#pragma once
#include <QString>
#include <QStringList>

#include "core/optimizer/judge.h"

namespace tenpak::app {

/// `'...'` where a shell would need it.
QString shellQuoted(const QString& word);
QString estimateCommand(const QString& base, const QString& fineTune);
QString compressCommand(const QString& base, const QString& fineTune, const QString& output);
QString optimizeCommand(const QString& model, const QString& text, const QStringList& candidates, const optimizer::Limits& limits, const QString& hardware,
                        const QStringList& imports = {});
QString verifyCommand(const QString& artifact);

}  // namespace tenpak::app
