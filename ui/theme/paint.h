// SPDX-License-Identifier: GPL-3.0-or-later
// Painting helpers that every painted widget shares. Text goes through drawText(), so that the scene test knows each
// painted word and where it stands (TextProbe).
#pragma once
#include <QColor>
#include <QFont>
#include <QPainterPath>
#include <QRectF>
#include <QString>
#include <span>
#include <vector>

class QPainter;
class QWidget;

namespace tenpak::ui {

QColor mix(const QColor& a, const QColor& b, double share);       ///< share of b
QColor ramp(std::span<const QColor> stops, double x);             ///< x in 0..1, interpolated
QColor inkOn(const QColor& ground);                               ///< dark or white, whichever reads better on it

void drawBox(QPainter& p, const QRectF& r, const QColor& fill, const QColor& line = {}, double radius = 6);
void drawFocusRing(QPainter& p, const QRectF& r, double radius = 6);
void drawHatch(QPainter& p, const QRectF& r, const QColor& color, double step = 6, double width = 1);
void drawIcon(QPainter& p, const QPointF& topLeft, const QString& name, int size, const QColor& color);
QPainterPath starPath(double radius);
/// Focus shows after a key press only.
bool showsFocus(const QWidget* w);

double textWidth(const QFont& f, const QString& text);
double textHeight(const QFont& f);
/// Text in a box with the painter's pen; never elided. Reports to the probe where one is installed.
void drawText(QPainter& p, const QRectF& box, int alignment, const QString& text, const QFont& f);
/// Elided at `mode` where the box is too narrow (model and file names); the full text must be reachable elsewhere.
void drawElided(QPainter& p, const QRectF& box, int alignment, const QString& text, const QFont& f, Qt::TextElideMode mode = Qt::ElideMiddle);

/// While set, drawText() fills glyph outlines: for SVG, where the reader may lack the font.
void setTextAsPaths(bool on);

/// What was painted, in device pixels of the paint device: installed by tests/ui/scenes only.
struct PaintedText {
    QString text;
    QRectF ink;        ///< where the glyphs' advance box stands
    QRectF box;        ///< what it was given
    QRectF shown;      ///< what of the device the painting widget may draw on: outside it nothing is seen
    bool elided = false;
};
class TextProbe {
   public:
    TextProbe();
    ~TextProbe();
    TextProbe(const TextProbe&) = delete;
    TextProbe& operator=(const TextProbe&) = delete;
    std::vector<PaintedText> texts;
};

}  // namespace tenpak::ui
