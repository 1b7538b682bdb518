#include "sandbox/ids.h"

#include <grp.h>
#include <linux/mount.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "sandbox/chroot_step.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {
namespace {

constexpr uint32_t ids_wanted = 65536;
constexpr size_t subid_file_max = 4 << 20;

std::optional<uint32_t> parse_id(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::string user_name(uid_t uid) {
  char buffer[16384];
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr)
    return found->pw_name;
  return {};
}

/// Whether this process lives in a user namespace that has all ids (the machine's own).
bool has_all_ids(const char* map_file) {
  const std::string map = read_file(map_file, 65536);
  uint64_t inside = 1, outside = 1, count = 0;
  return sscanf(map.c_str(), "%lu %lu %lu", &inside, &outside, &count) == 3 && inside == 0 &&
         outside == 0 && count >= 4294967295U;
}

void write_map(pid_t pid, const char* file, const std::string& text) {
  const std::string path = fmt::format("/proc/{}/{}", pid, file);
  const Fd fd = open_file(path, O_WRONLY);
  // A map is taken in one write or not at all.
  if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    fail_errno("write {} of the sandbox's user namespace", file);
}

void map_with_helper(const std::string& helper, pid_t pid, uint32_t self, const IdRange& range) {
  const std::string program = find_program(helper);
  if (program.empty())
    throw Error(ExitCode::machine, fmt::format("{} is not installed", helper))
        .set_hint("sudo apt-get install -y uidmap");
  RunOptions options;
  options.argv = {program,
                  std::to_string(pid),
                  "0",
                  std::to_string(self),
                  "1",
                  "1",
                  std::to_string(range.outside),
                  std::to_string(range.count)};
  const RunResult result = run(options);
  if (!result.status.ok())
    throw Error(ExitCode::machine, fmt::format("{} refused to map {}+{}: {}", helper, range.outside,
                                               range.count, trim(result.err)))
        .set_hint(fmt::format("check /etc/subuid and /etc/subgid, and that {} is setuid root or "
                              "has the file capability",
                              program));
}

void write_maps(pid_t pid, const IdPlan& ids) {
  switch (ids.kind) {
    case IdPlan::Kind::root_range:
      write_map(pid, "uid_map", fmt::format("0 {} {}\n", ids.uids.outside, ids.uids.count));
      write_map(pid, "gid_map", fmt::format("0 {} {}\n", ids.gids.outside, ids.gids.count));
      return;
    case IdPlan::Kind::subids:
      map_with_helper("newuidmap", pid, ids.self_uid, ids.uids);
      map_with_helper("newgidmap", pid, ids.self_gid, ids.gids);
      return;
    case IdPlan::Kind::single:
      write_map(pid, "setgroups", "deny");
      write_map(pid, "uid_map", fmt::format("0 {} 1\n", ids.self_uid));
      write_map(pid, "gid_map", fmt::format("0 {} 1\n", ids.self_gid));
      return;
  }
}

/// What the child was doing when it failed; the order of the texts in `stage_text`.
enum class Stage : int { none, chdir, unshare, private_mounts, trees, ids, clone, exec };
constexpr const char* stage_text[] = {"",
                                      "enter the store",
                                      "create namespaces (unshare)",
                                      "make mounts private",
                                      "open the store's directories in the namespace",
                                      "take on id 0 of the namespace",
                                      "start the worker in a pid namespace",
                                      "execute the worker"};

struct ChildReport {
  Stage stage = Stage::none;
  int error = 0;
  pid_t worker = 0;
};

struct ChildInput {
  const char* store_root;
  int program, control;
  int go, report;
  int parent_ends[2];
  bool drop_groups;
  char* const* argv;
  char* const* env;
};

int open_tree_clone(const char* path) {
  return static_cast<int>(
      syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
}

[[noreturn]] void give_up(const ChildInput& in, Stage stage) {
  const ChildReport report{stage, errno, 0};
  if (write(in.report, &report, sizeof report) < 0) _exit(126);
  _exit(127);
}

/// Puts `fd` at exactly `number`, to be kept over exec. Sources lie above all targets.
bool place(int fd, int number) {
  return dup2(fd, number) == number;
}

/// The child. Only async-signal-safe calls: the parent has threads.
[[noreturn]] void run_child(const ChildInput& in) {
  // Our copies would hide the parent's death.
  for (const int fd : in.parent_ends) close(fd);
  // With the parent's rights: the way to the store may be closed to everybody else. The current
  // directory follows into the copied mount namespace.
  if (chdir(in.store_root) != 0) give_up(in, Stage::chdir);
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID) != 0) give_up(in, Stage::unshare);
  const ChildReport ready{};
  if (write(in.report, &ready, sizeof ready) != sizeof ready) _exit(127);
  char go = 0;
  if (read(in.go, &go, 1) != 1) _exit(127);  // the parent failed to write the maps, or died

  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    give_up(in, Stage::private_mounts);
  // Still the store's owner here; afterwards its 0700 folders cannot be entered any more.
  const int snapshots = open_tree_clone("snapshots");
  const int caches = open_tree_clone("caches");
  if (snapshots < 0 || caches < 0) give_up(in, Stage::trees);
  if (chdir("/") != 0) give_up(in, Stage::trees);
  if (in.drop_groups && syscall(SYS_setgroups, 0, nullptr) != 0) give_up(in, Stage::ids);
  if (syscall(SYS_setresgid, 0, 0, 0) != 0 || syscall(SYS_setresuid, 0, 0, 0) != 0)
    give_up(in, Stage::ids);

