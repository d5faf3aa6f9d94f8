// SPDX-License-Identifier: GPL-3.0-or-later
// Layout of the scatter: axes, front, marks and their names. pareto_paint.cpp paints it.
#include "ui/charts/pareto_scene.h"

#include <QGraphicsScene>
#include <QPainter>
#include <algorithm>

#include "app/format.h"
#include "ui/charts/label_placement.h"
#include "ui/charts/ticks.h"
#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace {
constexpr double kLeft = 52, kTop = 46, kRight = 16, kBottom = 70;
constexpr double kHit = 14, kLimitHit = 5, kPinInset = 9;
constexpr std::size_t kNamed = 300;  // beyond it only winner, front and selection carry their names

/// QChartView::mousePressEvent of 6.4 dereferences a null itemAt (QTBUG-118669): nothing is ever forwarded to it.
class SilentChartView : public QChartView {
   public:
    using QChartView::QChartView;

   protected:
    void mousePressEvent(QMouseEvent*) override {}
    void mouseMoveEvent(QMouseEvent*) override {}
    void mouseReleaseEvent(QMouseEvent*) override {}
    void wheelEvent(QWheelEvent* event) override { event->ignore(); }
    void keyPressEvent(QKeyEvent* event) override { event->ignore(); }
};
}  // namespace

class ParetoScene::Overlay : public QGraphicsItem {
   public:
    using Paint = void (ParetoScene::*)(QPainter&) const;
    Overlay(ParetoScene* scene, QGraphicsItem* parent, Paint painter, double z, bool cached) : QGraphicsItem(parent), m_scene(scene), m_paint(painter) {
        setZValue(z);
        setAcceptedMouseButtons(Qt::NoButton);
        if (cached) setCacheMode(DeviceCoordinateCache);
    }
    QRectF boundingRect() const override { return m_rect; }
    void paint(QPainter* p, const QStyleOptionGraphicsItem*, QWidget*) override {
        p->setRenderHint(QPainter::Antialiasing);
        (m_scene->*m_paint)(*p);
    }
    void resize(const QRectF& r) {
        prepareGeometryChange();
        m_rect = r;
    }

   private:
    ParetoScene* m_scene;
    QRectF m_rect;
    Paint m_paint;
};

ParetoScene::ParetoScene(QWidget* owningWidget) : owner(owningWidget), m_chart(new QChart), m_x(new QCategoryAxis), m_y(new QCategoryAxis), m_front(new QLineSeries) {
    m_chart->legend()->hide();
    m_chart->setMargins({});
    m_chart->setBackgroundRoundness(0);
    m_chart->setBackgroundVisible(false);
    m_chart->setPlotAreaBackgroundVisible(false);
    m_chart->setAnimationOptions(QChart::NoAnimation);
    m_chart->addSeries(m_front);
    m_chart->addAxis(m_x, Qt::AlignBottom);
    m_chart->addAxis(m_y, Qt::AlignLeft);
    m_front->attachAxis(m_x);
    m_front->attachAxis(m_y);
    for (QCategoryAxis* axis : {m_x, m_y}) {
        axis->setLabelsPosition(QCategoryAxis::AxisLabelsPositionOnValue);
        axis->setLabelsVisible(false);  // painted by the overlay: as paths in SVG, and known to the text check
        axis->setLinePen(Qt::NoPen);
    }
    m_view = new SilentChartView(m_chart, owner);
    m_view->setFrameShape(QFrame::NoFrame);
    m_view->setFocusPolicy(Qt::NoFocus);
    m_view->setRenderHint(QPainter::Antialiasing);
    m_view->setBackgroundBrush(Qt::NoBrush);
    m_view->viewport()->setAutoFillBackground(false);
    m_view->viewport()->setMouseTracking(true);
    m_base = new Overlay(this, m_chart, &ParetoScene::paintBase, 1000, true);
    m_names = new Overlay(this, m_chart, &ParetoScene::paintNames, 1001, true);
    m_top = new Overlay(this, m_chart, &ParetoScene::paintTop, 1002, false);
    restyle();
}

ParetoScene::~ParetoScene() { delete m_view; }

void ParetoScene::restyle() {
    for (QCategoryAxis* axis : {m_x, m_y}) {
        axis->setGridLinePen(QPen(theme().grid, 1));
        axis->setLinePen(Qt::NoPen);
    }
    m_front->setPen(QPen(mix(theme().surface, theme().text2, .55), 1.5));
    updateBase();
    m_names->update();
    updateTop();
}

