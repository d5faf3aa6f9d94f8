// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/delta/delta_page.h"

#include <QKeyEvent>

#include "ui/delta/layer_map.h"
#include "ui/delta/map_card.h"
#include "ui/delta/misfit_card.h"
#include "ui/delta/size_card.h"
#include "ui/delta/tensor_card.h"
#include "ui/widgets/banner.h"
#include "ui/widgets/empty_pair.h"
#include "ui/widgets/scroll.h"
#include "ui/widgets/table.h"

namespace tenpak::ui {
namespace {
using Phase = app::DeltaViewState::Phase;
const QString kFindBase = QStringLiteral("find-base");
const QString kChooseBase = QStringLiteral("delta.chooseBase");
}  // namespace

class DeltaPage::Private {
   public:
    app::DeltaViewState state;
    Banner* banner = new Banner;
    EmptyPair* empty = new EmptyPair(DeltaPage::tr("Choose a base and a fine-tune of it to see how small the difference is."));
    SizeCard* size = new SizeCard;
    MapCard* map = new MapCard;
    TensorCard* tensors = new TensorCard;
    MisfitCard* misfits = new MisfitCard;

    /// The page's own banner, unless the state brings one.
    app::BannerState bannerState() const {
        if (!state.banner.isEmpty() || state.phase != Phase::kMisfit) return state.banner;
        app::BannerState b;
        b.tone = app::Tone::kError;
        b.title = DeltaPage::tr("This base does not fit the fine-tune");
        b.body = DeltaPage::tr("%1 Base fingerprint %2, fine-tune fingerprint %3.").arg(state.misfitReason, state.baseFingerprint, state.fineTuneFingerprint);
        b.details = b.title + QLatin1Char('\n') + b.body;
        for (const auto& m : state.misfits)
            b.details += QLatin1Char('\n') + QString::fromStdString(m.tensor + ": base " + m.in_base + ", fine-tune " + m.in_fine_tune + ": " + m.why);
        b.actions = {{kChooseBase, DeltaPage::tr("Choose another base\u2026"), QStringLiteral("folder"), false}, {kFindBase, DeltaPage::tr("Find the base\u2026"), QStringLiteral("search"), false}};
        b.closable = false;
        return b;
    }
};

DeltaPage::DeltaPage(QWidget* parent) : QWidget(parent), d(std::make_unique<Private>()) {
    setObjectName(QStringLiteral("deltaPage"));
    auto* content = new QWidget;
    auto* column = new QVBoxLayout(content);
    column->setContentsMargins(0, 2, space::kL, 0);
    column->setSpacing(space::kM);
    column->addWidget(d->banner);
    column->addWidget(d->empty, 1);
    column->addWidget(d->size);
    column->addWidget(d->map, 3);
    column->addWidget(d->misfits, 2);
    column->addWidget(d->tensors, 2);
    // Below about 820 px of height the page scrolls.
    auto* scroll = makeScroll(QStringLiteral("deltaScroll"), content, ScrollGround::kPage);
    auto* all = new QVBoxLayout(this);
    all->setContentsMargins(0, 0, 0, 0);
    all->addWidget(scroll);

    connect(d->banner, &Banner::actionTriggered, this, [this](const QString& id) {
        if (id == kChooseBase) emit chooseRequested(app::PairSlot::kBase);
        else emit bannerActionTriggered(id);
    });
    connect(d->banner, &Banner::copyRequested, this, &DeltaPage::copyRequested);
    connect(d->banner, &Banner::closed, this, &DeltaPage::bannerClosed);
    connect(d->empty, &EmptyPair::chooseRequested, this, &DeltaPage::chooseRequested);
    connect(d->empty, &EmptyPair::filesDropped, this, &DeltaPage::filesDropped);
    connect(d->size, &SizeCard::compressRequested, this, &DeltaPage::compressRequested);
    connect(d->size, &SizeCard::stopRequested, this, &DeltaPage::stopRequested);
    connect(d->size, &SizeCard::rebuildRequested, this, &DeltaPage::rebuildRequested);
    connect(d->size, &SizeCard::exportAdapterRequested, this, &DeltaPage::exportAdapterRequested);
    connect(d->size, &SizeCard::showArtifactRequested, this, &DeltaPage::showArtifactRequested);
    connect(d->map->map(), &LayerMap::layerActivated, d->tensors, [this](int layer) { d->tensors->setLayer(layer); });
    connect(d->map->map(), &LayerMap::tensorActivated, d->tensors, &TensorCard::showTensor);
    connect(d->map->map(), &LayerMap::cleared, d->tensors, [this] { d->tensors->setLayer({}); });
    connect(d->tensors, &TensorCard::currentTensorChanged, this, [this](const QString& name) {
        d->map->map()->setCurrentTensor(name);
        emit currentTensorChanged(name);
    });
    connect(d->tensors->table(), &Table::copyRequested, this, &DeltaPage::copyRequested);
    connect(d->misfits->table(), &Table::copyRequested, this, &DeltaPage::copyRequested);
    setState({});
}

DeltaPage::~DeltaPage() = default;

void DeltaPage::setTensorModel(QAbstractItemModel* model) { d->tensors->setModel(model); }
void DeltaPage::triggerPrimary() { d->size->triggerPrimary(); }
void DeltaPage::focusFilter() { d->tensors->focusFilter(); }

void DeltaPage::setState(const app::DeltaViewState& state) {
    d->state = state;
    const bool pair = state.phase != Phase::kNoPair, fits = pair && state.phase != Phase::kMisfit;
    d->banner->setState(d->bannerState());
    d->empty->setVisible(!pair);
    d->size->setVisible(pair);
    d->map->setVisible(fits);
    d->tensors->setVisible(fits);
    d->misfits->setVisible(pair && !state.misfits.empty());
    d->size->setState(state);
    d->map->setState(state);
    d->tensors->setErrorColumn(state.phase == Phase::kMeasured && state.lossy);
    d->tensors->setEstimate(fits ? state.estimate : nullptr);
    if (pair) d->misfits->setMisfits(state.misfits, fits);
}

}  // namespace tenpak::ui
