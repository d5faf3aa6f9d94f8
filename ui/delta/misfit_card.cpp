// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/delta/misfit_card.h"

#include <QStandardItemModel>

#include "app/format.h"
#include "ui/widgets/table.h"

namespace tenpak::ui {

MisfitCard::MisfitCard(QWidget* parent)
    : Card(0, parent), m_model(new QStandardItemModel(0, 4, this)), m_table(new Table(QStringLiteral("misfitTable"), tr("What does not fit"))),
      m_title(new Label(tr("What does not fit"), Type::kTitle)), m_count(new Label({}, Type::kBody, Ink::kMuted)) {
    setObjectName(QStringLiteral("misfitCard"));
    m_model->setHorizontalHeaderLabels({tr("Tensor"), tr("In the base"), tr("In the fine-tune"), tr("Why")});
    for (int c = 0; c < 4; ++c) m_model->horizontalHeaderItem(c)->setTextAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    auto* head = makeRow();
    head->setContentsMargins(space::kL, 10, space::kM, 0);
    head->addWidget(m_title);
    head->addWidget(m_count);
    head->addStretch();
    auto* body = makeRow(0);
    body->setContentsMargins(space::kS, 0, space::kXs, 6);
    body->addWidget(m_table);
    box()->addLayout(head);
    box()->addLayout(body, 1);
    m_table->setModel(m_model);
    m_table->setColumns({320, 210, 210, 300}, 3);
}

void MisfitCard::setMisfits(const std::vector<delta::Misfit>& misfits, bool fits) {
    m_title->setText(fits ? tr("What has no counterpart in the base, and is stored without it") : tr("What does not fit"));
    // Beside a map and a table it is a footnote: no higher than it must be.
    const int rows = std::clamp(static_cast<int>(misfits.size()), 1, 4);
    m_table->setMinimumHeight(size::kHeader + (fits ? rows : 4) * size::kRow + 2);
    m_table->setMaximumHeight(fits ? size::kHeader + rows * size::kRow + 2 : QWIDGETSIZE_MAX);
    m_model->removeRows(0, m_model->rowCount());
    for (const auto& m : misfits) {
        QList<QStandardItem*> row;
        for (const std::string* cell : {&m.tensor, &m.in_base, &m.in_fine_tune, &m.why}) row.append(new QStandardItem(QString::fromStdString(*cell)));
        m_model->appendRow(row);
    }
    m_count->setText(app::format::count(misfits.size()));
}

}  // namespace tenpak::ui
