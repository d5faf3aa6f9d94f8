// SPDX-License-Identifier: GPL-3.0-or-later
// The texts of the studio in the user's language; English too has a file, for its plurals.
#pragma once

class QCoreApplication;

namespace tenpak::ui {

/// Call once after the application object and the default locale exist. Languages without a file show English.
void installTranslations(QCoreApplication& app);

}  // namespace tenpak::ui
