// SPDX-License-Identifier: GPL-3.0-or-later
// Every command of the studio: id -> QAction with its words, default key (ui-design section 9), menu and context. Menu bar,
// palette (Ctrl+K) and the list of keys are generated from it. The category of an id is what stands before its dot.
#pragma once
#include <QAction>
#include <QHash>
#include <QKeySequence>
#include <QList>
#include <QObject>
#include <QString>

namespace tenpak::app {

/// Where an action applies; the window enables those of the page in front.
enum class ActionContext { kAlways, kDelta, kSweep, kArtifacts };

struct ActionSpec {
    const char* id;        ///< "pair.swap"
    const char* menu;      ///< "File", "Edit", "View", "Run", "Help"; "" = palette only
    const char* text;      ///< "Swap base and fine-tune"
    const char* key;       ///< portable text, "" for none; several separated by "; "
    ActionContext context;
    bool separatorBefore;
};

class ActionRegistry : public QObject {
    Q_OBJECT
   public:
    explicit ActionRegistry(QObject* parent = nullptr);

    /// Never null for an id of actionSpecs(); a wrong id is a defect (asserts) and gives a disabled dummy.
    QAction* action(QLatin1String id) const;
    QAction* action(const char* id) const { return action(QLatin1String(id)); }
    const QList<QAction*>& actions() const { return m_all; }       ///< in the order of the menus
    QList<QAction*> actionsOfMenu(QLatin1String menu) const;
    static QList<QLatin1String> menus();                           ///< in order
    bool separatorBefore(const QAction* action) const;
    /// Those whose words contain every word of `query`, best first: the palette.
    QList<QAction*> find(const QString& query) const;
    /// Enables what applies on this page.
    void setContext(ActionContext page);

   signals:
    void triggered(const QString& id);  ///< of whichever action

   private:
    QHash<QString, QAction*> m_byId;
    QHash<const QAction*, const ActionSpec*> m_specs;
    QList<QAction*> m_all;
    QAction* m_dummy;
};

const QList<ActionSpec>& actionSpecs();

}  // namespace tenpak::app
