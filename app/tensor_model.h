// SPDX-License-Identifier: GPL-3.0-or-later
// The tensors of a pair as a table: what was estimated or measured of each. Rows keep their order while an estimate
// refines (the engine's layer order); only a snapshot of other tensors resets the model. UI thread.
#pragma once
#include <QAbstractTableModel>
#include <memory>

#include "app/item_roles.h"
#include "core/delta/estimate.h"

namespace tenpak::app {

/// "difference" -> "Difference": the engine's codec names in words, translated; "" -> "Not read yet".
QString methodText(const std::string& method);

class TensorModel : public QAbstractTableModel {
    Q_OBJECT
   public:
    using QAbstractTableModel::QAbstractTableModel;
    /// Null empties the table.
    void setEstimate(std::shared_ptr<const delta::EstimateSnapshot> estimate);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;
    QVariant data(const QModelIndex& index, int role) const override;

   private:
    QString display(const delta::TensorEstimate& t, int column) const;
    QVariant sortKey(const delta::TensorEstimate& t, int column) const;
    std::shared_ptr<const delta::EstimateSnapshot> m_estimate;
};

}  // namespace tenpak::app
