// SPDX-License-Identifier: GPL-3.0-or-later
// Delta page: stored size (live estimate, compressing, measured), where it changed, tensors.
#pragma once
#include <QWidget>

#include "app/view_states.h"

class QAbstractItemModel;

namespace tenpak::ui {

class DeltaPage : public QWidget {
    Q_OBJECT
   public:
    explicit DeltaPage(QWidget* parent = nullptr);
    ~DeltaPage() override;
    /// app::TensorModel; columns and roles of app/item_roles.h. Not owned. The page filters and sorts through a proxy.
    void setTensorModel(QAbstractItemModel* model);
    void setState(const app::DeltaViewState& state);
    void triggerPrimary();  ///< Ctrl+Return: compress, stop or show the artifact, as the button says
    void focusFilter();     ///< Ctrl+F

   signals:
    void compressRequested();
    void rebuildRequested();
    void exportAdapterRequested();
    void stopRequested();
    void showArtifactRequested(const QString& path);
    void chooseRequested(tenpak::app::PairSlot slot);
    void filesDropped(const QStringList& paths, tenpak::app::PairSlot slot);
    void copyRequested(const QString& text);
    void currentTensorChanged(const QString& name);
    void bannerActionTriggered(const QString& id);
    void bannerClosed();

   private:
    class Private;
    std::unique_ptr<Private> d;
};

}  // namespace tenpak::ui
