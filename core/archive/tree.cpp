// SPDX-License-Identifier: Apache-2.0
#include "core/archive/tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

namespace tenpak::archive {
namespace {

std::int64_t nanoseconds(const struct timespec& t) { return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec; }
fs::path parent_of(const fs::path& p) { return p.has_parent_path() ? p.parent_path() : fs::path("."); }
fs::path place(const fs::path& model, const Tree& tree, const std::string& path) { return tree.single_file || path.empty() ? model : model / path; }

Result<struct stat> look(const fs::path& p) {
    struct stat st{};
    if (::lstat(p.c_str(), &st) != 0) return errno_error("cannot look at", p.string(), errno);
    return st;
}
TreeFile describe(std::string path, const struct stat& st) {
    TreeFile f;
    f.path = std::move(path);
    f.size = static_cast<std::uint64_t>(st.st_size);
    f.mode = st.st_mode & 07777;
    f.mtime_ns = nanoseconds(st.st_mtim);
    f.device = st.st_dev;
    f.inode = st.st_ino;
    f.links = st.st_nlink;
    return f;
}

/// Walks without following links. Fills what is there and says what stands in the way of removing and putting back.
Status walk(const fs::path& root, const std::string& folder, Tree& tree, std::string& blocker) {
    std::error_code ec;
    std::vector<std::string> inner;
    for (fs::directory_iterator it(folder.empty() ? root : root / folder, ec), end; !ec && it != end; it.increment(ec)) {
        const std::string name = it->path().filename().string();
        const std::string path = folder.empty() ? name : folder + "/" + name;
        if (!check_relative_path(path).ok()) {
            blocker = "a file name in it cannot be recorded (not UTF-8, or with a backslash or control character)";
            tree.complete = false;
            continue;
        }
        TENPAK_ASSIGN(const struct stat st, look(it->path()));
        if (st.st_uid != ::geteuid()) blocker = path + " belongs to another user";
        if (S_ISDIR(st.st_mode)) inner.push_back(path);
        else if (S_ISREG(st.st_mode)) tree.files.push_back(describe(path, st));
        else blocker = path + (S_ISLNK(st.st_mode) ? " is a symbolic link" : " is not a regular file"), tree.complete = false;
    }
    if (ec) return errno_error("cannot read the folder", (root / folder).string(), ec.value());
    for (const std::string& path : inner) {
        TENPAK_ASSIGN(const struct stat st, look(root / path));
        tree.folders.push_back({path, st.st_mode & 07777u, nanoseconds(st.st_mtim)});
        TENPAK_RETURN_IF_ERROR(walk(root, path, tree, blocker));
    }
    return {};
}

Status sync_path(const fs::path& p) {
    const int fd = ::open(p.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno_error("cannot open", p.string(), errno);
    const int rc = ::fsync(fd);
    const int e = errno;
    ::close(fd);
    if (rc != 0 && e != EINVAL && e != ENOTSUP) return errno_error("cannot write to disk", p.string(), e);
    return {};
}
Status set_time(const fs::path& p, std::int64_t mtime_ns) {
    struct timespec t[2]{};
    t[0].tv_nsec = UTIME_OMIT;
    std::int64_t seconds = mtime_ns / 1'000'000'000, rest = mtime_ns % 1'000'000'000;
    if (rest < 0) --seconds, rest += 1'000'000'000;
    t[1].tv_sec = seconds;
    t[1].tv_nsec = rest;
    if (::utimensat(AT_FDCWD, p.c_str(), t, AT_SYMLINK_NOFOLLOW) != 0) return errno_error("cannot set the time of", p.string(), errno);
    return {};
}
Status set_mode(const fs::path& p, std::uint32_t mode) {
    if (::chmod(p.c_str(), mode) != 0) return errno_error("cannot set the permissions of", p.string(), errno);
    return {};
}

std::string hex(const Bytes& b) { return to_hex({reinterpret_cast<const std::uint8_t*>(b.data()), b.size()}); }
std::optional<Bytes> from_hex(const std::string& s) {
    if (s.size() % 2 != 0) return std::nullopt;
    const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
    Bytes b;
    for (std::size_t i = 0; i < s.size(); i += 2) {
        const int high = digit(s[i]), low = digit(s[i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        b.push_back(static_cast<std::byte>(high << 4 | low));
    }
    return b;
}

}  // namespace

std::uint64_t Tree::bytes() const {
    std::uint64_t n = 0;
    for (const TreeFile& f : files) n += f.size;
    return n;
}
bool Tree::same_metadata(const Tree& o) const {
    return single_file == o.single_file && folders == o.folders &&
           std::equal(files.begin(), files.end(), o.files.begin(), o.files.end(), [](const TreeFile& a, const TreeFile& b) { return a.same_metadata(b); });
}

Result<Tree> list_tree(const fs::path& model, std::string& blocker) {
    Tree tree;
    blocker.clear();
    TENPAK_ASSIGN(const struct stat st, look(model));
    if (st.st_uid != ::geteuid()) blocker = "it belongs to another user";
    if (S_ISREG(st.st_mode)) {
        tree.single_file = true;
        tree.files.push_back(describe(model.filename().string(), st));
        return tree;
    }
    if (!S_ISDIR(st.st_mode)) {
        blocker = "it is a symbolic link";
        tree.complete = false;
        return tree;
    }
    tree.folders.push_back({"", st.st_mode & 07777u, nanoseconds(st.st_mtim)});
    TENPAK_RETURN_IF_ERROR(walk(model, "", tree, blocker));
    std::sort(tree.files.begin(), tree.files.end(), [](const TreeFile& a, const TreeFile& b) { return a.path < b.path; });
    std::sort(tree.folders.begin(), tree.folders.end(), [](const TreeFolder& a, const TreeFolder& b) { return a.path < b.path; });
    // What the artifact will not hold goes into the journal, where it is small.
    TENPAK_ASSIGN(const auto directory, ModelDirectory::open(model));
    std::set<std::string> held;
    for (const ModelFile& f : directory->files()) held.insert(f.path);
    std::uint64_t extra = 0;
    for (TreeFile& f : tree.files) {
        f.extra = held.erase(f.path) == 0;
        if (f.extra) extra += f.size;
    }
    if (extra > kMaxExtraBytes) {
        const auto first = std::find_if(tree.files.begin(), tree.files.end(), [](const TreeFile& f) { return f.extra; });
        blocker = "it has hidden or unfinished files that an artifact does not hold (" + first->path + ")";
        std::erase_if(tree.files, [](const TreeFile& f) { return f.extra; });
    }
    for (TreeFile& f : tree.files) {
        if (!f.extra) continue;
        TENPAK_ASSIGN(f.content, read_file(model / f.path, kMaxExtraBytes));
    }
    if (!held.empty()) {
        tree.complete = false;
        if (blocker.empty()) blocker = *held.begin() + " is not a file in its folder";
    }
    return tree;
}

Result<Digest> hash_fresh(const fs::path& path, std::uint64_t& size, const JobContext& ctx) {
    TENPAK_ASSIGN(const File file, File::open(path));
    // Advice only: pages that were never written back stay. What is read is then what the disk holds.
    (void)::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
    size = file.size();
    Sha256 hash;
    Bytes buffer(1u << 20);
    for (std::uint64_t at = 0; at < size; at += buffer.size()) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const std::span<std::byte> part(buffer.data(), std::min<std::uint64_t>(buffer.size(), size - at));
        TENPAK_RETURN_IF_ERROR(file.read_at(at, part));
        hash.update(part);
    }
    return hash.finish();
}

Status hash_tree(const fs::path& model, Tree& tree, const char* phase, const JobContext& ctx) {
    const std::uint64_t total = tree.bytes();
    std::uint64_t done = 0;
    for (TreeFile& f : tree.files) {
        std::uint64_t size = 0;
        TENPAK_ASSIGN(f.sha256, hash_fresh(place(model, tree, f.path), size, ctx));
        if (size != f.size) return make_error(ErrorCode::kMismatch, "the file changed while it was read", place(model, tree, f.path).string(), "Try again when nothing writes there");
        done += size;
        ctx.report({phase, done, total, "bytes", f.path});
    }
    return {};
}

Status restore_metadata(const fs::path& model, const Tree& tree) {
    std::error_code ec;
    for (const TreeFolder& f : tree.folders) {
        fs::create_directories(place(model, tree, f.path), ec);
        if (ec) return errno_error("cannot create folder", place(model, tree, f.path).string(), ec.value());
    }
    for (const TreeFile& f : tree.files) {
        const fs::path p = place(model, tree, f.path);
        if (f.extra) TENPAK_RETURN_IF_ERROR(write_file_atomic(p, f.content));
        TENPAK_RETURN_IF_ERROR(set_time(p, f.mtime_ns));
        TENPAK_RETURN_IF_ERROR(sync_path(p));        // before the permissions, which may forbid reading
        TENPAK_RETURN_IF_ERROR(set_mode(p, f.mode));
    }
    // Deepest first: giving a folder its files changes its time.
    for (auto f = tree.folders.rbegin(); f != tree.folders.rend(); ++f) {
        const fs::path p = place(model, tree, f->path);
        TENPAK_RETURN_IF_ERROR(set_time(p, f->mtime_ns));
        TENPAK_RETURN_IF_ERROR(fsync_directory(p));
        TENPAK_RETURN_IF_ERROR(set_mode(p, f->mode));
    }
    return fsync_directory(parent_of(model));
}

Status remove_tree(const fs::path& model, const Tree& tree, const std::function<void(const char*)>& on_step) {
    std::error_code ec;
    const auto step = [&](const char* s) {
        if (on_step) on_step(s);
    };
    const auto differs = [](const fs::path& p) {
        return make_error(ErrorCode::kMismatch, "not what was archived: it is left alone", p.string(), "Look at it, then run the command again");
    };
    if (!fs::exists(fs::symlink_status(model, ec))) return {};
    std::map<std::string, const TreeFile*> files;
    for (const TreeFile& f : tree.files) files[f.path] = &f;
    Tree now;
    std::string blocker;
    TENPAK_ASSIGN(const struct stat st, look(model));
    if (tree.single_file) {
        if (!S_ISREG(st.st_mode)) return differs(model);
        now.files.push_back(describe(tree.files.front().path, st));
    } else {
        if (!S_ISDIR(st.st_mode)) return differs(model);
        TENPAK_RETURN_IF_ERROR(walk(model, "", now, blocker));
        if (!blocker.empty()) return differs(model);
    }
    for (const TreeFile& f : now.files) {
        const auto known = files.find(f.path);
        if (known == files.end() || known->second->size != f.size || known->second->mtime_ns != f.mtime_ns) return differs(place(model, tree, f.path));
    }
    for (const TreeFolder& f : now.folders) {
        if (std::none_of(tree.folders.begin(), tree.folders.end(), [&](const TreeFolder& k) { return k.path == f.path; })) return differs(model / f.path);
    }
    // A folder without write permission would keep its files.
    if (!tree.single_file) TENPAK_RETURN_IF_ERROR(set_mode(model, 0700));
    for (const TreeFolder& f : now.folders) TENPAK_RETURN_IF_ERROR(set_mode(model / f.path, 0700));
    for (const TreeFile& f : now.files) {
        const fs::path p = place(model, tree, f.path);
        if (::unlink(p.c_str()) != 0 && errno != ENOENT) return errno_error("cannot remove", p.string(), errno);
        step("file-removed");
    }
    if (!tree.single_file) {
        std::sort(now.folders.begin(), now.folders.end(), [](const TreeFolder& a, const TreeFolder& b) { return a.path > b.path; });
        for (const TreeFolder& f : now.folders)
            if (::rmdir((model / f.path).c_str()) != 0 && errno != ENOENT) return errno_error("cannot remove folder", (model / f.path).string(), errno);
        if (::rmdir(model.c_str()) != 0 && errno != ENOENT) return errno_error("cannot remove folder", model.string(), errno);
    }
    return fsync_directory(parent_of(model));
}

Status remove_own_folder(const fs::path& folder) {
    std::error_code ec;
    const fs::file_status s = fs::symlink_status(folder, ec);
    if (!fs::exists(s)) return {};
    if (fs::is_directory(s)) {  // restored permissions may forbid removing
        (void)::chmod(folder.c_str(), 0700);
        for (fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, ec), end; !ec && it != end; it.increment(ec))
            if (it->symlink_status(ec).type() == fs::file_type::directory) (void)::chmod(it->path().c_str(), 0700);
    }
    fs::remove_all(folder, ec);
    if (ec) return errno_error("cannot remove", folder.string(), ec.value());
    return fsync_directory(parent_of(folder));
}

Status rename_new(const fs::path& from, const fs::path& to) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0) {
        int e = errno;
        if (e == EINVAL || e == ENOSYS) {  // a file system without the flag: the check leaves a window, but rename(2) refuses a folder with files
            struct stat st{};
            if (::lstat(to.c_str(), &st) == 0) e = EEXIST;
            else e = ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
        }
        if (e == EEXIST || e == ENOTEMPTY) return make_error(ErrorCode::kMismatch, "something is there already", to.string(), "Move it away, then run the command again");
        if (e != 0) return errno_error("cannot rename", from.string(), e);
    }
    return fsync_directory(parent_of(to));
}

