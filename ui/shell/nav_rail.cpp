// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/shell/nav_rail.h"

#include <QKeyEvent>
#include <QPainter>
#include <QVBoxLayout>

#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {

NavButton::NavButton(const QString& objectName, const QString& icon, const QString& text, const QString& key, QWidget* parent) : QAbstractButton(parent), m_icon(icon) {
    setObjectName(objectName);
    setText(text);
    setAccessibleName(text);
    setToolTip(key.isEmpty() ? text : QStringLiteral("%1 (%2)").arg(text, key));
    setFixedSize(76, 60);
    setFocusPolicy(Qt::StrongFocus);
    setAttribute(Qt::WA_Hover);
    connect(&Theme::instance(), &Theme::changed, this, qOverload<>(&QWidget::update));
}

void NavButton::setBusy(bool busy) {
    if (busy == m_busy) return;
    m_busy = busy;
    setAccessibleDescription(busy ? tr("A job is running") : QString());
    update();
}

void NavButton::keyPressEvent(QKeyEvent* event) {
    if (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) click();
    else QAbstractButton::keyPressEvent(event);
}

void NavButton::paintEvent(QPaintEvent*) {
    QPainter p(this);
    p.setRenderHint(QPainter::Antialiasing);
    const Tokens& t = theme();
    const bool on = isChecked();
    const double middle = width() / 2.0;
    const QRectF pill(middle - 24, 5, 48, 28);
    if (on || underMouse()) drawBox(p, pill, on ? t.accentTint : t.sunken, {}, 14);
    drawIcon(p, QPointF(middle - 10, 9), m_icon, 20, on ? t.accent : t.text2);
    p.setPen(on ? t.text : t.text2);
    drawText(p, QRectF(0, 36, width(), 18), Qt::AlignCenter, text(), typeFont(Type::kCaption));
    if (m_busy) {
        p.setPen(QPen(t.window, 2));
        p.setBrush(t.accent);
        p.drawEllipse(QPointF(middle + 15, 10), 5, 5);
    }
    if (showsFocus(this)) drawFocusRing(p, QRectF(rect()).adjusted(2, 0, -2, 0));
}

NavRail::NavRail(QWidget* parent) : QWidget(parent) {
    setObjectName(QStringLiteral("navRail"));
    setAccessibleName(tr("Pages"));
    setFixedWidth(size::kRail);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(4, 10, 4, 10);
    column->setSpacing(6);
    struct Entry {
        const char *name, *icon;
        QString text;
    };
    const std::array<Entry, 4> entries = {{{"nav.start", "home", tr("Start")}, {"nav.delta", "delta", tr("Delta")}, {"nav.sweep", "sweep", tr("Sweep")}, {"nav.artifacts", "artifact", tr("Artifacts")}}};
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const int page = static_cast<int>(i);
        m_pages[i] = new NavButton(QLatin1String(entries[i].name), QLatin1String(entries[i].icon), entries[i].text, QStringLiteral("Ctrl+%1").arg(page + 1), this);
        m_pages[i]->setCheckable(true);
        m_pages[i]->setAutoExclusive(true);
        column->addWidget(m_pages[i]);
        connect(m_pages[i], &QAbstractButton::clicked, this, [this, page] { emit chosen(page); });
    }
    column->addStretch();
    auto* settings = new NavButton(QStringLiteral("nav.settings"), QStringLiteral("settings"), tr("Settings"), QStringLiteral("Ctrl+,"), this);
    column->addWidget(settings);
    connect(settings, &QAbstractButton::clicked, this, &NavRail::settingsRequested);
    setCurrent(0);
}

void NavRail::setCurrent(int page) { m_pages.at(static_cast<std::size_t>(page))->setChecked(true); }
void NavRail::setBusy(int page, bool busy) { m_pages.at(static_cast<std::size_t>(page))->setBusy(busy); }

void NavRail::focusCurrent() {
    for (NavButton* b : m_pages)
        if (b->isChecked()) b->setFocus(Qt::ShortcutFocusReason);
}

}  // namespace tenpak::ui
