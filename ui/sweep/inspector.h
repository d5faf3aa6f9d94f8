// SPDX-License-Identifier: GPL-3.0-or-later
// Everything known of one candidate, or of two to four side by side with the differences in bold.
#pragma once
#include "app/view_states.h"
#include "ui/widgets/basics.h"

namespace tenpak::ui {

class Pill;

class Inspector : public Card {
    Q_OBJECT
   public:
    explicit Inspector(QWidget* parent = nullptr);
    using Trials = std::shared_ptr<const std::vector<optimizer::Trial>>;
    using Judgement = std::shared_ptr<const optimizer::Judgement>;
    void show(const Trials& trials, const Judgement& judgement, const QString& current, const QStringList& compared, bool running,
              const QHash<QString, app::EngineVerdicts>& engines = {});

   signals:
    void compareToggled(const QString& id);
    void copyCommandRequested(const QString& id);
    void exportRequested(const QString& id);
    void retryRequested(const QString& id);

   private:
    void showNothing();
    void showOne(const optimizer::Trial& trial, const optimizer::Judged& judged, const optimizer::Trial* baseTrial, const optimizer::Judged* base, bool running);
    void showSeveral(const Trials& trials, const Judgement& judgement, const std::vector<std::size_t>& which);
    void addEngines(const app::EngineVerdicts& engines);
    void addPair(const QString& name, const QString& value, Ink ink = Ink::kText);
    /// Everything shown, as one string: while it is the same, nothing is rebuilt and focus stays.
    static QString contentKey(const Trials& trials, const Judgement& judgement, const std::vector<std::size_t>& which, bool running);
    QString m_key;
    QHash<QString, app::EngineVerdicts> m_engines;
    QVBoxLayout* m_body;
    QVBoxLayout* m_foot;
};

}  // namespace tenpak::ui