  // A sibling rather than a child, so that the parent can wait for it.
  const long worker = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
  if (worker < 0) give_up(in, Stage::clone);
  if (worker > 0) {
    const ChildReport report{Stage::none, 0, static_cast<pid_t>(worker)};
    _exit(write(in.report, &report, sizeof report) == sizeof report ? 0 : 127);
  }
  // Ctrl-C at the terminal reaches the parent alone, which then ends us in order.
  setpgid(0, 0);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  const int fds[] = {in.control, snapshots, caches, in.program, in.report, null};
  int high[6];
  for (int i = 0; i < 6; ++i) {
    high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 20);
    if (high[i] < 0) give_up(in, Stage::exec);
  }
  if (!place(high[5], 0) || !place(high[5], 1) || !place(high[0], 3) || !place(high[1], 4) ||
      !place(high[2], 5))
    give_up(in, Stage::exec);
  // Threat 1: nothing else of the parent's may arrive.
  if (syscall(SYS_close_range, 6U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) != 0)
    give_up(in, Stage::exec);
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < 32; ++number) sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  umask(077);
  syscall(SYS_execveat, high[3], "", in.argv, in.env, AT_EMPTY_PATH);
  const ChildReport report{Stage::exec, errno, 0};
  if (write(high[4], &report, sizeof report) < 0) _exit(126);
  _exit(127);
}

[[noreturn]] void fail_stage(const ChildReport& report) {
  Error error(ExitCode::machine, fmt::format("{}: {}", stage_text[static_cast<int>(report.stage)],
                                             std::strerror(report.error)));
  error.add_context("starting the sandbox");
  // AppArmor lets the namespace come into being, but without its rights.
  if (report.stage >= Stage::unshare && report.stage <= Stage::ids)
    error.set_hint(user_namespace_remedy() + ", or use " + weaker_rung());
  throw error;
}

ChildReport read_report(int fd) {
  ChildReport report;
  const size_t count = read_some(fd, &report, sizeof report);
  if (count == 0) {
    report.stage = Stage::exec;
    report.error = ECHILD;
  }
  return report;
}

}  // namespace

std::string IdPlan::describe() const {
  switch (kind) {
    case Kind::root_range:
      return fmt::format("ids 0-{} at {}", uids.count - 1, uids.outside);
    case Kind::subids:
      return fmt::format("ids 1-{} at {}", uids.count, uids.outside);
    case Kind::single:
      return fmt::format("a single id: {}", why_single);
  }
  return {};
}

std::optional<IdRange> find_subids(std::string_view text, std::string_view name, uint32_t id) {
  std::optional<IdRange> best;
  for (const std::string& line : split(text, '\n')) {
    const std::vector<std::string> parts = split(line, ':');
    if (parts.size() != 3) continue;
    const bool ours = (!name.empty() && parts[0] == name) || parse_id(parts[0]) == id;
    const auto start = parse_id(trim(parts[1])), count = parse_id(trim(parts[2]));
    if (!ours || !start || !count || *start == 0) continue;
    if (static_cast<uint64_t>(*start) + *count > UINT32_MAX) continue;
    if (!best || *count > best->count) best = IdRange{*start, *count};
  }
  return best;
}

