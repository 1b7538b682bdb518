#include "sandbox/worker.h"

#include <unistd.h>

#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "catch2/catch.hpp"
#include "sandbox/fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using Catch::Matchers::Contains;
using slipway::sandbox::testing::Sandbox;

namespace {

StepMount workspace_mount(const std::string& source, const std::string& dest) {
  StepMount mount;
  mount.kind = StepMount::Kind::workspace;
  mount.source = source;
  mount.dest = dest;
  return mount;
}

}  // namespace

TEST_CASE("worker: a command runs in the host stack") {
  Sandbox box;
  const auto outcome = box.shell("echo hello; echo oops >&2; exit 7");
  CHECK(outcome.out == "hello\n");
  CHECK(outcome.err == "oops\n");
  CHECK(outcome.result.status.code == 7);
  CHECK_FALSE(outcome.result.timed_out);
}

TEST_CASE("worker: the environment is exactly the one given") {
  Sandbox box;
  ExecSpec spec = Sandbox::host_step();
  spec.argv = {"/usr/bin/env"};
  spec.env = {{"B", "2"}, {"HOME", "/app"}, {"A", "with\nnewline"}};
  CHECK(box.run(spec).out == "B=2\nHOME=/app\nA=with\nnewline\n");
}

TEST_CASE("worker: a missing command is 127, one that cannot run 126") {
  Sandbox box;
  ExecSpec spec = Sandbox::host_step();
  spec.argv = {"/no/such/program"};
  CHECK(box.run(spec).result.status.code == 127);
  spec.argv = {"/etc/passwd"};
  CHECK(box.run(spec).result.status.code == 126);
}

TEST_CASE("worker: a workspace takes what a step writes, over its layers") {
  Sandbox box;
  const SnapshotId lower = box.layer({{"tmp/build", 0755, {}}});
  auto copy = box.worker->copy_in(lower);
  Pipe pipe = Pipe::create();
  const TempDir dir = TempDir::create("slipway-file");
  write_file_atomic(dir.path() / "a", "from below\n");
  copy->file("tmp/build/a", 0644, {}, 1000000000, 11, open_file(dir.path() / "a", O_RDONLY));
  copy->finish();
  const SnapshotId upper = box.layer({{"tmp", 01777, {}}});

  ExecSpec spec = Sandbox::host_step();
  spec.workspace = Workspace{upper, {lower}};
  spec.mounts = {workspace_mount("tmp", "/tmp")};
  spec.cwd = "/tmp/build";
  const auto outcome =
      box.shell("pwd; cat a; rm a; mkdir sub; echo new > sub/b; ls -d /tmp/*", spec);
  CHECK(outcome.all() == "/tmp/build\nfrom below\n/tmp/build\n");
  CHECK(outcome.result.status.code == 0);

  // The next step sees it, the root's changes are gone.
  CHECK(box.shell("cat sub/b; ls; touch /here", spec).out == "new\nsub\n");
  CHECK(box.shell("ls /here", spec).result.status.code != 0);

  ScanRequest scan;
  scan.tree = {upper, {lower}};
  scan.path = "tmp/build";
  const ScanResult found = box.worker->scan(scan);
  REQUIRE(found.tree.find("sub/b") != nullptr);
  CHECK(found.tree.find("sub/b")->size == 4);
  auto reader = box.worker->read_tree({upper, {lower}}, "tmp/build");
  std::vector<Fd> files = reader->open({"sub/b"});
  REQUIRE(files.size() == 1);
  CHECK(read_all(files[0].get()) == "new\n");
  CHECK_THROWS_WITH(reader->open({"a"}), Contains("a is missing"));
  CHECK(reader->open({"sub/b"}).size() == 1);
}

TEST_CASE("worker: hard links and renames work between the folders of one workspace mount") {
  Sandbox box;
  ExecSpec spec = Sandbox::host_step();
  spec.workspace =
      Workspace{box.layer({{"tmp/build", 0755, {}}, {"tmp/cache", 0755, {}}}), {box.layer()}};
  spec.mounts = {workspace_mount("tmp", "/tmp")};
  const auto outcome = box.shell(
      "cd /tmp/build && echo x > f && ln f /tmp/cache/g && mkdir d && mv d /tmp/cache/e && "
      "stat -c %h f && [ \"$(df --output=target /tmp/build | tail -1)\" = "
      "\"$(df --output=target /tmp/cache | tail -1)\" ] && echo same",
      spec);
  CHECK(outcome.all() == "2\nsame\n");
}

TEST_CASE("worker: private files are the user's, 0600, and nowhere else") {
  Sandbox box;
  if (box.worker->single_id()) return;
  ExecSpec spec = Sandbox::host_step();
  StepMount mount;
  mount.kind = StepMount::Kind::files;
  mount.dest = "/tmp/env";
  mount.files = {{"SECRET", "line1\nline2"}};
  mount.mode = 0700;
  mount.owner = {1000, 1000};
  spec.mounts = {mount};
  spec.user = "app";
  const auto outcome = box.shell(
      "id -u; id -g; stat -c '%a %u' /tmp/env /tmp/env/SECRET; cat /tmp/env/SECRET", spec);
  CHECK(outcome.all() == "1000\n1000\n700 1000\n600 1000\nline1\nline2");
}

TEST_CASE("worker: a working directory that is missing is made for the step's user") {
  Sandbox box;
  if (box.worker->single_id()) return;
  ExecSpec spec = Sandbox::host_step();
  spec.user = "1000:1000";
  spec.cwd = "/srv/new/place";
  CHECK(box.shell("pwd; stat -c '%a %u' .", spec).all() == "/srv/new/place\n755 1000\n");
}

