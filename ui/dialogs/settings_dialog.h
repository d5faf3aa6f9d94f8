// SPDX-License-Identifier: GPL-3.0-or-later
// Settings: appearance, output folder, trusted keys. Changes apply at once.
#pragma once
#include <QDialog>

#include "app/settings.h"
#include "core/signing/signing.h"

namespace tenpak::ui {

class SettingsDialog : public QDialog {
    Q_OBJECT
   public:
    SettingsDialog(app::Settings& settings, const std::vector<signing::TrustedKey>& keys, QWidget* parent = nullptr);

   signals:
    void appearanceChanged();
    void removeKeyRequested(const QString& fingerprint);
};

}  // namespace tenpak::ui
