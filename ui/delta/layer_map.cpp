// SPDX-License-Identifier: GPL-3.0-or-later
// Geometry, pointer and keys of the layer map; layer_map_paint.cpp paints it.
#include "ui/delta/layer_map.h"

#include <QAccessible>
#include <QKeyEvent>
#include <QMouseEvent>

#include "app/format.h"
#include "app/tensor_model.h"
#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace {
namespace fmt = app::format;

constexpr double kBlockWidth = 46;   // embedding and head
constexpr double kBlockGap = 14;
constexpr double kMinCell = 6, kMaxCell = 110;
constexpr double kLegendHeight = 50; // column numbers and legend under the cells
constexpr std::size_t kLargest = 40;

const QString kDot = QStringLiteral(" \u00B7 ");
const QString kApprox = QStringLiteral("\u2248\u00A0");
}  // namespace

LayerMap::LayerMap(QWidget* parent) : QWidget(parent) {
    setObjectName(QStringLiteral("layerMap"));
    setMouseTracking(true);
    setFocusPolicy(Qt::StrongFocus);
    setAccessibleName(tr("Layers and projections"));
    setAccessibleDescription(tr("Arrow keys move between tensors, Enter filters the table to a layer. The table below holds the same data."));
    connect(&Theme::instance(), &Theme::changed, this, [this] {
        place();
        update();
    });
}

QSize LayerMap::minimumSizeHint() const {
    const double least = m_g.layersLeft + kMinCell * m_grid.layers + (m_grid.hasRight ? kBlockGap + kBlockWidth : 0) + 2;
    return {std::max(360, static_cast<int>(least)), 256};
}

void LayerMap::setEstimate(std::shared_ptr<const delta::EstimateSnapshot> estimate) {
    if (estimate == m_estimate) return;
    const std::size_t before = m_cells.size();
    m_estimate = std::move(estimate);
    m_grid = m_estimate ? makeLayerGrid(*m_estimate) : LayerGrid{};
    const double full = fullScaleBits(m_grid);
    m_largest = m_estimate && m_grid.layers == 0 ? largestTensors(*m_estimate, kLargest) : std::vector<std::uint32_t>{};
    place();
    if (m_cells.size() != before) {
        m_current = m_hovered = -1;
        m_fullBits = full;
        updateGeometry();
    }
    // While an estimate refines the scale only grows, so that nothing jumps to and fro.
    m_fullBits = m_estimate && m_estimate->finished ? full : std::max(m_fullBits, full);
    announce();
    update();
}

void LayerMap::setMetric(Metric metric) {
    m_metric = metric;
    update();
}

void LayerMap::setEmptyText(const QString& text) {
    m_empty = text;
    update();
}

void LayerMap::setStale(bool stale) {
    if (stale == m_stale) return;
    m_stale = stale;
    update();
}

void LayerMap::setCurrentTensor(const QString& name) {
    const std::string wanted = name.toStdString();
    for (std::size_t i = 0; i < m_grid.cells.size(); ++i)
        for (std::uint32_t t : m_grid.cells[i].tensors)
            if (m_estimate->tensors[t].name == wanted) return setCurrent(static_cast<int>(i));
}

void LayerMap::resizeEvent(QResizeEvent*) { place(); }

void LayerMap::place() {
    m_cells.clear();
    if (!m_estimate) return;
    if (m_grid.layers == 0) {
        const double h = (height() - 24.0) / static_cast<double>(std::max<std::size_t>(1, m_largest.size()));
        for (std::size_t i = 0; i < m_largest.size(); ++i) m_cells.emplace_back(0, 20 + static_cast<double>(i) * h, width(), h);
        return;
    }
    double names = 0;
    const QFont caption = typeFont(Type::kCaption);
    for (const QString& row : m_grid.rows) names = std::max(names, textWidth(caption, row));
    names = std::max(names, textWidth(caption, tr("stored")));
    const double rows = static_cast<double>(m_grid.rows.size());
    m_g.left = std::ceil(names) + 12;
    m_g.layersLeft = m_g.left + (m_grid.hasLeft ? kBlockWidth + kBlockGap : 0);
    m_g.barHeight = std::clamp(height() * .30, 56.0, 110.0);
    m_g.top = m_g.barHeight + 16;
    const double room = width() - m_g.layersLeft - (m_grid.hasRight ? kBlockGap + kBlockWidth : 0) - 2;
    m_g.cellWidth = std::clamp(room / m_grid.layers, kMinCell, kMaxCell);
    m_g.cellHeight = std::clamp((height() - m_g.top - kLegendHeight) / rows, 10.0, 30.0);
    m_g.rightBlock = m_g.layersLeft + m_grid.layers * m_g.cellWidth + kBlockGap;
    for (const GridCell& c : m_grid.cells) {
        if (c.layer >= 0) m_cells.emplace_back(m_g.layersLeft + c.layer * m_g.cellWidth, m_g.top + c.row * m_g.cellHeight, m_g.cellWidth, m_g.cellHeight);
        else m_cells.emplace_back(c.right ? m_g.rightBlock : m_g.left, m_g.top, kBlockWidth, m_g.cellHeight * rows);
    }
}

int LayerMap::cellAt(const QPointF& at) const {
    for (std::size_t i = 0; i < m_cells.size(); ++i)
        if (m_cells[i].contains(at)) return static_cast<int>(i);
    return -1;
}

