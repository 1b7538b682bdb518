// What `RUN --mount` and its other flags give a step (dockerfile.md R5 to R12, §10), at the worker.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <thread>

#include "base/error.h"
#include "base/process.h"
#include "base/text.h"
#include "catch2/catch.hpp"
#include "sandbox/fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using Catch::Matchers::Contains;
using slipway::sandbox::testing::Sandbox;

namespace {

/// A root of its own that can run the machine's programs, with an upper layer.
struct Step {
  explicit Step(Sandbox& given) : box(given) {
    root =
        box.layer({{"usr", 0755, {}}, {"bin", 0755, {}}, {"lib", 0755, {}}, {"lib64", 0755, {}}});
    spec.root.layers = {root};
    spec.env = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
    spec.host_ca = HostCa::none;
    for (const char* folder : {"/usr", "/bin", "/lib", "/lib64"}) {
      StepMount mount;
      mount.kind = StepMount::Kind::host_path;
      mount.source = mount.dest = folder;
      spec.mounts.push_back(mount);
    }
    fresh_upper();
  }
  void fresh_upper() {
    upper = box.store->allocate_snapshot(box.lease);
    box.made.push_back(upper);
    spec.root.upper = upper;
  }
  StepMount& mount(StepMount::Kind kind, const std::string& dest) {
    StepMount made;
    made.kind = kind;
    made.dest = dest;
    spec.mounts.push_back(made);
    return spec.mounts.back();
  }
  std::string run(const std::string& script) {
    const auto outcome = box.shell(script, spec);
    last = outcome.result;
    return outcome.all();
  }
  /// What the step left in its layer, as names.
  std::string left() {
    std::string names;
    for (const auto& entry : box.worker->scan({{upper, {}}, "", {}, {}}).tree.entries)
      names += entry.path + " ";
    return names;
  }
  SnapshotId files(const std::vector<std::pair<std::string, std::string>>& list) {
    const SnapshotId id = box.layer();
    const auto copy = box.worker->copy_in(id);
    const TempDir dir = TempDir::create("slipway-mount");
    for (const auto& [name, text] : list) {
      if (ends_with(name, "/")) {
        copy->directory(name.substr(0, name.size() - 1), 0755, {}, 0);
      } else if (starts_with(text, "->")) {
        copy->symlink(name, text.substr(2), {}, 0);
      } else {
        write_file_atomic(dir.path() / "f", text);
        copy->file(name, 0644, {}, 0, text.size(),
                   open_file((dir.path() / "f").string(), O_RDONLY));
      }
    }
    copy->finish();
    return id;
  }

  Sandbox& box;
  SnapshotId root = 0, upper = 0;
  ExecSpec spec;
  ExecResult last;
};

}  // namespace

TEST_CASE("mounts: a bind is read-only, or a copy that is thrown away (R5)") {
  Sandbox box;
  Step step(box);
  const SnapshotId tree = step.files({{"d/", ""}, {"d/f", "one"}, {"link", "->/d"}});
  StepMount& mount = step.mount(StepMount::Kind::layers, "/in");
  mount.layers = {tree};
  mount.source = "link";
  mount.readonly = true;
  CHECK(step.run("cat /in/f; touch /in/g 2>/dev/null || echo refused") == "onerefused\n");
  step.spec.mounts.back().readonly = false;
  CHECK(step.run("echo two > /in/f; cat /in/f; touch /in/g; ls /in") == "two\nf\ng\n");
  CHECK(step.run("cat /in/f; ls /in") == "onef\n");
  CHECK(step.left().empty());
  // One file alone, and one that is not there.
  step.spec.mounts.back().source = "d/f";
  step.spec.mounts.back().dest = "/etc/one.txt";
  CHECK(step.run("cat /etc/one.txt; echo x >> /etc/one.txt; ls /etc") ==
        "onehosts\none.txt\nresolv.conf\n");
  CHECK(step.left().empty());
  step.spec.mounts.back().source = "none";
  CHECK_THROWS_WITH(step.run("true"), Contains("its source 'none' does not exist"));
}

