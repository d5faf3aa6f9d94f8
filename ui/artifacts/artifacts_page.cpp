// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/artifacts/artifacts_page.h"

#include <QDragEnterEvent>
#include <QMimeData>
#include <QScrollArea>
#include <QSplitter>

#include "app/format.h"
#include "app/item_roles.h"
#include "ui/artifacts/answer_row.h"
#include "ui/artifacts/artifact_list.h"
#include "ui/widgets/banner.h"
#include "ui/widgets/drop_zone.h"
#include "ui/widgets/table.h"

namespace tenpak::ui {

class ArtifactsPage::Private {
   public:
    app::ArtifactViewState state;
    ArtifactList* list = new ArtifactList;
    Banner* banner = new Banner;
    NameLabel* name = new NameLabel(Type::kHeadline);
    Label* summary = new Label({}, Type::kBody, Ink::kMuted);
    QPushButton* verify = makeButton(QStringLiteral("artifactVerify"), ArtifactsPage::tr("Verify again"), QStringLiteral("shieldcheck"));
    QPushButton* unpack = makeButton(QStringLiteral("artifactUnpack"), ArtifactsPage::tr("Unpack\u2026"), QStringLiteral("export"), ButtonKind::kPrimary);
    std::array<AnswerRow*, 4> answers{};
    Label* fileCount = new Label({}, Type::kBody, Ink::kMuted);
    Table* files = new Table(QStringLiteral("filesTable"), ArtifactsPage::tr("Files"));
    QWidget* details = new QWidget;
    QWidget* nothing = new QWidget;

