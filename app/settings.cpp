// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/settings.h"

#include <QDir>
#include <QFileInfo>

namespace tenpak::app {
namespace {

constexpr int kViewVersion = 1;
QString viewKey(const QString& name) { return QStringLiteral("view%1/%2").arg(kViewVersion).arg(name); }

}  // namespace

Settings::Settings(QSettings& store, QObject* parent) : QObject(parent), m_store(store) {}

ThemeChoice Settings::theme() const {
    const QString s = m_store.value(QStringLiteral("appearance/theme")).toString();
    return s == QStringLiteral("light") ? ThemeChoice::kLight : s == QStringLiteral("dark") ? ThemeChoice::kDark : ThemeChoice::kSystem;
}
void Settings::setTheme(ThemeChoice t) {
    const char* names[] = {"system", "light", "dark"};
    m_store.setValue(QStringLiteral("appearance/theme"), QLatin1String(names[static_cast<int>(t)]));
    emit themeChanged();
}
bool Settings::desktopFont() const { return m_store.value(QStringLiteral("appearance/desktopFont"), false).toBool(); }
void Settings::setDesktopFont(bool on) { m_store.setValue(QStringLiteral("appearance/desktopFont"), on); }

QString Settings::lastFolder() const {
    const QString s = m_store.value(QStringLiteral("folders/last")).toString();
    return QFileInfo(s).isDir() ? s : QDir::homePath();
}
void Settings::setLastFolder(const QString& folder) { m_store.setValue(QStringLiteral("folders/last"), folder); }
QString Settings::outputFolder() const {
    const QString s = m_store.value(QStringLiteral("folders/output")).toString();
    return QFileInfo(s).isDir() ? s : QDir::homePath();
}
void Settings::setOutputFolder(const QString& folder) { m_store.setValue(QStringLiteral("folders/output"), folder); }

QString Settings::priceId() const { return m_store.value(QStringLiteral("sweep/price")).toString(); }
void Settings::setPriceId(const QString& id) { m_store.setValue(QStringLiteral("sweep/price"), id); }

QStringList Settings::keyFiles() const {
    QStringList out;
    for (const QString& f : m_store.value(QStringLiteral("signing/keyFiles")).toStringList())
        if (QFileInfo(f).isFile()) out.append(f);
    return out;
}
void Settings::addKeyFile(const QString& file) {
    QStringList files = keyFiles();
    files.removeAll(file);
    files.prepend(file);
    m_store.setValue(QStringLiteral("signing/keyFiles"), files.mid(0, 9));
}

QStringList Settings::recentProjects() const { return m_store.value(QStringLiteral("recent/projects")).toStringList(); }
void Settings::setRecentProjects(const QStringList& files) { m_store.setValue(QStringLiteral("recent/projects"), files); }
QStringList Settings::artifacts() const { return m_store.value(QStringLiteral("recent/artifacts")).toStringList(); }
void Settings::setArtifacts(const QStringList& files) { m_store.setValue(QStringLiteral("recent/artifacts"), files); }
QString Settings::lastProject() const { return m_store.value(QStringLiteral("recent/last")).toString(); }
void Settings::setLastProject(const QString& file) { m_store.setValue(QStringLiteral("recent/last"), file); }

QByteArray Settings::viewState(const QString& name) const { return m_store.value(viewKey(name)).toByteArray(); }
void Settings::setViewState(const QString& name, const QByteArray& state) { m_store.setValue(viewKey(name), state); }
void Settings::sync() { m_store.sync(); }

}  // namespace tenpak::app
