// SPDX-License-Identifier: GPL-3.0-or-later
// The first card of the Delta page: how large the fine-tune is when stored, how sure that is, and the page's two buttons.
#pragma once
#include <QElapsedTimer>
#include <QTimer>

#include "app/view_states.h"
#include "ui/widgets/basics.h"

namespace tenpak::ui {

class Funnel;
class Pill;
class RangeBar;

class SizeCard : public Card {
    Q_OBJECT
   public:
    explicit SizeCard(QWidget* parent = nullptr);
    void setState(const app::DeltaViewState& state);
    void triggerPrimary();

   signals:
    void compressRequested();
    void stopRequested();
    void rebuildRequested();
    void exportAdapterRequested();
    void showArtifactRequested(const QString& path);

   private:
    void showPills();
    void showHeadline();
    void scheduleHeadline();
    void showBar();
    void showButtons();

    app::DeltaViewState m_s;
    QElapsedTimer m_sinceHeadline;
    QTimer m_headlineLater;
    Pill* m_state;
    Pill* m_truth;       ///< lossless or lossy, never both
    Label* m_size;
    Label* m_saved;
    Label* m_loss;       ///< of a lossy artifact: what was lost, in figures
    RangeBar* m_bar;
    Funnel* m_funnel;
    QPushButton* m_primary;
    QPushButton* m_rebuild;
    QPushButton* m_adapter;
};

}  // namespace tenpak::ui
