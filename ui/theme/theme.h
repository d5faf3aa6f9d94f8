// SPDX-License-Identifier: GPL-3.0-or-later
// The current tokens, fonts and icons. Widgets ask theme() while painting, so a switch is one signal and a repaint.
// One object per program, UI thread only.
#pragma once
#include <QFont>
#include <QIcon>
#include <QObject>
#include <QPixmap>

#include "ui/theme/tokens.h"

namespace tenpak::ui {

enum class Type { kCaption, kBody, kBodyStrong, kTitle, kHeadline, kDisplay, kCode };

class Theme : public QObject {
    Q_OBJECT
   public:
    static Theme& instance();

    const Tokens& tokens() const { return *m_tokens; }
    /// Also sets the application's palette and default font; needs a QApplication.
    void setDark(bool dark);
    /// Instead of Roboto the desktop's own font, in the same sizes.
    void setUseDesktopFont(bool use);

    QFont font(Type type) const;
    /// A tinted icon; invalid colours mean text2. A null pixmap for an unknown name (tested: every used name exists).
    QPixmap pixmap(const QString& name, int size, const QColor& color, qreal devicePixelRatio) const;
    QIcon icon(const QString& name, const QColor& color = {}) const;
    static bool hasIcon(const QString& name);

   signals:
    void changed();

   private:
    Theme();
    void apply();
    const Tokens* m_tokens;
    QString m_family;
    bool m_useDesktopFont = false;
};

inline const Tokens& theme() { return Theme::instance().tokens(); }
inline QFont typeFont(Type type) { return Theme::instance().font(type); }

}  // namespace tenpak::ui
