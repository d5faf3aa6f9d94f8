// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/action_registry.h"

#include <QCoreApplication>
#include <algorithm>

namespace tenpak::app {

#define TP_TEXT(s) QT_TRANSLATE_NOOP("actions", s)

const QList<ActionSpec>& actionSpecs() {
    using enum ActionContext;
    static const QList<ActionSpec> specs{
        {"project.new", "File", TP_TEXT("New project"), "Ctrl+N", kAlways, false},
        {"project.open", "File", TP_TEXT("Open project…"), "Ctrl+O", kAlways, false},
        {"project.save", "File", TP_TEXT("Save project as…"), "Ctrl+S", kAlways, false},
        {"sample.open", "File", TP_TEXT("Open the sample"), "Ctrl+Shift+S", kAlways, false},
        {"artifact.open", "File", TP_TEXT("Open artifact…"), "Ctrl+Shift+O", kAlways, false},
        {"pair.chooseBase", "File", TP_TEXT("Choose base…"), "Ctrl+Shift+B", kAlways, true},
        {"pair.chooseFineTune", "File", TP_TEXT("Choose fine-tune…"), "Ctrl+Shift+F", kAlways, false},
        {"pair.findBase", "File", TP_TEXT("Find base…"), "Ctrl+Shift+G", kAlways, false},
        {"pair.swap", "File", TP_TEXT("Swap base and fine-tune"), "Ctrl+Shift+X", kAlways, false},
        {"chart.export", "File", TP_TEXT("Export chart…"), "Ctrl+E", kSweep, true},
        {"recent.1", "File", TP_TEXT("Recent project 1"), "Ctrl+Shift+1", kAlways, true},
        {"recent.2", "File", TP_TEXT("Recent project 2"), "Ctrl+Shift+2", kAlways, false},
        {"recent.3", "File", TP_TEXT("Recent project 3"), "Ctrl+Shift+3", kAlways, false},
        {"recent.4", "File", TP_TEXT("Recent project 4"), "Ctrl+Shift+4", kAlways, false},
        {"recent.5", "File", TP_TEXT("Recent project 5"), "Ctrl+Shift+5", kAlways, false},
        {"recent.6", "File", TP_TEXT("Recent project 6"), "Ctrl+Shift+6", kAlways, false},
        {"recent.7", "File", TP_TEXT("Recent project 7"), "Ctrl+Shift+7", kAlways, false},
        {"recent.8", "File", TP_TEXT("Recent project 8"), "Ctrl+Shift+8", kAlways, false},
        {"recent.9", "File", TP_TEXT("Recent project 9"), "Ctrl+Shift+9", kAlways, false},
        {"app.settings", "File", TP_TEXT("Settings"), "Ctrl+,", kAlways, true},
        {"app.quit", "File", TP_TEXT("Quit"), "Ctrl+Q", kAlways, false},
        {"edit.undo", "Edit", TP_TEXT("Undo"), "Ctrl+Z", kAlways, false},
        {"edit.redo", "Edit", TP_TEXT("Redo"), "Ctrl+Y; Ctrl+Shift+Z", kAlways, false},
        {"edit.copyCommand", "Edit", TP_TEXT("Copy as tenpak command"), "Ctrl+Shift+C", kAlways, true},
        {"edit.filter", "Edit", TP_TEXT("Filter"), "Ctrl+F", kAlways, false},
        {"page.start", "View", TP_TEXT("Start"), "Ctrl+1", kAlways, false},
        {"page.delta", "View", TP_TEXT("Delta"), "Ctrl+2", kAlways, false},
        {"page.sweep", "View", TP_TEXT("Sweep"), "Ctrl+3", kAlways, false},
        {"page.artifacts", "View", TP_TEXT("Artifacts"), "Ctrl+4", kAlways, false},
        {"view.jobs", "View", TP_TEXT("Jobs"), "Ctrl+J", kAlways, true},
        {"view.inspector", "View", TP_TEXT("Inspector"), "Ctrl+I", kSweep, false},
        {"view.nextRegion", "View", TP_TEXT("Next region"), "F6", kAlways, false},
        {"view.palette", "View", TP_TEXT("Find a command…"), "Ctrl+K", kAlways, false},
        {"run.primary", "Run", TP_TEXT("Do the main action of this page"), "Ctrl+Return; Ctrl+Enter", kAlways, false},
        {"run.again", "Run", TP_TEXT("Estimate or verify again"), "F5", kAlways, false},
        {"run.stop", "Run", TP_TEXT("Stop the job of this page"), "Ctrl+.", kAlways, false},
        {"delta.compress", "Run", TP_TEXT("Compress to .tnpk…"), "", kDelta, true},
        {"delta.rebuild", "Run", TP_TEXT("Rebuild to…"), "", kDelta, false},
        {"delta.adapter", "Run", TP_TEXT("Export adapter…"), "", kDelta, false},
        {"sweep.start", "Run", TP_TEXT("Start sweep"), "", kSweep, true},
        {"sweep.pause", "Run", TP_TEXT("Pause sweep"), "", kSweep, false},
        {"sweep.export", "Run", TP_TEXT("Export winner…"), "", kSweep, false},
        {"artifact.verify", "Run", TP_TEXT("Verify"), "", kArtifacts, true},
        {"artifact.trust", "Run", TP_TEXT("Trust this key…"), "", kArtifacts, false},
        {"artifact.rebuild", "Run", TP_TEXT("Rebuild and compare"), "", kArtifacts, false},
        {"artifact.unpack", "Run", TP_TEXT("Unpack…"), "", kArtifacts, false},
        {"tools.archive", "Tools", TP_TEXT("Archive folder…"), "Ctrl+Shift+A", kAlways, false},
        {"help.contents", "Help", TP_TEXT("Help"), "F1", kAlways, false},
        {"help.keys", "Help", TP_TEXT("Keyboard"), "", kAlways, false},
        {"help.about", "Help", TP_TEXT("About TenPak Studio"), "", kAlways, true},
    };
    return specs;
}

ActionRegistry::ActionRegistry(QObject* parent) : QObject(parent), m_dummy(new QAction(this)) {
    m_dummy->setEnabled(false);
    for (const ActionSpec& spec : actionSpecs()) {
        auto* a = new QAction(QCoreApplication::translate("actions", spec.text), this);
        const QString id = QString::fromLatin1(spec.id);
        a->setObjectName(id);
        QList<QKeySequence> keys;
        for (const QString& k : QString::fromLatin1(spec.key).split(QStringLiteral("; "), Qt::SkipEmptyParts))
            keys.append(QKeySequence(k, QKeySequence::PortableText));
        a->setShortcuts(keys);
        a->setShortcutContext(Qt::WindowShortcut);
        a->setMenuRole(QAction::NoRole);
        connect(a, &QAction::triggered, this, [this, id] { emit triggered(id); });
        m_byId.insert(id, a);
        m_specs.insert(a, &spec);
        m_all.append(a);
    }
}

QAction* ActionRegistry::action(QLatin1String id) const {
    QAction* a = m_byId.value(QString(id), nullptr);
    Q_ASSERT_X(a != nullptr, "ActionRegistry::action", id.data());
    return a != nullptr ? a : m_dummy;
}

QList<QLatin1String> ActionRegistry::menus() {
    return {QLatin1String("File"), QLatin1String("Edit"), QLatin1String("View"), QLatin1String("Run"), QLatin1String("Tools"), QLatin1String("Help")};
}

QList<QAction*> ActionRegistry::actionsOfMenu(QLatin1String menu) const {
    QList<QAction*> out;
    for (QAction* a : m_all)
        if (menu == QLatin1String(m_specs.value(a)->menu)) out.append(a);
    return out;
}

bool ActionRegistry::separatorBefore(const QAction* a) const {
    const ActionSpec* s = m_specs.value(a, nullptr);
    return s != nullptr && s->separatorBefore;
}

QList<QAction*> ActionRegistry::find(const QString& query) const {
    const QStringList words = query.toCaseFolded().split(u' ', Qt::SkipEmptyParts);
    QList<std::pair<int, QAction*>> hits;
    for (QAction* a : m_all) {
        const QString text = a->text().toCaseFolded();
        int rank = 0;
        bool all = true;
        for (const QString& w : words) {
            const auto at = text.indexOf(w);
            all = all && at >= 0;
            if (at > 0) rank += text[at - 1] == u' ' ? 1 : 2;  // the begin of the text, of a word, within a word
        }
        if (all) hits.append({rank, a});
    }
    std::stable_sort(hits.begin(), hits.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
    QList<QAction*> out;
    for (const auto& h : hits) out.append(h.second);
    return out;
}

void ActionRegistry::setContext(ActionContext page) {
    for (QAction* a : m_all) {
        const ActionContext c = m_specs.value(a)->context;
        if (c != ActionContext::kAlways) a->setEnabled(c == page);
    }
}

}  // namespace tenpak::app