Json tree_to_json(const Tree& tree) {
    Json files = Json::array(), folders = Json::array();
    for (const TreeFile& f : tree.files) {
        Json j = {{"path", f.path}, {"size", f.size}, {"mode", f.mode}, {"mtime_ns", f.mtime_ns}, {"sha256", to_hex(f.sha256)}};
        if (f.extra) j["content"] = hex(f.content);
        files.push_back(std::move(j));
    }
    for (const TreeFolder& f : tree.folders) folders.push_back({{"path", f.path}, {"mode", f.mode}, {"mtime_ns", f.mtime_ns}});
    return {{"single_file", tree.single_file}, {"files", std::move(files)}, {"folders", std::move(folders)}};
}

Result<Tree> tree_from_json(const Json& j, const std::string& where) {
    Tree tree;
    TENPAK_ASSIGN(tree.single_file, json_get<bool>(j, "single_file", where));
    TENPAK_ASSIGN(const Json files, json_get<Json>(j, "files", where));
    TENPAK_ASSIGN(const Json folders, json_get<Json>(j, "folders", where));
    if (!files.is_array() || !folders.is_array()) return make_error(ErrorCode::kMalformed, "\"files\" and \"folders\" must be lists", where);
    for (const Json& e : files) {
        TreeFile f;
        TENPAK_ASSIGN(f.path, json_get<std::string>(e, "path", where));
        TENPAK_RETURN_IF_ERROR(check_relative_path(f.path));
        TENPAK_ASSIGN(f.size, json_get<std::uint64_t>(e, "size", where));
        TENPAK_ASSIGN(f.mode, json_get<std::uint32_t>(e, "mode", where));
        TENPAK_ASSIGN(f.mtime_ns, json_get<std::int64_t>(e, "mtime_ns", where));
        TENPAK_ASSIGN(const std::string digest, json_get<std::string>(e, "sha256", where));
        const auto d = digest_from_hex(digest);
        if (!d || f.mode > 07777) return make_error(ErrorCode::kMalformed, "a file's hash or permissions are impossible", where);
        f.sha256 = *d;
        if (e.contains("content")) {
            TENPAK_ASSIGN(const std::string text, json_get<std::string>(e, "content", where));
            auto content = from_hex(text);
            if (!content) return make_error(ErrorCode::kMalformed, "a file's content is not hexadecimal", where);
            f.extra = true;
            f.content = std::move(*content);
        }
        tree.files.push_back(std::move(f));
    }
    for (const Json& e : folders) {
        TreeFolder f;
        TENPAK_ASSIGN(f.path, json_get<std::string>(e, "path", where));
        if (!f.path.empty()) TENPAK_RETURN_IF_ERROR(check_relative_path(f.path));
        TENPAK_ASSIGN(f.mode, json_get<std::uint32_t>(e, "mode", where));
        TENPAK_ASSIGN(f.mtime_ns, json_get<std::int64_t>(e, "mtime_ns", where));
        if (f.mode > 07777) return make_error(ErrorCode::kMalformed, "a folder's permissions are impossible", where);
        tree.folders.push_back(std::move(f));
    }
    if (tree.files.empty() || (tree.single_file && (tree.files.size() != 1 || !tree.folders.empty()))) return make_error(ErrorCode::kMalformed, "a model without files", where);
    return tree;
}

}  // namespace tenpak::archive
