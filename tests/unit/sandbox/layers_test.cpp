#include "sandbox/layers.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "sandbox/layer_state.h"

using namespace slipway;
using namespace slipway::sandbox;
using archive::EntryType;
using archive::Tree;
using Catch::Matchers::Contains;

namespace {

constexpr int64_t some_time = 1'700'000'000'123'456'789;

struct Layer {
  TempDir temp = TempDir::create("layers-test");
  Fd dir = open_file(temp.path().string(), O_RDONLY | O_DIRECTORY);
  fs::path operator/(const std::string& name) const { return temp.path() / name; }
  ScanResult scan(const std::string& state = {}) const {
    return scan_layers({dir.get()}, 1, "", {}, state);
  }
};

bool is_root() {
  return geteuid() == 0;
}

struct stat info_of(const fs::path& path) {
  struct stat info {};
  REQUIRE(lstat(path.c_str(), &info) == 0);
  return info;
}

Fd content(const Layer& layer, const std::string& text) {
  write_file_atomic(layer / "content", text);
  Fd fd = open_file((layer / "content").string(), O_RDONLY);
  fs::remove(layer / "content");
  return fd;
}

std::vector<std::string> paths(const Tree& tree) {
  std::vector<std::string> list;
  for (const auto& entry : tree.entries) list.push_back(entry.path);
  return list;
}

}  // namespace

TEST_CASE("a layer writer sets modes, owners and times exactly, whatever the umask") {
  const Layer layer, scratch;
  const mode_t before = umask(0077);
  const auto writer = make_layer_writer(layer.dir.get(), !is_root());
  writer->directory("ro", 0555, {1000, 1001}, some_time);
  writer->file("ro/f", 04711, {1000, 1001}, some_time, 5, content(scratch, "hello and more"));
  writer->symlink("ro/l", "../../etc/passwd", {1000, 1001}, -1);
  writer->directory("ro/deep", 0777, {0, 0}, some_time + 1);
  writer->whiteout("gone");
  writer->finish();
  umask(before);

  CHECK(read_file(layer / "ro/f") == "hello");
  const struct stat file = info_of(layer / "ro/f");
  CHECK((file.st_mode & 07777) == 04711);
  CHECK(file.st_mtim.tv_nsec == 123'456'789);
  CHECK((info_of(layer / "ro").st_mode & 07777) == 0555);
  CHECK(info_of(layer / "ro").st_mtim.tv_sec == 1'700'000'000);
  CHECK((info_of(layer / "ro/deep").st_mode & 07777) == 0777);
  CHECK(fs::read_symlink(layer / "ro/l") == "../../etc/passwd");
  CHECK(info_of(layer / "ro/l").st_mtim.tv_sec == -1);
  CHECK(info_of(layer / "ro/l").st_mtim.tv_nsec == 999'999'999);
  const struct stat hidden = info_of(layer / "gone");
  CHECK((S_ISCHR(hidden.st_mode) && hidden.st_rdev == makedev(0, 0)));
  if (is_root()) {
    CHECK(file.st_uid == 1000);
    CHECK(info_of(layer / "ro").st_gid == 1001);
    CHECK(info_of(layer / "ro/l").st_uid == 1000);
  }
  CHECK(layer.scan().tree.entries.size() == 4);
}

TEST_CASE("a layer writer does not leave its layer (threat 8)") {
  const Layer layer, outside, scratch;
  fs::create_symlink(outside.temp.path(), layer / "link");
  const auto writer = make_layer_writer(layer.dir.get(), true);
  for (const std::string path : {"link/x", "../x", "/x", "a/../x", "", "a//x", "."}) {
    INFO(path);
    CHECK_THROWS_AS(writer->file(path, 0644, {}, 0, 1, content(scratch, "x")), Error);
    CHECK_THROWS_AS(writer->directory(path, 0755, {}, 0), Error);
    CHECK_THROWS_AS(writer->symlink(path, "t", {}, 0), Error);
    CHECK_THROWS_AS(writer->whiteout(path), Error);
  }
  // An existing link is neither followed nor replaced.
  CHECK_THROWS_AS(writer->file("link", 0644, {}, 0, 1, content(scratch, "x")), Error);
  CHECK_THROWS_AS(writer->directory("link", 0755, {}, 0), Error);
  CHECK_THROWS_WITH(writer->file("missing/x", 0644, {}, 0, 1, content(scratch, "x")),
                    Contains("open missing: No such file"));
  CHECK(fs::is_empty(outside.temp.path()));
}

TEST_CASE("a source file that became shorter is noticed") {
  const Layer layer, scratch;
  const auto writer = make_layer_writer(layer.dir.get(), true);
  try {
    writer->file("f", 0644, {}, 0, 10, content(scratch, "short"));
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::app_files);
    CHECK(error.cause() == "f changed while it was copied (5 bytes instead of 10)");
  }
}

