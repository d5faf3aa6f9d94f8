// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/shell/pair_bar.h"

#include <QMenu>
#include <QPainter>

#include "ui/shell/hardware_chip.h"
#include "ui/theme/paint.h"

namespace tenpak::ui {

PairSlotCard::PairSlotCard(app::PairSlot slot, QWidget* parent)
    : Card(0, parent), m_slot(slot), m_role(new Label({}, Type::kCaption, Ink::kMuted)), m_name(new NameLabel), m_facts(new Label({}, Type::kCaption, Ink::kMuted)) {
    const bool base = slot == app::PairSlot::kBase;
    const QString role = base ? tr("Base") : tr("Fine-tune"), prefix = base ? QStringLiteral("slotBase") : QStringLiteral("slotFineTune");
    setObjectName(prefix);
    setFixedHeight(50);
    m_role->setText(role);
    m_name->setObjectName(prefix + QStringLiteral(".name"));
    m_facts->setObjectName(prefix + QStringLiteral(".facts"));
    m_guess = makeButton(prefix + QStringLiteral(".guess"), tr("Guessed. Swap?"), QStringLiteral("swap"), ButtonKind::kQuiet);
    m_guess->setFixedHeight(size::kHitTarget);
    m_choose = makeButton(prefix + QStringLiteral(".choose"), tr("Choose\u2026"), QStringLiteral("folder"), ButtonKind::kQuiet);
    m_choose->setFixedHeight(size::kHitTarget);
    m_find = makeButton(prefix + QStringLiteral(".find"), tr("Find base\u2026"), QStringLiteral("search"), ButtonKind::kQuiet);
    m_find->setFixedHeight(size::kHitTarget);
    m_menu = makeIconButton(prefix + QStringLiteral(".menu"), QStringLiteral("dots"), tr("Menu of the %1").arg(role.toLower()));

    auto* nameRow = makeRow();
    nameRow->addWidget(m_name);
    nameRow->addWidget(m_facts);
    nameRow->addStretch();
    auto* texts = makeColumn(0);
    texts->setContentsMargins(0, 5, 0, 6);
    texts->addWidget(m_role);
    texts->addLayout(nameRow);
    auto* row = makeRow(10);
    row->setContentsMargins(space::kM, 0, 6, 0);
    row->addWidget(new IconLabel(QStringLiteral("model"), 20, Ink::kMuted));
    row->addLayout(texts, 1);
    row->addWidget(m_guess);
    row->addWidget(m_find);
    row->addWidget(m_choose);
    row->addWidget(m_menu);
    box()->setContentsMargins(0, 0, 0, 0);
    box()->addLayout(row);
    connect(m_menu, &QPushButton::clicked, this, &PairSlotCard::openMenu);
    connect(m_find, &QPushButton::clicked, this, &PairSlotCard::findRequested);
    connect(m_choose, &QPushButton::clicked, this, [this] { emit chooseRequested(m_slot); });
    connect(m_guess, &QPushButton::clicked, this, &PairSlotCard::swapRequested);
    setModel({});
}

void PairSlotCard::setModel(const app::ModelSlot& model) {
    m_model = model;
    m_name->setText(model.isEmpty() ? tr("None chosen") : model.name);
    m_name->setToolTip(model.path);
    m_facts->setText(model.opening ? tr("opening\u2026") : model.facts);
    m_facts->setVisible(!model.isEmpty() && !model.guessed);  // the question needs the room
    m_guess->setVisible(model.guessed && !model.isEmpty());
    m_choose->setVisible(model.isEmpty());
    m_menu->setVisible(!model.isEmpty());
    m_find->setVisible(m_canFind && model.isEmpty());
    setAccessibleName(m_role->text() + QStringLiteral(": ") + m_name->text() + QStringLiteral(", ") + m_facts->text());
    updateGeometry();
}

void PairSlotCard::setCanFind(bool can) {
    m_canFind = can && m_slot == app::PairSlot::kBase;
    m_find->setVisible(m_canFind && m_model.isEmpty());
}

void PairSlotCard::setLit(bool lit) {
    if (lit == m_lit) return;
    m_lit = lit;
    update();
}

void PairSlotCard::openMenu() {
    auto* menu = new QMenu(this);
    menu->setAttribute(Qt::WA_DeleteOnClose);
    menu->setObjectName(objectName() + QStringLiteral(".popup"));
    menu->addAction(tr("Choose\u2026"), this, [this] { emit chooseRequested(m_slot); });
    if (m_canFind) menu->addAction(tr("Find base\u2026"), this, &PairSlotCard::findRequested);
    menu->addAction(tr("Reveal in the file manager"), this, [this] { emit revealRequested(m_slot); });
    menu->addAction(tr("Inspect\u2026"), this, [this] { emit inspectRequested(m_slot); });
    menu->addAction(tr("Copy fingerprint"), this, [this] { emit copyRequested(m_model.fingerprint); })->setEnabled(!m_model.fingerprint.isEmpty());
    menu->addSeparator();
    menu->addAction(tr("Remove"), this, [this] { emit removeRequested(m_slot); });
    menu->popup(m_menu->mapToGlobal(QPoint(0, m_menu->height() + 2)));
}

void PairSlotCard::paintEvent(QPaintEvent*) {
    QPainter p(this);
    drawBox(p, rect(), m_lit ? theme().accentTint : theme().surface, m_lit ? theme().accent : theme().border, radius::kCard);
}

PairBar::PairBar(QWidget* parent)
    : QWidget(parent), m_base(new PairSlotCard(app::PairSlot::kBase)), m_fineTune(new PairSlotCard(app::PairSlot::kFineTune)), m_chip(new HardwareChip) {
    setObjectName(QStringLiteral("pairBar"));
    setFixedHeight(size::kPairBar);
    m_swap = makeIconButton(QStringLiteral("pairSwap"), QStringLiteral("swap"), tr("Swap base and fine-tune (Ctrl+Shift+X)"), size::kControl);
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(0, 10, space::kL, 4);
    row->setSpacing(space::kS);
    row->addWidget(m_base, 1);
    row->addWidget(m_swap);
    row->addWidget(m_fineTune, 1);
    row->addSpacing(space::kS);
    row->addStretch(0);
    row->addWidget(m_chip);
    for (PairSlotCard* s : {m_base, m_fineTune}) {
        connect(s, &PairSlotCard::chooseRequested, this, &PairBar::chooseRequested);
        connect(s, &PairSlotCard::revealRequested, this, &PairBar::revealRequested);
        connect(s, &PairSlotCard::inspectRequested, this, &PairBar::inspectRequested);
        connect(s, &PairSlotCard::removeRequested, this, &PairBar::removeRequested);
        connect(s, &PairSlotCard::copyRequested, this, &PairBar::copyRequested);
        connect(s, &PairSlotCard::swapRequested, this, &PairBar::swapRequested);
    }
    connect(m_base, &PairSlotCard::findRequested, this, &PairBar::findBaseRequested);
    connect(m_swap, &QPushButton::clicked, this, &PairBar::swapRequested);
    connect(m_chip, &HardwareChip::priceChosen, this, &PairBar::priceChosen);
    connect(m_chip, &HardwareChip::priceEdited, this, &PairBar::priceEdited);
}

void PairBar::setPair(const app::PairState& pair) {
    m_base->setModel(pair.base);
    m_fineTune->setModel(pair.fineTune);
    m_base->setCanFind(!pair.fineTune.isEmpty());
    m_swap->setEnabled(!pair.base.isEmpty() || !pair.fineTune.isEmpty());
}

void PairBar::setHardware(const app::HardwareState& hardware) { m_chip->setHardware(hardware); }

void PairBar::setSlotsVisible(bool visible) {
    m_base->setVisible(visible);
    m_fineTune->setVisible(visible);
    m_swap->setVisible(visible);
}

}  // namespace tenpak::ui
