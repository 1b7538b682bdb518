#include "archive/extract.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/hand_tar.h"
#include "archive/tree_on_disk.h"
#include "base/text.h"

using namespace slipway;
using namespace slipway::archive;

namespace {

// An archive, a target with a canary beside it, and what was said.
struct Bench {
  TempDir dir = TempDir::create("extract-test");
  std::vector<std::string> warnings;
  Tree tree;

  Bench() {
    make_directories(dir.path() / "target");
    write_file_atomic(dir.path() / "canary", "alive");
  }
  fs::path target() const { return dir.path() / "target"; }

  void extract_bytes(const std::string& bytes, ExtractOptions options = plain()) {
    write_file_atomic(dir.path() / "archive", bytes);
    extract_file(dir.path() / "archive", std::move(options));
  }
  void extract_file(const fs::path& archive, ExtractOptions options = plain()) {
    options.on_warning = [&](const std::string& text) { warnings.push_back(text); };
    const Fd file = open_file(archive.string(), O_RDONLY);
    const Fd to = open_file(target().string(), O_RDONLY | O_DIRECTORY);
    tree = extract(file.get(), to.get(), options);
  }
  static ExtractOptions plain() {
    ExtractOptions options;
    options.keep_owner = false;
    return options;
  }
  // The canary lives and nothing was put beside it.
  void check_contained() const {
    CHECK(read_file(dir.path() / "canary") == "alive");
    for (const auto& at : fs::directory_iterator(dir.path())) {
      const std::string name = at.path().filename().string();
      CHECK((name == "canary" || name == "target" || name == "archive"));
    }
  }
  // The listing is what a scan of the target gives.
  void check_listing() const {
    const Tree disk = list_on_disk(target());
    REQUIRE(tree.entries.size() == disk.entries.size());
    for (size_t i = 0; i < disk.entries.size(); ++i) {
      INFO(disk.entries[i].path);
      CHECK(tree.entries[i].path == disk.entries[i].path);
      CHECK(tree.entries[i].type == disk.entries[i].type);
      if (disk.entries[i].type != EntryType::symlink)
        CHECK(tree.entries[i].mode == disk.entries[i].mode);
      CHECK(tree.entries[i].size == disk.entries[i].size);
      CHECK(tree.entries[i].mtime_ns == disk.entries[i].mtime_ns);
      CHECK(tree.entries[i].link == disk.entries[i].link);
      if (disk.entries[i].type == EntryType::file)
        CHECK(tree.entries[i].digest == disk.entries[i].digest);
    }
  }
};

struct Failure {
  std::string cause, context;
  ExitCode code = ExitCode::ok;
};
Failure failure_of(Bench& bench, const std::string& bytes,
                   const ExtractOptions& options = Bench::plain()) {
  try {
    bench.extract_bytes(bytes, options);
  } catch (const Error& error) {
    return {error.cause(), join(error.context(), "; "), error.code()};
  }
  return {};
}

}  // namespace

TEST_CASE("extract: files, modes, times, long names and the listing") {
  Bench bench;
  make_directories(bench.dir.path() / "in/a/b");
  write_file_atomic(bench.dir.path() / "in/a/b/f", "content", 0640);
  fs::create_symlink("b/f", bench.dir.path() / "in/a/l");
  fs::permissions(bench.dir.path() / "in/a/b", fs::perms(0555));
  const auto format = GENERATE(as<std::string>(), "gnu", "posix", "ustar");
  const auto filter = GENERATE(as<std::string>(), "", "--gzip", "--bzip2", "--xz", "--zstd");
  INFO(format << filter);
  const size_t long_name = format == "ustar" ? 90 : 180;
  write_file_atomic(bench.dir.path() / "in/a" / std::string(long_name, 'x'), "long");
  shell("tar -C $1/in --format=$2 --mtime=@1234567890 $3 -cf $1/archive .",
        {bench.dir.path().string(), format, filter});
  remove_tree(bench.dir.path() / "in");
  bench.extract_file(bench.dir.path() / "archive");
  CHECK(bench.warnings.empty());
  CHECK(read_file(bench.target() / "a/b/f") == "content");
  bench.check_listing();
  bench.check_contained();
  CHECK(bench.tree.find("a/b")->mode == 0555);
  CHECK(bench.tree.find("a/b")->mtime_ns == 1'234'567'890'000'000'000);
}

