// Rung none: the same contract without namespaces.
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"
#include "catch2/catch.hpp"
#include "sandbox/fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using Catch::Matchers::Contains;
using slipway::sandbox::testing::Sandbox;

namespace {

/// A name below /tmp that nobody else uses.
std::string own_name() {
  return "slipway-plain-" + to_hex(random_bytes(6));
}

ExecSpec step_in(const SnapshotId upper, const std::vector<SnapshotId>& layers) {
  ExecSpec spec = Sandbox::host_step();
  spec.workspace = Workspace{upper, layers};
  StepMount mount;
  mount.kind = StepMount::Kind::workspace;
  mount.source = "tmp";
  mount.dest = "/tmp";
  spec.mounts = {mount};
  return spec;
}

}  // namespace

TEST_CASE("plain: a step finds the workspace at its place, and the place is free afterwards") {
  Sandbox box(Isolation::none);
  CHECK(box.worker->single_id());
  CHECK_THAT(box.worker->describe(), Contains("no isolation"));
  const std::string name = own_name();
  const SnapshotId lower = box.layer({{"tmp/" + name, 0755, {}}});
  graph::FileAction action;
  action.kind = graph::FileAction::Kind::mkfile;
  action.dest = "/tmp/" + name + "/a";
  action.data = "from below\n";
  const SnapshotId files = box.layer();
  box.worker->apply_files(files, {{lower}, {{action, {}, {}}}});
  const SnapshotId upper = box.layer({{"tmp", 0755, {}}});
  ExecSpec spec = step_in(upper, {files, lower});
  spec.cwd = "/tmp/" + name;
  const auto outcome = box.shell("pwd -P; cat a; rm a; echo new > b; env | grep -v ^PWD=", spec);
  CHECK(outcome.out == fmt::format("/tmp/{}\nfrom below\nPATH=/usr/bin:/bin\n", name));
  CHECK_FALSE(fs::exists("/tmp/" + name));
  CHECK(box.shell("ls", spec).out == "b\n");

  const ScanResult found = box.worker->scan({{upper, {files, lower}}, "tmp/" + name, {}, {}});
  REQUIRE(found.tree.entries.size() == 1);
  CHECK(found.tree.entries[0].path == "b");
  auto reader = box.worker->read_tree({upper, {files, lower}}, "tmp/" + name);
  CHECK(read_all(reader->open({"b"})[0].get()) == "new\n");
  CHECK_THROWS_AS(reader->open({"a"}), Error);
}

TEST_CASE("plain: what stands at a place and is not ours is left alone") {
  Sandbox box(Isolation::none);
  const std::string name = own_name();
  const fs::path place = "/tmp/" + name;
  make_directories(place);
  std::ofstream(place / "mine") << "keep";
  const SnapshotId upper = box.layer({{"tmp/" + name, 0755, {}}, {"tmp/a" + name, 0755, {}}});
  try {
    (void)box.shell("true", step_in(upper, {}));
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::machine);
    CHECK_THAT(error.what(), Contains(name));
    CHECK_THAT(error.hint(), Contains("move it away"));
  }
  CHECK(fs::exists(place / "mine"));
  CHECK_FALSE(fs::exists("/tmp/a" + name));
  remove_tree(place);
  CHECK(box.shell("ls -d /tmp/a" + name, step_in(upper, {})).result.status.ok());
}

TEST_CASE("plain: private files go when the step is over") {
  Sandbox box(Isolation::none);
  const std::string place = "/tmp/" + own_name();
  ExecSpec spec = Sandbox::host_step();
  StepMount mount;
  mount.kind = StepMount::Kind::files;
  mount.dest = place;
  mount.mode = 0700;
  mount.files = {{"KEY", "value"}};
  spec.mounts = {mount};
  CHECK(box.shell(fmt::format("stat -c %a {0} {0}/KEY; cat {0}/KEY", place), spec).out ==
        "700\n600\nvalue");
  CHECK_FALSE(fs::exists(place));
}

TEST_CASE("plain: exit codes, time limit, cancel, missing command and daemons") {
  Sandbox box(Isolation::none);
  CHECK(box.shell("exit 7").result.status.code == 7);
  ExecSpec spec = Sandbox::host_step();
  spec.argv = {"/no/such/program"};
  CHECK(box.run(spec).result.status.code == 127);
  spec = Sandbox::host_step();
  spec.timeout = std::chrono::milliseconds(200);
  CHECK(box.shell("sleep 60", spec).result.timed_out);
  const auto start = std::chrono::steady_clock::now();
  CHECK(box.shell("sleep 60 & echo x").out == "x\n");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
  Cancel cancel;
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    cancel.request();
  });
  spec = Sandbox::host_step();
  spec.argv = {"/bin/sleep", "60"};
  CHECK_THROWS_AS(box.worker->exec(spec, {}, cancel), Interrupted);
  other.join();
}

TEST_CASE("plain: another root than the machine's is refused with the way out") {
  Sandbox box(Isolation::none);
  ExecSpec spec = Sandbox::host_step();
  spec.root.host = false;
  spec.root.layers = {box.layer()};
  try {
    (void)box.shell("true", spec);
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::machine);
    CHECK_THAT(error.hint(), Contains("--stack=host"));
  }
}

TEST_CASE("plain: what a killed build left at its places is swept") {
  Sandbox box(Isolation::none);
  const std::string name = own_name();
  const fs::path place = "/tmp/" + name;
  make_directories(place / "left");
  struct stat info {};
  REQUIRE(stat(place.c_str(), &info) == 0);
  box.store->put_value("sandbox", "plain places",
                       Json::array({{{"place", place.string()},
                                     {"inode", static_cast<uint64_t>(info.st_ino)},
                                     {"keep", false}}}));
  const SnapshotId upper = box.layer({{"tmp/" + name, 0755, {}}});
  CHECK(box.shell("ls /tmp/" + name, step_in(upper, {})).out == "");
  CHECK_FALSE(fs::exists(place));
}
