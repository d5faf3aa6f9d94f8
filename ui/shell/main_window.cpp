// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/shell/main_window.h"

#include <QApplication>
#include <QCloseEvent>
#include <QDragEnterEvent>
#include <QMenuBar>
#include <QMimeData>
#include <QSplitter>
#include <QStackedWidget>

#include "app/action_registry.h"
#include "ui/artifacts/artifacts_page.h"
#include "ui/delta/delta_page.h"
#include "ui/shell/command_palette.h"
#include "ui/shell/drop_overlay.h"
#include "ui/shell/jobs_drawer.h"
#include "ui/shell/nav_rail.h"
#include "ui/shell/pair_bar.h"
#include "ui/start/start_page.h"
#include "ui/sweep/sweep_page.h"
#include "ui/widgets/drop_zone.h"

namespace tenpak::ui {

class MainWindow::Private {
   public:
    explicit Private(app::ActionRegistry& registry) : actions(registry) {}

    app::ActionRegistry& actions;
    app::PairState pair;
    NavRail* rail = new NavRail;
    PairBar* pairBar = new PairBar;
    QStackedWidget* pages = new QStackedWidget;
    StartPage* start = new StartPage;
    DeltaPage* delta = new DeltaPage;
    SweepPage* sweep = new SweepPage;
    ArtifactsPage* artifacts = new ArtifactsPage;
    JobsDrawer* jobs = new JobsDrawer;
    QPushButton* jobsText = makeButton(QStringLiteral("statusJobs"), {}, QStringLiteral("check"), ButtonKind::kQuiet);
    Label* message = new Label({}, Type::kCaption);
    Label* saved = new Label({}, Type::kCaption, Ink::kMuted);
    DropOverlay* overlay = nullptr;

