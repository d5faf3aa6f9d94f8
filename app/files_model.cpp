// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/files_model.h"

#include "app/format.h"

namespace tenpak::app {
namespace {

Qt::Alignment alignment(int column) {
    return (column == FileColumn::kRaw || column == FileColumn::kStored ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter;
}

}  // namespace

void FilesModel::setFiles(std::vector<ArtifactFile> files) {
    beginResetModel();
    m_files = std::move(files);
    endResetModel();
}

int FilesModel::rowCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : static_cast<int>(m_files.size()); }
int FilesModel::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : FileColumn::kCount; }

QVariant FilesModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal) return {};
    if (role == Qt::TextAlignmentRole) return QVariant::fromValue(alignment(section));
    if (role != Qt::DisplayRole) return {};
    switch (section) {
        case FileColumn::kFile: return tr("File");
        case FileColumn::kRaw: return tr("Raw");
        case FileColumn::kStored: return tr("Stored");
        case FileColumn::kHow: return tr("How");
        default: return {};
    }
}

QVariant FilesModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid | CheckIndexOption::ParentIsInvalid)) return {};
    const ArtifactFile& f = m_files[static_cast<std::size_t>(index.row())];
    const int column = index.column();
    switch (role) {
        case Qt::DisplayRole:
            switch (column) {
                case FileColumn::kFile: return f.path;
                case FileColumn::kRaw: return format::bytes(static_cast<double>(f.rawBytes));
                case FileColumn::kStored: return format::bytes(static_cast<double>(f.storedBytes));
                case FileColumn::kHow: return f.how;
                default: return {};
            }
        case Qt::TextAlignmentRole: return QVariant::fromValue(alignment(column));
        case Qt::ToolTipRole: return column == FileColumn::kFile ? QVariant(f.path) : column == FileColumn::kHow ? QVariant(f.how) : QVariant();
        case kIdRole: return f.path;
        case kMutedRole: return column == FileColumn::kHow;
        case kSortRole:
            switch (column) {
                case FileColumn::kFile: return f.path;
                case FileColumn::kRaw: return static_cast<double>(f.rawBytes);
                case FileColumn::kStored: return static_cast<double>(f.storedBytes);
                default: return f.how;
            }
        default: return {};
    }
}

}  // namespace tenpak::app
