// SPDX-License-Identifier: GPL-3.0-or-later
// The one place that turns numbers into text (ui-design section 8). Sizes are decimal (1 MB = 10^6 B), three significant
// digits, a real minus sign, a thin no-break space before %, a no-break space before a unit, locale separators.
// A number that is not known (NaN) becomes an en dash. All functions are pure; QLocale() decides the separators.
#pragma once
#include <QDateTime>
#include <QString>
#include <QStringView>
#include <cstdint>
#include <vector>

namespace tenpak::app::format {

QString fixed(double value, int decimals);
/// `digits` significant digits, also left of the point: 771 -> "770" for 2.
QString significant(double value, int digits = 3);
/// As significant(), without trailing zeros: for limits, which people typed.
QString trimmed(double value, int digits = 3);
QString count(std::uint64_t value);  ///< "1,049"

QString bytes(double bytes, int digits = 3);                 ///< "757 MB"
/// "≈ 770 MB": no digit that half the 95 % range does not support; plain once the range is nothing.
QString estimatedBytes(double bytes, double low, double high);
QString byteRange(double low, double high);                  ///< "737 MB – 798 MB"
QString bytesPerSecond(double rate);                         ///< "0.83 GB/s"

QString percent(double percent, int decimals = 1);           ///< "65.5 %"; takes percent, not a fraction
/// Whole percent for progress; never "100 %" before it is, never "0 %" after it began.
QString progressPercent(double fraction);
QString signedPercent(double percent, int decimals = 2);     ///< "+1.31 %", "−0.40 %"
QString plusMinus(double value, int decimals = 2);           ///< "± 0.15"
/// "+1.31 % ± 0.15", the larger half of the interval; without the interval where that is not known.
QString percentWithInterval(double percent, double low, double high);

QString milliseconds(double ms);                             ///< "41.5 ms"
QString tokensPerSecond(double tps);                         ///< "2,390 tok/s"
QString costPerMillion(double usd);                          ///< "$0.061"
QString costSentence(double usd);                            ///< "$0.061 per 1M tokens"
QString pricePerHour(double usd);                            ///< "$0.53 per hour"
QString bitsPerWeight(double bits);                          ///< "7.2"
QString smallError(double error);                            ///< "3.1e−4"
QString shape(const std::vector<std::uint64_t>& shape);      ///< "5632 × 2048"; "scalar" for none

/// "about 3 min left", "about 2 h left", "8 s left"; never seconds above 60; empty for NaN.
QString timeLeft(double seconds);
QString duration(double seconds);                            ///< "8.4 s", "3 min", "2 h 5 min"
QString clockTime(const QDateTime& t);                       ///< "14:02"
/// "today, 14:02", "yesterday, 09:15", "12 Nov 2026".
QString when(const QDateTime& t, const QDateTime& now = QDateTime::currentDateTime());
QString date(const QDateTime& t);                            ///< "12 Nov 2026"
/// "9f86 d081 84c7 d659": the first 16 digits of a fingerprint, in groups of four.
QString shortFingerprint(QStringView hex);

}  // namespace tenpak::app::format
