// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/theme/studio_style.h"

#include <QAbstractSpinBox>
#include <QMenu>
#include <QPainter>
#include <QStyleFactory>
#include <QStyleOption>
#include <QWidget>

#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace {
bool is(const QWidget* w, const char* property) { return w != nullptr && w->property(property).toBool(); }
QColor fieldEdge() { return mix(theme().border, theme().borderStrong, .9); }
QColor buttonEdge() { return mix(theme().border, theme().borderStrong, .35); }
}  // namespace

StudioStyle::StudioStyle() : QProxyStyle(QStyleFactory::create(QStringLiteral("Fusion"))) {}

int StudioStyle::pixelMetric(PixelMetric metric, const QStyleOption* o, const QWidget* w) const {
    switch (metric) {
        case PM_DefaultFrameWidth: return qobject_cast<const QMenu*>(w) != nullptr ? 5 : 1;
        case PM_ScrollBarExtent: return 10;
        case PM_SplitterWidth: return space::kM;
        case PM_ButtonMargin: return 14;
        case PM_FocusFrameHMargin: return space::kS - 1;  // cell padding in tables and lists
        case PM_HeaderMargin: return space::kS;
        case PM_ButtonShiftHorizontal:
        case PM_ButtonShiftVertical: return 0;
        case PM_LayoutHorizontalSpacing:
        case PM_LayoutVerticalSpacing: return space::kS;
        case PM_SmallIconSize: return 16;
        case PM_IndicatorWidth:
        case PM_IndicatorHeight: return 16;
        case PM_CheckBoxLabelSpacing:
        case PM_RadioButtonLabelSpacing: return space::kS;
        default: return QProxyStyle::pixelMetric(metric, o, w);
    }
}

int StudioStyle::styleHint(StyleHint hint, const QStyleOption* o, const QWidget* w, QStyleHintReturn* data) const {
    switch (hint) {
        case SH_EtchDisabledText:
        case SH_DitherDisabledText: return 0;
        case SH_Menu_Scrollable: return 1;
        case SH_ComboBox_Popup: return 0;
        case SH_ItemView_ShowDecorationSelected: return 1;
        default: return QProxyStyle::styleHint(hint, o, w, data);
    }
}

QSize StudioStyle::sizeFromContents(ContentsType type, const QStyleOption* o, const QSize& size, const QWidget* w) const {
    QSize r = QProxyStyle::sizeFromContents(type, o, size, w);
    switch (type) {
        case CT_PushButton:
        case CT_ComboBox:
        case CT_LineEdit:
        case CT_SpinBox: r.setHeight(size::kControl); break;
        case CT_MenuItem:
            if (const auto* m = qstyleoption_cast<const QStyleOptionMenuItem*>(o); m != nullptr && m->menuItemType != QStyleOptionMenuItem::Separator)
                r = QSize(r.width() + 24, 28);
            break;
        case CT_CheckBox:
        case CT_RadioButton: r.setHeight(std::max(r.height(), 24)); break;
        default: break;
    }
    return r;
}

QRect StudioStyle::subControlRect(ComplexControl control, const QStyleOptionComplex* o, SubControl sub, const QWidget* w) const {
    if (control == CC_ScrollBar) {  // no arrow buttons, a slider that is never too small to hit
        const auto* b = qstyleoption_cast<const QStyleOptionSlider*>(o);
        const bool horizontal = b->orientation == Qt::Horizontal;
        const QRect r = o->rect;
        const int length = horizontal ? r.width() : r.height();
        const int range = b->maximum - b->minimum;
        const int slider = range > 0 ? std::max(size::kHitTarget, static_cast<int>(qint64(b->pageStep) * length / (qint64(range) + b->pageStep))) : length;
        const int at = sliderPositionFromValue(b->minimum, b->maximum, b->sliderPosition, length - slider, b->upsideDown);
        const auto part = [&](int from, int n) {
            return horizontal ? QRect(r.x() + from, r.y(), n, r.height()) : QRect(r.x(), r.y() + from, r.width(), n);
        };
        switch (sub) {
            case SC_ScrollBarAddLine:
            case SC_ScrollBarSubLine: return {};
            case SC_ScrollBarSlider: return part(at, slider);
            case SC_ScrollBarGroove: return r;
            case SC_ScrollBarSubPage: return part(0, at);
            case SC_ScrollBarAddPage: return part(at + slider, length - at - slider);
            default: break;
        }
    }
    if (control == CC_ComboBox && sub == SC_ComboBoxEditField) return o->rect.adjusted(10, 1, -26, -1);
    if (control == CC_SpinBox) {
        const QRect r = o->rect;
        if (sub == SC_SpinBoxEditField) return r.adjusted(8, 1, -24, -1);
        if (sub == SC_SpinBoxUp) return {r.right() - 24, r.top() + 1, 24, r.height() / 2 - 1};
        if (sub == SC_SpinBoxDown) return {r.right() - 24, r.top() + r.height() / 2, 24, r.height() / 2 - 1};
    }
    return QProxyStyle::subControlRect(control, o, sub, w);
}