void LayerMap::announce() {
    const QString text = readout(active());
    emit readoutChanged(text);
    if (!QAccessible::isActive()) return;
    QAccessibleValueChangeEvent event(this, text);
    QAccessible::updateAccessibility(&event);
}

void LayerMap::setCurrent(int cell) {
    if (cell == m_current) return;
    m_current = cell;
    announce();
    update();
}

void LayerMap::setHovered(int cell) {
    if (cell == m_hovered) return;
    m_hovered = cell;
    announce();
    update();
}

QString LayerMap::tensorReadout(const delta::TensorEstimate& t) const {
    const QString name = QString::fromStdString(t.name);
    const auto label = dtype_label(t.dtype);
    const QString shape = fmt::shape(t.shape) + QLatin1Char(' ') + QString::fromLatin1(label.data(), static_cast<qsizetype>(label.size()));
    if (!t.complete && t.sampled_fraction <= 0) return name + kDot + shape + kDot + tr("not read yet");
    const QString approx = t.complete ? QString() : kApprox;
    const QString from = app::predictedFrom(t);
    return name + kDot + shape + kDot + (from.isEmpty() ? QString() : QString(from + kDot)) + tr("%1 changed").arg(approx + fmt::percent(t.changed_fraction * 100)) + kDot +
           tr("%1 bit per weight").arg(approx + fmt::bitsPerWeight(bitsPerWeight(t))) + kDot + app::methodText(t.method, t.rank) + kDot +
           fmt::bytes(static_cast<double>(t.raw_bytes)) + QStringLiteral(" \u2192 ") + fmt::estimatedBytes(t.estimated_bytes, t.low, t.high);
}

QString LayerMap::readout(int cell) const {
    if (!m_estimate || cell < 0 || cell >= static_cast<int>(m_cells.size())) return {};
    const auto at = static_cast<std::size_t>(cell);
    if (m_grid.layers == 0) return tensorReadout(m_estimate->tensors[m_largest[at]]);
    const GridCell& c = m_grid.cells[at];
    if (c.tensors.size() == 1) return tensorReadout(m_estimate->tensors[c.tensors.front()]);
    const QString where = c.layer < 0 ? c.label : tr("Layer %1, %2").arg(QString::number(c.layer), m_grid.rows.at(c.row));
    const QString count = tr("%n tensor(s)", nullptr, static_cast<int>(c.tensors.size()));
    if (!c.read()) return where + kDot + count + kDot + tr("not read yet");
    const QString approx = c.complete ? QString() : kApprox;
    const double half = c.complete ? 0 : std::sqrt(c.variance);
    return where + kDot + count + kDot + tr("%1 changed").arg(approx + fmt::percent(c.changed * 100)) + kDot +
           tr("%1 bit per weight (%2 to %3)").arg(approx + fmt::bitsPerWeight(c.bitsOf), fmt::bitsPerWeight(c.minBits), fmt::bitsPerWeight(c.maxBits)) + kDot +
           fmt::bytes(c.raw) + QStringLiteral(" \u2192 ") + fmt::estimatedBytes(c.estimated, c.estimated - half, c.estimated + half);
}

void LayerMap::mouseMoveEvent(QMouseEvent* event) { setHovered(cellAt(event->position())); }
void LayerMap::leaveEvent(QEvent*) { setHovered(-1); }

void LayerMap::mousePressEvent(QMouseEvent* event) {
    const int cell = cellAt(event->position());
    setCurrent(cell);
    if (cell < 0) emit cleared();
    else if (m_grid.layers > 0) emit layerActivated(m_grid.cells[static_cast<std::size_t>(cell)].layer);
    if (cell >= 0) {
        const std::uint32_t tensor = m_grid.layers > 0 ? m_grid.cells[static_cast<std::size_t>(cell)].tensors.front() : m_largest[static_cast<std::size_t>(cell)];
        emit tensorActivated(QString::fromStdString(m_estimate->tensors[tensor].name));
    }
}

void LayerMap::keyPressEvent(QKeyEvent* event) {
    QPointF direction;
    switch (event->key()) {
        case Qt::Key_Left: direction = {-1, 0}; break;
        case Qt::Key_Right: direction = {1, 0}; break;
        case Qt::Key_Up: direction = {0, -1}; break;
        case Qt::Key_Down: direction = {0, 1}; break;
        case Qt::Key_Return:
        case Qt::Key_Enter:
            if (event->modifiers() & Qt::ControlModifier || m_current < 0) break;
            if (m_grid.layers > 0) emit layerActivated(m_grid.cells[static_cast<std::size_t>(m_current)].layer);
            return;
        case Qt::Key_Escape:
            setCurrent(-1);
            emit cleared();
            return;
        default: break;
    }
    if (direction.isNull() || m_cells.empty()) return QWidget::keyPressEvent(event);
    if (m_current < 0) return setCurrent(0);
    const QPointF from = m_cells[static_cast<std::size_t>(m_current)].center();
    int best = -1;
    double bestScore = 0;
    for (std::size_t i = 0; i < m_cells.size(); ++i) {
        const QPointF v = m_cells[i].center() - from;
        const double along = v.x() * direction.x() + v.y() * direction.y();
        if (along <= .5) continue;
        const double score = along + 4 * (std::abs(v.x() * direction.y()) + std::abs(v.y() * direction.x()));
        if (best < 0 || score < bestScore) {
            best = static_cast<int>(i);
            bestScore = score;
        }
    }
    if (best >= 0) setCurrent(best);
}

}  // namespace tenpak::ui
