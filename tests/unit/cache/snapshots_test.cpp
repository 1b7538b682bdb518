#include "cache/store_fixture.h"

using namespace slipway;
using namespace slipway::cache;

TEST_CASE_METHOD(StoreFixture, "snapshots have numbers, parents and a chain") {
  Lease lease = store->lease();
  const SnapshotId base = make_snapshot(lease, 0, 10, "stack");
  const SnapshotId top = make_snapshot(lease, base, 20);
  CHECK(top != base);
  CHECK(store->chain(top) == std::vector<SnapshotId>{top, base});
  CHECK(store->chain(0).empty());
  const auto found = store->find_snapshot(base);
  REQUIRE(found);
  CHECK(found->kind == "stack");
  CHECK(found->size_bytes == 10);
  CHECK_FALSE(found->tree);
  const Error error = error_of([&] { (void)store->chain(999); });
  CHECK(error.code() == ExitCode::machine);
  CHECK(std::string(error.what()) == "snapshot 999 is not in the store");
}

TEST_CASE_METHOD(StoreFixture, "a snapshot without its directory is not committed") {
  Lease lease = store->lease();
  const SnapshotId id = store->allocate_snapshot(lease);
  const Error error = error_of([&] { store->commit_snapshot({.id = id}); });
  CHECK(error.code() == ExitCode::machine);
  CHECK_FALSE(store->find_snapshot(id));
  make_directories(store->snapshots_dir() / std::to_string(id) / "fs");
  CHECK_THROWS_AS(store->commit_snapshot({.id = id, .parent = 4711}), std::logic_error);
  store->commit_snapshot({.id = id});
  CHECK_THROWS_AS(store->commit_snapshot({.id = id}), std::logic_error);
}

TEST_CASE_METHOD(StoreFixture, "what was allocated is stale once its lease is gone") {
  SnapshotId id = 0;
  {
    Lease lease = store->lease();
    id = store->allocate_snapshot(lease);
    make_directories(store->snapshots_dir() / std::to_string(id) / "fs");
    CHECK(store->stale_snapshots().empty());
    CHECK(Store::open(root)->stale_snapshots().empty());
  }
  CHECK(store->stale_snapshots() == std::vector<SnapshotId>{id});
  // Not removed yet: it stays stale.
  store->removed({id});
  CHECK(store->stale_snapshots() == std::vector<SnapshotId>{id});
  remove_stale();
  CHECK(store->stale_snapshots().empty());
  Lease lease = store->lease();
  CHECK(store->allocate_snapshot(lease) > id);
}

TEST_CASE_METHOD(StoreFixture, "a number whose directory exists is never given out") {
  Lease lease = store->lease();
  const SnapshotId first = store->allocate_snapshot(lease);
  make_directories(store->snapshots_dir() / std::to_string(first + 1) / "fs");
  make_directories(store->snapshots_dir() / std::to_string(first + 2) / "fs");
  make_directories(store->snapshots_dir() / "not-a-number");
  CHECK(store->allocate_snapshot(lease) == first + 3);
  CHECK(store->stale_snapshots() == std::vector<SnapshotId>{first + 1, first + 2});
}

TEST_CASE_METHOD(StoreFixture, "results come back with all they hold") {
  Lease lease = store->lease();
  const SnapshotId id = make_snapshot(lease);
  const Digest tree = store->put_tree({});
  const std::string output("a\0\xff\n", 4);
  Ledger ledger;
  ledger.items = {{"argv", "make"}, {"file \xff\xfe", "x"}, {"argv", ""}};
  ledger.trees = {{"source", tree}};
  store->put_result({hash_bytes("definition"), hash_bytes("content")},
                    {.snapshot = id,
                     .content = hash_bytes("c"),
                     .stdout_text = output,
                     .exit_code = 3,
                     .extra = {{"commit", "abc"}},
                     .trees = {tree}},
                    "app/compile", ledger);
  reopen();
  Lease fresh = store->lease();
  for (const char* key : {"definition", "content"}) {
    const auto result = store->find_result(hash_bytes(key), fresh);
    REQUIRE(result);
    CHECK(result->snapshot == id);
    CHECK(result->content == hash_bytes("c"));
    CHECK(result->stdout_text == output);
    CHECK(result->exit_code == 3);
    CHECK(result->extra["commit"] == "abc");
    CHECK(result->trees == std::vector<Digest>{tree});
  }
  CHECK_FALSE(store->find_result(hash_bytes("other"), fresh));
  const auto found = store->last_ledger("app/compile");
  REQUIRE(found);
  CHECK(found->items == ledger.items);
  REQUIRE(found->trees.size() == 1);
  CHECK(found->trees[0] == std::pair<std::string, Digest>("source", tree));
  CHECK_FALSE(store->last_ledger("app/other"));
}

TEST_CASE_METHOD(StoreFixture, "a result replaces what its keys led to") {
  store->put_result({hash_bytes("a"), hash_bytes("b")}, {.exit_code = 1}, "s", {});
  store->put_result({hash_bytes("a")}, {.exit_code = 2}, "s", {});
  Lease lease = store->lease();
  CHECK(store->find_result(hash_bytes("a"), lease)->exit_code == 2);
  CHECK(store->find_result(hash_bytes("b"), lease)->exit_code == 1);
  store->put_result({hash_bytes("b")}, {.exit_code = 3}, "s", {});
  CHECK(store->find_result(hash_bytes("b"), lease)->exit_code == 3);
}

