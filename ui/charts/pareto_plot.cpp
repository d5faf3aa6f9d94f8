// SPDX-License-Identifier: GPL-3.0-or-later
// Pointer, keys, accessibility and export of the scatter.
#include "ui/charts/pareto_plot.h"

#include <QAccessible>
#include <QImage>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QSvgGenerator>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "app/format.h"
#include "app/view_states.h"
#include "ui/charts/pareto_scene.h"
#include "ui/charts/provenance_text.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace {

/// Two significant digits: what a hand can aim at.
double twoDigits(double v) {
    if (!(v > 0)) return 0;
    const double step = std::pow(10.0, std::floor(std::log10(v)) - 1);
    return std::round(v / step) * step;
}

}  // namespace

ParetoPlot::ParetoPlot(QWidget* parent) : QWidget(parent), m_scene(std::make_unique<ParetoScene>(this)) {
    setObjectName(QStringLiteral("paretoPlot"));
    setFocusPolicy(Qt::StrongFocus);
    setAccessibleName(tr("Candidates: perplexity increase over latency"));
    setAccessibleDescription(tr("Arrow keys move between candidates, Page Up and Page Down go through all by latency, Space compares, Enter opens the inspector. The table below holds the same data."));
    m_scene->view()->setAccessibleName(accessibleName());
    m_scene->view()->viewport()->setAccessibleName(accessibleName());
    m_scene->view()->viewport()->installEventFilter(this);
    auto* all = new QVBoxLayout(this);
    all->setContentsMargins(0, 0, 0, 0);
    all->addWidget(m_scene->view());
    connect(&Theme::instance(), &Theme::changed, this, [this] {
        m_scene->restyle();
        m_scene->relayout();
    });
}

ParetoPlot::~ParetoPlot() { m_scene->view()->viewport()->removeEventFilter(this); }

void ParetoPlot::setResults(const Trials& trials, const Judgement& judgement, const optimizer::Limits& limits, bool running) {
    m_limits = limits;
    m_scene->limits = limits;
    m_scene->data = makePlotData(trials, judgement, m_scene->data);
    if (!m_scene->data.find(m_scene->hover)) m_scene->hover.clear();
    if (m_dragging == 0) m_scene->rescale(running);
    m_scene->relayout();
}

void ParetoPlot::setEmptyText(const QString& text) {
    if (text == m_scene->emptyText) return;
    m_scene->emptyText = text;
    m_scene->updateBase();
}

void ParetoPlot::setCurrent(const QString& id) {
    if (id == m_scene->current) return;
    m_scene->current = id;
    m_scene->relayoutNames();
    if (!QAccessible::isActive()) return;
    QAccessibleValueChangeEvent event(this, accessibleText(id));
    QAccessible::updateAccessibility(&event);
}

void ParetoPlot::setCompared(const QSet<QString>& ids) {
    if (ids == m_scene->compared) return;
    m_scene->compared = ids;
    m_scene->relayoutNames();
}

void ParetoPlot::showHover(const QString& id) {
    if (id == m_scene->hover) return;
    m_scene->hover = id;
    m_scene->updateTop();
}

int ParetoPlot::pointCount() const { return static_cast<int>(m_scene->marks().size()); }

QPointF ParetoPlot::positionOf(const QString& id) const {
    const auto* m = m_scene->markOf(id);
    return m ? m->at : QPointF();
}

QPointF ParetoPlot::limitHandle(optimizer::Limit limit) const {
    const QRectF r = m_scene->plot();
    if (limit == optimizer::Limit::kLatency && std::isfinite(m_scene->limitX())) return {m_scene->limitX(), r.top() + 3};
    if (limit == optimizer::Limit::kPerplexity && std::isfinite(m_scene->limitY())) return {r.left() + 3, m_scene->limitY()};
    return {};
}

