// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/pair_controller.h"

#include <QDir>
#include <QFileInfo>
#include <map>
#include <set>

#include "app/error_text.h"
#include "app/format.h"
#include "core/delta/pair.h"

namespace tenpak::app {
namespace {

QString fileName(const QString& path) { return QFileInfo(path).fileName(); }

/// Does one of the card's base models name this folder? Hub ids end in the folder's usual name.
bool names(const QStringList& baseModels, const QString& path) {
    const QString folder = fileName(QDir::cleanPath(path)).toLower();
    for (const QString& b : baseModels)
        if (b == folder || b.section(u'/', -1) == folder || (b.startsWith(QStringLiteral("../")) && QFileInfo(b).fileName() == folder)) return true;
    return false;
}

BannerState refusal(const QString& title, const QString& body) {
    BannerState b;
    b.tone = Tone::kWarn;
    b.title = title;
    b.body = body;
    return b;
}

}  // namespace

QString factsOf(const ModelDirectory& m) {
    std::map<DType, std::uint64_t> bytes;
    std::set<int> layers;
    for (const TensorInfo& t : m.tensors()) {
        bytes[t.dtype] += t.bytes;
        if (const int layer = tensor_place(t.name).layer; layer >= 0) layers.insert(layer);
    }
    QStringList parts{format::bytes(static_cast<double>(m.total_bytes()))};
    std::uint64_t most = 0;
    QString label;
    for (const auto& [type, n] : bytes) {
        if (n <= most) continue;
        most = n;
        const auto l = dtype_label(type);
        label = QString::fromLatin1(l.data(), static_cast<qsizetype>(l.size()));
    }
    if (!label.isEmpty()) parts.append(bytes.size() > 1 ? PairController::tr("mostly %1").arg(label) : label);
    if (!layers.empty()) parts.append(layers.size() == 1 ? PairController::tr("1 layer") : PairController::tr("%1 layers").arg(layers.size()));
    else parts.append(PairController::tr("%1 tensors").arg(m.tensors().size()));
    return parts.join(QStringLiteral(" \u00B7 "));
}

PairController::PairController(Project& project, JobManager& jobs, DialogService& dialogs, Settings& settings, QObject* parent)
    : QObject(parent), m_project(project), m_jobs(jobs), m_dialogs(dialogs), m_settings(settings) {
    connect(&m_project, &Project::pairChanged, this, &PairController::reopen);
}

void PairController::drop(const QStringList& paths, PairSlot slot) {
    QStringList models;
    for (const QString& raw : paths) {
        const QString path = QDir::cleanPath(QFileInfo(raw).absoluteFilePath());
        switch (classifyPath(path)) {
            case DroppedKind::kModel: models.append(path); break;
            case DroppedKind::kArtifact: emit artifactDropped(path); break;
            case DroppedKind::kProject: emit projectDropped(path); break;
            case DroppedKind::kOther: {
                const QFileInfo info(path);
                if (!info.exists())
                    emit refused(refusal(tr("%1 is not there").arg(fileName(path)), tr("It was moved or deleted, or lies on a drive that is not connected.")));
                else
                    emit refused(refusal(tr("%1 is not a model").arg(fileName(path)), tr("Drop a folder with config.json, a .safetensors file or a .tnpk.")));
                return;
            }
        }
    }
    if (models.isEmpty()) return;
    if (models.size() > 2) {
        emit refused(refusal(tr("%1 models were dropped at once").arg(models.size()), tr("Drop one base and one fine-tune.")));
        return;
    }
    m_settings.setLastFolder(QFileInfo(models.first()).absolutePath());
    emit accepted();
    place(models, slot);
}

void PairController::place(const QStringList& models, PairSlot slot) {
    const ProjectData& d = m_project.data();
    if (models.size() == 2) {
        const bool firstOnSecond = names(baseModelsOfCard(models[0]), models[1]);
        const bool secondOnFirst = names(baseModelsOfCard(models[1]), models[0]);
        if (firstOnSecond && !secondOnFirst) m_project.setPair(models[1], models[0], false);
        else m_project.setPair(models[0], models[1], !secondOnFirst || firstOnSecond);
        return;
    }
    const QString& model = models.first();
    if (slot == PairSlot::kEither) slot = d.base.isEmpty() ? PairSlot::kBase : PairSlot::kFineTune;
    if (slot == PairSlot::kBase) m_project.setPair(model, d.fineTune, false);
    else m_project.setPair(d.base, model, false);
}

void PairController::choose(PairSlot slot) {
    ChooserRequest request;
    request.kind = ChooserKind::kOpenModel;
    request.title = slot == PairSlot::kBase ? tr("Choose the base") : tr("Choose the fine-tune");
    request.startFolder = m_settings.lastFolder();
    m_dialogs.choosePath(request, [this, slot](const QString& path) { if (!path.isEmpty()) drop({path}, slot); });
}

void PairController::swap() { m_project.swapPair(); }

void PairController::remove(PairSlot slot) {
    const ProjectData& d = m_project.data();
    if (slot == PairSlot::kBase) m_project.setPair({}, d.fineTune, false);
    else m_project.setPair(d.base, {}, false);
}

void PairController::reopen() {
    const QString paths[2] = {m_project.data().base, m_project.data().fineTune};
    // A swap needs no reading.
    if (paths[0] == m_openPath[1] && paths[1] == m_openPath[0] && m_models[0] && m_models[1]) {
        std::swap(m_models[0], m_models[1]);
        std::swap(m_openPath[0], m_openPath[1]);
        std::swap(m_state.base, m_state.fineTune);
        updateSlots();
        emit modelsOpened();
        return;
    }
    bool closed = false;
    for (int i = 0; i < 2; ++i) {
        if (paths[i] == m_openPath[i]) continue;
        m_openPath[i] = paths[i];
        closed = closed || (m_models[0] && m_models[1]);
        m_models[i] = nullptr;
        ++m_generation[i];  // what is still being read is for nobody
        ModelSlot& s = i == 0 ? m_state.base : m_state.fineTune;
        s = ModelSlot();
        if (!paths[i].isEmpty()) open(i);
    }
    if (closed) emit modelsClosed();
    updateSlots();
}

void PairController::updateSlots() {
    m_state.base.guessed = m_state.fineTune.guessed = m_project.data().guessed;
    emit stateChanged();
}

void PairController::open(int which) {
    const QString path = m_openPath[which];
    const quint64 generation = m_generation[which];
    ModelSlot& s = which == 0 ? m_state.base : m_state.fineTune;
    s.path = path;
    s.name = fileName(path);
    s.facts = tr("Reading headers…");
    s.opening = true;
    m_jobs.start<Opened>(
        {QStringLiteral("open"), QString(), JobLane::kLight, false}, this,
        [path](const JobRun&) -> Result<Opened> {
            TENPAK_ASSIGN(auto model, ModelDirectory::open(fs::path(path.toStdString())));
            Opened o;
            o.facts = factsOf(*model);
            o.fingerprint = QString::fromStdString(delta::model_fingerprint(*model));
            o.model = std::move(model);
            return o;
        },
        [this, which, generation, path](Result<Opened> r) {
            if (generation != m_generation[which]) return;
            ModelSlot& slot = which == 0 ? m_state.base : m_state.fineTune;
            slot.opening = false;
            if (!r.ok()) {
                slot.facts = errorTitle(r.error().code);
                emit stateChanged();
                BannerState b = refusal(tr("%1 cannot be opened").arg(fileName(path)), errorBody(r.error()) + u' ' + errorText(r.error()).hint);
                b.tone = Tone::kError;
                b.details = errorText(r.error()).details;
                emit refused(b);
                return;
            }
            m_models[which] = r->model;
            slot.facts = r->facts;
            slot.fingerprint = r->fingerprint;
            emit stateChanged();
            if (m_models[0] && m_models[1]) emit modelsOpened();
        });
}

}  // namespace tenpak::app
