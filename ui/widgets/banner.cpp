// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/banner.h"

#include <QPainter>

#include "ui/theme/paint.h"
#include "ui/widgets/basics.h"

namespace tenpak::ui {
namespace {
bool sameActions(const QList<app::BannerState::Action>& a, const QList<app::BannerState::Action>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        return x.id == y.id && x.text == y.text && x.icon == y.icon && x.primary == y.primary;
    });
}
}  // namespace

Banner::Banner(QWidget* parent)
    : QWidget(parent), m_icon(new IconLabel(QStringLiteral("info"), 20, Ink::kAccent)), m_title(new Label({}, Type::kBodyStrong)),
      m_body(new Label({}, Type::kCaption, Ink::kMuted)), m_buttons(makeRow()) {
    setObjectName(QStringLiteral("banner"));
    m_title->setObjectName(QStringLiteral("bannerTitle"));
    m_body->setObjectName(QStringLiteral("bannerBody"));
    m_title->setWordWrap(true);
    m_body->setWordWrap(true);
    m_close = makeIconButton(QStringLiteral("bannerClose"), QStringLiteral("close"), tr("Close this message"));
    auto* text = makeColumn(1);
    text->addWidget(m_title);
    text->addWidget(m_body);
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(14, 8, 10, 8);
    row->setSpacing(space::kM);
    row->addWidget(m_icon);
    row->addLayout(text, 1);
    row->addLayout(m_buttons);
    row->addWidget(m_close);
    connect(m_close, &QPushButton::clicked, this, &Banner::closed);
    hide();
}

void Banner::setState(const app::BannerState& state, const QString& icon) {
    const bool sameButtons = sameActions(state.actions, m_state.actions) && state.details.isEmpty() == m_state.details.isEmpty();
    m_state = state;
    m_iconName = icon.isEmpty() ? iconOf(state.tone) : icon;
    m_icon->set(m_iconName, inkOf(state.tone));
    m_title->setText(state.title);
    m_body->setText(state.body);
    m_body->setVisible(!state.body.isEmpty());
    setAccessibleName(state.title + QStringLiteral(". ") + state.body);
    if (!sameButtons) {  // kept while a running job only changes its words: focus must not be lost
        clearLayout(m_buttons);
        for (const auto& action : state.actions) {
            QPushButton* b = makeButton(QStringLiteral("banner.") + action.id, action.text, action.icon, action.primary ? ButtonKind::kPrimary : ButtonKind::kNormal);
            connect(b, &QPushButton::clicked, this, [this, id = action.id] { emit actionTriggered(id); });
            m_buttons->addWidget(b);
        }
        if (!state.details.isEmpty()) {
            QPushButton* b = makeButton(QStringLiteral("banner.copyDetails"), tr("Copy details"), QStringLiteral("copy"));
            connect(b, &QPushButton::clicked, this, [this] { emit copyRequested(m_state.details); });
            m_buttons->addWidget(b);
        }
    }
    m_close->setVisible(state.closable);
    setVisible(!state.isEmpty());
    update();
}

void Banner::paintEvent(QPaintEvent*) {
    QPainter p(this);
    drawBox(p, rect(), tintOf(m_state.tone), {}, radius::kCard);
}

}  // namespace tenpak::ui
