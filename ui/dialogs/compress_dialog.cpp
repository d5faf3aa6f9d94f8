// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/dialogs/compress_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QGridLayout>
#include <QLineEdit>
#include <QRegularExpression>
#include <QSpinBox>
#include <algorithm>

#include "ui/widgets/banner.h"
#include "ui/widgets/basics.h"
#include "ui/widgets/pill.h"
#include "ui/widgets/segmented.h"

namespace tenpak::ui {
namespace {

/// As a shell reads it back.
QString quoted(const QString& path) {
    static const QRegularExpression plain(QStringLiteral("^[A-Za-z0-9_./~+,:@%=-]+$"));
    if (plain.match(path).hasMatch()) return path;
    QString s = path;
    return QLatin1Char('\'') + s.replace(QLatin1Char('\''), QLatin1String("'\\''")) + QLatin1Char('\'');
}

QString modeOption(app::DeltaMode mode) {
    switch (mode) {
        case app::DeltaMode::kLossless: return {};
        case app::DeltaMode::kInt8: return QStringLiteral(" --mode int8");
        case app::DeltaMode::kInt4: return QStringLiteral(" --mode int4");
        case app::DeltaMode::kBit1: return QStringLiteral(" --mode bit1");
        case app::DeltaMode::kLowRank: return QStringLiteral(" --mode lowrank --rank ");
    }
    return {};
}

}  // namespace

class CompressDialog::Private {
   public:
    app::CompressDialogState state;
    QList<app::SigningChoice> keys;
    Banner* banner = new Banner;
    QLineEdit* path = new QLineEdit;
    Segmented* form = new Segmented(QStringLiteral("compressForm"), CompressDialog::tr("Form"), {CompressDialog::tr("One file"), CompressDialog::tr("Folder")});
    Segmented* mode = new Segmented(QStringLiteral("compressMode"), CompressDialog::tr("Mode"),
                                    {CompressDialog::tr("Lossless"), QStringLiteral("INT8"), QStringLiteral("INT4"), CompressDialog::tr("1 bit"), CompressDialog::tr("Low rank")});
    QWidget* rankRow = new QWidget;
    QSpinBox* rank = new QSpinBox;
    Pill* lossy = new Pill;
    Label* modeHint = new Label({}, Type::kCaption, Ink::kMuted);
    QWidget* textRow = new QWidget;
    QComboBox* text = new QComboBox;
    QComboBox* layout = new QComboBox;
    Label* engines = new Label({}, Type::kCaption, Ink::kMuted);
    Label* expected = new Label({}, Type::kBody, Ink::kMuted);
    QComboBox* sign = new QComboBox;
    Label* explanation = new Label({}, Type::kCaption, Ink::kMuted);
    QPushButton* makeKey = makeButton(QStringLiteral("compressMakeKey"), CompressDialog::tr("Make a key\u2026"), QStringLiteral("key"));
    QPushButton* chooseKey = makeButton(QStringLiteral("compressChooseKey"), CompressDialog::tr("Choose a key file\u2026"), QStringLiteral("folder"));
    QWidget* newKey = new QWidget;
    QLineEdit* passphrase = new QLineEdit;
    QCheckBox* readBack = new QCheckBox(CompressDialog::tr("Read it back and check every chunk and the signature"));
    QCheckBox* rebuild = new QCheckBox(CompressDialog::tr("Rebuild it and compare every file with the original"));
    Label* command = new Label({}, Type::kCode, Ink::kMuted);
    QPushButton* accept = nullptr;

    const app::SigningChoice& chosen() const { return keys.at(std::clamp(sign->currentIndex(), 0, static_cast<int>(keys.size()) - 1)); }

    app::DeltaMode chosenMode() const { return state.hasModes ? static_cast<app::DeltaMode>(mode->current()) : app::DeltaMode::kLossless; }
    QString chosenText() const { return chosenMode() != app::DeltaMode::kLossless ? text->currentData().toString() : QString(); }

