// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/theme/translations.h"

#include <QCoreApplication>
#include <QLocale>
#include <QTranslator>

#include "ui/theme/theme.h"

namespace tenpak::ui {

void installTranslations(QCoreApplication& app) {
    Theme::instance();  // its resources hold the files
    const auto install = [&app](const QLocale& locale) {
        auto* translator = new QTranslator(&app);
        if (translator->load(locale, QStringLiteral("tenpak"), QStringLiteral("_"), QStringLiteral(":/tenpak/translations"))) return app.installTranslator(translator);
        delete translator;
        return false;
    };
    install(QLocale(QLocale::English));  // below the user's own
    if (QLocale().language() != QLocale::English) install(QLocale());
}

}  // namespace tenpak::ui
