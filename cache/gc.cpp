#include "cache/gc.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <unordered_map>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "cache/chunks.h"
#include "cache/encoding.h"

// gc works on a census: the rows that matter, read into memory inside one exclusive session, with
// reference counts. Evicting something lowers the counts of what it named; what falls to zero and
// is not pinned is freed with it. So the same code answers "what does this free" and "what stays".
namespace slipway::cache {
namespace {

// A row's own weight, so that results without a snapshot count for something.
constexpr uint64_t row_bytes = 512;
constexpr size_t logs_kept = 200;  ///< newest of each app; build records stay
constexpr int64_t ledger_age_max_s = 90 * 24 * 3600;
constexpr int64_t stat_cache_age_max_s = 30 * 24 * 3600;
struct SnapshotNode {
  SnapshotId parent = 0;
  uint64_t size_bytes = 0;
  int64_t last_use = 0;  ///< latest of all that stands on it
  uint32_t depth = 0;
  int references = 0;
  bool pinned = false;
  bool dropped = false;
  Digest tree;
};

struct Counted {
  uint64_t size_bytes = 0;
  int references = 0;
  bool pinned = false;
};

struct ResultNode {
  uint64_t id = 0;
  SnapshotId snapshot = 0;
  int64_t last_use = 0;
  uint64_t size_bytes = 0;
  std::vector<Digest> trees;
};

struct ArtifactNode {
  Digest id;
  int64_t last_use = 0;
  bool pinned = false;
  std::vector<Digest> chunks;
};

struct BlobNode {
  std::string sha256;
  uint64_t size_bytes = 0;
  int64_t last_use = 0;
};

/// Something that can be evicted; `index` into the list of its kind.
struct Candidate {
  int64_t last_use = 0;
  uint32_t depth = 0;
  enum class Kind : uint8_t { result, artifact, blob } kind = Kind::result;
  size_t index = 0;
  // Oldest first; of one age what stands on others before what they stand on.
  bool operator<(const Candidate& other) const {
    return std::tie(last_use, other.depth) < std::tie(other.last_use, depth);
  }
};

struct DigestHash {
  size_t operator()(const Digest& digest) const {
    size_t value;
    std::memcpy(&value, digest.bytes.data(), sizeof value);
    return value;
  }
};

uint64_t file_size_at(int directory, const std::string& name) {
  const auto info = stat_at(directory, name);
  return info && S_ISREG(info->st_mode) ? static_cast<uint64_t>(info->st_size) : 0;
}

class Census {
 public:
  Census(const Store::State& state, Database& database, const Leased& leased, bool keep_nothing)
      : state_(state), database_(database), leased_(leased) {
    if (keep_nothing)
      database_.run("DELETE FROM ledgers");
    else
      database_.run("DELETE FROM ledgers WHERE updated < ?", now_seconds() - ledger_age_max_s);
    read_snapshots();
    read_trees();
    read_chunks();
    read_blobs();
    read_results();
    read_artifacts();
    read_pins();
  }

  /// Frees what nothing refers to, whatever the limit.
  void drop_unreferenced();
  /// Evicts by last use until total() <= limit.
  void evict(uint64_t limit_bytes);
  uint64_t total() const { return total_; }
  uint64_t freed() const { return freed_; }
  std::vector<SnapshotId> dropped() const;
  /// Files that go once the transaction is committed.
  const std::vector<std::string>& dead_blobs() const { return dead_blobs_; }

 private:
  void read_snapshots();
  void read_trees();
  void read_chunks();
  void read_blobs();
  void read_results();
  void read_artifacts();
  void read_pins();
  void pin_chain(SnapshotId id);
  void release_snapshot(SnapshotId id);
  void drop_node(SnapshotId id, SnapshotNode& node);
  void reference_tree(const Digest& id, int by);
  void release_chunk(const Digest& key);
  std::vector<Candidate> candidates() const;
  void evict_result(const ResultNode& result);
  void evict_artifact(const ArtifactNode& artifact);
  void free_bytes(uint64_t size) {
    total_ -= std::min(total_, size);
    freed_ += size;
  }