    static QString hintOf(app::DeltaMode mode) {
        switch (mode) {
            case app::DeltaMode::kLossless: return CompressDialog::tr("Every file comes back bit by bit.");
            case app::DeltaMode::kInt8: return CompressDialog::tr("Changes in 8 or 4 bits, tensor by tensor whichever costs least at an error of about 4 % of the change.");
            case app::DeltaMode::kInt4: return CompressDialog::tr("Changes in 4 or 8 bits, tensor by tensor whichever costs least at an error of about 15 % of the change.");
            case app::DeltaMode::kBit1: return CompressDialog::tr("Of each change its sign, with one scale a row. Embeddings, norms and head stay lossless.");
            case app::DeltaMode::kLowRank: return CompressDialog::tr("Of each change the part of this rank. Embeddings, norms and head stay lossless.");
        }
        return {};
    }
    void refreshMode() {
        if (!state.hasModes) {
            expected->setText(state.expected);
            refresh();
            return;
        }
        const app::DeltaMode m = chosenMode();
        const bool lossless = m == app::DeltaMode::kLossless;
        lossy->set(app::Tone::kWarn, QStringLiteral("lossy"), lossless ? QString() : CompressDialog::tr("Lossy"));
        lossy->setVisible(!lossless);
        modeHint->setText(lossless ? hintOf(m) : hintOf(m) + QLatin1Char(' ') + CompressDialog::tr("The error is measured and shown afterwards."));
        rankRow->setVisible(m == app::DeltaMode::kLowRank);
        textRow->setVisible(!lossless && text->count() > 1);
        rebuild->setText(lossless ? CompressDialog::tr("Rebuild it and compare every file with the original") : CompressDialog::tr("Rebuild it and compare every file with what was recorded"));
        // What was estimated is the lossless size: of a lossy mode it is only what to compare with.
        expected->setText(lossless ? state.expected : CompressDialog::tr("Lossless it would take: %1").arg(state.expected));
        refresh();
    }
    /// "Loads in vLLM (Marlin), SGLang (Marlin).", then a line a condition, then "Not in llama.cpp."
    QString enginesText() const {
        const int i = layout->currentIndex();
        if (i < 0 || i >= state.layouts.size()) return {};
        QStringList yes, conditions, no;
        QList<QStringList> under;  // engines of each condition: often the same for several
        for (const app::EngineRow& e : state.layouts.at(i).rows) {
            const QString kernel = e.kernel.isEmpty() ? QString() : CompressDialog::tr(" (%1)").arg(e.kernel);
            if (e.loads == app::EngineRow::Loads::kYes) {
                yes.append(e.engine + kernel);
            } else if (e.loads == app::EngineRow::Loads::kNo) {
                no.append(e.engine);
            } else {
                const QString condition = kernel + QStringLiteral(": ") + e.why;
                if (!conditions.contains(condition)) {
                    conditions.append(condition);
                    under.append(QStringList());
                }
                under[conditions.indexOf(condition)].append(e.engine);
            }
        }
        const QString comma = QStringLiteral(", ");
        QStringList lines;
        if (!yes.isEmpty()) lines.append(CompressDialog::tr("Loads in %1.").arg(yes.join(comma)));
        for (int c = 0; c < conditions.size(); ++c) lines.append(CompressDialog::tr("With a condition in %1.").arg(under.at(c).join(comma) + conditions.at(c)));
        if (!no.isEmpty()) lines.append(CompressDialog::tr("Not in %1.").arg(no.join(comma)));
        return lines.join(QLatin1Char('\n'));
    }
    QString chosenLayout() const { return layout->count() > 0 ? layout->currentText() : QString(); }
    QString commandText() const {
        const QString file = path->text().trimmed();
        QString line = state.commandTemplate;
        if (line.contains(QStringLiteral("%2"))) line = line.arg(quoted(file), chosenLayout().isEmpty() ? QString() : QStringLiteral(" --layout ") + chosenLayout());
        else line = line.arg(quoted(file));
        line += modeOption(chosenMode());
        if (chosenMode() == app::DeltaMode::kLowRank) line += QString::number(rank->value());
        if (!chosenText().isEmpty()) line += QStringLiteral(" --text ") + quoted(chosenText());
        line += (form->current() == 1 ? QStringLiteral(" --form dir") : QString());
        const auto& key = chosen();
        if (key.kind == app::SigningChoice::Kind::kKeyFile) line += QStringLiteral("\ntenpak artifact sign %1 --key %2").arg(quoted(file), quoted(key.file));
        if (key.kind == app::SigningChoice::Kind::kHmac) line += QStringLiteral("\ntenpak artifact sign %1 --hmac-key %2").arg(quoted(file), quoted(key.file));
        return line;
    }
    void refresh() {
        engines->setText(enginesText());
        // A wrapped label in a grid does not get its height by itself.
        constexpr int kNarrowest = 460;
        if (engines->isVisibleTo(engines->window())) engines->setMinimumHeight(engines->heightForWidth(std::max(kNarrowest, engines->width())));
        explanation->setText(chosen().explanation);
        explanation->setVisible(!chosen().explanation.isEmpty());
        // A zero-width space after each slash lets long paths wrap; the Copy button gives the plain text.
        command->setText(commandText().replace(QLatin1Char('/'), QStringLiteral("/\u200B")));
        accept->setEnabled(!path->text().trimmed().isEmpty());
    }
    void fillKeys(int current) {
        sign->clear();
        for (const auto& k : keys) sign->addItem(k.text);
        sign->setCurrentIndex(current);
    }
};

CompressDialog::CompressDialog(const app::CompressDialogState& state, QWidget* parent) : QDialog(parent), d(std::make_unique<Private>()) {
    d->state = state;
    d->keys = state.keys;
    const auto isNone = [](const app::SigningChoice& k) { return k.kind == app::SigningChoice::Kind::kNone; };
    if (!std::any_of(d->keys.begin(), d->keys.end(), isNone)) d->keys.append({app::SigningChoice::Kind::kNone, {}, tr("Do not sign"), tr("Anyone can have made it; damage is found all the same.")});
    setObjectName(QStringLiteral("compressDialog"));
    setWindowTitle(state.heading);
    setMinimumWidth(640);
    d->path->setObjectName(QStringLiteral("compressPath"));
    d->path->setAccessibleName(tr("Save as"));
    d->path->setText(state.request.path);
    d->path->setTextMargins(7, 0, 7, 0);
    d->form->setCurrent(state.request.folder ? 1 : 0);
    d->rank->setObjectName(QStringLiteral("compressRank"));
    d->rank->setAccessibleName(tr("Rank"));
    d->rank->setRange(1, 1024);
    d->rank->setValue(state.request.rank);
    d->rank->setFixedWidth(96);
    d->lossy->setObjectName(QStringLiteral("compressLossy"));
    d->modeHint->setObjectName(QStringLiteral("compressModeHint"));
    d->modeHint->setWordWrap(true);
    d->text->setObjectName(QStringLiteral("compressText"));
    d->text->setAccessibleName(tr("Measure the perplexity on"));
    d->text->addItem(tr("Do not measure the perplexity"), QString());
    for (const app::Choice& c : state.texts) d->text->addItem(tr("Measure the perplexity change on %1").arg(c.text), c.id);
    if (const int at = d->text->findData(state.request.perplexityText); at > 0) d->text->setCurrentIndex(at);
    d->sign->setObjectName(QStringLiteral("compressSign"));
    d->sign->setAccessibleName(tr("Sign with"));
    d->explanation->setObjectName(QStringLiteral("compressExplanation"));
    d->explanation->setWordWrap(true);
    d->passphrase->setObjectName(QStringLiteral("compressPassphrase"));
    d->passphrase->setAccessibleName(tr("Passphrase of the new key"));
    d->passphrase->setEchoMode(QLineEdit::Password);
    d->passphrase->setPlaceholderText(tr("Passphrase (optional)"));
    d->passphrase->setTextMargins(7, 0, 7, 0);
    d->readBack->setObjectName(QStringLiteral("compressReadBack"));
    d->readBack->setChecked(true);
    d->readBack->setEnabled(false);
    d->readBack->setToolTip(tr("Always done: an artifact is put in place only after it was read back"));
    d->rebuild->setObjectName(QStringLiteral("compressRebuild"));
    d->rebuild->setChecked(state.request.rebuildAndCompare && state.canRebuild);
    d->rebuild->setVisible(state.canRebuild);
    d->command->setObjectName(QStringLiteral("compressCommand"));
    d->command->setWordWrap(true);

    auto* grid = new QGridLayout;
    grid->setHorizontalSpacing(space::kL);
    grid->setVerticalSpacing(10);
    grid->setColumnStretch(1, 1);
    int row = 0;
    const auto add = [&](const QString& name, QLayout* content) {
        auto* label = new Label(name, Type::kBody, Ink::kMuted);
        label->setContentsMargins(0, 7, 0, 0);
        grid->addWidget(label, row, 0, Qt::AlignTop);
        grid->addLayout(content, row++, 1);
    };
    auto* browse = makeButton(QStringLiteral("compressBrowse"), tr("Browse\u2026"), QStringLiteral("folder"));
    auto* where = makeRow();
    where->addWidget(d->path, 1);
    where->addWidget(browse);
    add(tr("Save as"), where);
    auto* formRow = makeRow();
    formRow->addWidget(d->form);
    formRow->addStretch();
    add(tr("Form"), formRow);

    d->layout->setObjectName(QStringLiteral("compressLayout"));
    d->layout->setAccessibleName(tr("Layout of the weights"));
    d->engines->setObjectName(QStringLiteral("compressEngines"));
    d->engines->setWordWrap(true);
    if (!state.layouts.isEmpty()) {
        for (const app::EngineVerdicts& l : state.layouts) d->layout->addItem(l.layout);
        if (const int at = d->layout->findText(state.request.layout); at > 0) d->layout->setCurrentIndex(at);
        auto* layoutColumn = makeColumn(6);
        layoutColumn->addWidget(d->layout);
        layoutColumn->addWidget(d->engines);
        add(tr("Layout"), layoutColumn);
        connect(d->layout, &QComboBox::currentIndexChanged, this, [this] { d->refresh(); });
    } else {
        for (QWidget* w : std::initializer_list<QWidget*>{d->layout, d->engines}) {
            w->setParent(this);
            w->hide();
        }
    }

    if (state.hasModes) {
        auto* modeRow = makeRow();
        modeRow->addWidget(d->mode);
        modeRow->addWidget(d->lossy);
        modeRow->addStretch();
        auto* rankRow = new QHBoxLayout(d->rankRow);
        rankRow->setContentsMargins(0, 0, 0, 0);
        rankRow->setSpacing(space::kS);
        rankRow->addWidget(new Label(tr("Rank")));
        rankRow->addWidget(d->rank);
        rankRow->addStretch();
        auto* textRow = new QHBoxLayout(d->textRow);
        textRow->setContentsMargins(0, 0, 0, 0);
        textRow->addWidget(d->text, 1);
        auto* modeColumn = makeColumn(6);
        modeColumn->addLayout(modeRow);
        modeColumn->addWidget(d->modeHint);
        modeColumn->addWidget(d->rankRow);
        modeColumn->addWidget(d->textRow);
        add(tr("Mode"), modeColumn);
        d->mode->setCurrent(static_cast<int>(state.request.mode));
    } else {
        for (QWidget* w : std::initializer_list<QWidget*>{d->mode, d->lossy, d->modeHint, d->rankRow, d->rank, d->textRow, d->text}) {
            w->setParent(this);
            w->hide();
        }
    }

    auto* makeIt = makeButton(QStringLiteral("compressMakeKeyNow"), tr("Make the key"), {});
    auto* newRow = new QHBoxLayout(d->newKey);
    newRow->setContentsMargins(0, 0, 0, 0);
    newRow->addWidget(d->passphrase, 1);
    newRow->addWidget(makeIt);
    d->newKey->hide();
    auto* keyButtons = makeRow();
    keyButtons->addWidget(d->makeKey);
    keyButtons->addWidget(d->chooseKey);
    keyButtons->addStretch();
    auto* signColumn = makeColumn(6);
    signColumn->addWidget(d->sign);
    signColumn->addWidget(d->explanation);
    signColumn->addLayout(keyButtons);
    signColumn->addWidget(d->newKey);
    add(tr("Sign with"), signColumn);
    auto* checks = makeColumn(4);
    checks->setContentsMargins(0, 5, 0, 0);
    checks->addWidget(d->readBack);
    checks->addWidget(d->rebuild);
    add(tr("Afterwards"), checks);

    auto* copy = makeIconButton(QStringLiteral("compressCopy"), QStringLiteral("copy"), tr("Copy the command"));
    auto* commandRow = makeRow(10);
    commandRow->addWidget(new IconLabel(QStringLiteral("terminal"), 18, Ink::kMuted), 0, Qt::AlignTop);
    commandRow->addWidget(d->command, 1);
    commandRow->addWidget(copy, 0, Qt::AlignTop);
    auto* cancel = makeButton(QStringLiteral("compressCancel"), tr("Cancel"));
    d->accept = makeButton(QStringLiteral("compressAccept"), state.primary.isEmpty() ? tr("Compress") : state.primary, {}, ButtonKind::kPrimary);
    d->accept->setDefault(true);
    auto* buttons = makeRow();
    buttons->addStretch();
    buttons->addWidget(cancel);
    buttons->addWidget(d->accept);

    auto* all = new QVBoxLayout(this);
    all->setContentsMargins(20, 18, 20, space::kL);
    all->setSpacing(space::kM);
    all->addWidget(d->banner);
    auto* heading = new Label(state.heading, Type::kHeadline);
    heading->setWordWrap(true);
    all->addWidget(heading);
    d->expected->setObjectName(QStringLiteral("compressExpected"));
    d->expected->setWordWrap(true);
    d->expected->setVisible(!state.expected.isEmpty());
    all->addWidget(d->expected);
    all->addLayout(grid);
    all->addWidget(new Line);
    all->addLayout(commandRow);
    all->addStretch();
    all->addLayout(buttons);

    int current = 0;
    for (int i = 0; i < d->keys.size(); ++i)
        if (d->keys.at(i).kind == state.request.signing.kind && d->keys.at(i).file == state.request.signing.file) current = i;
    d->fillKeys(current);
    d->refreshMode();

    // Wrapped texts need more height than the layout asks the window for.
    const auto grow = [this] {
        layout()->activate();
        if (const int need = layout()->totalHeightForWidth(width()); need > height()) resize(width(), need);
    };
    connect(d->mode, &Segmented::currentChanged, this, [this, grow] {
        d->refreshMode();
        grow();
    });
    connect(d->rank, &QSpinBox::valueChanged, this, [this] { d->refresh(); });
    connect(d->text, &QComboBox::currentIndexChanged, this, [this] { d->refresh(); });
    connect(d->path, &QLineEdit::textChanged, this, [this] { d->refresh(); });
    connect(d->form, &Segmented::currentChanged, this, [this] { d->refresh(); });
    connect(d->sign, &QComboBox::currentIndexChanged, this, [this](int index) {
        if (index >= 0) d->refresh();
    });
    connect(browse, &QPushButton::clicked, this, [this] { emit browseRequested(d->path->text()); });
    connect(d->makeKey, &QPushButton::clicked, this, [this] {
        d->newKey->show();
        d->passphrase->setFocus();
    });
    connect(makeIt, &QPushButton::clicked, this, [this] {
        emit makeKeyRequested(d->passphrase->text());
        d->passphrase->clear();
    });
    connect(d->chooseKey, &QPushButton::clicked, this, &CompressDialog::chooseKeyRequested);
    connect(copy, &QPushButton::clicked, this, [this] { emit copyRequested(d->commandText()); });
    connect(d->banner, &Banner::closed, this, [this] { d->banner->setState({}); });
    connect(cancel, &QPushButton::clicked, this, &QDialog::reject);
    connect(d->accept, &QPushButton::clicked, this, &QDialog::accept);
    d->path->setFocus();
}

CompressDialog::~CompressDialog() = default;

app::CompressRequest CompressDialog::request() const {
    app::CompressRequest r;
    r.path = d->path->text().trimmed();
    r.folder = d->form->current() == 1;
    r.mode = d->chosenMode();
    r.rank = d->rank->value();
    r.layout = d->chosenLayout();
    r.perplexityText = d->chosenText();
    r.signing = d->chosen();
    r.readBack = d->readBack->isChecked();
    r.rebuildAndCompare = d->state.canRebuild && d->rebuild->isChecked();
    return r;
}

void CompressDialog::addKey(const app::SigningChoice& key) {
    d->keys.prepend(key);
    d->newKey->hide();
    d->fillKeys(0);
    d->refresh();
    d->sign->setFocus();
}

void CompressDialog::showError(const QString& text) {
    app::BannerState b;
    b.tone = app::Tone::kError;
    b.title = text;
    d->banner->setState(b);
}

void CompressDialog::setPath(const QString& path) { d->path->setText(path); }

}  // namespace tenpak::ui
