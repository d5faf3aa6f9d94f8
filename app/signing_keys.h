// SPDX-License-Identifier: GPL-3.0-or-later
// The keys a user can sign with: key files used before, shared secrets, or none. Making a key, asking for a passphrase.
// Passphrases are passed on and forgotten, never stored. UI thread.
#pragma once
#include <QList>
#include <QString>

#include "app/settings.h"
#include "app/view_states.h"
#include "core/signing/signing.h"

namespace tenpak::app {

class SigningKeys {
   public:
    explicit SigningKeys(Settings& settings) : m_settings(settings) {}

    /// Key files, newest first, then "Do not sign".
    QList<SigningChoice> choices() const;
    /// kInvalidArgument where the file is neither a private key nor a usable secret.
    Result<SigningChoice> fromFile(const QString& file) const;
    void remember(const SigningChoice& choice);
    /// A new key pair in a folder of its own beside the trusted keys; the public half is trusted as "You".
    Result<SigningChoice> make(const QString& passphrase);
    static bool needsPassphrase(const SigningChoice& choice);
    static signing::SigningKey toKey(const SigningChoice& choice, const QString& passphrase);

   private:
    SigningChoice keyFileChoice(const QString& file) const;
    Settings& m_settings;
};

}  // namespace tenpak::app
