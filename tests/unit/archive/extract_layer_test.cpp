// Image layers: whiteouts in any order, layers below, raw digests, devices (dockerfile.md O11).
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/extract.h"
#include "archive/hand_tar.h"
#include "archive/tree_on_disk.h"

using namespace slipway;
using namespace slipway::archive;
using Catch::Matchers::Contains;

namespace {

/// A directory that stands for all layers below.
class Below : public LowerTree {
 public:
  explicit Below(fs::path root) : root_(std::move(root)) {}
  Found find(const std::string& path) override {
    ++asked;
    Found found;
    struct stat info {};
    if (lstat((root_ / path).c_str(), &info) != 0) return found;
    found.kind = Found::Kind::other;
    if (S_ISLNK(info.st_mode)) {
      found.kind = Found::Kind::link;
      found.link = fs::read_symlink(root_ / path).string();
    } else if (S_ISDIR(info.st_mode)) {
      found.kind = Found::Kind::directory;
      found.fd = open_file((root_ / path).string(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    } else if (S_ISREG(info.st_mode)) {
      found.kind = Found::Kind::file;
      found.fd = open_file((root_ / path).string(), O_RDONLY | O_NOFOLLOW);
    }
    return found;
  }
  int asked = 0;

 private:
  fs::path root_;
};

struct LayerBench {
  TempDir dir = TempDir::create("layer-test");
  Below below{dir.path() / "below"};
  std::vector<std::string> warnings;
  Tree tree;
  ExtractOptions options;

  LayerBench() {
    make_directories(target());
    make_directories(lower());
    write_file_atomic(dir.path() / "canary", "alive");
    options.whiteouts = true;
    options.keep_owner = false;
    options.lower = &below;
    options.on_warning = [this](const std::string& text) { warnings.push_back(text); };
  }
  fs::path target() const { return dir.path() / "target"; }
  fs::path lower() const { return dir.path() / "below"; }

  void extract_bytes(const std::string& bytes) {
    write_file_atomic(dir.path() / "archive", bytes);
    const Fd file = open_file((dir.path() / "archive").string(), O_RDONLY);
    const Fd to = open_file(target().string(), O_RDONLY | O_DIRECTORY);
    tree = extract(file.get(), to.get(), options);
  }
  bool is_whiteout(const std::string& path) const {
    struct stat info {};
    return lstat((target() / path).c_str(), &info) == 0 && S_ISCHR(info.st_mode) &&
           info.st_rdev == makedev(0, 0);
  }
  bool is_opaque(const std::string& path) const {
    char value[8];
    return lgetxattr((target() / path).c_str(), "user.overlay.opaque", value, sizeof value) == 1 &&
           value[0] == 'y';
  }
  void check_contained() const {
    CHECK(read_file(dir.path() / "canary") == "alive");
    CHECK(fs::is_empty(lower()));
  }
};

uint32_t mode_of(const fs::path& path) {
  struct stat info {};
  REQUIRE(lstat(path.c_str(), &info) == 0);
  return info.st_mode;
}

}  // namespace

TEST_CASE("layer: a whiteout hides what is below in whatever order the entries come") {
  LayerBench bench;
  bench.extract_bytes(HandTar()
                          .file("before/.wh.sub", "")
                          .directory("before/sub/")
                          .file("before/sub/f", "new")
                          .directory("after/sub/")
                          .file("after/sub/f", "new")
                          .file("after/.wh.sub", "")
                          .file("implied/.wh.sub", "")
                          .file("implied/sub/f", "new")
                          .file("file", "new")
                          .file(".wh.file", "")
                          .file(".wh.gone", "")
                          .file("late/f", "x")
                          .file("late/.wh..wh..opq", "")
                          .done());
  for (const char* folder : {"before/sub", "after/sub", "implied/sub", "late"}) {
    INFO(folder);
    CHECK(bench.is_opaque(folder));
  }
  CHECK(read_file(bench.target() / "implied/sub/f") == "new");
  CHECK(read_file(bench.target() / "file") == "new");
  CHECK(bench.is_whiteout("gone"));
  CHECK_FALSE(bench.is_opaque("before"));
  CHECK(bench.tree.find("gone") == nullptr);
}

TEST_CASE("layer: whiteout tricks are refused or mean nothing (threat 8)") {
  for (const auto& [name, why] : std::vector<std::pair<std::string, std::string>>{
           {".wh.", "a whiteout of no name"},
           {".wh..", "a whiteout of no name"},
           {".wh...", "a whiteout of no name"},
           {"a/.wh...", "a whiteout of no name"},
           {".wh.x/f", "its folder has the name of a whiteout"},
           {"../.wh.canary", "'..'"}}) {
    INFO(name);
    LayerBench bench;
    CHECK_THROWS_WITH(bench.extract_bytes(HandTar().file(name, "").done()), Contains(why));
    bench.check_contained();
  }
  LayerBench bench;
  bench.extract_bytes(HandTar()
                          .symlink("up", "..")
                          .file("up/.wh.canary", "")
                          .symlink("abs", "/")
                          .file("abs/.wh.archive", "")
                          .file("abs/.wh..wh..opq", "")
                          .directory(".wh..wh.plnk/")
                          .file(".wh..wh.plnk/1.2", "aufs")
                          .file(".wh..wh.aufs", "")
                          .done());
  bench.check_contained();
  CHECK(fs::exists(bench.dir.path() / "archive"));
  CHECK(bench.is_whiteout("canary"));
  CHECK(bench.is_whiteout("archive"));
  CHECK(bench.tree.entries.size() == 2);
}

TEST_CASE("layer: a folder without an entry is what it is below (usr-merge, /tmp)") {
  LayerBench bench;
  fs::create_directories(bench.lower() / "usr/lib");
  fs::create_symlink("usr/lib", bench.lower() / "lib");
  fs::create_directory(bench.lower() / "tmp");
  REQUIRE(chmod((bench.lower() / "tmp").c_str(), 01777) == 0);
  fs::create_symlink("../../../../..", bench.lower() / "surplus");
  fs::create_symlink("/tmp", bench.lower() / "absolute");
  bench.extract_bytes(HandTar()
                          .file("lib/libx.so", "x")
                          .file("lib/.wh.liby.so", "")
                          .file("tmp/f", "t")
                          .file("surplus/at-root", "r")
                          .file("absolute/g", "g")
                          .file("new/f", "n")
                          .done());
  CHECK(read_file(bench.target() / "usr/lib/libx.so") == "x");
  CHECK(bench.is_whiteout("usr/lib/liby.so"));
  CHECK_FALSE(fs::exists(fs::symlink_status(bench.target() / "lib")));
  CHECK((mode_of(bench.target() / "tmp") & 07777) == 01777);
  CHECK(read_file(bench.target() / "tmp/g") == "g");
  CHECK(read_file(bench.target() / "at-root") == "r");
  CHECK((mode_of(bench.target() / "new") & 07777) == 0755);
  CHECK(read_file(bench.dir.path() / "canary") == "alive");
}

TEST_CASE("layer: what has entries for its folders asks for nothing below") {
  LayerBench bench;
  bench.extract_bytes(HandTar()
                          .directory("a/")
                          .directory("a/b/")
                          .file("a/b/f", "x")
                          .hard_link("a/g", "a/b/f")
                          .file("a/.wh.h", "")
                          .file("top", "x")
                          .done());
  CHECK(bench.below.asked == 0);
}

TEST_CASE("layer: an entry replaces a link or file below, a folder over one hides nothing else") {
  LayerBench bench;
  fs::create_directories(bench.lower() / "usr/lib");
  fs::create_symlink("usr/lib", bench.lower() / "lib");
  // An entry of its own stands for itself, as every other engine has it.
  bench.extract_bytes(HandTar().directory("lib/").file("lib/f", "x").done());
  CHECK(S_ISDIR(mode_of(bench.target() / "lib")));
  CHECK(read_file(bench.target() / "lib/f") == "x");
}

TEST_CASE("layer: a folder that comes after its files takes only what follows it") {
  LayerBench bench;
  fs::create_directories(bench.lower() / "usr/lib");
  fs::create_symlink("usr/lib", bench.lower() / "lib");
  bench.extract_bytes(HandTar().file("lib/a", "x").directory("lib/").file("lib/b", "y").done());
  CHECK(read_file(bench.target() / "usr/lib/a") == "x");
  CHECK(S_ISDIR(mode_of(bench.target() / "lib")));
  CHECK(read_file(bench.target() / "lib/b") == "y");
}

TEST_CASE("layer: what this layer hides below is not asked for") {
  LayerBench bench;
  fs::create_directories(bench.lower() / "real");
  fs::create_directories(bench.lower() / "d");
  fs::create_symlink("/real", bench.lower() / "d/link");
  fs::create_symlink("/real", bench.lower() / "gone");
  bench.extract_bytes(HandTar()
                          .directory("d/")
                          .file("d/.wh..wh..opq", "")
                          .file("d/link/f", "x")
                          .file(".wh.gone", "")
                          .file("gone/f", "y")
                          .done());
  CHECK(read_file(bench.target() / "d/link/f") == "x");
  CHECK(read_file(bench.target() / "gone/f") == "y");
  CHECK(bench.is_opaque("gone"));
  CHECK_FALSE(fs::exists(bench.target() / "real"));
}

TEST_CASE("layer: a file below is no folder to place something in") {
  LayerBench bench;
  write_file_atomic(bench.lower() / "file", "x");
  CHECK_THROWS_WITH(bench.extract_bytes(HandTar().file("file/f", "x").done()),
                    Contains("'file' is no directory"));
  LayerBench loop;
  fs::create_symlink("b", loop.lower() / "a");
  fs::create_symlink("a", loop.lower() / "b");
  CHECK_THROWS_WITH(loop.extract_bytes(HandTar().file("a/f", "x").done()),
                    Contains("too many links"));
}

TEST_CASE("layer: a hard link to a file of a lower layer brings the file up") {
  LayerBench bench;
  fs::create_directories(bench.lower() / "bin");
  write_file_atomic(bench.lower() / "bin/tool", "tool", 0644);
  REQUIRE(chmod((bench.lower() / "bin/tool").c_str(), 04755) == 0);
  fs::create_symlink("bin", bench.lower() / "sbin");
  bench.extract_bytes(HandTar()
                          .directory("opt/")
                          .hard_link("opt/one", "bin/tool")
                          .hard_link("opt/two", "/sbin/tool")
                          .done());
  struct stat one {
  }, two{}, up{};
  REQUIRE(stat((bench.target() / "opt/one").c_str(), &one) == 0);
  REQUIRE(stat((bench.target() / "opt/two").c_str(), &two) == 0);
  REQUIRE(stat((bench.target() / "bin/tool").c_str(), &up) == 0);
  CHECK(one.st_ino == two.st_ino);
  CHECK(one.st_ino == up.st_ino);
  CHECK(one.st_nlink == 3);
  CHECK((one.st_mode & 07777) == 04755);
  CHECK(read_file(bench.target() / "opt/one") == "tool");
  REQUIRE(bench.tree.find("opt/one") != nullptr);
  CHECK(bench.tree.find("opt/one")->digest == hash_bytes("tool"));
  // The file below was copied, not linked: it belongs to other images too.
  struct stat lower {};
  REQUIRE(stat((bench.lower() / "bin/tool").c_str(), &lower) == 0);
  CHECK(lower.st_nlink == 1);
}

TEST_CASE("layer: a hard link does not bring back what this layer removes") {
  LayerBench bench;
  write_file_atomic(bench.lower() / "file", "x");
  CHECK_THROWS_WITH(
      bench.extract_bytes(HandTar().file(".wh.file", "").hard_link("x", "file").done()),
      Contains("which the archive does not have"));
}

TEST_CASE("layer: a hard link to what nobody has, or to no file, is refused") {
  for (const char* target : {"nowhere", "folder", "link", "../canary"}) {
    INFO(target);
    LayerBench bench;
    fs::create_directory(bench.lower() / "folder");
    fs::create_symlink("/canary", bench.lower() / "link");
    CHECK_THROWS_AS(bench.extract_bytes(HandTar().hard_link("x", target).done()), Error);
    CHECK(read_file(bench.dir.path() / "canary") == "alive");
  }
}

TEST_CASE("layer: FIFOs are made, devices hide what they replace") {
  LayerBench bench;
  bench.extract_bytes(
      HandTar().special('6', "run/fifo").special('3', "dev/null").special('4', "dev/sda").done());
  CHECK(S_ISFIFO(mode_of(bench.target() / "run/fifo")));
  CHECK((mode_of(bench.target() / "run/fifo") & 07777) == 0666);
  CHECK(bench.is_whiteout("dev/null"));
  CHECK(bench.is_whiteout("dev/sda"));
  CHECK(bench.warnings == std::vector<std::string>{"dev/null: device or FIFO, left out",
                                                   "dev/sda: device or FIFO, left out"});
}

TEST_CASE("layer: the raw bytes must have the digest that was promised (threat 20)") {
  const std::string tar = HandTar().file("f", std::string(100'000, 'x')).done() +
                          std::string(8192, '\0');  // a tape's padding counts too
  LayerBench bench;
  SECTION("plain") {
    bench.extract_bytes(tar);
  }
  SECTION("right") {
    bench.options.raw_sha256 = sha256_hex(tar);
    bench.extract_bytes(tar);
    CHECK(bench.tree.find("f")->size == 100'000);
  }
  SECTION("gzip, digest of what is inside") {
    bench.options.raw_sha256 = sha256_hex(tar);
    write_file_atomic(bench.dir.path() / "t", tar);
    shell("gzip -kf $1/t", {bench.dir.path().string()});
    bench.extract_bytes(read_file(bench.dir.path() / "t.gz"));
  }
  SECTION("other") {
    bench.options.raw_sha256 = sha256_hex("other");
    try {
      bench.extract_bytes(tar);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::outside);
      CHECK(error.cause() ==
            fmt::format("the decompressed layer has the digest sha256:{}, not sha256:{}",
                        sha256_hex(tar), sha256_hex("other")));
    }
  }
}

TEST_CASE("layer: a flipped bit in any region is noticed (threat 20)") {
  HandTar tar;
  for (int i = 0; i < 20; ++i) tar.file(fmt::format("f{}", i), std::string(700, 'a' + i));
  const std::string good = tar.done();
  for (size_t at = 0; at < good.size(); at += 509) {
    INFO(at);
    LayerBench bench;
    bench.options.raw_sha256 = sha256_hex(good);
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    try {
      bench.extract_bytes(bad);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::outside);
    }
  }
}

TEST_CASE("layer: no end marker, no bytes at all: both are layers") {
  LayerBench bench;
  bench.extract_bytes(HandTar().file("f", "x").unfinished());
  CHECK(bench.tree.entries.size() == 1);
  LayerBench empty;
  empty.options.raw_sha256 = sha256_hex("");
  empty.extract_bytes("");
  CHECK(empty.tree.entries.empty());
  LayerBench zeros;
  zeros.options.raw_sha256 = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
  zeros.extract_bytes(std::string(1024, '\0'));
  CHECK(zeros.tree.entries.empty());
}

TEST_CASE("layer: only a tar is a layer") {
  for (const std::string& bytes :
       {std::string("PK\3\4") + std::string(100, 'x'),
        std::string("070701") + std::string(200, '0'),
        std::string("no archive at all, but long enough to be looked at as a header of one") +
            std::string(600, '.')}) {
    LayerBench bench;
    CHECK_THROWS_AS(bench.extract_bytes(bytes), Error);
  }
}

TEST_CASE("layer: bombs stop at the limits (threat 21)") {
  LayerBench bench;
  bench.options.size_max_bytes = 1 << 20;
  const std::string tar = HandTar().file("f", std::string(2 << 20, '\0')).done();
  write_file_atomic(bench.dir.path() / "t", tar);
  shell("gzip -kf $1/t", {bench.dir.path().string()});
  CHECK_THROWS_WITH(bench.extract_bytes(read_file(bench.dir.path() / "t.gz")),
                    Contains("expands to more than 1M"));
  LayerBench many;
  many.options.entries_max = 100;
  HandTar entries;
  for (int i = 0; i < 101; ++i) entries.file(fmt::format("f{}", i), "");
  CHECK_THROWS_WITH(many.extract_bytes(entries.done()), Contains("more than 100 entries"));
}

TEST_CASE("layer: contents without digests when nobody wants them") {
  LayerBench bench;
  bench.options.digests = false;
  bench.extract_bytes(HandTar().file("f", "x").done());
  CHECK_FALSE(bench.tree.find("f")->digest);
  CHECK(bench.tree.find("f")->size == 1);
}
