// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/dialogs/find_base_dialog.h"

#include <QHeaderView>
#include <QProgressBar>
#include <QStandardItemModel>

#include "app/format.h"
#include "app/item_roles.h"
#include "ui/widgets/banner.h"
#include "ui/widgets/basics.h"
#include "ui/widgets/table.h"

namespace tenpak::ui {

class FindBaseDialog::Private {
   public:
    app::FindBaseState state;
    Label* heading = new Label({}, Type::kHeadline);
    Banner* banner = new Banner;
    QWidget* folders = new QWidget;
    QVBoxLayout* folderRows = new QVBoxLayout(folders);
    QStandardItemModel model{0, 3};
    Table* table = new Table(QStringLiteral("baseTable"), FindBaseDialog::tr("Possible bases"));
    Label* status = new Label({}, Type::kCaption, Ink::kMuted);
    Label* reason = new Label({}, Type::kBody, Ink::kMuted);  // of the chosen one, whole: the column may be too narrow for it
    QProgressBar* bar = new QProgressBar;
    QPushButton* add = makeButton(QStringLiteral("findBaseAdd"), FindBaseDialog::tr("Add folder\u2026"), QStringLiteral("folder"));
    QPushButton* search = makeButton(QStringLiteral("findBaseSearch"), FindBaseDialog::tr("Search"), QStringLiteral("search"));
    QPushButton* accept = makeButton(QStringLiteral("findBaseAccept"), FindBaseDialog::tr("Choose as base"), {}, ButtonKind::kPrimary);

