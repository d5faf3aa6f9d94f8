// SPDX-License-Identifier: GPL-3.0-or-later
// What to write, how to sign, what to check afterwards; the same for a delta and for a sweep's winner.
#pragma once
#include <QDialog>

#include "app/view_states.h"

namespace tenpak::ui {

class CompressDialog : public QDialog {
    Q_OBJECT
   public:
    explicit CompressDialog(const app::CompressDialogState& state, QWidget* parent = nullptr);
    ~CompressDialog() override;
    app::CompressRequest request() const;
    /// After "Make a key…": the new key is added and chosen.
    void addKey(const app::SigningChoice& key);
    /// A problem with the request ("This folder cannot be written"): shown in place, the dialog stays.
    void showError(const QString& text);

   signals:
    void browseRequested(const QString& current);
    void makeKeyRequested(const QString& passphrase);
    void chooseKeyRequested();
    void copyRequested(const QString& text);

   public slots:
    void setPath(const QString& path);

   private:
    class Private;
    std::unique_ptr<Private> d;
};

}  // namespace tenpak::ui
