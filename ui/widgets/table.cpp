// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/table.h"

#include <QHeaderView>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>

#include "app/item_roles.h"
#include "ui/theme/marks.h"
#include "ui/theme/paint.h"
#include "ui/theme/theme.h"
#include "ui/widgets/basics.h"
#include "ui/widgets/pill.h"

namespace tenpak::ui {
namespace {

void paintProgress(QPainter& p, const QRectF& r, const QString& text, double fraction) {
    const Tokens& t = theme();
    const QRectF groove(r.left() + space::kS, r.bottom() - 7, std::min(140.0, r.width() - 2 * space::kS), 3);
    p.setPen(t.text);
    drawText(p, QRectF(r.left() + space::kS, r.top() + 2, r.width() - 2 * space::kS, r.height() - 10), Qt::AlignVCenter | Qt::AlignLeft, text, typeFont(Type::kCaption));
    drawBox(p, groove, t.track, {}, 1.5);
    drawBox(p, QRectF(groove.topLeft(), QSizeF(groove.width() * std::clamp(fraction, 0.0, 1.0), 3)), t.accent, {}, 1.5);
}

void paintMethod(QPainter& p, const QRectF& r, const QString& method) {
    const QColor color = methodColor(theme(), method);
    const QRectF box(r.left() + space::kS, r.center().y() - 7.5, 16, 16);
    drawBox(p, box, color, {}, 4);
    p.setPen(inkOn(color));
    drawText(p, box, Qt::AlignCenter, methodSign(method), typeFont(Type::kBodyStrong));
}

QRect checkRect(const QRect& cell) { return {cell.left() + space::kS, cell.center().y() - 8, 18, 18}; }
constexpr int kCheckRoom = 24;

bool toggle(QAbstractItemModel* model, const QModelIndex& index) {
    const QVariant check = index.data(Qt::CheckStateRole);
    if (!check.isValid() || !(index.flags() & Qt::ItemIsUserCheckable) || !(index.flags() & Qt::ItemIsEnabled)) return false;
    return model->setData(index, check.toInt() == Qt::Checked ? Qt::Unchecked : Qt::Checked, Qt::CheckStateRole);
}

/// Models give Qt::Alignment or int.
int alignmentOf(const QModelIndex& index) {
    const QVariant v = index.data(Qt::TextAlignmentRole);
    if (v.metaType() == QMetaType::fromType<Qt::Alignment>()) return static_cast<int>(v.value<Qt::Alignment>());
    return v.isValid() ? v.toInt() : static_cast<int>(Qt::AlignLeft | Qt::AlignVCenter);
}

}  // namespace

void CellDelegate::paint(QPainter* p, const QStyleOptionViewItem& option, const QModelIndex& index) const {
    const Tokens& t = theme();
    QRectF r(option.rect);
    const bool selected = option.state & QStyle::State_Selected;
    const auto* table = qobject_cast<const Table*>(option.widget);
    if (selected) p->fillRect(option.rect, t.accentTint);
    else if (table != nullptr && table->hoveredRow() == index.row()) p->fillRect(option.rect, mix(t.surface, t.sunken, .7));
    const QString text = index.data(Qt::DisplayRole).toString();
    const QVariant tone = index.data(app::kToneRole);

    if (const QVariant mark = index.data(app::kMarkRole); mark.isValid()) {
        const QVariant cost = index.data(app::kCostStepRole);
        const QVariant progress = index.data(app::kProgressRole);
        paintMark(*p, r.center() + QPointF(2, 0), {static_cast<app::Mark>(mark.toInt()), costColor(cost.isValid() ? cost.toDouble() : qQNaN()), false, progress.toDouble(), false});
        return;
    }
    if (const QVariant progress = index.data(app::kProgressRole); progress.isValid()) {
        paintProgress(*p, r, text, progress.toDouble());
        return;
    }
    if (const QVariant icon = index.data(app::kPillRole); icon.isValid()) {
        const QRectF pill(r.left() + space::kS, r.center().y() - 10.5, std::min(Pill::widthOf(text), r.width() - 2 * space::kS), size::kPill);
        Pill::paint(*p, pill, tone.isValid() ? static_cast<app::Tone>(tone.toInt()) : app::Tone::kNeutral, icon.toString(), text);
        return;
    }
    if (const QVariant check = index.data(Qt::CheckStateRole); check.isValid()) {
        QStyleOptionViewItem box(option);
        box.rect = checkRect(option.rect);
        box.state = QStyle::State_Enabled | (check.toInt() == Qt::Checked ? QStyle::State_On : QStyle::State_Off);
        const QWidget* w = option.widget;
        (w != nullptr ? w->style() : QApplication::style())->drawPrimitive(QStyle::PE_IndicatorItemViewItemCheck, &box, p, w);
        r.setLeft(r.left() + kCheckRoom);
    }
    if (const QVariant method = index.data(app::kMethodRole); method.isValid() && !method.toString().isEmpty()) {
        paintMethod(*p, r, method.toString());
        r.setLeft(r.left() + 22);
    }
    const QVariant role = index.data(Qt::FontRole);
    const QFont f = role.isValid() ? role.value<QFont>() : typeFont(index.data(app::kStrongRole).toBool() ? Type::kBodyStrong : Type::kBody);
    p->setPen(tone.isValid() ? inkColor(inkOf(static_cast<app::Tone>(tone.toInt()))) : index.data(app::kMutedRole).toBool() ? t.text2 : t.text);
    drawElided(*p, r.adjusted(space::kS, 0, -space::kS, 0), alignmentOf(index), text, f);
}

bool CellDelegate::editorEvent(QEvent* event, QAbstractItemModel* model, const QStyleOptionViewItem& option, const QModelIndex& index) {
    if (event->type() != QEvent::MouseButtonRelease) return QStyledItemDelegate::editorEvent(event, model, option, index);
    const auto* mouse = static_cast<QMouseEvent*>(event);
    return mouse->button() == Qt::LeftButton && checkRect(option.rect).adjusted(-6, -6, 6, 6).contains(mouse->position().toPoint()) && toggle(model, index);
}

QSize CellDelegate::sizeHint(const QStyleOptionViewItem&, const QModelIndex& index) const {
    const QString text = index.data(Qt::DisplayRole).toString();
    if (index.data(app::kPillRole).isValid()) return {static_cast<int>(Pill::widthOf(text)) + 2 * space::kS, size::kRow};
    const double sign = (index.data(app::kMethodRole).isValid() ? 22 : 0) + (index.data(Qt::CheckStateRole).isValid() ? kCheckRoom : 0);
    return {static_cast<int>(textWidth(typeFont(Type::kBody), text) + sign) + 2 * space::kS + 2, size::kRow};
}

Table::Table(const QString& objectName, const QString& accessibleName, QWidget* parent) : QTableView(parent) {
    setObjectName(objectName);
    setAccessibleName(accessibleName);
    viewport()->setAccessibleName(accessibleName);
    verticalHeader()->hide();
    verticalHeader()->setMinimumSectionSize(20);
    verticalHeader()->setDefaultSectionSize(size::kRow);
    verticalHeader()->setSectionResizeMode(QHeaderView::Fixed);
    horizontalHeader()->setFixedHeight(size::kHeader);
    horizontalHeader()->setHighlightSections(false);
    horizontalHeader()->setMinimumSectionSize(24);
    setShowGrid(false);
    setFrameShape(NoFrame);
    setSelectionBehavior(SelectRows);
    setSelectionMode(ExtendedSelection);
    setWordWrap(false);
    setVerticalScrollMode(ScrollPerPixel);
    setHorizontalScrollMode(ScrollPerPixel);
    setTabKeyNavigation(false);
    setMouseTracking(true);
    setItemDelegate(new CellDelegate(this));
    setEditTriggers(NoEditTriggers);
    const auto apply = [this] {
        horizontalHeader()->setFont(typeFont(Type::kCaption));
        viewport()->update();
    };
    apply();
    connect(&Theme::instance(), &Theme::changed, this, apply);
}

void Table::setColumns(const QList<int>& widths, int stretch) {
    horizontalHeader()->setSectionResizeMode(QHeaderView::Interactive);
    for (int i = 0; i < widths.size(); ++i) setColumnWidth(i, widths[i]);
    if (stretch >= 0) horizontalHeader()->setSectionResizeMode(stretch, QHeaderView::Stretch);
}

QString Table::selectedAsTsv() const {
    if (model() == nullptr || selectionModel() == nullptr) return {};
    QStringList lines, header;
    for (int c = 0; c < model()->columnCount(); ++c)
        if (!isColumnHidden(c)) header.append(model()->headerData(c, Qt::Horizontal).toString());
    lines.append(header.join(QLatin1Char('\t')));
    QList<int> rows;
    for (const QModelIndex& i : selectionModel()->selectedRows()) rows.append(i.row());
    std::sort(rows.begin(), rows.end());
    for (int row : rows) {
        QStringList cells;
        for (int c = 0; c < model()->columnCount(); ++c)
            if (!isColumnHidden(c)) cells.append(model()->index(row, c).data().toString().replace(QLatin1Char('\t'), QLatin1Char(' ')));
        lines.append(cells.join(QLatin1Char('\t')));
    }
    return lines.join(QLatin1Char('\n')) + QLatin1Char('\n');
}

void Table::keyPressEvent(QKeyEvent* event) {
    if (event->matches(QKeySequence::Copy)) {
        emit copyRequested(selectedAsTsv());
        return;
    }
    if (event->key() == Qt::Key_Space) {
        if (currentIndex().isValid() && toggle(model(), currentIndex().siblingAtColumn(0))) return;
        emit spacePressed();
        return;
    }
    if ((event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) && !(event->modifiers() & Qt::ControlModifier) && currentIndex().isValid()) {
        emit activatedRow(currentIndex());
        return;
    }
    QTableView::keyPressEvent(event);
}

void Table::mouseMoveEvent(QMouseEvent* event) {
    QTableView::mouseMoveEvent(event);
    const QModelIndex at = indexAt(event->position().toPoint());
    if (at.row() == m_hovered) return;
    m_hovered = at.row();
    viewport()->update();
    emit rowHovered(at);
}

void Table::leaveEvent(QEvent* event) {
    QTableView::leaveEvent(event);
    m_hovered = -1;
    viewport()->update();
    emit rowHovered({});
}

void Table::resizeEvent(QResizeEvent* event) {
    QTableView::resizeEvent(event);
    emit resized();
}

void Table::paintEvent(QPaintEvent* event) {
    QTableView::paintEvent(event);
    if (!showsFocus(this)) return;
    QPainter p(viewport());
    if (const QModelIndex at = currentIndex(); at.isValid()) {
        QRect row;
        for (int c = 0; c < model()->columnCount(); ++c) row |= visualRect(at.siblingAtColumn(c));
        drawFocusRing(p, QRectF(row), 4);
    } else {
        drawFocusRing(p, viewport()->rect(), 4);
    }
}

}  // namespace tenpak::ui
