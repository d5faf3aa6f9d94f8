// SPDX-License-Identifier: GPL-3.0-or-later
// One question with its answer, evidence and at most one button.
#pragma once
#include <QWidget>

#include "ui/artifacts/answers.h"

namespace tenpak::ui {

class AnswerRow : public QWidget {
    Q_OBJECT
   public:
    explicit AnswerRow(const QString& objectName, QWidget* parent = nullptr);
    void setAnswer(const Answer& answer);

   signals:
    void triggered(tenpak::ui::AnswerAction action);

   private:
    Answer m_answer;
    IconLabel* m_icon;
    Label *m_question, *m_text, *m_evidence;
    QPushButton* m_button;
};

}  // namespace tenpak::ui
