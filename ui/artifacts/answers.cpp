// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/artifacts/answers.h"

#include <QCoreApplication>

#include "app/format.h"

namespace tenpak::ui {
namespace {
namespace fmt = app::format;
using app::ArtifactDetails;
using Check = ArtifactDetails::Check;
using Rebuild = ArtifactDetails::Rebuild;
using Base = ArtifactDetails::Base;
using signing::SignatureState;

/// lupdate knows the context by this.
struct Tr {
    Q_DECLARE_TR_FUNCTIONS(ArtifactsPage)
};

QString checkedText(const ArtifactDetails& d) {
    QString s = d.checkedAt.isValid() ? Tr::tr("Checked %1").arg(fmt::when(d.checkedAt)) : Tr::tr("Checked");
    if (d.report.bytes > 0) s += QStringLiteral(", ") + Tr::tr("%1 read").arg(fmt::bytes(static_cast<double>(d.report.bytes)));
    if (d.checkSeconds > 0) s += QLatin1Char(' ') + Tr::tr("in %1").arg(fmt::duration(d.checkSeconds));
    return s;
}

QString sentence(QString s) {
    if (!s.isEmpty()) s[0] = s[0].toUpper();
    return s;
}

}  // namespace

bool isDamaged(const ArtifactDetails& d) { return d.check == Check::kChecked && !d.report.intact; }

Answer intactAnswer(const ArtifactDetails& d) {
    Answer a;
    a.question = Tr::tr("Is it intact?");
    switch (d.check) {
        case Check::kNotChecked:
            a.icon = QStringLiteral("shield");
            a.answer = Tr::tr("Not checked");
            a.evidence = Tr::tr("Every chunk has a SHA-256 in the manifest to compare with.");
            a.action = AnswerAction::kVerify;
            a.actionText = Tr::tr("Verify");
            a.actionIcon = QStringLiteral("shieldcheck");
            break;
        case Check::kChecking:
            a.icon = QStringLiteral("hourglass");
            a.ink = Ink::kAccent;
            a.answer = Tr::tr("Checking, %1").arg(fmt::progressPercent(d.fraction));
            a.evidence = Tr::tr("Reads every chunk and compares its SHA-256.");
            a.action = AnswerAction::kStop;
            a.actionText = Tr::tr("Stop");
            a.actionIcon = QStringLiteral("stop");
            break;
        case Check::kFailed:
            a.icon = QStringLiteral("warn");
            a.ink = Ink::kWarn;
            a.answer = Tr::tr("The check could not be made");
            a.evidence = sentence(QString::fromStdString(d.report.problem));
            a.action = AnswerAction::kVerify;
            a.actionText = Tr::tr("Verify again");
            a.actionIcon = QStringLiteral("shieldcheck");
            break;
        case Check::kChecked:
            if (d.report.intact) {
                a.icon = QStringLiteral("check");
                a.ink = Ink::kOk;
                a.answer = Tr::tr("Yes, all %1 chunks match").arg(fmt::count(d.report.chunks));
                a.evidence = Tr::tr("SHA-256 of every chunk. %1").arg(checkedText(d));
            } else {
                a.icon = QStringLiteral("cross");
                a.ink = Ink::kError;
                a.answer = Tr::tr("No, it is damaged");
                a.evidence = sentence(QString::fromStdString(d.report.problem)) + QStringLiteral(". ") + checkedText(d);
            }
            break;
    }
    return a;
}

Answer signedAnswer(const ArtifactDetails& d) {
    Answer a;
    a.question = Tr::tr("Who signed it?");
    a.icon = QStringLiteral("shield");
    if (d.check != Check::kChecked) {
        a.answer = d.check == Check::kChecking ? Tr::tr("Checking") : Tr::tr("Not checked");
        a.evidence = Tr::tr("The signature is checked together with the chunks.");
        return a;
    }
    const signing::VerifyReport& r = d.report;
    const bool hmac = r.scheme.rfind("hmac", 0) == 0;
    const QString key = r.fingerprint.empty() ? QString() : Tr::tr("Key %1").arg(fmt::shortFingerprint(QString::fromStdString(r.fingerprint)));
    switch (r.signature) {
        case SignatureState::kNone:
            a.answer = Tr::tr("Nobody");
            a.evidence = Tr::tr("Without a signature anyone can have made it.");
            break;
        case SignatureState::kUnchecked:
            a.icon = QStringLiteral("key");
            a.ink = Ink::kWarn;
            a.answer = Tr::tr("Signed, but the key to check it with is not here");
            a.evidence = hmac ? Tr::tr("HMAC: only whoever has the shared secret can check it, and it says nobody's name.") : key;
            break;
        case SignatureState::kInvalid:
            a.icon = QStringLiteral("cross");
            a.ink = Ink::kError;
            a.answer = Tr::tr("The signature does not cover these contents");
            a.evidence = sentence(QString::fromStdString(r.problem));
            if (!key.isEmpty()) a.evidence += QStringLiteral(". ") + key;
            break;
        case SignatureState::kValid:
            if (hmac) {
                a.icon = QStringLiteral("key");
                a.ink = Ink::kText;
                a.answer = Tr::tr("Somebody with the shared secret");
                a.evidence = Tr::tr("HMAC: intact for whoever has the secret, and it says nobody's name.");
            } else if (!r.intact) {
                // The manifest is signed, but the contents are not what it lists.
                a.icon = QStringLiteral("cross");
                a.ink = Ink::kError;
                a.answer = Tr::tr("The signature does not cover these contents");
                a.evidence = Tr::tr("The signed manifest lists other contents. %1").arg(key);
            } else if (r.trusted) {
                a.icon = QStringLiteral("shieldcheck");
                a.ink = Ink::kOk;
                a.answer = QString::fromStdString(r.signer);
                a.evidence = Tr::tr("Valid signature by a key you trust. %1").arg(key);
            } else {
                a.icon = QStringLiteral("key");
                a.ink = Ink::kWarn;
                a.answer = Tr::tr("Valid signature by a key you have not trusted yet");
                a.evidence = Tr::tr("%1. The signature says who held the key, not that the model is good.").arg(key);
                a.action = AnswerAction::kTrust;
                a.actionText = Tr::tr("Trust this key\u2026");
                a.actionIcon = QStringLiteral("key");
            }
            break;
    }
    return a;
}

Answer losslessAnswer(const ArtifactDetails& d) {
    Answer a;
    a.question = Tr::tr("Is it lossless?");
    a.icon = QStringLiteral("equal");
    if (!d.madeLossless) {
        a.icon = QStringLiteral("lossy");
        a.ink = Ink::kWarn;
        a.answer = d.lossyWhat.isEmpty() ? Tr::tr("No, lossy by design") : Tr::tr("No, lossy: %1").arg(d.lossyWhat);
        a.evidence = Tr::tr("The weights differ from the original's on purpose.");
        return a;
    }
    if (isDamaged(d)) {
        a.answer = Tr::tr("Cannot be checked while damaged");
        a.evidence = Tr::tr("A rebuild needs every chunk.");
        return a;
    }
    switch (d.rebuild) {
        case Rebuild::kNotRebuilt:
            a.answer = Tr::tr("Made to be. Not rebuilt yet");
            a.evidence = Tr::tr("Rebuilding compares the SHA-256 of every file with that of the original.");
            if (d.base == Base::kNotFound || d.base == Base::kWrong) break;  // it needs the base first
            a.action = AnswerAction::kRebuild;
            a.actionText = Tr::tr("Rebuild and compare");
            a.actionIcon = QStringLiteral("equal");
            break;
        case Rebuild::kRebuilding:
            a.icon = QStringLiteral("hourglass");
            a.ink = Ink::kAccent;
            a.answer = Tr::tr("Rebuilding, %1").arg(fmt::progressPercent(d.rebuildFraction));
            a.evidence = Tr::tr("Decodes everything and compares the SHA-256 of every file; nothing is written.");
            a.action = AnswerAction::kStop;
            a.actionText = Tr::tr("Stop");
            a.actionIcon = QStringLiteral("stop");
            break;
        case Rebuild::kSame:
            a.ink = Ink::kOk;
            a.answer = Tr::tr("Yes, rebuilt here and compared");
            a.evidence = Tr::tr("%1 of %n file(s) have the SHA-256 of the original", nullptr, d.filesCompared).arg(d.filesEqual);
            if (d.rebuiltBytes > 0) a.evidence += QStringLiteral("; ") + Tr::tr("%1 in %2").arg(fmt::bytes(static_cast<double>(d.rebuiltBytes)), fmt::duration(d.rebuildSeconds));
            break;
        case Rebuild::kDifferent:
            a.icon = QStringLiteral("cross");
            a.ink = Ink::kError;
            a.answer = Tr::tr("No, the rebuilt files differ");
            a.evidence = Tr::tr("%1 of %n file(s) have the SHA-256 of the original", nullptr, d.filesCompared).arg(d.filesEqual);
            break;
        case Rebuild::kFailed:
            a.icon = QStringLiteral("warn");
            a.ink = Ink::kWarn;
            a.answer = Tr::tr("The rebuild could not be made");
            a.evidence = d.rebuildError;
            a.action = AnswerAction::kRebuild;
            a.actionText = Tr::tr("Rebuild again");
            a.actionIcon = QStringLiteral("equal");
            break;
    }
    return a;
}

Answer baseAnswer(const ArtifactDetails& d) {
    Answer a;
    a.question = Tr::tr("Does it need a base?");
    a.icon = QStringLiteral("model");
    const QString recorded = fmt::shortFingerprint(d.baseRecorded);
    switch (d.base) {
        case Base::kNotNeeded:
            a.ink = Ink::kText;
            a.answer = Tr::tr("No");
            a.evidence = Tr::tr("Everything that is needed is inside.");
            break;
        case Base::kFound:
            a.ink = Ink::kOk;
            a.answer = Tr::tr("%1, found, fingerprint matches").arg(d.baseName);
            a.evidence = Tr::tr("Fingerprint %1").arg(recorded);
            break;
        case Base::kFoundUnchecked:
            a.ink = Ink::kText;
            a.answer = Tr::tr("%1, found, not compared yet").arg(d.baseName);
            a.evidence = Tr::tr("Recorded fingerprint %1. The rebuild compares it.").arg(recorded);
            break;
        case Base::kNotFound:
            a.ink = Ink::kWarn;
            a.answer = Tr::tr("Yes, %1, not found here").arg(d.baseName);
            a.evidence = Tr::tr("Recorded fingerprint %1").arg(recorded);
            a.action = AnswerAction::kChooseBase;
            a.actionText = Tr::tr("Choose base\u2026");
            a.actionIcon = QStringLiteral("folder");
            break;
        case Base::kWrong:
            a.icon = QStringLiteral("cross");
            a.ink = Ink::kError;
            a.answer = Tr::tr("The base found is another one");
            a.evidence = Tr::tr("Recorded %1, found %2").arg(recorded, fmt::shortFingerprint(d.baseFound));
            a.action = AnswerAction::kChooseBase;
            a.actionText = Tr::tr("Choose base\u2026");
            a.actionIcon = QStringLiteral("folder");
            break;
    }
    return a;
}

std::array<Answer, 4> answersFor(const ArtifactDetails& d) { return {intactAnswer(d), signedAnswer(d), losslessAnswer(d), baseAnswer(d)}; }

}  // namespace tenpak::ui
