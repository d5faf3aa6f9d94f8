// SPDX-License-Identifier: GPL-3.0-or-later
// What this machine is (asked of a worker process, never of CUDA in this one) and what an hour on a machine costs.
#pragma once
#include <QObject>

#include "app/job_manager.h"
#include "app/settings.h"
#include "app/view_states.h"

namespace tenpak::app {

class HardwareController : public QObject {
    Q_OBJECT
   public:
    HardwareController(JobManager& jobs, Settings& settings, QString workerProgram, QObject* parent = nullptr);
    void probe();
    const HardwareState& state() const { return m_state; }
    /// USD per hour of the chosen row; NaN where there is none.
    double pricePerHour() const;
    void choosePrice(const QString& id);
    /// Writes the user's own table (optimizer::user_price_file): source "entered here", today's date.
    void editPrice(const QString& id, double usdPerHour);

   signals:
    void changed();
    void priceChanged();
    void failed(const tenpak::Error& error);

   private:
    void loadPrices();
    JobManager& m_jobs;
    Settings& m_settings;
    QString m_worker;
    HardwareState m_state;
};

}  // namespace tenpak::app
