// What the store's parts share. Private to this folder.
//
// Two locks guard the store: `mutex` among the threads of this object, and the gate among
// processes. Every use of the index holds the gate shared; gc, recovery and sweeps hold it
// exclusively while they read the leases and delete rows. So "put it under the lease, then look
// whether it is there" cannot be overtaken by a removal. Sessions are short: no compression, no
// waiting for other locks, no reading of large files inside one.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "cache/index.h"
#include "cache/layout.h"
#include "cache/leases.h"
#include "cache/store.h"

namespace slipway::cache {

/// snapshots.state
enum class SnapshotState : int { allocated = 0, committed = 1, dropped = 2 };

struct Store::State {
  Layout layout;
  Fd gate, leases, locks, tmp, trees, packs, blobs, snapshots, stats;
  std::string process;  ///< token of this object: its leases' names begin with it
  std::string boot;     ///< the kernel's boot id
  uint64_t limit_bytes = 20ULL << 30;

  std::mutex mutex;
  // Guarded by mutex, reached through a Session:
  std::unique_ptr<Database> database;
  std::vector<std::string> warnings;
  std::set<uint64_t> touched_results;
  std::set<Digest> touched_artifacts;
  std::set<std::string> touched_blobs;
  std::unique_ptr<LeaseFile> own;  ///< made at first use, see own_lease()

  std::mutex scans_mutex;
  std::map<std::string, std::shared_ptr<const class StatCache>> scans;  ///< by root path
};

enum class Gate { shared, exclusive };

/// Exclusive use of the index in this process, and the gate among processes. Not recursive.
class Session {
 public:
  explicit Session(Store::State& state, Gate gate = Gate::shared);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();
  Database& operator*() const { return *state_.database; }
  Database* operator->() const { return state_.database.get(); }
  /// The lease of the store object itself: what it put or found without a lease of the caller's
  /// (listings, blobs, chunks) is safe from gc until the store is closed.
  LeaseFile& own_lease();
  /// Writes the last-use times collected so far; inside a transaction of the caller's.
  void write_touched();

 private:
  Store::State& state_;
  std::unique_lock<std::mutex> lock_;
};

struct Lease::State {
  State(int directory, const std::string& process) : file(directory, process) {}
  LeaseFile file;
};

/// Space set aside for the case of a full disk. They are apart because a build that opens the
/// store must not use up what gc will need.
enum class Reserve { open, gc };
/// Gives it up; true when there was one.
bool release_reserve(const Store::State& state, Reserve reserve);
bool is_disk_full(const Store::State& state);
/// Sets aside what is missing, as far as there is room.
void ensure_reserves(const Store::State& state);

/// Seconds since 1970.
int64_t now_seconds();
/// Last-use times younger than this are not written again.
inline constexpr int64_t touch_interval_s = 3600;

bool is_sha256(std::string_view text);
/// Throws Error(outside) unless it is 64 lower-case hex digits: it becomes a file name (threat 19).
void check_sha256(std::string_view sha256);

/// "<xx>/<hex>" below trees/.
std::string tree_name(const Digest& id);
bool has_tree(const Store::State& state, const Digest& id);

/// Whether the snapshot and all its parents are committed and have their directories.
bool is_chain_whole(const Store::State& state, Database& database, SnapshotId id);
/// Marks a committed snapshot dropped together with all that stands on it: children, results and
/// app caches. Inside a transaction.
void drop_snapshot(Database& database, SnapshotId id);
void drop_result(Database& database, uint64_t id);
/// Removes a chunk and the artifacts made of it. Inside a transaction.
void drop_chunk(Database& database, const Digest& key);

}  // namespace slipway::cache
