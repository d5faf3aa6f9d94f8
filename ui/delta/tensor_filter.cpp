// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/delta/tensor_filter.h"

#include "app/item_roles.h"

namespace tenpak::ui {

bool sortsBefore(const QVariant& a, const QVariant& b) {
    if (a.typeId() != QMetaType::Double || b.typeId() != QMetaType::Double) return a.toString().localeAwareCompare(b.toString()) < 0;
    const double x = a.toDouble(), y = b.toDouble();
    if (std::isnan(x) || std::isnan(y)) return !std::isnan(x) && std::isnan(y);
    return x < y;
}

TensorFilter::TensorFilter(QObject* parent) : QSortFilterProxyModel(parent) {
    setDynamicSortFilter(false);
    setSortRole(app::kSortRole);
}

void TensorFilter::setEstimate(std::shared_ptr<const delta::EstimateSnapshot> estimate) { m_estimate = std::move(estimate); }

void TensorFilter::setWords(const QString& words) {
    m_words = words.split(QLatin1Char(' '), Qt::SkipEmptyParts);
    invalidateFilter();
}

void TensorFilter::setLayer(std::optional<int> layer) {
    m_layer = layer;
    invalidateFilter();
}

bool TensorFilter::filterAcceptsRow(int row, const QModelIndex& parent) const {
    if (m_layer && m_estimate && static_cast<std::size_t>(row) < m_estimate->tensors.size() && m_estimate->tensors[static_cast<std::size_t>(row)].layer != *m_layer) return false;
    if (m_words.isEmpty()) return true;
    QString text;
    for (int c : {int(app::TensorColumn::kTensor), int(app::TensorColumn::kMethod), int(app::TensorColumn::kShape)})
        text += sourceModel()->index(row, c, parent).data().toString() + QLatin1Char(' ');
    return std::all_of(m_words.begin(), m_words.end(), [&text](const QString& w) { return text.contains(w, Qt::CaseInsensitive); });
}

bool TensorFilter::lessThan(const QModelIndex& left, const QModelIndex& right) const { return sortsBefore(left.data(app::kSortRole), right.data(app::kSortRole)); }

}  // namespace tenpak::ui
