// SPDX-License-Identifier: GPL-3.0-or-later
// The tensors of a pair as a table: what was estimated or measured of each. Rows keep their order while an estimate
// refines (the engine's layer order); only a snapshot of other tensors resets the model. UI thread.
#pragma once
#include <QAbstractTableModel>
#include <map>
#include <memory>

#include "app/item_roles.h"
#include "core/delta/estimate.h"

namespace tenpak::app {

/// "difference" -> "Difference": the engine's codec names in words, translated; "" -> "Not read yet".
QString methodText(const std::string& method);
/// The same inside a sentence: "difference", "low rank", "INT8".
QString methodInSentence(const std::string& method);
/// "Low rank, rank 16"; as methodText() where there is no rank.
QString methodText(const std::string& method, std::uint32_t rank);
/// One sentence about what the method does: for tool tips.
QString methodHint(const std::string& method);

/// "predicted from model.embed_tokens.weight (tied head)"; empty where it is the base's tensor of the same name, as it is.
QString predictedFrom(const delta::TensorEstimate& tensor);

class TensorModel : public QAbstractTableModel {
    Q_OBJECT
   public:
    using QAbstractTableModel::QAbstractTableModel;
    /// Null empties the table.
    void setEstimate(std::shared_ptr<const delta::EstimateSnapshot> estimate);
    /// Largest error of a weight, by tensor; null where nothing was lost.
    void setErrors(std::shared_ptr<const std::map<std::string, double>> errors);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;
    QVariant data(const QModelIndex& index, int role) const override;

   private:
    QString display(const delta::TensorEstimate& t, int column) const;
    QVariant sortKey(const delta::TensorEstimate& t, int column) const;
    double errorOf(const delta::TensorEstimate& t) const;
    std::shared_ptr<const delta::EstimateSnapshot> m_estimate;
    std::shared_ptr<const std::map<std::string, double>> m_errors;
};

}  // namespace tenpak::app
