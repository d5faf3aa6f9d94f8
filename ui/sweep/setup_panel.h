// SPDX-License-Identifier: GPL-3.0-or-later
// Set-up of a sweep: limits, model, text, price, candidates, Start. Locked while running, except the limits.
#pragma once
#include "app/view_states.h"
#include "ui/widgets/basics.h"

class QCheckBox;
class QComboBox;
class QGridLayout;

namespace tenpak::ui {

class LimitsPanel;

class SetupPanel : public Card {
    Q_OBJECT
   public:
    explicit SetupPanel(QWidget* parent = nullptr);
    void setState(const app::SweepViewState& state);
    LimitsPanel* limits() const { return m_limits; }
    QStringList checkedCandidates() const;
    void triggerStart();

   signals:
    void startRequested(const QStringList& candidates);
    void stopRequested();
    void modelChosen(const QString& id);
    void textChosen(const QString& id);
    void priceChosen(const QString& id);
    void choicesChanged(const QStringList& candidates);
    void importRequested();                        ///< "Add a quantized model…"
    void importRemoved(const QString& candidate);

   private:
    QComboBox* addCombo(QVBoxLayout* column, const QString& name, const QString& label);
    void fill(QComboBox* combo, const QList<app::Choice>& choices, const QString& current);
    void showChoices(const QList<app::CandidateChoice>& choices, bool locked);
    QCheckBox* makeBox(const app::CandidateChoice& choice);

    LimitsPanel* m_limits;
    QComboBox *m_model, *m_text, *m_price;
    QGridLayout* m_candidates;
    QList<QCheckBox*> m_boxes;    ///< in the order of the choices; the candidate's name is a property
    QPushButton* m_import;
    QPushButton* m_start;
    Label* m_expected;
    bool m_running = false, m_setting = false;
};

}  // namespace tenpak::ui
