// SPDX-License-Identifier: GPL-3.0-or-later
// A state in three ways: tint, icon, word.
#pragma once
#include <QWidget>

#include "app/view_states.h"

class QPainter;

namespace tenpak::ui {

class Pill : public QWidget {
    Q_OBJECT
   public:
    explicit Pill(QWidget* parent = nullptr);
    Pill(app::Tone tone, const QString& icon, const QString& text, QWidget* parent = nullptr);
    /// Empty text hides the pill.
    void set(app::Tone tone, const QString& icon, const QString& text);
    QString text() const { return m_text; }
    QSize sizeHint() const override;
    QSize minimumSizeHint() const override { return sizeHint(); }

    static double widthOf(const QString& text);
    static void paint(QPainter& p, const QRectF& r, app::Tone tone, const QString& icon, const QString& text);

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    app::Tone m_tone = app::Tone::kNeutral;
    QString m_icon, m_text;
};

}  // namespace tenpak::ui
