// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/theme/tokens.h"

namespace tenpak::ui {
namespace {

Tokens makeLight() {
    Tokens t;
    t.dark = false;
    t.window = "#F4F6F8", t.surface = "#FFFFFF", t.sunken = "#EDF0F4";
    t.border = "#D5DBE3", t.borderStrong = "#7E8998";
    t.grid = "#E4E8EE", t.track = "#E9EDF2";
    t.text = "#18212D", t.text2 = "#536072", t.disabled = "#98A2B0";
    t.accent = "#2457D6", t.onAccent = "#FFFFFF", t.accentTint = "#E3EBFD";
    t.ok = "#0A7350", t.okTint = "#DDF3EA";
    t.warn = "#8F5300", t.warnTint = "#FFF0D6";
    t.err = "#B3261E", t.errTint = "#FCE6E4";
    t.cost = {"#09A198", "#0884AA", "#325CBD", "#5F2A99", "#5F034B"};
    t.bits = {"#EEF4FB", "#C6DFF8", "#9BCAF2", "#6EAAE2", "#418AD1", "#2F6DBC", "#224FA7", "#1F3C8A", "#192B6F"};
    t.identical = "#C9CFD8", t.difference = "#2A6FD6", t.sparse = "#0B8F6B";
    t.lowRank = "#C66BA8", t.standalone = "#E8A317", t.raw = "#6E1F12", t.lossy = "#2C1470";
    t.card = "#FFFFFF";
    return t;
}

Tokens makeDark() {
    Tokens t;
    t.dark = true;
    t.window = "#14171C", t.surface = "#1B1F26", t.sunken = "#101318";
    t.border = "#333B47", t.borderStrong = "#768295";
    t.grid = "#2A313B", t.track = "#2B323D";
    t.text = "#E7EBF1", t.text2 = "#A4AFBF", t.disabled = "#626D7C";
    t.accent = "#8AB0FF", t.onAccent = "#0B1A3A", t.accentTint = "#22345E";
    t.ok = "#5BD0A0", t.okTint = "#12352A";
    t.warn = "#F2B84B", t.warnTint = "#3A2C10";
    t.err = "#FF8F85", t.errTint = "#431D1B";
    t.cost = {"#70F1DA", "#3DD4F1", "#5DAAFE", "#9772E6", "#BB2D8C"};
    t.bits = {"#1C2433", "#25385D", "#2D4D8B", "#3764A8", "#407BC5", "#5098D8", "#65B4E9", "#89D1F1", "#B4ECFA"};
    t.identical = "#4E5867", t.difference = "#4F90F5", t.sparse = "#26B892";
    t.lowRank = "#C86FB0", t.standalone = "#FFC857", t.raw = "#C94F3D", t.lossy = "#8B2BFF";
    t.card = "#242A33";
    return t;
}

}  // namespace

const Tokens& lightTokens() {
    static const Tokens t = makeLight();
    return t;
}
const Tokens& darkTokens() {
    static const Tokens t = makeDark();
    return t;
}

QColor methodColor(const Tokens& t, const QString& method) {
    if (method == QLatin1String("identical")) return t.identical;
    if (method == QLatin1String("difference")) return t.difference;
    if (method == QLatin1String("sparse")) return t.sparse;
    if (method == QLatin1String("lowrank")) return t.lowRank;
    if (method == QLatin1String("standalone") || method == QLatin1String("zstd")) return t.standalone;
    if (method == QLatin1String("patch")) return t.difference;
    if (method == QLatin1String("int8") || method == QLatin1String("int4") || method == QLatin1String("bit1")) return t.lossy;
    return t.raw;
}

QString methodSign(const QString& method) {
    if (method == QLatin1String("identical")) return QStringLiteral("=");
    if (method == QLatin1String("difference")) return QStringLiteral("\u0394");
    if (method == QLatin1String("sparse")) return QStringLiteral(":");
    if (method == QLatin1String("lowrank")) return QStringLiteral("r");
    if (method == QLatin1String("standalone")) return QStringLiteral("o");
    if (method == QLatin1String("zstd")) return QStringLiteral("z");
    if (method == QLatin1String("patch")) return QStringLiteral("p");
    if (method == QLatin1String("int8")) return QStringLiteral("8");
    if (method == QLatin1String("int4")) return QStringLiteral("4");
    if (method == QLatin1String("bit1")) return QStringLiteral("1");
    return QStringLiteral("x");
}

}  // namespace tenpak::ui
