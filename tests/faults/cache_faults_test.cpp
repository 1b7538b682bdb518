// The store under fire: killed writers, lost and damaged files, several processes at once, a full
// or read-only disk. After each: a clean store or a clear message, and the next run works.
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "cache/store_fixture.h"

using namespace slipway;
using namespace slipway::cache;

namespace {

constexpr int child_failed = 99, child_skipped = 77;

/// Runs `body` in a forked process; the child never returns into the test runner.
template <typename Body>
pid_t fork_child(const Body& body) {
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid != 0) return pid;
  int code = child_failed;
  try {
    code = body();
  } catch (const std::exception& error) {
    const std::string text = std::string("child: ") + error.what() + "\n";
    if (write(STDERR_FILENO, text.data(), text.size()) < 0) code = child_failed;
  }
  _exit(code);
}

int wait_child(pid_t pid) {
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

archive::Tree tree_of(const std::string& name) {
  archive::Tree tree;
  tree.entries.push_back({.path = name, .type = archive::EntryType::directory, .mode = 0755});
  return tree;
}

SnapshotId add_snapshot(Store& store, Lease& lease, SnapshotId parent, const Digest& tree) {
  const SnapshotId id = store.allocate_snapshot(lease);
  make_directories(store.snapshots_dir() / std::to_string(id) / "fs");
  store.commit_snapshot(
      {.id = id, .parent = parent, .kind = "build", .size_bytes = 1, .tree = tree});
  return id;
}

std::string put_blob(Store& store, const std::string& content) {
  BlobWriter writer = store.write_blob();
  writer.write(content.data(), content.size());
  return writer.commit();
}

Artifact put_artifact(Store& store, Lease& lease, const std::string& name) {
  PackWriter pack = store.write_pack(lease);
  Artifact artifact{.id = hash_bytes(name), .sha256 = std::string(64, 'a')};
  for (const char part : {'a', 'b'}) {
    const std::string chunk = fake_chunk(2000, part) + name;
    pack.put(hash_bytes(chunk), chunk.data(), chunk.size(), 1);
    artifact.chunks.push_back(hash_bytes(chunk));
    artifact.size_bytes += chunk.size();
  }
  pack.commit();
  store.put_artifact(artifact);
  return artifact;
}

/// One small build; everything the store can do.
void build_something(Store& store, int round) {
  Lease lease = store.lease();
  const std::string name = std::to_string(round);
  const Digest tree = store.put_tree(tree_of("d" + name));
  const SnapshotId base = add_snapshot(store, lease, 0, tree);
  const SnapshotId top = add_snapshot(store, lease, base, tree);
  store.put_result({hash_bytes("key " + name)}, {.snapshot = top, .trees = {tree}}, "app/step", {});
  put_blob(store, "blob " + name);
  put_artifact(store, lease, "artifact " + name);
  store.set_app_cache("app", base);
  store.sync();
  if (round % 5 == 0) store.collect(round % 10 == 0 ? 0 : 3000);
}

void remove_stale(Store& store) {
  const auto stale = store.stale_snapshots();
  for (const SnapshotId id : stale) remove_tree(store.snapshots_dir() / std::to_string(id));
  store.removed(stale);
}

size_t count_entries(const fs::path& directory) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(directory), {}));
}

void check_clean(Store& store) {
  for (const VerifyProblem& problem : store.verify()) {
    INFO(problem.what << ": " << problem.problem);
    CHECK(false);
  }
  CHECK(count_entries(store.root() / "tmp") == 0);
  remove_stale(store);
  CHECK(store.stale_snapshots().empty());
  const int round = 1'000'001;
  build_something(store, round);
  Lease lease = store.lease();
  CHECK(store.find_result(hash_bytes("key " + std::to_string(round)), lease));
  CHECK(store.find_artifact(hash_bytes("artifact " + std::to_string(round)), lease));
}

/// Runs `body` in a child that sees a small filesystem of its own at `where`; 77 = not possible.
template <typename Body>
int on_small_disk(const fs::path& where, const char* options, const Body& body) {
  return wait_child(fork_child([&] {
    const uid_t uid = geteuid();
    const gid_t gid = getegid();
    if (unshare(CLONE_NEWNS | (uid == 0 ? 0 : CLONE_NEWUSER)) != 0) return child_skipped;
    if (uid != 0) {
      std::ofstream("/proc/self/setgroups") << "deny";
      std::ofstream("/proc/self/uid_map") << fmt::format("{0} {0} 1", uid);
      std::ofstream("/proc/self/gid_map") << fmt::format("{0} {0} 1", gid);
    }
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return child_skipped;
    if (mount("tmpfs", where.c_str(), "tmpfs", 0, options) != 0) return child_skipped;
    return body();
  }));
}

