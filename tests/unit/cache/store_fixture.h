// A store in a directory of the test's own, and small makers.
#pragma once

#include <sqlite3.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/files.h"
#include "cache/store.h"

namespace slipway::cache {

struct StoreFixture {
  TempDir dir = TempDir::create("store-test");
  fs::path root = dir.path() / "store";
  std::unique_ptr<Store> store = Store::open(root);

  void reopen() {
    store.reset();
    store = Store::open(root);
  }

  SnapshotId make_snapshot(Lease& lease, SnapshotId parent = 0, uint64_t size_bytes = 1000,
                           const std::string& kind = "build") {
    const SnapshotId id = store->allocate_snapshot(lease);
    make_directories(store->snapshots_dir() / std::to_string(id) / "fs");
    store->commit_snapshot({.id = id, .parent = parent, .kind = kind, .size_bytes = size_bytes});
    return id;
  }

  Digest put(const std::string& key_name, SnapshotId snapshot) {
    const Digest key = hash_bytes(key_name);
    store->put_result({key}, {.snapshot = snapshot, .content = hash_bytes("content " + key_name)},
                      "app/" + key_name, {});
    return key;
  }

  bool has_result(const std::string& key_name) {
    Lease lease = store->lease();
    return store->find_result(hash_bytes(key_name), lease).has_value();
  }

  /// Removes what gc gave up, like the worker does.
  void remove_stale() {
    const std::vector<SnapshotId> stale = store->stale_snapshots();
    for (const SnapshotId id : stale) remove_tree(store->snapshots_dir() / std::to_string(id));
    store->removed(stale);
  }

  /// Changes rows behind the store's back (ages, boots).
  void sql(const std::string& statement) const {
    sqlite3* handle = nullptr;
    REQUIRE(sqlite3_open((root / "index.sqlite").c_str(), &handle) == SQLITE_OK);
    sqlite3_busy_timeout(handle, 10'000);
    const int code = sqlite3_exec(handle, statement.c_str(), nullptr, nullptr, nullptr);
    const std::string message = sqlite3_errmsg(handle);
    sqlite3_close(handle);
    INFO(message);
    REQUIRE(code == SQLITE_OK);
  }
};

/// A made-up gzip member of `size` bytes.
inline std::string fake_chunk(size_t size, char fill) {
  std::string data(size, fill);
  data[0] = '\x1f';
  data[1] = '\x8b';
  return data;
}

/// Runs `call`, which must throw Error; returns it.
template <typename Call>
Error error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  FAIL("nothing was thrown");
  return Error(ExitCode::bug, "");
}

inline void flip_byte(const fs::path& file, size_t at) {
  std::string data = read_file(file);
  data.at(at) = static_cast<char>(data.at(at) ^ 0x40);
  const Fd fd = open_file(file.string(), O_WRONLY | O_TRUNC);
  write_all(fd.get(), data);
}

inline uint32_t mode_of(const fs::path& path) {
  struct stat info {};
  REQUIRE(lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

}  // namespace slipway::cache
