#include "base/json.h"
#include "base/text.h"
#include "cache/state.h"

namespace slipway::cache {
namespace {

BuildRecord record_from(const Query& row) {
  return {.id = row.text(0),
          .app = row.text(1),
          .status = row.text(2),
          .started_ms = row.integer(3),
          .finished_ms = row.integer(4),
          .detail = row.json(5)};
}

}  // namespace

void Store::put_value(const std::string& area, const std::string& name, const Json& value) {
  const Session index(*state_);
  Transaction transaction(*index);
  index->run("INSERT OR REPLACE INTO named_values(area, name, value) VALUES(?, ?, ?)", area, name,
             dump_json(value));
  transaction.commit();
}

std::optional<Json> Store::find_value(const std::string& area, const std::string& name) const {
  const Session index(*state_);
  Query row =
      index->query("SELECT value FROM named_values WHERE area = ? AND name = ?", area, name);
  if (!row.next()) return std::nullopt;
  return row.json(0);
}

std::vector<std::pair<std::string, Json>> Store::list_values(const std::string& area) const {
  const Session index(*state_);
  std::vector<std::pair<std::string, Json>> values;
  Query rows =
      index->query("SELECT name, value FROM named_values WHERE area = ? ORDER BY name", area);
  while (rows.next()) values.emplace_back(rows.text(0), rows.json(1));
  return values;
}

void Store::remove_value(const std::string& area, const std::string& name) {
  const Session index(*state_);
  Transaction transaction(*index);
  index->run("DELETE FROM named_values WHERE area = ? AND name = ?", area, name);
  transaction.commit();
}

void Store::set_app_cache(const std::string& cache_id, SnapshotId snapshot) {
  // Exclusive: the old snapshot goes only when no lease holds it.
  const Session index(*state_, Gate::exclusive);
  const Leased leased = read_leases(state_->leases.get(), state_->process);
  Transaction transaction(*index);
  SnapshotId old = 0;
  {
    Query row = index->query("SELECT snapshot FROM app_caches WHERE id = ?", cache_id);
    if (row.next()) old = row.number(0);
  }
  if (snapshot == 0) {
    index->run("DELETE FROM app_caches WHERE id = ?", cache_id);
  } else {
    SLIPWAY_CHECK(
        index->query("SELECT 1 FROM snapshots WHERE id = ? AND state = 1", snapshot).next());
    index->run("INSERT OR REPLACE INTO app_caches(id, snapshot) VALUES(?, ?)", cache_id, snapshot);
  }
  // What a running build restored from it, or a child stands on, waits for collect().
  const bool leased_now = old != 0 && leased.snapshots.contains(old);
  if (old != 0 && old != snapshot && !leased_now)
    index->run(
        "UPDATE snapshots SET state = 2 WHERE id = ?1 AND state = 1 "
        "AND NOT EXISTS(SELECT 1 FROM snapshots c WHERE c.parent = ?1 AND c.parent <> 0) "
        "AND NOT EXISTS(SELECT 1 FROM results WHERE snapshot = ?1 AND snapshot <> 0) "
        "AND NOT EXISTS(SELECT 1 FROM app_caches WHERE snapshot = ?1)",
        old);
  transaction.commit();
}

SnapshotId Store::app_cache(const std::string& cache_id) const {
  const Session index(*state_);
  SnapshotId id = 0;
  {
    Query row = index->query("SELECT snapshot FROM app_caches WHERE id = ?", cache_id);
    if (row.next()) id = row.number(0);
  }
  return id != 0 && is_chain_whole(*state_, *index, id) ? id : 0;
}

void Store::put_build(const BuildRecord& record) {
  (void)log_path(record.id);
  const Session index(*state_);
  Transaction transaction(*index);
  index->run(
      "INSERT OR REPLACE INTO builds(id, app, status, started_ms, finished_ms, detail) "
      "VALUES(?, ?, ?, ?, ?, ?)",
      record.id, record.app, record.status, record.started_ms, record.finished_ms,
      dump_json(record.detail));
  transaction.commit();
}

std::optional<BuildRecord> Store::find_build(const std::string& id) const {
  const Session index(*state_);
  Query row = index->query(
      "SELECT id, app, status, started_ms, finished_ms, detail FROM builds WHERE id = ?", id);
  if (!row.next()) return std::nullopt;
  return record_from(row);
}

std::vector<BuildRecord> Store::list_builds(const std::string& app, size_t limit) const {
  const Session index(*state_);
  std::vector<BuildRecord> records;
  const auto limit_number = static_cast<int64_t>(std::min<size_t>(limit, INT64_MAX));
  Query rows = app.empty()
                   ? index->query(
                         "SELECT id, app, status, started_ms, finished_ms, detail FROM builds "
                         "ORDER BY id DESC LIMIT ?",
                         limit_number)
                   : index->query(
                         "SELECT id, app, status, started_ms, finished_ms, detail FROM builds "
                         "WHERE app = ? ORDER BY id DESC LIMIT ?",
                         app, limit_number);
  while (rows.next()) records.push_back(record_from(rows));
  return records;
}

fs::path Store::log_path(const std::string& build_id) const {
  // Typed by users too (`slipway builds show ID`) and made a file name (threat 24).
  const bool good =
      !build_id.empty() && build_id.size() <= 64 &&
      build_id.find_first_not_of(
          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == std::string::npos;
  if (!good) fail(ExitCode::usage, "'{}' is not a build's id", printable(build_id.substr(0, 80)));
  return state_->layout.root / "logs" / (build_id + ".log");
}

}  // namespace slipway::cache
