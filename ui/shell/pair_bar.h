// SPDX-License-Identifier: GPL-3.0-or-later
// Base and fine-tune, visible on every page, with the swap button and the hardware chip.
#pragma once
#include "app/view_states.h"
#include "ui/widgets/basics.h"

namespace tenpak::ui {

class HardwareChip;

/// One slot: role, name, facts, menu. A button when empty ("Choose…").
class PairSlotCard : public Card {
    Q_OBJECT
   public:
    explicit PairSlotCard(app::PairSlot slot, QWidget* parent = nullptr);
    void setModel(const app::ModelSlot& model);
    void setCanFind(bool can);  ///< of an empty base: there is a fine-tune whose base can be looked for
    void setLit(bool lit);  ///< something is dragged over it
    app::PairSlot slot() const { return m_slot; }

   signals:
    void chooseRequested(tenpak::app::PairSlot slot);
    void revealRequested(tenpak::app::PairSlot slot);
    void inspectRequested(tenpak::app::PairSlot slot);
    void removeRequested(tenpak::app::PairSlot slot);
    void copyRequested(const QString& text);
    void swapRequested();
    void findRequested();

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    void openMenu();
    app::PairSlot m_slot;
    app::ModelSlot m_model;
    bool m_lit = false;
    Label* m_role;
    NameLabel* m_name;
    Label* m_facts;
    QPushButton *m_guess, *m_choose, *m_find, *m_menu;
    bool m_canFind = false;
};

class PairBar : public QWidget {
    Q_OBJECT
   public:
    explicit PairBar(QWidget* parent = nullptr);
    void setPair(const app::PairState& pair);
    void setHardware(const app::HardwareState& hardware);
    void setSlotsVisible(bool visible);  ///< the start page without a pair shows the chip only
    PairSlotCard* base() const { return m_base; }
    PairSlotCard* fineTune() const { return m_fineTune; }
    HardwareChip* chip() const { return m_chip; }

   signals:
    void chooseRequested(tenpak::app::PairSlot slot);
    void revealRequested(tenpak::app::PairSlot slot);
    void inspectRequested(tenpak::app::PairSlot slot);
    void removeRequested(tenpak::app::PairSlot slot);
    void copyRequested(const QString& text);
    void swapRequested();
    void findBaseRequested();
    void priceEdited(const QString& id, double usdPerHour);
    void priceChosen(const QString& id);

   private:
    PairSlotCard *m_base, *m_fineTune;
    QPushButton* m_swap;
    HardwareChip* m_chip;
};

}  // namespace tenpak::ui
