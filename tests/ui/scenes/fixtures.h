// SPDX-License-Identifier: GPL-3.0-or-later
// Made-up figures, shaped like a 22-layer 1.1B Llama fine-tune: for pictures and layout checks only. Nothing here is a
// measurement and nothing here is linked into the product.
#pragma once
#include "app/view_states.h"

namespace tenpak::fixtures {

app::PairState pair();
app::HardwareState hardware();
/// `progress` 0..1 of an estimate in two passes; 1 with `complete`: everything compared.
std::shared_ptr<const delta::EstimateSnapshot> estimate(int layers, double progress, bool complete);
/// A model whose tensors have no layer numbers.
std::shared_ptr<const delta::EstimateSnapshot> estimateWithoutLayers();
/// A merged adapter of rank 16: low-rank projections, everything else as in the base.
std::shared_ptr<const delta::EstimateSnapshot> estimateOfMergedAdapter(int layers, double progress, bool complete);
QList<app::FunnelPoint> funnel(double upTo);
/// Measured in a lossy mode.
app::DeltaViewState lossy();
/// The Delta page of a merged adapter.
app::DeltaViewState mergedAdapter(app::DeltaViewState::Phase phase);
app::DeltaViewState delta(app::DeltaViewState::Phase phase, int layers = 22);

std::shared_ptr<const std::vector<optimizer::Trial>> trials(int done, bool withFailure);
std::shared_ptr<const std::vector<optimizer::Trial>> manyTrials(int count);
app::SweepViewState sweep(app::SweepViewState::Phase phase, int done, bool withFailure = false);
void judge(app::SweepViewState& state);

enum class ArtifactCase { kNotChecked, kChecking, kUnknownKey, kSigned, kDamaged, kHmac, kUnsigned, kLossy, kBaseMissing, kWrongBase, kRebuilding };
app::ArtifactViewState artifacts(ArtifactCase which);
app::StartViewState start();
app::ShellState shell(bool sweepRunning, bool withFailed);
app::FindBaseState findBase(bool found);
app::ArchiveState archive(app::ArchiveState::Phase phase);
app::CompressDialogState compressDialog(bool export_);

}  // namespace tenpak::fixtures