TEST_CASE("create_dirs makes parents first and sets modes and owners") {
  const Layer layer;
  create_dirs(layer.dir.get(),
              {{"cache/app", 0700, {1000, 1000}}, {"build_1", 01777, {}}, {"cache", 0555, {7, 8}}},
              !is_root());
  CHECK((info_of(layer / "cache/app").st_mode & 07777) == 0700);
  CHECK((info_of(layer / "cache").st_mode & 07777) == 0555);
  CHECK((info_of(layer / "build_1").st_mode & 07777) == 01777);
  if (is_root()) {
    CHECK(info_of(layer / "cache/app").st_uid == 1000);
    CHECK(info_of(layer / "cache").st_gid == 8);
  }
  create_dirs(layer.dir.get(), {{"x/y/z", 0711, {}}}, true);
  CHECK((info_of(layer / "x/y").st_mode & 07777) == 0755);
  CHECK_THROWS_AS(create_dirs(layer.dir.get(), {{"../out", 0755, {}}}, true), Error);
  fs::create_symlink("/", layer / "root");
  CHECK_THROWS_AS(create_dirs(layer.dir.get(), {{"root/tmp/slipway-x", 0755, {}}}, true), Error);
  CHECK_FALSE(fs::exists("/tmp/slipway-x"));
}

TEST_CASE("a scan reads only what was written since the last one") {
  const Layer layer;
  write_file_atomic(layer / "old", "old");
  write_file_atomic(layer / "new", "new");
  const ScanResult first = layer.scan();
  CHECK(first.changed == std::vector<std::string>{"new", "old"});

  // A digest nobody could compute shows whether the file was read again.
  ScanState state = parse_state(first.state);
  const Digest mark = hash_bytes("never a file");
  for (SeenEntry& entry : state.entries) entry.digest = mark;
  state.trusted_before_ns = INT64_MAX;
  write_file_atomic(layer / "new", "NEW");
  const ScanResult second = layer.scan(serialize_state(state));
  CHECK(second.tree.entries.at(0).digest == hash_bytes("NEW"));
  CHECK(second.tree.entries.at(1).digest == mark);
  CHECK(second.changed == std::vector<std::string>{"new"});

  // Written within a tick of the file system's clock: not trusted.
  state.trusted_before_ns = 0;
  CHECK(layer.scan(serialize_state(state)).tree.entries.at(1).digest == hash_bytes("old"));
}

TEST_CASE("another name for a file does not count as writing it") {
  const Layer layer;
  write_file_atomic(layer / "a", "x");
  fs::create_directory(layer / "d");
  const ScanResult first = layer.scan();
  fs::create_hard_link(layer / "a", layer / "d/b");
  const ScanResult second = layer.scan(first.state);
  CHECK(second.changed == std::vector<std::string>{"d/b"});
  CHECK(second.tree.entries.at(0).hard_link_group == 1);
  CHECK(second.tree.entries.at(1).hard_link_group == 0);
  CHECK(second.tree.entries.at(2).hard_link_group == 1);
}

