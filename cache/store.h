// The store: everything Slipway keeps between builds. One folder, 0700, owned by one user:
//
//   format            "slipway-store 1\n" — anything else is refused, never misread
//   owner.json        uid, id map base (root), made once
//   key               32 random bytes, 0600: keyed digests of secret values
//   index.sqlite      WAL; every table below. A damaged one becomes index.sqlite.bad-<n>
//   gate              flock'ed: shared by every use of the index, exclusive by gc and recovery
//   oci-layout, index.json, blobs/sha256/<hex>     an OCI image layout
//   packs/<n>.pack    compressed chunks of artifacts, append-only
//   trees/<xx>/<hex>  listings (archive::Tree), named by the digest of their bytes
//   snapshots/<n>/fs  layer directories; written only by the sandbox's worker
//   caches/<id>       directories of cache mounts; likewise
//   leases/<id>, locks/<name>   flock'ed files
//   logs/<build>.log  full logs
//   partial/          downloads under way (downloads.h)
//   recorder-ca.pem   the recorder's authority, 0600 (fetch/record/authority.h)
//   reserve.*         space given up when the disk is full, so that gc can still write
//   stat/<hash>       stat caches, one a source root (stat_cache.h)
//   tmp/              swept when no one holds its lock
//
// Publish = write beside, flush, rename, one transaction. A reader sees the old or the new thing.
// Several processes may use a store at once. Thread-safe unless noted.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "archive/tree.h"
#include "base/cancel.h"
#include "base/digest.h"
#include "base/fd.h"
#include "base/json.h"

namespace slipway::cache {

namespace fs = std::filesystem;

/// Number of a snapshot; its directory is snapshots/<n>. 0 = none.
using SnapshotId = uint64_t;

/// A layer: a directory with a parent chain. Immutable once committed.
struct Snapshot {
  SnapshotId id = 0;
  SnapshotId parent = 0;
  std::string kind;         ///< "local", "stack", "build", "cache", …; for `cache du`
  uint64_t size_bytes = 0;  ///< of this layer alone
  uint64_t files = 0;
  Digest tree;     ///< listing of the whole chain (trees/), unset when none was taken
  Digest content;  ///< tree_digest of that listing, unset when none was taken
};

/// What an op gave: kept under its keys.
struct Result {
  SnapshotId snapshot = 0;  ///< 0 = no filesystem
  Digest content;           ///< content digest of that filesystem (or state); unset = none
  std::string stdout_text;  ///< captured output
  int exit_code = 0;
  Json extra = Json::object();  ///< small facts of the op's kind (resolved commit, pack layers …)
  std::vector<Digest> trees;    ///< further listings that must live as long as the result
};

/// One named input of an op, in order: what its key was made of. For `--explain`.
struct LedgerItem {
  std::string name;   ///< "argv", "env HOME", "file lib/app.ex", "stack", …
  std::string value;  ///< text or digest; secrets as keyed digest
  bool operator==(const LedgerItem&) const = default;
};
struct Ledger {
  std::vector<LedgerItem> items;
  /// Listings whose entries are inputs one by one ("file <path>"), named by their tree digest in
  /// the store; compared entry by entry.
  std::vector<std::pair<std::string, Digest>> trees;
};

/// A compressed chunk kept in a pack file.
struct ChunkRef {
  uint64_t pack = 0, offset = 0;
  uint32_t compressed_size = 0, raw_size = 0;
  uint32_t crc32 = 0;  ///< of the compressed bytes
};

/// An artifact as a list of chunks: how a slug is kept without storing its bytes twice.
struct Artifact {
  Digest id;                ///< of all that decides its bytes: listing, times, compressor
  std::string sha256;       ///< of the whole file
  uint64_t size_bytes = 0;  ///< of the whole file
  uint64_t raw_size_bytes = 0;
  std::vector<Digest> chunks;  ///< keys, in order
};

/// What is kept of one build.
struct BuildRecord {
  std::string id;      ///< sortable: yyyymmdd-hhmmss-xxxx
  std::string app;     ///< app id
  std::string status;  ///< "running", "succeeded", "failed", "canceled"
  int64_t started_ms = 0, finished_ms = 0;
  Json detail = Json::object();
};

/// Protects what a running build uses from gc, for as long as the object lives. The process's death
/// ends it too (flock). Protect first, then look whether it is there: gc may have run in between.
/// A snapshot's chain is protected with it. Thread-safe.
class Lease {
 public:
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) noexcept;
  ~Lease();
  void protect_snapshot(SnapshotId id);
  void protect_artifact(const Digest& id);
  void protect_blob(const std::string& sha256);

