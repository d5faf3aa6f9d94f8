// SPDX-License-Identifier: GPL-3.0-or-later
// The table of the studio: 30 px rows, no grid, tabular digits; cells painted by the roles of app/item_roles.h (pill,
// mark, progress, tone). Rows never move by themselves; Ctrl+C copies the selected rows as TSV.
#pragma once
#include <QStyledItemDelegate>
#include <QTableView>

namespace tenpak::ui {

class CellDelegate : public QStyledItemDelegate {
    Q_OBJECT
   public:
    using QStyledItemDelegate::QStyledItemDelegate;
    void paint(QPainter* p, const QStyleOptionViewItem& option, const QModelIndex& index) const override;
    QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const override;

   protected:
    bool editorEvent(QEvent* event, QAbstractItemModel* model, const QStyleOptionViewItem& option, const QModelIndex& index) override;
};

class Table : public QTableView {
    Q_OBJECT
   public:
    Table(const QString& objectName, const QString& accessibleName, QWidget* parent = nullptr);
    /// Preferred widths; one column (`stretch`) takes what is left.
    void setColumns(const QList<int>& widths, int stretch);
    QString selectedAsTsv() const;
    int hoveredRow() const { return m_hovered; }

   signals:
    void copyRequested(const QString& text);
    void rowHovered(const QModelIndex& index);  ///< invalid when the pointer left
    void activatedRow(const QModelIndex& index);
    void spacePressed();
    void resized();

   protected:
    void keyPressEvent(QKeyEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void leaveEvent(QEvent* event) override;
    void paintEvent(QPaintEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

   private:
    int m_hovered = -1;
};

}  // namespace tenpak::ui
