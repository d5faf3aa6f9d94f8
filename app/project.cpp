// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/project.h"

#include <QDir>
#include <QElapsedTimer>
#include <QFileInfo>
#include <QUndoCommand>
#include <cmath>

#include "core/base/file.h"
#include "core/base/json.h"

namespace tenpak::app {
namespace {

constexpr const char* kFormat = "tenpak-project";
enum MergeId { kMergePair = 1, kMergeLimits, kMergeCandidates, kMergePrice, kMergeModel, kMergeText, kMergeNotes };

std::string str(const QString& q) { return q.toStdString(); }
QString text(const Json& object, const char* key) {
    const auto it = object.find(key);
    return it != object.end() && it->is_string() ? QString::fromStdString(it->get<std::string>()) : QString();
}
void putLimit(Json& object, const char* key, const std::optional<double>& limit) {
    if (limit && std::isfinite(*limit)) object[key] = *limit;
}
std::optional<double> limit(const Json& object, const char* key) {
    const auto it = object.find(key);
    if (it == object.end() || !it->is_number()) return {};
    return it->get<double>();
}

}  // namespace

optimizer::Limits defaultLimits() {
    optimizer::Limits l;
    l.max_ppl_delta = 2;
    l.max_latency_p99_ms = 100;
    return l;
}

/// Whole values before and after: a project is small, and nothing can be forgotten in undoing.
class Project::Edit : public QUndoCommand {
   public:
    Edit(Project& project, const QString& words, int mergeId, ProjectData before, ProjectData after)
        : QUndoCommand(words), m_project(project), m_id(mergeId), m_before(std::move(before)), m_after(std::move(after)) {
        m_clock.start();
    }
    void undo() override { m_project.apply(kept(m_before)); }
    void redo() override { m_project.apply(kept(m_after)); }
    int id() const override { return m_id; }
    bool mergeWith(const QUndoCommand* other) override {
        const auto* next = static_cast<const Edit*>(other);
        if (m_clock.elapsed() > 2000) return false;
        m_after = next->m_after;
        m_clock.restart();
        return true;
    }

