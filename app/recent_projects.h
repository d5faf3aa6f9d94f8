// SPDX-License-Identifier: GPL-3.0-or-later
// Projects used lately, newest first; files that are gone or unreadable vanish from the list. UI thread.
#pragma once
#include <QObject>

#include "app/settings.h"
#include "app/view_states.h"

namespace tenpak::app {

class RecentProjects : public QObject {
    Q_OBJECT
   public:
    static constexpr int kMost = 20;
    explicit RecentProjects(Settings& settings, QObject* parent = nullptr);
    void add(const QString& projectFile);
    /// Reads each project file (they are small) for its pair and last result; prunes.
    QList<RecentProject> list();

   signals:
    void changed();

   private:
    Settings& m_settings;
};

}  // namespace tenpak::app
