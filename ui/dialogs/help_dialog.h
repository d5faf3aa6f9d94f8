// SPDX-License-Identifier: GPL-3.0-or-later
// Help: what the pages do, all keys (from the action registry), and what this program is.
#pragma once
#include <QDialog>

#include "app/action_registry.h"

namespace tenpak::ui {

enum class HelpTopic { kContents, kKeys, kAbout };

class HelpDialog : public QDialog {
    Q_OBJECT
   public:
    HelpDialog(HelpTopic topic, const app::ActionRegistry& actions, QWidget* parent = nullptr);
};

}  // namespace tenpak::ui