void StudioStyle::drawButtonPanel(const QStyleOption* o, QPainter* p, const QWidget* w) const {
    const Tokens& t = theme();
    const bool enabled = o->state & State_Enabled;
    const bool hover = enabled && (o->state & State_MouseOver);
    const bool down = o->state & (State_Sunken | State_On);
    const QRectF r(o->rect);
    if (is(w, "primary")) {
        QColor fill = enabled ? t.accent : t.sunken;
        if (down) fill = mix(fill, Qt::black, .18);
        else if (hover) fill = mix(fill, t.dark ? Qt::white : Qt::black, .1);
        drawBox(*p, r, fill, enabled ? QColor() : t.border, radius::kControl);
    } else if (is(w, "segment")) {
        if (hover && !down) drawBox(*p, r, t.sunken, {}, 5);
    } else if (is(w, "quiet")) {
        if (hover || down) drawBox(*p, r, mix(t.surface, t.borderStrong, .15), {}, radius::kControl);
    } else {
        drawBox(*p, r, down ? t.sunken : hover ? mix(t.surface, t.sunken, .7) : t.surface, enabled ? buttonEdge() : t.border, radius::kControl);
    }
    if ((o->state & State_HasFocus) && (o->state & State_KeyboardFocusChange)) {
        // On the accent fill the ring needs a gap to be seen.
        if (is(w, "primary")) drawBox(*p, r.adjusted(2, 2, -2, -2), {}, t.onAccent, radius::kControl - 2);
        drawFocusRing(*p, r, radius::kControl);
    }
}

void StudioStyle::drawCheckBox(const QStyleOption* o, QPainter* p) const {
    const Tokens& t = theme();
    const bool enabled = o->state & State_Enabled, checked = o->state & State_On;
    const QRectF r(o->rect);
    drawBox(*p, r, checked ? (enabled ? t.accent : t.disabled) : t.surface, checked ? QColor() : enabled ? t.borderStrong : t.border, 3);
    if (!checked) return;
    p->save();
    p->setRenderHint(QPainter::Antialiasing);
    p->setPen(QPen(enabled ? t.onAccent : t.surface, 1.8, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin));
    const auto at = [&r](double x, double y) { return QPointF(r.x() + r.width() * x, r.y() + r.height() * y); };
    p->drawPolyline(QPolygonF({at(.24, .52), at(.43, .70), at(.77, .32)}));
    p->restore();
}

void StudioStyle::drawRadio(const QStyleOption* o, QPainter* p) const {
    const Tokens& t = theme();
    const bool enabled = o->state & State_Enabled, checked = o->state & State_On;
    const QRectF r = QRectF(o->rect).adjusted(.5, .5, -.5, -.5);
    p->save();
    p->setRenderHint(QPainter::Antialiasing);
    const QColor edge = !enabled ? t.border : checked ? t.accent : t.borderStrong;
    p->setPen(QPen(edge, checked ? 4.5 : 1));
    p->setBrush(t.surface);
    const double inset = checked ? 2.25 : 0;
    p->drawEllipse(r.adjusted(inset, inset, -inset, -inset));
    p->restore();
}

void StudioStyle::drawField(const QStyleOption* o, QPainter* p) const {
    const Tokens& t = theme();
    const bool enabled = o->state & State_Enabled;
    drawBox(*p, o->rect, enabled ? t.surface : t.sunken, enabled ? fieldEdge() : t.border, radius::kControl);
    if (o->state & State_HasFocus) drawFocusRing(*p, o->rect, radius::kControl);
}