void ParetoScene::updateBase() { m_base->update(); }
void ParetoScene::updateTop() { m_top->update(); }

void ParetoScene::rescale(bool grow) {
    const PlotScale fresh = scaleFor(data, limits);
    scale = grow ? united(scale, fresh) : fresh;
}

void ParetoScene::fillAxis(QCategoryAxis* axis, const std::vector<double>& ticks, double low, double high, bool log) {
    const auto position = [log](double v) { return log ? std::log10(v) : v; };
    for (const QString& label : axis->categoriesLabels()) axis->remove(label);
    axis->setStartValue(position(low));
    // The labels are not shown; they only have to be unique.
    for (std::size_t i = 0; i < ticks.size(); ++i) axis->append(QString::number(i), position(ticks[i]));
    axis->setRange(position(low), position(high));
}

void ParetoScene::relayout() { layoutIn(m_view->size()); }

void ParetoScene::relayoutNames() {
    placeNames();
    m_names->update();
    updateTop();
}

void ParetoScene::layoutIn(const QSizeF& size) {
    m_chart->resize(size);
    m_chart->setPlotArea(QRectF(kLeft, kTop, std::max(10.0, size.width() - kLeft - kRight), std::max(10.0, size.height() - kTop - kBottom)));
    m_xTicks = logTicks(scale.x0, scale.x1, std::max(3, static_cast<int>(plot().width() / 64)));
    m_yTicks = linearTicks(scale.y0, scale.y1, std::max(3, static_cast<int>(plot().height() / 48)));
    fillAxis(m_x, m_xTicks, scale.x0, scale.x1, true);
    fillAxis(m_y, m_yTicks, scale.y0, scale.y1, false);

    std::vector<const PlotPoint*> front;
    for (const PlotPoint& p : data.points)
        if (p.onFront && p.y <= scale.y1 && p.x <= scale.x1) front.push_back(&p);
    std::sort(front.begin(), front.end(), [](const PlotPoint* a, const PlotPoint* b) { return a->x != b->x ? a->x < b->x : a->y > b->y; });
    QList<QPointF> stairs;  // nothing between two candidates can be bought
    for (std::size_t i = 0; i < front.size(); ++i) {
        const double x = std::log10(front[i]->x);
        if (i > 0) stairs.append({x, front[i - 1]->y});
        stairs.append({x, front[i]->y});
    }
    if (!front.empty()) {
        stairs.prepend({std::log10(front.front()->x), scale.y1});
        stairs.append({std::log10(scale.x1), front.back()->y});
    }
    m_front->replace(stairs);
    const QRectF all(QPointF(0, 0), size);
    m_base->resize(all);
    m_names->resize(all);
    m_top->resize(all);
    placeMarks();
    placeNames();
    updateBase();
    m_names->update();
    updateTop();
}

void ParetoScene::placeMarks() {
    m_marks.clear();
    m_marks.reserve(data.points.size());
    const QRectF r = plot();
    for (std::size_t i = 0; i < data.points.size(); ++i) {
        PlacedMark m;
        m.point = i;
        m.at = scale.map(r, data.points[i].x, data.points[i].y);
        if (m.at.y() < r.top()) {
            m.at.setY(r.top() + kPinInset);
            m.beyondTop = true;
        }
        if (m.at.x() > r.right()) {
            m.at.setX(r.right() - kPinInset);
            m.beyondRight = true;
        }
        m_marks.push_back(m);
    }
}

QString ParetoScene::nameText(const PlacedMark& m) const {
    const PlotPoint& p = pointOf(m);
    QString s = p.projected ? QStringLiteral("\u2248\u00A0") + p.label : p.label;
    if (m.beyondTop) s += QStringLiteral(" \u2191 ") + app::format::signedPercent(p.y, 1);
    if (m.beyondRight) s += QStringLiteral(" \u2192 ") + app::format::milliseconds(p.x);
    return s;
}

