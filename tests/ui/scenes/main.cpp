// SPDX-License-Identifier: GPL-3.0-or-later
// tenpak_ui_scenes [--out DIR] [--size 1440x900] [--only NAME]: draws every state of the window from fixtures, light and
// dark, into PNG files, and checks each picture's layout. Exit status 1 when a check fails. Twice as large with
// QT_SCALE_FACTOR=2 in the environment.
#include <QApplication>
#include <QCommandLineParser>
#include <QDir>
#include <QGraphicsItem>
#include <QGraphicsView>
#include <QTest>
#include <cstdio>

#include "app/action_registry.h"
#include "app/candidate_model.h"
#include "app/files_model.h"
#include "app/tensor_model.h"
#include "tests/ui/scenes/layout_check.h"
#include "tests/ui/scenes/scenes.h"
#include "ui/theme/studio_style.h"
#include "ui/theme/theme.h"
#include "ui/theme/translations.h"

using namespace tenpak;

namespace {

int g_problems = 0;

/// A cached item is painted in its own pixmap's coordinates: the text check needs the window's.
void disableItemCaches(QWidget* window) {
    for (auto* view : window->findChildren<QGraphicsView*>())
        if (view->scene() != nullptr)
            for (QGraphicsItem* item : view->scene()->items()) item->setCacheMode(QGraphicsItem::NoCache);
}

void shoot(QWidget* window, const scenes::Scene& scene, const QString& file) {
    disableItemCaches(window);
    QTest::qWait(20);
    QPixmap picture;
    std::vector<ui::PaintedText> painted;
    {
        ui::TextProbe probe;
        picture = window->grab();
        painted = std::move(probe.texts);
    }
    if (file.endsWith(QLatin1String(".png")) && !picture.save(file)) std::printf("cannot write %s\n", qPrintable(file));
    if (painted.empty() && scene.paints) {
        std::printf("%s: nothing was painted\n", qPrintable(scene.name));
        ++g_problems;
    }
    QStringList problems = layout_check::problems(window, painted, scene.check);
    problems.removeDuplicates();
    for (const QString& p : problems) std::printf("%s: %s\n", qPrintable(QFileInfo(file).completeBaseName()), qPrintable(p));
    g_problems += static_cast<int>(problems.size());
}

}  // namespace

int main(int argc, char** argv) {
    qputenv("QT_QPA_PLATFORM", "offscreen:configfile=" TENPAK_SOURCE_DIR "/tests/ui/offscreen.json");
    QApplication application(argc, argv);
    QCommandLineParser parser;
    parser.addOptions({{QStringLiteral("out"), QStringLiteral("folder for the pictures"), QStringLiteral("dir")},
                       {QStringLiteral("size"), QStringLiteral("only this window size"), QStringLiteral("WxH")},
                       {QStringLiteral("only"), QStringLiteral("only scenes whose name has this"), QStringLiteral("name")},
                       {QStringLiteral("theme"), QStringLiteral("only light or dark"), QStringLiteral("theme")}});
    parser.process(application);
    const QString dir = parser.value(QStringLiteral("out"));
    if (!dir.isEmpty()) QDir().mkpath(dir);
    QLocale::setDefault(QLocale(QLocale::English, QLocale::UnitedStates));
    ui::installTranslations(application);
    QApplication::setStyle(new ui::StudioStyle);

    const QString suffix = qApp->devicePixelRatio() > 1 ? QStringLiteral("@2x") : QString();
    QList<QSize> sizes = {{1440, 900}, {1280, 720}};
    if (!suffix.isEmpty()) sizes = {{1440, 900}};
    if (parser.isSet(QStringLiteral("size"))) {
        const QStringList wh = parser.value(QStringLiteral("size")).split(QLatin1Char('x'));
        sizes = {{wh.value(0).toInt(), wh.value(1).toInt()}};
    }
    int count = 0;
    for (const scenes::Scene& scene : scenes::all()) {
        if (!scene.name.contains(parser.value(QStringLiteral("only")))) continue;
        for (bool dark : {false, true}) {
            if (parser.isSet(QStringLiteral("theme")) && (parser.value(QStringLiteral("theme")) == QLatin1String("dark")) != dark) continue;
            ui::Theme::instance().setDark(dark);
            for (const QSize& size : scene.ownSize ? QList<QSize>{{}} : sizes) {
                scenes::Stage stage;
                QWidget* shown = scene.make(stage, size);
                shown->show();
                QTest::qWait(30);
                if (scene.after) scene.after(stage);
                QTest::qWait(20);
                const QString picture = QStringLiteral("%1%2-%3%4").arg(scene.name, scene.ownSize ? QString() : QStringLiteral("-%1").arg(size.width()), dark ? QStringLiteral("dark") : QStringLiteral("light"), suffix);
                shoot(shown, scene, dir.isEmpty() ? picture : dir + QLatin1Char('/') + picture + QStringLiteral(".png"));
                ++count;
            }
        }
    }
    std::printf("%d pictures, %d problems\n", count, g_problems);
    return count == 0 || g_problems > 0 ? 1 : 0;
}
