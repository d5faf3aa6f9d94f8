// SPDX-License-Identifier: GPL-3.0-or-later
// Compressing the pair to a .tnpk (signed, read back, rebuilt and compared) and rebuilding a .tnpk to a folder. UI thread;
// the work runs as jobs.
#pragma once
#include <QObject>
#include <QPointer>
#include <memory>
#include <optional>

#include "app/job_manager.h"
#include "app/perplexity_change.h"
#include "app/signing_keys.h"
#include "app/view_states.h"
#include "app/write_artifact.h"

namespace tenpak::app {

class CompressController : public QObject {
    Q_OBJECT
   public:
    enum class Phase { kIdle, kCompressing, kMeasured, kStopped, kFailed };
    using Snapshot = std::shared_ptr<const delta::EstimateSnapshot>;
    CompressController(JobManager& jobs, Settings& settings, SigningKeys& keys, QObject* parent = nullptr);

    /// What the dialog shows for this pair; `estimate` may be null.
    CompressDialogState dialogState(const ModelDirectory& base, const ModelDirectory& fineTune, const Snapshot& estimate) const;
    void compress(const CompressRequest& request, const QString& passphrase, std::shared_ptr<const ModelDirectory> base,
                  std::shared_ptr<const ModelDirectory> fineTune, const Snapshot& estimate);
    /// Every file, checked by SHA-256, into a new folder.
    void rebuild(const QString& artifact, std::shared_ptr<const ModelDirectory> base, const QString& folder);
    /// The recovered adapter as a PEFT folder; null factors(): nothing happens.
    void exportAdapter(const QString& folder);
    void stop();
    void clear();        ///< another pair
    void acknowledge();  ///< the banner of a stopped or failed run was closed

    Phase phase() const { return m_phase; }
    bool rebuilding() const { return m_rebuildJob && m_rebuildJob->active(); }
    /// The estimate with measured figures filled in as far as they are known.
    const Snapshot& measured() const { return m_measured; }
    /// What is done beside compressing ("Looking for a merged adapter"); empty while compressing.
    QString step() const;
    double fraction() const;        ///< of the step, or of the bytes compressed
    double secondsLeft() const;     ///< negative: not known
    double bytesPerSecond() const;  ///< of raw bytes; 0: not known
    quint64 bytesWritten() const { return m_bytesWritten; }
    quint64 storedBytes() const { return m_storedBytes; }
    double estimateBefore() const { return m_estimateBefore; }
    const QString& artifactPath() const { return m_artifactPath; }
    /// What a lossy mode lost; `lossy` false where nothing was, in whatever mode.
    struct Loss {
        bool lossy = false;
        QString mode;        ///< sentence: "INT8", "Low rank, rank 16"
        double max_abs = 0, relative = 0, change = 0;
        QString perplexity;  ///< sentence; empty: not asked for
        std::shared_ptr<const std::map<std::string, double>> errors;
    };
    const Loss& loss() const { return m_loss; }
    /// Factors that were recovered from a lossless pair: an adapter that can be exported. Null: there are none.
    const std::shared_ptr<const delta::FactorMap>& factors() const { return m_factors; }
    int adapterRank() const;  ///< the largest
    int filesCompared() const { return m_filesCompared; }
    double compareSeconds() const { return m_compareSeconds; }
    const std::optional<Error>& error() const { return m_error; }

   signals:
    void changed();
    void compressed(const QString& artifact, double savedPercent, bool compared);
    void rebuilt(const QString& folder, quint64 files, quint64 bytes, double seconds);
    void rebuildFailed(const tenpak::Error& error);
    void adapterExported(const QString& folder, int tensors);
    void adapterFailed(const tenpak::Error& error);

   private:
    void takeProgress(const WriteProgress& progress);
    struct Outcome {
        WriteOutcome written;
        std::optional<PerplexityChange> perplexity;
    };
    void takeOutcome(const Outcome& outcome, const CompressRequest& request);

    JobManager& m_jobs;
    Settings& m_settings;
    SigningKeys& m_keys;
    Phase m_phase = Phase::kIdle;
    Snapshot m_measured;
    QPointer<Job> m_job, m_rebuildJob;
    quint64 m_generation = 0, m_rawTotal = 0, m_bytesWritten = 0, m_storedBytes = 0;
    double m_fraction = 0, m_estimateBefore = 0;
    QString m_artifactPath;
    int m_filesCompared = 0;
    double m_compareSeconds = 0;
    Loss m_loss;
    std::shared_ptr<const delta::FactorMap> m_factors;
    std::shared_ptr<const ModelDirectory> m_factorsOf;  ///< the fine-tune that they were recovered from
    std::string m_factorsBase;
    std::optional<Error> m_error;
};

}  // namespace tenpak::app
