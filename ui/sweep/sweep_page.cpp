// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/sweep/sweep_page.h"

#include <QHeaderView>
#include <QKeyEvent>
#include <QMenu>
#include <QSortFilterProxyModel>
#include <QSplitter>

#include "app/item_roles.h"
#include "ui/charts/pareto_plot.h"
#include "ui/delta/tensor_filter.h"
#include "ui/sweep/inspector.h"
#include "ui/sweep/limits_panel.h"
#include "ui/sweep/setup_panel.h"
#include "ui/sweep/sweep_banner.h"
#include "ui/widgets/banner.h"
#include "ui/widgets/empty_pair.h"
#include "ui/widgets/table.h"

namespace tenpak::ui {
namespace {
using Phase = app::SweepViewState::Phase;
constexpr int kRoomForInspector = 1260;  // page width from which the inspector stands beside the chart
constexpr int kMostCompared = 4;

/// Sorted by click only.
class CandidateOrder : public QSortFilterProxyModel {
   public:
    explicit CandidateOrder(QObject* parent) : QSortFilterProxyModel(parent) {
        setDynamicSortFilter(false);
        setSortRole(app::kSortRole);
    }

    /// Short titles: the table shares its row with the inspector.
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override {
        if (orientation == Qt::Horizontal && role == Qt::DisplayRole && section == app::CandidateColumn::kCost) return SweepPage::tr("$/1M tok");
        return QSortFilterProxyModel::headerData(section, orientation, role);
    }

   protected:
    bool lessThan(const QModelIndex& a, const QModelIndex& b) const override { return sortsBefore(a.data(app::kSortRole), b.data(app::kSortRole)); }
};

}  // namespace

class SweepPage::Private {
   public:
    explicit Private(SweepPage* page) : q(page), order(page) {}

    SweepPage* q;
    app::SweepViewState state;
    QString current;
    QStringList compared;
    CandidateOrder order;
    bool selecting = false, drawer = false;

    SetupPanel* setup = new SetupPanel;
    Banner* banner = new Banner;
    ParetoPlot* plot = new ParetoPlot;
    Table* table = new Table(QStringLiteral("candidateTable"), SweepPage::tr("Candidates"));
    Inspector* inspector = new Inspector;
    Label* note = new Label({}, Type::kCaption, Ink::kMuted);
    EmptyPair* empty = new EmptyPair(SweepPage::tr("Choose a base and a fine-tune to find the cheapest quantization that keeps the quality."));
    QWidget* body = new QWidget;
    QWidget* middle = new QWidget;

    bool running() const { return state.phase == Phase::kRunning || state.phase == Phase::kPaused; }

    /// Without a selection the inspector is about the winner.
    void showInspector() {
        QString id = current;
        if (id.isEmpty() && state.judgement && state.judgement->winner && state.trials) id = QString::fromStdString((*state.trials)[*state.judgement->winner].id);
        inspector->show(state.trials, state.judgement, id, compared, running(), state.engines);
    }

    void placeInspector() {
        const bool beside = q->width() >= kRoomForInspector;
        const bool anything = state.trials && !state.trials->empty() && state.phase != Phase::kEmpty;
        inspector->setVisible(state.phase != Phase::kNoModel && (beside ? anything : drawer));
    }

    /// A narrow table gives up the columns that no limit and no axis uses.
    void placeColumns() {
        if (order.sourceModel() == nullptr) return;
        const int width = table->viewport()->width();
        table->setColumnHidden(app::CandidateColumn::kSmaller, width < 750);
        table->setColumnHidden(app::CandidateColumn::kMemory, width < 690);
        for (int column : {int(app::CandidateColumn::kLatency), int(app::CandidateColumn::kThroughput)}) table->setColumnWidth(column, width < 690 ? 58 : 67);
    }

    void selectRow() {
        selecting = true;
        const QModelIndexList hits = current.isEmpty() || order.rowCount() == 0 ? QModelIndexList() : order.match(order.index(0, 0), app::kIdRole, current, 1, Qt::MatchExactly);
        if (hits.isEmpty()) table->clearSelection();
        else {
            table->setCurrentIndex(hits.first().siblingAtColumn(app::CandidateColumn::kCandidate));
            table->scrollTo(hits.first());
        }
        selecting = false;
    }

    void setCurrent(const QString& id) {
        if (id == current) return;
        current = id;
        plot->setCurrent(id);
        selectRow();
        showInspector();
        emit q->currentChanged(id);
    }

    void toggleCompared(const QString& id) {
        if (id.isEmpty()) return;
        if (compared.contains(id)) compared.removeAll(id);
        else {
            if (compared.isEmpty() && !current.isEmpty() && current != id) compared.append(current);
            if (compared.size() < kMostCompared) compared.append(id);
        }
        plot->setCompared(QSet<QString>(compared.begin(), compared.end()));
        showInspector();
        emit q->comparedChanged(compared);
    }

    QString idAt(const QModelIndex& index) const { return index.isValid() ? index.siblingAtColumn(0).data(app::kIdRole).toString() : QString(); }