TEST_CASE("many files are hashed right by several threads") {
  const Layer layer;
  for (int i = 0; i < 400; ++i) {
    const Fd fd = open_file((layer / std::to_string(i)).string(), O_WRONLY | O_CREAT, 0644);
    write_all(fd.get(), std::string(static_cast<size_t>(i * 97), 'x'));
  }
  for (const auto& entry : layer.scan().tree.entries)
    REQUIRE(entry.digest ==
            hash_bytes(std::string(static_cast<size_t>(std::stoi(entry.path) * 97), 'x')));
}

TEST_CASE("FIFOs, sockets and devices are warnings and hide what lies below") {
  const Layer layer;
  REQUIRE(mkfifo((layer / "pipe\n").c_str(), 0644) == 0);
  Tree lower;
  lower.entries.resize(2);
  lower.entries[0].path = "pipe\n";
  lower.entries[0].type = EntryType::directory;
  lower.entries[1].path = "pipe\n/x";
  const ScanResult result = scan_layers({layer.dir.get()}, 1, "", lower, "");
  CHECK(result.tree.entries.empty());
  CHECK(result.warnings == std::vector<std::string>{"pipe\\x0a is a FIFO and is left out"});
}

TEST_CASE("names that sort between a folder and its entries keep their places") {
  const Layer layer;
  Tree lower;
  for (const std::string path : {"a", "a-b", "a-b/x", "a/x", "a/y", "a0"}) {
    archive::TreeEntry entry;
    entry.path = path;
    entry.type = path == "a" || path == "a-b" ? EntryType::directory : EntryType::file;
    lower.entries.push_back(entry);
  }
  fs::create_directory(layer / "a");
  REQUIRE(mknod((layer / "a/x").c_str(), S_IFCHR, makedev(0, 0)) == 0);
  const auto list = [&] { return paths(scan_layers({layer.dir.get()}, 1, "", lower, "").tree); };
  CHECK(list() == std::vector<std::string>{"a", "a-b", "a-b/x", "a/y", "a0"});
  REQUIRE(setxattr((layer / "a").c_str(), "user.overlay.opaque", "y", 1, 0) == 0);
  CHECK(list() == std::vector<std::string>{"a", "a-b", "a-b/x", "a0"});
  fs::remove_all(layer / "a");
  fs::create_symlink("a-b", layer / "a");
  CHECK(list() == std::vector<std::string>{"a", "a-b", "a-b/x", "a0"});
}

TEST_CASE("a scanned folder may have become something else") {
  const Layer layer;
  Tree lower;
  lower.entries.resize(1);
  lower.entries[0].path = "f";
  CHECK(scan_layers({layer.dir.get()}, 1, "tmp/build", lower, "").tree.entries.size() == 1);
  fs::create_directory(layer / "tmp");
  REQUIRE(mknod((layer / "tmp/build").c_str(), S_IFCHR, makedev(0, 0)) == 0);
  CHECK(scan_layers({layer.dir.get()}, 1, "tmp/build", lower, "").tree.entries.empty());
  fs::remove(layer / "tmp/build");
  fs::create_symlink("/etc", layer / "tmp/build");
  CHECK_THROWS_WITH(scan_layers({layer.dir.get()}, 1, "tmp/build", lower, ""),
                    "tmp/build is no folder any more");
  CHECK_THROWS_AS(scan_layers({layer.dir.get()}, 1, "tmp/../..", lower, ""), Error);
}

TEST_CASE("a damaged or foreign scan state is refused") {
  const Layer layer;
  write_file_atomic(layer / "file", "x");
  fs::create_symlink("t", layer / "link");
  const std::string good = layer.scan().state;
  CHECK(serialize_state(parse_state(good)) == good);
  for (size_t size = 1; size < good.size(); ++size)
    CHECK_THROWS_WITH(parse_state(good.substr(0, size)), "the state of an earlier scan is damaged");
  CHECK_THROWS_AS(parse_state(good + "x"), Error);
  CHECK_THROWS_AS(parse_state("slipway-scan 2\n"), Error);
  // Bit flips either parse to something else or are refused, but never crash.
  for (size_t at = 0; at < good.size(); ++at) {
    std::string flipped = good;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x81);
    try {
      (void)parse_state(flipped);
    } catch (const Error&) {
    }
  }
}

