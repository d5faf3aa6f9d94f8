// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/dialogs/archive_dialog.h"

#include <QCheckBox>
#include <QProgressBar>
#include <QStandardItemModel>

#include "app/format.h"
#include "app/item_roles.h"
#include "ui/widgets/banner.h"
#include "ui/widgets/basics.h"
#include "ui/widgets/table.h"

namespace tenpak::ui {
namespace {

namespace fmt = app::format;
using Phase = app::ArchiveState::Phase;
using State = app::ArchiveRow::State;

enum Column { kModel, kBase, kRaw, kStored, kWhat, kColumns };

QString savedOf(double stored, double raw) { return raw > 0 ? fmt::percent((1 - stored / raw) * 100) : QString(); }

}  // namespace

class ArchiveDialog::Private {
   public:
    app::ArchiveState state;
    bool filling = false;
    Banner* banner = new Banner;
    QWidget* folders = new QWidget;
    QVBoxLayout* folderRows = new QVBoxLayout(folders);
    QStandardItemModel model{0, kColumns};
    Table* table = new Table(QStringLiteral("archiveTable"), ArchiveDialog::tr("What would be archived"));
    Label* status = new Label({}, Type::kBody, Ink::kMuted);
    QProgressBar* bar = new QProgressBar;
    QCheckBox* replace = new QCheckBox(ArchiveDialog::tr("Remove each original once its artifact was rebuilt and compared, to free the disk"));
    QPushButton* add = makeButton(QStringLiteral("archiveAdd"), ArchiveDialog::tr("Add folder\u2026"), QStringLiteral("folder"));
    QPushButton* plan = makeButton(QStringLiteral("archivePlan"), ArchiveDialog::tr("Look for fine-tunes"), QStringLiteral("search"));
    QPushButton* undo = makeButton(QStringLiteral("archiveUndo"), ArchiveDialog::tr("Undo\u2026"), QStringLiteral("retry"));
    QPushButton* accept = makeButton(QStringLiteral("archiveAccept"), ArchiveDialog::tr("Archive"), {}, ButtonKind::kPrimary);

