// What a step must not be able to do or see: threats.md 1, 2, 3, 5, 6, 10, 11, 16, 17, 25.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "catch2/catch.hpp"
#include "sandbox/fixture.h"
#include "sandbox/runtime_spec.h"
#include "sandbox/self_check.h"

using namespace slipway;
using namespace slipway::sandbox;
using Catch::Matchers::Contains;
using slipway::sandbox::testing::Sandbox;

namespace {

/// A root of the given layer that can run the host's programs.
ExecSpec layer_step(const std::vector<SnapshotId>& layers) {
  ExecSpec spec;
  spec.root.layers = layers;
  spec.env = {{"PATH", "/usr/bin:/bin"}};
  for (const char* folder : {"/usr", "/bin", "/lib", "/lib64"}) {
    StepMount mount;
    mount.kind = StepMount::Kind::host_path;
    mount.source = mount.dest = folder;
    spec.mounts.push_back(mount);
  }
  return spec;
}

ExitCode failure_of(const std::function<void()>& work, std::string* text = nullptr) {
  try {
    work();
  } catch (const Error& error) {
    if (text != nullptr) *text = error.what();
    return error.code();
  }
  return ExitCode::ok;
}

}  // namespace

TEST_CASE("protection: capabilities, seccomp, no_new_privs and groups as promised (6, 17)") {
  Sandbox box;
  const std::string fields = "grep -E '^(Cap|Seccomp:|NoNewPrivs|Groups|Uid)' /proc/self/status";
  const auto root = box.shell(fields);
  CHECK_THAT(root.out, Contains("CapInh:\t0000000000000000"));
  CHECK_THAT(root.out, Contains("CapPrm:\t00000000a80425fb"));
  CHECK_THAT(root.out, Contains("CapEff:\t00000000a80425fb"));
  CHECK_THAT(root.out, Contains("CapBnd:\t00000000a80425fb"));
  CHECK_THAT(root.out, Contains("CapAmb:\t0000000000000000"));
  CHECK_THAT(root.out, Contains("NoNewPrivs:\t1"));
  CHECK_THAT(root.out, Contains("Seccomp:\t2"));
  ExecSpec spec = Sandbox::host_step();
  spec.security = graph::Security::sandbox;
  CHECK_THAT(box.shell(fields, spec).out, Contains("NoNewPrivs:\t0"));
  if (box.worker->single_id()) return;
  spec.user = "1000:1000";
  const auto user = box.shell(fields, spec);
  CHECK_THAT(user.out, Contains("CapEff:\t0000000000000000"));
  CHECK_THAT(user.out, Contains("CapPrm:\t0000000000000000"));
  CHECK_THAT(user.out, Contains("Groups:\t1000 \n"));
}

TEST_CASE("protection: only 0, 1 and 2 are open in a step (1)") {
  Sandbox box;
  const Fd stray = open_file("/etc/passwd", O_RDONLY);
  fcntl(stray.get(), F_SETFD, 0);  // the parent leaks one on purpose
  const auto outcome = box.shell("for f in /proc/$$/fd/*; do [ -e $f ] && echo ${f##*/}; done");
  CHECK(outcome.out == "0\n1\n2\n");
}

TEST_CASE("protection: a working directory in /proc is refused, links cannot lead there (1)") {
  Sandbox box;
  const SnapshotId layer = box.layer({{"usr", 0755, {}},
                                      {"bin", 0755, {}},
                                      {"lib", 0755, {}},
                                      {"lib64", 0755, {}},
                                      {"proc", 0755, {}}});
  auto copy = box.worker->copy_in(layer);
  copy->symlink("way", "/proc/self/fd/7", {}, 0);
  copy->symlink("up", "../../../..", {}, 0);
  copy->finish();
  ExecSpec spec = layer_step({layer});
  for (const int number : {3, 7, 42, 99}) {
    spec.cwd = fmt::format("/proc/self/fd/{}", number);
    CHECK(failure_of([&] { (void)box.shell("pwd", spec); }) == ExitCode::app_files);
    for (const char* way : {"/dev/../proc/self/fd/{}", "/dev/fd/{}", "/sys/../dev/./fd/{}"}) {
      spec.cwd = fmt::format(fmt::runtime(way), number);
      CHECK(failure_of([&] { (void)box.shell("pwd", spec); }) == ExitCode::app_files);
    }
  }
  for (const char* own : {"/dev", "/dev/shm", "/sys/kernel"}) {
    spec.cwd = own;
    CHECK(box.shell("pwd", spec).out == std::string(own) + "\n");
  }
  copy = box.worker->copy_in(layer);
  copy->symlink("device", "/dev/fd/7", {}, 0);
  copy->finish();
  spec.cwd = "/device";
  CHECK(failure_of([&] { (void)box.shell("pwd", spec); }) == ExitCode::app_files);
  spec.cwd = "/way";
  CHECK(failure_of([&] { (void)box.shell("pwd", spec); }) == ExitCode::app_files);
  spec.cwd = "/up/etc";
  CHECK(box.shell("pwd; ls -A .", spec).out == "/etc\nhosts\nresolv.conf\n");
}

