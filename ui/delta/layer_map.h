// SPDX-License-Identifier: GPL-3.0-or-later
// Layer x projection heat map with per-layer bars standing on the same columns, so that layer 13 is one vertical line. A
// cell's colour is its value, its size how certain that value is. Models without layers show their largest tensors as
// bars. The table beside it holds the same data; the read-out of the cell under pointer or cursor is also the
// accessible value.
#pragma once
#include <QWidget>
#include <memory>

#include "ui/delta/layer_grid.h"

namespace tenpak::ui {

class LayerMap : public QWidget {
    Q_OBJECT
   public:
    enum class Metric { kBits, kChanged, kMethod };
    explicit LayerMap(QWidget* parent = nullptr);

    /// Null: nothing is drawn but `emptyText`.
    void setEstimate(std::shared_ptr<const delta::EstimateSnapshot> estimate);
    void setMetric(Metric metric);
    void setEmptyText(const QString& text);
    void setStale(bool stale);            ///< figures of an older pair: faded
    void setCurrentTensor(const QString& name);
    int current() const { return m_current; }
    int cellCount() const { return static_cast<int>(m_grid.cells.size()); }
    QRectF cellRect(int cell) const { return m_cells.at(static_cast<std::size_t>(cell)); }
    QString readout(int cell) const;
    QSize sizeHint() const override { return {720, 300}; }
    QSize minimumSizeHint() const override;

   signals:
    void readoutChanged(const QString& text);  ///< of the cell under the pointer, else of the current one
    void layerActivated(int layer);            ///< click or Enter; -1: a block outside the stack
    void tensorActivated(const QString& name);
    void cleared();                            ///< Esc

   protected:
    void paintEvent(QPaintEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void leaveEvent(QEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

   private:
    struct Geometry {
        double cellWidth = 0, cellHeight = 0, left = 0, layersLeft = 0, top = 0, barHeight = 0, rightBlock = 0;
    };
    void place();
    int cellAt(const QPointF& at) const;
    void setCurrent(int cell);
    void setHovered(int cell);
    int active() const { return m_hovered >= 0 ? m_hovered : m_current; }
    void announce();
    QColor cellColor(const GridCell& cell) const;
    QString tensorReadout(const delta::TensorEstimate& t) const;

    void paintColumn(QPainter& p, const GridColumn& column, double x, double width, double scale) const;
    void paintBars(QPainter& p) const;
    void paintCell(QPainter& p, const GridCell& cell, const QRectF& r) const;
    void paintNames(QPainter& p) const;
    void paintLegend(QPainter& p) const;
    void paintRings(QPainter& p) const;
    void paintLargest(QPainter& p) const;

    std::shared_ptr<const delta::EstimateSnapshot> m_estimate;
    LayerGrid m_grid;
    std::vector<std::uint32_t> m_largest;   ///< of a model without layers
    std::vector<QRectF> m_cells;            ///< rectangles of m_grid.cells or m_largest
    Geometry m_g;
    Metric m_metric = Metric::kBits;
    double m_fullBits = 0;                  ///< dark end of the scale; 0: nothing read yet
    QString m_empty;
    int m_current = -1, m_hovered = -1;
    bool m_stale = false;
};

}  // namespace tenpak::ui
