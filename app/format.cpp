// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/format.h"

#include <QCoreApplication>
#include <QLocale>
#include <algorithm>
#include <array>
#include <cmath>

namespace tenpak::app::format {
namespace {

const QString kNoBreak = QStringLiteral("\u00A0");
const QString kThin = QStringLiteral("\u202F");
const QString kDash = QStringLiteral("\u2013");
const QString kMinus = QStringLiteral("\u2212");

QString text(const char* source) { return QCoreApplication::translate("format", source); }

QString withMinus(const QString& magnitude, bool negative) { return negative ? kMinus + magnitude : magnitude; }

/// Decimals that show `digits` significant digits of `value`; negative left of the point.
int decimalsFor(double value, int digits) {
    if (value == 0) return digits - 1;
    const int d = digits - 1 - static_cast<int>(std::floor(std::log10(std::abs(value))));
    // 9.996 has one decimal fewer once it is rounded to 10.0.
    const double step = std::pow(10.0, d);
    const double rounded = std::round(std::abs(value) * step) / step;
    return digits - 1 - static_cast<int>(std::floor(std::log10(rounded) + 1e-12));
}

}  // namespace

QString fixed(double value, int decimals) {
    if (!std::isfinite(value)) return kDash;
    const QString s = QLocale().toString(std::abs(value), 'f', std::max(0, decimals));
    // "−0.00" would claim a sign that the digits do not show.
    const bool negative = value < 0 && std::abs(value) >= 0.5 * std::pow(10.0, -decimals);
    return withMinus(s, negative);
}

QString significant(double value, int digits) {
    if (!std::isfinite(value)) return kDash;
    if (value == 0) return QStringLiteral("0");
    const int d = decimalsFor(value, digits);
    if (d >= 0) return fixed(value, d);
    const double step = std::pow(10.0, -d);
    return fixed(std::round(value / step) * step, 0);
}

QString trimmed(double value, int digits) {
    QString s = significant(value, digits);
    const QString point = QLocale().decimalPoint();
    if (s.contains(point)) {
        while (s.endsWith(u'0')) s.chop(1);
        if (s.endsWith(point)) s.chop(point.size());
    }
    return s;
}

QString count(std::uint64_t value) { return QLocale().toString(static_cast<qulonglong>(value)); }

QString bytes(double value, int digits) {
    if (!std::isfinite(value)) return kDash;
    static const std::array<const char*, 6> units{"B", "kB", "MB", "GB", "TB", "PB"};
    std::size_t unit = 0;
    double v = std::abs(value);
    const double limit = digits >= 3 ? 999.5 : 995;
    while (v >= limit && unit + 1 < units.size()) {
        v /= 1000;
        ++unit;
    }
    const QString number = unit == 0 ? fixed(v, 0) : significant(v, digits);
    return withMinus(number, value < 0) + kNoBreak + QString::fromLatin1(units[unit]);
}

QString estimatedBytes(double value, double low, double high) {
    const double half = (high - low) / 2;
    if (!(half > 0)) return bytes(value);
    const int digits = std::clamp(static_cast<int>(std::floor(std::log10(std::abs(value) / half))) + 1, 2, 3);
    return QStringLiteral("\u2248") + kNoBreak + bytes(value, digits);
}

QString byteRange(double low, double high) {
    // A narrow range still shows that it is one.
    int digits = 3;
    while (digits < 5 && low != high && bytes(low, digits) == bytes(high, digits)) ++digits;
    return bytes(low, digits) + QStringLiteral(" \u2013 ") + bytes(high, digits);
}

QString bytesPerSecond(double rate) {
    if (!std::isfinite(rate)) return kDash;
    // One unit while a job runs, or the digits would jump: GB/s from 100 MB/s on.
    if (rate >= 1e8) return fixed(rate / 1e9, 2) + kNoBreak + QStringLiteral("GB/s");
    return bytes(rate) + QStringLiteral("/s");
}

QString percent(double value, int decimals) {
    if (!std::isfinite(value)) return kDash;
    return fixed(value, decimals) + kThin + u'%';
}

QString progressPercent(double fraction) {
    if (!std::isfinite(fraction)) return kDash;
    int p = static_cast<int>(std::lround(std::clamp(fraction, 0.0, 1.0) * 100));
    if (p == 100 && fraction < 1) p = 99;
    if (p == 0 && fraction > 0) p = 1;
    return QString::number(p) + kThin + u'%';
}

QString signedPercent(double value, int decimals) {
    if (!std::isfinite(value)) return kDash;
    const QString s = percent(value, decimals);
    return s.startsWith(kMinus) ? s : u'+' + s;
}

QString plusMinus(double value, int decimals) {
    if (!std::isfinite(value)) return kDash;
    return QStringLiteral("\u00B1") + kNoBreak + fixed(std::abs(value), decimals);
}

QString percentWithInterval(double value, double low, double high) {
    const QString s = signedPercent(value);
    if (!std::isfinite(low) || !std::isfinite(high) || low == high) return s;
    return s + u' ' + plusMinus(std::max(high - value, value - low));
}

QString milliseconds(double ms) { return std::isfinite(ms) ? significant(ms) + kNoBreak + QStringLiteral("ms") : kDash; }
QString tokensPerSecond(double tps) {
    return std::isfinite(tps) ? significant(tps) + kNoBreak + QStringLiteral("tok/s") : kDash;
}
QString costPerMillion(double usd) {
    if (!std::isfinite(usd)) return kDash;
    if (usd >= 0.1) return u'$' + fixed(usd, usd >= 100 ? 0 : 2);
    return u'$' + significant(usd, 2);
}
QString costSentence(double usd) { return text("%1 per 1M tokens").arg(costPerMillion(usd)); }
QString pricePerHour(double usd) {
    return std::isfinite(usd) ? text("%1 per hour").arg(u'$' + fixed(usd, usd < 0.1 ? 3 : 2)) : kDash;
}
QString bitsPerWeight(double bits) { return std::isfinite(bits) ? (bits == 0 ? QStringLiteral("0") : fixed(bits, bits < 0.95 ? 2 : 1)) : kDash; }

QString smallError(double error) {
    if (!std::isfinite(error)) return kDash;
    if (error == 0) return QStringLiteral("0");
    const int exponent = static_cast<int>(std::floor(std::log10(std::abs(error))));
    if (exponent >= -2 && exponent < 4) return significant(error, 2);
    return fixed(error / std::pow(10.0, exponent), 1) + u'e' + (exponent < 0 ? kMinus : QString()) + QString::number(std::abs(exponent));
}

QString shape(const std::vector<std::uint64_t>& dims) {
    if (dims.empty()) return text("scalar");
    QString s;
    for (const auto d : dims) {
        if (!s.isEmpty()) s += QStringLiteral("\u2009\u00D7\u2009");
        s += QString::number(d);
    }
    return s;
}

QString timeLeft(double seconds) {
    if (!std::isfinite(seconds) || seconds < 0) return {};
    if (seconds <= 60) return text("%1 s left").arg(QString::number(std::max(1, static_cast<int>(std::lround(seconds)))));
    const double minutes = seconds / 60;
    if (minutes < 90) return text("about %1 min left").arg(QString::number(static_cast<int>(std::lround(minutes))));
    return text("about %1 h left").arg(QString::number(static_cast<int>(std::lround(minutes / 60))));
}

QString duration(double seconds) {
    if (!std::isfinite(seconds) || seconds < 0) return kDash;
    if (seconds < 0.1) return milliseconds(seconds * 1000);  // "0.0 s" would say nothing
    if (seconds < 10) return text("%1 s").arg(fixed(seconds, 1));
    if (seconds <= 60) return text("%1 s").arg(fixed(seconds, 0));
    const auto minutes = static_cast<long>(std::lround(seconds / 60));
    if (minutes < 60) return text("%1 min").arg(minutes);
    return minutes % 60 == 0 ? text("%1 h").arg(minutes / 60) : text("%1 h %2 min").arg(minutes / 60).arg(minutes % 60);
}

QString clockTime(const QDateTime& t) { return t.isValid() ? QLocale().toString(t.toLocalTime().time(), QStringLiteral("HH:mm")) : kDash; }
QString date(const QDateTime& t) {
    return t.isValid() ? QLocale().toString(t.toLocalTime().date(), QStringLiteral("d MMM yyyy")) : kDash;
}
QString when(const QDateTime& t, const QDateTime& now) {
    if (!t.isValid()) return kDash;
    const auto days = t.toLocalTime().date().daysTo(now.toLocalTime().date());
    if (days == 0) return text("today, %1").arg(clockTime(t));
    if (days == 1) return text("yesterday, %1").arg(clockTime(t));
    return date(t);
}

QString shortFingerprint(QStringView hex) {
    QString s;
    for (qsizetype i = 0; i < hex.size() && i < 16; ++i) {
        if (i > 0 && i % 4 == 0) s += kNoBreak;
        s += hex[i];
    }
    return s;
}

}  // namespace tenpak::app::format
