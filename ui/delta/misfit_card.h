// SPDX-License-Identifier: GPL-3.0-or-later
// "What does not fit": the tensors that differ in name, shape or type between base and fine-tune.
#pragma once
#include <vector>

#include "core/delta/pair.h"
#include "ui/widgets/basics.h"

class QStandardItemModel;

namespace tenpak::ui {

class Table;

class MisfitCard : public Card {
    Q_OBJECT
   public:
    explicit MisfitCard(QWidget* parent = nullptr);
    /// `fits`: the pair does all the same, and these are stored without the base.
    void setMisfits(const std::vector<delta::Misfit>& misfits, bool fits);
    Table* table() const { return m_table; }

   private:
    QStandardItemModel* m_model;
    Table* m_table;
    Label *m_title, *m_count;
};

}  // namespace tenpak::ui
