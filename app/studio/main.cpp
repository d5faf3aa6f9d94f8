// SPDX-License-Identifier: GPL-3.0-or-later
// tenpak-studio [--sample] [BASE FINETUNE | PROJECT | X.tnpk]
#include <QApplication>
#include <QCommandLineParser>
#include <QDir>
#include <QScreen>
#include <QSettings>
#include <QTextStream>
#include <csignal>

#include "app/studio/studio.h"
#include "ui/shell/main_window.h"
#include "ui/theme/studio_style.h"
#include "ui/theme/translations.h"

int main(int argc, char** argv) {
    using namespace tenpak;
    std::signal(SIGPIPE, SIG_IGN);  // a worker that dies while it is written to is an error value
    QApplication app(argc, argv);
    QApplication::setApplicationName(QStringLiteral("tenpak"));
    QApplication::setApplicationDisplayName(QStringLiteral("TenPak Studio"));
    QApplication::setApplicationVersion(QStringLiteral(TENPAK_VERSION));
    QApplication::setDesktopFileName(QStringLiteral("tenpak-studio"));

    QCommandLineParser parser;
    parser.setApplicationDescription(QCoreApplication::translate("main", "Deltas, quantization and signed artifacts of language models"));
    parser.addHelpOption();
    parser.addVersionOption();
    const QCommandLineOption sample(QStringLiteral("sample"), QCoreApplication::translate("main", "Open the bundled sample models"));
    parser.addOption(sample);
    parser.addPositionalArgument(QStringLiteral("what"), QCoreApplication::translate("main", "A base and a fine-tune, a project, or a .tnpk"), QStringLiteral("[BASE FINETUNE | PROJECT | X.tnpk]"));
    parser.process(app);

    ui::installTranslations(app);
    QApplication::setStyle(new ui::StudioStyle);
    const QString folder = qEnvironmentVariable("XDG_CONFIG_HOME", QDir::home().filePath(QStringLiteral(".config")));
    QSettings store(folder + QStringLiteral("/tenpak/studio.ini"), QSettings::IniFormat);
    studio::StudioOptions options;
    options.store = &store;
    options.programFolder = QCoreApplication::applicationDirPath();
    studio::Studio studio(options);
    if (const Status s = studio.openArguments(parser.positionalArguments()); !s.ok()) {
        QTextStream(stderr) << "tenpak-studio: " << QString::fromStdString(s.error().text()) << '\n';
        return exit_code(s.error().code);
    }
    if (parser.isSet(sample) && !studio.openSample()) {
        QTextStream(stderr) << "tenpak-studio: the sample models are not installed beside the program\n";
        return 1;
    }
    studio.offerRecovery();
    // Made for 1440 x 900; on a smaller screen as large as that.
    if (const QScreen* screen = studio.window().screen()) {
        const QSize room = screen->availableSize() - QSize(8, 40);  // the frame
        studio.window().resize(studio.window().size().boundedTo(room));
    }
    studio.window().show();
    return QApplication::exec();
}
