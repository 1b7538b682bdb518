// Rung chroot: what a step gives must be what rung oci gives.
#include <sys/xattr.h>

#include "base/error.h"
#include "catch2/catch.hpp"
#include "sandbox/chroot_step.h"
#include "sandbox/layer_stack.h"
#include "sandbox/small_root.h"

using namespace slipway;
using namespace slipway::sandbox;
using Catch::Matchers::Contains;
using slipway::sandbox::testing::Sandbox;
using slipway::sandbox::testing::small_root;

namespace {

bool possible() {
  return chroot_obstacle().empty();
}

/// A step on the small root of a worker of the given rung.
struct Step {
  explicit Step(Isolation isolation, const std::vector<std::string>& programs = {})
      : box(isolation), root(small_root(box, programs)) {
    spec.root.layers = {root};
    spec.env = {{"PATH", "/usr/bin:/bin"}};
    spec.network = graph::Network::host;
    spec.host_ca = HostCa::none;
  }
  /// Runs in a new layer over the last one.
  std::string run(const std::string& script) {
    spec.root.upper = box.store->allocate_snapshot(box.lease);
    box.made.push_back(spec.root.upper);
    const auto outcome = box.shell(script, spec);
    last = outcome.result;
    return outcome.all();
  }
  void stack() { spec.root.layers.insert(spec.root.layers.begin(), spec.root.upper); }
  /// What the last step's layer has over the rest, one entry a line.
  std::string changes() {
    LayerRequest request;
    request.stack = spec.root.layers;
    request.stack.insert(request.stack.begin(), spec.root.upper);
    std::string text;
    for (const auto& entry : box.worker->list_layer(request).listing.entries)
      text += fmt::format("{} {} {:o} {}:{} {} {} {}\n", entry.path, static_cast<int>(entry.type),
                          entry.mode, entry.uid, entry.gid, entry.size, entry.link,
                          entry.digest.short_hex());
    return text;
  }
  Sandbox box;
  SnapshotId root;
  ExecSpec spec;
  ExecResult last;
};

}  // namespace

TEST_CASE("chroot: layers are those of rung oci, whatever a step does") {
  if (!possible()) return;
  const std::vector<std::string> scripts = {
      "mkdir -p /a/b/c; echo one > /a/b/f; chmod 600 /a/b/f; ln -s f /a/b/link; ln /a/b/f /a/hard",
      "rm /a/b/f; echo two > /a/new; mv /a/b/c /a/moved; chmod 700 /a/b; mkfifo /a/pipe",
      "rm -r /a/b; mkdir /a/b; echo back > /a/b/again; cp -p /etc/passwd /etc/copy",
      "rm /a/new; mkdir /a/new; echo in > /a/new/in; rm -r /a/moved; echo file > /a/moved",
      "chown 1000:1001 /a/hard; touch /etc/passwd; ln /etc/passwd /etc/other; true",
      "mkdir /h; echo 1 > /h/a; ln /h/a /h/b; ln /h/a /h/c",
      "chmod 700 /h/*",
      "rm /h/a; echo 2 >> /h/b; cat /h/b /h/c",
      "rm -rf /a; ln -s /etc /a",
      "echo through > /a/link-target; chmod 1777 /tmp; echo x >> /etc/passwd",
      "true",
  };
  Step oci(Isolation::oci), chroot(Isolation::chroot);
  if (oci.box.worker->single_id()) return;
  for (const std::string& script : scripts) {
    INFO(script);
    CHECK(chroot.run(script) == oci.run(script));
    CHECK(chroot.last.status.code == oci.last.status.code);
    CHECK(chroot.changes() == oci.changes());
    oci.stack();
    chroot.stack();
  }
}