TEST_CASE("LayerFiles opens regular files only and follows nothing") {
  const Layer top, bottom;
  write_file_atomic(bottom / "f", "below");
  fs::create_directory(bottom / "d");
  write_file_atomic(bottom / "d/f", "below");
  fs::create_symlink("f", top / "link");
  fs::create_symlink("/etc", top / "d");
  REQUIRE(mkfifo((top / "pipe").c_str(), 0644) == 0);
  LayerFiles layers({top.dir.get(), bottom.dir.get()});
  CHECK(read_all(layers.open("f").get()) == "below");
  CHECK_FALSE(layers.open("d/f"));
  CHECK_FALSE(layers.open("d/passwd"));
  CHECK_FALSE(layers.open("absent"));
  CHECK_THROWS_WITH(layers.open("link"), "open link: not a regular file");
  CHECK_THROWS_WITH(layers.open("pipe"), "open pipe: not a regular file");
  for (const std::string path : {"../f", "/etc/passwd", "", "d/../f"})
    CHECK_THROWS_AS(layers.open(path), Error);
}

TEST_CASE("LayerFiles finds its way from any path to any other") {
  const Layer top, bottom;
  for (const char* folder : {"a", "a/b", "a/b/c", "d"}) fs::create_directory(bottom / folder);
  fs::create_directory(top / "a");
  for (const char* file : {"f", "a/f", "a/b/f", "a/b/c/f", "d/f"})
    write_file_atomic(bottom / file, file);
  write_file_atomic(top / "a/g", "top");
  LayerFiles layers({top.dir.get(), bottom.dir.get()});
  for (const std::string path : {"a/b/c/f", "a/f", "d/f", "a/b/f", "f", "a/b/c/f", "a/b/c/f"})
    CHECK(read_all(layers.open(path).get()) == path);
  CHECK_FALSE(layers.open("a/x/f"));
  CHECK(read_all(layers.open("a/g").get()) == "top");
  CHECK_FALSE(layers.open("d/b/f"));
  CHECK(read_all(layers.open("a/b/f").get()) == "a/b/f");
}

TEST_CASE("move_subtree renames and makes parents like the source's") {
  const Layer from, to;
  fs::create_directories(from / "w/cache/x");
  write_file_atomic(from / "w/cache/x/f", "data");
  fs::permissions(from / "w/cache", fs::perms(0711));
  fs::permissions(from / "w/cache/x", fs::perms(0555));
  const ino_t inode = info_of(from / "w/cache/x/f").st_ino;
  move_subtree(from.dir.get(), "w/cache/x", to.dir.get(), "new/cache/y");
  CHECK(info_of(to / "new/cache/y/f").st_ino == inode);
  CHECK((info_of(to / "new/cache").st_mode & 07777) == 0711);
  CHECK((info_of(to / "new/cache/y").st_mode & 07777) == 0555);
  CHECK_FALSE(fs::exists(from / "w/cache/x"));

  // An empty folder in the way is replaced, anything else is not.
  fs::create_directories(from / "again");
  write_file_atomic(from / "again/g", "g");
  CHECK_THROWS_AS(move_subtree(from.dir.get(), "again", to.dir.get(), "new/cache/y"), Error);
  write_file_atomic(to / "file", "stays");
  CHECK_THROWS_AS(move_subtree(from.dir.get(), "again", to.dir.get(), "file"), Error);
  CHECK(read_file(to / "file") == "stays");
  fs::create_directory(to / "empty");
  move_subtree(from.dir.get(), "again", to.dir.get(), "empty");
  CHECK(read_file(to / "empty/g") == "g");
}

TEST_CASE("moving something that is missing or hidden gives an empty folder") {
  const Layer from, to;
  move_subtree(from.dir.get(), "no/where", to.dir.get(), "here/it/is");
  CHECK(fs::is_empty(to / "here/it/is"));
  REQUIRE(mknod((from / "cache").c_str(), S_IFCHR, makedev(0, 0)) == 0);
  move_subtree(from.dir.get(), "cache", to.dir.get(), "cache");
  CHECK(fs::is_empty(to / "cache"));
  char value = 0;
  CHECK(getxattr((to / "cache").c_str(), "user.overlay.opaque", &value, 1) == 1);
  CHECK(value == 'y');
}