#define CHILD_CHECK(condition)                                                        \
  do {                                                                                \
    if (!(condition))                                                                 \
      throw std::runtime_error("line " + std::to_string(__LINE__) + ": " #condition); \
  } while (0)

}  // namespace

TEST_CASE("faults: a writer killed at any instant leaves a whole store") {
  const TempDir dir = TempDir::create("store-faults");
  const fs::path root = dir.path() / "store";
  std::mt19937 random(20260101);
  int64_t acknowledged = -1;
  for (int round = 0; round < 40; ++round) {
    const Pipe pipe = Pipe::create();
    const pid_t pid = fork_child([&] {
      auto store = Store::open(root);
      for (int64_t i = acknowledged + 1;; ++i) {
        build_something(*store, static_cast<int>(i));
        store->put_value("test", "counter", i);
        write_all(pipe.write.get(), &i, sizeof i);
      }
      return 0;
    });
    // The first rounds fall into the creation of the store itself.
    std::this_thread::sleep_for(
        std::chrono::microseconds(random() % (round < 15 ? 6'000 : 80'000)));
    kill(pid, SIGKILL);
    REQUIRE(wait_child(pid) == 128 + SIGKILL);
    pollfd event{pipe.read.get(), POLLIN, 0};
    while (poll(&event, 1, 0) > 0 && (event.revents & POLLIN) != 0) {
      int64_t number = 0;
      read_exact(pipe.read.get(), &number, sizeof number);
      acknowledged = std::max(acknowledged, number);
    }
    INFO("round " << round << ", acknowledged " << acknowledged);
    auto store = Store::open(root);
    CHECK(store->warnings().empty());
    if (acknowledged >= 0) {
      const auto value = store->find_value("test", "counter");
      REQUIRE(value);
      CHECK(value->get<int64_t>() >= acknowledged);
    }
    check_clean(*store);
  }
  CHECK(acknowledged >= 0);
}

TEST_CASE("faults: several processes open a new store and allocate at once") {
  const TempDir dir = TempDir::create("store-faults");
  for (int round = 0; round < 5; ++round) {
    const fs::path root = dir.path() / ("store" + std::to_string(round));
    constexpr int processes = 4, each = 25;
    const Pipe pipe = Pipe::create();
    std::vector<pid_t> children;
    for (int child = 0; child < processes; ++child)
      children.push_back(fork_child([&] {
        auto store = Store::open(root);
        CHILD_CHECK(store->warnings().empty());
        Lease lease = store->lease();
        for (int i = 0; i < each; ++i) {
          const SnapshotId id = add_snapshot(*store, lease, 0, {});
          write_all(pipe.write.get(), &id, sizeof id);
          store->put_value("test", fmt::format("{} {}", child, i), id);
          if (i % 10 == 0) store->collect(0);
        }
        return 0;
      }));
    for (const pid_t pid : children) CHECK(wait_child(pid) == 0);
    std::set<SnapshotId> ids;
    for (int i = 0; i < processes * each; ++i) {
      SnapshotId id = 0;
      read_exact(pipe.read.get(), &id, sizeof id);
      ids.insert(id);
    }
    CHECK(ids.size() == processes * each);
    auto store = Store::open(root);
    CHECK(store->list_values("test").size() == processes * each);
    check_clean(*store);
  }
}

TEST_CASE("faults: processes build, look up and collect at once") {
  const TempDir dir = TempDir::create("store-faults");
  const fs::path root = dir.path() / "store";
  (void)Store::open(root);
  std::vector<pid_t> children;
  for (int child = 0; child < 3; ++child)
    children.push_back(fork_child([&] {
      auto store = Store::open(root);
      for (int i = 0; i < 30; ++i) {
        Lease lease = store->lease();
        const Digest key = hash_bytes(fmt::format("key {} {}", child, i));
        const Digest tree = store->put_tree(tree_of(fmt::format("{}-{}", child, i)));
        const SnapshotId id = add_snapshot(*store, lease, 0, tree);
        store->put_result({key}, {.snapshot = id, .trees = {tree}}, "s", {});
        const std::string name = fmt::format("{} {}", child, i);
        lease.protect_artifact(hash_bytes(name));
        const Artifact artifact = put_artifact(*store, lease, name);
        store->collect(0);
        // Under our lease nothing of it may go, whatever the others collect.
        CHILD_CHECK(store->find_snapshot(id));
        CHILD_CHECK(store->read_tree(tree).entries.size() == 1);
        const Fd null = open_file("/dev/null", O_WRONLY);
        store->write_artifact(artifact, null.get());
        if (const auto found = store->find_result(key, lease))
          CHILD_CHECK(store->read_tree(found->trees.at(0)).entries.size() == 1);
      }
      return 0;
    }));
  for (const pid_t pid : children) CHECK(wait_child(pid) == 0);
  check_clean(*Store::open(root));
}