    void rowMenu(const QPoint& at) {
        const QString id = idAt(table->indexAt(at));
        if (id.isEmpty()) return;
        const optimizer::Trial* trial = nullptr;
        for (const auto& t : *state.trials)
            if (QString::fromStdString(t.id) == id) trial = &t;
        if (trial == nullptr) return;
        auto* menu = new QMenu(table);
        menu->setAttribute(Qt::WA_DeleteOnClose);
        const bool done = trial->status == optimizer::TrialStatus::kDone;
        if (trial->status == optimizer::TrialStatus::kFailed) menu->addAction(SweepPage::tr("Retry"), q, [this, id] { emit q->retryRequested(id); })->setEnabled(!running());
        menu->addAction(SweepPage::tr("Compare"), q, [this, id] { toggleCompared(id); })->setEnabled(done);
        menu->addAction(SweepPage::tr("Export\u2026"), q, [this, id] { emit q->exportRequested(id); })->setEnabled(done && !running());
        menu->addAction(SweepPage::tr("Copy as command"), q, [this, id] { emit q->copyCommandRequested(id); });
        menu->addAction(SweepPage::tr("Copy rows"), q, [this] { emit q->copyRequested(table->selectedAsTsv()); });
        menu->popup(table->viewport()->mapToGlobal(at));
    }

