// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/sweep_controller.h"

#include <QDir>
#include <QFileInfo>
#include <algorithm>
#include <cmath>

#include "app/candidate_model.h"
#include "app/engine_rows.h"
#include "app/error_text.h"
#include "app/format.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/jobs/recorded_sweep.h"
#include "core/quant/candidate.h"

namespace tenpak::app {
namespace {

using optimizer::Trial;
using optimizer::TrialStatus;

bool over(const Trial& t) { return t.status == TrialStatus::kDone || t.status == TrialStatus::kFailed; }
int countOver(const std::vector<Trial>& trials) { return static_cast<int>(std::count_if(trials.begin(), trials.end(), over)); }
Trial queued(const QString& name) {
    Trial t;
    t.id = t.candidate = name.toStdString();
    return t;
}
QString importName(const QString& path) { return QLatin1String(jobs::kImportPrefix) + QFileInfo(path).fileName(); }
bool sameFile(const QString& a, const QString& b) { return QFileInfo(a).canonicalFilePath() == QFileInfo(b).canonicalFilePath(); }
/// Seconds a trial took, as it says itself; 0 where it does not.
double secondsOf(const Trial& t) {
    if (std::isfinite(t.metrics.total_seconds)) return t.metrics.total_seconds;
    double s = 0;
    for (const double part : {t.metrics.quantize_seconds, t.metrics.evaluate_seconds, t.metrics.timing_seconds})
        if (std::isfinite(part)) s += part;
    return s;
}

}  // namespace

SweepController::SweepController(Project& project, JobManager& jobs, HardwareController& hardware, QString workerProgram,
                                 std::optional<SampleFiles> sample, QObject* parent)
    : QObject(parent), m_project(project), m_jobs(jobs), m_hardware(hardware), m_worker(std::move(workerProgram)), m_sample(std::move(sample)) {
    auto store = jobs::JobStore::open(fs::path(dataFolder().toStdString()) / jobs::JobStore::kFileName);
    if (store.ok()) m_store = std::move(*store);
    else m_storeError = store.error();
    connect(&m_project, &Project::limitsChanged, this, [this] {
        judge();
        if (m_store && !m_jobId.isEmpty()) (void)m_store->set_limits(m_jobId.toStdString(), m_project.data().limits);
        emit changed();
    });
    connect(&m_project, &Project::sweepSetupChanged, this, &SweepController::restore);
    connect(&m_hardware, &HardwareController::priceChanged, this, [this] {
        judge();
        emit changed();
    });
}
SweepController::~SweepController() = default;

void SweepController::setPair(const PairState& pair) {
    m_pair = pair;
    restore();
}

QString SweepController::modelPath() const {
    const ProjectData& d = m_project.data();
    if (!d.sweepModel.isEmpty()) return d.sweepModel;
    return d.fineTune.isEmpty() ? d.base : d.fineTune;
}
QString SweepController::textPath() const { return m_project.data().sweepText; }
bool SweepController::running() const { return m_job && m_job->active(); }

QStringList SweepController::chosen() const {
    QStringList names = m_project.data().candidates;
    if (names.isEmpty())
        if (const auto defaults = quant::parse_candidates({}); defaults.ok())
            for (const auto& c : *defaults) names.append(QString::fromStdString(c.name));
    if (m_project.data().candidates.isEmpty())
        for (const QString& path : m_project.data().imports) names.append(importName(path));
    if (!names.contains(QStringLiteral("fp16"))) names.prepend(QStringLiteral("fp16"));
    return names;
}

void SweepController::restore() {
    if (running() || m_paused) {
        emit changed();
        return;
    }
    const QString shownFor = modelPath() + u'\n' + textPath() + u'\n' + m_project.data().sweepJob;
    if (shownFor != m_shownFor) {
        m_shownFor = shownFor;
        m_trials = nullptr;
        m_judgement = nullptr;
        m_jobId.clear();
        m_recorded.clear();
        m_error.reset();
        bool found = false;
        const std::string id = m_project.data().sweepJob.toStdString();
        if (m_store && !id.empty()) {
            const auto job = m_store->job(id);
            const auto of = job.ok() ? jobs::sweep_spec_from_json(job->spec_json, id) : Result<jobs::SweepSpec>(job.error());
            const bool same = of.ok() && sameFile(QString::fromStdString(of->model_path), modelPath()) &&
                              (textPath().isEmpty() || sameFile(QString::fromStdString(of->text_path), textPath()));
            if (same) {
                if (auto trials = m_store->trials(id); trials.ok()) {
                    m_jobId = QString::fromStdString(id);
                    takeTrials(std::move(*trials));
                    found = m_trials && countOver(*m_trials) > 0;
                }
            }
        }
        if (!found) found = loadRecorded();
    }
    if (!m_trials || (m_jobId.isEmpty() && m_recorded.isEmpty())) {
        std::vector<Trial> waiting;
        for (const QString& name : chosen()) waiting.push_back(queued(name));
        takeTrials(std::move(waiting));
    }
    emit changed();
}

bool SweepController::loadRecorded() {
    if (!m_sample || m_sample->recordedSweep.isEmpty() || !textPath().isEmpty()) return false;
    const QFileInfo model(modelPath());
    if (model.dir() != QDir(m_sample->folder)) return false;
    auto recorded = jobs::load_recorded_sweep(fs::path(m_sample->recordedSweep.toStdString()));
    if (!recorded.ok() || QFileInfo(QString::fromStdString(recorded->spec.model_path)).fileName() != model.fileName()) return false;
    m_recorded = tr("Recorded on %1, %2").arg(QString::fromStdString(recorded->device), format::date(QDateTime::fromString(QString::fromStdString(recorded->recorded_at), Qt::ISODate)));
    takeTrials(std::move(recorded->trials));
    return true;
}

void SweepController::takeTrials(std::vector<Trial> trials) {
    m_trials = std::make_shared<const std::vector<Trial>>(std::move(trials));
    judge();
}

void SweepController::judge() {
    if (!m_trials) {
        m_judgement = nullptr;
        return;
    }
    m_judgement = std::make_shared<const optimizer::Judgement>(optimizer::judge(*m_trials, m_project.data().limits, m_hardware.pricePerHour()));
}

jobs::SweepSpec SweepController::spec(const QStringList& candidates) const {
    jobs::SweepSpec s = m_defaults;
    s.model_path = modelPath().toStdString();
    s.text_path = textPath().toStdString();
    s.candidates.clear();
    for (const QString& c : candidates) s.candidates.push_back(c.toStdString());
    s.imports.clear();
    for (const QString& path : m_project.data().imports)
        if (candidates.contains(importName(path))) s.imports.push_back({{}, path.toStdString(), {}});
    return s;
}

void SweepController::start(const QStringList& candidates) {
    if (running() || modelPath().isEmpty()) return;
    if (!candidates.isEmpty()) m_project.setCandidates(candidates);
    m_jobId.clear();
    m_recorded.clear();
    std::vector<Trial> waiting;
    for (const QString& name : chosen()) waiting.push_back(queued(name));
    takeTrials(std::move(waiting));
    run();
}

void SweepController::resume() {
    if (!running()) run();
}

void SweepController::run() {
    if (!m_store) {
        m_error = m_storeError;
        emit failed(*m_error);
        emit changed();
        return;
    }
    if (m_worker.isEmpty()) {
        m_error = make_error(ErrorCode::kNotFound, "the program tenpak is not beside the studio", {}, "Install or build it: trials run in its worker processes");
        emit failed(*m_error);
        emit changed();
        return;
    }
    if (m_job) m_jobs.remove(m_job);  // the paused or stopped run that this one goes on with
    m_error.reset();
    m_paused = m_pausing = false;
    m_runClock.start();
    m_measuredInRun = 0;
    m_measuredSeconds = 0;
    m_trialStart = -1;
    jobs::SweepOptions options;
    options.worker_program = m_worker.toStdString();
    options.reference_directory = fs::path(dataFolder().toStdString());
    const jobs::SweepSpec wanted = spec(chosen());
    const optimizer::Limits limits = m_project.data().limits;
    const std::string hardware = m_hardware.state().priceId.toStdString();
    JobSpec what{QStringLiteral("sweep"), tr("Sweep, %1").arg(QFileInfo(modelPath()).fileName())};
    m_job = m_jobs.start<std::string>(
        what, this,
        [self = QPointer(this), store = m_store, id = m_jobId.toStdString(), wanted, options, limits, hardware](const JobRun& run) -> Result<std::string> {
            std::string job = id;
            if (job.empty()) {
                TENPAK_ASSIGN(const auto prepared, jobs::prepare_sweep(wanted));
                jobs::JobRecord record = jobs::make_sweep_job(prepared, limits, hardware);
                TENPAK_ASSIGN(job, store->create_job(std::move(record), prepared.candidates));
                run.post("job", [self, job] {
                    if (!self) return;
                    self->m_jobId = QString::fromStdString(job);
                    self->m_project.recordSweep(self->m_jobId, {});
                });
            }
            const auto update = [&](const Trial& t) {
                run.post("trial " + t.id, [self, t] { if (self) self->takeTrial(t); });
            };
            TENPAK_RETURN_IF_ERROR(jobs::run_sweep(*store, job, options, update, run.context()));
            return job;
        },
        [this](Result<std::string> r) { ended(r.ok() ? Status() : Status(r.error())); });
    m_job->setCanPause(true);
    m_job->setRetry([self = QPointer(this)] { if (self) self->resume(); });
    updateJob();
    emit changed();
}

void SweepController::takeTrial(const Trial& t) {
    std::vector<Trial> next = m_trials ? *m_trials : std::vector<Trial>();
    const auto it = std::find_if(next.begin(), next.end(), [&](const Trial& x) { return x.id == t.id; });
    const bool wasRunning = it != next.end() && it->status == TrialStatus::kRunning;
    if (it == next.end()) next.push_back(t);
    else *it = t;
    if (t.status == TrialStatus::kRunning && m_trialStart < 0) m_trialStart = m_runClock.elapsed();
    if (over(t) && wasRunning && m_trialStart >= 0) {
        ++m_measuredInRun;
        m_measuredSeconds += static_cast<double>(m_runClock.elapsed() - m_trialStart) / 1000;
        m_trialStart = -1;
    }
    takeTrials(std::move(next));
    updateJob();
    emit changed();
}

void SweepController::updateJob() {
    if (!m_job || !m_trials) return;
    const int done = countOver(*m_trials), total = static_cast<int>(m_trials->size());
    // Candidates differ less than they vary: the mean of what was measured, after three of them.
    const double left = m_measuredInRun >= 3 ? m_measuredSeconds / m_measuredInRun * (total - done) : std::nan("");
    m_job->setFraction(total > 0 ? static_cast<double>(done) / total : -1, left);
    for (const Trial& t : *m_trials) {
        if (t.status != TrialStatus::kRunning) continue;
        m_job->setPhaseText(tr("%1: %2, %3 of %4 done").arg(QString::fromStdString(t.candidate), phaseText(t.phase).toLower()).arg(done).arg(total));
        return;
    }
    m_job->setPhaseText(done == 0 ? tr("Preparing, %1 candidates").arg(total) : tr("%1 of %2 done").arg(done).arg(total));
}

void SweepController::ended(const Status& status) {
    m_paused = m_pausing;
    m_pausing = false;
    // Trials that were under way when it stopped are measured anew next time.
    if (m_trials) {
        std::vector<Trial> next = *m_trials;
        if (m_store && !m_jobId.isEmpty())
            if (auto stored = m_store->trials(m_jobId.toStdString()); stored.ok()) next = std::move(*stored);
        for (Trial& t : next)
            if (t.status == TrialStatus::kRunning) t.status = TrialStatus::kQueued;
        takeTrials(std::move(next));
    }
    if (m_paused) {
        if (m_store && !m_jobId.isEmpty()) (void)m_store->set_status(m_jobId.toStdString(), jobs::JobStatus::kPaused, {});
        if (m_job && m_trials) m_job->setPhaseText(tr("Paused after %1 of %2").arg(countOver(*m_trials)).arg(m_trials->size()));
    }
    if (!status.ok() && status.error().code != ErrorCode::kCancelled) {
        m_error = status.error();
        emit failed(*m_error);
    }
    m_shownFor = modelPath() + u'\n' + textPath() + u'\n' + m_jobId;
    m_project.recordSweep(m_jobId, winner());
    emit changed();
    if (status.ok()) emit finished(true);
}

void SweepController::pause() {
    if (!running()) return;
    m_pausing = true;
    m_job->stop(Job::State::kPaused);
    emit changed();
}

void SweepController::stop() {
    if (running()) {
        m_pausing = false;
        m_job->stop();
    } else if (m_paused) {
        m_paused = false;
        if (m_job) m_jobs.remove(m_job);
        if (m_store && !m_jobId.isEmpty()) (void)m_store->set_status(m_jobId.toStdString(), jobs::JobStatus::kCancelled, {});
    }
    emit changed();
}

void SweepController::retry(const QString& candidate) {
    if (running() || !m_store || m_jobId.isEmpty()) return;
    if (const Status s = m_store->put_trial(m_jobId.toStdString(), queued(candidate)); !s.ok()) {
        emit failed(s.error());
        return;
    }
    std::vector<Trial> next = *m_trials;
    for (Trial& t : next)
        if (t.id == candidate.toStdString()) t = queued(candidate);
    takeTrials(std::move(next));
    run();
}

void SweepController::chooseModel(const QString& id) {
    if (!running()) m_project.setSweepModel(id);
}
void SweepController::chooseText(const QString& id) {
    if (running()) return;
    if (id == QLatin1String(kChooseText)) emit chooseTextRequested();
    else m_project.setSweepText(id);
}
void SweepController::setCandidates(const QStringList& names) {
    if (!running()) m_project.setCandidates(names);
}
void SweepController::addImport(const QString& path) {
    if (running() || path.isEmpty()) return;
    QStringList paths = m_project.data().imports, names = chosen();
    // One of a name: the latest.
    paths.removeIf([&](const QString& p) { return importName(p) == importName(path); });
    paths.append(QFileInfo(path).absoluteFilePath());
    if (!names.contains(importName(path))) names.append(importName(path));
    m_project.setImports(paths, names);
}
void SweepController::removeImport(const QString& candidate) {
    if (running()) return;
    QStringList paths = m_project.data().imports, names = chosen();
    paths.removeIf([&](const QString& p) { return importName(p) == candidate; });
    names.removeAll(candidate);
    m_project.setImports(paths, names);
}
QStringList SweepController::imports() const {
    QStringList paths;
    const QStringList names = chosen();
    for (const QString& path : m_project.data().imports)
        if (names.contains(importName(path))) paths.append(path);
    return paths;
}
void SweepController::setLimits(const optimizer::Limits& limits) { m_project.setLimits(limits); }

void SweepController::acknowledge() {
    m_error.reset();
    emit changed();
}
int SweepController::done() const { return m_trials ? countOver(*m_trials) : 0; }

QString SweepController::recordedModel(const SampleFiles& sample) {
    if (sample.recordedSweep.isEmpty()) return {};
    const auto recorded = jobs::load_recorded_sweep(fs::path(sample.recordedSweep.toStdString()));
    if (!recorded.ok()) return {};
    const QString path = QDir(sample.folder).filePath(QFileInfo(QString::fromStdString(recorded->spec.model_path)).fileName());
    return QFileInfo(path).isDir() ? path : QString();
}

QString SweepController::winner() const {
    return m_judgement && m_judgement->winner ? QString::fromStdString((*m_trials)[*m_judgement->winner].candidate) : QString();
}
const Trial* SweepController::trial(const QString& candidate) const {
    if (m_trials)
        for (const Trial& t : *m_trials)
            if (QString::fromStdString(t.candidate) == candidate) return &t;
    return nullptr;
}

QList<InterruptedSweep> SweepController::interrupted() const {
    QList<InterruptedSweep> out;
    if (!m_store) return out;
    const auto all = m_store->jobs();
    if (!all.ok()) return out;
    for (const jobs::JobRecord& r : *all) {
        if (!r.interrupted || r.kind != "sweep") continue;
        InterruptedSweep s;
        s.jobId = QString::fromStdString(r.id);
        s.title = QString::fromStdString(r.title);
        if (const auto of = jobs::sweep_spec_from_json(r.spec_json, r.id); of.ok()) s.model = QString::fromStdString(of->model_path);
        if (const auto trials = m_store->trials(r.id); trials.ok()) {
            s.done = countOver(*trials);
            s.total = static_cast<int>(trials->size());
        }
        out.append(s);
    }
    return out;
}

void SweepController::keepAsItIs(const QString& jobId) {
    if (m_store) (void)m_store->set_status(jobId.toStdString(), jobs::JobStatus::kCancelled, {});
}

QString SweepController::expectedText() const {
    const int n = static_cast<int>(chosen().size());
    QString s = n == 1 ? tr("1 candidate") : tr("%1 candidates").arg(n);
    double seconds = 0;
    int known = 0;
    if (m_trials)
        for (const Trial& t : *m_trials)
            if (t.status == TrialStatus::kDone && secondsOf(t) > 0) {
                seconds += secondsOf(t);
                ++known;
            }
    if (known == 0) return s + tr(", one after the other");
    const QString time = format::duration(std::ceil(seconds / known * n));
    return s + (m_recorded.isEmpty() ? tr(", about %1 on this machine").arg(time) : tr(", about %1 where it was recorded").arg(time));
}

QString SweepController::noteText() const {
    const Trial* fp16 = trial(QStringLiteral("fp16"));
    if (fp16 == nullptr || fp16->status != TrialStatus::kDone || fp16->metrics.stored_bytes == 0) return {};
    const auto& cpu = compute::cpu_features();
    const std::uint64_t cache = m_recorded.isEmpty() ? cpu.l2_bytes + cpu.l3_bytes : 16'000'000;
    if (fp16->metrics.stored_bytes > cache) return {};
    return tr("These weights (%1) fit the processor's cache, so the speed ranking here is mostly overhead.").arg(format::bytes(static_cast<double>(fp16->metrics.stored_bytes)));
}

const QHash<QString, EngineVerdicts>& SweepController::engines() const {
    if (const QString model = modelPath(); model != m_enginesOf) {
        m_enginesOf = model;
        m_engines.clear();
        for (const auto& [name, layout] : default_layouts(fs::path(model.toStdString()))) m_engines.insert(QString::fromStdString(name), engineVerdicts(layout));
    }
    return m_engines;
}

SweepViewState SweepController::state() const {
    SweepViewState s;
    s.pair = m_pair;
    s.trials = m_trials;
    s.judgement = m_judgement;
    s.limits = m_project.data().limits;
    s.modelId = modelPath();
    s.textId = textPath();
    for (const ModelSlot* slot : {&m_pair.fineTune, &m_pair.base})
        if (!slot->isEmpty()) s.models.append({slot->path, slot->name});
    s.texts.append({QString(), tr("The model's own text")});
    const QFileInfo model(modelPath());
    for (const QString& folder : QStringList{model.filePath() + QStringLiteral("/text"), model.absolutePath() + QStringLiteral("/text")})
        for (const QFileInfo& f : QDir(folder).entryInfoList({QStringLiteral("*.txt")}, QDir::Files, QDir::Name))
            if (f.fileName() != QStringLiteral("calibration.txt")) s.texts.append({f.absoluteFilePath(), f.fileName()});
    if (!s.textId.isEmpty() && std::none_of(s.texts.begin(), s.texts.end(), [&](const Choice& c) { return c.id == s.textId; }))
        s.texts.append({s.textId, QFileInfo(s.textId).fileName()});
    s.texts.append({QLatin1String(kChooseText), tr("Choose…")});
    s.prices = m_hardware.state().prices;
    s.priceId = m_hardware.state().priceId;
    const QStringList checked = chosen();
    for (const quant::Candidate& c : quant::known_candidates()) {
        CandidateChoice choice;
        choice.name = QString::fromStdString(c.name);
        choice.checked = checked.contains(choice.name);
        const double bits = quant::nominal_bits(c);
        choice.bits = std::isfinite(bits) ? tr("%1 bits").arg(QString::number(bits, 'g', 3)) : tr("by layer");
        s.choices.append(choice);
    }
    for (const QString& path : m_project.data().imports) {
        CandidateChoice choice;
        choice.name = importName(path);
        choice.importedFrom = path;
        choice.available = QFileInfo::exists(path);
        choice.checked = checked.contains(choice.name) && choice.available;
        if (!choice.available) choice.reason = tr("Not there any more: %1").arg(path);
        s.choices.append(choice);
    }
    s.engines = engines();
    s.expected = expectedText();
    s.recorded = m_recorded;
    s.note = noteText();
    if (m_trials) {
        s.done = countOver(*m_trials);
        s.total = static_cast<int>(m_trials->size());
    }
    if (modelPath().isEmpty()) s.phase = SweepViewState::Phase::kNoModel;
    else if (running()) s.phase = SweepViewState::Phase::kRunning;
    else if (m_paused) s.phase = SweepViewState::Phase::kPaused;
    else s.phase = s.done > 0 ? SweepViewState::Phase::kFinished : SweepViewState::Phase::kEmpty;
    if (running() && std::isfinite(m_job->secondsLeft())) s.timeLeft = format::timeLeft(m_job->secondsLeft());
    if (m_error) {
        const ErrorText t = errorText(*m_error);
        s.banner.tone = Tone::kError;
        s.banner.title = t.title;
        s.banner.body = t.body + u' ' + t.hint;
        s.banner.details = t.details;
    }
    return s;
}

}  // namespace tenpak::app
