// SPDX-License-Identifier: GPL-3.0-or-later
// app::DialogService with real dialogs. Window-modal and asynchronous: no nested event loop.
#pragma once
#include <QPointer>
#include <QWidget>

#include "app/dialog_service.h"

namespace tenpak::ui {

class QtDialogService : public app::DialogService {
    Q_OBJECT
   public:
    using app::DialogService::DialogService;
    void setWindow(QWidget* window) { m_window = window; }
    void choosePath(const app::ChooserRequest& request, std::function<void(QString)> done) override;
    void ask(const app::Question& question, std::function<void(int)> done) override;
    void askText(const QString& title, const QString& label, bool secret, std::function<void(QString)> done) override;

   private:
    QPointer<QWidget> m_window;
};

}  // namespace tenpak::ui