QString ParetoPlot::accessibleText(const QString& id) const {
    namespace fmt = app::format;
    const PlotPoint* p = m_scene->data.find(id);
    if (p == nullptr) return {};
    const auto& trial = (*m_scene->data.trials)[p->trial];
    const auto& judged = m_scene->data.judgement->trials[p->trial];
    return tr("%1: perplexity %2, latency p99 %3, cost %4. %5. %6").arg(p->label, fmt::signedPercent(p->y), fmt::milliseconds(p->x), fmt::costSentence(judged.cost_per_1m_tokens), app::verdictText(trial, judged, false, true), provenanceText(trial));
}

// ------------------------------------------------------------------------------------------------------------ pointer
bool ParetoPlot::eventFilter(QObject* watched, QEvent* event) {
    switch (event->type()) {
        case QEvent::MouseButtonPress: {
            const auto* e = static_cast<QMouseEvent*>(event);
            if (e->button() == Qt::LeftButton) pressed(e->position(), e->modifiers());
            return true;
        }
        case QEvent::MouseMove: moved(static_cast<QMouseEvent*>(event)->position()); return true;
        case QEvent::MouseButtonRelease: released(); return true;
        case QEvent::MouseButtonDblClick: emit inspectRequested(); return true;
        case QEvent::Leave:
            showHover({});
            emit hovered({});
            break;
        case QEvent::Resize: m_scene->relayout(); break;
        default: break;
    }
    return QWidget::eventFilter(watched, event);
}

void ParetoPlot::choose(const QString& id) {
    setCurrent(id);
    emit currentChanged(id);
}

void ParetoPlot::pressed(const QPointF& at, Qt::KeyboardModifiers modifiers) {
    setFocus(Qt::MouseFocusReason);
    if (const auto* m = m_scene->nearest(at)) {
        const QString id = m_scene->pointOf(*m).id;
        if (modifiers & Qt::ControlModifier) emit compareToggled(id);
        else choose(id);
    } else if (m_scene->notDrawnRect().adjusted(-4, -4, 4, 4).contains(at)) {
        emit notDrawnClicked(m_scene->data.firstNotShown);
    } else {
        m_dragging = m_scene->limitAt(at);
    }
}

void ParetoPlot::moved(const QPointF& at) {
    if (m_dragging != 0) {
        const QRectF r = m_scene->plot();
        optimizer::Limits limits = m_limits;
        if (m_dragging == 1) limits.max_latency_p99_ms = twoDigits(m_scene->scale.unmapX(r, std::clamp(at.x(), r.left(), r.right())));
        else limits.max_ppl_delta = twoDigits(m_scene->scale.unmapY(r, std::clamp(at.y(), r.top(), r.bottom())));
        if (limits == m_limits) return;
        m_limits = limits;
        m_scene->limits = limits;
        m_scene->updateBase();
        emit limitsDragged(limits);
        return;
    }
    const auto* m = m_scene->nearest(at);
    const QString id = m ? m_scene->pointOf(*m).id : QString();
    if (id != m_scene->hover) {
        showHover(id);
        emit hovered(id);
    }
    const int limit = m ? 0 : m_scene->limitAt(at);
    const bool link = m != nullptr || m_scene->notDrawnRect().contains(at);
    m_scene->view()->viewport()->setCursor(link ? Qt::PointingHandCursor : limit == 1 ? Qt::SplitHCursor : limit == 2 ? Qt::SplitVCursor : Qt::ArrowCursor);
}

void ParetoPlot::released() {
    if (m_dragging == 0) return;
    m_dragging = 0;
    m_scene->rescale(false);
    m_scene->relayout();
}

// --------------------------------------------------------------------------------------------------------------- keys
QString ParetoPlot::stepFrom(const QString& id, const QPointF& direction) const {
    const auto* from = m_scene->markOf(id);
    const QPointF start = from ? from->at : QPointF(m_scene->plot().left(), m_scene->plot().bottom());
    const ParetoScene::PlacedMark* best = nullptr;
    double bestScore = 0;
    for (const auto& m : m_scene->marks()) {
        if (&m == from) continue;
        const QPointF v = m.at - start;
        const double along = v.x() * direction.x() + v.y() * direction.y();
        if (along <= .5) continue;
        const double score = along + 2 * (std::abs(v.x() * direction.y()) + std::abs(v.y() * direction.x()));  // sideways counts double
        if (best == nullptr || score < bestScore) {
            best = &m;
            bestScore = score;
        }
    }
    return best ? m_scene->pointOf(*best).id : QString();
}

