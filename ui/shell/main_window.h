// SPDX-License-Identifier: GPL-3.0-or-later
// The shell: menu bar, rail, pair bar, hardware chip, four pages, jobs drawer, status bar. It lays out and forwards;
// what actions do is app/studio's business.
#pragma once
#include <QMainWindow>

#include "app/view_states.h"

namespace tenpak::app {
class ActionRegistry;
}

namespace tenpak::ui {

class ArtifactsPage;
class DeltaPage;
class StartPage;
class SweepPage;

enum class Page { kStart, kDelta, kSweep, kArtifacts };

class MainWindow : public QMainWindow {
    Q_OBJECT
   public:
    /// The menus are made from the registry's actions, which outlive the window.
    explicit MainWindow(app::ActionRegistry& actions, QWidget* parent = nullptr);
    ~MainWindow() override;

    StartPage* startPage() const;
    DeltaPage* deltaPage() const;
    SweepPage* sweepPage() const;
    ArtifactsPage* artifactsPage() const;
    Page page() const;

    void setPair(const app::PairState& pair);
    void setHardware(const app::HardwareState& hardware);
    void setShell(const app::ShellState& shell);

   public slots:
    void setPage(tenpak::ui::Page page);
    void triggerPrimary();       ///< the page's primary action
    void setJobsVisible(bool visible);
    bool jobsVisible() const;
    void showPalette();          ///< Ctrl+K
    void focusFilter();          ///< Ctrl+F
    void toggleInspector();      ///< Ctrl+I
    void focusNextRegion();      ///< F6

   signals:
    void pageChanged(tenpak::ui::Page page);
    void chooseRequested(tenpak::app::PairSlot slot);
    void filesDropped(const QStringList& paths, tenpak::app::PairSlot slot);
    void swapRequested();
    void findBaseRequested();
    void revealRequested(tenpak::app::PairSlot slot);
    void inspectRequested(tenpak::app::PairSlot slot);
    void removeRequested(tenpak::app::PairSlot slot);
    void copyRequested(const QString& text);
    void settingsRequested();
    void priceEdited(const QString& id, double usdPerHour);
    void priceChosen(const QString& id);
    void jobPauseRequested(const QString& id);
    void jobResumeRequested(const QString& id);
    void jobStopRequested(const QString& id);
    void jobRetryRequested(const QString& id);
    void jobShowRequested(const QString& id);
    void clearFinishedJobsRequested();
    /// Emitted by the window's close event; accept() or ignore() it there and then.
    void closing(QCloseEvent* event);

   protected:
    void closeEvent(QCloseEvent* event) override;
    void dragEnterEvent(QDragEnterEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

   private:
    class Private;
    std::unique_ptr<Private> d;
};

}  // namespace tenpak::ui
