// SPDX-License-Identifier: GPL-3.0-or-later
// Sweep page: limits and set-up, banner, chart and table linked by one selection, inspector.
#pragma once
#include <QWidget>

#include "app/view_states.h"

class QAbstractItemModel;

namespace tenpak::ui {

class ParetoPlot;

class SweepPage : public QWidget {
    Q_OBJECT
   public:
    explicit SweepPage(QWidget* parent = nullptr);
    ~SweepPage() override;
    /// app::CandidateModel; columns and roles of app/item_roles.h. Not owned.
    void setCandidateModel(QAbstractItemModel* model);
    /// Cheap when `trials` is the pointer of the last call: only limits, front and winner are drawn anew.
    void setState(const app::SweepViewState& state);
    /// Chart, table and inspector follow; the page also does so by itself when the user selects.
    void setSelection(const QString& current, const QStringList& compared);
    QString current() const;
    QStringList compared() const;
    ParetoPlot* plot() const;
    void triggerPrimary();     ///< Ctrl+Return: start, stop, or export the winner
    void toggleInspector();    ///< Ctrl+I
    void focusFilter();        ///< Ctrl+F: the table

   signals:
    /// Any limit field or line changed: judge again and call setState(). Nothing is measured.
    void limitsChanged(const tenpak::optimizer::Limits& limits);
    void startRequested(const QStringList& candidates);
    void pauseRequested();
    void resumeRequested();
    void stopRequested();
    void exportRequested(const QString& candidate);
    void retryRequested(const QString& candidate);
    void modelChosen(const QString& id);
    void textChosen(const QString& id);
    void priceChosen(const QString& id);
    void choicesChanged(const QStringList& candidates);
    void importRequested();
    void importRemoved(const QString& candidate);
    void currentChanged(const QString& candidate);
    void comparedChanged(const QStringList& candidates);
    void copyCommandRequested(const QString& candidate);
    void copyRequested(const QString& text);
    void exportChartRequested();
    void chooseRequested(tenpak::app::PairSlot slot);
    void filesDropped(const QStringList& paths, tenpak::app::PairSlot slot);
    void bannerActionTriggered(const QString& id);
    void bannerClosed();

   protected:
    void resizeEvent(QResizeEvent* event) override;

   private:
    class Private;
    std::unique_ptr<Private> d;
};

}  // namespace tenpak::ui
