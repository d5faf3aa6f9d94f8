// SPDX-License-Identifier: GPL-3.0-or-later
// Start page: two drop zones, the sample, recent projects.
#pragma once
#include <QWidget>

#include "app/view_states.h"

class QPushButton;
class QVBoxLayout;

namespace tenpak::ui {

class Banner;
class DropZone;
class Label;

class StartPage : public QWidget {
    Q_OBJECT
   public:
    explicit StartPage(QWidget* parent = nullptr);
    void setState(const app::StartViewState& state);
    void triggerPrimary();  ///< opens the sample

   signals:
    void sampleRequested();
    void chooseRequested(tenpak::app::PairSlot slot);
    void filesDropped(const QStringList& paths, tenpak::app::PairSlot slot);
    void openProjectRequested();
    void recentRequested(const QString& path);
    void bannerActionTriggered(const QString& id);
    void bannerClosed();

   private:
    void showRecent();
    app::StartViewState m_state;
    Banner* m_banner = nullptr;
    QPushButton* m_sample = nullptr;
    Label* m_sampleCost = nullptr;
    QWidget* m_recentCard = nullptr;
    QVBoxLayout* m_recentRows = nullptr;
};

}  // namespace tenpak::ui
