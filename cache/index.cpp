#include "cache/index.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "base/fd.h"
#include "base/text.h"

namespace slipway::cache {
namespace {

// Longer than any transaction of ours by far; a process that was stopped while it held the index
// ends this, not a slow disk.
constexpr int busy_timeout_ms = 60'000;
constexpr uintmax_t plenty_bytes = 64 << 20;

}  // namespace

Query::~Query() {
  if (statement_ == nullptr) return;
  if (own_) {
    sqlite3_finalize(statement_);
  } else {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
}

void Query::check(int code) const {
  if (code != SQLITE_OK) database_->fail_code(code);
}

void Query::bind(int position, std::string_view text) {
  check(sqlite3_bind_text64(statement_, position, text.data() == nullptr ? "" : text.data(),
                            text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Query::bind(int position, const Bytes& bytes) {
  check(sqlite3_bind_blob64(statement_, position,
                            bytes.data.data() == nullptr ? "" : bytes.data.data(),
                            bytes.data.size(), SQLITE_TRANSIENT));
}

void Query::bind(int position, const Digest& digest) {
  if (!digest) {
    check(sqlite3_bind_null(statement_, position));
    return;
  }
  check(sqlite3_bind_blob(statement_, position, digest.bytes.data(),
                          static_cast<int>(digest.bytes.size()), SQLITE_TRANSIENT));
}

bool Query::next() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) database_->fail_code(code);
  return false;
}

std::string Query::text(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string()
                         : std::string(static_cast<const char*>(data), static_cast<size_t>(size));
}

Digest Query::digest(int column) const {
  Digest digest;
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return digest;
  const void* data = sqlite3_column_blob(statement_, column);
  if (data == nullptr ||
      static_cast<size_t>(sqlite3_column_bytes(statement_, column)) != digest.bytes.size())
    database_->fail_damaged("a digest has another size");
  std::memcpy(digest.bytes.data(), data, digest.bytes.size());
  return digest;
}

Json Query::json(int column) const {
  try {
    return parse_json(text(column), "value", static_cast<int>(ExitCode::machine));
  } catch (const Error& error) {
    database_->fail_damaged(error.what());
  }
}

Database::Database(const std::filesystem::path& file) : file_(file) {
  const int code =
      sqlite3_open_v2(file.c_str(), &handle_,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  try {
    if (code != SQLITE_OK) fail_code(code);
    struct stat info {};
    if (stat(file.c_str(), &info) != 0) fail_errno("open {}", file.string());
    device_ = info.st_dev;
    inode_ = info.st_ino;
    sqlite3_busy_timeout(handle_, busy_timeout_ms);
    // Foreign bytes in the file must not reach SQL functions or rewrite the schema under us.
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    // WAL is a property of the file; asking for it again only reads the header.
    script("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=400;");
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

Query Database::prepare(const char* sql) {
  const auto known = statements_.find(std::string_view(sql));
  if (known != statements_.end() && sqlite3_stmt_busy(known->second) == 0)
    return Query(*this, known->second, false);
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) fail_code(code);
  const bool own = known != statements_.end();
  if (!own) statements_.emplace(sql, statement);
  return Query(*this, statement, own);
}

void Database::script(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail_code(code);
}

std::filesystem::path Database::damage_mark(const std::filesystem::path& file) {
  return file.string() + ".damaged";
}

void Database::fail_damaged(const std::string& problem) const {
  // The mark is best effort: without it the damage is met, and told, once more.
  const int mark = ::open(damage_mark(file_).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (mark >= 0) (void)Fd(mark);
  IndexDamaged error(ExitCode::machine, fmt::format("the store's index {} is damaged: {}",
                                                    file_.string(), printable(problem)));
  error.set_hint("run the command again: the index is set aside and started anew");
  throw error;
}

bool Database::has_room() const {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(file_, error);
  return !error && space.available > plenty_bytes;
}

void Database::fail_code(int code) const {
  const std::string text = handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
  const int system_error = handle_ != nullptr ? sqlite3_system_errno(handle_) : 0;
  switch (code & 0xff) {
    case SQLITE_FULL:
      // Also said when a damaged sequence has come to the last number.
      if (has_room()) fail_damaged(text);
      fail_errno_text(ENOSPC, "write the store's index " + file_.string());
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      throw Error(ExitCode::machine,
                  fmt::format("the store's index {} is held by another process", file_.string()))
          .set_hint("look for a stopped slipway process");
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_NOMEM:
      if (system_error == ENOSPC || system_error == EDQUOT || system_error == EROFS ||
          system_error == EACCES)
        fail_errno_text(system_error, "use the store's index " + file_.string());
      // A page in the middle of the file that is not there: cut short, or on a failing disk.
      if (code == SQLITE_IOERR_SHORT_READ || code == SQLITE_IOERR_DATA) fail_damaged(text);
      fail(ExitCode::machine, "use the store's index {}: {}", file_.string(), text);
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_ABORT:
      throw std::logic_error(fmt::format("index: {} ({})", text, code));
    default:
      // CORRUPT and NOTADB, and ERROR and CONSTRAINT as well: our statements fit our schema, so a
      // column or table that is not there means that the schema's text was hit.
      fail_damaged(fmt::format("{} ({})", text, code));
  }
}

void Database::check_identity() const {
  struct stat info {};
  if (stat(file_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) return;
  throw Error(ExitCode::machine,
              fmt::format("the store's index {} was replaced while it was used", file_.string()))
      .set_hint("run the command again");
}

Transaction::Transaction(Database& database) : database_(database) {
  database_.check_identity();
  database_.run("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    // SQLite has rolled back itself after a full disk or an I/O error.
    if (sqlite3_get_autocommit(database_.handle_) == 0) database_.run("ROLLBACK");
  } catch (const std::exception&) {
    // The connection rolls back when it is closed.
  }
}

void Transaction::commit() {
  database_.run("COMMIT");
  open_ = false;
}

}  // namespace slipway::cache
