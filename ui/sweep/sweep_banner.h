// SPDX-License-Identifier: GPL-3.0-or-later
// The sentence above the chart: progress, winner, or that nothing passes and what would. A pure function of the state.
#pragma once
#include "app/view_states.h"

namespace tenpak::ui {

inline constexpr char kBannerPause[] = "sweep.pause", kBannerResume[] = "sweep.resume", kBannerStop[] = "sweep.stop", kBannerExport[] = "sweep.export";
inline constexpr char kBannerAllow[] = "sweep.allow.";  ///< followed by the limit's name

struct SweepBanner {
    app::BannerState state;
    QString icon;
};
SweepBanner sweepBanner(const app::SweepViewState& state);
/// The limits after pressing an "Allow …" button of the banner; `id` without the prefix is limit_name().
optimizer::Limits allowed(const app::SweepViewState& state, const QString& id);

}  // namespace tenpak::ui
