// SPDX-License-Identifier: GPL-3.0-or-later
// Which two models are compared: drops, choosers, swap; opens both and says why something is refused. UI thread; headers
// are read on a worker thread.
#pragma once
#include <QObject>
#include <QStringList>
#include <memory>

#include "app/dialog_service.h"
#include "app/job_manager.h"
#include "app/project.h"
#include "app/settings.h"
#include "app/view_states.h"
#include "core/tensor/model_source.h"

namespace tenpak::app {

/// What a dropped path is, by looking at it.
enum class DroppedKind { kModel, kArtifact, kProject, kOther };
DroppedKind classifyPath(const QString& path);
/// `base_model` of a model card's YAML front matter (README.md), lower case; several where it is a list.
QStringList baseModelsOfCard(const QString& modelPath);

/// "2.20 GB · bf16 · 22 layers": total of all files, the type of most bytes, decoder layers. Any thread.
QString factsOf(const ModelDirectory& model);

class PairController : public QObject {
    Q_OBJECT
   public:
    PairController(Project& project, JobManager& jobs, DialogService& dialogs, Settings& settings, QObject* parent = nullptr);

    const PairState& state() const { return m_state; }
    /// Null until opened.
    std::shared_ptr<const ModelDirectory> base() const { return m_models[0]; }
    std::shared_ptr<const ModelDirectory> fineTune() const { return m_models[1]; }

    void drop(const QStringList& paths, PairSlot slot);
    void choose(PairSlot slot);
    void swap();
    void remove(PairSlot slot);
    void reopen();  ///< both, as the project names them

   signals:
    void stateChanged();
    void modelsOpened();   ///< both are open: the pair can be estimated
    void modelsClosed();   ///< not a pair any more
    void refused(const tenpak::app::BannerState& banner);
    void accepted();       ///< an older refusal is over
    void artifactDropped(const QString& path);
    void projectDropped(const QString& path);

   private:
    struct Opened {
        std::shared_ptr<const ModelDirectory> model;
        QString facts, fingerprint;
    };
    void place(const QStringList& models, PairSlot slot);
    void open(int which);
    void updateSlots();

    Project& m_project;
    JobManager& m_jobs;
    DialogService& m_dialogs;
    Settings& m_settings;
    PairState m_state;
    std::shared_ptr<const ModelDirectory> m_models[2];
    QString m_openPath[2];
    quint64 m_generation[2] = {0, 0};
};

}  // namespace tenpak::app
