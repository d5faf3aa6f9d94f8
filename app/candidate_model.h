// SPDX-License-Identifier: GPL-3.0-or-later
// The trials of a sweep as a table, as judged under the present limits. Rows stand in the order of the trials and never
// move by themselves; new trials append. UI thread.
#pragma once
#include <QAbstractTableModel>
#include <memory>

#include "app/item_roles.h"
#include "core/optimizer/judge.h"

namespace tenpak::app {

/// The sign of a trial, the same in chart, table and legend.
Mark markOf(const optimizer::Trial& trial, const optimizer::Judged& judged);
/// "Cheapest that passes", "Fails latency", "Perplexity 43 %", …
QString verdictText(const optimizer::Trial& trial, const optimizer::Judged& judged, bool running, bool started);
/// "Perplexity" for "perplexity": phases of a trial in words.
QString phaseText(const std::string& phase);
/// "Perplexity rise", "Latency p99", …: a limit's name in words.
QString limitText(optimizer::Limit limit);

class CandidateModel : public QAbstractTableModel {
    Q_OBJECT
   public:
    using QAbstractTableModel::QAbstractTableModel;
    using Trials = std::shared_ptr<const std::vector<optimizer::Trial>>;
    using Judgement = std::shared_ptr<const optimizer::Judgement>;
    /// `judgement` is of these trials (same size), `limits` those it was made with. `running`: the sweep is; `started`:
    /// it was at some time, so that what is not measured waits.
    void setResults(Trials trials, Judgement judgement, const optimizer::Limits& limits, bool running, bool started);
    int rowOf(const QString& id) const;  ///< -1 where there is none

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;
    QVariant data(const QModelIndex& index, int role) const override;

   private:
    QString display(const optimizer::Trial& t, const optimizer::Judged& j, int column) const;
    QVariant sortKey(const optimizer::Trial& t, const optimizer::Judged& j, int column) const;
    QString limitToolTip(const optimizer::Judged& j, int column) const;
    double costStep(double cost) const;

    Trials m_trials;
    Judgement m_judgement;
    optimizer::Limits m_limits;
    double m_costLow = 0, m_costHigh = 0;
    bool m_running = false, m_started = false;
};

}  // namespace tenpak::app
