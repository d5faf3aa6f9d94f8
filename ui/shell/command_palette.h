// SPDX-License-Identifier: GPL-3.0-or-later
// Ctrl+K: every command by its words, with its key. Enter runs it.
#pragma once
#include <QFrame>

class QAction;
class QLineEdit;
class QListWidget;

namespace tenpak::app {
class ActionRegistry;
}

namespace tenpak::ui {

class CommandPalette : public QFrame {
    Q_OBJECT
   public:
    CommandPalette(const app::ActionRegistry& actions, QWidget* parent);
    void openOver(const QWidget* window);

   protected:
    void paintEvent(QPaintEvent* event) override;
    bool eventFilter(QObject* watched, QEvent* event) override;

   private:
    void search(const QString& words);
    void run();
    const app::ActionRegistry& m_registry;
    QLineEdit* m_words;
    QListWidget* m_list;
    QList<QAction*> m_hits;
};

}  // namespace tenpak::ui
