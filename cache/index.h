// The index: a thin owner of one SQLite connection. Statements are prepared once, values are bound,
// never pasted. Knows nothing of the tables; schema.h does. Not thread-safe: Session holds the
// lock. SQLite is used in WAL mode with synchronous=NORMAL: a power cut may take back the last
// transactions but never leaves half of one.
#pragma once

#include <sqlite3.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"

namespace slipway::cache {

/// The index file is no database or is damaged; the next open_index() sets it aside.
class IndexDamaged : public Error {
 public:
  using Error::Error;
};

/// A value bound as bytes rather than as text.
struct Bytes {
  std::string_view data;
};

class Database;

/// One run of a statement; resets it when it goes out of scope.
class Query {
 public:
  Query(Query&& other) noexcept
      : database_(other.database_),
        statement_(std::exchange(other.statement_, nullptr)),
        own_(other.own_) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query();
  /// Moves to the next row; false at the end.
  bool next();
  int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  uint64_t number(int column) const { return static_cast<uint64_t>(integer(column)); }
  std::string text(int column) const;  ///< text or bytes as they are
  /// NULL is an unset digest. Throws IndexDamaged for anything that is not 32 bytes.
  Digest digest(int column) const;
  /// Throws IndexDamaged for anything that is not JSON.
  Json json(int column) const;

 private:
  friend class Database;
  Query(Database& database, sqlite3_stmt* statement, bool own)
      : database_(&database), statement_(statement), own_(own) {}
  void bind(int position, std::string_view text);
  void bind(int position, const Bytes& bytes);
  void bind(int position, const Digest& digest);
  template <typename Number>
  requires std::is_integral_v<Number>
  void bind(int position, Number value) {
    check(sqlite3_bind_int64(statement_, position, static_cast<int64_t>(value)));
  }
  void check(int code) const;

  Database* database_;
  sqlite3_stmt* statement_;
  bool own_;  ///< finalised by us: the cached statement was in use
};

class Database {
 public:
  /// Opens (never creates) `file`. Throws IndexDamaged when it is no database.
  explicit Database(const std::filesystem::path& file);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  /// `sql` must be a literal: statements are cached by its text.
  template <typename... Args>
  Query query(const char* sql, const Args&... args) {
    Query query = prepare(sql);
    int position = 0;
    (query.bind(++position, args), ...);
    return query;
  }
  /// Runs to the end; returns the number of rows changed.
  template <typename... Args>
  int run(const char* sql, const Args&... args) {
    {
      Query statement = query(sql, args...);
      while (statement.next()) {
      }
    }
    return sqlite3_changes(handle_);
  }
  uint64_t last_id() const { return static_cast<uint64_t>(sqlite3_last_insert_rowid(handle_)); }
  /// Several statements without values (schema, pragmas).
  void script(const char* sql);

  /// The file that a damaged index leaves beside itself, so that the next open sets it aside.
  static std::filesystem::path damage_mark(const std::filesystem::path& file);

 private:
  friend class Query;
  friend class Transaction;
  Query prepare(const char* sql);
  [[noreturn]] void fail_code(int code) const;
  [[noreturn]] void fail_damaged(const std::string& problem) const;
  bool has_room() const;
  /// Throws when another process has replaced the file since we opened it.
  void check_identity() const;

  std::filesystem::path file_;
  sqlite3* handle_ = nullptr;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

/// BEGIN IMMEDIATE … COMMIT; rolls back unless commit() ran. Not nested.
class Transaction {
 public:
  explicit Transaction(Database& database);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace slipway::cache
