// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/compress_controller.h"

#include <QDir>
#include <QFileInfo>
#include <cmath>

#include "app/commands.h"
#include "app/format.h"
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
    m_job = m_jobs.start<WriteOutcome>(
        spec, this,
        [self = QPointer(this), generation, write, base, fineTune](const JobRun& run) -> Result<WriteOutcome> {
            const FillSink fill = [&](BlockSink& sink) { return delta::compress(*base, *fineTune, sink, {}, run.context()); };
            const auto report = [&](const WriteProgress& p) {
                run.post("written", [self, generation, p] { if (self && self->m_generation == generation) self->takeProgress(p); });
            };
            return write_artifact(write, fill, base.get(), report, run.context());
        },
        [this, generation](Result<WriteOutcome> r) {
            if (generation != m_generation) return;
            if (r.ok()) {
                takeOutcome(*r);
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

void CompressController::takeOutcome(const WriteOutcome& outcome) {
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