TEST_CASE("mounts: a cache persists, is made as asked, and can be seeded (R6, K11)") {
  Sandbox box;
  Step step(box);
  StepMount& mount = step.mount(StepMount::Kind::cache, "/cache");
  mount.name = "abc";
  mount.mode = 0750;
  if (!box.worker->single_id()) mount.owner = {1000, 1001};
  const std::string who = box.worker->single_id() ? "0:0" : "1000:1001";
  CHECK(step.run("stat -c '%a %u:%g' /cache; touch /cache/kept") == "750 " + who + "\n");
  CHECK(step.run("ls /cache") == "kept\n");
  CHECK(step.left().empty());
  // A seed fills a new one only, and is not written to through it.
  const SnapshotId seed = step.files({{"d/", ""}, {"d/f", "seed"}, {"out", "->/etc"}});
  step.spec.mounts.back().name = "def";
  step.spec.mounts.back().layers = {seed};
  step.spec.mounts.back().seed_path = "d";
  CHECK(step.run("cat /cache/f; echo changed > /cache/f") == "seed");
  CHECK(step.run("cat /cache/f") == "changed\n");
  step.spec.mounts.back().name = "ghi";
  CHECK(step.run("cat /cache/f") == "seed");
  // A part of it; a link in it does not lead out.
  step.spec.mounts.back().name = "jkl";
  step.spec.mounts.back().seed_path.clear();
  step.spec.mounts.back().source = "d";
  CHECK(step.run("ls /cache") == "f\n");
  step.spec.mounts.back().source = "out";
  CHECK_THROWS_WITH(step.run("ls /cache"), Contains("leads out of it"));
}

TEST_CASE("mounts: many steps make the same cache at once and share it") {
  Sandbox box;
  std::vector<std::jthread> threads;
  std::atomic<int> good{0};
  std::vector<std::unique_ptr<Step>> steps;
  for (int i = 0; i < 6; ++i) {
    steps.push_back(std::make_unique<Step>(box));
    StepMount& outer = steps.back()->mount(StepMount::Kind::cache, "/foo/bar");
    outer.name = "outer";
    StepMount& inner = steps.back()->mount(StepMount::Kind::cache, "/foo/bar/baz");
    inner.name = "inner";
  }
  for (auto& step : steps)
    threads.emplace_back([&] {
      if (step->run("touch /foo/bar/baz/$$.x && cd /foo/bar && echo ok") == "ok\n") ++good;
    });
  threads.clear();
  CHECK(good == 6);
}

TEST_CASE("mounts: a tmpfs has its size and forgets (R7)") {
  Sandbox box;
  Step step(box);
  StepMount& mount = step.mount(StepMount::Kind::tmpfs, "/scratch");
  mount.mode = 01777;
  mount.size_bytes = 128 << 20;
  CHECK_THAT(step.run("grep ' /scratch ' /proc/mounts; stat -c %a /scratch; touch /scratch/x"),
             Contains("size=131072k") && Contains("1777"));
  CHECK(step.run("ls /scratch").empty());
  CHECK(step.left().empty());
}

TEST_CASE("mounts: a secret is a file of its own, nowhere else, and goes without a trace (R8)") {
  Sandbox box;
  Step step(box);
  StepMount& mount = step.mount(StepMount::Kind::secret, "/run/secrets/token");
  mount.data = "s3cret";
  mount.mode = 0741;
  if (!box.worker->single_id()) mount.owner = {100, 102};
  StepMount& other = step.mount(StepMount::Kind::secret, "/mysecret");
  other.data = "x";
  other.mode = 0400;
  const std::string who = box.worker->single_id() ? "0:0" : "100:102";
  CHECK(step.run("stat -c '%a %u:%g' /run/secrets/token; cat /run/secrets/token; "
                 "(echo y >> /run/secrets/token) 2>/dev/null || echo refused") ==
        "741 " + who + "\ns3cretrefused\n");
  const std::string mounts = step.run("grep -E ' /(mysecret|run/secrets/token) ' /proc/mounts");
  for (const std::string& line : split(std::string(trim(mounts)), '\n')) {
    CHECK_THAT(line, Contains("ro,") && Contains("nosuid") && Contains("nodev"));
    CHECK((line.find("noexec") != std::string::npos) ==
          (line.find("mysecret") != std::string::npos));
  }
  CHECK(step.left().empty());
  step.spec.mounts.resize(4);
  CHECK(step.run("ls -d /mysecret /run 2>/dev/null").empty());
}

