#include "cache/schema.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/files.h"
#include "base/text.h"
#include "cache/gc.h"

namespace slipway::cache {
namespace {

constexpr int64_t schema_version = 1;

// Numbers of snapshots and packs are never given out twice (AUTOINCREMENT): a directory or a
// reader of the old one may still be around. `boot` and `synced`: see discard_unsynced().
constexpr const char* schema = R"(
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE snapshots(
  id INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL, parent INTEGER NOT NULL DEFAULT 0,
  kind TEXT NOT NULL DEFAULT '', size INTEGER NOT NULL DEFAULT 0, files INTEGER NOT NULL DEFAULT 0,
  tree BLOB, content BLOB, boot TEXT NOT NULL, synced INTEGER NOT NULL DEFAULT 0);
CREATE INDEX snapshots_parent ON snapshots(parent) WHERE parent <> 0;
CREATE INDEX snapshots_unsynced ON snapshots(id) WHERE synced = 0;
CREATE INDEX snapshots_other ON snapshots(state) WHERE state <> 1;
CREATE TABLE results(
  id INTEGER PRIMARY KEY AUTOINCREMENT, snapshot INTEGER NOT NULL, content BLOB,
  stdout BLOB NOT NULL, exit_code INTEGER NOT NULL, extra TEXT NOT NULL, trees BLOB NOT NULL,
  last_use INTEGER NOT NULL, boot TEXT NOT NULL, synced INTEGER NOT NULL DEFAULT 0);
CREATE INDEX results_snapshot ON results(snapshot) WHERE snapshot <> 0;
CREATE INDEX results_unsynced ON results(id) WHERE synced = 0;
CREATE TABLE result_keys(key BLOB PRIMARY KEY, result INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX result_keys_result ON result_keys(result);
CREATE TABLE ledgers(
  id INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT NOT NULL UNIQUE, items BLOB NOT NULL, trees BLOB NOT NULL,
  updated INTEGER NOT NULL, boot TEXT NOT NULL, synced INTEGER NOT NULL DEFAULT 0);
CREATE INDEX ledgers_unsynced ON ledgers(id) WHERE synced = 0;
CREATE TABLE blobs(sha256 TEXT PRIMARY KEY, size INTEGER NOT NULL, last_use INTEGER NOT NULL)
  WITHOUT ROWID;
CREATE TABLE packs(
  id INTEGER PRIMARY KEY AUTOINCREMENT, committed INTEGER NOT NULL DEFAULT 0,
  size INTEGER NOT NULL DEFAULT 0);
CREATE INDEX packs_unfinished ON packs(id) WHERE committed = 0;
CREATE TABLE chunks(
  key BLOB PRIMARY KEY, pack INTEGER NOT NULL, position INTEGER NOT NULL, size INTEGER NOT NULL,
  raw_size INTEGER NOT NULL, crc32 INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX chunks_pack ON chunks(pack, position);
CREATE TABLE artifacts(
  id BLOB PRIMARY KEY, sha256 TEXT NOT NULL, size INTEGER NOT NULL, raw_size INTEGER NOT NULL,
  last_use INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE artifact_chunks(
  artifact BLOB NOT NULL, position INTEGER NOT NULL, chunk BLOB NOT NULL,
  PRIMARY KEY(artifact, position)) WITHOUT ROWID;
CREATE INDEX artifact_chunks_chunk ON artifact_chunks(chunk);
CREATE TABLE named_values(
  area TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(area, name))
  WITHOUT ROWID;
CREATE TABLE app_caches(id TEXT PRIMARY KEY, snapshot INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE builds(
  id TEXT PRIMARY KEY, app TEXT NOT NULL, status TEXT NOT NULL, started_ms INTEGER NOT NULL,
  finished_ms INTEGER NOT NULL, detail TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX builds_app ON builds(app, id);
PRAGMA user_version = 1;
)";

// Came after the first stores were made: added to those when they are opened.
constexpr const char* later_schema = R"(
CREATE TABLE IF NOT EXISTS downloads(
  id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL, variant TEXT NOT NULL,
  status INTEGER NOT NULL, headers TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
  url TEXT NOT NULL, requester TEXT NOT NULL, recorded INTEGER NOT NULL, checked INTEGER NOT NULL,
  pinned INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS downloads_key ON downloads(key, variant);
)";

constexpr const char* index_name = "index.sqlite";
constexpr const char* new_name = "index.sqlite.new";

// Holds the gate exclusively before there is an index to have a session on.
class ExclusiveGate {
 public:
  explicit ExclusiveGate(int gate) : gate_(gate) {
    while (flock(gate_, LOCK_EX) != 0)
      if (errno != EINTR) fail_errno("lock the store");
  }
  ExclusiveGate(const ExclusiveGate&) = delete;
  ExclusiveGate& operator=(const ExclusiveGate&) = delete;
  ~ExclusiveGate() { (void)flock(gate_, LOCK_UN); }

 private:
  int gate_;
};

// The database, or in `problem` why it cannot be used.
std::unique_ptr<Database> try_open(const fs::path& file, std::string& problem) {
  if (access(Database::damage_mark(file).c_str(), F_OK) == 0) {
    problem = "was damaged";
    return nullptr;
  }
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) {
    if (errno != ENOENT) fail_errno("open {}", file.string());
    problem = "was lost";
    return nullptr;
  }
  if (info.st_size == 0) {
    problem = "was empty";
    return nullptr;
  }
  int64_t version = 0;
  std::unique_ptr<Database> database;
  try {
    database = std::make_unique<Database>(file);
    Query query = database->query("PRAGMA user_version");
    if (query.next()) version = query.integer(0);
    // Reads the schema, so that a damaged first page shows now and not in the middle of a build.
    if (version == schema_version) {
      (void)database->query("SELECT 1 FROM snapshots LIMIT 1").next();
      database->script(later_schema);
    }
  } catch (const IndexDamaged&) {
    problem = "was damaged";
    return nullptr;
  }
  if (version == 0) {
    problem = "was empty";
    return nullptr;
  }
  if (version != schema_version)
    throw Error(ExitCode::machine,
                fmt::format("unknown version {} of the store's index {}", version, file.string()))
        .set_hint("use another SLIPWAY_HOME or remove it");
  return database;
}

void create_empty(const Store::State& state, const char* name) {
  for (const char* suffix : {"", "-wal", "-shm"})
    (void)unlinkat(state.layout.fd.get(), (std::string(name) + suffix).c_str(), 0);
  // SQLite would create it 0644; what it makes beside the file gets the file's mode.
  const Fd file = open_at(state.layout.fd.get(), name, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fchmod(file.get(), 0600) != 0) fail_errno("chmod {}", name);
}

bool is_json(const std::string& text) {
  return Json::accept(text);
}

// Settings and build records cannot be made again: each row that can still be read is kept.
size_t salvage(const fs::path& damaged, Database& fresh) {
  size_t kept = 0;
  const auto each_row = [&](const char* select, const std::function<void(Query&)>& keep) {
    try {
      Database old(damaged);
      Query rows = old.query(select);
      while (rows.next()) keep(rows);
    } catch (const IndexDamaged&) {
      // What came before the damage stays.
    }
  };
  each_row("SELECT area, name, value FROM named_values", [&](Query& row) {
    if (!is_json(row.text(2))) return;
    ++kept;
    fresh.run("INSERT OR REPLACE INTO named_values(area, name, value) VALUES(?, ?, ?)", row.text(0),
              row.text(1), row.text(2));
  });
  // Recordings of servers that may be gone by now; their bodies are adopted as blobs.
  each_row(
      "SELECT id, key, variant, status, headers, sha256, size, url, requester, recorded, checked, "
      "pinned FROM downloads",
      [&](Query& row) {
        if (!is_json(row.text(4))) return;
        ++kept;
        fresh.run(
            "INSERT OR REPLACE INTO downloads(id, key, variant, status, headers, sha256, size, "
            "url, requester, recorded, checked, pinned) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row.integer(0), row.digest(1), row.text(2), row.integer(3), row.text(4), row.text(5),
            row.integer(6), row.text(7), row.text(8), row.integer(9), row.integer(10),
            row.integer(11));
      });
  each_row("SELECT id, app, status, started_ms, finished_ms, detail FROM builds", [&](Query& row) {
    if (!is_json(row.text(5))) return;
    ++kept;
    fresh.run(
        "INSERT OR REPLACE INTO builds(id, app, status, started_ms, finished_ms, detail) "
        "VALUES(?, ?, ?, ?, ?, ?)",
        row.text(0), row.text(1), row.text(2), row.integer(3), row.integer(4), row.text(5));
  });
  return kept;
}

// A blob's name is its digest and it was synced before it got it: the row can be made again.
void adopt_blobs(const Store::State& state, Database& database) {
  for (const std::string& name : list_directory(state.blobs.get())) {
    const auto info = stat_at(state.blobs.get(), name);
    if (info && S_ISREG(info->st_mode) && name.size() == 64)
      database.run("INSERT INTO blobs(sha256, size, last_use) VALUES(?, ?, ?)", name, info->st_size,
                   now_seconds());
  }
}

void remove_packs(const Store::State& state) {
  for (const std::string& name : list_directory(state.packs.get()))
    (void)unlinkat(state.packs.get(), name.c_str(), 0);
}

void rename_if_exists(int directory, const std::string& from, const std::string& to) {
  if (renameat(directory, from.c_str(), directory, to.c_str()) != 0 && errno != ENOENT)
    fail_errno("set {} aside", from);
}

// Built beside and renamed, so that a kill at any instant leaves the old one or the new one.
void start_anew(Store::State& state, const std::string& problem) {
  const int root = state.layout.fd.get();
  const fs::path file = state.layout.root / index_name;
  const bool had_file = stat_at(root, index_name).has_value();
  size_t kept = 0;
  create_empty(state, new_name);
  {
    Database fresh(state.layout.root / new_name);
    Transaction transaction(fresh);
    fresh.script(schema);
    fresh.script(later_schema);
    fresh.run("INSERT INTO sqlite_sequence(name, seq) VALUES('snapshots', ?)",
              highest_snapshot_directory(state));
    fresh.run("INSERT INTO meta(name, value) VALUES('boot', ?)", state.boot);
    adopt_blobs(state, fresh);
    if (had_file) kept = salvage(file, fresh);
    transaction.commit();
  }
  int number = 1;
  while (stat_at(root, fmt::format("{}.bad-{}", index_name, number))) ++number;
  const std::string bad = fmt::format("{}.bad-{}", index_name, number);
  // A log left beside the new file would be replayed into it.
  for (const char* suffix : {"-wal", "-shm"})
    rename_if_exists(root, std::string(index_name) + suffix, bad + suffix);
  rename_if_exists(root, index_name, bad);
  rename_if_exists(root, new_name, index_name);
  (void)unlinkat(root, Database::damage_mark(index_name).c_str(), 0);
  // Pack numbers start anew: an old file under a new number would be read as something else.
  remove_packs(state);
  if (state.layout.fresh) return;
  state.warnings.push_back(
      fmt::format("the store's index {}{}; a new one was started, {} settings, downloads and build "
                  "records were kept, "
                  "cached results are made again when they are needed",
                  problem, had_file ? " and is set aside as " + bad : "", kept));
}

}  // namespace

void open_index(Store::State& state) {
  const fs::path file = state.layout.root / index_name;
  std::string problem;
  state.database = try_open(file, problem);
  if (state.database) return;
  const ExclusiveGate gate(state.gate.get());
  // Another process may have repaired it while we waited.
  state.database = try_open(file, problem);
  if (state.database) return;
  try {
    start_anew(state, problem);
  } catch (Error& error) {
    throw error.add_context("starting the store's index anew");
  }
  state.database = try_open(file, problem);
  if (!state.database)
    fail(ExitCode::machine, "the store's new index {} {}", file.string(), problem);
}

uint64_t highest_snapshot_directory(const Store::State& state) {
  uint64_t highest = 0;
  for (const std::string& name : list_directory(state.snapshots.get())) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && end == name.data() + name.size())
      highest = std::max(highest, number);
  }
  return highest;
}

void discard_unsynced(Store::State& state) {
  const auto is_current = [&](Database& database) {
    Query query = database.query("SELECT value FROM meta WHERE name = 'boot'");
    return query.next() && query.text(0) == state.boot;
  };
  {
    const Session index(state);
    if (is_current(*index)) return;
  }
  Session index(state, Gate::exclusive);
  Database& database = *index;
  Transaction transaction(database);
  if (is_current(database)) return;
  std::vector<uint64_t> snapshots, results;
  {
    Query rows = database.query(
        "SELECT id FROM snapshots WHERE synced = 0 AND state = 1 AND boot <> ?", state.boot);
    while (rows.next()) snapshots.push_back(rows.number(0));
  }
  {
    Query rows =
        database.query("SELECT id FROM results WHERE synced = 0 AND boot <> ?", state.boot);
    while (rows.next()) results.push_back(rows.number(0));
  }
  for (const uint64_t id : results) drop_result(database, id);
  for (const uint64_t id : snapshots) drop_snapshot(database, id);
  database.run("DELETE FROM ledgers WHERE synced = 0 AND boot <> ?", state.boot);
  // The sequence itself may have been taken back by the power cut.
  database.run("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'snapshots'",
               highest_snapshot_directory(state));
  database.run("INSERT OR REPLACE INTO meta(name, value) VALUES('boot', ?)", state.boot);
  // Listings are not synced one by one either; those still named by synced rows are whole.
  (void)remove_unused_trees(state, database, read_leases(state.leases.get(), state.process));
  transaction.commit();
  if (!snapshots.empty())
    state.warnings.push_back(fmt::format(
        "{} snapshots were not safely on disk when the machine went down; they are made again",
        snapshots.size()));
}

}  // namespace slipway::cache
