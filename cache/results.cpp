#include "base/json.h"
#include "cache/encoding.h"
#include "cache/state.h"

namespace slipway::cache {
namespace {

std::string encode_items(const Ledger& ledger) {
  std::string out;
  for (const LedgerItem& item : ledger.items) {
    put_field(out, item.name);
    put_field(out, item.value);
  }
  return out;
}

// The digests stand apart (ledgers.trees), where gc finds them without knowing this form.
std::string encode_tree_names(const Ledger& ledger) {
  std::string out;
  for (const auto& [name, tree] : ledger.trees) put_field(out, name);
  return out;
}

std::vector<Digest> tree_digests(const Ledger& ledger) {
  std::vector<Digest> digests;
  for (const auto& [name, tree] : ledger.trees) digests.push_back(tree);
  return digests;
}

// Whether all that the result names is still there.
bool is_whole(const Store::State& state, Database& database, const Result& result) {
  for (const Digest& tree : result.trees)
    if (!has_tree(state, tree)) return false;
  if (result.snapshot == 0) return true;
  if (!is_chain_whole(state, database, result.snapshot)) return false;
  Query row = database.query("SELECT tree FROM snapshots WHERE id = ?", result.snapshot);
  if (!row.next()) return false;
  const Digest tree = row.digest(0);
  return !tree || has_tree(state, tree);
}

}  // namespace

void drop_result(Database& database, uint64_t id) {
  database.run("DELETE FROM result_keys WHERE result = ?", id);
  database.run("DELETE FROM results WHERE id = ?", id);
}

std::optional<Result> Store::find_result(const Digest& key, Lease& lease) {
  const Session index(*state_);
  uint64_t id = 0;
  int64_t last_use = 0;
  Result result;
  {
    Query row = index->query(
        "SELECT r.id, r.snapshot, r.content, r.stdout, r.exit_code, r.extra, r.trees, r.last_use "
        "FROM result_keys k JOIN results r ON r.id = k.result WHERE k.key = ?",
        key);
    if (!row.next()) return std::nullopt;
    id = row.number(0);
    result.snapshot = row.number(1);
    result.content = row.digest(2);
    result.stdout_text = row.text(3);
    result.exit_code = static_cast<int>(row.integer(4));
    result.extra = row.json(5);
    result.trees = unpack_digests(row.text(6));
    last_use = row.integer(7);
  }
  lease.protect_snapshot(result.snapshot);
  for (const Digest& tree : result.trees) lease.state_->file.add(LeaseItem::tree, tree.hex());
  if (!is_whole(*state_, *index, result)) {
    Transaction transaction(*index);
    drop_result(*index, id);
    transaction.commit();
    return std::nullopt;
  }
  if (last_use + touch_interval_s < now_seconds()) state_->touched_results.insert(id);
  return result;
}

std::optional<Json> Store::peek_result(const Digest& key) const {
  const Session index(*state_);
  Query row = index->query(
      "SELECT r.extra FROM result_keys k JOIN results r ON r.id = k.result WHERE k.key = ?", key);
  if (!row.next()) return std::nullopt;
  return row.json(0);
}

void Store::put_result(const std::vector<Digest>& keys, const Result& result,
                       const std::string& scope, const Ledger& ledger) {
  SLIPWAY_CHECK(!keys.empty());
  Session index(*state_);
  if (!is_whole(*state_, *index, result))
    fail(ExitCode::machine,
         "a result of '{}' names snapshot {} or listings the store does not have", scope,
         result.snapshot);
  Transaction transaction(*index);
  for (const Digest& key : keys) {
    SLIPWAY_CHECK(key);
    uint64_t old = 0;
    {
      Query row = index->query("SELECT result FROM result_keys WHERE key = ?", key);
      if (!row.next()) continue;
      old = row.number(0);
    }
    index->run("DELETE FROM result_keys WHERE key = ?", key);
    // A result that no key leads to is never found again.
    index->run(
        "DELETE FROM results WHERE id = ? AND NOT EXISTS "
        "(SELECT 1 FROM result_keys WHERE result = results.id)",
        old);
  }
  index->run(
      "INSERT INTO results(snapshot, content, stdout, exit_code, extra, trees, last_use, boot) "
      "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
      result.snapshot, result.content, Bytes{result.stdout_text}, result.exit_code,
      dump_json(result.extra), Bytes{pack_digests(result.trees)}, now_seconds(), state_->boot);
  const uint64_t id = index->last_id();
  for (const Digest& key : keys)
    index->run("INSERT OR REPLACE INTO result_keys(key, result) VALUES(?, ?)", key, id);
  std::string items;
  put_field(items, encode_items(ledger));
  put_field(items, encode_tree_names(ledger));
  index->run(
      "INSERT OR REPLACE INTO ledgers(scope, items, trees, updated, boot) VALUES(?, ?, ?, ?, ?)",
      scope, Bytes{items}, Bytes{pack_digests(tree_digests(ledger))}, now_seconds(), state_->boot);
  index.write_touched();
  transaction.commit();
}

std::optional<Ledger> Store::last_ledger(const std::string& scope) const {
  Session index(*state_);
  Query row = index->query("SELECT items, trees FROM ledgers WHERE scope = ?", scope);
  if (!row.next()) return std::nullopt;
  const std::string data = row.text(0);
  const std::vector<Digest> trees = unpack_digests(row.text(1));
  std::string_view rest = data;
  std::string_view items = take_field(rest);
  std::string_view names = take_field(rest);
  Ledger ledger;
  while (!items.empty()) {
    LedgerItem item;
    item.name = take_field(items);
    item.value = take_field(items);
    ledger.items.push_back(std::move(item));
  }
  for (const Digest& tree : trees) {
    std::string name(take_field(names));
    index.own_lease().add(LeaseItem::tree, tree.hex());
    if (has_tree(*state_, tree)) ledger.trees.emplace_back(std::move(name), tree);
  }
  return ledger;
}

}  // namespace slipway::cache
