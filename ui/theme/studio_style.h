// SPDX-License-Identifier: GPL-3.0-or-later
// Fusion with flat, token-coloured controls. A proxy style and not a style sheet: sheets switch palette propagation off
// for the widgets they touch and cannot follow a theme switch. Buttons say what they are by a dynamic property:
// "primary", "quiet" (no frame), "segment" (part of a Segmented).
#pragma once
#include <QProxyStyle>
#include <QStyleOption>

namespace tenpak::ui {

class StudioStyle : public QProxyStyle {
    Q_OBJECT
   public:
    StudioStyle();
    int pixelMetric(PixelMetric metric, const QStyleOption* option, const QWidget* widget) const override;
    int styleHint(StyleHint hint, const QStyleOption* option, const QWidget* widget, QStyleHintReturn* data) const override;
    QSize sizeFromContents(ContentsType type, const QStyleOption* option, const QSize& size, const QWidget* widget) const override;
    QRect subControlRect(ComplexControl control, const QStyleOptionComplex* option, SubControl sub, const QWidget* widget) const override;
    void drawPrimitive(PrimitiveElement element, const QStyleOption* option, QPainter* p, const QWidget* widget) const override;
    void drawControl(ControlElement element, const QStyleOption* option, QPainter* p, const QWidget* widget) const override;
    void drawComplexControl(ComplexControl control, const QStyleOptionComplex* option, QPainter* p, const QWidget* widget) const override;

   private:
    void drawButtonPanel(const QStyleOption* option, QPainter* p, const QWidget* widget) const;
    void drawCheckBox(const QStyleOption* option, QPainter* p) const;
    void drawRadio(const QStyleOption* option, QPainter* p) const;
    void drawField(const QStyleOption* option, QPainter* p) const;
    void drawMenuItem(const QStyleOptionMenuItem* option, QPainter* p) const;
};

}  // namespace tenpak::ui
