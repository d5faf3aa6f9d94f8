// SPDX-License-Identifier: GPL-3.0-or-later
// Which of the models under some folders is the base of the fine-tune: folders, search, candidates with their reasons.
#pragma once
#include <QDialog>
#include <memory>

#include "app/view_states.h"

namespace tenpak::ui {

class FindBaseDialog : public QDialog {
    Q_OBJECT
   public:
    explicit FindBaseDialog(QWidget* parent = nullptr);
    ~FindBaseDialog() override;
    void setState(const app::FindBaseState& state);

   signals:
    void addFolderRequested();
    void removeFolderRequested(const QString& folder);
    void searchRequested();
    void stopRequested();
    void baseChosen(const QString& path);  ///< the dialog closes

   private:
    class Private;
    std::unique_ptr<Private> d;
};

}  // namespace tenpak::ui
