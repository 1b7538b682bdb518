#include "cache/store_fixture.h"

using namespace slipway;
using namespace slipway::cache;

namespace {

struct Gc : StoreFixture {
  /// A result on a layer of its own, used `age_s` seconds ago.
  SnapshotId make(const std::string& name, int64_t age_s, SnapshotId parent = 0,
                  uint64_t size_bytes = 1'000'000) {
    Lease lease = store->lease();
    const SnapshotId id = make_snapshot(lease, parent, size_bytes);
    put(name, id);
    set_age(name, age_s);
    return id;
  }
  void set_age(const std::string& name, int64_t age_s) const {
    sql(
        fmt::format("UPDATE results SET last_use = unixepoch() - {} WHERE id = "
                    "(SELECT result FROM result_keys WHERE key = x'{}')",
                    age_s, hash_bytes(name).hex()));
  }
  std::string put_blob(const std::string& content, int64_t age_s = 0) {
    BlobWriter writer = store->write_blob();
    writer.write(content.data(), content.size());
    const std::string sha256 = writer.commit();
    sql(fmt::format("UPDATE blobs SET last_use = unixepoch() - {} WHERE sha256 = '{}'", age_s,
                    sha256));
    return sha256;
  }
  Artifact put_artifact(const std::string& name, const std::vector<std::string>& chunks) {
    Lease lease = store->lease();
    PackWriter writer = store->write_pack(lease);
    Artifact artifact{.id = hash_bytes(name), .sha256 = std::string(64, 'a')};
    for (const std::string& chunk : chunks) {
      writer.put(hash_bytes(chunk), chunk.data(), chunk.size(), 100);
      artifact.chunks.push_back(hash_bytes(chunk));
      artifact.size_bytes += chunk.size();
    }
    writer.commit();
    store->put_artifact(artifact);
    return artifact;
  }
  bool has_artifact(const Artifact& artifact) const {
    Lease lease = store->lease();
    return store->find_artifact(artifact.id, lease).has_value();
  }
};

}  // namespace

TEST_CASE_METHOD(Gc, "gc: under the limit nothing that has a use goes") {
  const SnapshotId kept = make("kept", 100);
  SnapshotId orphan = 0;
  {
    Lease lease = store->lease();
    orphan = make_snapshot(lease);
    // Its lease protects it until the result is stored.
    CHECK(store->collect(UINT64_MAX).snapshots.empty());
  }
  const Garbage garbage = store->collect(UINT64_MAX);
  CHECK(garbage.snapshots == std::vector<SnapshotId>{orphan});
  CHECK(garbage.freed_bytes == 1000);
  CHECK(store->find_snapshot(kept));
  CHECK(has_result("kept"));
  CHECK(store->stale_snapshots() == std::vector<SnapshotId>{orphan});
  remove_stale();
  CHECK(store->collect(UINT64_MAX).freed_bytes == 0);
}

TEST_CASE_METHOD(Gc, "gc: the least recently used goes first") {
  const SnapshotId old = make("old", 300);
  const SnapshotId middle = make("middle", 200);
  make("new", 100);
  const Garbage garbage = store->collect(2'100'000);
  CHECK(garbage.snapshots == std::vector<SnapshotId>{old});
  CHECK(garbage.freed_bytes >= 1'000'000);
  CHECK_FALSE(has_result("old"));
  CHECK(has_result("middle"));
  CHECK(store->collect(1'100'000).snapshots == std::vector<SnapshotId>{middle});
  CHECK(has_result("new"));
}

TEST_CASE_METHOD(Gc, "gc: a layer is as young as what stands on it") {
  const SnapshotId stack = make("stack", 9000);
  const SnapshotId other = make("other", 500);
  const SnapshotId top = make("top", 10, stack);
  CHECK(store->collect(2'100'000).snapshots == std::vector<SnapshotId>{other});
  CHECK(has_result("stack"));
  CHECK(store->collect(1'100'000).snapshots == std::vector<SnapshotId>{top});
  CHECK(has_result("stack"));
  CHECK(store->collect(0).snapshots == std::vector<SnapshotId>{stack});
}

TEST_CASE_METHOD(Gc, "gc: looking a result up makes it young, also across processes") {
  make("a", 9000);
  make("b", 8000);
  CHECK(has_result("a"));
  reopen();  // the time is written when the store is closed
  store->collect(1'100'000);
  CHECK(has_result("a"));
  CHECK_FALSE(has_result("b"));
}

