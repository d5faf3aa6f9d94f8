// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/theme/theme.h"

#include <QApplication>
#include <QFile>
#include <QFontDatabase>
#include <QPainter>
#include <QPalette>
#include <QPixmapCache>
#include <QSvgRenderer>

// Q_INIT_RESOURCE must stand outside of namespaces.
static void initResources() { Q_INIT_RESOURCE(tenpak_studio); }

namespace tenpak::ui {
namespace {

QPalette paletteOf(const Tokens& t) {
    QPalette p;
    p.setColor(QPalette::Window, t.window);
    p.setColor(QPalette::WindowText, t.text);
    p.setColor(QPalette::Base, t.surface);
    p.setColor(QPalette::AlternateBase, t.sunken);
    p.setColor(QPalette::Text, t.text);
    p.setColor(QPalette::PlaceholderText, t.text2);
    p.setColor(QPalette::Button, t.surface);
    p.setColor(QPalette::ButtonText, t.text);
    p.setColor(QPalette::Highlight, t.accentTint);
    p.setColor(QPalette::HighlightedText, t.text);
    p.setColor(QPalette::ToolTipBase, t.card);
    p.setColor(QPalette::ToolTipText, t.text);
    p.setColor(QPalette::Link, t.accent);
    p.setColor(QPalette::LinkVisited, t.accent);
    p.setColor(QPalette::Light, t.surface);
    p.setColor(QPalette::Midlight, t.border);
    p.setColor(QPalette::Mid, t.border);
    p.setColor(QPalette::Dark, t.borderStrong);
    p.setColor(QPalette::Shadow, t.dark ? QColor(Qt::black) : t.borderStrong);
    for (auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText, QPalette::HighlightedText})
        p.setColor(QPalette::Disabled, role, t.disabled);
    return p;
}

QString loadRoboto() {
    initResources();
    QString family;
    for (const char* weight : {"Regular", "Medium", "Bold"}) {
        const int id = QFontDatabase::addApplicationFont(QStringLiteral(":/tenpak/fonts/Roboto-%1.ttf").arg(QLatin1String(weight)));
        const QStringList families = QFontDatabase::applicationFontFamilies(id);
        if (family.isEmpty() && !families.isEmpty()) family = families.first();
    }
    return family;
}

}  // namespace

Theme& Theme::instance() {
    static Theme t;
    return t;
}

Theme::Theme() : m_tokens(&lightTokens()), m_family(loadRoboto()) {}

void Theme::setDark(bool dark) {
    m_tokens = dark ? &darkTokens() : &lightTokens();
    apply();
}

void Theme::setUseDesktopFont(bool use) {
    m_useDesktopFont = use;
    apply();
}

void Theme::apply() {
    QApplication::setPalette(paletteOf(*m_tokens));
    QApplication::setFont(font(Type::kBody));
    QPixmapCache::clear();
    emit changed();
}

QFont Theme::font(Type type) const {
    if (type == Type::kCode) {
        QFont f = QFontDatabase::systemFont(QFontDatabase::FixedFont);
        f.setPointSizeF(8.5);
        return f;
    }
    QFont f = m_useDesktopFont || m_family.isEmpty() ? QFontDatabase::systemFont(QFontDatabase::GeneralFont) : QFont(m_family);
    f.setWeight(type == Type::kCaption || type == Type::kBody ? QFont::Normal : QFont::Medium);
    switch (type) {  // points, so that the desktop's text scale applies
        case Type::kCaption: f.setPointSizeF(8.5); break;
        case Type::kTitle: f.setPointSizeF(11.25); break;
        case Type::kHeadline: f.setPointSizeF(15); break;
        case Type::kDisplay: f.setPointSizeF(24); break;
        default: f.setPointSizeF(9.75); break;
    }
    return f;
}

bool Theme::hasIcon(const QString& name) { return QFile::exists(QStringLiteral(":/tenpak/icons/%1.svg").arg(name)); }

QPixmap Theme::pixmap(const QString& name, int size, const QColor& color, qreal dpr) const {
    const QColor tint = color.isValid() ? color : m_tokens->text2;
    const QString key = QStringLiteral("tenpak/%1/%2/%3/%4").arg(name).arg(size).arg(tint.name()).arg(dpr);
    QPixmap out;
    if (QPixmapCache::find(key, &out)) return out;
    QFile file(QStringLiteral(":/tenpak/icons/%1.svg").arg(name));
    if (!file.open(QIODevice::ReadOnly)) return {};
    const QByteArray svg = file.readAll().replace("#000000", tint.name().toLatin1());
    out = QPixmap((QSizeF(size, size) * dpr).toSize());
    out.fill(Qt::transparent);
    out.setDevicePixelRatio(dpr);
    QPainter painter(&out);
    QSvgRenderer(svg).render(&painter, QRectF(0, 0, size, size));
    painter.end();
    QPixmapCache::insert(key, out);
    return out;
}

QIcon Theme::icon(const QString& name, const QColor& color) const {
    QIcon icon;
    for (int size : {16, 20, 24})
        for (qreal dpr : {1.0, 2.0}) {
            icon.addPixmap(pixmap(name, size, color, dpr));
            icon.addPixmap(pixmap(name, size, m_tokens->disabled, dpr), QIcon::Disabled);
        }
    return icon;
}

}  // namespace tenpak::ui
