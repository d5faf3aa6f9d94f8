// SPDX-License-Identifier: GPL-3.0-or-later
// The list of artifacts and the four questions of the current one: intact, signed by whom, lossless, needs a base. What was
// checked holds for one state of the file: any change of it sets the answers back to "not checked". UI thread.
#pragma once
#include <QFileSystemWatcher>
#include <QHash>
#include <QObject>
#include <QPointer>
#include <memory>

#include "app/dialog_service.h"
#include "app/job_manager.h"
#include "app/settings.h"
#include "app/signing_keys.h"
#include "app/view_states.h"
#include "core/artifact/artifact.h"

namespace tenpak::app {

/// The list's pill: the worst of the answers.
Trust trustOf(const ArtifactDetails& details);

class ArtifactController : public QObject {
    Q_OBJECT
   public:
    ArtifactController(JobManager& jobs, Settings& settings, SigningKeys& keys, DialogService& dialogs, QObject* parent = nullptr);

    ArtifactViewState state() const;
    /// Puts it first, makes it current and opens it.
    void add(const QString& path);
    /// It was rebuilt here and every file had the original's SHA-256 (compressing ends with that).
    void setRebuilt(const QString& path, int files, double seconds);
    void setCurrent(int row);
    QString currentPath() const;
    const ArtifactDetails* current() const;
    /// The base that is at hand for deltas (the pair's); may be null.
    void setPairBase(const QString& path);
    QString baseFor(const QString& artifact) const;

    void open();             ///< chooser
    void verify();           ///< in place, no dialog
    void stop();
    void trust();            ///< asks for the public key and a name
    void rebuildAndCompare();
    void chooseBase();
    void unpack();           ///< asks for a folder
    void unpackTo(const QString& folder);
    void refresh();          ///< looks whether files changed or vanished

   signals:
    void changed();
    void verified(const QString& path, bool verified);
    void unpacked(const QString& folder, quint64 files, quint64 bytes, double seconds);
    void failed(const tenpak::Error& error, const QString& path);

   private:
    struct Entry {
        ArtifactDetails details;
        FileIdentity identity;
        bool opened = false;
        QString chosenBase;
        QPointer<Job> job;
    };
    Entry* entry(const QString& path);
    void load(const QString& path);
    void askName(const QString& path, const std::string& pem);
    void forget(Entry& e);   ///< what was checked
    void touch(const QString& path);
    void saveList();

    JobManager& m_jobs;
    Settings& m_settings;
    SigningKeys& m_keys;
    DialogService& m_dialogs;
    QStringList m_paths;
    QHash<QString, std::shared_ptr<Entry>> m_entries;
    QFileSystemWatcher m_watcher;
    QString m_current, m_pairBase;
    BannerState m_banner;
};

}  // namespace tenpak::app
