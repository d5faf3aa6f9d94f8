// SPDX-License-Identifier: Apache-2.0
// A thin, error-returning layer over sqlite3: one connection, prepared statements, transactions that roll back.
#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "core/base/error.h"

namespace tenpak::jobs {

class Statement;

/// Not thread-safe: its owner locks.
class Database {
   public:
    static Result<Database> open(const std::filesystem::path& path);
    Status exec(const char* sql);
    Result<Statement> prepare(const char* sql);
    /// The error of the last failed call: kNoSpace, kPermission, kMalformed (damaged), kTimeout (locked too long) or kIo.
    Error error(const char* doing) const;

   private:
    struct Close {
        void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
    };
    std::unique_ptr<sqlite3, Close> db_;
    std::string path_;
};

/// Bind in order, then step: true while there is a row.
class Statement {
   public:
    Statement& bind(const std::string& text);
    Statement& bind(std::int64_t value);
    Result<bool> step();
    Status run();  ///< step of a statement without rows
    std::string text(int column) const;
    std::int64_t integer(int column) const;

   private:
    friend class Database;
    struct Finalize {
        void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
    };
    const Database* db_ = nullptr;
    std::unique_ptr<sqlite3_stmt, Finalize> s_;
    int bound_ = 0, bind_error_ = SQLITE_OK;
};

/// BEGIN IMMEDIATE … COMMIT; rolled back when it goes out of scope uncommitted.
class Transaction {
   public:
    static Result<Transaction> begin(Database& db);
    Transaction(Transaction&& o) noexcept : db_(std::exchange(o.db_, nullptr)) {}
    Transaction& operator=(Transaction&&) = delete;
    ~Transaction();
    Status commit();

   private:
    explicit Transaction(Database& db) : db_(&db) {}
    Database* db_;
};

}  // namespace tenpak::jobs