TEST_CASE_METHOD(StoreFixture, "faults: a lost index is started anew and said") {
  build_something(*store, 1);
  const std::string blob = put_blob(*store, "kept");
  auto holder = Store::open(root);
  Lease lease = holder->lease();
  const SnapshotId held = make_snapshot(lease);
  store.reset();
  for (const char* suffix : {"", "-wal", "-shm"})
    fs::remove(root / (std::string("index.sqlite") + suffix));
  store = Store::open(root);
  REQUIRE(store->warnings().size() == 1);
  CHECK(store->warnings()[0] ==
        "the store's index was lost; a new one was started, 0 settings, downloads and build "
        "records were "
        "kept, cached results are made again when they are needed");
  CHECK_FALSE(has_result("key 1"));
  // Blobs prove themselves by their name.
  CHECK(store->has_blob(blob));
  // A lease outlives the index: the layer it holds is not stale, the others are.
  const auto stale = store->stale_snapshots();
  CHECK(stale.size() == 2);
  CHECK(std::find(stale.begin(), stale.end(), held) == stale.end());
  Lease fresh = store->lease();
  CHECK(store->allocate_snapshot(fresh) > held);
}

TEST_CASE_METHOD(StoreFixture, "faults: a damaged index is set aside, settings are kept") {
  for (int i = 0; i < 20; ++i) build_something(*store, i + 1);
  for (int i = 0; i < 50; ++i) store->put_value("app", std::to_string(i), std::string(100, 'v'));
  store->put_build({.id = "b1", .app = "a", .status = "succeeded"});
  store.reset();
  const fs::path index = root / "index.sqlite";
  std::string expected = "was damaged";
  size_t kept = 0;
  SECTION("no database at all") {
    write_file_atomic(index, std::string(8192, 'x'), 0600);
  }
  SECTION("empty") {
    write_file_atomic(index, "", 0600);
    expected = "was empty";
  }
  SECTION("marked while it was used") {
    write_file_atomic(root / "index.sqlite.damaged", "", 0600);
    kept = 51;
  }
  store = Store::open(root);
  REQUIRE(store->warnings().size() == 1);
  CHECK(store->warnings()[0] ==
        fmt::format(
            "the store's index {} and is set aside as index.sqlite.bad-1; a new one was "
            "started, {} settings, downloads and build records were kept, cached results are made "
            "again when they are needed",
            expected, kept));
  CHECK(fs::exists(root / "index.sqlite.bad-1"));
  CHECK_FALSE(fs::exists(root / "index.sqlite.damaged"));
  CHECK(mode_of(root / "index.sqlite") == 0600);
  CHECK(store->list_values("app").size() == (kept > 0 ? 50 : 0));
  CHECK(store->find_build("b1").has_value() == (kept > 0));
  CHECK_FALSE(has_result("key 19"));
  check_clean(*store);
  reopen();
  CHECK(store->warnings().empty());
}

TEST_CASE_METHOD(StoreFixture, "faults: an index cut short anywhere never wedges the store") {
  for (int i = 0; i < 10; ++i) build_something(*store, i + 1);
  store.reset();
  const std::string whole = read_file(root / "index.sqlite");
  for (size_t size = 1; size < whole.size(); size += 3000) {
    fs::remove(root / "index.sqlite-wal");
    write_file_atomic(root / "index.sqlite", whole.substr(0, size), 0600);
    INFO(size);
    bool worked = false;
    // At most: met in use, set aside at the next open, works.
    for (int attempt = 0; attempt < 3 && !worked; ++attempt) {
      try {
        auto opened = Store::open(root);
        build_something(*opened, 1000);
        worked = opened->verify().empty();
      } catch (const Error& error) {
        CHECK(error.code() == ExitCode::machine);
        CHECK_THAT(error.what(), Catch::Contains("index"));
      }
    }
    CHECK(worked);
  }
}

TEST_CASE_METHOD(StoreFixture, "faults: bytes flipped in the index never wedge the store") {
  for (int i = 0; i < 10; ++i) build_something(*store, i + 1);
  store.reset();
  const std::string whole = read_file(root / "index.sqlite");
  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    fs::remove(root / "index.sqlite-wal");
    std::string bad = whole;
    for (size_t i = 0; i < 20; ++i)
      bad[round == 0 ? i : random() % bad.size()] ^= static_cast<char>(1 + random() % 255);
    write_file_atomic(root / "index.sqlite", bad, 0600);
    INFO("round " << round);
    bool worked = false;
    std::string message;
    for (int attempt = 0; attempt < 4 && !worked; ++attempt) {
      try {
        auto opened = Store::open(root);
        (void)opened->verify();
        build_something(*opened, 1000);
        Lease lease = opened->lease();
        (void)opened->find_result(hash_bytes("key 3"), lease);
        (void)opened->list_builds("", 10);
        worked = true;
      } catch (const Error& error) {
        message = error.what();
        CHECK(error.code() == ExitCode::machine);
      }
    }
    INFO(message);
    CHECK(worked);
  }
}

