// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/sweep/setup_panel.h"

#include <QAbstractItemView>
#include <QAction>
#include <QCheckBox>
#include <QComboBox>
#include <QFileInfo>
#include <QGridLayout>
#include <QWheelEvent>

#include "app/format.h"
#include "ui/sweep/limits_panel.h"
#include "ui/widgets/scroll.h"

namespace tenpak::ui {
namespace {

constexpr int kShortRole = Qt::UserRole + 1;
constexpr int kImportMargin = 80;  // of an imported model's name: the panel's margins, the check mark, the scroll bar
constexpr const char* kName = "candidate";
constexpr const char* kImported = "imported";

/// Scrolling the panel must not change a choice.
class QuietCombo : public QComboBox {
   protected:
    void wheelEvent(QWheelEvent* event) override { event->ignore(); }
    /// The closed box shows an entry's short text where it has one; the list has all.
    void initStyleOption(QStyleOptionComboBox* option) const override {
        QComboBox::initStyleOption(option);
        if (const QString text = currentData(kShortRole).toString(); !text.isEmpty()) option->currentText = text;
    }
};

}  // namespace

SetupPanel::SetupPanel(QWidget* parent) : Card(0, parent), m_limits(new LimitsPanel), m_candidates(new QGridLayout), m_expected(new Label({}, Type::kCaption, Ink::kMuted)) {
    setObjectName(QStringLiteral("setupPanel"));
    setFixedWidth(size::kSetUp);
    box()->setContentsMargins(1, 1, 1, 1);
    auto* inner = new QWidget;
    auto* column = new QVBoxLayout(inner);
    column->setContentsMargins(15, 13, 15, space::kS);
    column->setSpacing(6);
    column->addWidget(m_limits);
    column->addSpacing(6);
    column->addWidget(new Line);
    column->addSpacing(4);
    column->addWidget(new Label(tr("Measure"), Type::kTitle));
    m_model = addCombo(column, QStringLiteral("sweepModel"), tr("Model"));
    m_text = addCombo(column, QStringLiteral("sweepText"), tr("Evaluation text"));
    m_price = addCombo(column, QStringLiteral("sweepPrice"), tr("Price of the machine"));
    column->addWidget(new Label(tr("Candidates"), Type::kCaption, Ink::kMuted));
    m_candidates->setHorizontalSpacing(10);
    m_candidates->setVerticalSpacing(4);
    column->addLayout(m_candidates);
    m_import = makeButton(QStringLiteral("sweepImport"), tr("Add a quantized model\u2026"), QStringLiteral("folder"), ButtonKind::kQuiet);
    m_import->setToolTip(tr("AWQ, GPTQ, compressed-tensors, bitsandbytes or GGUF, measured beside the candidates"));
    column->addWidget(m_import, 0, Qt::AlignLeft);
    connect(m_import, &QPushButton::clicked, this, &SetupPanel::importRequested);
    column->addStretch();

    auto* scroll = makeScroll(QStringLiteral("setupScroll"), inner, ScrollGround::kCard);
    box()->addWidget(scroll, 1);

    m_start = makeButton(QStringLiteral("sweepStart"), tr("Start sweep"), QStringLiteral("play"), ButtonKind::kPrimary);
    m_expected->setObjectName(QStringLiteral("sweepExpected"));
    m_expected->setWordWrap(true);
    auto* foot = makeColumn(space::kXs);
    foot->setContentsMargins(15, space::kXs, 15, 13);
    foot->addWidget(m_start);
    foot->addWidget(m_expected);
    box()->addLayout(foot);

    connect(m_start, &QPushButton::clicked, this, &SetupPanel::triggerStart);
    const auto chosen = [this](QComboBox* combo, auto signal) {
        connect(combo, &QComboBox::activated, this, [this, combo, signal](int index) { (this->*signal)(combo->itemData(index).toString()); });
    };
    chosen(m_model, &SetupPanel::modelChosen);
    chosen(m_text, &SetupPanel::textChosen);
    chosen(m_price, &SetupPanel::priceChosen);
}

QComboBox* SetupPanel::addCombo(QVBoxLayout* column, const QString& name, const QString& label) {
    auto* combo = new QuietCombo;
    combo->setObjectName(name);
    combo->setAccessibleName(label);
    combo->setMinimumWidth(0);
    combo->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
    auto* caption = new Label(label, Type::kCaption, Ink::kMuted);
    caption->setBuddy(combo);
    column->addWidget(caption);
    column->addWidget(combo);
    return combo;
}

void SetupPanel::fill(QComboBox* combo, const QList<app::Choice>& choices, const QString& current) {
    bool same = combo->count() == choices.size();
    for (int i = 0; same && i < choices.size(); ++i) same = combo->itemData(i).toString() == choices.at(i).id && combo->itemText(i) == choices.at(i).text;
    if (!same) {
        combo->clear();
        for (const auto& c : choices) combo->addItem(c.text, c.id);
    }
    combo->setCurrentIndex(combo->findData(current));
    combo->setToolTip(combo->currentText());
}

void SetupPanel::showChoices(const QList<app::CandidateChoice>& choices, bool locked) {
    bool same = m_boxes.size() == choices.size();
    for (int i = 0; same && i < choices.size(); ++i) same = m_boxes.at(i)->property(kName).toString() == choices.at(i).name;
    if (!same) {
        clearLayout(m_candidates);
        m_boxes.clear();
        int row = 0;
        for (const auto& c : choices) {
            if (!c.importedFrom.isEmpty() && (m_boxes.isEmpty() || !m_boxes.last()->property(kImported).toBool()))
                m_candidates->addWidget(new Label(tr("Quantized already"), Type::kCaption, Ink::kMuted), row++, 0, 1, 2);
            auto* box = makeBox(c);
            m_candidates->addWidget(box, row, 0, 1, c.bits.isEmpty() ? 2 : 1);
            if (!c.bits.isEmpty()) m_candidates->addWidget(new Label(c.bits, Type::kCaption, Ink::kMuted), row, 1, Qt::AlignRight | Qt::AlignVCenter);
            ++row;
            m_boxes.append(box);
        }
    }
    m_setting = true;
    for (int i = 0; i < choices.size(); ++i) {
        m_boxes.at(i)->setChecked(choices.at(i).checked && choices.at(i).available);
        m_boxes.at(i)->setEnabled(choices.at(i).available && !locked);
        m_boxes.at(i)->setToolTip(choices.at(i).reason.isEmpty() ? choices.at(i).importedFrom : choices.at(i).reason);
        m_boxes.at(i)->setAccessibleDescription(choices.at(i).reason);
    }
    m_setting = false;
    m_import->setEnabled(!locked);
}

QCheckBox* SetupPanel::makeBox(const app::CandidateChoice& choice) {
    const bool imported = !choice.importedFrom.isEmpty();
    auto* box = new QCheckBox(choice.name);
    box->setObjectName(QStringLiteral("candidate.") + choice.name);
    box->setProperty(kName, choice.name);
    box->setProperty(kImported, imported);
    connect(box, &QCheckBox::toggled, this, [this] {
        if (!m_setting) emit choicesChanged(checkedCandidates());
    });
    if (imported) {
        const QString name = QFileInfo(choice.importedFrom).fileName();
        box->setText(box->fontMetrics().elidedText(name, Qt::ElideMiddle, size::kSetUp - kImportMargin));
        box->setAccessibleName(name);
        auto* remove = new QAction(tr("Remove from the list"), box);
        remove->setShortcut(QKeySequence::Delete);
        remove->setShortcutContext(Qt::WidgetShortcut);
        connect(remove, &QAction::triggered, this, [this, name = choice.name] { emit importRemoved(name); });
        box->addAction(remove);
        box->setContextMenuPolicy(Qt::ActionsContextMenu);
    }
    return box;
}

QStringList SetupPanel::checkedCandidates() const {
    QStringList names;
    for (const QCheckBox* box : m_boxes)
        if (box->isChecked()) names.append(box->property(kName).toString());
    return names;
}

void SetupPanel::triggerStart() {
    if (!m_start->isEnabled()) return;
    if (m_running) emit stopRequested();
    else emit startRequested(checkedCandidates());
}

void SetupPanel::setState(const app::SweepViewState& s) {
    using Phase = app::SweepViewState::Phase;
    m_running = s.phase == Phase::kRunning;
    const bool locked = m_running || s.phase == Phase::kPaused;
    m_limits->setLimits(s.limits);
    fill(m_model, s.models, s.modelId);
    fill(m_text, s.texts, s.textId);
    QList<app::Choice> prices;
    for (const auto& p : s.prices) prices.append({QString::fromStdString(p.id), tr("%1, %2").arg(app::format::pricePerHour(p.usd_per_hour), QString::fromStdString(p.name))});
    fill(m_price, prices, s.priceId);
    for (std::size_t i = 0; i < s.prices.size(); ++i) m_price->setItemData(static_cast<int>(i), app::format::pricePerHour(s.prices[i].usd_per_hour), kShortRole);
    m_price->view()->setMinimumWidth(m_price->view()->sizeHintForColumn(0) + 24);
    m_model->setEnabled(!locked);
    m_text->setEnabled(!locked);
    m_price->setEnabled(!prices.isEmpty());  // a price only changes the cost of what was measured
    showChoices(s.choices, locked);

    const bool recorded = s.phase == Phase::kFinished && !s.recorded.isEmpty();
    m_start->setText(m_running ? tr("Stop") : recorded ? tr("Measure here") : s.phase == Phase::kFinished ? tr("Run again") : s.phase == Phase::kPaused ? tr("Start again") : tr("Start sweep"));
    setButtonIcon(m_start, m_running ? QStringLiteral("stop") : QStringLiteral("play"));
    setButtonPrimary(m_start, s.phase == Phase::kEmpty || s.phase == Phase::kNoModel || recorded);
    m_start->setToolTip(m_running ? tr("Stop (Ctrl+.)") : tr("Ctrl+Return"));
    bool any = false;
    for (const QCheckBox* box : m_boxes) any = any || box->isChecked();
    m_start->setEnabled(m_running || (s.phase != Phase::kNoModel && any));
    m_expected->setText(m_running ? QString() : s.expected);
    m_expected->setVisible(!m_expected->text().isEmpty());
}

}  // namespace tenpak::ui
