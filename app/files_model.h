// SPDX-License-Identifier: GPL-3.0-or-later
// The files of an artifact: raw and stored bytes and how each is stored. UI thread.
#pragma once
#include <QAbstractTableModel>
#include <vector>

#include "app/item_roles.h"
#include "app/view_states.h"

namespace tenpak::app {

class FilesModel : public QAbstractTableModel {
    Q_OBJECT
   public:
    using QAbstractTableModel::QAbstractTableModel;
    void setFiles(std::vector<ArtifactFile> files);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;
    QVariant data(const QModelIndex& index, int role) const override;

   private:
    std::vector<ArtifactFile> m_files;
};

}  // namespace tenpak::app
