// SPDX-License-Identifier: GPL-3.0-or-later
// The tensor table with its filter; the row order never changes by itself.
#pragma once
#include <memory>
#include <optional>

#include "core/delta/estimate.h"
#include "ui/widgets/basics.h"

class QAbstractItemModel;
class QLineEdit;

namespace tenpak::ui {

class Table;
class TensorFilter;

class TensorCard : public Card {
    Q_OBJECT
   public:
    explicit TensorCard(QWidget* parent = nullptr);
    void setModel(QAbstractItemModel* model);
    void setErrorColumn(bool shown);  ///< of a lossy artifact
    void setEstimate(const std::shared_ptr<const delta::EstimateSnapshot>& estimate);
    void setLayer(std::optional<int> layer);
    void showTensor(const QString& name);
    void focusFilter();
    Table* table() const { return m_table; }

   signals:
    void currentTensorChanged(const QString& name);

   private:
    void showCount();
    TensorFilter* m_filter;
    Table* m_table;
    QLineEdit* m_words;
    Label* m_count;
    QPushButton* m_layer;
    int m_total = 0;
};

}  // namespace tenpak::ui
