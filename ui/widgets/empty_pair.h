// SPDX-License-Identifier: GPL-3.0-or-later
// What Delta and Sweep show without a pair: the two drop zones, small, and one sentence.
#pragma once
#include <QWidget>

#include "app/view_states.h"

namespace tenpak::ui {

class EmptyPair : public QWidget {
    Q_OBJECT
   public:
    EmptyPair(const QString& sentence, QWidget* parent = nullptr);

   signals:
    void chooseRequested(tenpak::app::PairSlot slot);
    void filesDropped(const QStringList& paths, tenpak::app::PairSlot slot);
};

}  // namespace tenpak::ui
