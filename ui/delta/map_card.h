// SPDX-License-Identifier: GPL-3.0-or-later
// "Where it changed": metric switch, layer map, methods, and the read-out of one cell.
#pragma once
#include "app/view_states.h"
#include "ui/widgets/basics.h"

namespace tenpak::ui {

class LayerMap;
class MethodBars;

class MapCard : public Card {
    Q_OBJECT
   public:
    explicit MapCard(QWidget* parent = nullptr);
    void setState(const app::DeltaViewState& state);
    LayerMap* map() const { return m_map; }

   private:
    LayerMap* m_map;
    MethodBars* m_methods;
    Label* m_readout;
    QString m_idle;
};

}  // namespace tenpak::ui
