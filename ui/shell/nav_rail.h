// SPDX-License-Identifier: GPL-3.0-or-later
// The rail at the left: icon over word, a dot on a page whose job runs.
#pragma once
#include <QAbstractButton>
#include <array>

namespace tenpak::ui {

class NavButton : public QAbstractButton {
    Q_OBJECT
   public:
    NavButton(const QString& objectName, const QString& icon, const QString& text, const QString& key, QWidget* parent = nullptr);
    void setBusy(bool busy);

   protected:
    void paintEvent(QPaintEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;

   private:
    QString m_icon;
    bool m_busy = false;
};

class NavRail : public QWidget {
    Q_OBJECT
   public:
    explicit NavRail(QWidget* parent = nullptr);
    void setCurrent(int page);
    void setBusy(int page, bool busy);
    void focusCurrent();

   signals:
    void chosen(int page);
    void settingsRequested();

   private:
    std::array<NavButton*, 4> m_pages{};
};

}  // namespace tenpak::ui
