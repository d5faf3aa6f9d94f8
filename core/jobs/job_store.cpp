// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/job_store.h"

#include <array>
#include <cstdlib>
#include <mutex>
#include <random>
#include <set>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/jobs/limits_json.h"
#include "core/jobs/process_identity.h"
#include "core/jobs/sqlite_db.h"

namespace tenpak::jobs {
namespace {

constexpr std::int64_t kApplicationId = 0x54504b4a;  // "TPKJ"
constexpr std::int64_t kSchemaVersion = 1;

constexpr const char* kSchema = R"sql(
CREATE TABLE job (
  id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, kind TEXT NOT NULL, title TEXT NOT NULL, spec TEXT NOT NULL, result_key TEXT NOT NULL,
  limits TEXT NOT NULL, hardware TEXT NOT NULL, status TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL,
  error TEXT NOT NULL DEFAULT '',
  owner_pid INTEGER NOT NULL DEFAULT 0, owner_start INTEGER NOT NULL DEFAULT 0, owner_boot TEXT NOT NULL DEFAULT '',
  owner_namespace TEXT NOT NULL DEFAULT '', owner_object TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX job_spec ON job(spec);
CREATE INDEX job_key ON job(result_key);
CREATE TABLE trial (
  job TEXT NOT NULL REFERENCES job(id) ON DELETE CASCADE, position INTEGER NOT NULL, id TEXT NOT NULL, candidate TEXT NOT NULL,
  status TEXT NOT NULL, written INTEGER NOT NULL DEFAULT 0, json TEXT NOT NULL,
  PRIMARY KEY (job, id)
) STRICT;
)sql";

#define TENPAK_SELECT_JOB                                                                                             \
    "SELECT id, kind, title, spec, result_key, limits, hardware, status, created, updated, error, owner_pid, owner_start," \
    " owner_boot, owner_namespace, owner_object FROM job "

std::string random_hex(std::size_t digits) {
    std::random_device rd;
    std::string s;
    while (s.size() < digits) s += "0123456789abcdef"[rd() & 15u];
    return s;
}

Result<std::int64_t> pragma(Database& db, const char* sql) {
    TENPAK_ASSIGN(Statement s, db.prepare(sql));
    TENPAK_ASSIGN(const bool row, s.step());
    return row ? s.integer(0) : 0;
}

class SqliteStore final : public JobStore {
   public:
    SqliteStore(Database db, std::string path) : db_(std::move(db)), path_(std::move(path)), object_(random_hex(16)) {}
    ~SqliteStore() override {
        const std::set<std::string> claimed = claimed_;
        for (const std::string& id : claimed) (void)release(id).ok();
    }

    Status initialize();

