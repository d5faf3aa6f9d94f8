// SPDX-License-Identifier: GPL-3.0-or-later
// What each page shows, as plain immutable values: the controllers make them from the engine's results, the scene
// program of tests/ui makes them from fixtures, the pages of ui/ paint them. Nothing here does anything. Large results
// travel as shared_ptr<const …>, so copying a state is cheap and a page sees by the pointer that nothing changed.
//
// Numbers are numbers here and become text in the pages (app/format.h), except where a field says "sentence".
#pragma once
#include <QDateTime>
#include <QHash>
#include <QList>
#include <QMetaType>
#include <QString>
#include <QStringList>
#include <memory>
#include <optional>
#include <vector>

#include "core/delta/estimate.h"
#include "core/delta/pair.h"
#include "core/optimizer/judge.h"
#include "core/optimizer/trial.h"
#include "core/signing/signing.h"

namespace tenpak::app {

/// Where something was dropped or is to be chosen; kEither: the model card's base_model tells.
enum class PairSlot { kBase, kFineTune, kEither };

/// Colour and icon of a statement; the words always say it as well.
enum class Tone { kNeutral, kInfo, kOk, kWarn, kError };

/// At most one a page, newest wins. Pages make their own banners from their state (winner, misfit, paused …); this one,
/// when set, takes precedence: refused drops, failures, crash recovery.
struct BannerState {
    struct Action {
        QString id;    ///< given back by bannerActionTriggered(id)
        QString text;  ///< verb, sentence case
        QString icon;  ///< name in resources/icons, may be empty
        bool primary = false;
    };
    Tone tone = Tone::kNeutral;
    QString title;            ///< empty: no banner
    QString body;             ///< what and where
    QString details;          ///< for "Copy details"; empty: no such button
    QList<Action> actions;    ///< one or two
    bool closable = true;
    bool isEmpty() const { return title.isEmpty(); }
};

// ---------------------------------------------------------------------------------------------------------- shell
/// One slot of the pair bar.
struct ModelSlot {
    QString path;         ///< empty: nothing chosen
    QString name;
    QString facts;        ///< sentence: "2.20 GB · bf16 · 22 layers"
    QString fingerprint;  ///< for "Copy fingerprint"
    bool guessed = false; ///< placed by order of dropping: the slot says "Guessed. Swap?"
    bool opening = false;
    bool isEmpty() const { return path.isEmpty(); }
};
struct PairState {
    ModelSlot base, fineTune;
    bool complete() const { return !base.isEmpty() && !fineTune.isEmpty(); }
};

/// Hardware chip and its popover.
struct HardwareState {
    QString chip;          ///< sentence: "CPU, 2 cores, AMX · no NVIDIA driver"
    QString device, instructionSets, gpuReason;
    int cores = 0;
    quint64 memoryBytes = 0;
    std::vector<optimizer::HardwarePrice> prices;
    QString priceId;
};

/// A row of the jobs drawer.
struct JobRow {
    enum class State { kQueued, kRunning, kPaused, kStopping, kDone, kFailed, kStopped };
    QString id, kind;      ///< kind: "estimate", "compress", "rebuild", "sweep", "verify", "pack"
    QString title;         ///< sentence: "Sweep, TinyLlama-1.1B-Chat"
    QString phase;         ///< sentence: "gptq_g128: perplexity, 6 of 10 done"
    State state = State::kQueued;
    double fraction = -1;  ///< 0..1, negative where not known
    QString time;          ///< sentence: "about 3 min left", "1.9 s"
    bool canPause = false, canStop = false, canRetry = false, canShow = false;
    QString error, hint, log;  ///< of a failed one
    bool active() const { return state == State::kRunning || state == State::kPaused || state == State::kStopping || state == State::kQueued; }
};
struct ShellState {
    QString title;         ///< window title: the project's name
    QString jobsText;      ///< sentence of the status bar: "1 job running · sweep 6 of 10 · about 3 min left"
    bool jobsRunning = false;
    QString message;       ///< one line when a job ended while its page was hidden
    QString savedText;     ///< "Autosaved 14:02"
    QList<JobRow> jobs;
    bool deltaBusy = false, sweepBusy = false, artifactsBusy = false;  ///< dots on the rail
};

// ---------------------------------------------------------------------------------------------------------- start
struct RecentProject {
    QString path, name;
    QString pair;    ///< "TinyLlama-1.1B → TinyLlama-1.1B-Chat"
    QString result;  ///< sentence: "65.5 % smaller · awq_g256 wins"
    QString when;    ///< "today, 14:02"
};
struct StartViewState {
    bool sampleAvailable = true;
    QString sampleCost;  ///< sentence: "Two small real models, 9 MB. Estimate in a second, …"
    QList<RecentProject> recent;  ///< the first nine have keys
    BannerState banner;           ///< crash recovery, refused drop
};

// ---------------------------------------------------------------------------------------------------------- delta
/// How the estimate converged.
struct FunnelPoint {
    double readFraction = 0, estimated = 0, low = 0, high = 0;
};
struct DeltaViewState {
    enum class Phase { kNoPair, kOpening, kMisfit, kEstimating, kEstimated, kCompressing, kMeasured, kStopped, kFailed };
    Phase phase = Phase::kNoPair;
    PairState pair;
    /// Sizes a tensor and in total. While and after compressing: the same list with the measured figures filled in
    /// (low == high == estimated_bytes, complete), as far as they are known.
    std::shared_ptr<const delta::EstimateSnapshot> estimate;
    QList<FunnelPoint> funnel;
    bool stale = false;            ///< figures of an older pair, faded until the first new snapshot
    double secondsLeft = -1;       ///< of the running estimate or compression; negative: not known yet
    // while compressing
    QString step;                  ///< sentence: what is done beside compressing; empty: compressing
    double fractionWritten = 0, bytesPerSecond = 0;
    quint64 bytesWritten = 0;
    // measured
    quint64 storedBytes = 0;       ///< the whole artifact
    double estimateBefore = 0;     ///< middle of the last estimate; 0: there was none
    QString artifactPath;
    int filesCompared = 0, filesEqual = 0;  ///< 0 compared: not rebuilt here yet
    /// Of a lossy mode, measured against the fine-tune; Frobenius norms of the error over those of the weights and of the change.
    bool lossy = false;            ///< while compressing: a lossy mode is at work, and `estimate` is of the lossless size
    QString lossyMode;             ///< sentence: "INT8", "Low rank, rank 16"
    double maxAbsError = 0, relativeError = 0, changeError = 0;
    QString perplexity;            ///< sentence: what was measured, or why it was not; empty: not asked for
    std::shared_ptr<const std::map<std::string, double>> errors;  ///< largest error by tensor
    int adapterRank = 0;           ///< largest rank of the recovered factors; 0: there are none to export
    int adapterTensors = 0;
    // does not fit
    std::vector<delta::Misfit> misfits;
    QString misfitReason, baseFingerprint, fineTuneFingerprint;
    BannerState banner;            ///< stopped, failed
};

// ---------------------------------------------------------------------------------------------------------- sweep
/// One serving engine's verdict on a candidate in a layout: a rule applied to the model's shapes, not a test.
struct EngineRow {
    enum class Loads { kNo, kIf, kYes };
    QString engine;        ///< "vLLM"
    Loads loads = Loads::kNo;
    QString kernel;        ///< "Marlin"; empty where it does not load
    QString why;           ///< the condition, or why not; empty for a plain yes
    bool operator==(const EngineRow&) const = default;
};
struct EngineVerdicts {
    QString layout;        ///< "compressed-tensors"; empty: not known
    QList<EngineRow> rows;
    bool operator==(const EngineVerdicts&) const = default;
};
struct CandidateChoice {
    QString name;
    QString bits;          ///< "4.16 bits", "by layer"
    QString importedFrom;  ///< path of a model that is quantized already; empty: a candidate made here
    bool checked = true, available = true;
    QString reason;      ///< sentence, where not available: "Needs a GPU with FP8"
};
struct Choice {
    QString id, text;
};
struct SweepViewState {
    enum class Phase { kNoModel, kEmpty, kRunning, kPaused, kFinished };
    Phase phase = Phase::kNoModel;
    PairState pair;
    std::shared_ptr<const std::vector<optimizer::Trial>> trials;        ///< in table order: never re-sorted while running
    std::shared_ptr<const optimizer::Judgement> judgement;              ///< of these trials and limits
    optimizer::Limits limits;
    QList<Choice> models, texts;
    QString modelId, textId;
    std::vector<optimizer::HardwarePrice> prices;
    QString priceId;
    QList<CandidateChoice> choices;
    QHash<QString, EngineVerdicts> engines;  ///< by candidate, in the layout that most engines load
    QString expected;    ///< sentence beside Start: "9 candidates, about 6 min on this machine"
    int done = 0, total = 0;
    QString timeLeft;    ///< sentence: "about 3 min left"; empty before 3 samples
    QString recorded;    ///< sentence: "Recorded on DEVICE, DATE"; empty when measured here
    QString note;        ///< sentence under the chart: what the figures cannot say (weights fit the cache …); may be empty
    BannerState banner;
};

// ------------------------------------------------------------------------------------------------------ artifacts
/// List pill, the worst answer of the four questions.
enum class Trust { kNotChecked, kDamaged, kUnknownKey, kUnsigned, kSharedSecret, kSigned, kWrongSignature };
struct ArtifactRow {
    QString path, name;
    QString facts;         ///< sentence: "delta · 758 MB"
    Trust trust = Trust::kNotChecked;
    QString signer;        ///< for kSigned
};
struct ArtifactFile {
    QString path;
    quint64 rawBytes = 0, storedBytes = 0;
    QString how;           ///< sentence: "difference 154, standalone 24, identical 6 tensors"
};
struct ArtifactDetails {
    QString path, name;
    QString summary;       ///< sentence: "Delta of X from Y · 758 MB instead of 2.20 GB · made 22 Nov 2026, 14:02"
    // Is it intact? Who signed it?
    enum class Check { kNotChecked, kChecking, kChecked, kFailed };
    Check check = Check::kNotChecked;
    double fraction = 0;   ///< while checking
    signing::VerifyReport report;
    QDateTime checkedAt;
    double checkSeconds = 0;
    // Is it lossless?
    bool madeLossless = true;
    QString lossyWhat;     ///< "int8, largest weight error 3.1e-4"
    enum class Rebuild { kNotRebuilt, kRebuilding, kSame, kDifferent, kFailed };
    Rebuild rebuild = Rebuild::kNotRebuilt;
    double rebuildFraction = 0, rebuildSeconds = 0;
    quint64 rebuiltBytes = 0;
    int filesCompared = 0, filesEqual = 0;
    QString rebuildError;
    // Does it need a base?
    enum class Base { kNotNeeded, kFound, kFoundUnchecked, kNotFound, kWrong };
    Base base = Base::kNotNeeded;
    QString baseName, baseRecorded, baseFound;  ///< fingerprints
    std::vector<ArtifactFile> files;
};
struct ArtifactViewState {
    QList<ArtifactRow> items;
    int current = -1;
    ArtifactDetails details;  ///< of `current`
    BannerState banner;
};

// ---------------------------------------------------------------------------------------------------- compress dialog
/// A way to sign, as the user's key list offers it.
struct SigningChoice {
    enum class Kind { kKeyFile, kHmac, kNone };
    Kind kind = Kind::kNone;
    QString file, text;       ///< text: sentence in the list: "Key file tenpak.key"
    QString explanation;      ///< sentence below the list: fingerprint and what it proves
};
/// What may be lost to save bytes (delta::LossyMode).
enum class DeltaMode { kLossless, kInt8, kInt4, kBit1, kLowRank };
struct CompressRequest {
    QString path;
    DeltaMode mode = DeltaMode::kLossless;
    int rank = 16;            ///< of kLowRank
    QString layout;           ///< of a sweep's candidate: how its weights are written; empty: the usual one
    QString perplexityText;   ///< of a lossy mode: the text to measure on; empty: not measured
    bool folder = false;      ///< form: false = one file
    SigningChoice signing;
    bool readBack = true, rebuildAndCompare = true;
};
struct CompressDialogState {
    QString heading;          ///< sentence: "Compress TinyLlama-1.1B-Chat as a delta", "Export awq_g256"
    QString expected;         ///< sentence: expected size, range, time, free space
    QString primary;          ///< "Compress", "Export"
    CompressRequest request;  ///< preset
    QList<SigningChoice> keys;
    QList<EngineVerdicts> layouts;  ///< of a sweep's candidate: what it can be written in, the usual one first
    bool hasModes = false;    ///< a delta: what may be lost can be chosen
    QList<Choice> texts;      ///< id: a file on which the perplexity change can be measured
    bool canRebuild = true;   ///< false for quantized exports: nothing to compare with
    QString commandTemplate;  ///< "tenpak delta compress BASE FT -o %1": %1 becomes the chosen path, %2 the layout
};

// ------------------------------------------------------------------------------------------------------ find base dialog
struct BaseCandidateRow {
    QString path, name;
    QString facts;         ///< sentence: "272 MB · bf16 · 30 layers"
    QString reason;        ///< sentence: why it is the base, or why not
    bool best = false, fits = false;
    bool operator==(const BaseCandidateRow&) const = default;
};
struct FindBaseState {
    QString fineTune;
    QStringList folders;
    bool searching = false, searched = false;
    double fraction = -1;
    QString phase;         ///< sentence, while searching
    QString result;        ///< sentence, afterwards: "3 models compared in 1.2 s"
    QList<BaseCandidateRow> candidates;  ///< best first
    BannerState banner;
};

// -------------------------------------------------------------------------------------------------------- archive dialog
struct ArchiveRow {
    enum class State { kPlanned, kKept, kDone, kFailed };  ///< kKept: stays as it is, the reason says why
    QString path, name;
    QString base;          ///< name of the model it is stored as a delta of
    QString reason;        ///< sentence: why this base, why not archived, or why it failed
    State state = State::kPlanned;
    quint64 rawBytes = 0, storedBytes = 0, freedBytes = 0;  ///< stored, freed: of kDone
    double estimated = 0, low = 0, high = 0;                ///< of kPlanned, bytes
    bool checked = true;   ///< of kPlanned: to be archived
    bool operator==(const ArchiveRow&) const = default;
};
struct ArchiveState {
    enum class Phase { kEmpty, kPlanning, kPlanned, kRunning, kDone };
    Phase phase = Phase::kEmpty;
    QStringList folders;
    QList<ArchiveRow> rows;
    bool replace = false;  ///< originals are removed once their artifact was rebuilt and compared
    double fraction = -1;
    QString phaseText;     ///< sentence, while planning or running
    QString result;        ///< sentence: what can be saved, or what was
    bool canUndo = false;
    BannerState banner;
};

}  // namespace tenpak::app

Q_DECLARE_METATYPE(tenpak::app::PairSlot)
Q_DECLARE_METATYPE(tenpak::app::CompressRequest)
Q_DECLARE_METATYPE(tenpak::optimizer::Limits)