TEST_CASE_METHOD(StoreFixture, "a result misses when its layer, a parent or a listing is gone") {
  Lease lease = store->lease();
  const SnapshotId base = make_snapshot(lease);
  const SnapshotId top = make_snapshot(lease, base);
  archive::Tree tree;
  tree.entries.push_back({.path = "x", .type = archive::EntryType::directory, .mode = 0755});
  const Digest listing = store->put_tree(tree);
  const fs::path file = root / "trees" / listing.hex().substr(0, 2) / listing.hex();
  put("top", top);
  put("base", base);
  store->put_result({hash_bytes("listed")}, {.trees = {listing}}, "s", {});
  CHECK(has_result("top"));
  CHECK(has_result("listed"));
  fs::rename(store->snapshots_dir() / std::to_string(base), dir.path() / "away");
  CHECK_FALSE(has_result("top"));
  fs::rename(dir.path() / "away", store->snapshots_dir() / std::to_string(base));
  CHECK_FALSE(has_result("top"));  // dropped, not only hidden
  CHECK(has_result("base"));
  fs::remove(file);
  CHECK_FALSE(has_result("listed"));
  // And what is gone cannot be stored under a key again.
  const Error error =
      error_of([&] { store->put_result({hash_bytes("again")}, {.trees = {listing}}, "s", {}); });
  CHECK(error.code() == ExitCode::machine);
}

TEST_CASE_METHOD(StoreFixture, "a damaged listing is told once and then missing") {
  archive::Tree tree;
  tree.entries.push_back({.path = "x", .type = archive::EntryType::directory, .mode = 0755});
  const Digest id = store->put_tree(tree);
  CHECK(store->read_tree(id).entries == tree.entries);
  const fs::path file = root / "trees" / id.hex().substr(0, 2) / id.hex();
  store->put_result({hash_bytes("k")}, {.trees = {id}}, "s", {});
  flip_byte(file, 20);
  const Error error = error_of([&] { (void)store->read_tree(id); });
  CHECK(error.code() == ExitCode::machine);
  CHECK(std::string(error.what()) == "listing " + id.hex() + " in the store is damaged");
  CHECK_FALSE(has_result("k"));
  CHECK(store->put_tree(tree) == id);
  CHECK(store->read_tree(id).entries == tree.entries);
  // Cut short it is written anew, too.
  fs::resize_file(file, 3);
  CHECK(store->put_tree(tree) == id);
  CHECK(store->read_tree(id).entries == tree.entries);
}

TEST_CASE_METHOD(StoreFixture, "what was not synced before the machine went down is discarded") {
  SnapshotId synced = 0, lost = 0, on_synced = 0;
  {
    Lease lease = store->lease();
    synced = make_snapshot(lease);
    put("synced", synced);
    store->sync();
    lost = make_snapshot(lease);
    on_synced = make_snapshot(lease, synced);
    put("lost", lost);
    put("on synced", on_synced);
    put("late", synced);
    store->set_app_cache("app", lost);
  }
  store.reset();
  // Same boot: all is there.
  store = Store::open(root);
  CHECK(has_result("lost"));
  CHECK(store->app_cache("app") == lost);
  store.reset();
  for (const char* table : {"snapshots", "results", "ledgers"})
    sql(fmt::format("UPDATE {} SET boot = 'earlier'", table));
  sql("UPDATE meta SET value = 'earlier' WHERE name = 'boot'");
  store = Store::open(root);
  CHECK(has_result("synced"));
  CHECK_FALSE(has_result("lost"));
  CHECK_FALSE(has_result("on synced"));
  CHECK_FALSE(has_result("late"));
  CHECK(store->app_cache("app") == 0);
  CHECK(store->stale_snapshots() == std::vector<SnapshotId>{lost, on_synced});
  REQUIRE(store->warnings().size() == 1);
  CHECK(store->warnings()[0] ==
        "2 snapshots were not safely on disk when the machine went down; they are made again");
  reopen();
  CHECK(store->warnings().empty());
}

TEST_CASE_METHOD(StoreFixture, "an app's cache is replaced, the old one dropped") {
  Lease own = store->lease();
  SnapshotId first = 0, second = 0;
  {
    Lease lease = store->lease();
    first = make_snapshot(lease, 0, 10, "cache");
    store->set_app_cache("app", first);
  }
  CHECK(store->app_cache("app") == first);
  CHECK(store->app_cache("other") == 0);
  {
    Lease lease = store->lease();
    second = make_snapshot(lease, 0, 10, "cache");
    store->set_app_cache("app", second);
  }
  CHECK(store->stale_snapshots() == std::vector<SnapshotId>{first});
  remove_stale();
  // A build that restored it keeps the old one until it ends.
  own.protect_snapshot(second);
  store->set_app_cache("app", 0);
  CHECK(store->app_cache("app") == 0);
  CHECK(store->stale_snapshots().empty());
  CHECK(store->find_snapshot(second));
}
