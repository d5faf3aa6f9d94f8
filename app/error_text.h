// SPDX-License-Identifier: GPL-3.0-or-later
// What the window says about an Error: a title (the event), a body (what and where), a hint (what to do). The core's
// messages are English and technical; titles and hints are translated and exist for every ErrorCode (tested).
#pragma once
#include <QString>

#include "core/base/error.h"

namespace tenpak::app {

struct ErrorText {
    QString title;    ///< "The disk is full"
    QString body;     ///< the core's `what (where)`
    QString hint;     ///< the core's own hint, else the code's
    QString details;  ///< for "Copy details": code name and everything above
};

QString errorTitle(ErrorCode code);
QString errorHint(ErrorCode code);
ErrorText errorText(const Error& error);
/// `what (where)` of a core message, control characters removed.
QString errorBody(const Error& error);

}  // namespace tenpak::app
