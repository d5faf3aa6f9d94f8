// SPDX-License-Identifier: GPL-3.0-or-later
// What the program remembers, typed, over an injected QSettings (an ini file): no global, no secrets (passphrases are asked
// for and never stored). A value out of its range reads as its default.
#pragma once
#include <QByteArray>
#include <QObject>
#include <QSettings>
#include <QStringList>

namespace tenpak::app {

enum class ThemeChoice { kSystem, kLight, kDark };

class Settings : public QObject {
    Q_OBJECT
   public:
    /// Does not own `store`, which must outlive this.
    explicit Settings(QSettings& store, QObject* parent = nullptr);

    ThemeChoice theme() const;
    void setTheme(ThemeChoice t);
    bool desktopFont() const;  ///< instead of the bundled Roboto
    void setDesktopFont(bool on);
    QString lastFolder() const;  ///< where choosers open
    void setLastFolder(const QString& folder);
    QString outputFolder() const;  ///< where artifacts go by default
    void setOutputFolder(const QString& folder);
    QString priceId() const;  ///< row of the hardware price table
    void setPriceId(const QString& id);
    QStringList keyFiles() const;  ///< private keys once used for signing, newest first, existing ones
    void addKeyFile(const QString& file);
    QStringList recentProjects() const;
    void setRecentProjects(const QStringList& files);
    QStringList artifacts() const;  ///< list of the Artifacts page, newest first
    void setArtifacts(const QStringList& files);
    QString lastProject() const;
    void setLastProject(const QString& file);

    /// Geometry, columns: written with a version, so that a newer layout starts afresh.
    QByteArray viewState(const QString& name) const;
    void setViewState(const QString& name, const QByteArray& state);
    void sync();

   signals:
    void themeChanged();

   private:
    QSettings& m_store;
};

}  // namespace tenpak::app
