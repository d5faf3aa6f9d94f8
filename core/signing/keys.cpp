// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/signing/ec_key.h"
#include "core/signing/key_files.h"
#include "core/signing/signing.h"

namespace tenpak::signing {
namespace {

constexpr std::uint64_t kMaxKeyFile = 64u << 10;
constexpr std::size_t kMinSecret = 16;  // bytes: below that a secret can be guessed

/// A new file with these permissions from the first moment; removed again when it cannot be written whole.
Status write_new(const fs::path& path, const std::string& text, mode_t mode) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) {
        if (errno == EEXIST) {
            return make_error(ErrorCode::kInvalidArgument, "a key file is there already and will not be overwritten", path.string(), "Choose another folder");
        }
        return errno_error("cannot create", path.string(), errno);
    }
    int e = 0;
    for (std::size_t at = 0; at < text.size() && e == 0;) {
        const ssize_t n = ::write(fd, text.data() + at, text.size() - at);
        if (n > 0) at += static_cast<std::size_t>(n);
        else if (errno != EINTR) e = n == 0 ? ENOSPC : errno;
    }
    if (e == 0 && ::fsync(fd) != 0) e = errno;
    if (::close(fd) != 0 && e == 0) e = errno;
    if (e == 0) return {};
    ::unlink(path.c_str());
    return errno_error("cannot write", path.string(), e);
}

}  // namespace

Result<PublicKey> load_public_key(const fs::path& file, const std::string& passphrase) {
    TENPAK_ASSIGN(const std::string pem, read_text_file(file, kMaxKeyFile));
    if (pem.find("PRIVATE KEY-----") != pem.npos) {
        TENPAK_ASSIGN(const PrivateKey key, PrivateKey::from_pem(pem, passphrase, file.string()));
        return key.public_key();
    }
    return PublicKey::from_pem(pem, file.string());
}

Result<PrivateKey> load_private_key(const fs::path& file, const std::string& passphrase) {
    TENPAK_ASSIGN(const std::string pem, read_text_file(file, kMaxKeyFile));
    return PrivateKey::from_pem(pem, passphrase, file.string());
}

Result<Bytes> load_secret(const fs::path& file) {
    TENPAK_ASSIGN(Bytes secret, read_file(file, kMaxKeyFile));
    if (secret.size() < kMinSecret) {
        return make_error(ErrorCode::kInvalidArgument, "a shared secret must have at least 16 bytes", file.string(), "openssl rand -out FILE 32 makes one");
    }
    // A public key as the secret would let everybody who can verify forge: the classical key confusion.
    if (as_text(secret).find("-----BEGIN ") != std::string_view::npos) {
        return make_error(ErrorCode::kInvalidArgument, "a PEM key is no shared secret", file.string(), "Use it with --key or --public-key");
    }
    return secret;
}

Result<KeyPair> generate_key(const fs::path& directory, const std::string& passphrase) {
    TENPAK_ASSIGN(const PrivateKey key, PrivateKey::generate());
    TENPAK_ASSIGN(const std::string pem, key.to_pem(passphrase));
    std::error_code ec;
    fs::create_directories(directory, ec);
    if (ec) return errno_error("cannot create folder", directory.string(), ec.value());
    KeyPair pair{directory / "tenpak.key", directory / "tenpak.pub", key.public_key().fingerprint()};
    if (fs::exists(fs::symlink_status(pair.public_key, ec))) {
        return make_error(ErrorCode::kInvalidArgument, "a key file is there already and will not be overwritten", pair.public_key.string(), "Choose another folder");
    }
    TENPAK_RETURN_IF_ERROR(write_new(pair.private_key, pem, 0600));
    if (Status s = write_new(pair.public_key, key.public_key().pem(), 0644); !s.ok()) {
        fs::remove(pair.private_key, ec);
        return std::move(s).error();
    }
    TENPAK_RETURN_IF_ERROR(fsync_directory(directory));
    return pair;
}

Result<std::string> key_fingerprint(const fs::path& key_file, const std::string& passphrase) {
    TENPAK_ASSIGN(const PublicKey key, load_public_key(key_file, passphrase));
    return key.fingerprint();
}

}  // namespace tenpak::signing
