// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/signing_keys.h"

#include <QCoreApplication>
#include <QFile>
#include <QFileInfo>

#include "app/format.h"

namespace tenpak::app {
namespace {

QString text(const char* s) { return QCoreApplication::translate("SigningKeys", s); }
QByteArray head(const QString& file) {
    QFile f(file);
    return f.open(QIODevice::ReadOnly) ? f.read(65536) : QByteArray();
}
bool isPem(const QByteArray& bytes) { return bytes.contains("PRIVATE KEY-----"); }

}  // namespace

SigningChoice SigningKeys::keyFileChoice(const QString& file) const {
    SigningChoice c;
    c.kind = SigningChoice::Kind::kKeyFile;
    c.file = file;
    c.text = text("Key file %1").arg(QFileInfo(file).fileName());
    if (needsPassphrase(c)) {
        c.explanation = text("ECDSA P-256, protected by a passphrase that is asked for when signing. Whoever trusts the public key sees your name.");
        return c;
    }
    const auto fingerprint = signing::key_fingerprint(fs::path(file.toStdString()), {});
    c.explanation = fingerprint.ok()
                        ? text("ECDSA P-256, fingerprint %1. Whoever trusts the public key sees your name.").arg(format::shortFingerprint(QString::fromStdString(*fingerprint)))
                        : QString::fromStdString(fingerprint.error().text());
    return c;
}

QList<SigningChoice> SigningKeys::choices() const {
    QList<SigningChoice> out;
    for (const QString& f : m_settings.keyFiles())
        if (const auto c = fromFile(f); c.ok()) out.append(*c);
    SigningChoice none;
    none.text = text("Do not sign");
    none.explanation = text("Damage is still found by the hashes, but nobody can tell who made it.");
    out.append(none);
    return out;
}

Result<SigningChoice> SigningKeys::fromFile(const QString& file) const {
    const QByteArray bytes = head(file);
    if (isPem(bytes)) return keyFileChoice(file);
    if (bytes.contains("-----BEGIN"))
        return make_error(ErrorCode::kInvalidArgument, "this is not a private key", file.toStdString(), "Choose the .key file, not the .pub file");
    if (bytes.size() < 16)
        return make_error(ErrorCode::kInvalidArgument, "a shared secret needs at least 16 bytes", file.toStdString(), "Choose a key file or a longer secret");
    SigningChoice c;
    c.kind = SigningChoice::Kind::kHmac;
    c.file = file;
    c.text = text("Shared secret (HMAC) %1").arg(QFileInfo(file).fileName());
    c.explanation = text("Proves nobody's identity: whoever has the secret could have signed.");
    return c;
}

void SigningKeys::remember(const SigningChoice& choice) {
    if (!choice.file.isEmpty()) m_settings.addKeyFile(choice.file);
}

Result<SigningChoice> SigningKeys::make(const QString& passphrase) {
    const fs::path root = signing::TrustStore::default_file().parent_path() / "keys";
    // A second key gets a folder of its own: generate_key never overwrites.
    fs::path folder = root / "mine";
    std::error_code ec;
    for (int i = 2; fs::exists(folder, ec); ++i) folder = root / ("mine-" + std::to_string(i));
    fs::create_directories(folder, ec);
    if (ec) return errno_error("cannot create folder", folder.string(), ec.value());
    TENPAK_ASSIGN(const auto pair, signing::generate_key(folder, passphrase.toStdString()));
    TENPAK_ASSIGN(auto trust, signing::TrustStore::open(signing::TrustStore::default_file()));
    TENPAK_ASSIGN(const auto pem, read_text_file(pair.public_key, 65536));
    signing::TrustedKey mine;
    mine.name = text("You").toStdString();
    mine.pem = pem;
    TENPAK_RETURN_IF_ERROR(trust.add(mine));
    const QString file = QString::fromStdString(pair.private_key.string());
    m_settings.addKeyFile(file);
    return keyFileChoice(file);
}

bool SigningKeys::needsPassphrase(const SigningChoice& choice) {
    return choice.kind == SigningChoice::Kind::kKeyFile && head(choice.file).contains("ENCRYPTED PRIVATE KEY-----");
}

signing::SigningKey SigningKeys::toKey(const SigningChoice& choice, const QString& passphrase) {
    signing::SigningKey key;
    if (choice.kind == SigningChoice::Kind::kKeyFile) {
        key.private_key = choice.file.toStdString();
        key.passphrase = passphrase.toStdString();
    } else if (choice.kind == SigningChoice::Kind::kHmac) {
        key.hmac_key = choice.file.toStdString();
    }
    return key;
}

}  // namespace tenpak::app
