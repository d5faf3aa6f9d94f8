// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/sqlite_db.h"

namespace tenpak::jobs {

Result<Database> Database::open(const std::filesystem::path& path) {
    Database db;
    db.path_ = path.string();
    sqlite3* raw = nullptr;
    const int rc = sqlite3_open_v2(db.path_.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    db.db_.reset(raw);  // also after a failure there is a handle to close, and it knows the reason
    if (rc != SQLITE_OK) return db.error("cannot open the job store");
    sqlite3_extended_result_codes(raw, 1);
    sqlite3_busy_timeout(raw, 10'000);
    return db;
}

Status Database::exec(const char* sql) {
    if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return error("cannot change the job store");
    return {};
}

Result<Statement> Database::prepare(const char* sql) {
    Statement s;
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(db_.get(), sql, -1, &raw, nullptr) != SQLITE_OK) return error("cannot use the job store");
    s.db_ = this;
    s.s_.reset(raw);
    return s;
}

Error Database::error(const char* doing) const {
    const int rc = db_ ? sqlite3_extended_errcode(db_.get()) : SQLITE_NOMEM;
    const std::string what = std::string(doing) + ": " + (db_ ? sqlite3_errmsg(db_.get()) : "out of memory");
    switch (rc & 0xff) {
        case SQLITE_FULL: return make_error(ErrorCode::kNoSpace, what, path_, "Free some space, then run the command again");
        case SQLITE_NOTADB:
        case SQLITE_CORRUPT:
            return make_error(ErrorCode::kMalformed, what, path_, "Move the file away to start with an empty job store");
        case SQLITE_PERM:
        case SQLITE_READONLY:
        case SQLITE_AUTH: return make_error(ErrorCode::kPermission, what, path_, "Choose another place with --store");
        case SQLITE_CANTOPEN: return make_error(ErrorCode::kIo, what, path_, "Check that the folder can be written, or choose another place with --store");
        case SQLITE_BUSY:
        case SQLITE_LOCKED: return make_error(ErrorCode::kTimeout, what, path_, "Another tenpak keeps the job store locked; try again");
        case SQLITE_NOMEM: return make_error(ErrorCode::kOutOfMemory, what, path_);
        default: return make_error(ErrorCode::kIo, what, path_);
    }
}

Statement& Statement::bind(const std::string& text) {
    const int rc = sqlite3_bind_text64(s_.get(), ++bound_, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    if (rc != SQLITE_OK) bind_error_ = rc;
    return *this;
}
Statement& Statement::bind(std::int64_t value) {
    const int rc = sqlite3_bind_int64(s_.get(), ++bound_, value);
    if (rc != SQLITE_OK) bind_error_ = rc;
    return *this;
}
Result<bool> Statement::step() {
    if (bind_error_ != SQLITE_OK) return make_error(ErrorCode::kInternal, std::string("cannot bind a value: ") + sqlite3_errstr(bind_error_), "job store");
    const int rc = sqlite3_step(s_.get());
    if (rc == SQLITE_ROW) return true;
    if (rc == SQLITE_DONE) return false;
    return db_->error("cannot use the job store");
}
Status Statement::run() {
    const Result<bool> r = step();
    if (!r.ok()) return r.error();
    return {};
}
std::string Statement::text(int column) const {
    const auto* s = sqlite3_column_text(s_.get(), column);
    const int n = sqlite3_column_bytes(s_.get(), column);
    return s == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(s), static_cast<std::size_t>(n));
}
std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(s_.get(), column); }

Result<Transaction> Transaction::begin(Database& db) {
    TENPAK_RETURN_IF_ERROR(db.exec("BEGIN IMMEDIATE"));
    return Transaction(db);
}
Transaction::~Transaction() {
    if (db_ != nullptr) (void)db_->exec("ROLLBACK").ok();
}
Status Transaction::commit() {
    TENPAK_RETURN_IF_ERROR(db_->exec("COMMIT"));
    db_ = nullptr;
    return {};
}

}  // namespace tenpak::jobs