TEST_CASE("chroot: mounts are placed, work, and leave nothing (R5 to R9)") {
  if (!possible()) return;
  Step step(Isolation::chroot);
  const SnapshotId tree = step.box.layer({{"d", 0755, {}}});
  {
    const auto copy = step.box.worker->copy_in(tree);
    copy->symlink("way", "/d", {}, 0);
    copy->finish();
  }
  const auto mount = [&](StepMount::Kind kind, const std::string& dest) -> StepMount& {
    StepMount made;
    made.kind = kind;
    made.dest = dest;
    step.spec.mounts.push_back(made);
    return step.spec.mounts.back();
  };
  mount(StepMount::Kind::layers, "/in").layers = {tree};
  step.spec.mounts.back().source = "way";
  StepMount& cache = mount(StepMount::Kind::cache, "/var/cache/x");
  cache.name = "abc";
  cache.mode = 0755;
  mount(StepMount::Kind::tmpfs, "/scratch").mode = 01777;
  StepMount& secret = mount(StepMount::Kind::secret, "/run/secrets/token");
  secret.data = "s3cret";
  secret.mode = 0400;
  StepMount& hidden = mount(StepMount::Kind::secret, "/etc/passwd");
  hidden.data = "hidden";
  hidden.mode = 0444;
  const std::string seen = step.run(
      "ls -d /in /scratch; cat /run/secrets/token /etc/passwd; touch /var/cache/x/kept /scratch/y "
      "/in/z; test -c /dev/null && echo null; tail -n 1 /etc/hosts; stat -c %a /scratch "
      "/run/secrets/token");
  CHECK_THAT(seen, Contains("/in\n/scratch\ns3crethiddennull\n") && Contains("localhost") &&
                       Contains("1777\n400\n"));
  CHECK(step.changes().empty());
  step.stack();
  CHECK(step.run("ls /var/cache/x; head -n 1 /etc/passwd") == "kept\nhidden");
  step.spec.mounts.clear();
  CHECK(step.run("ls -d /in /scratch /run /var 2>/dev/null; head -n 1 /etc/passwd") ==
        "root:x:0:0:root:/root:/bin/sh\n");
  CHECK(step.changes().empty());
}

TEST_CASE("chroot: a cache is lost rather than filled with what is not its own") {
  if (!possible()) return;
  Step step(Isolation::chroot);
  StepMount cache;
  cache.kind = StepMount::Kind::cache;
  cache.dest = "/etc";
  cache.name = "abc";
  step.spec.mounts = {cache};
  const fs::path home = step.box.store->caches_dir() / "abc";
  CHECK(step.run("echo mine > /etc/kept; ls /etc") == "hosts\nkept\nresolv.conf\n");
  CHECK(fs::exists(home / "kept"));
  CHECK_FALSE(fs::exists(home / "hosts"));
  CHECK(step.changes().empty());
  // What it puts in the cache's place is not taken for the cache.
  CHECK(step.run("cat /etc/kept; rm -rf /etc; ln -s /tmp /etc") == "mine\n");
  CHECK_FALSE(fs::exists(fs::symlink_status(home)));
  CHECK(step.changes().empty());
  CHECK(step.run("ls /etc") == "hosts\nresolv.conf\n");
  // A folder that held a mount may go as a whole.
  step.spec.mounts[0].dest = "/tmp/deep/cache";
  CHECK(step.run("rm -rf /tmp/deep; ls /tmp").empty());
  CHECK(step.changes().empty());
}

TEST_CASE("chroot: users, working directories, limits, exit codes and time limits") {
  if (!possible()) return;
  Step step(Isolation::chroot);
  step.spec.user = "app";
  step.spec.cwd = "/home/app/work";
  CHECK(step.run("id; pwd; env | grep HOME; stat -c '%u:%g' .") ==
        "uid=1000(app) gid=1001 groups=1001\n/home/app/work\nHOME=/home/app\n1000:1001\n");
  CHECK_THAT(step.changes(), Contains("home/app/work 1 755 1000:1001"));
  step.spec.user = "1234";
  CHECK(step.run("id") == "uid=1234 gid=0 groups=0\n");
  step.spec.user = "nobody-knows";
  CHECK_THROWS_WITH(step.run("true"), Contains("no such user"));
  step.spec.user = "0:0";
  step.spec.cwd = "/";
  step.spec.ulimits = {{"nofile", 100, 200}};
  CHECK(step.run("ulimit -n; exit 7") == "100\n");
  CHECK(step.last.status.code == 7);
  step.spec.ulimits.clear();
  step.spec.argv = {"/no/such/program"};
  CHECK(step.box.run(step.spec).result.status.code == 127);
  step.spec.argv = {"/etc/passwd"};
  CHECK(step.box.run(step.spec).result.status.code == 126);
  step.spec.timeout = std::chrono::milliseconds(200);
  (void)step.run("sleep 30");
  CHECK(step.last.timed_out);
}

