// SPDX-License-Identifier: GPL-3.0-or-later
// Every state of the window, by name.
#pragma once
#include <QSettings>
#include <functional>
#include <memory>
#include <vector>

#include "app/action_registry.h"
#include "app/candidate_model.h"
#include "app/files_model.h"
#include "app/settings.h"
#include "app/tensor_model.h"
#include "app/view_states.h"
#include "tests/ui/scenes/layout_check.h"
#include "ui/shell/main_window.h"

namespace tenpak::scenes {

/// A window with its models, alive while a scene is shown.
struct Stage {
    app::ActionRegistry actions;
    app::TensorModel tensors;
    app::CandidateModel candidates;
    app::FilesModel files;
    std::unique_ptr<ui::MainWindow> window;
    std::unique_ptr<QSettings> store;
    std::unique_ptr<app::Settings> settings;
    std::unique_ptr<QWidget> other;  ///< a dialog or popover shown instead

    ui::MainWindow* open(const QSize& size, ui::Page page, bool withPair = true);
    void show(const app::DeltaViewState& state);
    void show(const app::SweepViewState& state);
    void show(const app::ArtifactViewState& state);
};

struct Scene {
    QString name;
    std::function<QWidget*(Stage&, const QSize&)> make;
    std::function<void(Stage&)> after;  ///< once it is on the screen
    layout_check::Options check;
    bool ownSize = false;               ///< dialogs: not at every window size
    bool paints = true;                 ///< has painted text
};
const std::vector<Scene>& all();

}  // namespace tenpak::scenes