    QString chosen() const {
        const QModelIndex i = table->currentIndex();
        return i.isValid() ? i.siblingAtColumn(0).data(app::kIdRole).toString() : QString();
    }
    void showReason() {
        reason->setText({});
        for (const app::BaseCandidateRow& c : state.candidates)
            if (c.path == chosen()) reason->setText(c.reason);
    }
    bool chosenFits() const {
        for (const app::BaseCandidateRow& c : state.candidates)
            if (c.path == chosen()) return c.fits;
        return false;
    }
    void fill() {
        const QString before = chosen();
        model.removeRows(0, model.rowCount());
        int current = -1;
        for (const app::BaseCandidateRow& c : state.candidates) {
            auto* name = new QStandardItem(c.name);
            name->setData(c.path, app::kIdRole);
            name->setData(c.best, app::kStrongRole);
            name->setToolTip(c.path);
            auto* facts = new QStandardItem(c.facts);
            facts->setData(true, app::kMutedRole);
            auto* why = new QStandardItem(c.reason);
            why->setToolTip(c.reason);
            if (c.best) {
                why->setText(FindBaseDialog::tr("Best fit: %1").arg(c.reason));
                why->setData(static_cast<int>(app::Tone::kOk), app::kToneRole);
            } else {
                why->setData(!c.fits, app::kMutedRole);
            }
            if (before.isEmpty() ? c.best : c.path == before) current = model.rowCount();
            model.appendRow({name, facts, why});
        }
        if (current >= 0) table->setCurrentIndex(model.index(current, 0));
    }
};

FindBaseDialog::FindBaseDialog(QWidget* parent) : QDialog(parent), d(std::make_unique<Private>()) {
    setObjectName(QStringLiteral("findBaseDialog"));
    setWindowTitle(tr("Find base"));
    setMinimumSize(860, 540);
    d->reason->setObjectName(QStringLiteral("findBaseReason"));
    d->reason->setWordWrap(true);
    d->reason->setMinimumHeight(36);
    d->reason->setAlignment(Qt::AlignLeft | Qt::AlignTop);
    d->heading->setWordWrap(true);
    d->folders->setObjectName(QStringLiteral("findBaseFolders"));
    d->folderRows->setContentsMargins(0, 0, 0, 0);
    d->folderRows->setSpacing(space::kXs);
    d->model.setHorizontalHeaderLabels({tr("Model"), tr("Size"), tr("Why")});
    for (int c = 0; c < 3; ++c) d->model.horizontalHeaderItem(c)->setTextAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    d->table->setModel(&d->model);
    d->table->setSelectionMode(QAbstractItemView::SingleSelection);
    d->table->setColumns({190, 190, 420}, 2);
    d->table->setMinimumHeight(size::kHeader + 5 * size::kRow);
    d->status->setObjectName(QStringLiteral("findBaseStatus"));
    d->status->setWordWrap(true);
    d->bar->setTextVisible(false);
    d->bar->setRange(0, 1000);
    d->bar->setFixedHeight(6);
    d->bar->setAccessibleName(tr("Progress of the search"));

    auto* how = new Label(tr("Models under these folders are compared with the fine-tune by samples of their weights; nothing is changed."), Type::kBody, Ink::kMuted);
    how->setWordWrap(true);
    auto* folderButtons = makeRow();
    folderButtons->addWidget(d->add);
    folderButtons->addStretch();
    folderButtons->addWidget(d->search);
    auto* cancel = makeButton(QStringLiteral("findBaseCancel"), tr("Cancel"));
    auto* buttons = makeRow();
    buttons->addStretch();
    buttons->addWidget(cancel);
    buttons->addWidget(d->accept);

    auto* all = new QVBoxLayout(this);
    all->setContentsMargins(20, 18, 20, space::kL);
    all->setSpacing(space::kM);
    all->addWidget(d->banner);
    all->addWidget(d->heading);
    all->addWidget(how);
    all->addWidget(d->folders);
    all->addLayout(folderButtons);
    all->addWidget(d->bar);
    all->addWidget(d->status);
    all->addWidget(d->table, 1);
    all->addWidget(d->reason);
    all->addLayout(buttons);

    connect(d->add, &QPushButton::clicked, this, &FindBaseDialog::addFolderRequested);
    connect(d->search, &QPushButton::clicked, this, [this] {
        if (d->state.searching) emit stopRequested();
        else emit searchRequested();
    });
    connect(d->table->selectionModel(), &QItemSelectionModel::currentRowChanged, this, [this] {
        d->accept->setEnabled(d->chosenFits());
        d->showReason();
    });
    connect(d->table, &QAbstractItemView::doubleClicked, this, [this] { d->accept->click(); });
    connect(cancel, &QPushButton::clicked, this, &QDialog::reject);
    connect(d->banner, &Banner::closed, this, [this] { d->banner->setState({}); });
    connect(d->accept, &QPushButton::clicked, this, [this] {
        if (!d->chosenFits()) return;
        emit baseChosen(d->chosen());
        accept();
    });
    setState({});
}

FindBaseDialog::~FindBaseDialog() = default;

void FindBaseDialog::setState(const app::FindBaseState& state) {
    const bool otherFolders = state.folders != d->state.folders || d->folderRows->isEmpty(), otherRows = state.candidates != d->state.candidates;
    d->state = state;
    d->heading->setText(state.fineTune.isEmpty() ? tr("Find the base") : tr("Find the base of %1").arg(state.fineTune));
    if (otherFolders) {
        clearLayout(d->folderRows);
        if (state.folders.isEmpty()) d->folderRows->addWidget(new Label(tr("No folder chosen yet."), Type::kBody, Ink::kMuted));
        for (const QString& folder : state.folders) {
            auto* line = new QWidget;
            auto* row = new QHBoxLayout(line);
            row->setContentsMargins(0, 0, 0, 0);
            row->addWidget(new IconLabel(QStringLiteral("folder"), 18, Ink::kMuted));
            auto* name = new NameLabel(Type::kBody);
            name->setText(folder);
            name->setToolTip(folder);
            row->addWidget(name, 1);
            auto* remove = makeIconButton(QStringLiteral("findBaseRemove"), QStringLiteral("close"), tr("Do not look in %1").arg(folder));
            connect(remove, &QPushButton::clicked, this, [this, folder] { emit removeFolderRequested(folder); });
            row->addWidget(remove);
            d->folderRows->addWidget(line);
        }
    }
    if (otherRows) d->fill();
    d->showReason();
    d->search->setText(state.searching ? tr("Stop") : tr("Search"));
    setButtonIcon(d->search, state.searching ? QStringLiteral("stop") : QStringLiteral("search"));
    d->search->setEnabled(state.searching || !state.folders.isEmpty());
    d->add->setEnabled(!state.searching);
    // Kept in place: nothing jumps when a search begins or ends.
    d->bar->setValue(state.searching ? static_cast<int>(1000 * std::max(0.0, state.fraction)) : 0);
    d->status->setText(state.searching ? state.phase : state.searched ? state.result : QString());
    d->banner->setState(state.banner);
    d->accept->setEnabled(!state.searching && d->chosenFits());
}

}  // namespace tenpak::ui