TEST_CASE("chroot: nothing outlives a step, and capabilities are Docker's at most (17, X16)") {
  if (!possible()) return;
  Step step(Isolation::chroot);
  const auto started = std::chrono::steady_clock::now();
  (void)step.run("(sleep 31.7 &) ; sleep 31.7 & exit 0");
  CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(10));
  RunOptions options;
  options.argv = {"pgrep", "-fx", "sleep 31.7"};
  CHECK(run(options).out.empty());
}

TEST_CASE("chroot: /dev/stdout and /dev/stderr are the step's streams, for every user") {
  if (!possible()) return;
  Step step(Isolation::chroot, {"tee"});
  step.spec.user = "1000";
  CHECK(step.run("echo one > /dev/stdout") == "one\n");
  CHECK(step.run("echo two > /dev/stderr") == "two\n");
  CHECK(step.run("echo three | tee /dev/stderr > /dev/null; cat /dev/stdin") == "three\n");
  // More than a pipe holds, and a writer that goes on until it is killed.
  CHECK(step.run("i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890; i=$((i+1)); "
                 "done > /dev/stdout")
            .size() == 3000 * 32);
  step.spec.timeout = std::chrono::milliseconds(300);
  CHECK_THAT(step.run("while true; do echo x > /dev/stderr; done"),
             Catch::Matchers::StartsWith("x\n"));
  CHECK(step.last.timed_out);
}

TEST_CASE("chroot: a step without a network opens no socket that leads out") {
  if (!possible()) return;
  Step step(Isolation::chroot, {"perl"});
  const std::string open_sockets =
      "for family in 2 10 16 17 1; do perl -e \"print socket(S, $family, 2, 0) ? 'open ' : "
      "'closed '\"; done";
  step.spec.network = graph::Network::none;
  CHECK(step.run(open_sockets) == "closed closed closed closed open ");
  step.spec.network = graph::Network::open;
  CHECK_THAT(step.run(open_sockets), Catch::Matchers::StartsWith("open "));
}

TEST_CASE("chroot: what it cannot give is refused by name, never done without") {
  if (!possible()) return;
  Step step(Isolation::chroot);
  step.spec.root.host = true;
  CHECK_THROWS_WITH(step.run("true"), Contains("the host's root"));
}

TEST_CASE("chroot: hostile links at /dev and at places of mounts stay in the root (2, 3, 10)") {
  if (!possible()) return;
  Step step(Isolation::chroot);
  const SnapshotId hostile = step.box.layer();
  {
    const auto copy = step.box.worker->copy_in(hostile);
    copy->symlink("dev", "/tmp", {}, 0);
    copy->finish();
  }
  step.spec.root.layers.insert(step.spec.root.layers.begin(), hostile);
  CHECK_THROWS_WITH(step.run("true"), Contains("/dev is not a directory"));
  step.spec.root.layers.erase(step.spec.root.layers.begin());
  const SnapshotId links = step.box.layer();
  {
    const auto copy = step.box.worker->copy_in(links);
    copy->symlink("out", "../../../../../../tmp", {}, 0);
    copy->finish();
  }
  step.spec.root.layers.insert(step.spec.root.layers.begin(), links);
  StepMount mount;
  mount.kind = StepMount::Kind::secret;
  mount.dest = "/out/stolen";
  mount.data = "x";
  step.spec.mounts = {mount};
  CHECK(step.run("cat /tmp/stolen") == "x");
  CHECK_FALSE(fs::exists("/tmp/stolen"));
  step.spec.mounts.clear();
  for (const char* cwd : {"/proc/self/fd/7", "/dev/fd/7", "/dev/../proc"}) {
    step.spec.cwd = cwd;
    CHECK_THROWS_WITH(step.run("pwd"), Contains("working directory"));
  }
}

TEST_CASE("chroot: where no whiteout can be made, an attribute stands for it") {
  Sandbox box;
  const TempDir dir = TempDir::create("slipway-whiteout");
  const Fd folder = open_file(dir.path().string(), O_RDONLY | O_DIRECTORY);
  write_file_atomic(dir.path() / "empty", "");
  write_file_atomic(dir.path() / "marked", "");
  const Fd file = open_file((dir.path() / "marked").string(), O_RDWR);
  if (fsetxattr(file.get(), "user.overlay.whiteout", "y", 1, 0) != 0) return;
  const auto shown = [&](const char* name) {
    return !is_whiteout(folder.get(), name, *stat_at(folder.get(), name));
  };
  CHECK(shown("empty"));
  CHECK_FALSE(shown("marked"));
}
