// SPDX-License-Identifier: GPL-3.0-or-later
// What this machine is, as a chip; a click opens everything known of it and the price of an hour.
#pragma once
#include <QAbstractButton>
#include <QFrame>

#include "app/view_states.h"

namespace tenpak::ui {

class HardwarePopover : public QFrame {
    Q_OBJECT
   public:
    explicit HardwarePopover(const app::HardwareState& hardware, QWidget* parent = nullptr);

   signals:
    void priceEdited(const QString& id, double usdPerHour);
    void priceChosen(const QString& id);

   protected:
    void paintEvent(QPaintEvent* event) override;
};

class HardwareChip : public QAbstractButton {
    Q_OBJECT
   public:
    explicit HardwareChip(QWidget* parent = nullptr);
    void setHardware(const app::HardwareState& hardware);
    QSize sizeHint() const override;
    QSize minimumSizeHint() const override { return sizeHint(); }
    HardwarePopover* openPopover();

   signals:
    void priceEdited(const QString& id, double usdPerHour);
    void priceChosen(const QString& id);

   protected:
    void paintEvent(QPaintEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;

   private:
    app::HardwareState m_hardware;
};

}  // namespace tenpak::ui
