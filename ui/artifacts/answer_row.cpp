// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/artifacts/answer_row.h"

namespace tenpak::ui {

AnswerRow::AnswerRow(const QString& objectName, QWidget* parent)
    : QWidget(parent), m_icon(new IconLabel(QStringLiteral("shield"), 22, Ink::kMuted)), m_question(new Label({}, Type::kBody, Ink::kMuted)),
      m_text(new Label({}, Type::kBodyStrong)), m_evidence(new Label({}, Type::kCaption, Ink::kMuted)) {
    setObjectName(objectName);
    m_text->setObjectName(objectName + QStringLiteral(".answer"));
    m_evidence->setObjectName(objectName + QStringLiteral(".evidence"));
    m_button = makeButton(objectName + QStringLiteral(".action"), {});
    m_question->setFixedWidth(156);
    m_text->setWordWrap(true);
    m_evidence->setWordWrap(true);
    m_evidence->setTextInteractionFlags(Qt::TextSelectableByMouse);
    auto* texts = makeColumn(1);
    texts->addWidget(m_text);
    texts->addWidget(m_evidence);
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(0, 5, 0, 5);
    row->setSpacing(14);
    row->addWidget(m_icon, 0, Qt::AlignTop);
    row->addWidget(m_question, 0, Qt::AlignTop);
    row->addLayout(texts, 1);
    row->addWidget(m_button, 0, Qt::AlignTop);
    connect(m_button, &QPushButton::clicked, this, [this] { emit triggered(m_answer.action); });
}

void AnswerRow::setAnswer(const Answer& a) {
    m_answer = a;
    m_icon->set(a.icon, a.ink);
    m_question->setText(a.question);
    m_text->setText(a.answer);
    m_text->setInk(a.ink);
    m_evidence->setText(a.evidence);
    m_evidence->setVisible(!a.evidence.isEmpty());
    m_button->setVisible(a.action != AnswerAction::kNone);
    m_button->setText(a.actionText);
    setButtonIcon(m_button, a.actionIcon);
    setAccessibleName(a.question + QLatin1Char(' ') + a.answer + QStringLiteral(". ") + a.evidence);
}

}  // namespace tenpak::ui
