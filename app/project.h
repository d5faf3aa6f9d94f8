// SPDX-License-Identifier: GPL-3.0-or-later
// The document: which pair, which limits and candidates, notes, and a memory of the last results. Results themselves are
// facts and live in the job store and in artifacts. Edits go through the undo stack; results do not. UI thread.
#pragma once
#include <QDateTime>
#include <QObject>
#include <QStringList>
#include <QTimer>
#include <QUndoStack>

#include "core/base/error.h"
#include "core/optimizer/judge.h"

namespace tenpak::app {

/// Everything that is saved.
struct ProjectData {
    QString base, fineTune;       ///< absolute paths; empty: not chosen
    bool guessed = false;         ///< which is which was guessed
    optimizer::Limits limits;
    QStringList candidates;       ///< names; empty: the default list, and all imports
    QStringList imports;          ///< absolute paths of quantized models that are measured, too, as "import:NAME"
    QString priceId;
    QString sweepModel, sweepText;  ///< paths; empty: the fine-tune, its own text
    QString notes;
    // memory of results
    QString sweepJob;             ///< id in the job store
    QString artifact;             ///< last one written
    double savedPercent = -1;     ///< negative: not compressed yet
    QString winner;
    QDateTime used;
    bool operator==(const ProjectData&) const = default;
};

/// The limits that a new project starts with: 2 % perplexity, 100 ms p99.
optimizer::Limits defaultLimits();

class Project : public QObject {
    Q_OBJECT
   public:
    static constexpr int kSchema = 1;
    explicit Project(QObject* parent = nullptr);
    ~Project() override;

    const ProjectData& data() const { return m_data; }
    const QString& path() const { return m_path; }
    QString name() const;             ///< the file's, else "FINETUNE vs BASE", else "Untitled"
    QUndoStack* undoStack() { return &m_undo; }

    // Undoable edits. Repeated edits of the same field within two seconds are one step.
    void setPair(const QString& base, const QString& fineTune, bool guessed);
    void swapPair();
    void setLimits(const optimizer::Limits& limits);
    void setCandidates(const QStringList& names);
    void setImports(const QStringList& paths, const QStringList& candidates);
    void setPriceId(const QString& id);
    void setSweepModel(const QString& path);
    void setSweepText(const QString& path);
    void setNotes(const QString& notes);
    // Facts, not undoable.
    void recordSweep(const QString& jobId, const QString& winner);
    void recordArtifact(const QString& path, double savedPercent);

    /// Starts anew with this file name; written by the first autosave.
    void reset(const QString& path);
    /// From now on this file. Facts become those that it holds, or none: they belong to one pair.
    void moveTo(const QString& path);
    Status load(const QString& path);
    Status save();
    Status saveAs(const QString& path);
    bool dirty() const { return m_dirty; }
    const QDateTime& savedAt() const { return m_savedAt; }
    /// Every `seconds` while there is something to save; 0 stops it.
    void setAutosave(int seconds);

    static QByteArray toJson(const ProjectData& data);
    static Result<ProjectData> fromJson(const QByteArray& json, const QString& where);

   signals:
    void changed();       ///< any field
    void pairChanged();
    void sweepSetupChanged();
    void limitsChanged();
    void saved();
    void saveFailed(const tenpak::Error& error);

   private:
    class Edit;
    void push(const QString& text, int mergeId, const std::function<void(ProjectData&)>& edit);
    void apply(const ProjectData& data);
    void markDirty();

    ProjectData m_data;
    QString m_path;
    QUndoStack m_undo;
    QTimer m_autosave;
    QDateTime m_savedAt;
    bool m_dirty = false;
};

}  // namespace tenpak::app
