// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/ui/scenes/layout_check.h"

#include <QAbstractScrollArea>
#include <QAccessible>
#include <QCheckBox>
#include <QComboBox>
#include <QHeaderView>
#include <QLabel>
#include <QLayout>
#include <QLineEdit>
#include <QMainWindow>
#include <QMenuBar>
#include <QPushButton>
#include <QScrollArea>
#include <QScrollBar>
#include <QSplitterHandle>
#include <QTableView>

namespace tenpak::layout_check {
namespace {

constexpr double kSlack = 1.5;  // pixels: fractions of a glyph

QString nameOf(const QWidget* w) {
    QStringList path;
    for (const QWidget* at = w; at != nullptr && path.size() < 4; at = at->parentWidget())
        path.prepend(at->objectName().isEmpty() ? QLatin1String(at->metaObject()->className()) : at->objectName());
    return path.join(QLatin1Char('/'));
}

QRectF scaled(const QRectF& r, double dpr) { return {r.x() / dpr, r.y() / dpr, r.width() / dpr, r.height() / dpr}; }

bool inScrollArea(const QWidget* w) {
    for (const QWidget* at = w; at != nullptr; at = at->parentWidget())
        if (qobject_cast<const QAbstractScrollArea*>(at) != nullptr) return true;
    return false;
}

bool inside(const QWidget* w, const char* objectName) {
    for (const QWidget* at = w; at != nullptr; at = at->parentWidget())
        if (at->objectName() == QLatin1String(objectName)) return true;
    return false;
}

void checkPainted(QWidget* window, const std::vector<ui::PaintedText>& painted, const Options& options, QStringList& out) {
    const double dpr = window->devicePixelRatioF();
    struct Visible {
        QRectF ink;
        QString text;
    };
    std::vector<Visible> visible;
    for (const ui::PaintedText& t : painted) {
        const QRectF ink = scaled(t.ink, dpr), box = scaled(t.box, dpr), shown = scaled(t.shown, dpr);
        if (!shown.intersects(ink)) continue;  // scrolled away
        if (t.elided && !options.elisionOk) out << QStringLiteral("elided: \"%1\"").arg(t.text);
        if (ink.left() < box.left() - kSlack || ink.right() > box.right() + kSlack || ink.top() < box.top() - 4 || ink.bottom() > box.bottom() + 4)
            out << QStringLiteral("text leaves its box: \"%1\" needs %2x%3, has %4x%5").arg(t.text).arg(ink.width()).arg(ink.height()).arg(box.width()).arg(box.height());
        const QWidget* at = window->childAt(shown.intersected(ink).center().toPoint());
        const bool cut = !shown.adjusted(-kSlack, -4, kSlack, 4).contains(ink);
        // Content of a scroll area may be cut off above and below, but only the map scrolls sideways.
        const bool cutSideways = ink.left() < shown.left() - kSlack || ink.right() > shown.right() + kSlack;
        if (cut && (!inScrollArea(at) || (cutSideways && !inside(at, "mapScroll")))) out << QStringLiteral("text is cut off: \"%1\" in %2").arg(t.text, nameOf(at));
        visible.push_back({ink.intersected(shown), t.text});
    }
    if (options.floating) return;
    for (std::size_t i = 0; i < visible.size(); ++i)
        for (std::size_t j = i + 1; j < visible.size(); ++j) {
            const QRectF both = visible[i].ink.intersected(visible[j].ink);
            // Ascent and descent of neighbouring lines may share some pixels.
            if (both.width() > 1 && both.height() > 5) out << QStringLiteral("texts overlap: \"%1\" and \"%2\"").arg(visible[i].text, visible[j].text);
        }
}

void checkFits(const QWidget* w, const Options& options, QStringList& out) {
    if (options.elisionOk) return;
    if (const auto* label = qobject_cast<const QLabel*>(w)) {
        if (label->text().isEmpty()) return;
        // A read-out line may be longer than the window; its tool tip has all.
        if (label->sizePolicy().horizontalPolicy() == QSizePolicy::Ignored) return;
        if (label->wordWrap()) {
            if (label->heightForWidth(label->width()) > label->height() + 1) out << QStringLiteral("label too low: \"%1\" in %2").arg(label->text(), nameOf(w));
        } else if (label->sizeHint().width() > label->width() + 1 || label->sizeHint().height() > label->height() + 1) {
            out << QStringLiteral("label too small: \"%1\" in %2, %3 of %4").arg(label->text(), nameOf(w)).arg(label->width()).arg(label->sizeHint().width());
        }
    } else if (const auto* button = qobject_cast<const QAbstractButton*>(w)) {
        if (!button->text().isEmpty() && (qobject_cast<const QPushButton*>(w) || qobject_cast<const QCheckBox*>(w)) && button->sizeHint().width() > button->width() + 1)
            out << QStringLiteral("button too narrow: \"%1\" in %2").arg(button->text(), nameOf(w));
    } else if (const auto* edit = qobject_cast<const QLineEdit*>(w)) {
        const QString text = edit->text().isEmpty() ? edit->placeholderText() : QString();
        if (edit->fontMetrics().horizontalAdvance(text) > edit->width() - 16) out << QStringLiteral("placeholder cut off: \"%1\"").arg(text);
    }
    if (const auto* header = qobject_cast<const QHeaderView*>(w); header != nullptr && header->orientation() == Qt::Horizontal && header->model() != nullptr)
        for (int i = 0; i < header->count(); ++i) {
            const QString title = header->model()->headerData(i, Qt::Horizontal).toString();
            if (!header->isSectionHidden(i) && header->fontMetrics().horizontalAdvance(title) + 12 > header->sectionSize(i))
                out << QStringLiteral("column title cut off: \"%1\"").arg(title);
        }
}

bool laidOut(const QWidget* w) {
    return !w->isWindow() && qobject_cast<const QScrollBar*>(w) == nullptr && qobject_cast<const QSplitterHandle*>(w) == nullptr;
}

void checkSiblings(const QWidget* parent, QStringList& out) {
    if (parent->layout() == nullptr || qobject_cast<const QMainWindow*>(parent) != nullptr) return;
    QList<QWidget*> children;
    for (QObject* o : parent->children())
        if (auto* w = qobject_cast<QWidget*>(o); w != nullptr && w->isVisible() && laidOut(w) && parent->layout()->indexOf(w) >= -1) children.append(w);
    for (int i = 0; i < children.size(); ++i) {
        if (!parent->rect().adjusted(-1, -1, 1, 1).contains(children.at(i)->geometry())) out << QStringLiteral("leaves its parent: %1").arg(nameOf(children.at(i)));
        for (int j = i + 1; j < children.size(); ++j)
            if (children.at(i)->geometry().adjusted(1, 1, -1, -1).intersects(children.at(j)->geometry().adjusted(1, 1, -1, -1)))
                out << QStringLiteral("widgets overlap: %1 and %2").arg(nameOf(children.at(i)), nameOf(children.at(j)));
    }
}

void checkNames(QWidget* w, QStringList& out) {
    if (!(w->focusPolicy() & Qt::TabFocus) || !w->isEnabled() || w->focusProxy() != nullptr) return;
    if (qobject_cast<QLineEdit*>(w) != nullptr && w->parentWidget() != nullptr && w->parentWidget()->inherits("QAbstractSpinBox")) return;
    if (w->objectName().isEmpty()) out << QStringLiteral("no object name: %1").arg(nameOf(w));
    const QAccessibleInterface* a = QAccessible::queryAccessibleInterface(w);
    if (a == nullptr || a->text(QAccessible::Name).isEmpty()) out << QStringLiteral("no accessible name: %1").arg(nameOf(w));
}

}  // namespace

QStringList problems(QWidget* window, const std::vector<ui::PaintedText>& painted, const Options& options) {
    QStringList out;
    checkPainted(window, painted, options, out);
    QList<QWidget*> all = window->findChildren<QWidget*>();
    all.prepend(window);
    for (QWidget* w : all) {
        if (!w->isVisible()) continue;
        checkFits(w, options, out);
        checkSiblings(w, out);
        checkNames(w, out);
    }
    return out;
}

}  // namespace tenpak::layout_check
