// SPDX-License-Identifier: GPL-3.0-or-later
// Dialogs beside the pages: looking for the base, archiving folders.
#include <QFileInfo>

#include "app/error_text.h"
#include "app/format.h"
#include "app/studio/studio.h"
#include "ui/delta/delta_page.h"
#include "ui/dialogs/archive_dialog.h"
#include "ui/dialogs/find_base_dialog.h"
#include "ui/shell/main_window.h"

namespace tenpak::studio {

void Studio::openFindBase() {
    if (!m_pair->fineTune()) {
        app::BannerState b;
        b.tone = app::Tone::kNeutral;
        b.title = tr("There is no fine-tune yet");
        b.body = tr("Choose the fine-tune; then its base can be looked for.");
        showBanner(m_window->page(), b);
        return;
    }
    m_findBase->setFineTune(m_pair->fineTune());
    auto* dialog = new ui::FindBaseDialog(m_window.get());
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setState(m_findBase->state());
    connect(m_findBase.get(), &app::FindBaseController::changed, dialog, [this, dialog] { dialog->setState(m_findBase->state()); });
    connect(dialog, &ui::FindBaseDialog::addFolderRequested, this, [this] { chooseFolder(tr("Look for the base in"), [this](const QString& folder) { m_findBase->addFolder(folder); }); });
    connect(dialog, &ui::FindBaseDialog::removeFolderRequested, m_findBase.get(), &app::FindBaseController::removeFolder);
    connect(dialog, &ui::FindBaseDialog::searchRequested, m_findBase.get(), &app::FindBaseController::search);
    connect(dialog, &ui::FindBaseDialog::stopRequested, m_findBase.get(), &app::FindBaseController::stop);
    connect(dialog, &QDialog::finished, m_findBase.get(), &app::FindBaseController::stop);
    connect(dialog, &ui::FindBaseDialog::baseChosen, this, [this](const QString& path) { m_pair->drop({path}, app::PairSlot::kBase); });
    dialog->open();
}

void Studio::chooseFolder(const QString& title, std::function<void(QString)> chosen) {
    app::ChooserRequest r;
    r.kind = app::ChooserKind::kOpenFolder;
    r.title = title;
    r.startFolder = m_settings.lastFolder();
    m_dialogs.choosePath(r, [chosen = std::move(chosen)](const QString& folder) { if (!folder.isEmpty()) chosen(folder); });
}

void Studio::openArchive() {
    auto* dialog = new ui::ArchiveDialog(m_window.get());
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setState(m_archive->state());
    connect(m_archive.get(), &app::ArchiveController::changed, dialog, [this, dialog] { dialog->setState(m_archive->state()); });
    connect(dialog, &ui::ArchiveDialog::addFolderRequested, this, [this] { chooseFolder(tr("Archive the models in"), [this](const QString& folder) { m_archive->addFolder(folder); }); });
    connect(dialog, &ui::ArchiveDialog::removeFolderRequested, m_archive.get(), &app::ArchiveController::removeFolder);
    connect(dialog, &ui::ArchiveDialog::planRequested, m_archive.get(), &app::ArchiveController::plan);
    connect(dialog, &ui::ArchiveDialog::stopRequested, m_archive.get(), &app::ArchiveController::stop);
    connect(dialog, &ui::ArchiveDialog::rowChecked, m_archive.get(), &app::ArchiveController::setChecked);
    connect(dialog, &ui::ArchiveDialog::replaceToggled, m_archive.get(), &app::ArchiveController::setReplace);
    connect(dialog, &ui::ArchiveDialog::archiveRequested, this, [this] {
        const app::ArchiveState s = m_archive->state();
        if (!s.replace) {
            m_archive->archive();
            return;
        }
        int n = 0;
        double bytes = 0;
        for (const app::ArchiveRow& r : s.rows)
            if (r.state == app::ArchiveRow::State::kPlanned && r.checked) ++n, bytes += static_cast<double>(r.rawBytes);
        app::Question q;
        q.id = QStringLiteral("archive-replace");
        q.title = tr("Remove %n original(s) after archiving?", nullptr, n);
        q.body = tr("%1 of files are removed. Each goes only after its artifact was written, rebuilt, compared file by file, and read back from disk and compared again. Their bases must stay where they are.").arg(app::format::bytes(bytes));
        q.buttons = {tr("Archive and remove"), tr("Do not remove")};
        q.cancelButton = 1;
        q.destructive = true;
        m_dialogs.ask(q, [this](int answer) { if (answer == 0) m_archive->archive(); });
    });
    connect(dialog, &ui::ArchiveDialog::undoRequested, this, [this] {
        app::Question q;
        q.id = QStringLiteral("archive-undo");
        q.title = tr("Put the archived models back?");
        q.body = tr("Everything that was archived in these folders is restored, file by file as it was, and its artifacts are removed.");
        q.buttons = {tr("Restore"), tr("Cancel")};
        q.cancelButton = 1;
        m_dialogs.ask(q, [this](int answer) { if (answer == 0) m_archive->undo(); });
    });
    dialog->open();
}

}  // namespace tenpak::studio