TEST_CASE("extract: zip with modes, links and UTF-8 names") {
  if (find_program("python3").empty()) {
    WARN("python3 is not installed: not tried");
    return;
  }
  Bench bench;
  shell(
      "cd $1; python3 - <<'P'\n"
      "import zipfile,stat\n"
      "z=zipfile.ZipFile('archive','w',zipfile.ZIP_DEFLATED)\n"
      "i=zipfile.ZipInfo('bin/run');i.external_attr=(stat.S_IFREG|0o755)<<16\n"
      "z.writestr(i,'#!/bin/sh\\n'*1000)\n"
      "i=zipfile.ZipInfo('link');i.create_system=3;i.external_attr=(stat.S_IFLNK|0o777)<<16\n"
      "z.writestr(i,'bin/run')\n"
      "z.writestr('caf\\u00e9','x')\n"
      "z.writestr('../up','x') if False else None\n"
      "z.close()\nP",
      {bench.dir.path().string()});
  bench.extract_file(bench.dir.path() / "archive");
  CHECK(bench.tree.find("bin/run")->mode == 0755);
  REQUIRE(bench.tree.find("link") != nullptr);
  CHECK(bench.tree.find("link")->link == "bin/run");
  CHECK(bench.tree.find("caf\xc3\xa9") != nullptr);
  bench.check_listing();
  const std::string whole = read_file(bench.dir.path() / "archive");
  CHECK(failure_of(bench, whole.substr(0, whole.size() / 4)).code == ExitCode::outside);
}