TEST_CASE("worker: daemons neither hold up nor outlive a step") {
  Sandbox box;
  const auto start = std::chrono::steady_clock::now();
  const auto outcome = box.shell("sleep 300 & echo started; (sleep 300 >/dev/null &)");
  CHECK(outcome.out == "started\n");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

TEST_CASE("worker: the time limit ends a step") {
  Sandbox box;
  ExecSpec spec = Sandbox::host_step();
  spec.timeout = std::chrono::milliseconds(300);
  const auto outcome = box.shell("echo before; trap '' TERM; sleep 300", spec);
  CHECK(outcome.result.timed_out);
  CHECK_FALSE(outcome.result.status.ok());
  CHECK(outcome.out == "before\n");
}

TEST_CASE("worker: cancel ends a step and the worker stays usable") {
  Sandbox box;
  (void)box.shell("true");
  Cancel cancel;
  ExecSpec spec = Sandbox::host_step();
  spec.argv = {"/bin/sleep", "300"};
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    cancel.request();
  });
  ExecIo io;
  CHECK_THROWS_AS(box.worker->exec(spec, io, cancel), Interrupted);
  other.join();
  CHECK(box.shell("echo again").out == "again\n");
}

TEST_CASE("worker: steps run side by side") {
  Sandbox box;
  (void)box.shell("true");
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&box, &good, i] {
      const auto outcome = box.shell(fmt::format("sleep 0.1; echo {}", i));
      if (outcome.out == fmt::format("{}\n", i)) ++good;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 8);
}

TEST_CASE("worker: a signal byte reaches the step's first process") {
  Sandbox box;
  (void)box.shell("true");
  Pipe signals = Pipe::create();
  ExecSpec spec = Sandbox::host_step();
  spec.argv = {"/bin/sh", "-c",
               "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done"};
  std::string out;
  ExecIo io;
  io.signals_fd = signals.read.get();
  bool sent = false;
  io.on_stdout = [&](std::string_view text) {
    out += text;
    if (!sent && out.find("ready") != std::string::npos) {
      sent = true;
      write_all(signals.write.get(), std::string(1, static_cast<char>(15)));
    }
  };
  CHECK(box.worker->exec(spec, io, box.cancel).status.code == 5);
  CHECK(out == "ready\ngot\n");
}

TEST_CASE("worker: long output arrives whole and in order") {
  Sandbox box;
  const auto outcome = box.shell("seq 1 200000");
  CHECK(outcome.out.size() == 1288895);
  CHECK(ends_with(outcome.out, "199999\n200000\n"));
}

TEST_CASE("worker: layers are a root, its changes go to an upper") {
  Sandbox box;
  // A root made from the machine's own busy parts: enough to run a static-free shell is the host's
  // /usr, bound through the layers' own directories.
  const SnapshotId root = box.layer({{"etc", 0755, {}},
                                     {"usr", 0755, {}},
                                     {"bin", 0755, {}},
                                     {"lib", 0755, {}},
                                     {"lib64", 0755, {}},
                                     {"sbin", 0755, {}}});
  const SnapshotId upper = box.layer();
  ExecSpec spec;
  spec.root.layers = {root};
  spec.root.upper = upper;
  for (const char* folder : {"/usr", "/bin", "/lib", "/lib64"}) {
    StepMount mount;
    mount.kind = StepMount::Kind::host_path;
    mount.source = mount.dest = folder;
    spec.mounts.push_back(mount);
  }
  spec.env = {{"PATH", "/usr/bin:/bin"}};
  CHECK(box.shell("echo data > /etc/made; mkdir -p /opt/new", spec).all() == "");
  const ScanResult found = box.worker->scan({{upper, {}}, "", {}, {}});
  std::vector<std::string> paths;
  for (const auto& entry : found.tree.entries) paths.push_back(entry.path);
  // Nothing is left of mount points that had to be made (proc, dev, sys, hosts, resolv.conf).
  CHECK(paths == std::vector<std::string>{"etc", "etc/made", "opt", "opt/new"});

  // A read-only root refuses, and a mount point it lacks is still possible.
  spec.root = {{upper, root}, false, true, 0};
  StepMount tmpfs;
  tmpfs.dest = "/brand/new";
  spec.mounts.push_back(tmpfs);
  CHECK(box.shell("touch /x 2>/dev/null || echo refused; touch /brand/new/y && cat /etc/made", spec)
            .out == "refused\ndata\n");
}

TEST_CASE("worker: errors of the worker's come over as they are") {
  Sandbox box;
  CHECK_THROWS_WITH(box.worker->move(999999, "a", 5, "b"), Contains("999999"));
  ExecSpec spec = Sandbox::host_step();
  spec.argv = {"/bin/true"};
  spec.user = "nobody-knows";
  try {
    (void)box.run(spec);
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::app_files);
    CHECK_THAT(error.what(), Contains("no such user"));
  }
}

TEST_CASE("worker: a rung that does not work here is an error, never a step down") {
  // Root's layers of rung oci belong to other ids; an ordinary user may not change the root.
  Sandbox box;
  (void)box.layer();
  WorkerOptions options;
  options.store = box.store.get();
  options.isolation = Isolation::chroot;
  try {
    (void)Worker::start(options);
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::machine);
    if (geteuid() == 0)
      CHECK_THAT(error.hint(), Contains("SLIPWAY_HOME"));
    else
      CHECK_THAT(error.what(), Contains("it needs root"));
  }
}
