// SPDX-License-Identifier: GPL-3.0-or-later
// Folders of models stored as deltas of their bases: the plan with what it saves, a choice of rows, progress, undo.
#pragma once
#include <QDialog>
#include <memory>

#include "app/view_states.h"

namespace tenpak::ui {

class ArchiveDialog : public QDialog {
    Q_OBJECT
   public:
    explicit ArchiveDialog(QWidget* parent = nullptr);
    ~ArchiveDialog() override;
    void setState(const app::ArchiveState& state);
    void done(int result) override;  ///< closing stops nothing: work goes on in the jobs drawer

   signals:
    void addFolderRequested();
    void removeFolderRequested(const QString& folder);
    void planRequested();
    void archiveRequested();  ///< of the checked rows; whoever gets it asks before originals are removed
    void undoRequested();
    void stopRequested();
    void rowChecked(const QString& path, bool checked);
    void replaceToggled(bool on);

   private:
    class Private;
    std::unique_ptr<Private> d;
};

}  // namespace tenpak::ui
