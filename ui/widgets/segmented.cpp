// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/segmented.h"

#include <QButtonGroup>
#include <QPainter>

#include "ui/theme/paint.h"
#include "ui/widgets/basics.h"

namespace tenpak::ui {

Segmented::Segmented(const QString& objectName, const QString& accessibleName, const QStringList& choices, QWidget* parent)
    : QWidget(parent), m_group(new QButtonGroup(this)) {
    setObjectName(objectName);
    setAccessibleName(accessibleName);
    setSizePolicy(QSizePolicy::Fixed, QSizePolicy::Fixed);
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(2, 2, 2, 2);
    row->setSpacing(0);
    for (const QString& choice : choices) {
        const int id = static_cast<int>(m_group->buttons().size());
        QPushButton* b = makeButton(objectName + QLatin1Char('.') + QString::number(id), choice, {}, ButtonKind::kSegment);
        b->setAccessibleName(accessibleName + QStringLiteral(": ") + choice);
        b->setCheckable(true);
        b->setFixedHeight(size::kHitTarget);
        m_group->addButton(b, id);
        row->addWidget(b);
    }
    m_group->button(0)->setChecked(true);
    connect(m_group, &QButtonGroup::idToggled, this, [this](int id, bool on) {
        update();
        if (on) emit currentChanged(id);
    });
}

int Segmented::current() const { return m_group->checkedId(); }
void Segmented::setCurrent(int index) { m_group->button(index)->setChecked(true); }

void Segmented::paintEvent(QPaintEvent*) {
    QPainter p(this);
    drawBox(p, rect(), theme().surface, mix(theme().border, theme().borderStrong, .35), radius::kControl);
    for (const QAbstractButton* b : m_group->buttons())
        if (b->isChecked()) drawBox(p, b->geometry(), theme().accentTint, {}, radius::kControl - 1);
}

}  // namespace tenpak::ui