TEST_CASE("extract: cpio, whose hard links have their content with the last name") {
  std::string cpio;
  const auto entry = [&](const std::string& name, unsigned mode, unsigned inode, unsigned links,
                         const std::string& content) {
    cpio += fmt::format(
        "070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}"
        "{:08X}{:08X}",
        inode, mode, 0, 0, links, 1'234'567'890, content.size(), 0, 0, 0, 0, name.size() + 1, 0);
    cpio += name + '\0';
    cpio.append((4 - cpio.size() % 4) % 4, '\0');
    cpio += content;
    cpio.append((4 - cpio.size() % 4) % 4, '\0');
  };
  entry("d", 040755, 1, 2, "");
  entry("d/first", 0100444, 2, 3, "");
  entry("d/second", 0100444, 2, 3, "");
  entry("d/third", 0100444, 2, 3, "the content");
  entry("link", 0120777, 3, 1, "d/first");
  const std::string cut = cpio;
  entry("TRAILER!!!", 0, 0, 1, "");
  Bench bench;
  bench.extract_bytes(cpio);
  CHECK(read_file(bench.target() / "d/first") == "the content");
  CHECK(bench.tree.find("d/second")->hard_link_group != 0);
  CHECK(bench.tree.find("link")->link == "d/first");
  bench.check_listing();
  CHECK(failure_of(bench, cut).code == ExitCode::outside);
}

TEST_CASE("benign: merged /usr, sh → dash, surplus '..' in link text (kaniko #326, #330, #440)") {
  Bench bench;
  HandTar tar;
  tar.directory("usr/").directory("usr/bin/").symlink("bin", "usr/bin");
  tar.file("bin/dash", "dash", 0755).symlink("bin/sh", "dash");
  tar.symlink("lib", "../../../../usr/lib").directory("usr/lib/").file("lib/x.so", "so");
  tar.symlink("abs", "/usr/lib").file("abs/y.so", "y");
  tar.symlink("usr/bin/awk", "/etc/alternatives/awk");
  tar.file("/etc/absolute", "inside");
  tar.file("./usr/./share//doc", "doc");
  bench.extract_bytes(tar.done());
  CHECK(read_file(bench.target() / "usr/bin/dash") == "dash");
  CHECK(bench.tree.find("usr/bin/sh")->link == "dash");
  CHECK(bench.tree.find("lib")->link == "../../../../usr/lib");
  CHECK(bench.tree.find("usr/lib/x.so") != nullptr);
  CHECK(bench.tree.find("usr/lib/y.so") != nullptr);
  CHECK(bench.tree.find("bin/dash") == nullptr);
  CHECK(read_file(bench.target() / "etc/absolute") == "inside");
  CHECK(bench.tree.find("usr/share")->mode == 0755);
  bench.check_listing();
  bench.check_contained();
}

TEST_CASE("benign: hard links before and after what they name") {
  Bench bench;
  HandTar tar;
  tar.hard_link("early", "d/file").directory("d/").file("d/file", "shared", 0644);
  tar.hard_link("late", "/d/file").hard_link("chain", "late");
  bench.extract_bytes(tar.done());
  for (const char* name : {"early", "late", "chain"})
    CHECK(read_file(bench.target() / name) == "shared");
  const uint64_t group = bench.tree.find("d/file")->hard_link_group;
  CHECK(group == 1);
  CHECK(bench.tree.find("early")->hard_link_group == group);
  CHECK(bench.tree.find("chain")->hard_link_group == group);
  CHECK(fs::hard_link_count(bench.target() / "chain") == 4);
  bench.check_listing();
}

TEST_CASE("benign: later entries replace earlier ones, never what a link points to") {
  Bench bench;
  HandTar tar;
  tar.file("a", "one").file("a", "two");
  tar.symlink("l", "a").file("l", "plain");
  tar.directory("d/").file("d/x", "gone").file("d", "file now");
  tar.symlink("e", "d2").directory("d2/").directory("e/").file("e/y", "in e");
  tar.hard_link("h", "a").file("h", "not shared any more");
  bench.extract_bytes(tar.done());
  CHECK(read_file(bench.target() / "a") == "two");
  CHECK(read_file(bench.target() / "l") == "plain");
  CHECK(read_file(bench.target() / "d") == "file now");
  CHECK_FALSE(fs::is_symlink(bench.target() / "e"));
  CHECK(bench.tree.find("a")->hard_link_group == 0);
  CHECK(read_file(bench.target() / "a") == "two");
  bench.check_listing();
}

TEST_CASE("benign: read-only directories are filled before they close") {
  Bench bench;
  HandTar tar;
  tar.directory("go/", 0555).directory("go/mod/", 0555).file("go/mod/f", "x", 0444);
  tar.directory("none/", 0).file("none/f", "y", 0);
  bench.extract_bytes(tar.done());
  CHECK(bench.tree.find("go/mod")->mode == 0555);
  struct stat info {};
  REQUIRE(lstat((bench.target() / "none").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0);
  CHECK(info.st_mtim.tv_sec == HandTar::mtime);
}

TEST_CASE("hostile names and links stay inside (threat 8)") {
  Bench bench;
  SECTION("'..' in a name") {
    const Failure failure = failure_of(bench, HandTar().file("a/../../canary", "dead").done());
    CHECK(failure.cause == "the name has a '..', which could leave the target");
    CHECK(failure.context == "entry 'a/../../canary'");
    CHECK(failure.code == ExitCode::outside);
  }
  SECTION("a link to the outside, then a file through it") {
    const std::string outside = bench.dir.path().string();
    bench.extract_bytes(HandTar()
                            .symlink("x", "..")
                            .file("x/canary", "dead")
                            .symlink("y", outside)
                            .file("y/canary", "dead")
                            .done());
    CHECK(read_file(bench.target() / "canary") == "dead");
    CHECK(fs::exists(bench.target() / outside.substr(1) / "canary"));
    bench.check_listing();
  }
  SECTION("a file over a link to the outside replaces the link") {
    bench.extract_bytes(HandTar().symlink("x", "../canary").file("x", "dead").done());
    CHECK_FALSE(fs::is_symlink(bench.target() / "x"));
  }
  SECTION("a hard link to a link to the outside, then content") {
    bench.extract_bytes(
        HandTar().symlink("x", "../canary").hard_link("y", "x").file("y", "dead").done());
    CHECK(read_file(bench.target() / "y") == "dead");
  }
  SECTION("a hard link to the outside") {
    CHECK(failure_of(bench, HandTar().hard_link("x", "../canary").done()).cause ==
          "the name has a '..', which could leave the target");
    CHECK(failure_of(bench, HandTar().hard_link("x", "/etc/passwd").done()).cause ==
          "'x' is a hard link to 'etc/passwd', which the archive does not have");
    CHECK(
        failure_of(bench, HandTar().symlink("up", "..").hard_link("x", "up/canary").done()).cause ==
        "'x' is a hard link to 'up/canary', which the archive does not have");
  }
  SECTION("links in a circle") {
    CHECK(failure_of(bench, HandTar().symlink("a", "b").symlink("b", "a").file("a/f", "x").done())
              .cause == "too many links on the way to 'a/f'");
  }
  SECTION("below a file") {
    CHECK(failure_of(bench, HandTar().file("a", "x").file("a/b", "y").done()).cause ==
          "'a' is no directory, yet entries are placed below it");
  }
  SECTION("a directory over a link to the outside, with modes") {
    bench.extract_bytes(
        HandTar().symlink("d", bench.dir.path().string()).directory("d/", 0777).done());
    CHECK((fs::status(bench.dir.path()).permissions() & fs::perms(0777)) == fs::perms(0700));
  }
  SECTION("a name of 300 bytes") {
    const Failure failure = failure_of(bench, HandTar().file(std::string(300, 'n'), "x").done());
    CHECK(failure.cause.find("cannot be a file name here: File name too long") !=
          std::string::npos);
    CHECK(failure.code == ExitCode::outside);
  }
  SECTION("a link of no text") {
    CHECK(failure_of(bench, HandTar().symlink("a", "").done()).cause == "'a' is a link to nothing");
  }
  bench.check_contained();
}

TEST_CASE("devices and FIFOs are left out with a warning, set-user-id stays") {
  Bench bench;
  bench.extract_bytes(HandTar()
                          .special('3', "dev/null")
                          .special('4', "dev/sda")
                          .special('6', "fifo")
                          .file("su", "x", 04755)
                          .done());
  CHECK(bench.warnings == std::vector<std::string>{"dev/null: device or FIFO, left out",
                                                   "dev/sda: device or FIFO, left out",
                                                   "fifo: device or FIFO, left out"});
  CHECK(bench.tree.entries.size() == 1);
  CHECK(bench.tree.find("su")->mode == 04755);
  bench.check_listing();
}

TEST_CASE("attributes: user.* stays, overlay's and foreign ones are dropped") {
  Bench bench;
  const Fd probe = open_file((bench.dir.path() / "canary").string(), O_RDONLY);
  if (fsetxattr(probe.get(), "user.probe", "1", 1, 0) != 0) {
    WARN("no user attributes on this filesystem: not tried");
    return;
  }
  HandTar tar;
  tar.pax({{"SCHILY.xattr.user.mine", "kept"},
           {"SCHILY.xattr.user.overlay.opaque", "y"},
           {"SCHILY.xattr.trusted.overlay.opaque", "y"},
           {"SCHILY.xattr.security.selinux", "label"}});
  tar.directory("d/");
  tar.pax({{"SCHILY.xattr.user.mine", "also"}, {"SCHILY.xattr.user.overlay.redirect", "/x"}});
  tar.file("f", "x", 0444);
  bench.extract_bytes(tar.done());
  const auto names = [&](const char* name) {
    char list[4096];
    const ssize_t size = llistxattr((bench.target() / name).c_str(), list, sizeof list);
    REQUIRE(size >= 0);
    std::vector<std::string> found;
    for (const std::string& one : split(std::string_view(list, static_cast<size_t>(size)), '\0'))
      if (starts_with(one, "user.") || starts_with(one, "trusted.")) found.push_back(one);
    return found;
  };
  CHECK(names("d") == std::vector<std::string>{"user.mine"});
  CHECK(names("f") == std::vector<std::string>{"user.mine"});
}

TEST_CASE("security.capability survives where we may set it") {
  if (geteuid() != 0) {
    WARN("needs root: not tried");
    return;
  }
  Bench bench;
  const std::string capability("\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  HandTar tar;
  tar.pax({{"SCHILY.xattr.security.capability", capability}}).file("ping", "x", 0755, 12, 34);
  ExtractOptions options;
  options.keep_owner = true;
  bench.extract_bytes(tar.done(), options);
  char value[64];
  CHECK(lgetxattr((bench.target() / "ping").c_str(), "security.capability", value, sizeof value) ==
        20);
  struct stat info {};
  REQUIRE(lstat((bench.target() / "ping").c_str(), &info) == 0);
  CHECK(info.st_uid == 12);
  CHECK(info.st_gid == 34);
  CHECK(bench.tree.find("ping")->uid == 12);
}

TEST_CASE("names of any bytes arrive as they are, in every format") {
  Bench bench;
  const std::string decomposed = "e\xcc\x81";  // é in two code points: must not be composed
  for (const std::string& name : {std::string("caf\xc3\xa9"), std::string("latin\xe9"), decomposed,
                                  std::string("new\nline"), std::string("back\\slash")}) {
    make_directories(bench.dir.path() / "in");
    write_file_atomic(bench.dir.path() / "in" / name, name);
  }
  const auto format = GENERATE(as<std::string>(), "gnu", "posix");
  shell("LC_ALL=C tar -C $1/in --format=$2 -cf $1/archive .", {bench.dir.path().string(), format});
  remove_tree(bench.dir.path() / "in");
  bench.extract_file(bench.dir.path() / "archive");
  CHECK(bench.tree.find("latin\xe9") != nullptr);
  CHECK(bench.tree.find(decomposed) != nullptr);
  CHECK(bench.tree.entries.size() == 5);
  bench.check_listing();
}

TEST_CASE("sparse files stay sparse and have the right digest") {
  Bench bench;
  make_directories(bench.dir.path() / "in");
  {
    const Fd file = open_file((bench.dir.path() / "in/s").string(), O_RDWR | O_CREAT, 0644);
    REQUIRE(pwrite(file.get(), "start", 5, 0) == 5);
    REQUIRE(pwrite(file.get(), "end", 3, 8 << 20) == 3);
    REQUIRE(ftruncate(file.get(), 16 << 20) == 0);
  }
  const auto format = GENERATE(as<std::string>(), "gnu", "posix");
  shell("tar -C $1/in --sparse --format=$2 -cf $1/archive .", {bench.dir.path().string(), format});
  remove_tree(bench.dir.path() / "in");
  bench.extract_file(bench.dir.path() / "archive");
  bench.check_listing();
  struct stat info {};
  REQUIRE(lstat((bench.target() / "s").c_str(), &info) == 0);
  CHECK(info.st_size == 16 << 20);
  CHECK(info.st_blocks * 512 < 1 << 20);
}

TEST_CASE("an archive cut short anywhere is an error, damage in any region is too") {
  Bench bench;
  make_directories(bench.dir.path() / "in");
  std::string noise;
  for (int i = 0; i < 3000; ++i) noise += hash_bytes(std::to_string(i)).hex();
  write_file_atomic(bench.dir.path() / "in/f", noise);
  write_file_atomic(bench.dir.path() / "in/g", noise);
  const auto filter = GENERATE(as<std::string>(), "", "--gzip", "--bzip2", "--xz", "--zstd");
  INFO(filter);
  shell("tar -C $1/in $2 -cf $1/whole f g", {bench.dir.path().string(), filter});
  const std::string whole = read_file(bench.dir.path() / "whole");
  remove_tree(bench.dir.path() / "in");
  // GNU tar pads a plain archive to 10 KiB past its two zero blocks; losing padding loses nothing.
  const size_t meaningful =
      filter.empty() ? whole.find_last_not_of('\0') / 512 * 512 + 512 : whole.size() - 1;
  for (const double part : {0.01, 0.3, 0.5, 0.77, 0.99, 1.0}) {
    const auto size = static_cast<size_t>(static_cast<double>(meaningful) * part);
    INFO(size << " of " << whole.size());
    const Failure failure = failure_of(bench, whole.substr(0, size));
    CHECK(failure.code == ExitCode::outside);
    CHECK_FALSE(failure.cause.empty());
  }
  if (filter.empty()) return;  // a plain tar has no checksum over its content
  for (const double part : {0.1, 0.5, 0.9}) {
    std::string flipped = whole;
    const auto at = static_cast<size_t>(static_cast<double>(whole.size()) * part);
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    CHECK(failure_of(bench, flipped).code == ExitCode::outside);
  }
  CHECK(failure_of(bench, whole).code == ExitCode::ok);
}

TEST_CASE("many gzip members are read to the last; garbage after them is told and ignored") {
  Bench bench;
  std::string noise;
  for (int i = 0; i < 3000; ++i) noise += hash_bytes(std::to_string(i)).hex();
  const std::string tar = HandTar().file("a", noise).file("b", noise).done();
  write_file_atomic(bench.dir.path() / "archive", tar);
  const std::string members = shell(
      "cd $1; for i in 0 1 2 3 4 5 6; do tail -c +$((i*60000+1)) archive | head -c 60000 | gzip -n;"
      "done",
      {bench.dir.path().string()});
  bench.extract_bytes(members);
  CHECK(bench.tree.find("b")->digest == hash_bytes(noise));
  CHECK(bench.warnings.empty());
  bench.extract_bytes(members + "garbage");
  CHECK(bench.warnings ==
        std::vector<std::string>{"bytes after the end of the archive were ignored"});
  // Cut between two members: the gzip is fine, the tar is not.
  const std::string first = shell("head -c 60000 $1/t | gzip -n", [&] {
    write_file_atomic(bench.dir.path() / "t", tar);
    return std::vector<std::string>{bench.dir.path().string()};
  }());
  CHECK(failure_of(bench, first).code == ExitCode::outside);
}

TEST_CASE("bytes that are no archive are told so") {
  Bench bench;
  CHECK(failure_of(bench, "").cause == "the archive is empty");
  for (const std::string& text : {std::string("<html>404</html>"), std::string(2000, 'x'),
                                  std::string("PK\3\4 not really a zip")}) {
    const Failure failure = failure_of(bench, text);
    CHECK(failure.code == ExitCode::outside);
    CHECK(starts_with(failure.cause, "the archive is damaged, cut short or of an unknown format"));
  }
}

TEST_CASE("bombs stop at the limits (threat 21)") {
  Bench bench;
  ExtractOptions options = Bench::plain();
  options.size_max_bytes = 1 << 20;
  SECTION("one large file") {
    const std::string tar = HandTar().file("zeros", std::string(2 << 20, '\0')).done();
    const Failure failure = failure_of(bench, tar, options);
    CHECK(failure.cause == "the archive expands to more than 1M");
    CHECK(failure.code == ExitCode::outside);
  }
  SECTION("many files together") {
    HandTar tar;
    for (int i = 0; i < 20; ++i) tar.file(std::to_string(i), std::string(100'000, 'x'));
    CHECK(failure_of(bench, tar.done(), options).cause == "the archive expands to more than 1M");
  }
  SECTION("a sparse file of 8 EiB") {
    const std::string tar = HandTar()
                                .pax({{"GNU.sparse.major", "1"},
                                      {"GNU.sparse.minor", "0"},
                                      {"GNU.sparse.name", "huge"},
                                      {"GNU.sparse.realsize", "9223372036854770000"}})
                                .file("GNUSparseFile.0/huge", "0\n" + std::string(510, '\0'))
                                .done();
    CHECK(failure_of(bench, tar, options).cause == "the archive expands to more than 1M");
  }
  SECTION("entries without end") {
    options.entries_max = 100;
    HandTar tar;
    for (int i = 0; i < 101; ++i) tar.file(std::to_string(i), "");
    CHECK(failure_of(bench, tar.done(), options).cause == "more than 100 entries");
  }
}

TEST_CASE("wrappers: dropped when one directory has bin/ or is all there is (SRC-6)") {
  Bench bench;
  ExtractOptions options = Bench::plain();
  options.strip_wrapper = true;
  options.bin_executable = true;
  SECTION("./bin at the root stays") {
    bench.extract_bytes(HandTar().file("./bin/detect", "x", 0644).file("./lib/bin/x", "").done(),
                        options);
    CHECK(bench.tree.find("bin/detect")->mode == 0755);
    CHECK(bench.tree.find("lib/bin/x")->mode == 0644);
  }
  SECTION("a wrapper that has bin/") {
    bench.extract_bytes(HandTar()
                            .directory("pack-1/", 0555)
                            .file("pack-1/bin/detect", "x", 0644)
                            .file("pack-1/pack-1/x", "same name")
                            .hard_link("pack-1/again", "pack-1/bin/detect")
                            .file("README", "beside it")
                            .done(),
                        options);
    CHECK(bench.tree.find("bin/detect")->mode == 0755);
    CHECK(bench.tree.find("again")->mode == 0755);
    CHECK(read_file(bench.target() / "pack-1/x") == "same name");
    CHECK(bench.tree.find("README") == nullptr);
  }
  SECTION("an app in a wrapper, without bin/") {
    bench.extract_bytes(HandTar().directory("app/").file("app/mix.exs", "x").done(), options);
    CHECK(bench.tree.find("mix.exs") != nullptr);
  }
  SECTION("two directories and no bin/: nothing is dropped") {
    bench.extract_bytes(HandTar().file("a/x", "").file("b/x", "").done(), options);
    CHECK(bench.tree.find("a/x") != nullptr);
  }
  bench.check_listing();
}

TEST_CASE("prefix: everything goes below it, the listing is relative to it") {
  Bench bench;
  ExtractOptions options = Bench::plain();
  options.prefix = "opt/pack";
  bench.extract_bytes(HandTar().symlink("abs", "/x").file("abs/f", "in").done(), options);
  CHECK(read_file(bench.target() / "opt/pack/x/f") == "in");
  CHECK(bench.tree.find("x/f") != nullptr);
}

TEST_CASE("OCI whiteouts become overlay's") {
  if (geteuid() != 0) {
    WARN("needs root: not tried");
    return;
  }
  Bench bench;
  ExtractOptions options = Bench::plain();
  options.whiteouts = true;
  bench.extract_bytes(HandTar()
                          .file("etc/.wh.passwd", "")
                          .file("new", "stays")
                          .file(".wh.new", "")
                          .file("var/.wh..wh..opq", "")
                          .file(".wh..wh.plnk", "")
                          .file("d/.wh.sub", "")
                          .directory("d/sub/")
                          .done(),
                      options);
  struct stat info {};
  REQUIRE(lstat((bench.target() / "etc/passwd").c_str(), &info) == 0);
  CHECK((S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)));
  CHECK(read_file(bench.target() / "new") == "stays");
  CHECK_FALSE(fs::exists(bench.target() / ".wh..wh.plnk"));
  char value[8];
  for (const char* dir : {"var", "d/sub"})
    CHECK(lgetxattr((bench.target() / dir).c_str(), "user.overlay.opaque", value, sizeof value) ==
          1);
  CHECK(bench.tree.find("etc/passwd") == nullptr);
}