TEST_CASE("protection: hostile /dev, /proc and /etc of a root are not followed (10, 11)") {
  Sandbox box;
  for (const char* name : {"dev", "proc", "sys"}) {
    const SnapshotId layer = box.layer({{"usr", 0755, {}}, {"tmp", 0755, {}}});
    auto copy = box.worker->copy_in(layer);
    copy->symlink(name, "/tmp", {}, 0);
    copy->finish();
    std::string text;
    CHECK(failure_of([&] { (void)box.shell("true", layer_step({layer})); }, &text) ==
          ExitCode::app_files);
    CHECK_THAT(text, Contains("not a directory"));
  }
  // A link as /etc/resolv.conf, absolute or upwards, stays inside the root.
  const SnapshotId layer = box.layer({{"usr", 0755, {}},
                                      {"bin", 0755, {}},
                                      {"lib", 0755, {}},
                                      {"lib64", 0755, {}},
                                      {"etc", 0755, {}}});
  auto copy = box.worker->copy_in(layer);
  copy->symlink("etc/hosts", "/../../run/made/hosts", {}, 0);
  copy->symlink("etc/resolv.conf", "../run/other/resolv.conf", {}, 0);
  copy->finish();
  const auto outcome = box.shell("cat /run/made/hosts", layer_step({layer}));
  CHECK_THAT(outcome.out, Contains("127.0.0.1\tlocalhost"));
}

TEST_CASE("protection: mount sources and targets stay where they belong (3, 4)") {
  Sandbox box;
  const SnapshotId upper = box.layer({{"tmp", 0755, {}}});
  auto copy = box.worker->copy_in(upper);
  copy->symlink("tmp/out", "/etc", {}, 0);
  copy->symlink("tmp/up", "../../../../../etc", {}, 0);
  copy->finish();
  ExecSpec spec = Sandbox::host_step();
  spec.workspace = Workspace{upper, {}};
  StepMount mount;
  mount.kind = StepMount::Kind::workspace;
  mount.dest = "/tmp";
  for (const char* source : {"tmp/out", "tmp/up", "../../etc", "/../../etc"}) {
    mount.source = source;
    spec.mounts = {mount};
    CHECK(failure_of([&] { (void)box.shell("ls /tmp", spec); }) == ExitCode::machine);
  }
  mount.kind = StepMount::Kind::cache;
  for (const char* name : {"../snapshots", "..", "", "a/b"}) {
    mount.name = name;
    spec.mounts = {mount};
    CHECK(failure_of([&] { (void)box.shell("ls /tmp", spec); }) == ExitCode::app_files);
  }
  mount.kind = StepMount::Kind::tmpfs;
  for (const char* dest : {"/proc/self", "/dev/shm", "/sys/fs", "/", "relative", ""}) {
    mount.dest = dest;
    spec.mounts = {mount};
    CHECK(failure_of([&] { (void)box.shell("true", spec); }) == ExitCode::app_files);
  }
  mount.kind = StepMount::Kind::files;
  mount.dest = "/tmp/env";
  for (const char* name : {"../escape", "a/b", "..", ""}) {
    mount.files = {{name, "x"}};
    spec.mounts = {mount};
    CHECK(failure_of([&] { (void)box.shell("true", spec); }) == ExitCode::app_files);
  }
}

TEST_CASE("protection: removing a made mount point cannot be led astray (5)") {
  Sandbox box;
  const SnapshotId layer = box.layer({{"usr", 0755, {}},
                                      {"bin", 0755, {}},
                                      {"lib", 0755, {}},
                                      {"lib64", 0755, {}},
                                      {"canary", 0755, {}}});
  const SnapshotId upper = box.layer();
  ExecSpec spec = layer_step({layer});
  spec.root.upper = upper;
  StepMount mount;
  mount.dest = "/made/here";
  spec.mounts.push_back(mount);
  // The step exchanges the mount point's parent for a link to the canary.
  (void)box.shell("mkdir /canary/here; mv /made /away 2>/dev/null; ln -s /canary /made; true",
                  spec);
  CHECK(box.shell("ls /canary", layer_step({upper, layer})).out == "here\n");
}

