// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/inspect_artifact.h"

#include <QCoreApplication>
#include <QFileInfo>
#include <QLocale>
#include <algorithm>
#include <map>
#include <set>

#include "app/format.h"
#include "app/tensor_model.h"
#include "core/delta/base_cache.h"
#include "core/delta/block_plan.h"
#include "core/delta/codec.h"
#include "core/delta/reconstruct.h"

namespace tenpak::app {
namespace {

QString text(const char* s) { return QCoreApplication::translate("ArtifactController", s); }

/// One fingerprint for all tensors that a delta needs: SHA-256 over name, NUL, digest, in name order.
std::string fingerprintOf(const std::map<std::string, Digest>& tensors) {
    Sha256 h;
    for (const auto& [name, digest] : tensors) {
        h.update(as_bytes(name));
        h.update(as_bytes(std::string_view("\0", 1)));
        h.update(std::as_bytes(std::span(digest)));
    }
    return to_hex(h.finish());
}

/// "Difference 30, identical 2 tensors": of each tensor the codec of most of its bytes.
QString howStored(const FileRecord& file, const std::vector<BlockInfo>& blocks) {
    struct Stored {
        int tensors = 1;                               // small ones share a block
        std::map<std::string, std::uint64_t> methods;  // raw bytes
    };
    std::map<std::string, Stored> byTensor;
    for (const BlockId id : file.blocks) {
        const BlockInfo& b = blocks[id];
        const delta::BlockOwner owner = delta::block_owner(b.name);
        if (owner.name == file.path && file.blocks.size() > 1) continue;  // the header of a weight file is no tensor
        Stored& s = byTensor[std::string(owner.name)];
        s.tensors = std::max(s.tensors, static_cast<int>(owner.more) + 1);
        s.methods[delta::method_of(b)] += b.raw_size;
    }
    if (byTensor.empty()) byTensor[file.path].methods[file.blocks.empty() ? "raw" : delta::method_of(blocks[file.blocks.front()])] = 1;
    std::map<std::string, int> counts;
    int tensors = 0;
    for (const auto& [tensor, s] : byTensor) {
        counts[std::max_element(s.methods.begin(), s.methods.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->first] += s.tensors;
        tensors += s.tensors;
    }
    if (tensors == 1) return methodInSentence(counts.begin()->first);
    std::vector<std::pair<std::string, int>> order(counts.begin(), counts.end());
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    QStringList parts;
    for (const auto& [codec, n] : order) parts.append(methodInSentence(codec) + u' ' + QString::number(n));
    return parts.join(QStringLiteral(", ")) + text(" tensors");
}

}  // namespace

bool needsBase(const Artifact& artifact) { return delta::needs_base(artifact); }

ArtifactDetails describeArtifact(const Artifact& artifact) {
    const ModelRecord& model = artifact.model();
    ArtifactDetails d;
    d.path = QString::fromStdString(artifact.path().string());
    d.name = QFileInfo(d.path).fileName();
    const QString id = QString::fromStdString(model.model_id);
    const QString stored = format::bytes(static_cast<double>(artifact.stored_bytes())), raw = format::bytes(static_cast<double>(artifact.raw_bytes()));
    const QString made = format::when(QDateTime::fromString(QString::fromStdString(artifact.created()), Qt::ISODate));
    if (model.base) {
        d.baseName = QString::fromStdString(model.base->id);
        d.baseRecorded = QString::fromStdString(fingerprintOf(model.base->tensors));
        d.summary = text("Delta of %1 from %2 · %3 instead of %4 · made %5").arg(id, d.baseName, stored, raw, made);
    } else {
        d.summary = text("Whole model %1 · %2 instead of %3 · made %4").arg(id, stored, raw, made);
    }
    d.base = needsBase(artifact) ? ArtifactDetails::Base::kNotFound : ArtifactDetails::Base::kNotNeeded;
    d.madeLossless = model.lossless;
    if (!model.lossless) {
        const auto fact = [&](const char* key) {
            const auto it = model.attestation.find(key);
            return it != model.attestation.end() ? QString::fromStdString(it->second) : QString();
        };
        QStringList what;
        for (const char* key : {"mode", "candidate", "method"})
            if (!fact(key).isEmpty()) what.append(fact(key));
        if (!fact("max_abs_error").isEmpty()) what.append(text("largest weight error %1").arg(format::smallError(fact("max_abs_error").toDouble())));
        d.lossyWhat = what.join(QStringLiteral(", "));
    }
    for (const FileRecord& f : artifact.files()) {
        ArtifactFile row;
        row.path = QString::fromStdString(f.path);
        row.rawBytes = f.size;
        std::set<BlockId> factors;  // of low-rank terms: they belong to no file, but cost
        for (const BlockId b : f.blocks) {
            row.storedBytes += artifact.blocks()[b].stored_size;
            if (const auto& used = artifact.blocks()[b].factors; used && factors.insert(*used).second) row.storedBytes += artifact.blocks()[*used].stored_size;
        }
        row.how = howStored(f, artifact.blocks());
        d.files.push_back(std::move(row));
    }
    return d;
}

Result<BaseAnswer> checkBase(const Artifact& artifact, const ModelSource& base, const JobContext& ctx) {
    BaseAnswer answer;
    if (!artifact.model().base) {
        answer.same = true;
        return answer;
    }
    const std::map<std::string, Digest>& recorded = artifact.model().base->tensors;
    answer.recorded = fingerprintOf(recorded);
    if (const Status s = delta::check_base(artifact, &base, false, ctx); s.ok()) {
        answer.same = true;
        answer.found = answer.recorded;
        return answer;
    } else if (s.error().code != ErrorCode::kWrongBase) {
        return s.error();
    } else {
        answer.problem = s.error().what;
    }
    std::map<std::string, Digest> found;
    delta::BaseCache cache;
    for (const auto& entry : recorded) {
        const TensorInfo* t = base.find(entry.first);
        if (t == nullptr) continue;
        TENPAK_ASSIGN(found[entry.first], cache.digest(base, *t, false, ctx));
    }
    answer.found = fingerprintOf(found);
    return answer;
}

}  // namespace tenpak::app