TEST_CASE("a folder can become a whole snapshot and back") {
  const Layer from, to, back;
  fs::create_directories(from / "build/sub");
  write_file_atomic(from / "build/f", "f");
  fs::permissions(from / "build", fs::perms(0750));
  move_subtree(from.dir.get(), "build", to.dir.get(), "");
  CHECK(read_file(to / "f") == "f");
  CHECK((info_of(to.temp.path()).st_mode & 07777) == 0750);
  CHECK_FALSE(fs::exists(from / "build"));
  move_subtree(to.dir.get(), "", back.dir.get(), "a/b");
  CHECK(fs::is_directory(back / "a/b/sub"));
  CHECK((info_of(back / "a/b").st_mode & 07777) == 0750);
}

TEST_CASE("move_subtree does not follow links out of a layer") {
  const Layer from, to, outside;
  write_file_atomic(outside / "canary", "alive");
  fs::create_symlink(outside.temp.path(), from / "link");
  fs::create_symlink(outside.temp.path(), to / "link");
  fs::create_directory(from / "d");
  move_subtree(from.dir.get(), "link/canary", to.dir.get(), "stolen");
  CHECK(fs::is_empty(to / "stolen"));
  CHECK_THROWS_AS(move_subtree(from.dir.get(), "d", to.dir.get(), "link/d"), Error);
  CHECK_THROWS_AS(move_subtree(from.dir.get(), "../x", to.dir.get(), "y"), Error);
  CHECK(read_file(outside / "canary") == "alive");
  CHECK_FALSE(fs::exists(outside / "d"));
}

TEST_CASE("flattening links where it can, copying never does") {
  const Layer source, flat, copy;
  write_file_atomic(source / "a", "text");
  fs::create_hard_link(source / "a", source / "b");
  fs::create_directory(source / "ro");
  write_file_atomic(source / "ro/c", "x");
  fs::create_hard_link(source / "a", source / "ro/d");
  REQUIRE(setxattr((source / "ro").c_str(), "user.kept", "1", 1, 0) == 0);
  REQUIRE(setxattr((source / "ro").c_str(), "user.overlay.origin", "1", 1, 0) == 0);
  fs::permissions(source / "ro", fs::perms(0555));
  flatten_layers({source.dir.get()}, flat.dir.get());
  copy_layers({source.dir.get()}, copy.dir.get());
  CHECK(info_of(flat / "a").st_ino == info_of(source / "a").st_ino);
  CHECK(info_of(copy / "a").st_ino != info_of(source / "a").st_ino);
  CHECK(info_of(copy / "a").st_ino == info_of(copy / "b").st_ino);
  CHECK(info_of(copy / "a").st_ino == info_of(copy / "ro/d").st_ino);
  for (const Layer* target : {&flat, &copy}) {
    CHECK((info_of(*target / "ro").st_mode & 07777) == 0555);
    CHECK(getxattr((*target / "ro").c_str(), "user.kept", nullptr, 0) == 1);
    CHECK(getxattr((*target / "ro").c_str(), "user.overlay.origin", nullptr, 0) == -1);
  }
}

TEST_CASE("very deep trees are refused with words, not with a crash (threat 21)") {
  const Layer layer, target;
  Fd dir = open_file(layer.temp.path().string(), O_RDONLY | O_DIRECTORY);
  for (int depth = 0; depth < 600; ++depth) {
    REQUIRE(mkdirat(dir.get(), "d", 0755) == 0);
    dir = open_at(dir.get(), "d", O_RDONLY | O_DIRECTORY);
  }
  CHECK_THROWS_WITH(layer.scan(), Contains("more than 500 nested folders"));
  CHECK_THROWS_WITH(flatten_layers({layer.dir.get()}, target.dir.get()),
                    Contains("more than 500 nested folders"));
}
