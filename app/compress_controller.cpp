// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/compress_controller.h"

#include <QDir>
#include <QFileInfo>
#include <cmath>

#include "app/commands.h"
#include "app/format.h"
#include "core/delta/low_rank_adapter.h"
#include "core/delta/reconstruct.h"

namespace tenpak::app {
namespace {

using Snapshot = CompressController::Snapshot;

/// All tensors in the order of the page, nothing known of them yet.
Snapshot unread(const ModelDirectory& model) {
    auto s = std::make_shared<delta::EstimateSnapshot>();
    s->raw_bytes = model.total_bytes();
    for (const std::uint32_t i : layer_order(model.tensors())) {
        const TensorInfo& t = model.tensors()[i];
        delta::TensorEstimate e;
        e.name = t.name;
        e.dtype = t.dtype;
        e.shape = t.shape;
        const TensorPlace place = tensor_place(t.name);
        e.layer = place.layer;
        e.projection = place.projection;
        e.raw_bytes = t.bytes;
        s->tensors.push_back(std::move(e));
    }
    return s;
}

delta::LossyOptions lossyOptions(const CompressRequest& request) {
    delta::LossyOptions o;
    switch (request.mode) {
        case DeltaMode::kLossless: o.mode = delta::LossyMode::kLossless; break;
        case DeltaMode::kInt8: o.mode = delta::LossyMode::kInt8; break;
        case DeltaMode::kInt4: o.mode = delta::LossyMode::kInt4; break;
        case DeltaMode::kBit1: o.mode = delta::LossyMode::kBit1; break;
        case DeltaMode::kLowRank: o.mode = delta::LossyMode::kLowRank; break;
    }
    o.rank = static_cast<std::uint32_t>(std::max(1, request.rank));
    return o;
}

QString modeText(const CompressRequest& request) {
    switch (request.mode) {
        case DeltaMode::kLossless: return {};
        case DeltaMode::kInt8: return CompressController::tr("INT8");
        case DeltaMode::kInt4: return CompressController::tr("INT4");
        case DeltaMode::kBit1: return CompressController::tr("1 bit");
        case DeltaMode::kLowRank: return CompressController::tr("Low rank, rank %1").arg(request.rank);
    }
    return {};
}

QString perplexityText(const PerplexityChange& p, const QString& file) {
    if (!p.why_not.empty()) return CompressController::tr("perplexity not measured: %1").arg(QString::fromStdString(p.why_not));
    return CompressController::tr("perplexity %1 (95 % range %2 to %3) on %4, measured here")
        .arg(format::signedPercent(p.percent), format::signedPercent(p.low), format::signedPercent(p.high), QFileInfo(file).fileName());
}

QString freePath(const QString& folder, const QString& name, const QString& suffix) {
    QString path = QDir(folder).filePath(name + suffix);
    for (int i = 2; QFileInfo::exists(path); ++i) path = QDir(folder).filePath(QStringLiteral("%1-%2%3").arg(name).arg(i).arg(suffix));
    return path;
}

}  // namespace

CompressController::CompressController(JobManager& jobs, Settings& settings, SigningKeys& keys, QObject* parent)
    : QObject(parent), m_jobs(jobs), m_settings(settings), m_keys(keys) {}

CompressDialogState CompressController::dialogState(const ModelDirectory& base, const ModelDirectory& fineTune, const Snapshot& estimate) const {
    CompressDialogState s;
    const QString name = QString::fromStdString(fineTune.id());
    s.heading = tr("Compress %1 as a delta").arg(name);
    s.primary = tr("Compress");
    s.hasModes = true;
    const QString folder = m_settings.outputFolder();
    s.request.path = freePath(folder, name, QStringLiteral(".tnpk"));
    s.keys = m_keys.choices();
    s.request.signing = s.keys.first();
    QStringList expected;
    if (estimate) {
        expected.append(format::estimatedBytes(estimate->estimated_bytes, estimate->low, estimate->high));
        if (estimate->high > estimate->low) expected.append(tr("95 % range %1").arg(format::byteRange(estimate->low, estimate->high)));
    } else {
        expected.append(tr("At most about %1").arg(format::bytes(static_cast<double>(fineTune.total_bytes()))));
    }
    if (const auto free = free_bytes(fs::path(folder.toStdString())); free.ok()) expected.append(tr("%1 free").arg(format::bytes(static_cast<double>(*free))));
    s.expected = expected.join(QStringLiteral(" \u00B7 "));
    s.commandTemplate = compressCommand(QString::fromStdString(base.path().string()), QString::fromStdString(fineTune.path().string()), QStringLiteral("%1"));
    return s;
}

void CompressController::compress(const CompressRequest& request, const QString& passphrase, std::shared_ptr<const ModelDirectory> base,
                                  std::shared_ptr<const ModelDirectory> fineTune, const Snapshot& estimate) {
    if (m_phase == Phase::kCompressing) return;
    if (request.signing.kind != SigningChoice::Kind::kNone) m_keys.remember(request.signing);
    m_settings.setOutputFolder(QFileInfo(request.path).absolutePath());
    m_phase = Phase::kCompressing;
    m_error.reset();
    m_fraction = 0;
    m_bytesWritten = m_storedBytes = 0;
    m_filesCompared = 0;
    m_loss = {};
    m_loss.lossy = request.mode != DeltaMode::kLossless;  // until it is known
    m_loss.mode = modeText(request);
    m_factors = nullptr;
    m_rawTotal = fineTune->total_bytes();
    m_estimateBefore = estimate ? estimate->estimated_bytes : 0;
    m_measured = estimate ? estimate : unread(*fineTune);
    const quint64 generation = ++m_generation;

    WriteRequest write;
    write.path = request.path.toStdString();
    write.folder = request.folder;
    write.key = SigningKeys::toKey(request.signing, passphrase);
    write.model_id = fineTune->id();
    write.rebuild_and_compare = request.rebuildAndCompare;
    write.model = fineTune;
    JobSpec spec{QStringLiteral("compress"), tr("Compress, %1").arg(QString::fromStdString(fineTune->id()))};
    m_job = m_jobs.start<Outcome>(
        spec, this,
        [self = QPointer(this), generation, write, base, fineTune, request](const JobRun& run) -> Result<Outcome> {
            delta::CompressOptions options;
            options.lossy = lossyOptions(request);
            const FillSink fill = [&](BlockSink& sink) { return delta::compress(*base, *fineTune, sink, options, run.context()); };
            const auto report = [&](const WriteProgress& p) {
                run.post("written", [self, generation, p] { if (self && self->m_generation == generation) self->takeProgress(p); });
            };
            Outcome out;
            TENPAK_ASSIGN(out.written, write_artifact(write, fill, base.get(), report, run.context()));
            if (request.perplexityText.isEmpty() || out.written.report.lossless) return out;
            PerplexityRequest p;
            p.base = base->path();
            p.fine_tune = fineTune->path();
            p.artifact = out.written.artifact->path();
            p.text = request.perplexityText.toStdString();
            auto change = measure_perplexity_change(p, run.context());
            // The artifact is in place: stopping the measurement does not undo it.
            out.perplexity = change.ok() ? *change : PerplexityChange{.why_not = "it was stopped"};
            return out;
        },
        [this, generation, request, base, fineTune](Result<Outcome> r) {
            if (generation != m_generation) return;
            if (r.ok()) {
                m_factorsOf = fineTune;
                m_factorsBase = base->id();
                takeOutcome(*r, request);
            } else if (r.error().code == ErrorCode::kCancelled) {
                m_phase = Phase::kStopped;
                emit changed();
            } else {
                m_phase = Phase::kFailed;
                m_error = r.error();
                emit changed();
            }
        });
    connect(m_job, &Job::changed, this, &CompressController::changed);
    // A retry would have to keep the passphrase: whoever has one starts from the dialog again.
    if (passphrase.isEmpty())
        m_job->setRetry([self = QPointer(this), request, base, fineTune, estimate] {
            if (self) self->compress(request, {}, base, fineTune, estimate);
        });
    emit changed();
}

void CompressController::takeProgress(const WriteProgress& p) {
    if (m_phase != Phase::kCompressing) return;
    m_fraction = m_rawTotal > 0 ? std::min(1.0, static_cast<double>(p.raw_bytes) / static_cast<double>(m_rawTotal)) : 0;
    m_bytesWritten = p.stored_bytes;
    auto next = std::make_shared<delta::EstimateSnapshot>(*m_measured);
    for (delta::TensorEstimate& t : next->tensors) {
        const auto it = p.tensors.find(t.name);
        if (it == p.tensors.end() || it->second.raw_bytes < t.raw_bytes) continue;
        t.method = it->second.method();
        if (t.method != "lowrank") t.rank = 0;
        t.estimated_bytes = t.low = t.high = static_cast<double>(it->second.stored_bytes);
        t.sampled_fraction = 1;
        t.complete = true;
    }
    m_measured = std::move(next);
    emit changed();
}

void CompressController::takeOutcome(const Outcome& result, const CompressRequest& request) {
    const WriteOutcome& outcome = result.written;
    auto next = std::make_shared<delta::EstimateSnapshot>(*m_measured);
    std::map<std::string_view, const delta::TensorReport*> byName;
    for (const auto& t : outcome.report.tensors) byName[t.name] = &t;
    for (delta::TensorEstimate& t : next->tensors) {
        const auto it = byName.find(t.name);
        if (it == byName.end()) continue;
        t.method = it->second->method;
        t.rank = it->second->rank;
        t.changed_fraction = it->second->changed_fraction;
        t.estimated_bytes = t.low = t.high = static_cast<double>(it->second->stored_bytes);
        t.sampled_fraction = 1;
        t.complete = true;
    }
    m_storedBytes = outcome.artifact->stored_bytes();
    next->estimated_bytes = next->low = next->high = static_cast<double>(m_storedBytes);
    next->raw_bytes = outcome.report.raw_bytes;
    next->bytes_read = next->bytes_total;
    next->finished = true;
    m_measured = std::move(next);
    m_fraction = 1;
    m_artifactPath = QString::fromStdString(outcome.artifact->path().string());
    m_filesCompared = static_cast<int>(outcome.files_compared);
    m_compareSeconds = outcome.compare_seconds;
    m_loss = {};
    m_loss.lossy = !outcome.report.lossless;
    m_loss.mode = modeText(request);
    if (m_loss.lossy) {
        m_loss.max_abs = outcome.report.error.max_abs;
        m_loss.relative = outcome.report.error.relative();
        m_loss.change = outcome.report.error.change_relative();
        auto errors = std::make_shared<std::map<std::string, double>>();
        for (const auto& t : outcome.report.tensors) (*errors)[t.name] = t.error.max_abs;
        m_loss.errors = std::move(errors);
        if (result.perplexity) m_loss.perplexity = perplexityText(*result.perplexity, request.perplexityText);
        m_estimateBefore = 0;  // that was of the lossless size
    }
    m_factors = !m_loss.lossy && outcome.report.factors && !outcome.report.factors->empty() ? outcome.report.factors : nullptr;
    m_phase = Phase::kMeasured;
    const double raw = static_cast<double>(outcome.report.raw_bytes);
    emit changed();
    emit compressed(m_artifactPath, raw > 0 ? 100 * (1 - static_cast<double>(m_storedBytes) / raw) : 0, outcome.files_compared > 0);
}

void CompressController::rebuild(const QString& artifact, std::shared_ptr<const ModelDirectory> base, const QString& folder) {
    if (rebuilding()) return;
    JobSpec spec{QStringLiteral("rebuild"), tr("Rebuild, %1").arg(QFileInfo(artifact).fileName())};
    m_rebuildJob = m_jobs.start<delta::ReconstructReport>(
        spec, this,
        [artifact, base, folder](const JobRun& run) -> Result<delta::ReconstructReport> {
            TENPAK_ASSIGN(auto opened, Artifact::open(fs::path(artifact.toStdString())));
            delta::ReconstructOptions options;
            options.verify = delta::Verify::kFull;
            TENPAK_ASSIGN(const auto trust, signing::TrustStore::open(signing::TrustStore::default_file()));
            TENPAK_RETURN_IF_ERROR(signing::refuse_forged(*opened, &trust));  // before a byte of it is written
            TENPAK_ASSIGN(const auto view, unpacked_view(opened));
            return delta::reconstruct(*view, base.get(), fs::path(folder.toStdString()), options, run.context());
        },
        [this, folder](Result<delta::ReconstructReport> r) {
            if (r.ok()) emit rebuilt(folder, r->files, r->bytes_written, r->seconds);
            else if (r.error().code != ErrorCode::kCancelled) emit rebuildFailed(r.error());
            emit changed();
        });
    m_rebuildJob->setRetry([self = QPointer(this), artifact, base, folder] { if (self) self->rebuild(artifact, base, folder); });
    emit changed();
}

void CompressController::exportAdapter(const QString& folder) {
    if (!m_factors || !m_factorsOf) return;
    const int tensors = static_cast<int>(m_factors->size());
    m_jobs.start<int>(
        {QStringLiteral("adapter"), tr("Export adapter, %1").arg(QFileInfo(folder).fileName()), JobLane::kLight}, this,
        [factors = m_factors, model = m_factorsOf, base = m_factorsBase, folder](const JobRun& run) -> Result<int> {
            std::vector<LoraToWrite> modules;
            for (const auto& [tensor, f] : *factors) {
                TENPAK_RETURN_IF_ERROR(run.context().check());
                modules.push_back(delta::lora_of(f.factors, model->tensors()[tensor].name));
            }
            TENPAK_RETURN_IF_ERROR(write_peft_adapter(fs::path(folder.toStdString()), modules, base, DType::kF32));
            return static_cast<int>(modules.size());
        },
        [this, folder, tensors](Result<int> r) {
            if (r.ok()) emit adapterExported(folder, tensors);
            else if (r.error().code != ErrorCode::kCancelled) emit adapterFailed(r.error());
        });
}

void CompressController::stop() {
    if (m_job && m_job->active()) m_job->stop();
    else if (m_rebuildJob && m_rebuildJob->active()) m_rebuildJob->stop();
}

void CompressController::clear() {
    if (m_job && m_job->active()) m_job->stop();
    ++m_generation;
    m_phase = Phase::kIdle;
    m_measured = nullptr;
    m_artifactPath.clear();
    m_loss = {};
    m_factors = nullptr;
    m_storedBytes = 0;
    m_filesCompared = 0;
    m_error.reset();
    emit changed();
}

void CompressController::acknowledge() {
    if (m_phase != Phase::kStopped && m_phase != Phase::kFailed) return;
    m_phase = Phase::kIdle;
    m_error.reset();
    emit changed();
}

int CompressController::adapterRank() const {
    std::uint32_t rank = 0;
    if (m_factors)
        for (const auto& [tensor, f] : *m_factors) rank = std::max(rank, f.factors.rank);
    return static_cast<int>(rank);
}

double CompressController::secondsLeft() const {
    return m_job && m_phase == Phase::kCompressing && std::isfinite(m_job->secondsLeft()) ? m_job->secondsLeft() : -1;
}
double CompressController::bytesPerSecond() const {
    return m_job && m_phase == Phase::kCompressing && std::isfinite(m_job->rate()) ? m_job->rate() : 0;
}
QString CompressController::step() const {
    if (!m_job || m_phase != Phase::kCompressing) return {};
    const std::string& phase = m_job->progress().phase;
    return phase.empty() || phase == "compress" ? QString() : jobPhaseText(phase);
}
double CompressController::fraction() const { return step().isEmpty() ? m_fraction : std::max(0.0, m_job->fraction()); }

}  // namespace tenpak::app
