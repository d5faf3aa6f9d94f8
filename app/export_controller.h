// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep's winner as a signed .tnpk: quantize, write it in a layout that serving engines load, pack it, sign it, read it back. UI
// thread; the work is one job.
#pragma once
#include <QObject>
#include <QPointer>

#include "app/job_manager.h"
#include "app/signing_keys.h"
#include "app/view_states.h"

namespace tenpak::app {

class ExportController : public QObject {
    Q_OBJECT
   public:
    ExportController(JobManager& jobs, Settings& settings, SigningKeys& keys, QObject* parent = nullptr);
    /// `storedBytes`: what the sweep measured for the candidate's weights; 0: not known.
    CompressDialogState dialogState(const QString& candidate, const QString& modelPath, quint64 storedBytes) const;
    void exportCandidate(const QString& candidate, const QString& modelPath, const CompressRequest& request, const QString& passphrase);
    bool running() const { return m_job && m_job->active(); }
    Job* job() const { return m_job; }

   signals:
    void changed();
    void exported(const QString& artifact, const QString& candidate);
    void failed(const tenpak::Error& error);

   private:
    JobManager& m_jobs;
    Settings& m_settings;
    SigningKeys& m_keys;
    QPointer<Job> m_job;
};

}  // namespace tenpak::app
