// SPDX-License-Identifier: GPL-3.0-or-later
// Pair, estimate and compression: what the Start and Delta pages ask for.
#include <QDesktopServices>
#include <QFileInfo>
#include <QUrl>

#include "app/error_text.h"
#include "app/format.h"
#include "app/studio/studio.h"
#include "core/model/config.h"
#include "ui/artifacts/artifacts_page.h"
#include "ui/delta/delta_page.h"
#include "ui/dialogs/compress_dialog.h"
#include "ui/shell/main_window.h"
#include "ui/start/start_page.h"

namespace tenpak::studio {

using app::PairSlot;
using ui::Page;

// The window forwards what its pages' drop zones and Copy buttons ask for.
void Studio::connectPair() {
    const auto drop = [this](const QStringList& paths, PairSlot slot) { m_pair->drop(paths, slot); };
    const auto choose = [this](PairSlot slot) { m_pair->choose(slot); };
    connect(m_window->artifactsPage(), &ui::ArtifactsPage::filesDropped, this, [drop](const QStringList& p) { drop(p, PairSlot::kEither); });
    connect(m_window.get(), &ui::MainWindow::filesDropped, this, drop);
    connect(m_window.get(), &ui::MainWindow::chooseRequested, this, choose);
    connect(m_window.get(), &ui::MainWindow::findBaseRequested, this, &Studio::openFindBase);
    connect(m_window.get(), &ui::MainWindow::swapRequested, m_pair.get(), &app::PairController::swap);
    connect(m_window.get(), &ui::MainWindow::removeRequested, m_pair.get(), &app::PairController::remove);
    connect(m_window.get(), &ui::MainWindow::revealRequested, this, [this](PairSlot slot) {
        const QFileInfo at(slot == PairSlot::kBase ? m_pair->state().base.path : m_pair->state().fineTune.path);
        QDesktopServices::openUrl(QUrl::fromLocalFile(at.isDir() ? at.absoluteFilePath() : at.absolutePath()));
    });
    connect(m_window.get(), &ui::MainWindow::inspectRequested, this, [this](PairSlot slot) {
        const auto model = slot == PairSlot::kBase ? m_pair->base() : m_pair->fineTune();
        if (!model) return;
        app::Question q;
        q.id = QStringLiteral("inspect");
        q.title = QString::fromStdString(model->id());
        q.body = tr("%1, %2 parameters in %3 tensors, %4 in %5 files.")
                     .arg(QString::fromStdString(model::architecture_or_unknown(*model)), app::format::count(model->parameters()), app::format::count(model->tensors().size()),
                          app::format::bytes(static_cast<double>(model->total_bytes())), app::format::count(model->files().size()));
        q.buttons = {tr("Close")};
        q.cancelButton = 0;
        m_dialogs.ask(q, [](int) {});
    });
    connect(m_window->startPage(), &ui::StartPage::sampleRequested, this, &Studio::openSample);
    connect(m_window->startPage(), &ui::StartPage::openProjectRequested, this, [this] { onAction(QStringLiteral("project.open")); });
    connect(m_window->startPage(), &ui::StartPage::recentRequested, this, &Studio::openProject);

    connect(m_pair.get(), &app::PairController::stateChanged, this, &Studio::onPairChanged);
    connect(m_pair.get(), &app::PairController::refused, this, [this](const app::BannerState& b) { showBanner(m_window->page(), b); });
    connect(m_pair.get(), &app::PairController::accepted, this, [this] {
        for (auto& b : m_banners) b = {};
        refresh(kStart | kDelta | kSweep | kArtifacts);
    });
    connect(m_pair.get(), &app::PairController::artifactDropped, this, [this](const QString& path) {
        m_artifacts->add(path);
        m_window->setPage(Page::kArtifacts);
    });
    connect(m_pair.get(), &app::PairController::projectDropped, this, &Studio::openProject);
    connect(m_pair.get(), &app::PairController::modelsOpened, this, [this] {
        m_compress->clear();
        m_estimate->start(m_pair->base(), m_pair->fineTune());
        if (m_window->page() == Page::kStart) m_window->setPage(Page::kDelta);
    });
    connect(m_pair.get(), &app::PairController::modelsClosed, this, [this] {
        m_estimate->clear();
        m_compress->clear();
    });
}

void Studio::onPairChanged() {
    const app::PairState& pair = m_pair->state();
    if (pair.complete() && (m_project.path().isEmpty() || isAutomatic(m_project.path()))) {
        if (const QString path = projectPathForPair(); path != m_project.path()) m_project.moveTo(path);
    }
    m_sweep->setPair(pair);
    m_artifacts->setPairBase(pair.base.path);
    refresh(kPair | kDelta | kSweep | kShell);
}

void Studio::connectDelta() {
    ui::DeltaPage* page = m_window->deltaPage();
    connect(m_estimate.get(), &app::EstimateController::changed, this, [this] { refresh(kDelta); });
    connect(m_compress.get(), &app::CompressController::changed, this, [this] { refresh(kDelta); });
    connect(page, &ui::DeltaPage::compressRequested, this, &Studio::openCompressDialog);
    connect(page, &ui::DeltaPage::rebuildRequested, this, &Studio::rebuildTo);
    connect(page, &ui::DeltaPage::exportAdapterRequested, this, &Studio::exportAdapter);
    connect(page, &ui::DeltaPage::stopRequested, this, &Studio::stopPageJob);
    connect(page, &ui::DeltaPage::showArtifactRequested, this, [this](const QString& path) {
        m_artifacts->add(path);
        m_window->setPage(Page::kArtifacts);
    });
    connect(page, &ui::DeltaPage::bannerActionTriggered, this, &Studio::bannerAction);
    connect(page, &ui::DeltaPage::bannerClosed, this, [this] {
        if (m_banners[static_cast<int>(Page::kDelta)].isEmpty()) m_compress->acknowledge();
        showBanner(Page::kDelta, {});
    });
    connect(m_window->startPage(), &ui::StartPage::bannerActionTriggered, this, &Studio::bannerAction);
    connect(m_window->startPage(), &ui::StartPage::bannerClosed, this, [this] { showBanner(Page::kStart, {}); });

    connect(m_compress.get(), &app::CompressController::compressed, this, [this](const QString& artifact, double saved, bool) {
        m_project.recordArtifact(artifact, saved);
        m_artifacts->add(artifact);
        m_artifacts->setRebuilt(artifact, m_compress->filesCompared(), m_compress->compareSeconds());
        showMessage(tr("Compressed to %1, %2 smaller").arg(QFileInfo(artifact).fileName(), app::format::percent(saved)));
    });
    connect(m_compress.get(), &app::CompressController::rebuilt, this, [this](const QString& folder, quint64 files, quint64 bytes, double seconds) {
        app::BannerState b;
        b.tone = app::Tone::kOk;
        b.title = tr("Rebuilt to %1").arg(QFileInfo(folder).fileName());
        b.body = tr("%1 files, %2 in %3; every file has the recorded SHA-256.").arg(app::format::count(files), app::format::bytes(static_cast<double>(bytes)), app::format::duration(seconds));
        showBanner(Page::kDelta, b);
    });
    connect(m_compress.get(), &app::CompressController::adapterExported, this, [this](const QString& folder, int tensors) {
        app::BannerState b;
        b.tone = app::Tone::kOk;
        b.title = tr("Adapter written to %1").arg(QFileInfo(folder).fileName());
        b.body = tr("A PEFT folder with the recovered factors of %n tensor(s). Merged into the base it gives the change without its rounding residual.", nullptr, tensors);
        showBanner(Page::kDelta, b);
    });
    connect(m_compress.get(), &app::CompressController::adapterFailed, this, [this](const Error& e) { showError(Page::kDelta, e); });
    connect(m_compress.get(), &app::CompressController::rebuildFailed, this, [this](const Error& e) { showError(Page::kDelta, e); });
}

void Studio::exportAdapter() {
    if (!m_compress->factors() || !m_pair->fineTune()) return;
    app::ChooserRequest r;
    r.kind = app::ChooserKind::kChooseFolder;
    r.title = tr("Export the recovered adapter to a new folder");
    r.startFolder = m_settings.outputFolder();
    r.suggestedName = QString::fromStdString(m_pair->fineTune()->id()) + QStringLiteral("-adapter");
    m_dialogs.choosePath(r, [this](const QString& folder) { if (!folder.isEmpty()) m_compress->exportAdapter(folder); });
}

void Studio::openCompressDialog() {
    if (!m_pair->base() || !m_pair->fineTune() || m_compress->phase() == app::CompressController::Phase::kCompressing) return;
    app::CompressDialogState state = m_compress->dialogState(*m_pair->base(), *m_pair->fineTune(), m_estimate->snapshot());
    for (const app::Choice& text : m_sweep->state().texts)
        if (QFileInfo(text.id).isFile()) state.texts.append(text);
    runDialog(state, [this](const app::CompressRequest& request, const QString& passphrase) {
        if (!m_pair->base() || !m_pair->fineTune()) return;
        // The estimate would only compete for the same bytes.
        const auto snapshot = m_estimate->snapshot();
        showBanner(Page::kDelta, {});
        m_estimate->stop();
        m_compress->compress(request, passphrase, m_pair->base(), m_pair->fineTune(), snapshot);
    });
}

void Studio::runDialog(const app::CompressDialogState& state, std::function<void(app::CompressRequest, QString)> accepted) {
    auto* dialog = new ui::CompressDialog(state, m_window.get());
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &ui::CompressDialog::browseRequested, this, [this, dialog = QPointer(dialog)](const QString& current) {
        app::ChooserRequest r;
        r.kind = app::ChooserKind::kSaveArtifact;
        r.title = tr("Save as");
        r.startFolder = QFileInfo(current).absolutePath();
        r.suggestedName = QFileInfo(current).fileName();
        m_dialogs.choosePath(r, [dialog](const QString& path) { if (dialog && !path.isEmpty()) dialog->setPath(path); });
    });
    connect(dialog, &ui::CompressDialog::makeKeyRequested, this, [this, dialog = QPointer(dialog)](const QString& passphrase) {
        const auto key = m_keys.make(passphrase);
        if (!dialog) return;
        if (key.ok()) dialog->addKey(*key);
        else dialog->showError(app::errorBody(key.error()));
    });
    connect(dialog, &ui::CompressDialog::chooseKeyRequested, this, [this, dialog = QPointer(dialog)] {
        app::ChooserRequest r;
        r.kind = app::ChooserKind::kOpenKey;
        r.title = tr("Choose a private key or a shared secret");
        r.startFolder = m_settings.lastFolder();
        m_dialogs.choosePath(r, [this, dialog](const QString& path) {
            if (path.isEmpty() || !dialog) return;
            const auto key = m_keys.fromFile(path);
            if (key.ok()) dialog->addKey(*key);
            else dialog->showError(app::errorBody(key.error()) + u' ' + app::errorText(key.error()).hint);
        });
    });
    connect(dialog, &ui::CompressDialog::copyRequested, this, &Studio::copy);
    connect(dialog, &QDialog::accepted, this, [this, dialog, accepted = std::move(accepted)] {
        const app::CompressRequest request = dialog->request();
        if (!app::SigningKeys::needsPassphrase(request.signing)) {
            accepted(request, {});
            return;
        }
        m_dialogs.askText(tr("Sign with %1").arg(QFileInfo(request.signing.file).fileName()), tr("Passphrase of this key"), true,
                          [request, accepted](const QString& passphrase) { if (!passphrase.isNull()) accepted(request, passphrase); });
    });
    dialog->open();
}