TEST_CASE("mounts: an agent answers through the parent (R9)") {
  if (find_program("python3").empty()) return;
  Sandbox box;
  Step step(box);
  // An agent that answers its own user only, with what it was sent.
  const std::string path = (box.dir.path() / "agent").string();
  const Fd server(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  REQUIRE(bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(server.get(), 4) == 0);
  std::atomic<uid_t> peer{12345};
  std::thread agent([&] {
    for (int i = 0; i < 2; ++i) {
      const Fd one(accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
      ucred who{};
      socklen_t size = sizeof who;
      (void)getsockopt(one.get(), SOL_SOCKET, SO_PEERCRED, &who, &size);
      peer = who.uid;
      char buffer[65536];
      size_t total = 0;
      while (const size_t count = read_some(one.get(), buffer, sizeof buffer)) {
        total += count;
        write_all(one.get(), std::string_view(buffer, count));
      }
    }
  });
  StepMount& mount = step.mount(StepMount::Kind::agent, "/run/buildkit/ssh_agent.0");
  mount.source = path;
  mount.mode = 0600;
  const std::string client =
      "import socket,sys;s=socket.socket(socket.AF_UNIX);"
      "s.connect('/run/buildkit/ssh_agent.0');import threading;d=b'x'*1000000;"
      "t=threading.Thread(target=lambda:(s.sendall(d),s.shutdown(1)));t.start();n=0\n"
      "while True:\n  p=s.recv(65536)\n  n+=len(p)\n  if not p: break\n"
      "print(n)";
  CHECK(step.run("stat -c '%a %F' /run/buildkit/ssh_agent.0; python3 -c \"" + client +
                 "\"; python3 -c \"" + client + "\"") == "600 socket\n1000000\n1000000\n");
  agent.join();
  CHECK(peer == geteuid());
  CHECK(step.left().empty());
}

TEST_CASE(
    "mounts: below /dev a mount lies over the runtime's, elsewhere of its own it is refused") {
  Sandbox box;
  Step step(box);
  const SnapshotId tree = step.files({{"EOF", "#!/bin/sh\necho ran $1\n"}});
  StepMount& mount = step.mount(StepMount::Kind::layers, "/dev/pipes");
  mount.layers = {tree};
  mount.readonly = true;
  CHECK(step.run("sh /dev/pipes/EOF x; test -c /dev/null && echo null") == "ran x\nnull\n");
  CHECK(step.left().empty());
  for (const char* dest : {"/proc/self", "/proc", "/sys/fs", "/dev", "/dev/../proc", "/x/../sys",
                           "/dev/pts", "relative", "/", "/.."}) {
    step.spec.mounts.back().dest = dest;
    INFO(dest);
    CHECK_THROWS_AS(step.run("true"), Error);
  }
}

TEST_CASE("mounts: no step leaves a trace of its mount points, and times stay (R12, X8)") {
  Sandbox box;
  Step step(box);
  const SnapshotId base = step.files({{"etc/", ""},
                                      {"var/", ""},
                                      {"link", "->dangling/x"},
                                      {"dangling/", ""},
                                      {"etc/resolv.conf", "->../run/x/resolv"}});
  step.spec.root.layers = {base, step.root};
  step.mount(StepMount::Kind::tmpfs, "/var/a/b");
  step.mount(StepMount::Kind::tmpfs, "/link/c");
  step.spec.host_ca = HostCa::in_etc;
  CHECK(step.run("stat -c %Y /etc /var; echo name > /etc/mine; ls /var/a /link /run/x") ==
        "0\n0\n/link:\nc\n\n/run/x:\nresolv\n\n/var/a:\nb\n");
  CHECK(step.left() == "dangling etc etc/mine ");
  // The folder that only a mount point was made in is as it was.
  const auto tree = box.worker->scan({{step.upper, {}}, "", {}, {}}).tree;
  CHECK(tree.find("dangling")->mtime_ns == 0);
  // A mount point that the step put something beside stays with that.
  step.fresh_upper();
  (void)step.run("touch /var/a/own");
  CHECK(step.left() == "dangling var var/a var/a/own ");
}

TEST_CASE("step: the host's bundle beside the root, for RUN") {
  Sandbox box;
  Step step(box);
  step.spec.network = graph::Network::host;
  step.spec.host_ca = HostCa::beside;
  const std::string seen = step.run("head -c 11 /dev/host-ca.crt 2>&1; ls -d /etc/ssl 2>&1");
  CHECK_THAT(seen, Contains("/etc/ssl'") || Contains("/etc/ssl:"));
  if (fs::exists("/etc/ssl/certs/ca-certificates.crt"))
    CHECK(seen.substr(0, 11).find("No such") == std::string::npos);
  CHECK(step.left().empty());
}

TEST_CASE("step: limits, shared memory and host names as asked") {
  Sandbox box;
  Step step(box);
  step.spec.ulimits = {{"nofile", 100, 200}, {"core", 0, 0}};
  step.spec.shm_size_bytes = 8 << 20;
  step.spec.extra_hosts = {"db:10.0.0.7", "six:fe80::1"};
  CHECK(step.run("ulimit -Sn; ulimit -Hn; grep -c 'size=8192k' /proc/mounts; "
                 "tail -n 2 /etc/hosts") == "100\n200\n1\n10.0.0.7\tdb\nfe80::1\tsix\n");
  step.spec.ulimits = {{"nonsense", 1, 1}};
  CHECK_THROWS_WITH(step.run("true"), Contains("--ulimit nonsense"));
  step.spec.ulimits = {{"nofile", 1, 4'000'000'000}};
  CHECK_THROWS_WITH(step.run("true"), Contains("the limit here is"));
}

TEST_CASE("step: insecure has every capability and no filter") {
  Sandbox box;
  Step step(box);
  step.spec.security = graph::Security::insecure;
  const std::string seen = step.run(
      "grep -E '^(CapEff|Seccomp:)' /proc/self/status; mount -t tmpfs x /usr && echo mounted");
  CHECK_THAT(seen, Contains("CapEff:\t000001ffffffffff") && Contains("Seccomp:\t0"));
}

TEST_CASE("step: a missing working directory is made for its user and stays (X9)") {
  Sandbox box;
  if (box.worker->single_id()) return;
  Step step(box);
  step.spec.user = "1000:1001";
  step.spec.cwd = "/made/here";
  CHECK(step.run("pwd; stat -c '%a %u:%g' . ..") == "/made/here\n755 1000:1001\n755 1000:1001\n");
  CHECK(step.left() == "made made/here ");
}

TEST_CASE("step: the command is the first process, and its daemons do not outlive it (X16)") {
  Sandbox box;
  Step step(box);
  CHECK(step.run("echo $$; sleep 100 & exit 0") == "1\n");
  CHECK(step.last.status.code == 0);
}

TEST_CASE("protection: a mount source that is a link to / is the source's own root (3)") {
  Sandbox box;
  Step step(box);
  const SnapshotId tree = step.files({{"out", "->/"}, {"up", "->../../../.."}, {"own", "mine"}});
  StepMount& mount = step.mount(StepMount::Kind::layers, "/in");
  mount.layers = {tree};
  mount.readonly = true;
  for (const char* source : {"out", "up", "up/../out", "../..", "/"}) {
    step.spec.mounts.back().source = source;
    INFO(source);
    CHECK(step.run("ls /in") == "out\nown\nup\n");
  }
}

TEST_CASE("protection: a step that exchanges a cache's folder for a link leads no mount out (2)") {
  if (find_program("python3").empty()) return;
  Sandbox box;
  Step racer(box), victim(box);
  StepMount& whole = racer.mount(StepMount::Kind::cache, "/cache");
  whole.name = "raced";
  StepMount& part = victim.mount(StepMount::Kind::cache, "/part");
  part.name = "raced";
  part.source = "sub";
  (void)racer.run("mkdir /cache/sub && echo inside > /cache/sub/mark && ln -s /etc /cache/other");
  std::string rounds;
  std::jthread racing([&] {
    rounds = racer.run(
        "python3 -c \"\nimport ctypes,os,time\n"
        "c=ctypes.CDLL(None,use_errno=True)\nn=0\nend=time.time()+60\n"
        "while n<1000000 and time.time()<end and (n<100000 or not os.path.exists('/cache/stop')):\n"
        "  c.syscall(316,-100,b'/cache/sub',-100,b'/cache/other',2)\n  n+=1\nprint(n)\"");
  });
  int inside = 0, refused = 0;
  for (int i = 0; i < 100; ++i) {
    victim.fresh_upper();
    try {
      const std::string seen = victim.run("ls /part; echo stolen > /part/mark");
      if (seen.find("mark") != std::string::npos) ++inside;
      CHECK(seen.find("passwd") == std::string::npos);
      CHECK(seen.find("hosts") == std::string::npos);
    } catch (const Error& error) {
      ++refused;
      CHECK(error.code() == ExitCode::app_files);
    }
  }
  (void)racer.box.shell("touch /cache/stop", racer.spec);
  racing.join();
  CHECK(inside + refused == 100);
  CHECK(std::stol(rounds) >= 100'000);
  CHECK_FALSE(fs::exists("/etc/mark"));
}
