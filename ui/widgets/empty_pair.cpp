// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/empty_pair.h"

#include "ui/widgets/basics.h"
#include "ui/widgets/drop_zone.h"

namespace tenpak::ui {

EmptyPair::EmptyPair(const QString& sentence, QWidget* parent) : QWidget(parent) {
    setObjectName(QStringLiteral("emptyPair"));
    auto* base = new DropZone(app::PairSlot::kBase, tr("Base model"), tr("Drop a folder or .safetensors, or press Enter"), true);
    auto* fineTune = new DropZone(app::PairSlot::kFineTune, tr("Fine-tune"), tr("Drop a folder or .safetensors, or press Enter"), true);
    for (DropZone* zone : {base, fineTune}) {
        connect(zone, &DropZone::chooseRequested, this, &EmptyPair::chooseRequested);
        connect(zone, &DropZone::filesDropped, this, &EmptyPair::filesDropped);
    }
    auto* text = new Label(sentence, Type::kBody, Ink::kMuted);
    text->setWordWrap(true);
    auto* zones = makeRow(space::kL);
    zones->addWidget(base);
    zones->addWidget(fineTune);
    auto* column = new QVBoxLayout;
    column->setSpacing(space::kM);
    column->addWidget(text);
    column->addLayout(zones);
    column->addStretch();
    auto* all = new QHBoxLayout(this);
    all->setContentsMargins(0, space::kXl, 0, 0);
    all->addStretch(1);
    all->addLayout(column, 8);
    all->addStretch(1);
}

}  // namespace tenpak::ui