  const Store::State& state_;
  Database& database_;
  const Leased& leased_;
  std::map<SnapshotId, SnapshotNode> snapshots_;
  std::unordered_map<Digest, Counted, DigestHash> trees_, chunks_;
  std::vector<ResultNode> results_;
  std::vector<ArtifactNode> artifacts_;
  std::vector<BlobNode> blobs_;
  std::vector<std::string> dead_blobs_;
  uint64_t total_ = 0, freed_ = 0;
};

void Census::reference_tree(const Digest& id, int by) {
  if (!id) return;
  Counted& tree = trees_[id];
  const bool first = tree.references == 0 && tree.size_bytes == 0 && by > 0;
  if (first) {
    tree.size_bytes = file_size_at(state_.trees.get(), tree_name(id));
    tree.pinned = leased_.trees.contains(id);
    total_ += tree.size_bytes;
  }
  tree.references += by;
  // The file goes in remove_unused_trees(); only the account is kept here.
  if (by < 0 && tree.references == 0 && !tree.pinned) free_bytes(tree.size_bytes);
}

void Census::read_snapshots() {
  Query rows = database_.query("SELECT id, parent, size, tree FROM snapshots WHERE state = 1");
  while (rows.next()) {
    SnapshotNode& node = snapshots_[rows.number(0)];
    node.parent = rows.number(1);
    node.size_bytes = rows.number(2);
    node.tree = rows.digest(3);
    total_ += node.size_bytes;
  }
  for (auto& [id, node] : snapshots_) {
    const auto parent = snapshots_.find(node.parent);
    if (parent != snapshots_.end()) ++parent->second.references;
    for (auto up = parent; up != snapshots_.end() && node.depth < snapshots_.size();
         up = snapshots_.find(up->second.parent))
      ++node.depth;
  }
}

void Census::read_trees() {
  for (const auto& [id, node] : snapshots_) reference_tree(node.tree, 1);
  Query rows = database_.query("SELECT trees FROM ledgers");
  while (rows.next())
    for (const Digest& tree : unpack_digests(rows.text(0))) reference_tree(tree, 1);
}

void Census::read_chunks() {
  Query rows = database_.query("SELECT key, size FROM chunks");
  while (rows.next()) {
    const Digest key = rows.digest(0);
    chunks_[key] = {.size_bytes = rows.number(1), .pinned = leased_.chunks.contains(key)};
    total_ += rows.number(1);
  }
}

void Census::read_blobs() {
  Query rows = database_.query("SELECT sha256, size, last_use FROM blobs");
  while (rows.next()) {
    total_ += rows.number(1);
    if (!leased_.blobs.contains(rows.text(0)))
      blobs_.push_back({rows.text(0), rows.number(1), rows.integer(2)});
  }
}

void Census::read_results() {
  Query rows = database_.query(
      "SELECT id, snapshot, last_use, length(stdout) + length(extra), trees FROM results");
  while (rows.next()) {
    ResultNode result{.id = rows.number(0),
                      .snapshot = rows.number(1),
                      .last_use = rows.integer(2),
                      .size_bytes = row_bytes + rows.number(3),
                      .trees = unpack_digests(rows.text(4))};
    total_ += result.size_bytes;
    for (const Digest& tree : result.trees) reference_tree(tree, 1);
    auto node = snapshots_.find(result.snapshot);
    if (node != snapshots_.end()) ++node->second.references;
    for (size_t steps = 0; node != snapshots_.end() && steps <= snapshots_.size(); ++steps) {
      node->second.last_use = std::max(node->second.last_use, result.last_use);
      node = snapshots_.find(node->second.parent);
    }
    results_.push_back(std::move(result));
  }
}

void Census::read_artifacts() {
  std::map<Digest, size_t> place;
  {
    Query rows = database_.query("SELECT id, last_use FROM artifacts");
    while (rows.next()) {
      place[rows.digest(0)] = artifacts_.size();
      artifacts_.push_back({.id = rows.digest(0),
                            .last_use = rows.integer(1),
                            .pinned = leased_.artifacts.contains(rows.digest(0))});
    }
  }
  Query rows = database_.query("SELECT artifact, chunk FROM artifact_chunks");
  while (rows.next()) {
    const auto artifact = place.find(rows.digest(0));
    if (artifact == place.end()) continue;
    artifacts_[artifact->second].chunks.push_back(rows.digest(1));
    ++chunks_[rows.digest(1)].references;
  }
}

void Census::read_pins() {
  for (const SnapshotId id : leased_.snapshots) pin_chain(id);
  {
    Query rows = database_.query("SELECT snapshot FROM app_caches");
    while (rows.next()) pin_chain(rows.number(0));
  }
  {
    // Stacks are made once and shared by all apps; they go by `stack rm`, never by age.
    Query rows = database_.query("SELECT value FROM named_values WHERE area = 'stack'");
    while (rows.next())
      pin_chain(parse_json(rows.text(0), "stack", static_cast<int>(ExitCode::machine))
                    .value("snapshot", uint64_t{0}));
  }
  std::set<Digest> kept;
  Query rows = database_.query("SELECT value FROM named_values WHERE area = 'release-artifact'");
  while (rows.next()) {
    // One that cannot be read must stop gc rather than lose a release.
    const Json value = rows.json(0);
    if (value.is_object() && value.contains("artifact") && value["artifact"].is_string())
      kept.insert(Digest::from_hex(value["artifact"].get<std::string>()));
  }
  std::set<std::string> kept_blobs;
  Query images = database_.query("SELECT value FROM named_values WHERE area = 'image'");
  while (images.next()) {
    // As with releases: what cannot be read must not be taken for nothing.
    const Json value = images.json(0);
    try {
      pin_chain(value.at("snapshot").get<uint64_t>());
      for (const Json& id : value.at("artifacts"))
        kept.insert(Digest::from_hex(id.get<std::string>()));
      for (const Json& sha256 : value.at("blobs")) kept_blobs.insert(sha256.get<std::string>());
    } catch (const Json::exception& problem) {
      fail(ExitCode::machine, "the store's record of an image is damaged: {}", problem.what());
    }
  }
  for (ArtifactNode& artifact : artifacts_)
    if (kept.contains(artifact.id)) artifact.pinned = true;
  std::erase_if(blobs_, [&](const auto& blob) { return kept_blobs.contains(blob.sha256); });
}

void Census::pin_chain(SnapshotId id) {
  for (auto node = snapshots_.find(id); node != snapshots_.end() && !node->second.pinned;
       node = snapshots_.find(node->second.parent))
    node->second.pinned = true;
}

void Census::drop_node(SnapshotId id, SnapshotNode& node) {
  node.dropped = true;
  free_bytes(node.size_bytes);
  reference_tree(node.tree, -1);
  database_.run("UPDATE snapshots SET state = 2 WHERE id = ?", id);
}

void Census::release_snapshot(SnapshotId id) {
  for (auto node = snapshots_.find(id); node != snapshots_.end();
       node = snapshots_.find(node->second.parent)) {
    if (--node->second.references > 0 || node->second.pinned) return;
    drop_node(node->first, node->second);
  }
}

void Census::release_chunk(const Digest& key) {
  Counted& chunk = chunks_[key];
  if (--chunk.references > 0 || chunk.pinned) return;
  free_bytes(chunk.size_bytes);
  database_.run("DELETE FROM chunks WHERE key = ?", key);
}

void Census::drop_unreferenced() {
  // Children first, so that a parent that only they kept goes in the same pass.
  std::vector<SnapshotId> order;
  for (const auto& [id, node] : snapshots_) order.push_back(id);
  std::stable_sort(order.begin(), order.end(), [&](SnapshotId left, SnapshotId right) {
    return snapshots_.at(left).depth > snapshots_.at(right).depth;
  });
  for (const SnapshotId id : order) {
    SnapshotNode& node = snapshots_.at(id);
    if (node.references > 0 || node.pinned || node.dropped) continue;
    drop_node(id, node);
    release_snapshot(node.parent);
  }
  for (auto& [key, chunk] : chunks_) {
    if (chunk.references > 0 || chunk.pinned) continue;
    free_bytes(chunk.size_bytes);
    database_.run("DELETE FROM chunks WHERE key = ?", key);
  }
}

std::vector<Candidate> Census::candidates() const {
  std::vector<Candidate> all;
  for (size_t i = 0; i < results_.size(); ++i) {
    const auto node = snapshots_.find(results_[i].snapshot);
    if (node == snapshots_.end()) {
      all.push_back({results_[i].last_use, 0, Candidate::Kind::result, i});
    } else if (!node->second.pinned) {
      all.push_back({node->second.last_use, node->second.depth, Candidate::Kind::result, i});
    }
  }
  for (size_t i = 0; i < artifacts_.size(); ++i)
    if (!artifacts_[i].pinned)
      all.push_back({artifacts_[i].last_use, 0, Candidate::Kind::artifact, i});
  for (size_t i = 0; i < blobs_.size(); ++i)
    all.push_back({blobs_[i].last_use, 0, Candidate::Kind::blob, i});
  std::sort(all.begin(), all.end());
  return all;
}

void Census::evict_result(const ResultNode& result) {
  drop_result(database_, result.id);
  free_bytes(result.size_bytes);
  for (const Digest& tree : result.trees) reference_tree(tree, -1);
  if (result.snapshot != 0) release_snapshot(result.snapshot);
}

void Census::evict_artifact(const ArtifactNode& artifact) {
  drop_artifact(database_, artifact.id);
  for (const Digest& key : artifact.chunks) release_chunk(key);
}

void Census::evict(uint64_t limit_bytes) {
  for (const Candidate& candidate : candidates()) {
    if (total_ <= limit_bytes) return;
    switch (candidate.kind) {
      case Candidate::Kind::result:
        evict_result(results_[candidate.index]);
        break;
      case Candidate::Kind::artifact:
        evict_artifact(artifacts_[candidate.index]);
        break;
      case Candidate::Kind::blob: {
        const BlobNode& blob = blobs_[candidate.index];
        database_.run("DELETE FROM blobs WHERE sha256 = ?", blob.sha256);
        free_bytes(blob.size_bytes);
        if (is_sha256(blob.sha256)) dead_blobs_.push_back(blob.sha256);
        break;
      }
    }
  }
}

std::vector<SnapshotId> Census::dropped() const {
  std::vector<SnapshotId> ids;
  for (const auto& [id, node] : snapshots_)
    if (node.dropped) ids.push_back(id);
  return ids;
}

// Blob files no row names: a process was killed between the rename and its transaction.
void remove_orphan_blobs(const Store::State& state, Database& database, const Leased& leased) {
  for (const std::string& name : list_directory(state.blobs.get()))
    if (!leased.blobs.contains(name) &&
        !database.query("SELECT 1 FROM blobs WHERE sha256 = ?", name).next())
      (void)unlinkat(state.blobs.get(), name.c_str(), 0);
}

void remove_old_logs(const Store::State& state, Database& database) {
  std::map<std::string, size_t> seen;
  std::set<std::string> old;
  Query rows = database.query("SELECT id, app, status FROM builds ORDER BY id DESC");
  while (rows.next())
    if (++seen[rows.text(1)] > logs_kept && rows.text(2) != "running") old.insert(rows.text(0));
  const Fd logs = open_at(state.layout.fd.get(), "logs", O_RDONLY | O_DIRECTORY);
  for (const std::string& id : old) (void)unlinkat(logs.get(), (id + ".log").c_str(), 0);
}

// Stat caches of directories nobody built for long; load_cache() keeps used ones young.
void remove_old_stat_caches(const Store::State& state, int64_t age_max_s) {
  for (const std::string& name : list_directory(state.stats.get())) {
    const auto info = stat_at(state.stats.get(), name);
    if (info && info->st_mtime + age_max_s <= now_seconds())
      (void)unlinkat(state.stats.get(), name.c_str(), 0);
  }
}

// Gives the write-ahead log's space back. Best effort: a reader may hold it, and a full disk may
// not take the pages it holds.
void shrink_log(Database& database) {
  try {
    (void)database.query("PRAGMA wal_checkpoint(TRUNCATE)").next();
  } catch (const Error&) {
    return;
  }
}

}  // namespace

void with_reserve(const Store::State& state, Database& database, const std::function<void()>& write,
                  const std::function<void()>& make_room) {
  try {
    write();
    return;
  } catch (const Error&) {
    if (!is_disk_full(state)) throw;
  }
  (void)release_reserve(state, Reserve::gc);
  if (make_room) make_room();
  shrink_log(database);
  write();
  shrink_log(database);
  ensure_reserves(state);
}

uint64_t remove_unused_trees(const Store::State& state, Database& database, const Leased& leased) {
  std::set<Digest> used = leased.trees;
  {
    Query rows = database.query("SELECT tree FROM snapshots WHERE state = 1");
    while (rows.next()) used.insert(rows.digest(0));
  }
  for (const char* sql : {"SELECT trees FROM results", "SELECT trees FROM ledgers"}) {
    Query rows = database.query(sql);
    while (rows.next())
      for (const Digest& tree : unpack_digests(rows.text(0))) used.insert(tree);
  }
  uint64_t freed = 0;
  for (const std::string& folder : list_directory(state.trees.get())) {
    const Fd directory = open_at(state.trees.get(), folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    for (const std::string& name : list_directory(directory.get())) {
      const bool is_digest =
          name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
      if (is_digest && used.contains(Digest::from_hex(name))) continue;
      const uint64_t size = file_size_at(directory.get(), name);
      if (unlinkat(directory.get(), name.c_str(), 0) == 0) freed += size;
    }
  }
  return freed;
}

Garbage Store::collect(uint64_t limit_bytes) {
  Session index(*state_, Gate::exclusive);
  const Leased leased = read_leases(state_->leases.get(), state_->process);
  Garbage garbage;
  bool over_limit = false;
  const auto drop_rows = [&] {
    Transaction transaction(*index);
    index.write_touched();
    Census census(*state_, *index, leased, limit_bytes == 0);
    census.drop_unreferenced();
    over_limit = census.total() > limit_bytes;
    census.evict(limit_bytes);
    // An answer whose body went is no answer.
    index->run(
        "DELETE FROM downloads WHERE sha256 <> '' AND sha256 NOT IN (SELECT sha256 FROM blobs)");
    garbage = {census.dropped(), census.freed()};
    transaction.commit();
    // Rows first: a file without a row is swept, a row without its file would be a lie.
    for (const std::string& sha256 : census.dead_blobs())
      (void)unlinkat(state_->blobs.get(), sha256.c_str(), 0);
  };
  with_reserve(
      *state_, *index, [&] { drop_rows(); },
      [&] {
        remove_old_stat_caches(*state_, 0);
        (void)remove_unused_trees(*state_, *index, leased);
      });
  (void)remove_unused_trees(*state_, *index, leased);
  remove_orphan_blobs(*state_, *index, leased);
  {
    Transaction transaction(*index);
    remove_unfinished_packs(*state_, *index, leased);
    remove_dead_packs(*state_, *index, leased);
    transaction.commit();
  }
  if (!leased.other_processes) rewrite_poor_packs(*state_, *index, leased, over_limit);
  remove_old_logs(*state_, *index);
  remove_old_stat_caches(*state_, stat_cache_age_max_s);
  sweep_unlocked(state_->locks.get());
  ensure_reserves(*state_);
  return garbage;
}

}  // namespace slipway::cache
