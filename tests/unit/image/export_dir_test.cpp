#include "image/export_dir.h"

#include <sys/stat.h>

#include "base/error.h"
#include "image/image_fixture.h"

using namespace slipway;
using namespace slipway::image;
using namespace slipway::image::testing;
using archive::LayerEntry;
using archive::LayerEntryType;
using Catch::Matchers::Contains;

namespace {

struct Dirs : Exports {
  std::vector<std::string> warnings;
  DirOptions options;

  Dirs() {
    options.on_warning = [this](const std::string& text) { warnings.push_back(text); };
  }
  LayerEntry& special(cache::SnapshotId id, LayerEntryType type, const std::string& path,
                      uint32_t mode = 0755, const std::string& link = {}) {
    auto& entries = snapshots[id].listing.entries;
    LayerEntry entry;
    entry.type = type;
    entry.path = path;
    entry.mode = mode;
    entry.link = link;
    entry.mtime = 1'500'000'000;
    const auto at = std::upper_bound(
        entries.begin(), entries.end(), path,
        [](const std::string& wanted, const LayerEntry& one) { return wanted < one.path; });
    return *entries.insert(at, entry);
  }
  void write(const fs::path& target, cache::SnapshotId id) {
    export_dir(context(), trees(), target, {{{id}, ""}}, options);
  }
};

struct stat info_of(const fs::path& path) {
  struct stat info {};
  REQUIRE(lstat(path.c_str(), &info) == 0);
  return info;
}

}  // namespace

TEST_CASE("a tree comes out as files: modes, times, links; what gives rights away does not") {
  Dirs made;
  const cache::SnapshotId id = made.add({{"bin/su", "su"}, {"ro/f", "x"}, {"tmp/x", "y"}});
  made.snapshots[id].listing.entries[0].mode = 06755;
  made.special(id, LayerEntryType::directory, "bin");
  made.special(id, LayerEntryType::directory, "ro", 0555);
  made.special(id, LayerEntryType::directory, "tmp", 01777);
  made.special(id, LayerEntryType::hard_link, "bin/su2", 06755, "bin/su");
  made.special(id, LayerEntryType::symlink, "etc", 0777, "../../../outside");
  made.special(id, LayerEntryType::fifo, "fifo", 0600);
  made.special(id, LayerEntryType::character_device, "null", 0666);
  const fs::path out = made.out("rootfs");
  made.write(out, id);
  CHECK(files_below(out) == std::vector<std::string>{"bin", "bin/su", "bin/su2", "etc", "fifo",
                                                     "ro", "ro/f", "tmp", "tmp/x"});
  CHECK(read_file(out / "ro/f") == "x");
  CHECK((info_of(out / "bin/su").st_mode & 07777) == 0755);
  CHECK(info_of(out / "bin/su").st_ino == info_of(out / "bin/su2").st_ino);
  CHECK((info_of(out / "ro").st_mode & 07777) == 0555);
  CHECK((info_of(out / "tmp").st_mode & 07777) == 01777);
  CHECK(info_of(out / "tmp").st_mtime == 1'500'000'000);
  CHECK(info_of(out / "ro/f").st_mtime == 1'600'000'000);
  CHECK(info_of(out / "etc").st_mtime == 1'500'000'000);
  CHECK(fs::read_symlink(out / "etc") == "../../../outside");
  CHECK(S_ISFIFO(info_of(out / "fifo").st_mode));
  CHECK(info_of(out / "bin/su").st_uid == geteuid());
  CHECK(made.warnings == std::vector<std::string>{"null is a device and is left out"});
}

TEST_CASE("a folder that is there is merged into; its links are replaced, not followed") {
  Dirs made;
  const cache::SnapshotId id = made.add({{"d/f", "new"}, {"e/f", "new"}, {"file", "new"}});
  made.special(id, LayerEntryType::directory, "d");
  made.special(id, LayerEntryType::directory, "e");
  made.special(id, LayerEntryType::symlink, "l", 0777, "target");
  const fs::path out = made.out("out"), outside = made.out("outside");
  make_directories(out / "d");
  make_directories(out / "file/full");
  make_directories(outside);
  write_file_atomic(outside / "f", "precious");
  write_file_atomic(out / "kept", "kept");
  write_file_atomic(out / "l", "old");
  fs::create_symlink(outside, out / "e");
  fs::create_symlink(outside / "f", out / "d/f");
  made.write(out, id);
  CHECK(read_file(outside / "f") == "precious");
  CHECK(read_file(out / "e/f") == "new");
  CHECK(read_file(out / "d/f") == "new");
  CHECK(read_file(out / "file") == "new");
  CHECK(read_file(out / "kept") == "kept");
  CHECK(fs::read_symlink(out / "l") == "target");
  CHECK(files_below(out).size() == 7);
}

TEST_CASE("times newer than asked for are set to it, platforms get folders of their own (M18)") {
  Dirs made;
  made.options.clamp_time = 1'000;
  const cache::SnapshotId id = made.add({{"f", "x"}});
  oci::Platform arm;
  arm.architecture = "arm";
  arm.variant = "v7";
  CHECK(platform_folder(arm) == "linux_arm_v7");
  arm.os = "../x";
  CHECK(platform_folder(arm) == ".._x_arm_v7");
  export_dir(made.context(), made.trees(), made.out("out"),
             {{{id}, "linux_amd64"}, {{}, "linux_arm_v7"}}, made.options);
  CHECK(info_of(made.out("out/linux_amd64/f")).st_mtime == 1'000);
  CHECK(fs::is_empty(made.out("out/linux_arm_v7")));
}

TEST_CASE("a failed export of files leaves no half of them") {
  Dirs made;
  const cache::SnapshotId id = made.add({{"a", "x"}, {"b", "short"}});
  made.snapshots[id].listing.entries[1].size = 100;
  try {
    made.write(made.out("out"), id);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::machine);
    CHECK_THAT(error.what(), Contains("writing the files to"));
    CHECK(error.cause() == "b is shorter than its listing says");
  }
  CHECK_FALSE(fs::exists(made.out("out")));
  for (const std::string& name : files_below(made.dir.path()))
    CHECK(name.find(".out.") == std::string::npos);
  made.cancel.request();
  CHECK_THROWS_AS(made.write(made.out("out"), id), Interrupted);
}