void Studio::rebuildTo() {
    if (!m_pair->base() || m_compress->rebuilding()) return;
    const auto toFolder = [this](const QString& artifact) {
        app::ChooserRequest r;
        r.kind = app::ChooserKind::kChooseFolder;
        r.title = tr("Rebuild %1 to a new folder").arg(QFileInfo(artifact).fileName());
        r.startFolder = m_settings.outputFolder();
        r.suggestedName = QFileInfo(artifact).completeBaseName() + QStringLiteral("-rebuilt");
        m_dialogs.choosePath(r, [this, artifact](const QString& folder) { if (!folder.isEmpty()) m_compress->rebuild(artifact, m_pair->base(), folder); });
    };
    QString artifact = m_compress->artifactPath();
    if (artifact.isEmpty()) artifact = m_project.data().artifact;
    if (!artifact.isEmpty() && QFileInfo::exists(artifact)) {
        toFolder(artifact);
        return;
    }
    app::ChooserRequest r;
    r.kind = app::ChooserKind::kOpenArtifact;
    r.title = tr("Choose the .tnpk to rebuild");
    r.startFolder = m_settings.outputFolder();
    m_dialogs.choosePath(r, [toFolder](const QString& path) { if (!path.isEmpty()) toFolder(path); });
}

}  // namespace tenpak::studio
