// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/delta/map_card.h"

#include <QScrollArea>
#include <QScrollBar>

#include "ui/delta/layer_map.h"
#include "ui/delta/method_bars.h"
#include "ui/widgets/segmented.h"

namespace tenpak::ui {

MapCard::MapCard(QWidget* parent)
    : Card(space::kL, parent), m_map(new LayerMap), m_methods(new MethodBars), m_readout(new Label({}, Type::kCaption, Ink::kMuted)),
      m_idle(tr("Point at a cell, or move with the arrow keys")) {
    setObjectName(QStringLiteral("mapCard"));
    m_readout->setObjectName(QStringLiteral("mapReadout"));
    m_readout->setFixedHeight(18);
    m_readout->setText(m_idle);
    // A long tensor name must not widen the window.
    m_readout->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);

    auto* metric = new Segmented(QStringLiteral("mapMetric"), tr("Colour by"), {tr("Bit per weight"), tr("Changed"), tr("Method")});
    auto* head = makeRow();
    head->addWidget(new Label(tr("Where it changed"), Type::kTitle));
    head->addStretch();
    head->addWidget(metric);
    box()->addLayout(head);

    // Models of very many layers scroll sideways; all others fit.
    auto* scroll = new QScrollArea;
    scroll->setObjectName(QStringLiteral("mapScroll"));
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setVerticalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    scroll->setFocusPolicy(Qt::NoFocus);
    scroll->viewport()->setAutoFillBackground(false);
    scroll->setWidget(m_map);
    m_map->setAutoFillBackground(false);
    scroll->setMinimumHeight(268);
    auto* row = makeRow(space::kXl);
    row->addWidget(scroll, 1);
    row->addWidget(m_methods, 0, Qt::AlignTop);
    box()->addLayout(row, 1);
    box()->addWidget(m_readout);

    connect(metric, &Segmented::currentChanged, m_map, [this](int index) { m_map->setMetric(static_cast<LayerMap::Metric>(index)); });
    connect(m_map, &LayerMap::readoutChanged, this, [this](const QString& text) {
        m_readout->setText(text.isEmpty() ? m_idle : text);
        m_readout->setToolTip(text);
    });
}

void MapCard::setState(const app::DeltaViewState& s) {
    m_map->setEmptyText(s.phase == app::DeltaViewState::Phase::kOpening ? tr("Reading headers\u2026") : tr("The map appears when base and fine-tune fit"));
    m_map->setStale(s.stale);
    m_map->setEstimate(s.estimate);
    m_methods->setEstimate(s.estimate.get());
    m_readout->setVisible(s.estimate != nullptr);
}

}  // namespace tenpak::ui