 private:
  friend class Store;
  struct State;
  explicit Lease(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// An exclusive lock between processes; released when it goes out of scope or the process ends.
class [[nodiscard]] Lock {
 public:
  explicit Lock(Fd fd) : fd_(std::move(fd)) {}

 private:
  Fd fd_;
};

/// A blob being written; appears only by commit().
class BlobWriter {
 public:
  BlobWriter(BlobWriter&&) noexcept;
  ~BlobWriter();
  void write(const void* data, size_t size);
  /// Publishes and returns the SHA-256. When `expected_sha256` is given and differs, nothing
  /// becomes visible and Error(outside) is thrown (threat 20).
  std::string commit(const std::string& expected_sha256 = {});

 private:
  friend class Store;
  struct State;
  explicit BlobWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Appends compressed chunks to a pack file of its own; they become visible by commit().
/// Not thread-safe; must not outlive the store.
class PackWriter {
 public:
  PackWriter(PackWriter&&) noexcept;
  ~PackWriter();
  /// key: digest of (compressor, uncompressed content). Ignored if the key was put already.
  void put(const Digest& key, const void* compressed, size_t size, uint32_t raw_size);
  void commit();

 private:
  friend class Store;
  struct State;
  explicit PackWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct DiskUsage {
  struct Row {
    std::string kind;
    uint64_t count = 0, size_bytes = 0;
  };
  std::vector<Row> rows;
  uint64_t total_bytes = 0;
};

/// What gc decided: rows are gone from the index; the directories must now be removed by the
/// worker (they may belong to mapped ids), see Store::removed().
struct Garbage {
  std::vector<SnapshotId> snapshots;
  uint64_t freed_bytes = 0;
};

struct VerifyProblem {
  std::string what;       ///< "blob sha256:…", "pack 3", "snapshot 12"
  std::string problem;    ///< "truncated: 10 of 20 bytes"
  bool repaired = false;  ///< dropped, will be rebuilt when needed
};

class Store {
 public:
  /// Opens or creates. Errors: exit 6 when it belongs to another user, has an unknown format, or
  /// cannot be written. A lost or damaged index is set aside and started anew, and said through
  /// `warnings()`. Unfinished work of killed processes is swept.
  static std::unique_ptr<Store> open(const fs::path& root);
  ~Store();
  const fs::path& root() const;
  const std::vector<std::string>& warnings() const;
  /// $SLIPWAY_HOME, else $XDG_DATA_HOME/slipway, else ~/.local/share/slipway.
  static fs::path default_root();

  /// The id map of root's store: host id of the mapped root (chosen once). Ordinary users: 0.
  uint32_t id_base() const;
  /// 32 bytes for keyed_digest(); never leaves the process.
  const std::string& secret_key() const;

  // --- leases and locks ---
  Lease lease();
  /// Waits until the lock is free; `on_wait` is called once if it must wait. Throws Interrupted.
  Lock lock(const std::string& name, Cancel* cancel = nullptr,
            const std::function<void()>& on_wait = {});
  std::optional<Lock> try_lock(const std::string& name);

  // --- blobs (OCI layout) ---
  /// A committed blob is safe from gc until this store object is closed; longer by a lease, or by
  /// being used.
  BlobWriter write_blob();
  bool has_blob(const std::string& sha256) const;
  /// Throws Error(machine) when missing or of the wrong size.
  Fd open_blob(const std::string& sha256) const;

  // --- snapshots ---
  /// A fresh number whose directory nobody else uses; forgotten unless committed. The caller's
  /// lease protects it.
  SnapshotId allocate_snapshot(Lease& lease);
  /// The directory exists and is complete; the parent is committed.
  void commit_snapshot(const Snapshot& snapshot);
  std::optional<Snapshot> find_snapshot(SnapshotId id) const;
  /// The layer and its parents, topmost first.
  std::vector<SnapshotId> chain(SnapshotId id) const;
  /// Safe from gc until this store object is closed; after that by the snapshot, result or ledger
  /// that names it. Reading a damaged one throws Error(machine) once: it is dropped, so that
  /// find_result() misses the next time.
  Digest put_tree(const archive::Tree& tree);
  archive::Tree read_tree(const Digest& id) const;
  /// The directory snapshots/, for the worker.
  fs::path snapshots_dir() const;
  fs::path caches_dir() const;
  /// syncfs and mark the snapshots, results and ledgers committed so far as durable; once a build,
  /// after its last put_result(). What lacks the mark is discarded when the machine has restarted.
  void sync();

  // --- results ---
  /// Touches the last-use time; everything the result names is put under the lease. Empty when
  /// missing or when part of it (the layer, a parent, their directories, a listing) is gone.
  std::optional<Result> find_result(const Digest& key, Lease& lease);
  /// The `extra` of the result a key leads to, whatever became of the rest of it: neither touched
  /// nor protected.
  std::optional<Json> peek_result(const Digest& key) const;
  /// Stores under one or more keys (definition key, content key) with the ledger of `scope`.
  void put_result(const std::vector<Digest>& keys, const Result& result, const std::string& scope,
                  const Ledger& ledger);
  /// The last ledger stored for the scope ("<app>/<title>").
  std::optional<Ledger> last_ledger(const std::string& scope) const;

  // --- chunks and artifacts ---
  /// What was found stays readable until this store object is closed.
  std::optional<ChunkRef> find_chunk(const Digest& key) const;
  /// Compressed bytes, checked by size, magic and checksum. Throws Error(machine) naming the pack
  /// when damaged; the chunk is dropped then, so that the next build compresses it anew.
  std::string read_chunk(const ChunkRef& ref) const;
  /// The lease must outlive the writer.
  PackWriter write_pack(Lease& lease);
  /// All its chunks are committed already.
  void put_artifact(const Artifact& artifact);
  std::optional<Artifact> find_artifact(const Digest& id, Lease& lease) const;
  /// Writes the artifact's bytes to fd, in-kernel where possible, each chunk checked before. Throws
  /// like read_chunk(); what was written by then is for the caller to remove.
  void write_artifact(const Artifact& artifact, int fd) const;

  // --- apps, builds and small values ---
  /// A small JSON document by area and name ("app", "app id" …), replaced atomically.
  void put_value(const std::string& area, const std::string& name, const Json& value);
  std::optional<Json> find_value(const std::string& area, const std::string& name) const;
  std::vector<std::pair<std::string, Json>> list_values(const std::string& area) const;
  void remove_value(const std::string& area, const std::string& name);
  /// The app's CACHE_DIR snapshot; 0 = none. Setting it keeps the snapshot alive and drops the old
  /// one, at once or, where a lease still holds it, at the next collect().
  void set_app_cache(const std::string& cache_id, SnapshotId snapshot);
  SnapshotId app_cache(const std::string& cache_id) const;
  void put_build(const BuildRecord& record);
  std::optional<BuildRecord> find_build(const std::string& id) const;
  /// Newest first; empty app = all.
  std::vector<BuildRecord> list_builds(const std::string& app, size_t limit) const;
  /// Throws Error(usage) for an id with anything but letters, digits and '-' (threat 24).
  fs::path log_path(const std::string& build_id) const;

  // --- upkeep ---
  DiskUsage disk_usage() const;
  /// Drops what nothing needs, then results, artifacts and blobs by last use until the store is
  /// under limit_bytes; with limit 0 all that no lease, app cache or kept artifact needs. Kept are:
  /// what a lease protects, app caches, artifacts named by a value {"artifact": "<hex>"} of the
  /// area "release-artifact", what a value {"snapshot", "artifacts", "blobs"} of the area "image"
  /// names, values, build records and the newest logs of each app. A snapshot
  /// counts as used when anything that stands on it was. Packs that are mostly dead are rewritten
  /// unless another process holds a lease. Not while other threads read chunks of this store.
  Garbage collect(uint64_t limit_bytes);
  /// Every allocated or dropped snapshot number whose directory may be removed now.
  std::vector<SnapshotId> stale_snapshots() const;
  void removed(const std::vector<SnapshotId>& snapshots);
  /// Reads everything: blobs by digest, chunks by checksum, listings by digest and form, snapshots'
  /// directories, the index by SQLite's own check. Damaged things are dropped.
  std::vector<VerifyProblem> verify();
  /// What collect() is called with after a build; the command layer sets it. Default 20 GiB.
  uint64_t limit_bytes() const;
  void set_limit_bytes(uint64_t limit_bytes);

  struct State;
  /// For the other files of this folder only.
  State& state() const { return *state_; }

 private:
  explicit Store(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace slipway::cache
