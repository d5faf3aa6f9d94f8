// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/delta/tensor_card.h"

#include <QHeaderView>
#include <QLineEdit>

#include "app/format.h"
#include "app/item_roles.h"
#include "ui/delta/tensor_filter.h"
#include "ui/widgets/table.h"

namespace tenpak::ui {

TensorCard::TensorCard(QWidget* parent)
    : Card(0, parent), m_filter(new TensorFilter(this)), m_table(new Table(QStringLiteral("tensorTable"), tr("Tensors"))), m_words(new QLineEdit),
      m_count(new Label({}, Type::kBody, Ink::kMuted)) {
    setObjectName(QStringLiteral("tensorCard"));
    m_count->setObjectName(QStringLiteral("tensorCount"));
    m_words->setObjectName(QStringLiteral("tensorFilter"));
    m_words->setAccessibleName(tr("Filter tensors"));
    m_words->setPlaceholderText(tr("Filter tensors (Ctrl+F)"));
    m_words->setClearButtonEnabled(true);
    m_words->setTextMargins(7, 0, 2, 0);
    m_words->setFixedWidth(220);
    m_layer = makeButton(QStringLiteral("tensorLayer"), {}, QStringLiteral("close"), ButtonKind::kQuiet);
    m_layer->setToolTip(tr("Show all layers (Esc)"));
    m_layer->hide();

    auto* head = makeRow();
    head->setContentsMargins(space::kL, 10, space::kM, 0);
    head->addWidget(new Label(tr("Tensors"), Type::kTitle));
    head->addWidget(m_count);
    head->addWidget(m_layer);
    head->addStretch();
    head->addWidget(m_words);
    auto* body = makeRow(0);
    body->setContentsMargins(space::kS, 0, space::kXs, 6);
    body->addWidget(m_table);
    box()->addLayout(head);
    box()->addLayout(body, 1);
    m_table->setMinimumHeight(size::kHeader + 4 * size::kRow);
    m_table->setModel(m_filter);
    m_table->setSortingEnabled(true);
    m_table->horizontalHeader()->setSortIndicatorClearable(true);
    m_table->horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);

    connect(m_words, &QLineEdit::textChanged, this, [this](const QString& words) {
        m_filter->setWords(words);
        showCount();
    });
    connect(m_layer, &QPushButton::clicked, this, [this] { setLayer({}); });
    connect(m_filter, &QAbstractItemModel::modelReset, this, &TensorCard::showCount);
    connect(m_table->selectionModel(), &QItemSelectionModel::currentRowChanged, this, [this](const QModelIndex& index) {
        if (index.isValid()) emit currentTensorChanged(index.siblingAtColumn(0).data(app::kIdRole).toString());
    });
}

void TensorCard::setModel(QAbstractItemModel* model) {
    m_filter->setSourceModel(model);
    m_table->setColumns({300, 190, 96, 140, 110, 110, 100, 110}, app::TensorColumn::kTensor);
    setErrorColumn(false);
    showCount();
}

void TensorCard::setEstimate(const std::shared_ptr<const delta::EstimateSnapshot>& estimate) {
    m_filter->setEstimate(estimate);
    m_total = estimate ? static_cast<int>(estimate->tensors.size()) : 0;
    if (!estimate && m_filter->layer()) setLayer({});
    showCount();
}

void TensorCard::setErrorColumn(bool shown) { m_table->setColumnHidden(app::TensorColumn::kError, !shown); }

void TensorCard::setLayer(std::optional<int> layer) {
    if (layer == m_filter->layer()) return;
    m_filter->setLayer(layer);
    if (layer) m_layer->setText(*layer >= 0 ? tr("Layer %1").arg(*layer) : tr("Outside the layers"));
    m_layer->setVisible(layer.has_value());
    showCount();
}

void TensorCard::showTensor(const QString& name) {
    const QModelIndexList hits = m_filter->match(m_filter->index(0, 0), app::kIdRole, name, 1, Qt::MatchExactly);
    if (hits.isEmpty()) return;
    m_table->setCurrentIndex(hits.first());
    m_table->scrollTo(hits.first());
}

void TensorCard::focusFilter() {
    m_words->setFocus(Qt::ShortcutFocusReason);
    m_words->selectAll();
}

void TensorCard::showCount() {
    const int shown = m_filter->rowCount();
    m_count->setText(shown == m_total ? app::format::count(static_cast<std::uint64_t>(m_total)) : tr("%1 of %2").arg(app::format::count(static_cast<std::uint64_t>(shown)), app::format::count(static_cast<std::uint64_t>(m_total))));
}

}  // namespace tenpak::ui
