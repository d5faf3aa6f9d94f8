// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/artifact_controller.h"

#include <QDir>
#include <QFileInfo>

#include "app/error_text.h"
#include "app/format.h"
#include "app/inspect_artifact.h"
#include "core/delta/reconstruct.h"

namespace tenpak::app {
namespace {

using Check = ArtifactDetails::Check;
using Rebuild = ArtifactDetails::Rebuild;
using Base = ArtifactDetails::Base;

/// Of the file, or of a folder's manifest and chunks together.
FileIdentity identityOf(const QString& path) {
    const QFileInfo info(path);
    FileIdentity id;
    const auto add = [&](const QFileInfo& f) {
        id.size += static_cast<std::uint64_t>(f.size());
        id.mtime_ns ^= static_cast<std::uint64_t>(f.lastModified().toMSecsSinceEpoch()) * 0x9e3779b97f4a7c15u + qHash(f.fileName());
    };
    if (info.isDir()) {
        for (const QString& folder : QStringList{path, QDir(path).filePath(QStringLiteral("chunks"))})
            for (const QFileInfo& f : QDir(folder).entryInfoList(QDir::Files, QDir::Name)) add(f);
    } else {
        add(info);
    }
    return id;
}

struct VerifyOutcome {
    signing::VerifyReport report;
    std::optional<BaseAnswer> base;
    FileIdentity identity;
    double seconds = 0;
};

void applyBase(ArtifactDetails& d, const BaseAnswer& answer) {
    d.base = answer.same ? Base::kFound : Base::kWrong;
    d.baseRecorded = QString::fromStdString(answer.recorded);
    d.baseFound = QString::fromStdString(answer.found);
}

}  // namespace

Trust trustOf(const ArtifactDetails& d) {
    using signing::SignatureState;
    if (d.check == Check::kChecked && !d.report.intact) return Trust::kDamaged;
    if (d.rebuild == Rebuild::kDifferent) return Trust::kDamaged;
    if (d.check != Check::kChecked) return Trust::kNotChecked;
    switch (d.report.signature) {
        case SignatureState::kInvalid: return Trust::kWrongSignature;
        case SignatureState::kNone: return Trust::kUnsigned;
        case SignatureState::kUnchecked: return d.report.scheme == "hmac-sha256" ? Trust::kSharedSecret : Trust::kUnknownKey;
        case SignatureState::kValid: break;
    }
    if (d.report.scheme == "hmac-sha256") return Trust::kSharedSecret;
    return d.report.trusted ? Trust::kSigned : Trust::kUnknownKey;
}

ArtifactController::ArtifactController(JobManager& jobs, Settings& settings, SigningKeys& keys, DialogService& dialogs, QObject* parent)
    : QObject(parent), m_jobs(jobs), m_settings(settings), m_keys(keys), m_dialogs(dialogs) {
    connect(&m_watcher, &QFileSystemWatcher::fileChanged, this, &ArtifactController::touch);
    connect(&m_watcher, &QFileSystemWatcher::directoryChanged, this, &ArtifactController::touch);
    for (const QString& p : settings.artifacts()) {
        if (!QFileInfo::exists(p)) continue;
        m_paths.append(p);
        load(p);
    }
    if (!m_paths.isEmpty()) m_current = m_paths.first();
}

ArtifactController::Entry* ArtifactController::entry(const QString& path) {
    const auto it = m_entries.find(path);
    return it == m_entries.end() ? nullptr : it->get();
}
const ArtifactDetails* ArtifactController::current() const {
    const auto it = m_entries.find(m_current);
    return it == m_entries.end() ? nullptr : &(*it)->details;
}
QString ArtifactController::currentPath() const { return m_current; }

void ArtifactController::saveList() { m_settings.setArtifacts(m_paths.mid(0, 50)); }

void ArtifactController::add(const QString& rawPath) {
    const QString path = QDir::cleanPath(QFileInfo(rawPath).absoluteFilePath());
    m_paths.removeAll(path);
    m_paths.prepend(path);
    m_current = path;
    saveList();
    // What is known of an unchanged file stays known.
    const Entry* e = entry(path);
    if (e == nullptr || !(e->identity == identityOf(path))) load(path);
    emit changed();
}

void ArtifactController::setRebuilt(const QString& path, int files, double seconds) {
    Entry* e = entry(QDir::cleanPath(QFileInfo(path).absoluteFilePath()));
    if (e == nullptr || files <= 0) return;
    e->details.rebuild = Rebuild::kSame;
    e->details.filesCompared = e->details.filesEqual = files;
    e->details.rebuildSeconds = seconds;
    emit changed();
}

void ArtifactController::setCurrent(int row) {
    if (row < 0 || row >= m_paths.size() || m_paths[row] == m_current) return;
    m_current = m_paths[row];
    m_banner = {};
    refresh();
    emit changed();
}

void ArtifactController::load(const QString& path) {
    auto& slot = m_entries[path];
    slot = std::make_shared<Entry>();
    slot->details.path = path;
    slot->details.name = QFileInfo(path).fileName();
    slot->identity = identityOf(path);
    m_watcher.addPath(path);
    m_jobs.start<ArtifactDetails>(
        {QStringLiteral("open"), QString(), JobLane::kLight, false}, this,
        [path](const JobRun&) -> Result<ArtifactDetails> {
            TENPAK_ASSIGN(const auto artifact, Artifact::open(fs::path(path.toStdString())));
            ArtifactDetails d = describeArtifact(*artifact);
            d.path = path;  // as the list names it
            return d;
        },
        [this, path](Result<ArtifactDetails> r) {
            Entry* e = entry(path);
            if (e == nullptr) return;
            e->opened = r.ok();
            if (r.ok()) {
                const ArtifactDetails before = std::move(e->details);  // what was asked for or said meanwhile stays
                e->details = std::move(*r);
                e->details.check = before.check;
                e->details.rebuild = before.rebuild;
                e->details.filesCompared = before.filesCompared;
                e->details.filesEqual = before.filesEqual;
                e->details.rebuildSeconds = before.rebuildSeconds;
                for (const ArtifactFile& f : e->details.files) e->details.rebuiltBytes += f.rawBytes;
                if (e->details.base == Base::kNotFound && !baseFor(path).isEmpty()) e->details.base = Base::kFoundUnchecked;
            } else if (r.error().code != ErrorCode::kCancelled) {
                // A manifest or header that cannot be read is damage, too.
                const bool damage = r.error().code == ErrorCode::kIntegrity || r.error().code == ErrorCode::kMalformed;
                e->details.check = damage ? Check::kChecked : Check::kFailed;
                e->details.checkedAt = QDateTime::currentDateTime();
                e->details.report = {};
                e->details.report.problem = errorBody(r.error()).toStdString();
                e->details.summary = errorTitle(r.error().code);
                if (!damage) emit failed(r.error(), path);
            }
            emit changed();
        });
}

void ArtifactController::forget(Entry& e) {
    ArtifactDetails& d = e.details;
    d.check = Check::kNotChecked;
    d.report = {};
    d.checkedAt = {};
    d.rebuild = Rebuild::kNotRebuilt;
    d.filesCompared = d.filesEqual = 0;
    d.rebuildError.clear();
}

void ArtifactController::touch(const QString& changedPath) {
    for (const QString& path : m_paths) {
        if (path != changedPath && !changedPath.startsWith(path + u'/')) continue;
        Entry* e = entry(path);
        if (e == nullptr || e->identity == identityOf(path)) continue;
        forget(*e);
        if (QFileInfo::exists(path)) load(path);
        else refresh();
        emit changed();
        return;
    }
}

void ArtifactController::refresh() {
    const QStringList paths = m_paths;
    bool any = false;
    for (const QString& p : paths) {
        if (!QFileInfo::exists(p)) {
            m_paths.removeAll(p);
            m_entries.remove(p);
            any = true;
        } else if (Entry* e = entry(p); e != nullptr && !(e->identity == identityOf(p))) {
            forget(*e);
            load(p);
            any = true;
        }
    }
    if (!m_paths.contains(m_current)) m_current = m_paths.isEmpty() ? QString() : m_paths.first();
    if (!any) return;
    saveList();
    emit changed();
}

void ArtifactController::setPairBase(const QString& path) {
    m_pairBase = path;
    for (auto& e : m_entries) {
        if (e->details.base == Base::kNotFound && !path.isEmpty()) e->details.base = Base::kFoundUnchecked;
        else if (e->details.base != Base::kNotNeeded && e->chosenBase.isEmpty() && e->opened) e->details.base = path.isEmpty() ? Base::kNotFound : Base::kFoundUnchecked;
    }
    emit changed();
}

QString ArtifactController::baseFor(const QString& artifact) const {
    const auto it = m_entries.find(artifact);
    if (it != m_entries.end() && !(*it)->chosenBase.isEmpty()) return (*it)->chosenBase;
    return m_pairBase;
}

void ArtifactController::verify() {
    Entry* e = entry(m_current);
    if (e == nullptr || (e->job && e->job->active())) return;
    const QString path = m_current, basePath = e->details.base == Base::kNotNeeded ? QString() : baseFor(path);
    e->details.check = Check::kChecking;
    e->details.fraction = 0;
    QStringList secrets;  // an HMAC can be checked only with the secret: one that was used here before
    for (const SigningChoice& c : m_keys.choices())
        if (c.kind == SigningChoice::Kind::kHmac) secrets.append(c.file);
    JobSpec spec{QStringLiteral("verify"), tr("Verify, %1").arg(QFileInfo(path).fileName()), JobLane::kLight};
    e->job = m_jobs.start<VerifyOutcome>(
        spec, this,
        [path, basePath, secrets](const JobRun& run) -> Result<VerifyOutcome> {
            QElapsedTimer clock;
            clock.start();
            VerifyOutcome out;
            out.identity = identityOf(path);  // before reading: a change while reading is a change
            const fs::path file(path.toStdString());
            TENPAK_ASSIGN(const auto trust, signing::TrustStore::open(signing::TrustStore::default_file()));
            signing::VerifyRequest request;
            request.trust = &trust;
            const auto artifact = Artifact::open(file);
            if (artifact.ok() && (*artifact)->signature_scheme() == "hmac-sha256") {
                for (const QString& secret : secrets) {
                    request.hmac_key = secret.toStdString();
                    TENPAK_ASSIGN(out.report, signing::verify(file, request, run.context()));
                    if (out.report.signature == signing::SignatureState::kValid) break;
                }
            }
            if (request.hmac_key.empty()) {
                TENPAK_ASSIGN(out.report, signing::verify(file, request, run.context()));
            }
            if (artifact.ok() && !basePath.isEmpty() && needsBase(**artifact)) {
                TENPAK_ASSIGN(const auto base, open_model(fs::path(basePath.toStdString())));
                TENPAK_ASSIGN(out.base, checkBase(**artifact, *base, run.context()));
            }
            out.seconds = static_cast<double>(clock.elapsed()) / 1000;
            return out;
        },
        [this, path](Result<VerifyOutcome> r) {
            Entry* now = entry(path);
            if (now == nullptr) return;
            ArtifactDetails& d = now->details;
            if (r.ok()) {
                d.check = Check::kChecked;  // kFailed: no answer could be had
                d.report = r->report;
                d.checkedAt = QDateTime::currentDateTime();
                d.checkSeconds = r->seconds;
                if (r->base) applyBase(d, *r->base);
                now->identity = r->identity;
            } else {
                const bool stopped = r.error().code == ErrorCode::kCancelled;
                d.check = stopped ? Check::kNotChecked : Check::kFailed;
                d.report = {};
                if (!stopped) d.report.problem = errorBody(r.error()).toStdString();
                if (!stopped) emit failed(r.error(), path);
            }
            emit changed();
            if (r.ok()) emit verified(path, r->report.verified);
        });
    connect(e->job, &Job::changed, this, [this, path, job = e->job] {
        if (Entry* now = entry(path); now != nullptr && job && now->details.check == Check::kChecking) {
            now->details.fraction = std::max(0.0, job->fraction());
            emit changed();
        }
    });
    e->job->setRetry([self = QPointer(this), path] {
        if (!self) return;
        self->setCurrent(static_cast<int>(self->m_paths.indexOf(path)));
        self->verify();
    });
    emit changed();
}

void ArtifactController::stop() {
    if (Entry* e = entry(m_current); e != nullptr && e->job) e->job->stop();
}

void ArtifactController::rebuildAndCompare() {
    Entry* e = entry(m_current);
    if (e == nullptr || (e->job && e->job->active())) return;
    const QString path = m_current, basePath = e->details.base == Base::kNotNeeded ? QString() : baseFor(path);
    e->details.rebuild = Rebuild::kRebuilding;
    e->details.rebuildFraction = 0;
    JobSpec spec{QStringLiteral("compare"), tr("Rebuild and compare, %1").arg(QFileInfo(path).fileName())};
    e->job = m_jobs.start<delta::ReconstructReport>(
        spec, this,
        [path, basePath](const JobRun& run) -> Result<delta::ReconstructReport> {
            TENPAK_ASSIGN(const auto artifact, Artifact::open(fs::path(path.toStdString())));
            std::shared_ptr<const ModelSource> base;
            if (!basePath.isEmpty() && needsBase(*artifact)) {
                TENPAK_ASSIGN(base, open_model(fs::path(basePath.toStdString())));
            }
            delta::ReconstructOptions options;
            options.verify = delta::Verify::kFull;
            return delta::verify_rebuild(*artifact, base.get(), options, run.context());
        },
        [this, path](Result<delta::ReconstructReport> r) {
            Entry* now = entry(path);
            if (now == nullptr) return;
            ArtifactDetails& d = now->details;
            if (r.ok()) {
                d.rebuild = Rebuild::kSame;
                d.filesCompared = d.filesEqual = static_cast<int>(r->files);
                d.rebuildSeconds = r->seconds;
                d.rebuiltBytes = 0;
                for (const ArtifactFile& f : d.files) d.rebuiltBytes += f.rawBytes;
                if (d.base == Base::kFoundUnchecked) {
                    d.base = Base::kFound;
                    d.baseFound = d.baseRecorded;
                }
            } else if (r.error().code == ErrorCode::kCancelled) {
                d.rebuild = Rebuild::kNotRebuilt;
            } else {
                d.rebuild = r.error().code == ErrorCode::kIntegrity ? Rebuild::kDifferent : Rebuild::kFailed;
                if (r.error().code == ErrorCode::kWrongBase) d.base = Base::kWrong;
                d.rebuildError = errorBody(r.error());
            }
            emit changed();
        });
    connect(e->job, &Job::changed, this, [this, path, job = e->job] {
        if (Entry* now = entry(path); now != nullptr && job && now->details.rebuild == Rebuild::kRebuilding) {
            now->details.rebuildFraction = std::max(0.0, job->fraction());
            emit changed();
        }
    });
    emit changed();
}

void ArtifactController::chooseBase() {
    ChooserRequest request;
    request.kind = ChooserKind::kOpenModel;
    request.title = tr("Choose the base of this delta");
    request.startFolder = m_settings.lastFolder();
    m_dialogs.choosePath(request, [this, path = m_current](const QString& base) {
        Entry* e = entry(path);
        if (base.isEmpty() || e == nullptr) return;
        e->chosenBase = base;
        e->details.base = Base::kFoundUnchecked;
        emit changed();
        verify();  // hashing the base is part of it
    });
}

void ArtifactController::open() {
    ChooserRequest request;
    request.kind = ChooserKind::kOpenArtifact;
    request.title = tr("Open an artifact");
    request.startFolder = m_settings.outputFolder();
    m_dialogs.choosePath(request, [this](const QString& path) { if (!path.isEmpty()) add(path); });
}

void ArtifactController::unpack() {
    const ArtifactDetails* d = current();
    if (d == nullptr || trustOf(*d) == Trust::kDamaged) return;
    ChooserRequest request;
    request.kind = ChooserKind::kChooseFolder;
    request.title = tr("Unpack to a new folder");
    request.startFolder = m_settings.outputFolder();
    request.suggestedName = QFileInfo(d->path).completeBaseName();
    m_dialogs.choosePath(request, [this](const QString& folder) { if (!folder.isEmpty()) unpackTo(folder); });
}

void ArtifactController::unpackTo(const QString& folder) {
    Entry* e = entry(m_current);
    if (e == nullptr || (e->job && e->job->active())) return;
    const QString path = m_current, basePath = e->details.base == Base::kNotNeeded ? QString() : baseFor(path);
    JobSpec spec{QStringLiteral("unpack"), tr("Unpack, %1").arg(QFileInfo(path).fileName())};
    e->job = m_jobs.start<delta::ReconstructReport>(
        spec, this,
        [path, basePath, folder](const JobRun& run) -> Result<delta::ReconstructReport> {
            TENPAK_ASSIGN(const auto artifact, Artifact::open(fs::path(path.toStdString())));
            std::shared_ptr<const ModelSource> base;
            if (!basePath.isEmpty() && needsBase(*artifact)) {
                TENPAK_ASSIGN(base, open_model(fs::path(basePath.toStdString())));
            }
            TENPAK_ASSIGN(const auto trust, signing::TrustStore::open(signing::TrustStore::default_file()));
            TENPAK_RETURN_IF_ERROR(signing::refuse_forged(*artifact, &trust));  // before a byte of it is written
            TENPAK_ASSIGN(const auto view, unpacked_view(artifact));
            delta::ReconstructOptions options;
            options.verify = delta::Verify::kFull;
            return delta::reconstruct(*view, base.get(), fs::path(folder.toStdString()), options, run.context());
        },
        [this, folder, path](Result<delta::ReconstructReport> r) {
            if (r.ok()) emit unpacked(folder, r->files, r->bytes_written, r->seconds);
            else if (r.error().code != ErrorCode::kCancelled) emit failed(r.error(), path);
            emit changed();
        });
    emit changed();
}

void ArtifactController::trust() {
    const QString path = m_current;
    const Entry* e = entry(path);
    if (e == nullptr) return;
    // The key that the signature was valid by travels with the artifact: the user only has to say whose it is.
    if (!e->details.report.public_key.empty()) {
        askName(path, e->details.report.public_key);
        return;
    }
    ChooserRequest request;
    request.kind = ChooserKind::kOpenKey;
    request.title = tr("Choose the signer's public key (tenpak.pub)");
    request.startFolder = QFileInfo(path).absolutePath();
    m_dialogs.choosePath(request, [this, path](const QString& key) {
        if (key.isEmpty()) return;
        const fs::path file(key.toStdString());
        const auto fingerprint = signing::key_fingerprint(file, {});
        const auto pem = read_text_file(file, 65536);
        const Entry* now = entry(path);
        if (!fingerprint.ok() || !pem.ok()) {
            emit failed(!fingerprint.ok() ? fingerprint.error() : pem.error(), path);
        } else if (now != nullptr && !now->details.report.fingerprint.empty() && now->details.report.fingerprint != *fingerprint) {
            emit failed(make_error(ErrorCode::kSignature, "this is another key than the one that signed", key.toStdString(), "Choose the public key of whoever signed the artifact"), path);
        } else {
            askName(path, *pem);
        }
    });
}

void ArtifactController::askName(const QString& path, const std::string& pem) {
    m_dialogs.askText(tr("Trust this key"), tr("Whose key is it? The name is shown wherever it signed."), false, [this, path, pem](const QString& name) {
        if (name.trimmed().isEmpty()) return;
        auto store = signing::TrustStore::open(signing::TrustStore::default_file());
        signing::TrustedKey key;
        key.name = name.trimmed().toStdString();
        key.pem = pem;
        const Status s = store.ok() ? store->add(key) : Status(store.error());
        if (!s.ok()) emit failed(s.error(), path);
        else if (path == m_current) verify();
    });
}

ArtifactViewState ArtifactController::state() const {
    ArtifactViewState s;
    for (const QString& p : m_paths) {
        const ArtifactDetails& d = (*m_entries.find(p))->details;
        ArtifactRow row;
        row.path = p;
        row.name = d.name;
        const QFileInfo info(p);
        const QString kind = d.base == Base::kNotNeeded ? tr("model") : tr("delta");
        row.facts = info.isDir() ? tr("%1 · folder").arg(kind) : kind + QStringLiteral(" \u00B7 ") + format::bytes(static_cast<double>(info.size()));
        row.trust = trustOf(d);
        row.signer = QString::fromStdString(d.report.signer);
        if (p == m_current) s.current = static_cast<int>(s.items.size());
        s.items.append(row);
    }
    if (const ArtifactDetails* d = current()) s.details = *d;
    s.banner = m_banner;
    return s;
}

}  // namespace tenpak::app
