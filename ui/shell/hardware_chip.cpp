// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/shell/hardware_chip.h"

#include <QComboBox>
#include <QDoubleSpinBox>
#include <QGridLayout>
#include <QKeyEvent>
#include <QPainter>

#include "app/format.h"
#include "ui/theme/paint.h"
#include "ui/widgets/basics.h"
#include "ui/widgets/pill.h"

namespace tenpak::ui {
namespace fmt = app::format;

HardwarePopover::HardwarePopover(const app::HardwareState& hardware, QWidget* parent) : QFrame(parent, Qt::Popup) {
    setObjectName(QStringLiteral("hardwarePopover"));
    setAccessibleName(tr("This machine"));
    setAttribute(Qt::WA_DeleteOnClose);
    setFixedWidth(400);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(space::kL, 14, space::kL, space::kL);
    column->setSpacing(space::kS);
    column->addWidget(new Label(tr("This machine"), Type::kTitle));
    auto* grid = new QGridLayout;
    grid->setHorizontalSpacing(space::kL);
    grid->setVerticalSpacing(6);
    grid->setColumnStretch(1, 1);
    int row = 0;
    const auto fact = [&](const QString& name, const QString& value) {
        if (value.isEmpty()) return;
        auto* text = new Label(value);
        text->setWordWrap(true);
        grid->addWidget(new Label(name, Type::kBody, Ink::kMuted), row, 0, Qt::AlignTop);
        grid->addWidget(text, row++, 1);
    };
    fact(tr("Device"), hardware.device);
    if (hardware.cores > 0) fact(tr("Cores"), QString::number(hardware.cores));
    fact(tr("Instructions"), hardware.instructionSets);
    if (hardware.memoryBytes > 0) fact(tr("Memory"), fmt::bytes(static_cast<double>(hardware.memoryBytes)));
    fact(tr("GPU"), hardware.gpuReason);
    column->addLayout(grid);
    if (hardware.prices.empty()) return;

    column->addWidget(new Line);
    column->addWidget(new Label(tr("Price of an hour"), Type::kTitle));
    auto* which = new QComboBox;
    which->setObjectName(QStringLiteral("hardwarePrice"));
    which->setAccessibleName(tr("Whose price"));
    for (const auto& p : hardware.prices) which->addItem(QString::fromStdString(p.name), QString::fromStdString(p.id));
    const int current = std::max(0, which->findData(hardware.priceId));
    which->setCurrentIndex(current);
    auto* price = new QDoubleSpinBox;
    price->setObjectName(QStringLiteral("hardwarePriceValue"));
    price->setAccessibleName(tr("US dollars per hour"));
    price->setRange(0, 100000);
    price->setDecimals(3);
    price->setSingleStep(.01);
    price->setPrefix(QStringLiteral("$"));
    price->setSuffix(tr(" per hour"));
    price->setKeyboardTracking(false);
    auto* source = new Label({}, Type::kCaption, Ink::kMuted);
    source->setObjectName(QStringLiteral("hardwarePriceSource"));
    source->setWordWrap(true);
    const auto showPrice = [hardware, price, source](int index) {
        const auto& p = hardware.prices.at(static_cast<std::size_t>(index));
        const QSignalBlocker quiet(price);
        price->setValue(p.usd_per_hour);
        source->setText(tr("Source: %1, %2").arg(QString::fromStdString(p.source), QString::fromStdString(p.date)));
    };
    showPrice(current);
    column->addWidget(which);
    column->addWidget(price);
    column->addWidget(source);
    connect(which, &QComboBox::activated, this, [this, which, showPrice](int index) {
        showPrice(index);
        emit priceChosen(which->itemData(index).toString());
    });
    connect(price, &QDoubleSpinBox::valueChanged, this, [this, which, source](double value) {
        source->setText(tr("Source: entered here, today"));
        emit priceEdited(which->currentData().toString(), value);
    });
}

void HardwarePopover::paintEvent(QPaintEvent*) {
    QPainter p(this);
    p.fillRect(rect(), theme().card);
    drawBox(p, rect(), theme().card, mix(theme().border, theme().borderStrong, .35), 0);
}

HardwareChip::HardwareChip(QWidget* parent) : QAbstractButton(parent) {
    setObjectName(QStringLiteral("hardwareChip"));
    setFocusPolicy(Qt::StrongFocus);
    setCursor(Qt::PointingHandCursor);
    setSizePolicy(QSizePolicy::Fixed, QSizePolicy::Fixed);
    setAccessibleName(tr("This machine"));
    setToolTip(tr("This machine and the price of an hour"));
    connect(this, &QAbstractButton::clicked, this, &HardwareChip::openPopover);
    connect(&Theme::instance(), &Theme::changed, this, qOverload<>(&QWidget::update));
    hide();
}

void HardwareChip::setHardware(const app::HardwareState& hardware) {
    m_hardware = hardware;
    setText(hardware.chip);
    setAccessibleDescription(hardware.chip);
    setVisible(!hardware.chip.isEmpty());
    updateGeometry();
    update();
}

QSize HardwareChip::sizeHint() const { return {static_cast<int>(Pill::widthOf(text())), size::kHitTarget}; }

HardwarePopover* HardwareChip::openPopover() {
    auto* popover = new HardwarePopover(m_hardware, this);
    connect(popover, &HardwarePopover::priceChosen, this, &HardwareChip::priceChosen);
    connect(popover, &HardwarePopover::priceEdited, this, &HardwareChip::priceEdited);
    popover->adjustSize();
    popover->move(mapToGlobal(QPoint(width() - popover->width(), height() + 4)));
    popover->show();
    return popover;
}

void HardwareChip::keyPressEvent(QKeyEvent* event) {
    if (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) click();
    else QAbstractButton::keyPressEvent(event);
}

void HardwareChip::paintEvent(QPaintEvent*) {
    QPainter p(this);
    const QRectF pill(0, (height() - size::kPill) / 2.0, width(), size::kPill);
    Pill::paint(p, pill, app::Tone::kNeutral, QStringLiteral("chip"), text());
    if (underMouse()) drawBox(p, pill, {}, theme().borderStrong, size::kPill / 2.0);
    if (showsFocus(this)) drawFocusRing(p, rect(), size::kPill / 2.0 + 2);
}

}  // namespace tenpak::ui
