// SPDX-License-Identifier: GPL-3.0-or-later
// The jobs of this session: running ones with bar and time, ended ones until cleared, failed ones with their error.
#pragma once
#include <QHash>

#include "app/view_states.h"
#include "ui/widgets/basics.h"

class QProgressBar;

namespace tenpak::ui {

class JobRowWidget : public QWidget {
    Q_OBJECT
   public:
    explicit JobRowWidget(const QString& id, QWidget* parent = nullptr);
    void setRow(const app::JobRow& row);

   signals:
    void pauseRequested(const QString& id);
    void resumeRequested(const QString& id);
    void stopRequested(const QString& id);
    void retryRequested(const QString& id);
    void showRequested(const QString& id);
    void copyRequested(const QString& text);
    void detailsToggled();

   private:
    app::JobRow m_row;
    IconLabel* m_icon;
    NameLabel* m_title;
    NameLabel* m_phase;
    QProgressBar* m_bar;
    Label* m_time;
    QPushButton *m_pause, *m_stop, *m_retry, *m_show, *m_details;
    QWidget* m_more;
    Label *m_error, *m_hint, *m_log;
};

class JobsDrawer : public Card {
    Q_OBJECT
   public:
    explicit JobsDrawer(QWidget* parent = nullptr);
    void setJobs(const QList<app::JobRow>& jobs);

   signals:
    void closeRequested();
    void clearRequested();
    void pauseRequested(const QString& id);
    void resumeRequested(const QString& id);
    void stopRequested(const QString& id);
    void retryRequested(const QString& id);
    void showRequested(const QString& id);
    void copyRequested(const QString& text);

   private:
    void fitHeight();  ///< as high as its rows, within reason
    QWidget* m_inner;
    QHash<QString, JobRowWidget*> m_rows;
    QVBoxLayout* m_list;
    Label* m_none;
    QPushButton* m_clear;
};

}  // namespace tenpak::ui