    app::BannerState bannerState() const {
        const app::ArtifactDetails& a = state.details;
        if (!state.banner.isEmpty() || state.current < 0 || !isDamaged(a)) return state.banner;
        app::BannerState b;
        b.tone = app::Tone::kError;
        b.title = ArtifactsPage::tr("%1 is damaged: do not use it").arg(a.name);
        b.body = intactAnswer(a).evidence;
        b.details = b.title + QLatin1Char('\n') + a.path + QLatin1Char('\n') + b.body;
        b.closable = false;
        return b;
    }
    QWidget* buildList(ArtifactsPage* q);
    void buildNothing(ArtifactsPage* q);
    void buildDetails(ArtifactsPage* q);
};

QWidget* ArtifactsPage::Private::buildList(ArtifactsPage* q) {
    auto* card = new Card(0);
    card->setObjectName(QStringLiteral("artifactListCard"));
    card->setMinimumWidth(280);
    card->setMaximumWidth(420);
    auto* open = makeButton(QStringLiteral("artifactOpen"), ArtifactsPage::tr("Open\u2026"), QStringLiteral("folder"), ButtonKind::kQuiet);
    connect(open, &QPushButton::clicked, q, &ArtifactsPage::openRequested);
    auto* head = makeRow();
    head->setContentsMargins(15, 10, space::kM, 4);
    head->addWidget(new Label(ArtifactsPage::tr("Artifacts"), Type::kTitle));
    head->addStretch();
    head->addWidget(open);
    card->box()->setContentsMargins(1, 0, 1, 4);
    card->box()->setSpacing(0);
    card->box()->addLayout(head);
    card->box()->addWidget(new Line);
    card->box()->addWidget(list, 1);
    connect(list, &ArtifactList::currentChosen, q, &ArtifactsPage::currentChanged);
    return card;
}

void ArtifactsPage::Private::buildNothing(ArtifactsPage*) {
    auto* column = new QVBoxLayout(nothing);
    column->setContentsMargins(space::kXl, space::kXxl, space::kXl, 0);
    column->addWidget(new Label(ArtifactsPage::tr("No artifact yet"), Type::kTitle), 0, Qt::AlignHCenter);
    auto* text = new Label(ArtifactsPage::tr("Compress a fine-tune on the Delta page, export a winner on the Sweep page, or drop a .tnpk here."), Type::kBody, Ink::kMuted);
    text->setAlignment(Qt::AlignHCenter);
    text->setWordWrap(true);
    column->addWidget(text);
    column->addStretch();
}

void ArtifactsPage::Private::buildDetails(ArtifactsPage* q) {
    name->setObjectName(QStringLiteral("artifactName"));
    summary->setObjectName(QStringLiteral("artifactSummary"));
    summary->setWordWrap(true);
    auto* titles = makeColumn(2);
    titles->addWidget(name);
    titles->addWidget(summary);
    auto* head = makeRow();
    head->addLayout(titles, 1);
    head->addWidget(verify, 0, Qt::AlignTop);
    head->addWidget(unpack, 0, Qt::AlignTop);
    auto* card = new Card;
    card->setObjectName(QStringLiteral("answersCard"));
    card->box()->addLayout(head);
    card->box()->addWidget(new Line);
    const std::array<const char*, 4> names = {"answerIntact", "answerSigned", "answerLossless", "answerBase"};
    for (std::size_t i = 0; i < answers.size(); ++i) {
        answers[i] = new AnswerRow(QLatin1String(names[i]));
        card->box()->addWidget(answers[i]);
        connect(answers[i], &AnswerRow::triggered, q, [q](AnswerAction action) {
            switch (action) {
                case AnswerAction::kNone: break;
                case AnswerAction::kVerify: emit q->verifyRequested(); break;
                case AnswerAction::kTrust: emit q->trustRequested(); break;
                case AnswerAction::kRebuild: emit q->rebuildRequested(); break;
                case AnswerAction::kChooseBase: emit q->chooseBaseRequested(); break;
                case AnswerAction::kStop: emit q->stopRequested(); break;
            }
        });
    }
    auto* filesCard = new Card(0);
    filesCard->setObjectName(QStringLiteral("filesCard"));
    auto* filesHead = makeRow();
    filesHead->setContentsMargins(space::kL, 10, space::kM, 0);
    filesHead->addWidget(new Label(ArtifactsPage::tr("Files"), Type::kTitle));
    filesHead->addWidget(fileCount);
    filesHead->addStretch();
    auto* filesBody = makeRow(0);
    filesBody->setContentsMargins(space::kS, 0, space::kXs, 6);
    filesBody->addWidget(files);
    filesCard->box()->addLayout(filesHead);
    filesCard->box()->addLayout(filesBody, 1);
    files->setMinimumHeight(size::kHeader + 3 * size::kRow);
    auto* column = new QVBoxLayout(details);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(space::kM);
    column->addWidget(card);
    column->addWidget(filesCard, 1);
    connect(verify, &QPushButton::clicked, q, &ArtifactsPage::verifyRequested);
    connect(unpack, &QPushButton::clicked, q, &ArtifactsPage::unpackRequested);
    connect(files, &Table::copyRequested, q, &ArtifactsPage::copyRequested);
}

ArtifactsPage::ArtifactsPage(QWidget* parent) : QWidget(parent), d(std::make_unique<Private>()) {
    setObjectName(QStringLiteral("artifactsPage"));
    setAcceptDrops(true);
    d->buildNothing(this);
    d->buildDetails(this);
    auto* right = new QWidget;
    auto* column = new QVBoxLayout(right);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(space::kM);
    column->addWidget(d->banner);
    column->addWidget(d->details, 1);
    column->addWidget(d->nothing, 1);
    auto* split = new QSplitter(Qt::Horizontal);
    split->setObjectName(QStringLiteral("artifactSplitter"));
    split->setChildrenCollapsible(false);
    split->addWidget(d->buildList(this));
    split->addWidget(right);
    split->setStretchFactor(0, 0);
    split->setStretchFactor(1, 1);
    auto* all = new QVBoxLayout(this);
    all->setContentsMargins(0, 2, space::kL, 0);
    all->addWidget(split);
    connect(d->banner, &Banner::actionTriggered, this, &ArtifactsPage::bannerActionTriggered);
    connect(d->banner, &Banner::copyRequested, this, &ArtifactsPage::copyRequested);
    connect(d->banner, &Banner::closed, this, &ArtifactsPage::bannerClosed);
    setState({});
}

ArtifactsPage::~ArtifactsPage() = default;

void ArtifactsPage::setFilesModel(QAbstractItemModel* model) {
    d->files->setModel(model);
    d->files->setColumns({230, 90, 90, 300}, app::FileColumn::kHow);
}

void ArtifactsPage::triggerPrimary() {
    if (d->details->isVisible() && d->unpack->isEnabled()) emit unpackRequested();
}

void ArtifactsPage::setState(const app::ArtifactViewState& state) {
    d->state = state;
    const app::ArtifactDetails& a = state.details;
    const bool any = state.current >= 0 && state.current < state.items.size();
    d->list->setItems(state.items, state.current);
    d->banner->setState(d->bannerState());
    d->details->setVisible(any);
    d->nothing->setVisible(!any);
    if (!any) return;
    using Check = app::ArtifactDetails::Check;
    d->name->setText(a.name);
    d->summary->setText(a.summary);
    d->verify->setVisible(a.check == Check::kChecked);  // otherwise the button stands at the question
    d->unpack->setEnabled(!isDamaged(a) && a.check != Check::kChecking && a.report.signature != signing::SignatureState::kInvalid);
    d->unpack->setToolTip(d->unpack->isEnabled() ? tr("Ctrl+Return") : isDamaged(a) ? tr("Off while the artifact is damaged") : QString());
    const auto answers = answersFor(a);
    for (std::size_t i = 0; i < answers.size(); ++i) d->answers[i]->setAnswer(answers[i]);
    d->fileCount->setText(app::format::count(a.files.size()));
}

void ArtifactsPage::dragEnterEvent(QDragEnterEvent* event) {
    if (!pathsOf(event->mimeData()).isEmpty()) event->acceptProposedAction();
}

void ArtifactsPage::dropEvent(QDropEvent* event) {
    event->acceptProposedAction();
    emit filesDropped(pathsOf(event->mimeData()));
}

}  // namespace tenpak::ui
