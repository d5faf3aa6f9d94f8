// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/scroll.h"

namespace tenpak::ui {

QScrollArea* makeScroll(const QString& objectName, QWidget* content, ScrollGround ground) {
    auto* scroll = new QScrollArea;
    scroll->setObjectName(objectName);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setWidgetResizable(true);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    scroll->setFocusPolicy(Qt::NoFocus);
    scroll->setWidget(content);
    if (ground == ScrollGround::kCard) {
        scroll->viewport()->setAutoFillBackground(false);
        content->setAutoFillBackground(false);  // after setWidget(), which turns it on
    }
    return scroll;
}

}  // namespace tenpak::ui
