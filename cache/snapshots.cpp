#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "cache/gc.h"
#include "cache/state.h"

namespace slipway::cache {
namespace {

bool directory_exists(const Store::State& state, SnapshotId id) {
  const auto info = stat_at(state.snapshots.get(), std::to_string(id));
  return info && S_ISDIR(info->st_mode);
}

// Longer chains are flattened long before (400); a damaged index must not make us run forever.
constexpr uint64_t chain_max = 100'000;

// The snapshot and what it stands on, topmost first; empty when one of them is missing. A single
// statement: each takes SQLite's locks anew.
std::optional<std::vector<SnapshotId>> find_chain(Database& database, SnapshotId id) {
  std::vector<SnapshotId> layers;
  if (id == 0) return layers;
  Query rows = database.query(
      "WITH RECURSIVE chain(id, parent, depth) AS ("
      " SELECT id, parent, 0 FROM snapshots WHERE id = ?1 AND state = 1"
      " UNION ALL"
      " SELECT s.id, s.parent, depth + 1 FROM snapshots s JOIN chain ON s.id = chain.parent"
      " WHERE s.state = 1 AND chain.parent <> 0 AND depth < ?2) "
      "SELECT id, parent FROM chain ORDER BY depth",
      id, chain_max);
  SnapshotId parent = id;
  while (rows.next()) {
    layers.push_back(rows.number(0));
    parent = rows.number(1);
  }
  if (parent != 0) return std::nullopt;
  return layers;
}

}  // namespace

std::string tree_name(const Digest& id) {
  const std::string hex = id.hex();
  return hex.substr(0, 2) + "/" + hex;
}

bool has_tree(const Store::State& state, const Digest& id) {
  const auto info = stat_at(state.trees.get(), tree_name(id));
  return info && S_ISREG(info->st_mode) && info->st_size > 0;
}

bool is_chain_whole(const Store::State& state, Database& database, SnapshotId id) {
  const auto layers = find_chain(database, id);
  return layers && std::all_of(layers->begin(), layers->end(),
                               [&](SnapshotId layer) { return directory_exists(state, layer); });
}

void drop_snapshot(Database& database, SnapshotId id) {
  // Children first found, then dropped: the statement is not used recursively.
  std::vector<SnapshotId> pending = {id};
  while (!pending.empty()) {
    const SnapshotId next = pending.back();
    pending.pop_back();
    {
      Query rows = database.query(
          "SELECT id FROM snapshots WHERE parent = ? AND parent <> 0 AND state = 1", next);
      while (rows.next()) pending.push_back(rows.number(0));
    }
    database.run(
        "DELETE FROM result_keys WHERE result IN "
        "(SELECT id FROM results WHERE snapshot = ? AND snapshot <> 0)",
        next);
    database.run("DELETE FROM results WHERE snapshot = ? AND snapshot <> 0", next);
    database.run("DELETE FROM app_caches WHERE snapshot = ?", next);
    database.run("UPDATE snapshots SET state = 2 WHERE id = ?", next);
  }
}

SnapshotId Store::allocate_snapshot(Lease& lease) {
  const Session index(*state_);
  for (;;) {
    SnapshotId id = 0;
    {
      Transaction transaction(*index);
      index->run("INSERT INTO snapshots(state, boot) VALUES(0, ?)", state_->boot);
      id = index->last_id();
      transaction.commit();
    }
    // A directory of a lost index may have the number; it stays allocated and is swept as stale.
    if (stat_at(state_->snapshots.get(), std::to_string(id))) continue;
    lease.protect_snapshot(id);
    return id;
  }
}

void Store::commit_snapshot(const Snapshot& snapshot) {
  const Session index(*state_);
  if (!directory_exists(*state_, snapshot.id))
    fail(ExitCode::machine, "snapshot {} has no directory in {}", snapshot.id,
         snapshots_dir().string());
  Transaction transaction(*index);
  if (snapshot.parent != 0)
    SLIPWAY_CHECK(
        index->query("SELECT 1 FROM snapshots WHERE id = ? AND state = 1", snapshot.parent).next());
  const int changed = index->run(
      "UPDATE snapshots SET state = 1, parent = ?, kind = ?, size = ?, files = ?, tree = ?, "
      "content = ?, boot = ?, synced = 0 WHERE id = ? AND state = 0",
      snapshot.parent, snapshot.kind, snapshot.size_bytes, snapshot.files, snapshot.tree,
      snapshot.content, state_->boot, snapshot.id);
  SLIPWAY_CHECK(changed == 1);
  transaction.commit();
}

std::optional<Snapshot> Store::find_snapshot(SnapshotId id) const {
  const Session index(*state_);
  Query row = index->query(
      "SELECT parent, kind, size, files, tree, content FROM snapshots WHERE id = ? AND state = 1",
      id);
  if (!row.next() || !directory_exists(*state_, id)) return std::nullopt;
  return Snapshot{.id = id,
                  .parent = row.number(0),
                  .kind = row.text(1),
                  .size_bytes = row.number(2),
                  .files = row.number(3),
                  .tree = row.digest(4),
                  .content = row.digest(5)};
}

std::vector<SnapshotId> Store::chain(SnapshotId id) const {
  const Session index(*state_);
  auto layers = find_chain(*index, id);
  if (!layers) fail(ExitCode::machine, "snapshot {} is not in the store", id);
  return std::move(*layers);
}

Digest Store::put_tree(const archive::Tree& tree) {
  const std::string data = serialize_tree(tree);
  const Digest id = hash_bytes(data);
  Session index(*state_);
  index.own_lease().add(LeaseItem::tree, id.hex());
  const auto info = stat_at(state_->trees.get(), tree_name(id));
  if (info && static_cast<uint64_t>(info->st_size) == data.size()) return id;
  try {
    make_private_directory(state_->trees.get(), id.hex().substr(0, 2));
    TempFile file(state_->tmp.get());
    write_all(file.fd(), data);
    // Not synced: sync() does it for all of a build, and reading checks the digest.
    file.publish(state_->trees.get(), tree_name(id));
  } catch (Error& error) {
    throw error.add_context("writing a listing");
  }
  return id;
}

archive::Tree Store::read_tree(const Digest& id) const {
  const Fd file = open_at_if_exists(state_->trees.get(), tree_name(id), O_RDONLY | O_NOFOLLOW);
  if (!file)
    throw Error(ExitCode::machine, fmt::format("listing {} is missing from the store", id.hex()))
        .set_hint("run the command again: what needs it is made anew");
  const std::string data = read_all(file.get());
  if (hash_bytes(data) != id) {
    // Gone, it makes find_result() miss, so that the next build is whole again.
    (void)unlinkat(state_->trees.get(), tree_name(id).c_str(), 0);
    throw Error(ExitCode::machine, fmt::format("listing {} in the store is damaged", id.hex()))
        .set_hint("run the command again: what needs it is made anew");
  }
  return archive::parse_tree(data);
}

void Store::sync() {
  std::vector<uint64_t> snapshots, results, ledgers;
  {
    const Session index(*state_);
    const auto collect = [&](const char* sql, std::vector<uint64_t>& ids) {
      Query rows = index->query(sql);
      while (rows.next()) ids.push_back(rows.number(0));
    };
    collect("SELECT id FROM snapshots WHERE synced = 0 AND state = 1", snapshots);
    collect("SELECT id FROM results WHERE synced = 0", results);
    collect("SELECT id FROM ledgers WHERE synced = 0", ledgers);
  }
  if (snapshots.empty() && results.empty() && ledgers.empty()) return;
  // Outside the session: it writes back whatever the disk is behind with.
  if (syncfs(state_->layout.fd.get()) != 0) fail_errno("sync the store");
  const Session index(*state_);
  Transaction transaction(*index);
  const auto mark = [&](const char* sql, const std::vector<uint64_t>& ids) {
    for (const uint64_t id : ids) index->run(sql, id);
  };
  mark("UPDATE snapshots SET synced = 1 WHERE id = ?", snapshots);
  mark("UPDATE results SET synced = 1 WHERE id = ?", results);
  // A ledger replaced meanwhile has another id, so the new one stays unmarked.
  mark("UPDATE ledgers SET synced = 1 WHERE id = ?", ledgers);
  transaction.commit();
}

std::vector<SnapshotId> Store::stale_snapshots() const {
  const Session index(*state_, Gate::exclusive);
  const Leased leased = read_leases(state_->leases.get(), state_->process);
  std::vector<SnapshotId> stale;
  std::set<SnapshotId> known;
  Query rows = index->query("SELECT id, state FROM snapshots");
  while (rows.next()) {
    known.insert(rows.number(0));
    const bool committed = rows.integer(1) == static_cast<int>(SnapshotState::committed);
    if (!committed && !leased.snapshots.contains(rows.number(0))) stale.push_back(rows.number(0));
  }
  // Directories without a row: from an index that was lost, or a transaction a power cut took.
  for (const std::string& name : list_directory(state_->snapshots.get())) {
    const bool number = !name.empty() && name.size() < 19 && name[0] != '0' &&
                        name.find_first_not_of("0123456789") == std::string::npos;
    if (!number) continue;
    const SnapshotId id = std::stoull(name);
    if (!known.contains(id) && !leased.snapshots.contains(id)) stale.push_back(id);
  }
  std::sort(stale.begin(), stale.end());
  return stale;
}

void Store::removed(const std::vector<SnapshotId>& snapshots) {
  if (snapshots.empty()) return;
  const Session index(*state_);
  const auto delete_rows = [&] {
    Transaction transaction(*index);
    for (const SnapshotId id : snapshots)
      // What could not be removed stays stale and is tried again.
      if (!stat_at(state_->snapshots.get(), std::to_string(id)))
        index->run("DELETE FROM snapshots WHERE id = ? AND state <> 1", id);
    transaction.commit();
  };
  with_reserve(*state_, *index, delete_rows, {});
}

}  // namespace slipway::cache