TEST_CASE_METHOD(Gc, "gc: leases, app caches and their parents stay even at limit 0") {
  const SnapshotId base = make("base", 900);
  const SnapshotId cache = make("cache", 900, base);
  const SnapshotId in_use = make("in use", 900);
  store->set_app_cache("app", cache);
  auto other = Store::open(root);
  {
    Lease lease = other->lease();
    REQUIRE(other->find_result(hash_bytes("in use"), lease));
    const SnapshotId writing = other->allocate_snapshot(lease);
    make_directories(store->snapshots_dir() / std::to_string(writing) / "fs");
    CHECK(store->collect(0).snapshots.empty());
    CHECK(store->stale_snapshots().empty());
    CHECK(store->find_snapshot(in_use));
    other->commit_snapshot({.id = writing, .parent = in_use});
    CHECK(store->collect(0).snapshots.empty());
  }
  CHECK(store->collect(0).snapshots.size() == 2);
  CHECK(store->app_cache("app") == cache);
  CHECK(store->chain(cache) == std::vector<SnapshotId>{cache, base});
  store->set_app_cache("app", 0);
  store->collect(0);
  CHECK_FALSE(store->find_snapshot(base));
}

TEST_CASE_METHOD(Gc, "gc: blobs go by last use unless a lease holds them") {
  const std::string old = put_blob(std::string(100'000, 'o'), 900);
  const std::string fresh = put_blob(std::string(100'000, 'f'), 10);
  // What this very store object wrote is safe until it is closed.
  store->collect(0);
  CHECK(store->has_blob(old));
  reopen();
  store->collect(150'000);
  CHECK_FALSE(store->has_blob(old));
  CHECK_FALSE(fs::exists(root / "blobs/sha256" / old));
  CHECK(store->has_blob(fresh));
  auto other = Store::open(root);
  {
    Lease lease = other->lease();
    lease.protect_blob(fresh);
    store->collect(0);
    CHECK(store->has_blob(fresh));
  }
  write_file_atomic(root / "blobs/sha256" / std::string(64, '0'), "left by a killed process");
  store->collect(0);
  CHECK(fs::is_empty(root / "blobs/sha256"));
}

TEST_CASE_METHOD(Gc, "gc: listings live as long as what names them") {
  archive::Tree tree;
  tree.entries.push_back({.path = "a", .type = archive::EntryType::directory, .mode = 0755});
  const Digest of_result = store->put_tree(tree);
  tree.entries[0].path = "b";
  const Digest of_snapshot = store->put_tree(tree);
  tree.entries[0].path = "c";
  const Digest of_ledger = store->put_tree(tree);
  tree.entries[0].path = "d";
  const Digest of_nobody = store->put_tree(tree);
  const auto has = [&](const Digest& id) {
    return fs::exists(root / "trees" / id.hex().substr(0, 2) / id.hex());
  };
  {
    Lease lease = store->lease();
    const SnapshotId id = store->allocate_snapshot(lease);
    make_directories(store->snapshots_dir() / std::to_string(id));
    store->commit_snapshot({.id = id, .tree = of_snapshot});
    Ledger ledger;
    ledger.trees = {{"source", of_ledger}};
    store->put_result({hash_bytes("k")}, {.snapshot = id, .trees = {of_result}}, "s", ledger);
  }
  store->collect(UINT64_MAX);
  CHECK(has(of_nobody));  // put by this object
  reopen();
  store->collect(UINT64_MAX);
  CHECK_FALSE(has(of_nobody));
  CHECK(has(of_result));
  CHECK(has(of_snapshot));
  CHECK(has(of_ledger));
  CHECK(has_result("k"));
  store->collect(0);
  CHECK_FALSE(has(of_result));
  CHECK_FALSE(has(of_snapshot));
  CHECK_FALSE(has(of_ledger));
  CHECK_FALSE(store->last_ledger("s"));
}

TEST_CASE_METHOD(Gc, "gc: artifacts go with their chunks, releases stay") {
  const std::string shared = fake_chunk(200'000, 's'), a = fake_chunk(300'000, 'a'),
                    b = fake_chunk(100'000, 'b');
  const Artifact first = put_artifact("first", {shared, a});
  const Artifact second = put_artifact("second", {shared, b});
  store->put_value("release-artifact", "app v1", {{"artifact", second.id.hex()}});
  reopen();
  CHECK(store->collect(UINT64_MAX).freed_bytes == 0);
  CHECK(has_artifact(first));
  reopen();
  CHECK(store->collect(0).freed_bytes == 300'000);
  CHECK_FALSE(has_artifact(first));
  CHECK(has_artifact(second));
  CHECK_FALSE(store->find_chunk(hash_bytes(a)));
  // The mostly dead pack was rewritten; what lives reads the same.
  const fs::path out = dir.path() / "out";
  {
    Lease lease = store->lease();
    const auto found = store->find_artifact(second.id, lease);
    REQUIRE(found);
    const Fd fd = open_file(out.string(), O_RDWR | O_CREAT, 0600);
    store->write_artifact(*found, fd.get());
  }
  CHECK(read_file(out) == shared + b);
  uint64_t pack_bytes = 0;
  for (const auto& entry : fs::directory_iterator(root / "packs")) pack_bytes += entry.file_size();
  CHECK(pack_bytes == 300'000);
  store->remove_value("release-artifact", "app v1");
  reopen();
  store->collect(0);
  CHECK_FALSE(has_artifact(second));
  CHECK(fs::is_empty(root / "packs"));
}

TEST_CASE_METHOD(Gc, "gc: packs are not moved under another process that may read them") {
  const Artifact artifact = put_artifact("a", {fake_chunk(10'000, 'x'), fake_chunk(100'000, 'y')});
  put_artifact("b", {fake_chunk(10'000, 'x')});
  sql(
      fmt::format("DELETE FROM artifacts WHERE id = x'{0}'; "
                  "DELETE FROM artifact_chunks WHERE artifact = x'{0}'",
                  artifact.id.hex()));
  reopen();
  auto other = Store::open(root);
  const auto ref = other->find_chunk(hash_bytes(fake_chunk(10'000, 'x')));
  REQUIRE(ref);
  store->collect(UINT64_MAX);
  CHECK(other->read_chunk(*ref) == fake_chunk(10'000, 'x'));
  other.reset();
  store->collect(UINT64_MAX);
  CHECK_FALSE(fs::exists(root / "packs/1.pack"));
  const auto moved = store->find_chunk(hash_bytes(fake_chunk(10'000, 'x')));
  REQUIRE(moved);
  CHECK(moved->pack != ref->pack);
  CHECK(store->read_chunk(*moved) == fake_chunk(10'000, 'x'));
}

TEST_CASE_METHOD(Gc, "gc: chunks found but not yet used stay") {
  const std::string chunk = fake_chunk(1000, 'c');
  const Artifact artifact = put_artifact("a", {chunk});
  reopen();
  auto builder = Store::open(root);
  REQUIRE(builder->find_chunk(hash_bytes(chunk)));
  store->collect(0);
  CHECK_FALSE(has_artifact(artifact));
  builder->put_artifact(artifact);
  CHECK(has_artifact(artifact));
}

TEST_CASE_METHOD(Gc, "gc: logs of old builds go, their records and values stay") {
  store->put_value("app", "x", 1);
  for (int i = 0; i < 203; ++i) {
    const std::string id = fmt::format("20260101-000000-{:04}", i);
    store->put_build({.id = id, .app = "x", .status = i == 0 ? "running" : "succeeded"});
    write_file_atomic(store->log_path(id), "log");
  }
  store->collect(0);
  CHECK(fs::exists(store->log_path("20260101-000000-0000")));  // running
  CHECK_FALSE(fs::exists(store->log_path("20260101-000000-0001")));
  CHECK_FALSE(fs::exists(store->log_path("20260101-000000-0002")));
  CHECK(fs::exists(store->log_path("20260101-000000-0003")));
  CHECK(store->list_builds("x", 1000).size() == 203);
  CHECK(store->find_value("app", "x"));
}

TEST_CASE_METHOD(Gc, "disk usage tells what fills the store") {
  Lease lease = store->lease();
  make_snapshot(lease, 0, 1000, "stack");
  make_snapshot(lease, 0, 2000, "stack");
  make_snapshot(lease, 0, 500, "build");
  put_blob(std::string(10'000, 'x'));
  const DiskUsage usage = store->disk_usage();
  const auto row = [&](const std::string& kind) {
    for (const DiskUsage::Row& candidate : usage.rows)
      if (candidate.kind == kind) return candidate;
    return DiskUsage::Row{};
  };
  CHECK(row("snapshots: stack").count == 2);
  CHECK(row("snapshots: stack").size_bytes == 3000);
  CHECK(row("snapshots: build").size_bytes == 500);
  CHECK(row("blobs").count == 1);
  CHECK(row("blobs").size_bytes >= 10'000);
  CHECK(row("index").size_bytes > 0);
  uint64_t total = 0;
  for (const DiskUsage::Row& each : usage.rows) total += each.size_bytes;
  CHECK(usage.total_bytes == total);
}

TEST_CASE_METHOD(Gc, "the limit is the command layer's to set") {
  CHECK(store->limit_bytes() == 20ULL << 30);
  store->set_limit_bytes(5);
  CHECK(store->limit_bytes() == 5);
}
