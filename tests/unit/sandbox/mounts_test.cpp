#include "sandbox/mounts.h"

#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "catch2/catch.hpp"

using namespace slipway;
using namespace slipway::sandbox;
using Catch::Matchers::Contains;

namespace {

struct Root {
  TempDir dir = TempDir::create("slipway-mounts");
  fs::path root = dir.path() / "root";
  Fd fd;
  Root() {
    make_directories(root);
    make_directories(dir.path() / "canary");
    fd = open_file(root.string(), O_RDONLY | O_DIRECTORY);
  }
  bool canary_untouched() const { return fs::is_empty(dir.path() / "canary"); }
  graph::Owner self() const { return {geteuid(), getegid()}; }
};

}  // namespace

TEST_CASE("mounts: a mount point is made with its parents and leaves no trace") {
  Root at;
  make_directories(at.root / "there");
  {
    MountPoints points(at.fd.get());
    const Fd made = points.prepare("/there/a//b/./c/", true, 0700, at.self());
    CHECK(path_of(made.get()) == (at.root / "there/a/b/c").string());
    const Fd file = points.prepare("/there/file", false, 0644, at.self());
    CHECK(fs::is_regular_file(at.root / "there/file"));
    points.clean_up();
  }
  CHECK(fs::is_directory(at.root / "there"));
  CHECK(fs::is_empty(at.root / "there"));
}

TEST_CASE("mounts: only what was made is removed, and only while it is the same and empty (5)") {
  Root at;
  MountPoints points(at.fd.get());
  (void)points.prepare("/used/dir", true, 0755, at.self());
  (void)points.prepare("/swapped", true, 0755, at.self());
  (void)points.prepare("/file", false, 0644, at.self());
  write_file_atomic(at.root / "used/dir/kept", "x");
  fs::rename(at.root / "swapped", at.root / "moved");
  make_directories(at.root / "swapped");
  write_file_atomic(at.root / "file", "content");
  points.clean_up();
  CHECK(fs::exists(at.root / "used/dir/kept"));
  CHECK(fs::exists(at.root / "swapped"));
  CHECK(read_file(at.root / "file") == "content");
}

TEST_CASE("mounts: links are followed inside the root only (2, 10)") {
  Root at;
  make_directories(at.root / "etc");
  fs::create_symlink(at.dir.path() / "canary", at.root / "absolute");
  fs::create_symlink("../../../canary", at.root / "etc/up");
  fs::create_symlink("../run/a/b", at.root / "etc/dangling");
  fs::create_symlink("loop", at.root / "loop");
  MountPoints points(at.fd.get());
  const auto inside = [&](const std::string& path) {
    const Fd made = points.prepare(path, true, 0755, at.self());
    return path_of(made.get()).substr(at.root.string().size());
  };
  CHECK(inside("/etc/up/x") == "/canary/x");
  CHECK(inside("/etc/dangling/x") == "/run/a/b/x");
  CHECK(inside("/absolute/x") == (at.dir.path() / "canary/x").string());
  CHECK_THROWS_AS(points.prepare("/loop/x", true), Error);
  CHECK(at.canary_untouched());
}

TEST_CASE("mounts: a root that is changed while a mount point is made leads nowhere else (2)") {
  Root at;
  make_directories(at.root / "way");
  fs::create_symlink(at.dir.path() / "canary", at.root / "trap");
  fs::create_symlink("../canary", at.root / "trap2");
  std::atomic<bool> stop{false};
  std::thread racer([&] {
    while (!stop)
      for (const char* other : {"trap", "trap2"})
        syscall(SYS_renameat2, at.fd.get(), "way", at.fd.get(), other, RENAME_EXCHANGE);
  });
  size_t outside = 0;
  for (int round = 0; round < 20000; ++round) {
    MountPoints points(at.fd.get());
    try {
      const Fd made = points.prepare("/way/deep/place", true, 0755, at.self());
      outside += starts_with(path_of(made.get()), at.root.string() + "/") ? 0 : 1;
    } catch (const Error&) {
      // Losing the race with an error is fine.
    }
    points.clean_up();
  }
  stop = true;
  racer.join();
  CHECK(outside == 0);
  CHECK(at.canary_untouched());
}

TEST_CASE("mounts: names past the limits are errors, not surprises") {
  Root at;
  MountPoints points(at.fd.get());
  CHECK_THROWS_AS(points.prepare("/" + std::string(300, 'n'), true), Error);
  CHECK_THROWS_AS(points.prepare("/a/../../b", true), Error);
}