IdPlan plan_ids(uint32_t root_base) {
  IdPlan plan;
  plan.self_uid = geteuid();
  plan.self_gid = getegid();
  if (plan.self_uid == 0 && has_all_ids("/proc/self/uid_map") &&
      has_all_ids("/proc/self/gid_map")) {
    SLIPWAY_CHECK(root_base >= ids_wanted);
    plan.kind = IdPlan::Kind::root_range;
    plan.uids = plan.gids = {root_base, ids_wanted};
    return plan;
  }
  const std::string name = user_name(plan.self_uid);
  const auto subuids = read_file_if_exists("/etc/subuid", subid_file_max);
  const auto subgids = read_file_if_exists("/etc/subgid", subid_file_max);
  const auto uids = find_subids(subuids.value_or(""), name, plan.self_uid);
  const auto gids = find_subids(subgids.value_or(""), name, plan.self_uid);
  if (!uids || !gids) {
    plan.why_single = fmt::format("{} has no range in {}", name.empty() ? "this user" : name,
                                  !uids ? "/etc/subuid" : "/etc/subgid");
  } else if (uids->count < ids_wanted - 1 || gids->count < ids_wanted - 1) {
    plan.why_single = fmt::format("the range in {} is smaller than 65535",
                                  uids->count < ids_wanted - 1 ? "/etc/subuid" : "/etc/subgid");
  } else if (find_program("newuidmap").empty() || find_program("newgidmap").empty()) {
    plan.why_single = "newuidmap and newgidmap are not installed";
  } else {
    plan.kind = IdPlan::Kind::subids;
    plan.uids = {uids->outside, ids_wanted - 1};
    plan.gids = {gids->outside, ids_wanted - 1};
  }
  return plan;
}

Owners plan_owners(Isolation isolation, uint32_t root_base) {
  switch (isolation) {
    case Isolation::chroot:
      return Owners::own;
    case Isolation::none:
      return Owners::single;
    case Isolation::oci:
      break;
  }
  return plan_ids(root_base).single_id() ? Owners::single : Owners::mapped;
}

const char* owners_name(Owners owners) {
  constexpr const char* names[] = {"mapped", "single", "own"};
  return names[static_cast<size_t>(owners)];
}

const char* isolation_name(Isolation isolation) {
  constexpr const char* names[] = {"oci", "chroot", "none"};
  return names[static_cast<size_t>(isolation)];
}

Child start_in_namespaces(const NamespaceStart& start) {
  Pipe go = Pipe::create(), report = Pipe::create();
  std::string words[] = {"slipway", "__worker"};
  std::string path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  char* argv[] = {words[0].data(), words[1].data(), nullptr};
  char* env[] = {path.data(), nullptr};
  const ChildInput in{start.store_root.c_str(),
                      start.program,
                      start.control,
                      go.read.get(),
                      report.write.get(),
                      {go.write.get(), report.read.get()},
                      !start.ids.single_id(),
                      argv,
                      env};
  const pid_t first = fork();
  if (first < 0) fail_errno("fork");
  if (first == 0) run_child(in);
  // From here on the child must not survive an exception.
  Child child(first, false);
  go.read.reset();
  report.write.reset();

  ChildReport answer = read_report(report.read.get());
  if (answer.stage != Stage::none) fail_stage(answer);
  write_maps(first, start.ids);
  write_all(go.write.get(), "g");
  answer = read_report(report.read.get());
  if (answer.stage != Stage::none) fail_stage(answer);
  Child worker(answer.worker, false);
  (void)child.wait();
  // Exec closes the pipe; only a failed one writes once more.
  ChildReport late;
  if (read_some(report.read.get(), &late, sizeof late) > 0) fail_stage(late);
  return worker;
}

std::string weaker_rung() {
  return chroot_obstacle().empty()
             ? "--isolation=chroot for Dockerfiles, where this container is all the protection"
             : "--isolation=none, which builds Dockerfiles without RUN, and buildpacks on "
               "--stack=host, on a machine you can spare";
}

std::string user_namespace_remedy() {
  const auto value = [](const char* path) {
    const auto text = read_file_if_exists(path, 64);
    return text ? std::string(trim(*text)) : std::string();
  };
  if (value("/proc/sys/user/max_user_namespaces") == "0")
    return "user namespaces are switched off: sudo sysctl -w user.max_user_namespaces=65536";
  if (value("/proc/sys/kernel/unprivileged_userns_clone") == "0")
    return "unprivileged user namespaces are switched off: "
           "sudo sysctl -w kernel.unprivileged_userns_clone=1";
  if (value("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1")
    return "AppArmor restricts user namespaces here (Ubuntu 23.10 and later): "
           "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
  return "in a container, allow user namespaces (docker run --security-opt seccomp=unconfined "
         "--security-opt apparmor=unconfined)";
}

}  // namespace slipway::sandbox