    bool busy() const { return state.phase == Phase::kPlanning || state.phase == Phase::kRunning; }
    int checked() const {
        return static_cast<int>(std::count_if(state.rows.begin(), state.rows.end(), [](const app::ArchiveRow& r) { return r.state == State::kPlanned && r.checked; }));
    }
    void fillFolders(ArchiveDialog* q) {
        clearLayout(folderRows);
        if (state.folders.isEmpty()) folderRows->addWidget(new Label(ArchiveDialog::tr("No folder chosen yet."), Type::kBody, Ink::kMuted));
        for (const QString& folder : state.folders) {
            auto* line = new QWidget;
            auto* row = new QHBoxLayout(line);
            row->setContentsMargins(0, 0, 0, 0);
            row->addWidget(new IconLabel(QStringLiteral("folder"), 18, Ink::kMuted));
            auto* name = new NameLabel(Type::kBody);
            name->setText(folder);
            name->setToolTip(folder);
            row->addWidget(name, 1);
            auto* remove = makeIconButton(QStringLiteral("archiveRemove"), QStringLiteral("close"), ArchiveDialog::tr("Leave out %1").arg(folder));
            QObject::connect(remove, &QPushButton::clicked, q, [q, folder] { emit q->removeFolderRequested(folder); });
            row->addWidget(remove);
            folderRows->addWidget(line);
        }
    }
    void fillRows() {
        filling = true;
        model.removeRows(0, model.rowCount());
        for (const app::ArchiveRow& r : state.rows) {
            QList<QStandardItem*> items;
            for (int c = 0; c < kColumns; ++c) items.append(new QStandardItem);
            items[kModel]->setText(r.name);
            items[kModel]->setData(r.path, app::kIdRole);
            items[kModel]->setToolTip(r.path);
            if (r.state == State::kPlanned) {
                items[kModel]->setCheckable(true);
                items[kModel]->setCheckState(r.checked ? Qt::Checked : Qt::Unchecked);
            }
            items[kBase]->setText(r.base.isEmpty() ? QStringLiteral("\u2013") : r.base);
            items[kRaw]->setText(fmt::bytes(static_cast<double>(r.rawBytes)));
            const auto raw = static_cast<double>(r.rawBytes);
            if (r.state == State::kPlanned) {
                items[kStored]->setText(fmt::estimatedBytes(r.estimated, r.low, r.high));
                items[kStored]->setToolTip(ArchiveDialog::tr("95 % range %1").arg(fmt::byteRange(r.low, r.high)));
                items[kWhat]->setText(ArchiveDialog::tr("\u2248 %1 smaller: %2").arg(savedOf(r.estimated, raw), r.reason));
            } else if (r.state == State::kDone) {
                items[kStored]->setText(fmt::bytes(static_cast<double>(r.storedBytes)));
                items[kWhat]->setText(r.freedBytes > 0 ? ArchiveDialog::tr("Original removed, %1 freed").arg(fmt::bytes(static_cast<double>(r.freedBytes)))
                                                       : ArchiveDialog::tr("Stored and compared, original kept"));
                items[kWhat]->setData(QStringLiteral("check"), app::kPillRole);
                items[kWhat]->setData(static_cast<int>(app::Tone::kOk), app::kToneRole);
            } else {
                items[kStored]->setText(QStringLiteral("\u2013"));
                items[kWhat]->setText(r.state == State::kFailed ? ArchiveDialog::tr("Failed: %1").arg(r.reason) : r.reason);
                if (r.state == State::kFailed) {
                    items[kWhat]->setData(static_cast<int>(app::Tone::kError), app::kToneRole);
                } else {
                    for (QStandardItem* i : items) i->setData(true, app::kMutedRole);
                }
            }
            items[kWhat]->setToolTip(r.reason);
            for (int c : {int(kRaw), int(kStored)}) items[c]->setTextAlignment(Qt::AlignRight | Qt::AlignVCenter);
            model.appendRow(items);
        }
        filling = false;
    }
};

ArchiveDialog::ArchiveDialog(QWidget* parent) : QDialog(parent), d(std::make_unique<Private>()) {
    setObjectName(QStringLiteral("archiveDialog"));
    setWindowTitle(tr("Archive folder"));
    setMinimumSize(900, 560);
    d->folders->setObjectName(QStringLiteral("archiveFolders"));
    d->folderRows->setContentsMargins(0, 0, 0, 0);
    d->folderRows->setSpacing(space::kXs);
    d->model.setHorizontalHeaderLabels({tr("Model"), tr("Base"), tr("Now"), tr("Stored"), tr("What")});
    for (int c = 0; c < kColumns; ++c)
        d->model.horizontalHeaderItem(c)->setTextAlignment((c == kRaw || c == kStored ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
    d->table->setModel(&d->model);
    d->table->setColumns({220, 150, 90, 100, 300}, kWhat);
    d->table->setMinimumHeight(size::kHeader + 6 * size::kRow);
    d->status->setObjectName(QStringLiteral("archiveStatus"));
    d->status->setWordWrap(true);
    d->replace->setObjectName(QStringLiteral("archiveReplace"));
    d->bar->setTextVisible(false);
    d->bar->setRange(0, 1000);
    d->bar->setFixedHeight(6);
    d->bar->setAccessibleName(tr("Progress"));

    auto* heading = new Label(tr("Archive fine-tunes as deltas of their bases"), Type::kHeadline);
    auto* how = new Label(tr("Each fine-tune is stored beside its folder, rebuilt and compared. Nothing is removed unless you say so below, and each archive can be undone."), Type::kBody, Ink::kMuted);
    how->setWordWrap(true);
    auto* folderButtons = makeRow();
    folderButtons->addWidget(d->add);
    folderButtons->addStretch();
    folderButtons->addWidget(d->plan);
    auto* close = makeButton(QStringLiteral("archiveClose"), tr("Close"));
    auto* buttons = makeRow();
    buttons->addWidget(d->undo);
    buttons->addStretch();
    buttons->addWidget(close);
    buttons->addWidget(d->accept);

    auto* all = new QVBoxLayout(this);
    all->setContentsMargins(20, 18, 20, space::kL);
    all->setSpacing(space::kM);
    all->addWidget(d->banner);
    all->addWidget(heading);
    all->addWidget(how);
    all->addWidget(d->folders);
    all->addLayout(folderButtons);
    all->addWidget(d->bar);
    all->addWidget(d->status);
    all->addWidget(d->table, 1);
    all->addWidget(d->replace);
    all->addLayout(buttons);

    connect(d->add, &QPushButton::clicked, this, &ArchiveDialog::addFolderRequested);
    connect(d->plan, &QPushButton::clicked, this, [this] {
        if (d->busy()) emit stopRequested();
        else emit planRequested();
    });
    connect(d->undo, &QPushButton::clicked, this, &ArchiveDialog::undoRequested);
    connect(d->accept, &QPushButton::clicked, this, &ArchiveDialog::archiveRequested);
    connect(d->replace, &QCheckBox::toggled, this, &ArchiveDialog::replaceToggled);
    connect(close, &QPushButton::clicked, this, &QDialog::reject);
    connect(d->banner, &Banner::closed, this, [this] { d->banner->setState({}); });
    connect(&d->model, &QStandardItemModel::itemChanged, this, [this](QStandardItem* item) {
        if (!d->filling && item->isCheckable()) emit rowChecked(item->data(app::kIdRole).toString(), item->checkState() == Qt::Checked);
    });
    d->fillFolders(this);
    setState({});
}

ArchiveDialog::~ArchiveDialog() = default;

void ArchiveDialog::done(int result) { QDialog::done(result); }

void ArchiveDialog::setState(const app::ArchiveState& state) {
    const bool otherFolders = state.folders != d->state.folders, otherRows = state.rows != d->state.rows;
    d->state = state;
    if (otherFolders) d->fillFolders(this);
    if (otherRows) d->fillRows();
    const bool busy = d->busy();
    d->plan->setText(busy ? tr("Stop") : tr("Look for fine-tunes"));
    setButtonIcon(d->plan, busy ? QStringLiteral("stop") : QStringLiteral("search"));
    d->plan->setEnabled(busy || !state.folders.isEmpty());
    d->add->setEnabled(!busy);
    d->bar->setValue(busy ? static_cast<int>(1000 * std::max(0.0, state.fraction)) : 0);
    d->status->setText(busy ? state.phaseText : state.result);
    d->banner->setState(state.banner);
    const QSignalBlocker quiet(d->replace);
    d->replace->setChecked(state.replace);
    d->replace->setEnabled(!busy);
    d->undo->setEnabled(!busy && state.canUndo);
    const int n = d->checked();
    d->accept->setText(n == 0 ? tr("Archive") : state.replace ? tr("Archive and remove %n original(s)\u2026", nullptr, n) : tr("Archive %n model(s)", nullptr, n));
    d->accept->setEnabled(!busy && n > 0);
}

}  // namespace tenpak::ui
