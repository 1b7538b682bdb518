#include "base/files.h"

#include <unistd.h>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"

using namespace slipway;

TEST_CASE("an AtomicFile that is not committed leaves nothing behind") {
  const TempDir dir = TempDir::create("files-test");
  {
    AtomicFile file(dir.path() / "x");
    write_all(file.fd(), "half");
  }
  CHECK(fs::is_empty(dir.path()));
  write_file_atomic(dir.path() / "x", "whole");
  CHECK(read_file(dir.path() / "x") == "whole");
}

TEST_CASE("remove_tree takes read-only trees and never follows links (CACHE-5)") {
  const TempDir dir = TempDir::create("files-test");
  const fs::path outside = dir.path() / "outside";
  make_directories(outside);
  write_file_atomic(outside / "canary", "alive");
  make_directories(dir.path() / "tree/a/b");
  write_file_atomic(dir.path() / "tree/a/b/f", "x", 0444);
  fs::create_symlink(outside, dir.path() / "tree/link");
  fs::permissions(dir.path() / "tree/a/b", fs::perms(0555));
  fs::permissions(dir.path() / "tree/a", fs::perms(0555));
  remove_tree(dir.path() / "tree");
  CHECK_FALSE(fs::exists(dir.path() / "tree"));
  CHECK(read_file(outside / "canary") == "alive");
}

TEST_CASE("open_in_root keeps links inside") {
  const TempDir dir = TempDir::create("files-test");
  make_directories(dir.path() / "root/etc");
  write_file_atomic(dir.path() / "root/etc/passwd", "inside");
  fs::create_symlink("/etc/passwd", dir.path() / "root/absolute");
  fs::create_symlink("../../../../etc/passwd", dir.path() / "root/dots");
  const Fd root = open_file((dir.path() / "root").string(), O_RDONLY | O_DIRECTORY);
  CHECK(read_all(open_in_root(root.get(), "absolute", O_RDONLY).get()) == "inside");
  CHECK(read_all(open_in_root(root.get(), "dots", O_RDONLY).get()) == "inside");
  CHECK_FALSE(try_open_beneath(root.get(), "absolute", O_RDONLY));
}

TEST_CASE("key fields cannot be confused with one another (threat 18)") {
  const Digest ab_c = KeyBuilder("k").add("x", "ab").add("y", "c").finish();
  const Digest a_bc = KeyBuilder("k").add("x", "a").add("y", "bc").finish();
  CHECK(ab_c != a_bc);
  CHECK(Digest::from_hex(ab_c.hex()) == ab_c);
  CHECK_THROWS_WITH(Digest::from_hex("../../etc"), "'../../etc' is not a digest");
}

TEST_CASE("messages of any size and their descriptors arrive whole") {
  auto [left, right] = make_socket_pair();
  for (const size_t size : {size_t{0}, size_t{10}, size_t{300'000}}) {
    const Fd extra = open_file("/dev/null", O_RDONLY);
    send_message(left.get(), std::string(size, 'x'), {extra.get()});
    std::string data;
    std::vector<Fd> fds;
    REQUIRE(receive_message(right.get(), data, fds));
    CHECK(data.size() == size);
    CHECK(fds.size() == 1);
  }
  left.reset();
  std::string data;
  std::vector<Fd> fds;
  CHECK_FALSE(receive_message(right.get(), data, fds));
}

TEST_CASE("JSON mistakes are told with file, line and column") {
  try {
    (void)parse_json("{\n  \"a\": 1,\n  b\n}", "app.json");
    FAIL("accepted");
  } catch (const Error& error) {
    REQUIRE(error.pos());
    CHECK(error.pos()->to_string() == "app.json:3:3");
    CHECK(error.code() == ExitCode::app_files);
  }
  CHECK_THROWS_WITH(parse_json("[1e999]", "x.json"),
                    "x.json: not valid JSON: number overflow parsing '1e999'");
  CHECK_THROWS_WITH(parse_json(std::string(300, '['), "x.json"),
                    "x.json: nested deeper than 200 levels");
}