   private:
    /// Facts stay what they are now.
    ProjectData kept(ProjectData data) const {
        const ProjectData& now = m_project.m_data;
        data.sweepJob = now.sweepJob;
        data.artifact = now.artifact;
        data.savedPercent = now.savedPercent;
        data.winner = now.winner;
        data.used = now.used;
        return data;
    }
    Project& m_project;
    int m_id;
    ProjectData m_before, m_after;
    QElapsedTimer m_clock;
};

Project::Project(QObject* parent) : QObject(parent) {
    m_data.limits = defaultLimits();
    m_undo.setUndoLimit(200);
    connect(&m_autosave, &QTimer::timeout, this, [this] {
        if (!m_dirty || m_path.isEmpty()) return;
        if (Status s = save(); !s.ok()) emit saveFailed(s.error());
    });
}
Project::~Project() { m_undo.clear(); }

QString Project::name() const {
    if (!m_data.fineTune.isEmpty() && !m_data.base.isEmpty())
        return tr("%1 vs %2").arg(QFileInfo(m_data.fineTune).fileName(), QFileInfo(m_data.base).fileName());
    if (!m_path.isEmpty()) return QFileInfo(m_path).completeBaseName();
    return tr("Untitled");
}

void Project::push(const QString& words, int mergeId, const std::function<void(ProjectData&)>& edit) {
    ProjectData after = m_data;
    edit(after);
    if (after == m_data) return;
    m_undo.push(new Edit(*this, words, mergeId, m_data, std::move(after)));
}

void Project::apply(const ProjectData& next) {
    const ProjectData before = std::exchange(m_data, next);
    markDirty();
    if (before.base != next.base || before.fineTune != next.fineTune || before.guessed != next.guessed) emit pairChanged();
    if (!(before.limits == next.limits)) emit limitsChanged();
    if (before.candidates != next.candidates || before.imports != next.imports || before.priceId != next.priceId || before.sweepModel != next.sweepModel || before.sweepText != next.sweepText)
        emit sweepSetupChanged();
    emit changed();
}

void Project::markDirty() {
    m_dirty = true;
    m_data.used = QDateTime::currentDateTimeUtc();
}

void Project::setPair(const QString& base, const QString& fineTune, bool guessed) {
    push(tr("choose models"), -1, [&](ProjectData& d) {
        d.base = base;
        d.fineTune = fineTune;
        d.guessed = guessed;
        d.sweepModel.clear();
        d.sweepText.clear();
    });
}
void Project::swapPair() {
    push(tr("swap base and fine-tune"), -1, [](ProjectData& d) {
        std::swap(d.base, d.fineTune);
        d.guessed = false;
    });
}
void Project::setLimits(const optimizer::Limits& limits) {
    push(tr("change limits"), kMergeLimits, [&](ProjectData& d) { d.limits = limits; });
}
void Project::setCandidates(const QStringList& names) {
    push(tr("choose candidates"), kMergeCandidates, [&](ProjectData& d) { d.candidates = names; });
}
void Project::setImports(const QStringList& paths, const QStringList& candidates) {
    push(tr("choose quantized models"), -1, [&](ProjectData& d) {
        d.imports = paths;
        d.candidates = candidates;
    });
}
void Project::setPriceId(const QString& id) {
    push(tr("choose price"), kMergePrice, [&](ProjectData& d) { d.priceId = id; });
}
void Project::setSweepModel(const QString& path) {
    push(tr("choose model of the sweep"), kMergeModel, [&](ProjectData& d) { d.sweepModel = path; });
}
void Project::setSweepText(const QString& path) {
    push(tr("choose text of the sweep"), kMergeText, [&](ProjectData& d) { d.sweepText = path; });
}
void Project::setNotes(const QString& notes) {
    push(tr("edit notes"), kMergeNotes, [&](ProjectData& d) { d.notes = notes; });
}

void Project::recordSweep(const QString& jobId, const QString& winner) {
    if (m_data.sweepJob == jobId && m_data.winner == winner) return;
    m_data.sweepJob = jobId;
    m_data.winner = winner;
    markDirty();
    emit changed();
}
void Project::recordArtifact(const QString& path, double savedPercent) {
    m_data.artifact = path;
    m_data.savedPercent = savedPercent;
    markDirty();
    emit changed();
}

void Project::reset(const QString& path) {
    m_undo.clear();
    m_data = ProjectData();
    m_data.limits = defaultLimits();
    m_path = path;
    m_dirty = false;
    m_savedAt = {};
    emit pairChanged();
    emit limitsChanged();
    emit sweepSetupChanged();
    emit changed();
}

void Project::moveTo(const QString& path) {
    ProjectData facts;
    if (const auto json = read_text_file(fs::path(path.toStdString()), 1 << 20); json.ok())
        if (const auto there = fromJson(QByteArray::fromStdString(*json), path); there.ok()) facts = *there;
    m_path = path;
    m_data.sweepJob = facts.sweepJob;
    m_data.artifact = facts.artifact;
    m_data.savedPercent = facts.savedPercent;
    m_data.winner = facts.winner;
    markDirty();
    emit sweepSetupChanged();
    emit changed();
}

Status Project::load(const QString& path) {
    TENPAK_ASSIGN(std::string json, read_text_file(fs::path(path.toStdString()), 1 << 20));
    TENPAK_ASSIGN(ProjectData data, fromJson(QByteArray::fromStdString(json), path));
    m_undo.clear();
    m_data = std::move(data);
    m_path = path;
    m_dirty = false;
    m_savedAt = QFileInfo(path).lastModified();
    emit pairChanged();
    emit limitsChanged();
    emit sweepSetupChanged();
    emit changed();
    return {};
}

Status Project::save() {
    if (m_path.isEmpty()) return make_error(ErrorCode::kInvalidArgument, "the project has no file name yet");
    QDir().mkpath(QFileInfo(m_path).absolutePath());
    const QByteArray json = toJson(m_data);
    TENPAK_RETURN_IF_ERROR(write_file_atomic(fs::path(m_path.toStdString()), tenpak::as_bytes(std::string_view(json.constData(), static_cast<std::size_t>(json.size())))));
    m_dirty = false;
    m_savedAt = QDateTime::currentDateTime();
    emit saved();
    return {};
}

Status Project::saveAs(const QString& path) {
    const QString before = std::exchange(m_path, path.endsWith(QStringLiteral(".tnpkproj")) ? path : path + QStringLiteral(".tnpkproj"));
    Status s = save();
    if (!s.ok()) m_path = before;
    else emit changed();
    return s;
}

void Project::setAutosave(int seconds) {
    if (seconds > 0) m_autosave.start(seconds * 1000);
    else m_autosave.stop();
}

QByteArray Project::toJson(const ProjectData& d) {
    Json limits = Json::object();
    putLimit(limits, "max_ppl_delta", d.limits.max_ppl_delta);
    putLimit(limits, "max_latency_p99_ms", d.limits.max_latency_p99_ms);
    putLimit(limits, "min_throughput_tps", d.limits.min_throughput_tps);
    putLimit(limits, "max_memory_mb", d.limits.max_memory_mb);
    putLimit(limits, "min_accuracy", d.limits.min_accuracy);
    Json candidates = Json::array();
    for (const QString& c : d.candidates) candidates.push_back(str(c));
    Json j = {{"format", kFormat}, {"version", kSchema}, {"base", str(d.base)}, {"fine_tune", str(d.fineTune)}, {"guessed", d.guessed},
              {"limits", limits}, {"candidates", candidates}, {"price", str(d.priceId)}, {"sweep_model", str(d.sweepModel)},
              {"sweep_text", str(d.sweepText)}, {"notes", str(d.notes)}, {"sweep_job", str(d.sweepJob)}, {"artifact", str(d.artifact)},
              {"winner", str(d.winner)}, {"used", str(d.used.toUTC().toString(Qt::ISODate))}};
    for (const QString& path : d.imports) j["imports"].push_back(str(path));
    if (d.savedPercent >= 0) j["saved_percent"] = d.savedPercent;
    return QByteArray::fromStdString(j.dump(2)) + '\n';
}

Result<ProjectData> Project::fromJson(const QByteArray& json, const QString& where) {
    const std::string place = where.toStdString();
    TENPAK_ASSIGN(const Json j, parse_json(std::string_view(json.constData(), static_cast<std::size_t>(json.size())), place));
    const auto format = json_get<std::string>(j, "format", place);
    if (!format.ok() || *format != kFormat)
        return make_error(ErrorCode::kMalformed, "this is not a TenPak project", place, "Choose a file that ends in .tnpkproj");
    TENPAK_ASSIGN(const auto version, json_get<std::int64_t>(j, "version", place));
    if (version < 1) return make_error(ErrorCode::kMalformed, "impossible project version", place);
    if (version > kSchema)
        return make_error(ErrorCode::kUnsupported, "this project was written by a newer program (version " + std::to_string(version) + ")", place, "Use that one, or start a new project");
    ProjectData d;
    d.base = text(j, "base");
    d.fineTune = text(j, "fine_tune");
    d.guessed = j.value("guessed", Json(false)) == Json(true);
    if (const auto it = j.find("limits"); it != j.end() && it->is_object()) {
        d.limits.max_ppl_delta = limit(*it, "max_ppl_delta");
        d.limits.max_latency_p99_ms = limit(*it, "max_latency_p99_ms");
        d.limits.min_throughput_tps = limit(*it, "min_throughput_tps");
        d.limits.max_memory_mb = limit(*it, "max_memory_mb");
        d.limits.min_accuracy = limit(*it, "min_accuracy");
    }
    if (const auto it = j.find("candidates"); it != j.end() && it->is_array())
        for (const Json& c : *it)
            if (c.is_string()) d.candidates.append(QString::fromStdString(c.get<std::string>()));
    if (const auto it = j.find("imports"); it != j.end() && it->is_array())
        for (const Json& path : *it)
            if (path.is_string()) d.imports.append(QString::fromStdString(path.get<std::string>()));
    d.priceId = text(j, "price");
    d.sweepModel = text(j, "sweep_model");
    d.sweepText = text(j, "sweep_text");
    d.notes = text(j, "notes");
    d.sweepJob = text(j, "sweep_job");
    d.artifact = text(j, "artifact");
    d.winner = text(j, "winner");
    d.used = QDateTime::fromString(text(j, "used"), Qt::ISODate);
    if (const auto saved = limit(j, "saved_percent")) d.savedPercent = *saved;
    return d;
}

}  // namespace tenpak::app