    void layOut();
    void connectAll();
};

void SweepPage::Private::layOut() {
    auto* plotCard = new Card(space::kM);
    plotCard->setObjectName(QStringLiteral("plotCard"));
    plotCard->box()->setSpacing(space::kXs);
    plotCard->box()->addWidget(plot, 1);
    note->setObjectName(QStringLiteral("sweepNote"));
    note->setWordWrap(true);
    note->setContentsMargins(space::kS, 0, space::kS, 0);
    plotCard->box()->addWidget(note);
    auto* tableCard = new Card(0);
    tableCard->setObjectName(QStringLiteral("candidateCard"));
    tableCard->box()->setContentsMargins(1, 4, 1, 4);
    tableCard->box()->addWidget(table);
    table->setMinimumHeight(size::kHeader + 3 * size::kRow);
    auto* split = new QSplitter(Qt::Vertical);
    split->setObjectName(QStringLiteral("sweepSplitter"));
    split->setChildrenCollapsible(false);
    split->addWidget(plotCard);
    split->addWidget(tableCard);
    split->setStretchFactor(0, 5);
    split->setStretchFactor(1, 4);
    split->setSizes({500, 400});
    auto* column = new QVBoxLayout(middle);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(space::kM);
    column->addWidget(banner);
    column->addWidget(split, 1);
    auto* row = new QHBoxLayout(body);
    row->setContentsMargins(0, 0, 0, 0);
    row->setSpacing(space::kM);
    row->addWidget(setup);
    row->addWidget(middle, 1);
    row->addWidget(inspector);
    auto* all = new QVBoxLayout(q);
    all->setContentsMargins(0, 2, space::kL, 0);
    all->addWidget(empty, 1);
    all->addWidget(body, 1);
    table->setModel(&order);
    table->setContextMenuPolicy(Qt::CustomContextMenu);
    table->horizontalHeader()->setSortIndicatorClearable(true);
    table->setSortingEnabled(true);
    table->horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
}

void SweepPage::Private::connectAll() {
    connect(setup->limits(), &LimitsPanel::limitsChanged, q, &SweepPage::limitsChanged);
    connect(plot, &ParetoPlot::limitsDragged, q, [this](const optimizer::Limits& limits) {
        setup->limits()->setLimits(limits);
        emit q->limitsChanged(limits);
    });
    connect(setup, &SetupPanel::startRequested, q, &SweepPage::startRequested);
    connect(setup, &SetupPanel::stopRequested, q, &SweepPage::stopRequested);
    connect(setup, &SetupPanel::modelChosen, q, &SweepPage::modelChosen);
    connect(setup, &SetupPanel::textChosen, q, &SweepPage::textChosen);
    connect(setup, &SetupPanel::priceChosen, q, &SweepPage::priceChosen);
    connect(setup, &SetupPanel::choicesChanged, q, &SweepPage::choicesChanged);
    connect(setup, &SetupPanel::importRequested, q, &SweepPage::importRequested);
    connect(setup, &SetupPanel::importRemoved, q, &SweepPage::importRemoved);
    connect(plot, &ParetoPlot::currentChanged, q, [this](const QString& id) { setCurrent(id); });
    connect(plot, &ParetoPlot::compareToggled, q, [this](const QString& id) { toggleCompared(id); });
    connect(plot, &ParetoPlot::notDrawnClicked, q, [this](const QString& id) { setCurrent(id); });
    connect(plot, &ParetoPlot::inspectRequested, q, [this] {
        if (q->width() < kRoomForInspector) q->toggleInspector();
    });
    connect(table->selectionModel(), &QItemSelectionModel::currentRowChanged, q, [this](const QModelIndex& index) {
        if (!selecting && index.isValid()) setCurrent(idAt(index));
    });
    connect(table, &Table::rowHovered, q, [this](const QModelIndex& index) { plot->showHover(idAt(index)); });
    connect(table, &Table::resized, q, [this] { placeColumns(); });
    connect(table, &Table::spacePressed, q, [this] { toggleCompared(current); });
    connect(table, &Table::copyRequested, q, &SweepPage::copyRequested);
    connect(table, &Table::activatedRow, q, [this] {
        if (q->width() < kRoomForInspector) q->toggleInspector();
    });
    connect(table, &QWidget::customContextMenuRequested, q, [this](const QPoint& at) { rowMenu(at); });
    connect(inspector, &Inspector::compareToggled, q, [this](const QString& id) { toggleCompared(id); });
    connect(inspector, &Inspector::copyCommandRequested, q, &SweepPage::copyCommandRequested);
    connect(inspector, &Inspector::exportRequested, q, &SweepPage::exportRequested);
    connect(inspector, &Inspector::retryRequested, q, &SweepPage::retryRequested);
    connect(empty, &EmptyPair::chooseRequested, q, &SweepPage::chooseRequested);
    connect(empty, &EmptyPair::filesDropped, q, &SweepPage::filesDropped);
    connect(banner, &Banner::copyRequested, q, &SweepPage::copyRequested);
    connect(banner, &Banner::closed, q, &SweepPage::bannerClosed);
    connect(banner, &Banner::actionTriggered, q, [this](const QString& id) {
        if (id == QLatin1String(kBannerPause)) emit q->pauseRequested();
        else if (id == QLatin1String(kBannerResume)) emit q->resumeRequested();
        else if (id == QLatin1String(kBannerStop)) emit q->stopRequested();
        else if (id == QLatin1String(kBannerExport) && state.judgement && state.judgement->winner)
            emit q->exportRequested(QString::fromStdString((*state.trials)[*state.judgement->winner].id));
        else if (id.startsWith(QLatin1String(kBannerAllow))) emit q->limitsChanged(allowed(state, id));
        else emit q->bannerActionTriggered(id);
    });
}

SweepPage::SweepPage(QWidget* parent) : QWidget(parent), d(std::make_unique<Private>(this)) {
    setObjectName(QStringLiteral("sweepPage"));
    d->layOut();
    d->connectAll();
    setState({});
}

SweepPage::~SweepPage() = default;

ParetoPlot* SweepPage::plot() const { return d->plot; }
QString SweepPage::current() const { return d->current; }
QStringList SweepPage::compared() const { return d->compared; }
void SweepPage::focusFilter() { d->table->setFocus(Qt::ShortcutFocusReason); }

void SweepPage::setCandidateModel(QAbstractItemModel* model) {
    d->order.setSourceModel(model);
    d->table->setColumns({32, 106, 118, 58, 58, 74, 66, 64, 166}, app::CandidateColumn::kVerdict);
    d->placeColumns();
    d->table->horizontalHeader()->setSectionResizeMode(app::CandidateColumn::kMark, QHeaderView::Fixed);
}

void SweepPage::setState(const app::SweepViewState& state) {
    d->state = state;
    const bool model = state.phase != Phase::kNoModel;
    d->empty->setVisible(!model);
    d->body->setVisible(model);
    const SweepBanner b = sweepBanner(state);
    d->banner->setState(b.state, b.icon);
    d->setup->setState(state);
    d->plot->setEmptyText(d->running() ? tr("The first candidate is being measured.") : tr("Set the limits, then start. Candidates appear here as they are measured."));
    d->plot->setResults(state.trials, state.judgement, state.limits, state.phase == Phase::kRunning);
    d->note->setText(state.note);
    d->note->setVisible(!state.note.isEmpty());
    // A selection that is gone from the results is none.
    const auto known = [&state](const QString& id) {
        return state.trials && std::any_of(state.trials->begin(), state.trials->end(), [wanted = id.toStdString()](const optimizer::Trial& t) { return t.id == wanted; });
    };
    if (!d->current.isEmpty() && !known(d->current)) d->current.clear();
    d->compared.removeIf([&](const QString& id) { return !known(id); });
    d->plot->setCurrent(d->current);
    d->plot->setCompared(QSet<QString>(d->compared.begin(), d->compared.end()));
    d->showInspector();
    d->placeInspector();
}

void SweepPage::setSelection(const QString& current, const QStringList& compared) {
    d->compared = compared;
    d->plot->setCompared(QSet<QString>(compared.begin(), compared.end()));
    d->current = current;
    d->plot->setCurrent(current);
    d->selectRow();
    d->showInspector();
}

void SweepPage::triggerPrimary() {
    if (d->state.phase == Phase::kFinished && d->state.judgement && d->state.judgement->winner && d->state.recorded.isEmpty())
        emit exportRequested(QString::fromStdString((*d->state.trials)[*d->state.judgement->winner].id));
    else d->setup->triggerStart();
}

void SweepPage::toggleInspector() {
    d->drawer = !d->inspector->isVisible();
    if (width() >= kRoomForInspector) d->inspector->setVisible(d->drawer);
    else d->placeInspector();
}

void SweepPage::resizeEvent(QResizeEvent* event) {
    QWidget::resizeEvent(event);
    d->placeInspector();
}

}  // namespace tenpak::ui
