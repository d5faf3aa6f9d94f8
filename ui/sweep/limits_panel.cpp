// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/sweep/limits_panel.h"

#include "app/format.h"

namespace tenpak::ui {
namespace {

/// As many decimals as the value needs, so that "2 %" and "1.25 %" both read well.
class LimitBox : public QDoubleSpinBox {
   public:
    LimitBox() {
        setDecimals(4);
        setKeyboardTracking(false);
        setCorrectionMode(CorrectToNearestValue);
        setSpecialValueText(LimitsPanel::tr("No limit"));
    }
    QString textFromValue(double value) const override { return app::format::trimmed(value, 6); }
    void stepBy(int steps) override {
        // Ten steps a decade of the present value: 2 -> 2.1, 100 -> 110.
        if (value() > 0) setSingleStep(std::pow(10.0, std::floor(std::log10(value()) + 1e-9) - 1));
        QDoubleSpinBox::stepBy(steps);
    }

   protected:
    void wheelEvent(QWheelEvent* event) override {
        if (hasFocus()) QDoubleSpinBox::wheelEvent(event);
        else event->ignore();  // scrolling the panel must not change a limit
    }
};

}  // namespace

LimitsPanel::LimitsPanel(QWidget* parent) : QWidget(parent) {
    setObjectName(QStringLiteral("limitsPanel"));
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(6);
    column->addWidget(new Label(tr("Limits"), Type::kTitle));
    addField(QStringLiteral("limitPerplexity"), tr("Perplexity may rise by"), QStringLiteral("\u202F%"), 1e4, .1, &optimizer::Limits::max_ppl_delta);
    addField(QStringLiteral("limitLatency"), tr("Latency p99 at most"), QStringLiteral("\u00A0ms"), 1e6, 1, &optimizer::Limits::max_latency_p99_ms);
    addField(QStringLiteral("limitThroughput"), tr("Throughput at least"), QStringLiteral("\u00A0tok/s"), 1e9, 10, &optimizer::Limits::min_throughput_tps);
    addField(QStringLiteral("limitMemory"), tr("Memory at most"), QStringLiteral("\u00A0MB"), 1e9, 10, &optimizer::Limits::max_memory_mb);
    addField(QStringLiteral("limitAccuracy"), tr("Accuracy at least"), QStringLiteral("\u202F%"), 100, 1, &optimizer::Limits::min_accuracy);
    auto* note = new Label(tr("Changing a limit judges the results again at once. Nothing is run again."), Type::kCaption, Ink::kMuted);
    note->setWordWrap(true);
    column->addWidget(note);
}

QDoubleSpinBox* LimitsPanel::addField(const QString& name, const QString& label, const QString& suffix, double most, double step, Field field) {
    auto* box = new LimitBox;
    box->setObjectName(name);
    box->setAccessibleName(label);
    box->setRange(0, most);
    box->setSingleStep(step);
    box->setSuffix(suffix);
    auto* caption = new Label(label, Type::kCaption, Ink::kMuted);
    caption->setBuddy(box);
    layout()->addWidget(caption);
    layout()->addWidget(box);
    connect(box, &QDoubleSpinBox::valueChanged, this, [this, field](double value) {
        if (m_setting) return;
        m_limits.*field = value > 0 ? std::optional<double>(value) : std::nullopt;
        emit limitsChanged(m_limits);
    });
    m_fields.emplace_back(box, field);
    return box;
}

void LimitsPanel::setLimits(const optimizer::Limits& limits) {
    m_limits = limits;
    m_setting = true;
    for (auto& [box, field] : m_fields) {
        const double value = (limits.*field).value_or(0);
        if (std::abs(box->value() - value) > 1e-9) box->setValue(value);
    }
    m_setting = false;
}

}  // namespace tenpak::ui
