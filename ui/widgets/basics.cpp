// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/basics.h"

#include <QEvent>
#include <QPainter>

#include "ui/theme/paint.h"

namespace tenpak::ui {

QColor inkColor(Ink ink) {
    const Tokens& t = theme();
    switch (ink) {
        case Ink::kText: return t.text;
        case Ink::kMuted: return t.text2;
        case Ink::kOk: return t.ok;
        case Ink::kWarn: return t.warn;
        case Ink::kError: return t.err;
        case Ink::kAccent: return t.accent;
    }
    return t.text;
}

Ink inkOf(app::Tone tone) {
    switch (tone) {
        case app::Tone::kNeutral: return Ink::kMuted;
        case app::Tone::kInfo: return Ink::kAccent;
        case app::Tone::kOk: return Ink::kOk;
        case app::Tone::kWarn: return Ink::kWarn;
        case app::Tone::kError: return Ink::kError;
    }
    return Ink::kMuted;
}

QColor tintOf(app::Tone tone) {
    const Tokens& t = theme();
    switch (tone) {
        case app::Tone::kNeutral: return t.track;
        case app::Tone::kInfo: return t.accentTint;
        case app::Tone::kOk: return t.okTint;
        case app::Tone::kWarn: return t.warnTint;
        case app::Tone::kError: return t.errTint;
    }
    return t.track;
}

QString iconOf(app::Tone tone) {
    switch (tone) {
        case app::Tone::kNeutral:
        case app::Tone::kInfo: return QStringLiteral("info");
        case app::Tone::kOk: return QStringLiteral("check");
        case app::Tone::kWarn:
        case app::Tone::kError: return QStringLiteral("warn");
    }
    return QStringLiteral("info");
}

Label::Label(const QString& text, Type type, Ink ink, QWidget* parent) : QLabel(text, parent), m_type(type), m_ink(ink) {
    setTextFormat(Qt::PlainText);
    applyTheme();
    connect(&Theme::instance(), &Theme::changed, this, &Label::applyTheme);
}

void Label::setInk(Ink ink) {
    if (ink == m_ink) return;
    m_ink = ink;
    applyTheme();
}

void Label::setType(Type type) {
    m_type = type;
    applyTheme();
}

void Label::applyTheme() {
    setFont(typeFont(m_type));
    QPalette p = palette();
    p.setColor(QPalette::WindowText, inkColor(m_ink));
    p.setColor(QPalette::Text, inkColor(m_ink));
    setPalette(p);
}

NameLabel::NameLabel(Type type, Ink ink, QWidget* parent) : QWidget(parent), m_type(type), m_ink(ink) {
    setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Fixed);
}

void NameLabel::setText(const QString& text) {
    if (text == m_text) return;
    m_text = text;
    setAccessibleName(text);
    setToolTip(text);
    updateGeometry();
    update();
}

QSize NameLabel::sizeHint() const {
    return {static_cast<int>(std::ceil(textWidth(typeFont(m_type), m_text))) + 1, static_cast<int>(std::ceil(textHeight(typeFont(m_type))))};
}

QSize NameLabel::minimumSizeHint() const { return {std::min(72, sizeHint().width()), sizeHint().height()}; }

void NameLabel::paintEvent(QPaintEvent*) {
    QPainter p(this);
    p.setPen(inkColor(m_ink));
    drawElided(p, rect(), Qt::AlignLeft | Qt::AlignVCenter, m_text, typeFont(m_type));
}

IconLabel::IconLabel(const QString& name, int size, Ink ink, QWidget* parent) : QWidget(parent), m_name(name), m_size(size), m_ink(ink) {
    setFixedSize(size, size);
}

void IconLabel::set(const QString& name, Ink ink) {
    m_name = name;
    m_ink = ink;
    update();
}

void IconLabel::paintEvent(QPaintEvent*) {
    QPainter p(this);
    drawIcon(p, QPointF(0, 0), m_name, m_size, inkColor(m_ink));
}

Line::Line(QWidget* parent) : QWidget(parent) { setFixedHeight(1); }

void Line::paintEvent(QPaintEvent*) { QPainter(this).fillRect(rect(), theme().border); }

Card::Card(int padding, QWidget* parent) : QWidget(parent), m_box(new QVBoxLayout(this)) {
    m_box->setContentsMargins(padding, std::max(0, padding - 2), padding, padding);
    m_box->setSpacing(space::kS);
}

void Card::paintEvent(QPaintEvent*) {
    QPainter p(this);
    drawBox(p, rect(), theme().surface, theme().border, radius::kCard);
}

namespace {
void tintIcon(QPushButton* button) {
    const QString icon = button->property("iconName").toString();
    if (icon.isEmpty()) {
        button->setIcon({});
        return;
    }
    button->setIcon(Theme::instance().icon(icon, button->property("primary").toBool() ? theme().onAccent : theme().text2));
}
}  // namespace

void setButtonIcon(QPushButton* button, const QString& icon) {
    if (button->property("iconName").toString() == icon) return;
    button->setProperty("iconName", icon);
    tintIcon(button);
}

void setButtonPrimary(QPushButton* button, bool primary) {
    if (button->property("primary").toBool() == primary) return;
    button->setProperty("primary", primary);
    button->setFont(typeFont(primary ? Type::kBodyStrong : Type::kBody));
    tintIcon(button);
    button->update();
}

QPushButton* makeButton(const QString& objectName, const QString& text, const QString& icon, ButtonKind kind) {
    auto* b = new QPushButton(text);
    b->setObjectName(objectName);
    b->setAutoDefault(false);
    b->setIconSize({16, 16});
    b->setProperty("primary", kind == ButtonKind::kPrimary);
    b->setProperty("quiet", kind == ButtonKind::kQuiet);
    b->setProperty("segment", kind == ButtonKind::kSegment);
    b->setProperty("iconName", icon);
    const auto apply = [b, kind] {
        b->setFont(typeFont(b->property("primary").toBool() ? Type::kBodyStrong : kind == ButtonKind::kSegment ? Type::kCaption : Type::kBody));
        tintIcon(b);
    };
    apply();
    QObject::connect(&Theme::instance(), &Theme::changed, b, apply);
    return b;
}

QPushButton* makeIconButton(const QString& objectName, const QString& icon, const QString& name, int side) {
    QPushButton* b = makeButton(objectName, {}, icon, ButtonKind::kQuiet);
    b->setFixedSize(side, side);
    b->setToolTip(name);
    b->setAccessibleName(name);
    return b;
}

QHBoxLayout* makeRow(int spacing) {
    auto* l = new QHBoxLayout;
    l->setContentsMargins(0, 0, 0, 0);
    l->setSpacing(spacing);
    return l;
}

QVBoxLayout* makeColumn(int spacing) {
    auto* l = new QVBoxLayout;
    l->setContentsMargins(0, 0, 0, 0);
    l->setSpacing(spacing);
    return l;
}

void clearLayout(QLayout* layout) {
    while (QLayoutItem* item = layout->takeAt(0)) {
        if (QWidget* w = item->widget()) {
            w->hide();
            w->setParent(nullptr);  // found by nobody any more
            w->deleteLater();
        } else if (QLayout* inner = item->layout()) {
            clearLayout(inner);
        }
        delete item;
    }
}

}  // namespace tenpak::ui
