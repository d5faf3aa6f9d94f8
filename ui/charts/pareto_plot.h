// SPDX-License-Identifier: GPL-3.0-or-later
// Scatter of candidates: perplexity increase over latency, coloured by cost. QtCharts gives frame, grid and the front's
// staircase; points, names, limits, legend and hover card are painted by two overlay items in the same scene, so that
// screen, PNG and SVG are one code path. No QtCharts type leaves ui/charts.
#pragma once
#include <QSet>
#include <QWidget>
#include <memory>

#include "core/optimizer/judge.h"

namespace tenpak::ui {

class ParetoScene;

class ParetoPlot : public QWidget {
    Q_OBJECT
   public:
    explicit ParetoPlot(QWidget* parent = nullptr);
    ~ParetoPlot() override;

    using Trials = std::shared_ptr<const std::vector<optimizer::Trial>>;
    using Judgement = std::shared_ptr<const optimizer::Judgement>;
    /// `running`: axes only grow and there is no legend before the first point. During a drag of a limit line the
    /// axes stand still.
    void setResults(const Trials& trials, const Judgement& judgement, const optimizer::Limits& limits, bool running);
    void setEmptyText(const QString& text);
    void setCurrent(const QString& id);
    void setCompared(const QSet<QString>& ids);
    void showHover(const QString& id);  ///< rings the point and shows its card; empty: nothing

    bool savePng(const QString& path, const QSize& size = {1200, 750}, double scale = 2);
    bool saveSvg(const QString& path, const QSize& size = {1200, 750});

    int pointCount() const;
    QPointF positionOf(const QString& id) const;  ///< in this widget; null where not drawn
    QPointF limitHandle(optimizer::Limit limit) const;  ///< a place where the line can be grabbed; null where there is none
    QString accessibleText(const QString& id) const;
    QSize sizeHint() const override { return {640, 380}; }
    QSize minimumSizeHint() const override { return {420, 240}; }

   signals:
    void currentChanged(const QString& id);
    void compareToggled(const QString& id);
    void hovered(const QString& id);
    void limitsDragged(const tenpak::optimizer::Limits& limits);
    void inspectRequested();
    void notDrawnClicked(const QString& id);  ///< "1 failed, not drawn"

   protected:
    void keyPressEvent(QKeyEvent* event) override;
    void focusInEvent(QFocusEvent* event) override;
    void focusOutEvent(QFocusEvent* event) override;
    bool eventFilter(QObject* watched, QEvent* event) override;

   private:
    void pressed(const QPointF& at, Qt::KeyboardModifiers modifiers);
    void moved(const QPointF& at);
    void released();
    void choose(const QString& id);
    QString stepFrom(const QString& id, const QPointF& direction) const;
    QString stepInOrder(const QString& id, int by) const;
    std::unique_ptr<ParetoScene> m_scene;
    optimizer::Limits m_limits;
    int m_dragging = 0;  ///< 0 none, 1 latency, 2 perplexity
};

}  // namespace tenpak::ui
