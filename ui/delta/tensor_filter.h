// SPDX-License-Identifier: GPL-3.0-or-later
// What the tensor table shows: rows whose name holds the filter's words and, where one is chosen, of one layer. Sorting
// is by click only and never by itself.
#pragma once
#include <QSortFilterProxyModel>
#include <memory>
#include <optional>

#include "core/delta/estimate.h"

namespace tenpak::ui {

class TensorFilter : public QSortFilterProxyModel {
    Q_OBJECT
   public:
    explicit TensorFilter(QObject* parent = nullptr);
    void setEstimate(std::shared_ptr<const delta::EstimateSnapshot> estimate);
    void setWords(const QString& words);
    void setLayer(std::optional<int> layer);
    std::optional<int> layer() const { return m_layer; }

   protected:
    bool filterAcceptsRow(int row, const QModelIndex& parent) const override;
    bool lessThan(const QModelIndex& left, const QModelIndex& right) const override;

   private:
    std::shared_ptr<const delta::EstimateSnapshot> m_estimate;
    QStringList m_words;
    std::optional<int> m_layer;
};

/// Order of kSortRole values: numbers ascending, NaN last, texts by locale.
bool sortsBefore(const QVariant& a, const QVariant& b);

}  // namespace tenpak::ui
