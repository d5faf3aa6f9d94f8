// SPDX-License-Identifier: GPL-3.0-or-later
// The seam to everything modal: file choosers and questions. Asynchronous (no nested event loop in our code): the answer
// arrives by a callback, once, on the UI thread; an empty path or the cancelling button means "no". The real one shows
// dialogs (ui/qt_dialog_service.h), the scripted one answers from a list, for tests.
#pragma once
#include <QList>
#include <QObject>
#include <QString>
#include <QStringList>
#include <deque>
#include <functional>

namespace tenpak::app {

enum class ChooserKind { kOpenModel, kOpenQuantized, kOpenArtifact, kOpenProject, kOpenText, kOpenKey, kSaveArtifact, kSaveProject, kSaveChart, kChooseFolder, kOpenFolder };

struct ChooserRequest {
    ChooserKind kind = ChooserKind::kOpenModel;
    QString title;
    QString startFolder;
    QString suggestedName;  ///< for saving
};

struct Question {
    QString id;       ///< "quit-with-jobs": stable, for tests
    QString title;    ///< the event
    QString body;     ///< one or two sentences
    QStringList buttons;      ///< verbs; the first is the one that acts
    int cancelButton = 1;     ///< index that Esc means
    bool destructive = false;
};

class DialogService : public QObject {
    Q_OBJECT
   public:
    using QObject::QObject;
    /// A file, or (kOpenModel, kOpenQuantized, kOpenFolder) a folder; kChooseFolder need not exist yet. Empty when cancelled.
    virtual void choosePath(const ChooserRequest& request, std::function<void(QString)> done) = 0;
    /// Index into Question::buttons.
    virtual void ask(const Question& question, std::function<void(int)> done) = 0;
    /// One line of text; `secret` hides it. Null (not empty) when cancelled.
    virtual void askText(const QString& title, const QString& label, bool secret, std::function<void(QString)> done) = 0;
};

/// Answers from queues in the order asked; an empty queue cancels. Answers are delivered through the event loop.
class ScriptedDialogService : public DialogService {
    Q_OBJECT
   public:
    using DialogService::DialogService;
    void choosePath(const ChooserRequest& request, std::function<void(QString)> done) override;
    void ask(const Question& question, std::function<void(int)> done) override;
    void askText(const QString& title, const QString& label, bool secret, std::function<void(QString)> done) override;

    std::deque<QString> nextPaths, nextTexts;
    std::deque<int> nextAnswers;
    QList<ChooserRequest> chooserLog;
    QList<Question> questionLog;
};

}  // namespace tenpak::app
