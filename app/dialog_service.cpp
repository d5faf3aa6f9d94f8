// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/dialog_service.h"

#include <QMetaObject>

namespace tenpak::app {
namespace {

template <class T>
T take(std::deque<T>& queue, T otherwise) {
    if (queue.empty()) return otherwise;
    T v = std::move(queue.front());
    queue.pop_front();
    return v;
}

}  // namespace

void ScriptedDialogService::choosePath(const ChooserRequest& request, std::function<void(QString)> done) {
    chooserLog.append(request);
    QMetaObject::invokeMethod(this, [done = std::move(done), path = take(nextPaths, QString())] { done(path); }, Qt::QueuedConnection);
}

void ScriptedDialogService::ask(const Question& question, std::function<void(int)> done) {
    questionLog.append(question);
    const int answer = take(nextAnswers, question.cancelButton);
    QMetaObject::invokeMethod(this, [done = std::move(done), answer] { done(answer); }, Qt::QueuedConnection);
}

void ScriptedDialogService::askText(const QString&, const QString&, bool, std::function<void(QString)> done) {
    QMetaObject::invokeMethod(this, [done = std::move(done), t = take(nextTexts, QString())] { done(t); }, Qt::QueuedConnection);
}

}  // namespace tenpak::app