TEST_CASE("protection: nothing of the host shows (16)") {
  Sandbox box;
  setenv("SLIPWAY_TEST_SECRET", "do-not-leak", 1);
  const auto outcome = box.shell(
      "env; cat /proc/1/environ | tr '\\0' '\\n'; ls /; ls /home /root /run /var/log 2>&1; "
      "cat /etc/shadow 2>&1; ls /etc/ssh /etc/ssl/private 2>&1; ls /proc | grep -c '^[0-9]'");
  unsetenv("SLIPWAY_TEST_SECRET");
  CHECK_THAT(outcome.out, !Contains("do-not-leak"));
  CHECK_THAT(outcome.out, !Contains("old"));
  CHECK_THAT(outcome.out, Contains("/etc/shadow: No such file"));
  CHECK_THAT(outcome.out, !Contains("ssh_host"));
}

TEST_CASE("protection: calls that reach past the step are refused") {
  Sandbox box;
  CHECK(box.shell("unshare -U true 2>&1").result.status.code != 0);
  CHECK(box.shell("unshare -m true 2>&1").result.status.code != 0);
  CHECK(box.shell("mount -t tmpfs x /tmp 2>&1").result.status.code != 0);
  CHECK(box.shell("echo x > /proc/sys/kernel/hostname").result.status.code != 0);
  CHECK(box.shell("mkdir /sys/fs/cgroup/x").result.status.code != 0);
  CHECK(box.shell("head -c 1 /proc/kcore | wc -c").out == "0\n");
}

TEST_CASE("protection: a step that escaped would be nobody on the host") {
  if (geteuid() != 0) return;
  Sandbox box;
  const SnapshotId upper = box.layer({{"tmp", 01777, {}}});
  ExecSpec spec = Sandbox::host_step();
  spec.workspace = Workspace{upper, {}};
  StepMount mount;
  mount.kind = StepMount::Kind::workspace;
  mount.source = "tmp";
  mount.dest = "/tmp";
  spec.mounts = {mount};
  (void)box.shell("touch /tmp/mine", spec);
  struct stat info {};
  const std::string path =
      (box.store->snapshots_dir() / fmt::format("{}/fs/tmp/mine", upper)).string();
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK(info.st_uid == box.store->id_base());
  CHECK(info.st_uid >= 65536);
}

TEST_CASE("protection: the check from inside fails closed (25)") {
  const std::string good =
      "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
      "CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
      "fd 0\nfd 1\nfd 2\npid 1\nnet Inter-|\nnet face\nnet lo:\nend-of-report\n";
  CHECK(judge_self_check(good).empty());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return judge_self_check(text);
  };
  CHECK_THAT(with("Seccomp:\t2", "Seccomp:\t0"), Contains("seccomp"));
  CHECK_THAT(with("NoNewPrivs:\t1", "NoNewPrivs:\t0"), Contains("no_new_privs"));
  CHECK_THAT(with("CapBnd:\t00000000a80425fb", "CapBnd:\t000001ffffffffff"), Contains("CapBnd"));
  CHECK_THAT(with("CapAmb:\t0000000000000000", "CapAmb:\t0000000000000400"), Contains("CapAmb"));
  CHECK_THAT(with("Seccomp:\t2\n", ""), Contains("does not tell"));
  CHECK_THAT(with("fd 2\n", "fd 2\nfd 7\n"), Contains("descriptor 7"));
  CHECK_THAT(with("pid 1", "pid 4711"), Contains("pid namespace"));
  CHECK_THAT(with("net lo:\n", "net lo:\nnet eth0:\n"), Contains("eth0"));
  CHECK_THAT(with("pid 1\n", "pid 1\nseen /proc/kcore\n"), Contains("/proc/kcore can be seen"));
  CHECK_THAT(with("pid 1\n", "pid 1\nwritable /proc/sys\n"), Contains("/proc/sys can be written"));
  CHECK_THAT(with("end-of-report\n", ""), Contains("did not finish"));
  CHECK_THAT(judge_self_check(""), Contains("did not finish"));
}

TEST_CASE("protection: a missing protection stops the worker's first step") {
  Sandbox box;
  box.store->remove_value("sandbox", "checked");
  CHECK_THROWS_WITH(self_check(*box.store, "fake runtime",
                               [](const ExecSpec&, const ExecIo& io) {
                                 io.on_stdout("Seccomp:\t0\nend-of-report\n");
                                 return ExecResult{};
                               }),
                    Contains("the sandbox does not protect: no seccomp filter"));
  CHECK_FALSE(box.store->find_value("sandbox", "checked"));
}

TEST_CASE("protection: state is the owner's alone (22)") {
  Sandbox box;
  (void)box.layer();
  for (const fs::path& path :
       {box.store->root(), box.store->snapshots_dir(), box.store->caches_dir()}) {
    struct stat info {};
    REQUIRE(stat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0700);
  }
}