TEST_CASE_METHOD(StoreFixture, "faults: a process whose index was replaced says so") {
  auto other = Store::open(root);
  write_file_atomic(root / "index.sqlite.damaged", "", 0600);
  reopen();
  REQUIRE(store->warnings().size() == 1);
  const Error error = error_of([&] { other->put_value("a", "b", 1); });
  CHECK(error.code() == ExitCode::machine);
  CHECK(error.what() == "the store's index " + (root / "index.sqlite").string() +
                            " was replaced while it was used");
  CHECK(error.hint() == "run the command again");
}

TEST_CASE("faults: a full disk is told, and the store is whole afterwards") {
  const TempDir dir = TempDir::create("store-faults");
  int skipped = 0;
  // So that another write fails each time.
  for (const int free_kib : {0, 16, 40, 64, 100, 160, 256, 400, 600, 900, 1300}) {
    const int code = on_small_disk(dir.path(), "size=6m,mode=0700", [&] {
      const fs::path root = dir.path() / "store";
      const fs::path filler = dir.path() / "filler";
      {
        auto store = Store::open(root);
        for (int i = 0; i < 8; ++i) build_something(*store, 1 + 2 * i);
        store->put_value("app", "x", 1);
      }
      const fs::space_info space = fs::space(dir.path());
      Fd fd = open_file(filler.string(), O_WRONLY | O_CREAT, 0600);
      const auto fill = static_cast<off_t>(space.available) - free_kib * 1024;
      CHILD_CHECK(posix_fallocate(fd.get(), 0, fill) == 0);
      fd.reset();
      bool failed = false;
      try {
        auto store = Store::open(root);
        for (int i = 0; i < 400; ++i) {
          build_something(*store, 101 + 2 * i);
          put_blob(*store, std::string(8192, static_cast<char>(i)) + std::to_string(i));
        }
      } catch (const Error& error) {
        failed = true;
        CHILD_CHECK(error.code() == ExitCode::machine);
        if (std::string(error.what()).find("No space left on device") == std::string::npos) throw;
        CHILD_CHECK(error.hint().find("slipway cache prune") != std::string::npos);
      }
      CHILD_CHECK(failed);
      {
        // Pruning works while the disk is full, and makes room.
        auto store = Store::open(root);
        store->collect(0);
        remove_stale(*store);
        CHILD_CHECK(store->verify().empty());
        CHILD_CHECK(store->find_value("app", "x"));
      }
      {
        auto store = Store::open(root);
        CHILD_CHECK(store->warnings().empty());
      }
      fs::remove(filler);
      auto store = Store::open(root);
      CHILD_CHECK(store->verify().empty());
      build_something(*store, 1);
      return 0;
    });
    INFO("free: " << free_kib << " KiB");
    if (code == child_skipped)
      ++skipped;
    else
      CHECK(code == 0);
  }
  if (skipped > 0) WARN("skipped: this machine lets us mount no tmpfs");
}

TEST_CASE("faults: a read-only disk is told") {
  const TempDir dir = TempDir::create("store-faults");
  const int code = on_small_disk(dir.path(), "size=6m,mode=0700", [&] {
    const fs::path root = dir.path() / "store";
    build_something(*Store::open(root), 1);
    CHILD_CHECK(mount(nullptr, dir.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0);
    const auto message = [](const fs::path& path) {
      try {
        (void)Store::open(path);
      } catch (const Error& error) {
        CHILD_CHECK(error.code() == ExitCode::machine);
        CHILD_CHECK(error.hint() == "set SLIPWAY_HOME to a directory that can be written");
        return std::string(error.what());
      }
      return std::string("opened");
    };
    const std::string old_store = message(root);
    if (old_store != "write to the store " + root.string() + ": Read-only file system")
      throw std::runtime_error(old_store);
    const std::string new_store = message(dir.path() / "new");
    if (new_store !=
        "create the store " + (dir.path() / "new").string() + ": Read-only file system")
      throw std::runtime_error(new_store);
    return 0;
  });
  if (code == child_skipped)
    WARN("skipped: this machine lets us mount no tmpfs");
  else
    CHECK(code == 0);
}
