// SPDX-License-Identifier: GPL-3.0-or-later
// At most one a page: the event as title, what and where as body, one or two buttons that fix it.
#pragma once
#include <QWidget>

#include "app/view_states.h"

class QHBoxLayout;
class QPushButton;

namespace tenpak::ui {

class IconLabel;
class Label;

class Banner : public QWidget {
    Q_OBJECT
   public:
    explicit Banner(QWidget* parent = nullptr);
    /// An empty state hides it. `icon` replaces the tone's own.
    void setState(const app::BannerState& state, const QString& icon = {});
    const app::BannerState& state() const { return m_state; }

   signals:
    void actionTriggered(const QString& id);
    void copyRequested(const QString& text);
    void closed();

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    app::BannerState m_state;
    QString m_iconName;
    IconLabel* m_icon;
    Label* m_title;
    Label* m_body;
    QHBoxLayout* m_buttons;
    QPushButton* m_close;
};

}  // namespace tenpak::ui
