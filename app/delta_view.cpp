// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/delta_view.h"

#include "app/error_text.h"

namespace tenpak::app {

using Phase = DeltaViewState::Phase;

DeltaViewState deltaViewState(const PairController& pair, const EstimateController& estimate, const CompressController& compress) {
    DeltaViewState s;
    s.pair = pair.state();
    s.estimate = estimate.snapshot();
    s.funnel = estimate.funnel();
    s.stale = estimate.stale();
    if (!s.pair.complete()) return s;
    switch (estimate.phase()) {
        case EstimateController::Phase::kNone:
        case EstimateController::Phase::kOpening: s.phase = Phase::kOpening; break;
        case EstimateController::Phase::kRunning: s.phase = Phase::kEstimating; break;
        case EstimateController::Phase::kDone: s.phase = Phase::kEstimated; break;
        case EstimateController::Phase::kStopped: s.phase = s.estimate ? Phase::kEstimated : Phase::kStopped; break;
        case EstimateController::Phase::kFailed: s.phase = Phase::kFailed; break;
        case EstimateController::Phase::kMisfit: s.phase = Phase::kMisfit; break;
    }
    s.secondsLeft = estimate.secondsLeft();
    s.misfits = estimate.plan().misfits;
    if (s.phase == Phase::kMisfit) {
        const delta::PairPlan& plan = estimate.plan();
        s.baseFingerprint = QString::fromStdString(plan.base_fingerprint);
        s.fineTuneFingerprint = QString::fromStdString(plan.fine_tune_fingerprint);
        if (pair.base() && pair.fineTune()) s.misfitReason = errorBody(delta::misfit_error(plan, *pair.base(), *pair.fineTune()));
        return s;
    }
    if (s.phase == Phase::kFailed && estimate.error()) {
        const ErrorText t = errorText(*estimate.error());
        s.banner.tone = Tone::kError;
        s.banner.title = t.title;
        s.banner.body = t.body + u' ' + t.hint;
        s.banner.details = t.details;
        s.banner.actions = {{QStringLiteral("estimate-again"), EstimateController::tr("Estimate again"), {}, true}};
    }
    switch (compress.phase()) {
        case CompressController::Phase::kIdle: break;
        case CompressController::Phase::kCompressing:
            s.phase = Phase::kCompressing;
            s.estimate = compress.measured();
            s.step = compress.step();
            s.lossy = compress.loss().lossy;
            s.lossyMode = compress.loss().mode;
            s.fractionWritten = compress.fraction();
            s.bytesPerSecond = compress.bytesPerSecond();
            s.bytesWritten = compress.bytesWritten();
            s.secondsLeft = compress.secondsLeft();
            break;
        case CompressController::Phase::kMeasured:
            s.phase = Phase::kMeasured;
            s.estimate = compress.measured();
            s.storedBytes = compress.storedBytes();
            s.artifactPath = compress.artifactPath();
            s.lossy = compress.loss().lossy;
            s.lossyMode = compress.loss().mode;
            s.maxAbsError = compress.loss().max_abs;
            s.relativeError = compress.loss().relative;
            s.changeError = compress.loss().change;
            s.perplexity = compress.loss().perplexity;
            s.errors = compress.loss().errors;
            if (compress.factors()) {
                s.adapterRank = compress.adapterRank();
                s.adapterTensors = static_cast<int>(compress.factors()->size());
            }
            s.filesCompared = s.filesEqual = compress.filesCompared();  // one that differs is an error, not an outcome
            break;
        case CompressController::Phase::kStopped:
            s.phase = Phase::kStopped;
            s.banner.tone = Tone::kNeutral;
            s.banner.title = CompressController::tr("Compression stopped");
            s.banner.body = CompressController::tr("Nothing was written.");
            break;
        case CompressController::Phase::kFailed: {
            s.phase = Phase::kFailed;
            const ErrorText t = errorText(*compress.error());
            s.banner.tone = Tone::kError;
            s.banner.title = t.title;
            s.banner.body = t.body + u' ' + t.hint;
            s.banner.details = t.details;
            break;
        }
    }
    s.estimateBefore = compress.estimateBefore();
    return s;
}

}  // namespace tenpak::app
