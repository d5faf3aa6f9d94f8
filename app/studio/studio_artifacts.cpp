// SPDX-License-Identifier: GPL-3.0-or-later
// The Artifacts page.
#include <QFileInfo>

#include "app/error_text.h"
#include "app/format.h"
#include "app/studio/studio.h"
#include "ui/artifacts/artifacts_page.h"
#include "ui/shell/main_window.h"

namespace tenpak::studio {

using ui::Page;

void Studio::connectArtifacts() {
    ui::ArtifactsPage* page = m_window->artifactsPage();
    app::ArtifactController* artifacts = m_artifacts.get();
    connect(artifacts, &app::ArtifactController::changed, this, [this] { refresh(kArtifacts); });
    connect(page, &ui::ArtifactsPage::openRequested, artifacts, &app::ArtifactController::open);
    connect(page, &ui::ArtifactsPage::currentChanged, artifacts, &app::ArtifactController::setCurrent);
    connect(page, &ui::ArtifactsPage::verifyRequested, artifacts, &app::ArtifactController::verify);
    connect(page, &ui::ArtifactsPage::trustRequested, artifacts, &app::ArtifactController::trust);
    connect(page, &ui::ArtifactsPage::rebuildRequested, artifacts, &app::ArtifactController::rebuildAndCompare);
    connect(page, &ui::ArtifactsPage::chooseBaseRequested, artifacts, &app::ArtifactController::chooseBase);
    connect(page, &ui::ArtifactsPage::unpackRequested, artifacts, &app::ArtifactController::unpack);
    connect(page, &ui::ArtifactsPage::stopRequested, artifacts, &app::ArtifactController::stop);
    connect(page, &ui::ArtifactsPage::bannerActionTriggered, this, &Studio::bannerAction);
    connect(page, &ui::ArtifactsPage::bannerClosed, this, [this] { showBanner(Page::kArtifacts, {}); });
    connect(artifacts, &app::ArtifactController::failed, this, [this](const Error& e, const QString&) { showError(Page::kArtifacts, e); });
    connect(artifacts, &app::ArtifactController::unpacked, this, [this](const QString& folder, quint64 files, quint64 bytes, double seconds) {
        app::BannerState b;
        b.tone = app::Tone::kOk;
        b.title = tr("Unpacked to %1").arg(QFileInfo(folder).fileName());
        b.body = tr("%1 files, %2 in %3; every file has the recorded SHA-256.").arg(app::format::count(files), app::format::bytes(static_cast<double>(bytes)), app::format::duration(seconds));
        showBanner(Page::kArtifacts, b);
    });
}

}  // namespace tenpak::studio
