// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/find_base_controller.h"

#include <QDir>
#include <QElapsedTimer>
#include <QFileInfo>

#include "app/error_text.h"
#include "app/format.h"
#include "app/pair_controller.h"
#include "core/delta/choose_base.h"

namespace tenpak::app {
namespace {

constexpr int kDepth = 6;      // of ORG/MODEL/snapshots/COMMIT in a hub cache, and two more
constexpr int kMost = 200;     // models; each costs about 1 MB of reading

void look(const QString& folder, int depth, int most, const JobContext& ctx, QStringList& found) {
    if (ctx.cancelled() || found.size() >= most) return;
    if (classifyPath(folder) == DroppedKind::kModel) {
        found.append(folder);
        return;
    }
    if (depth == 0) return;
    const QDir dir(folder);
    for (const QFileInfo& f : dir.entryInfoList({QStringLiteral("*.safetensors")}, QDir::Files, QDir::Name))
        if (found.size() < most) found.append(f.absoluteFilePath());
    for (const QFileInfo& f : dir.entryInfoList(QDir::Dirs | QDir::NoDotAndDotDot, QDir::Name)) look(f.absoluteFilePath(), depth - 1, most, ctx, found);
}

}  // namespace

QStringList modelsBelow(const QString& folder, int depth, int most, const JobContext& ctx) {
    QStringList found;
    look(QDir::cleanPath(folder), depth, most, ctx, found);
    return found;
}

FindBaseController::FindBaseController(JobManager& jobs, Settings& settings, QObject* parent) : QObject(parent), m_jobs(jobs), m_settings(settings) {}

void FindBaseController::setFineTune(std::shared_ptr<const ModelDirectory> fineTune) {
    if (fineTune == m_fineTune) return;
    stop();
    ++m_generation;
    m_fineTune = std::move(fineTune);
    const QStringList folders = m_state.folders;
    m_state = {};
    m_state.folders = folders;
    if (m_fineTune) {
        m_state.fineTune = QString::fromStdString(m_fineTune->id());
        // Where people keep a fine-tune its base often lies beside it.
        if (m_state.folders.isEmpty()) m_state.folders.append(QFileInfo(QString::fromStdString(m_fineTune->path().string())).absolutePath());
    }
    emit changed();
}

void FindBaseController::addFolder(const QString& folder) {
    const QString clean = QDir::cleanPath(folder);
    if (m_state.folders.contains(clean)) return;
    m_state.folders.append(clean);
    emit changed();
}

void FindBaseController::removeFolder(const QString& folder) {
    m_state.folders.removeAll(folder);
    emit changed();
}

void FindBaseController::search() {
    if (!m_fineTune || m_state.searching || m_state.folders.isEmpty()) return;
    const quint64 generation = ++m_generation;
    m_state.searching = true;
    m_state.searched = false;
    m_state.candidates.clear();
    m_state.banner = {};
    m_job = m_jobs.start<Found>(
        {QStringLiteral("findbase"), tr("Find the base of %1").arg(m_state.fineTune), JobLane::kLight}, this,
        [fineTune = m_fineTune, folders = m_state.folders](const JobRun& run) -> Result<Found> {
            QElapsedTimer clock;
            clock.start();
            Progress p;
            p.phase = "find";
            run.context().report(p);
            QStringList paths;
            const QString self = QFileInfo(QString::fromStdString(fineTune->path().string())).canonicalFilePath();
            for (const QString& folder : folders)
                for (const QString& path : modelsBelow(folder, kDepth, kMost, run.context())) {
                    const QString real = QFileInfo(path).canonicalFilePath();
                    if (real != self && !paths.contains(real)) paths.append(real);
                }
            TENPAK_RETURN_IF_ERROR(run.context().check());
            std::vector<std::shared_ptr<const ModelSource>> models;
            std::vector<std::shared_ptr<const ModelDirectory>> opened;
            for (const QString& path : paths) {
                auto model = ModelDirectory::open(fs::path(path.toStdString()));
                if (!model.ok()) continue;  // half a download, another format: not a base
                opened.push_back(*model);
                models.push_back(*model);
            }
            Found found;
            found.looked = static_cast<int>(models.size());
            if (models.empty()) return found;
            TENPAK_ASSIGN(const auto ranked, delta::choose_base(*fineTune, models, 0, run.context()));
            for (const delta::BaseCandidate& c : ranked) {
                const ModelDirectory& m = *opened[c.candidate];
                BaseCandidateRow row;
                row.path = QString::fromStdString(m.path().string());
                row.name = QFileInfo(row.path).fileName();
                row.facts = factsOf(m);
                row.fits = c.fits;
                row.best = c.fits && found.rows.isEmpty();
                row.reason = QString::fromStdString(c.reason);
                if (!row.reason.isEmpty()) row.reason[0] = row.reason[0].toUpper();
                found.rows.append(row);
            }
            found.seconds = static_cast<double>(clock.elapsed()) / 1000;
            return found;
        },
        [this, generation](Result<Found> r) {
            if (generation != m_generation) return;
            m_state.searching = false;
            if (r.ok()) {
                m_state.searched = true;
                m_state.candidates = r->rows;
                m_state.result = r->looked == 0 ? tr("No other model lies under these folders.") : tr("%n model(s) compared in %1", nullptr, r->looked).arg(format::duration(r->seconds));
                if (r->looked > 0 && (r->rows.isEmpty() || !r->rows.first().fits)) m_state.result += QStringLiteral(" \u00B7 ") + tr("none of them fits");
            } else if (r.error().code != ErrorCode::kCancelled) {
                const ErrorText t = errorText(r.error());
                m_state.banner.tone = Tone::kError;
                m_state.banner.title = t.title;
                m_state.banner.body = t.body + u' ' + t.hint;
                m_state.banner.details = t.details;
            }
            emit changed();
        });
    m_job->setPhaseText(tr("Comparing samples of the weights"));
    connect(m_job, &Job::changed, this, &FindBaseController::changed);
    emit changed();
}

void FindBaseController::stop() {
    if (m_job && m_job->active()) m_job->stop();
}

FindBaseState FindBaseController::state() const {
    FindBaseState s = m_state;
    if (s.searching && m_job) {
        s.fraction = m_job->fraction();
        s.phase = m_job->row().phase;
    }
    return s;
}

}  // namespace tenpak::app