    Result<std::string> create_job(JobRecord job, const std::vector<std::string>& candidates) override {
        std::scoped_lock lock(m_);
        if (candidates.empty()) return make_error(ErrorCode::kInvalidArgument, "a job without candidates", job.title, "Name at least one candidate");
        TENPAK_ASSIGN(Transaction tx, Transaction::begin(db_));
        const std::string now = now_rfc3339();
        if (job.id.empty()) job.id = "s-" + now.substr(0, 4) + now.substr(5, 2) + now.substr(8, 2) + "-" + random_hex(6);
        TENPAK_ASSIGN(Statement s, db_.prepare("INSERT INTO job (id, number, kind, title, spec, result_key, limits, hardware, status, created, updated, error)"
                                               " VALUES (?, (SELECT COALESCE(MAX(number), 0) + 1 FROM job), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
        s.bind(job.id).bind(job.kind).bind(job.title).bind(job.spec_json).bind(job.result_key).bind(limits_to_json(job.limits));
        s.bind(job.hardware).bind(job_status_name(job.status)).bind(now).bind(now).bind(job.error);
        TENPAK_RETURN_IF_ERROR(s.run());
        std::int64_t position = 0;
        for (const std::string& c : candidates) {
            optimizer::Trial t;
            t.id = t.candidate = c;
            TENPAK_ASSIGN(Statement insert, db_.prepare("INSERT INTO trial (job, position, id, candidate, status, json) VALUES (?, ?, ?, ?, ?, ?)"));
            insert.bind(job.id).bind(position++).bind(t.id).bind(t.candidate).bind(trial_status_name(t.status)).bind(trial_to_json(t));
            TENPAK_RETURN_IF_ERROR(insert.run());
        }
        TENPAK_RETURN_IF_ERROR(tx.commit());
        return job.id;
    }

    Result<JobRecord> job(const std::string& id) const override {
        std::scoped_lock lock(m_);
        TENPAK_ASSIGN(Statement s, db_.prepare(TENPAK_SELECT_JOB "WHERE id = ?"));
        s.bind(id);
        TENPAK_ASSIGN(const bool row, s.step());
        if (!row) return no_such_job(id);
        return record(s);
    }

    Result<std::vector<JobRecord>> jobs() const override {
        std::scoped_lock lock(m_);
        TENPAK_ASSIGN(Statement s, db_.prepare(TENPAK_SELECT_JOB "ORDER BY number DESC"));
        std::vector<JobRecord> out;
        for (;;) {
            TENPAK_ASSIGN(const bool row, s.step());
            if (!row) return out;
            TENPAK_ASSIGN(JobRecord r, record(s));
            out.push_back(std::move(r));
        }
    }

    Status set_status(const std::string& id, JobStatus status, const std::string& error) override {
        return update(id, "UPDATE job SET status = ?, error = ?, updated = ? WHERE id = ?", {job_status_name(status), error});
    }
    Status set_limits(const std::string& id, const optimizer::Limits& limits) override {
        return update(id, "UPDATE job SET limits = ?, updated = ? WHERE id = ?", {limits_to_json(limits)});
    }

    Result<std::vector<optimizer::Trial>> trials(const std::string& id) const override {
        std::scoped_lock lock(m_);
        TENPAK_ASSIGN(Statement s, db_.prepare("SELECT json FROM trial WHERE job = ? ORDER BY position"));
        s.bind(id);
        std::vector<optimizer::Trial> out;
        for (;;) {
            TENPAK_ASSIGN(const bool row, s.step());
            if (!row) break;
            TENPAK_ASSIGN(optimizer::Trial t, trial_from_json(s.text(0), path_ + ", job " + id));
            out.push_back(std::move(t));
        }
        if (out.empty()) return no_such_job(id);
        return out;
    }

    Status put_trial(const std::string& id, const optimizer::Trial& trial) override {
        std::scoped_lock lock(m_);
        TENPAK_ASSIGN(Transaction tx, Transaction::begin(db_));
        TENPAK_ASSIGN(Statement s, db_.prepare("UPDATE trial SET status = ?, json = ?, written = (SELECT MAX(written) + 1 FROM trial) WHERE job = ? AND id = ?"));
        s.bind(trial_status_name(trial.status)).bind(trial_to_json(trial)).bind(id).bind(trial.id);
        TENPAK_RETURN_IF_ERROR(s.run());
        TENPAK_ASSIGN(const std::int64_t changed, pragma(db_, "SELECT changes()"));
        if (changed == 0) return make_error(ErrorCode::kNotFound, "no trial \"" + trial.id + "\" in job \"" + id + "\"", path_);
        TENPAK_ASSIGN(Statement touch, db_.prepare("UPDATE job SET updated = ? WHERE id = ?"));
        touch.bind(now_rfc3339()).bind(id);
        TENPAK_RETURN_IF_ERROR(touch.run());
        return tx.commit();
    }

    Status remove_job(const std::string& id) override {
        std::scoped_lock lock(m_);
        TENPAK_ASSIGN(Transaction tx, Transaction::begin(db_));
        TENPAK_ASSIGN(Statement s, db_.prepare("DELETE FROM job WHERE id = ?"));
        s.bind(id);
        TENPAK_RETURN_IF_ERROR(s.run());
        TENPAK_ASSIGN(const std::int64_t changed, pragma(db_, "SELECT changes()"));
        if (changed == 0) return no_such_job(id);
        return tx.commit();
    }

    Result<std::optional<optimizer::Trial>> find_result(const std::string& result_key, const std::string& candidate) const override {
        std::scoped_lock lock(m_);
        if (result_key.empty()) return std::optional<optimizer::Trial>();
        TENPAK_ASSIGN(Statement s, db_.prepare("SELECT trial.json FROM trial JOIN job ON job.id = trial.job WHERE job.result_key = ? AND trial.candidate = ?"
                                               " AND trial.status = 'done' ORDER BY trial.written DESC LIMIT 1"));
        s.bind(result_key).bind(candidate);
        TENPAK_ASSIGN(const bool row, s.step());
        if (!row) return std::optional<optimizer::Trial>();
        TENPAK_ASSIGN(optimizer::Trial t, trial_from_json(s.text(0), path_));
        return std::optional<optimizer::Trial>(std::move(t));
    }

    Result<std::optional<std::string>> find_unfinished(const std::string& spec_json) const override {
        std::scoped_lock lock(m_);
        TENPAK_ASSIGN(Statement s, db_.prepare("SELECT id FROM job WHERE spec = ? AND status <> 'done' ORDER BY number DESC LIMIT 1"));
        s.bind(spec_json);
        TENPAK_ASSIGN(const bool row, s.step());
        return row ? std::optional<std::string>(s.text(0)) : std::nullopt;
    }

    Result<bool> claim(const std::string& id) override {
        std::scoped_lock lock(m_);
        TENPAK_ASSIGN(Transaction tx, Transaction::begin(db_));
        TENPAK_ASSIGN(Statement q, db_.prepare(TENPAK_SELECT_JOB "WHERE id = ?"));
        q.bind(id);
        TENPAK_ASSIGN(const bool row, q.step());
        if (!row) return no_such_job(id);
        if (q.text(15) != object_ && owner_lives(q)) return false;
        const ProcessIdentity me = this_process();
        TENPAK_ASSIGN(Statement s, db_.prepare("UPDATE job SET owner_pid = ?, owner_start = ?, owner_boot = ?, owner_namespace = ?, owner_object = ? WHERE id = ?"));
        s.bind(me.pid).bind(static_cast<std::int64_t>(me.start_ticks)).bind(me.boot).bind(me.pid_namespace).bind(object_).bind(id);
        TENPAK_RETURN_IF_ERROR(s.run());
        TENPAK_RETURN_IF_ERROR(tx.commit());
        claimed_.insert(id);
        return true;
    }

    Status release(const std::string& id) override {
        std::scoped_lock lock(m_);
        claimed_.erase(id);
        TENPAK_ASSIGN(Statement s, db_.prepare("UPDATE job SET owner_pid = 0, owner_object = '' WHERE id = ? AND owner_object = ?"));
        s.bind(id).bind(object_);
        return s.run();
    }

   private:
    Error no_such_job(const std::string& id) const {
        return make_error(ErrorCode::kNotFound, "no job \"" + id + "\" in the job store", path_);
    }
    static bool owner_lives(const Statement& s) {
        return process_is_alive({s.integer(11), static_cast<std::uint64_t>(s.integer(12)), s.text(13), s.text(14)});
    }
    Result<JobRecord> record(const Statement& s) const {
        JobRecord r;
        r.id = s.text(0);
        r.kind = s.text(1);
        r.title = s.text(2);
        r.spec_json = s.text(3);
        r.result_key = s.text(4);
        TENPAK_ASSIGN(r.limits, limits_from_json(s.text(5), path_ + ", job " + r.id));
        r.hardware = s.text(6);
        bool known = false;
        for (int i = 0; i <= static_cast<int>(JobStatus::kCancelled); ++i) {
            if (s.text(7) != job_status_name(static_cast<JobStatus>(i))) continue;
            r.status = static_cast<JobStatus>(i);
            known = true;
        }
        if (!known) return make_error(ErrorCode::kMalformed, "job \"" + r.id + "\" has an unknown status", path_);
        r.created = s.text(8);
        r.updated = s.text(9);
        r.error = s.text(10);
        r.interrupted = r.status == JobStatus::kRunning && !owner_lives(s);
        return r;
    }
    // Every statement ends with "updated = ? WHERE id = ?".
    Status update(const std::string& id, const char* sql, const std::vector<std::string>& values) {
        std::scoped_lock lock(m_);
        TENPAK_ASSIGN(Statement s, db_.prepare(sql));
        for (const std::string& v : values) s.bind(v);
        s.bind(now_rfc3339()).bind(id);
        TENPAK_RETURN_IF_ERROR(s.run());
        TENPAK_ASSIGN(const std::int64_t changed, pragma(db_, "SELECT changes()"));
        if (changed == 0) return no_such_job(id);
        return {};
    }

    mutable std::mutex m_;
    mutable Database db_;
    std::string path_, object_;
    std::set<std::string> claimed_;
};

Status SqliteStore::initialize() {
    // WAL: readers go on while a sweep writes. FULL: a trial that was reported done survives a power cut.
    TENPAK_RETURN_IF_ERROR(db_.exec("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF"));
    TENPAK_ASSIGN(std::int64_t application, pragma(db_, "PRAGMA application_id"));
    TENPAK_ASSIGN(std::int64_t version, pragma(db_, "PRAGMA user_version"));
    TENPAK_ASSIGN(std::int64_t tables, pragma(db_, "SELECT COUNT(*) FROM sqlite_schema"));
    const Error foreign = make_error(ErrorCode::kMalformed, "not a job store: a database of another program", path_, "Choose another file with --store");
    if (application != kApplicationId && (tables > 0 || application != 0 || version != 0)) return foreign;
    TENPAK_RETURN_IF_ERROR(db_.exec("PRAGMA journal_mode = WAL"));
    if (application != kApplicationId) {
        TENPAK_ASSIGN(Transaction tx, Transaction::begin(db_));
        // Another process may have been first between the look above and the lock.
        TENPAK_ASSIGN(application, pragma(db_, "PRAGMA application_id"));
        if (application != kApplicationId) {
            TENPAK_RETURN_IF_ERROR(db_.exec(kSchema));
            TENPAK_RETURN_IF_ERROR(db_.exec(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str()));
            TENPAK_RETURN_IF_ERROR(db_.exec(("PRAGMA user_version = " + std::to_string(kSchemaVersion)).c_str()));
        }
        TENPAK_RETURN_IF_ERROR(tx.commit());
    }
    TENPAK_ASSIGN(version, pragma(db_, "PRAGMA user_version"));
    if (version > kSchemaVersion) {
        return make_error(ErrorCode::kUnsupported, "the job store was made by a newer tenpak (schema " + std::to_string(version) + ")", path_,
                          "Update tenpak, or choose another file with --store");
    }
    TENPAK_ASSIGN(Statement check, db_.prepare("PRAGMA quick_check(1)"));
    TENPAK_ASSIGN(const bool row, check.step());
    if (!row || check.text(0) != "ok") {
        return make_error(ErrorCode::kMalformed, "the job store is damaged: " + check.text(0), path_, "Move the file away to start with an empty job store");
    }
    return {};
}

}  // namespace

const char* job_status_name(JobStatus s) {
    switch (s) {
        case JobStatus::kQueued: return "queued";
        case JobStatus::kRunning: return "running";
        case JobStatus::kPaused: return "paused";
        case JobStatus::kDone: return "done";
        case JobStatus::kFailed: return "failed";
        case JobStatus::kCancelled: return "cancelled";
    }
    return "unknown";
}

Result<std::unique_ptr<JobStore>> JobStore::open(const std::filesystem::path& path) {
    std::error_code ec;
    if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), ec);
    if (ec) return errno_error("cannot create the job store's folder", path.parent_path().string(), ec.value());
    if (std::filesystem::exists(path, ec) && !std::filesystem::is_regular_file(path, ec)) {
        return make_error(ErrorCode::kMalformed, "not a job store: no regular file", path.string(), "Choose another file with --store");
    }
    TENPAK_ASSIGN(Database db, Database::open(path));
    auto store = std::make_unique<SqliteStore>(std::move(db), path.string());
    TENPAK_RETURN_IF_ERROR(store->initialize());
    return std::unique_ptr<JobStore>(std::move(store));
}

std::filesystem::path JobStore::default_directory() {
    if (const char* d = std::getenv("TENPAK_DATA_DIR"); d != nullptr && d[0] != '\0') return d;
    if (const char* x = std::getenv("XDG_DATA_HOME"); x != nullptr && x[0] == '/') return std::filesystem::path(x) / "tenpak";
    if (const char* h = std::getenv("HOME"); h != nullptr && h[0] == '/') return std::filesystem::path(h) / ".local" / "share" / "tenpak";
    return std::filesystem::temp_directory_path() / "tenpak";
}

}  // namespace tenpak::jobs