void StudioStyle::drawPrimitive(PrimitiveElement element, const QStyleOption* o, QPainter* p, const QWidget* w) const {
    const Tokens& t = theme();
    switch (element) {
        case PE_PanelButtonCommand: drawButtonPanel(o, p, w); return;
        case PE_FrameDefaultButton: return;
        case PE_FrameLineEdit:
        case PE_PanelLineEdit:
            if (w != nullptr && qobject_cast<const QAbstractSpinBox*>(w->parentWidget()) != nullptr) return;
            if (const auto* f = qstyleoption_cast<const QStyleOptionFrame*>(o); f != nullptr && f->lineWidth == 0 && element == PE_PanelLineEdit) return;
            drawField(o, p);
            return;
        case PE_IndicatorCheckBox:
        case PE_IndicatorItemViewItemCheck: drawCheckBox(o, p); return;
        case PE_IndicatorRadioButton: drawRadio(o, p); return;
        case PE_FrameFocusRect: drawFocusRing(*p, QRectF(o->rect), 4); return;
        case PE_PanelItemViewRow: return;
        case PE_PanelItemViewItem:
            if (o->state & State_Selected) p->fillRect(o->rect, t.accentTint);
            return;
        case PE_Frame:
            if (w != nullptr && w->inherits("QAbstractScrollArea")) return;
            break;
        case PE_FrameMenu:
        case PE_PanelMenu: drawBox(*p, o->rect, t.card, buttonEdge(), 0); return;
        case PE_PanelTipLabel: drawBox(*p, o->rect, t.card, t.border, 4); return;
        case PE_FrameTabBarBase: return;
        default: break;
    }
    QProxyStyle::drawPrimitive(element, o, p, w);
}

void StudioStyle::drawMenuItem(const QStyleOptionMenuItem* o, QPainter* p) const {
    const Tokens& t = theme();
    const QRect r = o->rect;
    if (o->menuItemType == QStyleOptionMenuItem::Separator) {
        p->fillRect(QRect(r.left() + 8, r.center().y(), r.width() - 16, 1), t.border);
        return;
    }
    const bool enabled = o->state & State_Enabled;
    if ((o->state & State_Selected) && enabled) drawBox(*p, QRectF(r), t.accentTint, {}, 4);
    const QStringList parts = o->text.split(QLatin1Char('\t'));
    p->setPen(enabled ? t.text : t.disabled);
    p->setFont(o->font);
    p->drawText(r.adjusted(28, 0, -12, 0), Qt::AlignVCenter | Qt::AlignLeft | Qt::TextShowMnemonic, parts.value(0));
    if (parts.size() > 1) {
        p->setPen(enabled ? t.text2 : t.disabled);
        p->drawText(r.adjusted(28, 0, -12, 0), Qt::AlignVCenter | Qt::AlignRight, parts.value(1));
    }
    if (o->checked) drawIcon(*p, QPointF(r.left() + 6, r.center().y() - 7), QStringLiteral("check"), 16, t.accent);
    else if (!o->icon.isNull()) o->icon.paint(p, QRect(r.left() + 6, r.center().y() - 7, 16, 16), Qt::AlignCenter, enabled ? QIcon::Normal : QIcon::Disabled);
    if (o->menuItemType == QStyleOptionMenuItem::SubMenu)
        drawIcon(*p, QPointF(r.right() - 18, r.center().y() - 7), QStringLiteral("chevright"), 14, t.text2);
}

