// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/dialogs/settings_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QFormLayout>
#include <QLineEdit>

#include "app/format.h"
#include "ui/widgets/basics.h"

namespace tenpak::ui {

SettingsDialog::SettingsDialog(app::Settings& settings, const std::vector<signing::TrustedKey>& keys, QWidget* parent) : QDialog(parent) {
    setObjectName(QStringLiteral("settingsDialog"));
    setWindowTitle(tr("Settings"));
    setMinimumWidth(520);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(space::kXl, space::kL, space::kXl, space::kL);
    column->setSpacing(space::kM);

    column->addWidget(new Label(tr("Appearance"), Type::kTitle));
    auto* form = new QFormLayout;
    auto* theme = new QComboBox;
    theme->setObjectName(QStringLiteral("settingsTheme"));
    theme->setAccessibleName(tr("Theme"));
    theme->addItems({tr("As the desktop"), tr("Light"), tr("Dark")});
    theme->setCurrentIndex(static_cast<int>(settings.theme()));
    connect(theme, &QComboBox::activated, this, [this, &settings](int i) {
        settings.setTheme(static_cast<app::ThemeChoice>(i));
        emit appearanceChanged();
    });
    auto* font = new QCheckBox(tr("Use the desktop's font"));
    font->setObjectName(QStringLiteral("settingsFont"));
    font->setChecked(settings.desktopFont());
    connect(font, &QCheckBox::toggled, this, [this, &settings](bool on) {
        settings.setDesktopFont(on);
        emit appearanceChanged();
    });
    form->addRow(new Label(tr("Theme")), theme);
    form->addRow(QString(), font);
    column->addLayout(form);
    column->addWidget(new Line);

    column->addWidget(new Label(tr("Trusted keys"), Type::kTitle));
    if (keys.empty()) {
        auto* none = new Label(tr("None yet. Trust a key where an artifact is signed by it, or make one of your own when signing."), Type::kBody, Ink::kMuted);
        none->setWordWrap(true);
        column->addWidget(none);
    }
    for (const signing::TrustedKey& key : keys) {
        const QString fingerprint = QString::fromStdString(key.fingerprint), name = QString::fromStdString(key.name);
        auto* line = new QWidget;
        auto* row = new QHBoxLayout(line);
        row->setContentsMargins(0, 0, 0, 0);
        row->addWidget(new Label(name, Type::kBodyStrong));
        row->addWidget(new Label(app::format::shortFingerprint(fingerprint), Type::kCode, Ink::kMuted), 1);
        QPushButton* remove = makeButton(QStringLiteral("settingsRemoveKey"), tr("Remove"), QStringLiteral("trash"));
        remove->setAccessibleName(tr("Stop trusting %1").arg(name));
        connect(remove, &QPushButton::clicked, this, [this, fingerprint, line] {
            emit removeKeyRequested(fingerprint);
            line->hide();
        });
        row->addWidget(remove);
        column->addWidget(line);
    }
    column->addStretch();
    auto* buttons = makeRow();
    QPushButton* close = makeButton(QStringLiteral("settingsClose"), tr("Close"), {}, ButtonKind::kPrimary);
    connect(close, &QPushButton::clicked, this, &QDialog::accept);
    buttons->addStretch();
    buttons->addWidget(close);
    column->addLayout(buttons);
}

}  // namespace tenpak::ui
