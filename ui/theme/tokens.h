// SPDX-License-Identifier: GPL-3.0-or-later
// Design tokens: the only place where a colour or a distance is written down. The table is tested for contrast
// (tests/ui/tokens_test.cpp). Lightness of `cost` falls from cheap to dear in both themes.
#pragma once
#include <QColor>
#include <QString>
#include <array>

namespace tenpak::ui {

struct Tokens {
    bool dark;
    QColor window, surface, sunken;           ///< back to front: page, card, well
    QColor border, borderStrong;              ///< hair line; field edge
    QColor grid, track;                       ///< chart grid; empty part of a bar, neutral pill
    QColor text, text2, disabled;
    QColor accent, onAccent, accentTint;      ///< primary action and focus; selection ground
    QColor ok, okTint, warn, warnTint, err, errTint;  ///< always together with an icon and a word
    std::array<QColor, 5> cost;               ///< cheap to dear
    std::array<QColor, 9> bits;               ///< 0 to 16 bit per weight
    QColor identical, difference, sparse, lowRank, standalone, raw, lossy;  ///< delta methods; the lossy ones share one, their signs differ
    QColor card;                              ///< ground of what floats: hover card, tool tip, menu
};

const Tokens& lightTokens();
const Tokens& darkTokens();

/// Colour of a delta method by its stable name; unknown names get that of "raw".
QColor methodColor(const Tokens& tokens, const QString& method);
/// The sign that goes with the colour in cell, legend and table: = Δ : r o x z p 8 4 1.
QString methodSign(const QString& method);

namespace space {
inline constexpr int kXs = 4, kS = 8, kM = 12, kL = 16, kXl = 24, kXxl = 32;
}
namespace radius {
inline constexpr int kControl = 6, kCard = 8;
}
namespace size {
inline constexpr int kControl = 32, kRow = 30, kHeader = 30, kPill = 22, kPairBar = 64, kStatusBar = 30, kRail = 84;
inline constexpr int kSetUp = 266, kInspector = 276, kMethods = 268, kHitTarget = 28;
}

}  // namespace tenpak::ui