    void buildMenus(MainWindow* q);
    QWidget* buildStatusBar(MainWindow* q);
    void layOut(MainWindow* q);
    void connectAll(MainWindow* q);
    void showPairBar() { pairBar->setSlotsVisible(pages->currentIndex() != 0 || !pair.base.isEmpty() || !pair.fineTune.isEmpty()); }
};

void MainWindow::Private::buildMenus(MainWindow* q) {
    for (const QLatin1String& name : app::ActionRegistry::menus()) {
        QMenu* menu = q->menuBar()->addMenu(QLatin1Char('&') + QCoreApplication::translate("actions", name.data()));
        menu->setObjectName(QStringLiteral("menu.") + name);
        for (QAction* action : actions.actionsOfMenu(name)) {
            if (actions.separatorBefore(action)) menu->addSeparator();
            menu->addAction(action);
        }
    }
    // Keys of actions that stand in no menu work, too.
    q->addActions(actions.actions());
    q->menuBar()->setNativeMenuBar(false);
}

QWidget* MainWindow::Private::buildStatusBar(MainWindow* q) {
    auto* bar = new QWidget;
    bar->setObjectName(QStringLiteral("statusBar"));
    bar->setFixedHeight(size::kStatusBar);
    auto* row = new QHBoxLayout(bar);
    row->setContentsMargins(4, 0, space::kL, 0);
    row->setSpacing(space::kL);
    jobsText->setFixedHeight(size::kHitTarget);
    jobsText->setToolTip(MainWindow::tr("Show or hide jobs (Ctrl+J)"));
    message->setObjectName(QStringLiteral("statusMessage"));
    saved->setObjectName(QStringLiteral("statusSaved"));
    message->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    row->addWidget(jobsText);
    row->addWidget(message, 1);
    row->addWidget(saved);
    connect(jobsText, &QPushButton::clicked, q, [q] { q->setJobsVisible(!q->jobsVisible()); });
    return bar;
}

void MainWindow::Private::layOut(MainWindow* q) {
    pages->setObjectName(QStringLiteral("pages"));
    for (QWidget* page : std::initializer_list<QWidget*>{start, delta, sweep, artifacts}) pages->addWidget(page);
    auto* jobsHolder = new QWidget;
    auto* jobsRow = new QHBoxLayout(jobsHolder);
    jobsRow->setContentsMargins(0, 0, space::kL, 0);
    jobsRow->addWidget(jobs);
    auto* split = new QSplitter(Qt::Vertical);
    split->setObjectName(QStringLiteral("jobsSplitter"));
    split->setChildrenCollapsible(false);
    split->addWidget(pages);
    split->addWidget(jobsHolder);
    split->setStretchFactor(0, 1);
    split->setStretchFactor(1, 0);
    split->setSizes({1000, 124});
    jobsHolder->hide();

    auto* central = new QWidget;
    central->setObjectName(QStringLiteral("central"));
    auto* right = makeColumn(6);
    right->setContentsMargins(space::kS, 0, 0, 0);
    right->addWidget(pairBar);
    right->addWidget(split, 1);
    right->addWidget(buildStatusBar(q));
    auto* row = new QHBoxLayout(central);
    row->setContentsMargins(0, 0, 0, 0);
    row->setSpacing(0);
    row->addWidget(rail);
    row->addLayout(right, 1);
    q->setCentralWidget(central);
    overlay = new DropOverlay(pairBar->base(), pairBar->fineTune(), q);
}

void MainWindow::Private::connectAll(MainWindow* q) {
    connect(rail, &NavRail::chosen, q, [q](int page) { q->setPage(static_cast<Page>(page)); });
    connect(rail, &NavRail::settingsRequested, q, &MainWindow::settingsRequested);
    connect(pairBar, &PairBar::chooseRequested, q, &MainWindow::chooseRequested);
    connect(pairBar, &PairBar::revealRequested, q, &MainWindow::revealRequested);
    connect(pairBar, &PairBar::inspectRequested, q, &MainWindow::inspectRequested);
    connect(pairBar, &PairBar::removeRequested, q, &MainWindow::removeRequested);
    connect(pairBar, &PairBar::copyRequested, q, &MainWindow::copyRequested);
    connect(pairBar, &PairBar::swapRequested, q, &MainWindow::swapRequested);
    connect(pairBar, &PairBar::findBaseRequested, q, &MainWindow::findBaseRequested);
    connect(pairBar, &PairBar::priceChosen, q, &MainWindow::priceChosen);
    connect(pairBar, &PairBar::priceEdited, q, &MainWindow::priceEdited);
    connect(overlay, &DropOverlay::filesDropped, q, &MainWindow::filesDropped);
    connect(start, &StartPage::chooseRequested, q, &MainWindow::chooseRequested);
    connect(start, &StartPage::filesDropped, q, &MainWindow::filesDropped);
    connect(delta, &DeltaPage::chooseRequested, q, &MainWindow::chooseRequested);
    connect(delta, &DeltaPage::filesDropped, q, &MainWindow::filesDropped);
    connect(delta, &DeltaPage::copyRequested, q, &MainWindow::copyRequested);
    connect(sweep, &SweepPage::chooseRequested, q, &MainWindow::chooseRequested);
    connect(sweep, &SweepPage::filesDropped, q, &MainWindow::filesDropped);
    connect(sweep, &SweepPage::copyRequested, q, &MainWindow::copyRequested);
    connect(artifacts, &ArtifactsPage::copyRequested, q, &MainWindow::copyRequested);
    connect(jobs, &JobsDrawer::closeRequested, q, [q] { q->setJobsVisible(false); });
    connect(jobs, &JobsDrawer::clearRequested, q, &MainWindow::clearFinishedJobsRequested);
    connect(jobs, &JobsDrawer::pauseRequested, q, &MainWindow::jobPauseRequested);
    connect(jobs, &JobsDrawer::resumeRequested, q, &MainWindow::jobResumeRequested);
    connect(jobs, &JobsDrawer::stopRequested, q, &MainWindow::jobStopRequested);
    connect(jobs, &JobsDrawer::retryRequested, q, &MainWindow::jobRetryRequested);
    connect(jobs, &JobsDrawer::showRequested, q, &MainWindow::jobShowRequested);
    connect(jobs, &JobsDrawer::copyRequested, q, &MainWindow::copyRequested);
}

MainWindow::MainWindow(app::ActionRegistry& actions, QWidget* parent) : QMainWindow(parent), d(std::make_unique<Private>(actions)) {
    setObjectName(QStringLiteral("mainWindow"));
    setAcceptDrops(true);
    setMinimumSize(1024, 640);
    resize(1440, 900);
    d->buildMenus(this);
    d->layOut(this);
    d->connectAll(this);
    setPair({});
    setShell({});
    setPage(Page::kStart);
}

MainWindow::~MainWindow() = default;

StartPage* MainWindow::startPage() const { return d->start; }
DeltaPage* MainWindow::deltaPage() const { return d->delta; }
SweepPage* MainWindow::sweepPage() const { return d->sweep; }
ArtifactsPage* MainWindow::artifactsPage() const { return d->artifacts; }
Page MainWindow::page() const { return static_cast<Page>(d->pages->currentIndex()); }

void MainWindow::setPair(const app::PairState& pair) {
    d->pair = pair;
    d->pairBar->setPair(pair);
    d->showPairBar();
}

void MainWindow::setHardware(const app::HardwareState& hardware) { d->pairBar->setHardware(hardware); }

void MainWindow::setShell(const app::ShellState& shell) {
    setWindowTitle(shell.title.isEmpty() ? tr("TenPak Studio") : tr("%1 \u2014 TenPak Studio").arg(shell.title));
    d->jobsText->setText(shell.jobsText.isEmpty() ? tr("No jobs running") : shell.jobsText);
    setButtonIcon(d->jobsText, shell.jobsRunning ? QStringLiteral("hourglass") : QStringLiteral("check"));
    d->message->setText(shell.message);
    d->saved->setText(shell.savedText);
    d->jobs->setJobs(shell.jobs);
    d->rail->setBusy(static_cast<int>(Page::kDelta), shell.deltaBusy);
    d->rail->setBusy(static_cast<int>(Page::kSweep), shell.sweepBusy);
    d->rail->setBusy(static_cast<int>(Page::kArtifacts), shell.artifactsBusy);
}

void MainWindow::setPage(Page page) {
    const bool same = d->pages->currentIndex() == static_cast<int>(page);
    d->pages->setCurrentIndex(static_cast<int>(page));
    d->rail->setCurrent(static_cast<int>(page));
    d->showPairBar();
    if (!same) emit pageChanged(page);
}

void MainWindow::triggerPrimary() {
    switch (page()) {
        case Page::kStart: d->start->triggerPrimary(); break;
        case Page::kDelta: d->delta->triggerPrimary(); break;
        case Page::kSweep: d->sweep->triggerPrimary(); break;
        case Page::kArtifacts: d->artifacts->triggerPrimary(); break;
    }
}

void MainWindow::setJobsVisible(bool visible) { d->jobs->parentWidget()->setVisible(visible); }
bool MainWindow::jobsVisible() const { return d->jobs->parentWidget()->isVisibleTo(this); }
void MainWindow::showPalette() { (new CommandPalette(d->actions, this))->openOver(this); }

void MainWindow::focusFilter() {
    if (page() == Page::kDelta) d->delta->focusFilter();
    if (page() == Page::kSweep) d->sweep->focusFilter();
}

void MainWindow::toggleInspector() {
    if (page() == Page::kSweep) d->sweep->toggleInspector();
}

void MainWindow::focusNextRegion() {
    // Rail, pair bar, page, jobs, status bar.
    const QList<QWidget*> regions = {d->rail, d->pairBar, d->pages->currentWidget(), d->jobs, d->jobsText->parentWidget()};
    const QWidget* now = QApplication::focusWidget();
    int at = -1;
    for (int i = 0; i < regions.size(); ++i)
        if (now != nullptr && (regions.at(i) == now || regions.at(i)->isAncestorOf(now))) at = i;
    for (int step = 1; step <= regions.size(); ++step) {
        QWidget* region = regions.at((at + step) % regions.size());
        if (!region->isVisible()) continue;
        if (region == d->rail) return d->rail->focusCurrent();
        for (QWidget* w = region->nextInFocusChain(); w != region; w = w->nextInFocusChain())
            if (region->isAncestorOf(w) && w->isVisible() && w->isEnabled() && (w->focusPolicy() & Qt::TabFocus)) return w->setFocus(Qt::TabFocusReason);
    }
}

void MainWindow::closeEvent(QCloseEvent* event) { emit closing(event); }

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
    if (pathsOf(event->mimeData()).isEmpty()) return;
    event->acceptProposedAction();
    if (page() != Page::kArtifacts) d->overlay->showOver(centralWidget()->geometry());
}

void MainWindow::resizeEvent(QResizeEvent* event) {
    QMainWindow::resizeEvent(event);
    if (d->overlay->isVisible()) d->overlay->showOver(centralWidget()->geometry());
}

}  // namespace tenpak::ui
