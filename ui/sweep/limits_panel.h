// SPDX-License-Identifier: GPL-3.0-or-later
// Limit fields. An empty (zero) field is no limit. They edit the same limits as the lines in the chart.
#pragma once
#include <QDoubleSpinBox>

#include "core/optimizer/judge.h"
#include "ui/widgets/basics.h"

namespace tenpak::ui {

class LimitsPanel : public QWidget {
    Q_OBJECT
   public:
    explicit LimitsPanel(QWidget* parent = nullptr);
    void setLimits(const optimizer::Limits& limits);
    const optimizer::Limits& limits() const { return m_limits; }

   signals:
    void limitsChanged(const tenpak::optimizer::Limits& limits);

   private:
    using Field = std::optional<double> optimizer::Limits::*;
    QDoubleSpinBox* addField(const QString& name, const QString& label, const QString& suffix, double most, double step, Field field);
    std::vector<std::pair<QDoubleSpinBox*, Field>> m_fields;
    optimizer::Limits m_limits;
    bool m_setting = false;
};

}  // namespace tenpak::ui
