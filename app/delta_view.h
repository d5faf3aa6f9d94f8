// SPDX-License-Identifier: GPL-3.0-or-later
// The Delta page's state from pair, estimate and compression. A pure function of them.
#pragma once
#include "app/compress_controller.h"
#include "app/estimate_controller.h"
#include "app/pair_controller.h"

namespace tenpak::app {

DeltaViewState deltaViewState(const PairController& pair, const EstimateController& estimate, const CompressController& compress);

}  // namespace tenpak::app
