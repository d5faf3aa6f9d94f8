// SPDX-License-Identifier: GPL-3.0-or-later
// Inside of ParetoPlot: chart, scale, marks and the overlays. The lowest (points, limits, axes) is cached and drawn anew
// only when data, limits or size change, the middle one (names) also with a selection; the top one (rings, hover card)
// with every move of the pointer.
#pragma once
#include <QGraphicsItem>
#include <QSet>
#include <QtCharts/QCategoryAxis>
#include <QtCharts/QChart>
#include <QtCharts/QChartView>
#include <QtCharts/QLineSeries>

#include "ui/charts/plot_data.h"
#include "ui/charts/plot_scale.h"

namespace tenpak::ui {

class ParetoScene {
   public:
    struct PlacedMark {
        std::size_t point = 0;  ///< index into data.points
        QPointF at;
        bool beyondTop = false, beyondRight = false;  ///< pinned to the edge
        std::optional<QRectF> label;
    };

    explicit ParetoScene(QWidget* owner);
    ~ParetoScene();
    ParetoScene(const ParetoScene&) = delete;
    ParetoScene& operator=(const ParetoScene&) = delete;

    QChartView* view() const { return m_view; }
    QRectF plot() const { return m_chart->plotArea(); }
    const std::vector<PlacedMark>& marks() const { return m_marks; }
    const PlacedMark* markOf(const QString& id) const;
    const PlotPoint& pointOf(const PlacedMark& mark) const { return data.points[mark.point]; }
    /// Nearest mark within 14 px.
    const PlacedMark* nearest(const QPointF& at) const;
    int limitAt(const QPointF& at) const;  ///< 0 none, 1 latency, 2 perplexity
    double limitX() const;                 ///< pixel of the latency limit; NaN where there is none
    double limitY() const;
    QRectF limitYLabel() const;            ///< where "<= +2 %" stands: never across the latency line
    QRectF notDrawnRect() const;

    void rescale(bool grow);
    void relayout();
    void restyle();
    void updateBase();
    void updateTop();
    void relayoutNames();  ///< after a selection: names of the selected come first
    /// Draws everything in another size, without hover, text as outlines.
    void renderAt(QPainter* p, const QSize& size);

    PlotData data;
    optimizer::Limits limits;
    PlotScale scale;
    QString current, hover, emptyText;
    QSet<QString> compared;
    QWidget* owner;

   private:
    class Overlay;
    void layoutIn(const QSizeF& size);
    void fillAxis(QCategoryAxis* axis, const std::vector<double>& ticks, double low, double high, bool log);
    void placeMarks();
    void placeNames();
    QString nameText(const PlacedMark& mark) const;

    void paintBase(QPainter& p) const;
    void paintTitles(QPainter& p) const;
    void paintTickLabels(QPainter& p) const;
    void paintCostLegend(QPainter& p) const;
    void paintLimits(QPainter& p) const;
    void paintWhiskers(QPainter& p) const;
    void paintPoints(QPainter& p) const;
    void paintShapeLegend(QPainter& p) const;
    void paintEmpty(QPainter& p) const;
    void paintTop(QPainter& p) const;
    void paintNames(QPainter& p) const;
    void paintCard(QPainter& p, const PlacedMark& mark) const;

    QChart* m_chart;
    QChartView* m_view;
    QCategoryAxis *m_x, *m_y;
    QLineSeries* m_front;
    Overlay *m_base, *m_names, *m_top;
    std::vector<PlacedMark> m_marks;
    std::vector<double> m_xTicks, m_yTicks;
};

}  // namespace tenpak::ui
