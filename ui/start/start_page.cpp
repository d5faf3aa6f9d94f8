// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/start/start_page.h"


#include "ui/start/recent_row.h"
#include "ui/widgets/banner.h"
#include "ui/widgets/basics.h"
#include "ui/widgets/drop_zone.h"
#include "ui/widgets/scroll.h"

namespace tenpak::ui {

StartPage::StartPage(QWidget* parent) : QWidget(parent), m_banner(new Banner), m_sampleCost(new Label({}, Type::kCaption, Ink::kMuted)) {
    setObjectName(QStringLiteral("startPage"));
    auto* base = new DropZone(app::PairSlot::kBase, tr("Base model"), tr("Drop a folder, .safetensors or .tnpk, or press Enter to choose"));
    auto* fineTune = new DropZone(app::PairSlot::kFineTune, tr("Fine-tune"), tr("Drop both at once: the model card tells which is which"));
    for (DropZone* zone : {base, fineTune}) {
        connect(zone, &DropZone::chooseRequested, this, &StartPage::chooseRequested);
        connect(zone, &DropZone::filesDropped, this, &StartPage::filesDropped);
    }
    m_sample = makeButton(QStringLiteral("openSample"), tr("Open the sample"), QStringLiteral("play"), ButtonKind::kPrimary);
    m_sampleCost->setObjectName(QStringLiteral("sampleCost"));
    connect(m_sample, &QPushButton::clicked, this, &StartPage::sampleRequested);
    connect(m_banner, &Banner::actionTriggered, this, &StartPage::bannerActionTriggered);
    connect(m_banner, &Banner::closed, this, &StartPage::bannerClosed);

    auto* head = makeColumn(space::kXs);
    head->addWidget(new Label(tr("Compare a fine-tune with its base"), Type::kHeadline));
    auto* lead = new Label(tr("See how small the difference is, find the cheapest quantization that keeps its quality, and export it signed."), Type::kBody, Ink::kMuted);
    lead->setWordWrap(true);
    head->addWidget(lead);
    auto* zones = makeRow(space::kL);
    zones->addWidget(base);
    zones->addWidget(fineTune);
    auto* sample = makeRow(space::kL);
    sample->addWidget(m_sample);
    sample->addWidget(m_sampleCost, 1);

    auto* card = new Card(0);
    m_recentCard = card;
    card->setObjectName(QStringLiteral("recentCard"));
    auto* open = makeButton(QStringLiteral("openProject"), tr("Open project\u2026"), QStringLiteral("folder"), ButtonKind::kQuiet);
    connect(open, &QPushButton::clicked, this, &StartPage::openProjectRequested);
    auto* cardHead = makeRow();
    cardHead->setContentsMargins(space::kL, space::kS, space::kM, space::kXs);
    cardHead->addWidget(new Label(tr("Recent projects"), Type::kTitle));
    cardHead->addStretch();
    cardHead->addWidget(open);
    m_recentRows = makeColumn(0);
    card->box()->setSpacing(0);
    card->box()->setContentsMargins(1, 0, 1, 4);
    card->box()->addLayout(cardHead);
    card->box()->addLayout(m_recentRows);

    auto* content = new QWidget;
    auto* middle = new QWidget;
    middle->setMaximumWidth(920);
    auto* column = new QVBoxLayout(middle);
    column->setContentsMargins(0, space::kXl, 0, space::kL);
    column->setSpacing(space::kL);
    column->addWidget(m_banner);
    column->addLayout(head);
    column->addLayout(zones);
    column->addLayout(sample);
    column->addSpacing(space::kS);
    column->addWidget(card);
    column->addStretch();
    auto* row = new QHBoxLayout(content);
    row->setContentsMargins(0, 0, space::kL, 0);
    row->addStretch(1);
    row->addWidget(middle, 100);
    row->addStretch(1);
    auto* scroll = makeScroll(QStringLiteral("startScroll"), content, ScrollGround::kPage);
    auto* all = new QVBoxLayout(this);
    all->setContentsMargins(0, 0, 0, 0);
    all->addWidget(scroll);
    setState({});
}

void StartPage::triggerPrimary() {
    if (m_sample->isEnabled()) emit sampleRequested();
}

void StartPage::setState(const app::StartViewState& state) {
    m_state = state;
    m_banner->setState(state.banner);
    m_sample->setEnabled(state.sampleAvailable);
    m_sampleCost->setText(state.sampleAvailable ? state.sampleCost : tr("The sample models are not installed beside the program."));
    m_recentCard->setVisible(!state.recent.isEmpty());
    showRecent();
}

void StartPage::showRecent() {
    clearLayout(m_recentRows);
    for (int i = 0; i < m_state.recent.size(); ++i) {
        m_recentRows->addWidget(new Line);
        auto* row = new RecentRow(m_state.recent.at(i), i);
        connect(row, &QAbstractButton::clicked, this, [this, path = m_state.recent.at(i).path] { emit recentRequested(path); });
        m_recentRows->addWidget(row);
    }
}

}  // namespace tenpak::ui