void StudioStyle::drawControl(ControlElement element, const QStyleOption* o, QPainter* p, const QWidget* w) const {
    const Tokens& t = theme();
    switch (element) {
        case CE_PushButtonLabel:
            if (const auto* b = qstyleoption_cast<const QStyleOptionButton*>(o); b != nullptr && is(w, "primary")) {
                QStyleOptionButton copy = *b;
                copy.palette.setColor(QPalette::ButtonText, (o->state & State_Enabled) ? t.onAccent : t.disabled);
                QProxyStyle::drawControl(element, &copy, p, w);
                return;
            }
            break;
        case CE_HeaderSection:
        case CE_HeaderEmptyArea:
            p->fillRect(o->rect, t.surface);
            p->fillRect(QRect(o->rect.left(), o->rect.bottom(), o->rect.width(), 1), t.border);
            return;
        case CE_HeaderLabel:
            if (const auto* h = qstyleoption_cast<const QStyleOptionHeader*>(o)) {
                QStyleOptionHeader copy = *h;
                copy.palette.setColor(QPalette::ButtonText, t.text2);
                QProxyStyle::drawControl(element, &copy, p, w);
                return;
            }
            break;
        case CE_ProgressBarGroove: {
            const QRectF r(o->rect);
            drawBox(*p, QRectF(r.x(), r.center().y() - 3, r.width(), 6), t.track, {}, 3);
            return;
        }
        case CE_ProgressBarContents:
            if (const auto* b = qstyleoption_cast<const QStyleOptionProgressBar*>(o); b != nullptr && b->maximum > b->minimum) {
                const QRectF r(o->rect);
                const double f = double(b->progress - b->minimum) / (b->maximum - b->minimum);
                if (f > 0) drawBox(*p, QRectF(r.x(), r.center().y() - 3, std::max(6.0, r.width() * f), 6), t.accent, {}, 3);
            }
            return;
        case CE_ProgressBarLabel:
        case CE_Splitter: return;
        case CE_ComboBoxLabel:  // Fusion clips long entries: elide in the middle, where model names differ least
            if (const auto* b = qstyleoption_cast<const QStyleOptionComboBox*>(o)) {
                const QRect r = subControlRect(CC_ComboBox, b, SC_ComboBoxEditField, w);
                p->setPen((o->state & State_Enabled) ? t.text : t.disabled);
                drawElided(*p, r, Qt::AlignVCenter | Qt::AlignLeft, b->currentText, p->font());
            }
            return;
        case CE_MenuItem:
            if (const auto* m = qstyleoption_cast<const QStyleOptionMenuItem*>(o); m != nullptr && qobject_cast<const QMenu*>(w) != nullptr) {
                drawMenuItem(m, p);
                return;
            }
            break;
        case CE_MenuBarItem:
            if (const auto* m = qstyleoption_cast<const QStyleOptionMenuItem*>(o)) {
                p->fillRect(o->rect, t.window);
                if (o->state & (State_Selected | State_Sunken)) drawBox(*p, QRectF(o->rect).adjusted(1, 2, -1, -2), t.accentTint, {}, 4);
                p->setPen(t.text);
                p->drawText(o->rect, Qt::AlignCenter | Qt::TextShowMnemonic | Qt::TextSingleLine, m->text);
                return;
            }
            break;
        case CE_MenuBarEmptyArea: p->fillRect(o->rect, t.window); return;
        default: break;
    }
    QProxyStyle::drawControl(element, o, p, w);
}

void StudioStyle::drawComplexControl(ComplexControl control, const QStyleOptionComplex* o, QPainter* p, const QWidget* w) const {
    const Tokens& t = theme();
    const bool enabled = o->state & State_Enabled;
    switch (control) {
        case CC_ComboBox:
            drawField(o, p);
            drawIcon(*p, QPointF(o->rect.right() - 23, o->rect.center().y() - 7), QStringLiteral("chevdown"), 16, enabled ? t.text2 : t.disabled);
            return;
        case CC_SpinBox:
            drawField(o, p);
            drawIcon(*p, QPointF(o->rect.right() - 20, o->rect.top() + 3), QStringLiteral("chevup"), 13, enabled ? t.text2 : t.disabled);
            drawIcon(*p, QPointF(o->rect.right() - 20, o->rect.bottom() - 15), QStringLiteral("chevdown"), 13, enabled ? t.text2 : t.disabled);
            return;
        case CC_ScrollBar: {
            const auto* b = static_cast<const QStyleOptionSlider*>(o);
            if (b->maximum <= b->minimum) return;
            const QRectF s(subControlRect(control, o, SC_ScrollBarSlider, w));
            const QRectF bar = b->orientation == Qt::Horizontal ? s.adjusted(0, 2, 0, -2) : s.adjusted(2, 0, -2, 0);
            drawBox(*p, bar, mix(t.border, t.borderStrong, (o->state & State_MouseOver) ? .7 : .3), {}, 3);
            return;
        }
        default: break;
    }
    QProxyStyle::drawComplexControl(control, o, p, w);
}

}  // namespace tenpak::ui