void ParetoScene::placeNames() {
    const auto rank = [&](const PlotPoint& p) {
        if (p.mark == app::Mark::kWinner) return 0;
        if (p.id == current) return 1;
        if (compared.contains(p.id)) return 2;
        if (p.onFront) return 3;
        return p.mark == app::Mark::kBaseline ? 4 : 5;
    };
    const bool all = m_marks.size() <= kNamed;
    LabelSpace space;
    const QRectF r = plot();
    space.area = r.adjusted(2, 2, -2, -2);
    space.taken.push_back(QRectF(r.left(), r.bottom() - 20, 64, 20));  // "better"
    const double lx = limitX(), ly = limitY();
    if (std::isfinite(lx)) space.crossings.push_back({lx, r.top(), lx, r.bottom()});
    if (std::isfinite(ly)) {
        space.crossings.push_back({r.left(), ly, r.right(), ly});
        space.taken.push_back(limitYLabel());
    }
    const auto stairs = m_front->points();
    const auto pixel = [&](const QPointF& v) { return scale.map(r, std::pow(10.0, v.x()), v.y()); };
    for (int i = 1; i < stairs.size(); ++i) space.avoid.emplace_back(pixel(stairs[i - 1]), pixel(stairs[i]));

    std::vector<LabelRequest> requests;
    std::vector<std::size_t> owners;
    for (std::size_t i = 0; i < m_marks.size(); ++i) {
        m_marks[i].label.reset();
        const PlotPoint& p = pointOf(m_marks[i]);
        if (!all && rank(p) > 3) continue;
        const QFont f = typeFont(p.mark == app::Mark::kWinner ? Type::kBodyStrong : Type::kCaption);
        LabelRequest q;
        q.point = m_marks[i].at;
        q.size = {textWidth(f, nameText(m_marks[i])) + 4, textHeight(f)};
        const bool ringed = p.id == current || compared.contains(p.id);
        q.gap = (p.mark == app::Mark::kWinner ? 12 : 9) + (ringed ? 5 : 0);
        q.rank = rank(p);
        q.whisker = std::isfinite(p.low) && p.high > p.low;
        requests.push_back(q);
        owners.push_back(i);
    }
    const auto places = placeLabels(requests, space);
    for (std::size_t k = 0; k < places.size(); ++k) m_marks[owners[k]].label = places[k];
}

const ParetoScene::PlacedMark* ParetoScene::markOf(const QString& id) const {
    if (id.isEmpty()) return nullptr;
    const auto it = std::find_if(m_marks.begin(), m_marks.end(), [&](const PlacedMark& m) { return pointOf(m).id == id; });
    return it == m_marks.end() ? nullptr : &*it;
}

const ParetoScene::PlacedMark* ParetoScene::nearest(const QPointF& at) const {
    const PlacedMark* best = nullptr;
    double bestSquare = kHit * kHit;
    for (const PlacedMark& m : m_marks) {
        const QPointF v = m.at - at;
        const double square = v.x() * v.x() + v.y() * v.y();
        if (square < bestSquare) {
            bestSquare = square;
            best = &m;
        }
    }
    return best;
}

double ParetoScene::limitX() const { return limits.max_latency_p99_ms && *limits.max_latency_p99_ms > 0 ? scale.map(plot(), *limits.max_latency_p99_ms, 0).x() : qQNaN(); }
double ParetoScene::limitY() const { return limits.max_ppl_delta ? scale.map(plot(), scale.x0, *limits.max_ppl_delta).y() : qQNaN(); }

QRectF ParetoScene::limitYLabel() const {
    constexpr double kWidth = 64, kHeight = 16;
    const QRectF r = plot();
    const double lx = limitX(), ly = limitY();
    double right = r.right() - 4;
    if (std::isfinite(lx) && lx < right + 3 && lx > right - kWidth - 3) right = lx - 5;
    return {right - kWidth, ly - 18 < r.top() ? ly + 2 : ly - 17, kWidth, kHeight};
}

int ParetoScene::limitAt(const QPointF& at) const {
    if (!plot().adjusted(-4, -18, 4, 4).contains(at)) return 0;  // the latency line can be taken by its label, too
    if (std::abs(at.x() - limitX()) < kLimitHit) return 1;
    if (std::abs(at.y() - limitY()) < kLimitHit) return 2;
    return 0;
}

void ParetoScene::renderAt(QPainter* p, const QSize& size) {
    const QString before = hover;
    hover.clear();
    for (Overlay* overlay : {m_base, m_names}) overlay->setCacheMode(QGraphicsItem::NoCache);  // a cached item would reach SVG as one bitmap
    setTextAsPaths(true);                          // a machine without the font would shift every word
    layoutIn(size);
    const QRectF all(QPointF(0, 0), QSizeF(size));
    m_view->scene()->render(p, all, all);
    setTextAsPaths(false);
    for (Overlay* overlay : {m_base, m_names}) overlay->setCacheMode(QGraphicsItem::DeviceCoordinateCache);
    hover = before;
    relayout();
}

}  // namespace tenpak::ui
