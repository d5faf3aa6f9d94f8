// SPDX-License-Identifier: GPL-3.0-or-later
// Artifacts page: the list, and for the current one four questions answered in words, with evidence.
#pragma once
#include <QWidget>

#include "app/view_states.h"

class QAbstractItemModel;

namespace tenpak::ui {

class ArtifactsPage : public QWidget {
    Q_OBJECT
   public:
    explicit ArtifactsPage(QWidget* parent = nullptr);
    ~ArtifactsPage() override;
    /// app::FilesModel; columns and roles of app/item_roles.h. Not owned.
    void setFilesModel(QAbstractItemModel* model);
    void setState(const app::ArtifactViewState& state);
    void triggerPrimary();  ///< Ctrl+Return: unpack

   signals:
    void openRequested();
    void currentChanged(int row);
    void verifyRequested();
    void trustRequested();
    void rebuildRequested();     ///< rebuild and compare
    void chooseBaseRequested();
    void unpackRequested();
    void stopRequested();
    void filesDropped(const QStringList& paths);
    void copyRequested(const QString& text);
    void bannerActionTriggered(const QString& id);
    void bannerClosed();

   protected:
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dropEvent(QDropEvent* event) override;

   private:
    class Private;
    std::unique_ptr<Private> d;
};

}  // namespace tenpak::ui