QString ParetoPlot::stepInOrder(const QString& id, int by) const {
    const auto& marks = m_scene->marks();
    if (marks.empty()) return {};
    std::vector<std::size_t> order(marks.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return m_scene->pointOf(marks[a]).x < m_scene->pointOf(marks[b]).x; });
    const auto at = std::find_if(order.begin(), order.end(), [&](std::size_t i) { return m_scene->pointOf(marks[i]).id == id; });
    if (at == order.end()) return m_scene->pointOf(marks[by > 0 ? order.front() : order.back()]).id;
    const auto next = std::clamp<std::ptrdiff_t>(at - order.begin() + by, 0, static_cast<std::ptrdiff_t>(order.size()) - 1);
    return m_scene->pointOf(marks[order[static_cast<std::size_t>(next)]]).id;
}

void ParetoPlot::keyPressEvent(QKeyEvent* event) {
    const QString current = m_scene->current;
    QString next;
    const auto frontEnd = [this](bool fastest) {
        const PlotPoint* best = nullptr;
        for (const PlotPoint& p : m_scene->data.points)
            if (p.onFront && (best == nullptr || (fastest ? p.x < best->x : p.y < best->y))) best = &p;
        return best ? best->id : QString();
    };
    if (event->modifiers() & (Qt::ControlModifier | Qt::AltModifier)) return QWidget::keyPressEvent(event);
    switch (event->key()) {
        case Qt::Key_Left: next = stepFrom(current, {-1, 0}); break;
        case Qt::Key_Right: next = stepFrom(current, {1, 0}); break;
        case Qt::Key_Up: next = stepFrom(current, {0, -1}); break;
        case Qt::Key_Down: next = stepFrom(current, {0, 1}); break;
        case Qt::Key_PageDown: next = stepInOrder(current, 1); break;
        case Qt::Key_PageUp: next = stepInOrder(current, -1); break;
        case Qt::Key_Home: next = frontEnd(false); break;
        case Qt::Key_End: next = frontEnd(true); break;
        case Qt::Key_Space:
            if (!current.isEmpty()) emit compareToggled(current);
            return;
        case Qt::Key_Return:
        case Qt::Key_Enter: emit inspectRequested(); return;
        case Qt::Key_Escape:
            if (m_scene->hover.isEmpty()) return QWidget::keyPressEvent(event);
            showHover({});
            emit hovered({});
            return;
        default: return QWidget::keyPressEvent(event);
    }
    if (next.isEmpty() || next == current) return;
    choose(next);
    showHover(next);
    emit hovered(next);
}

void ParetoPlot::focusInEvent(QFocusEvent* event) {
    QWidget::focusInEvent(event);
    m_scene->updateTop();
}
void ParetoPlot::focusOutEvent(QFocusEvent* event) {
    QWidget::focusOutEvent(event);
    m_scene->updateTop();
}

// ------------------------------------------------------------------------------------------------------------- export
bool ParetoPlot::savePng(const QString& path, const QSize& size, double scale) {
    QImage image((QSizeF(size) * scale).toSize(), QImage::Format_ARGB32_Premultiplied);
    image.setDevicePixelRatio(scale);
    image.fill(theme().surface);
    QPainter p(&image);
    p.setRenderHint(QPainter::Antialiasing);
    m_scene->renderAt(&p, size);
    p.end();
    return image.save(path, "PNG");
}

bool ParetoPlot::saveSvg(const QString& path, const QSize& size) {
    QSvgGenerator svg;
    svg.setFileName(path);
    svg.setSize(size);
    svg.setViewBox(QRect(QPoint(0, 0), size));
    svg.setTitle(accessibleName());
    QPainter p;
    if (!p.begin(&svg)) return false;
    p.fillRect(QRect(QPoint(0, 0), size), theme().surface);
    m_scene->renderAt(&p, size);
    return p.end();
}

}  // namespace tenpak::ui
