// SPDX-License-Identifier: GPL-3.0-or-later
// Two small pictures of the inspector.
#pragma once
#include <QWidget>
#include <vector>

namespace tenpak::ui {

/// A figure and a bar of its share of fp16 (full bar = fp16; more than fp16 is drawn full, with the factor in words).
class ShareBar : public QWidget {
    Q_OBJECT
   public:
    ShareBar(const QString& name, const QString& value, double share, QWidget* parent = nullptr);

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    QString m_name, m_value;
    double m_share;
};

/// Relative output error of each layer.
class LayerErrorStrip : public QWidget {
    Q_OBJECT
   public:
    explicit LayerErrorStrip(std::vector<double> errors, QWidget* parent = nullptr);

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    std::vector<double> m_errors;
    double m_largest = 0;
};

}  // namespace tenpak::ui
