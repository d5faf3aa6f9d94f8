// SPDX-License-Identifier: GPL-3.0-or-later
// English plurals for the program's own words: "%n file(s)" becomes "1 file" or "6 files". Qt takes plural forms from a
// translation only, and English is not one. Installed first, so that a real translation goes before it.
#pragma once
#include <QTranslator>

namespace tenpak::app {

class EnglishPlurals : public QTranslator {
    Q_OBJECT
   public:
    using QTranslator::QTranslator;
    QString translate(const char*, const char* source, const char*, int n) const override {
        QString s = QString::fromUtf8(source);
        if (n < 0 || !s.contains(QStringLiteral("(s)"))) return {};
        return s.replace(QStringLiteral("(s)"), n == 1 ? QString() : QStringLiteral("s"));
    }
    bool isEmpty() const override { return false; }
};

}  // namespace tenpak::app
