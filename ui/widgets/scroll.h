// SPDX-License-Identifier: GPL-3.0-or-later
// A frameless area that scrolls up and down only and takes no focus of its own.
#pragma once
#include <QScrollArea>

namespace tenpak::ui {

/// What shows behind the content: the page's own ground, or the card that the area lies in.
enum class ScrollGround { kPage, kCard };

/// Takes ownership of `content`, whose layout must be set already.
QScrollArea* makeScroll(const QString& objectName, QWidget* content, ScrollGround ground);

}  // namespace tenpak::ui
