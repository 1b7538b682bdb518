// The worker's side: pid 1 of its namespaces, single-threaded. Each request is served by a child of
// its own, so that requests run in parallel and a crash on foreign bytes costs one request only.
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/chroot_step.h"
#include "sandbox/mounts.h"
#include "sandbox/network.h"
#include "sandbox/requests.h"
#include "sandbox/step_root.h"

namespace slipway::sandbox {
namespace {

// Descriptors given by start_in_namespaces().
constexpr int control_fd = 3, snapshots_fd = 4, caches_fd = 5;

void make_link(const char* target, const char* name) {
  if (symlink(target, name) != 0) fail_errno("create link {}", name);
}
void make_folder(const char* name, mode_t mode) {
  if (mkdir(name, 0700) != 0) fail_errno("create {}", name);
  if (chmod(name, mode) != 0) fail_errno("chmod {}", name);
}

/// Exchanges the root for a small private one: the store's directories at short paths, the machine
/// below /old. /sys stays empty: crun refuses hybrid cgroups when it sees them.
void enter_private_root() {
  constexpr const char* base = "/tmp";  // exists on every machine; covered for this process only
  if (mount("slipway", base, "tmpfs", MS_NODEV | MS_NOSUID, "mode=0755") != 0)
    fail_errno("mount a tmpfs");
  if (chdir(base) != 0) fail_errno("chdir {}", base);
  for (const char* name : {"old", "s", "c", "r", "x", "proc", "sys", "run"})
    make_folder(name, 0755);
  // The runtime asks what kind of cgroup is there; a plain folder says none.
  make_folder("sys/fs", 0755);
  make_folder("sys/fs/cgroup", 0755);
  make_folder("tmp", 01777);
  for (const auto& [fd, name] : {std::pair(snapshots_fd, "s"), std::pair(caches_fd, "c")}) {
    const Fd target = open_file(name, O_PATH | O_DIRECTORY);
    attach(fd, target.get());
    close(fd);
  }
  if (syscall(SYS_pivot_root, ".", "old") != 0) fail_errno("pivot_root");
  if (chdir("/") != 0) fail_errno("chdir /");
  for (const char* name :
       {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "nix", "opt", "sbin", "usr"}) {
    const std::string target = fmt::format("old/{}", name);
    if (access(target.c_str(), F_OK) == 0) make_link(target.c_str(), name);
  }
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    const int saved = errno;
    Error error(ExitCode::machine, fmt::format("mount /proc: {}", strerror(saved)));
    throw error.set_hint(
        "parts of /proc are covered here, as in most containers: run the container with "
        "--security-opt systempaths=unconfined, or use --isolation=chroot as root, or none");
  }
}

bool tmpfs_takes_user_attributes() {
  const std::string probe = std::string(place::shared) + "/probe";
  const Fd file = open_file(probe, O_WRONLY | O_CREAT, 0600);
  const bool works = fsetxattr(file.get(), "user.slipway", "1", 1, 0) == 0;
  (void)unlink(probe.c_str());
  return works;
}

/// Makes this worker's scratch directory, held by a lock for as long as the worker lives, and
/// removes those of workers that are gone.
void make_scratch(const std::string& name) {
  const Fd guard = open_file(".scratch.lock", O_RDWR | O_CREAT, 0600);
  while (flock(guard.get(), LOCK_EX) != 0)
    if (errno != EINTR) fail_errno("lock");
  const Fd here = open_file(".", O_RDONLY | O_DIRECTORY);
  for (const std::string& entry : list_directory(here.get())) {
    if (!starts_with(entry, scratch_prefix)) continue;
    const Fd left = open_at_if_exists(here.get(), entry, O_RDONLY | O_DIRECTORY);
    if (left && flock(left.get(), LOCK_EX | LOCK_NB) == 0) remove_tree_at(here.get(), entry);
  }
  if (mkdir(name.c_str(), 0700) != 0) fail_errno("create {}", name);
  // Held open until the process ends.
  const int held = open_at(here.get(), name, O_RDONLY | O_DIRECTORY).release();
  if (flock(held, LOCK_EX) != 0) fail_errno("lock");
}

/// Removes caches that were set aside and are in use by nobody, after the work.
void sweep_caches() {
  const Fd caches = open_file(place::caches, O_RDONLY | O_DIRECTORY);
  for (const std::string& name : list_directory(caches.get())) {
    if (name.find(old_cache_mark) == std::string::npos && name.find(".new-") == std::string::npos)
      continue;
    const Fd cache = open_at_if_exists(caches.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (cache && flock(cache.get(), LOCK_EX | LOCK_NB) == 0) remove_tree_at(caches.get(), name);
  }
}

/// Writes what all steps share and sweeps what killed workers left.
void prepare(WorkerState& state) {
  if (!state.setup.ca_bundle.empty()) {
    const Fd file =
        open_file(std::string(place::shared) + "/ca.crt", O_WRONLY | O_CREAT | O_EXCL, 0600);
    write_all(file.get(), state.setup.ca_bundle);
    if (fchmod(file.get(), 0444) != 0) fail_errno("chmod");
    state.setup.ca_bundle = "mounted";  // the text is not needed again
  }
  state.tmpfs_upper = tmpfs_takes_user_attributes();
  if (chdir(place::snapshots) != 0) fail_errno("chdir {}", place::snapshots);
  if (!state.tmpfs_upper) make_scratch(state.setup.scratch);
}

void become_child(int signals) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  close(signals);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// Ends this process when the parent lets go of the channel: nobody waits for the answer. A step
/// watches its channel itself, because it has more to clean up.
void watch_channel(int channel) {
  std::thread([channel] {
    pollfd poller{channel, POLLRDHUP, 0};
    while (poll(&poller, 1, -1) < 0 && errno == EINTR) {
    }
    _exit(1);
  }).detach();
}

[[noreturn]] void serve_in_child(const WorkerState& state, std::string text, std::vector<Fd> fds) {
  const Fd channel = std::move(fds.front());
  fds.erase(fds.begin());
  (void)reply_errors(channel.get(), [&] {
    Decoder decoder(text);
    const auto request = decoder.next<Request>();
    if (request != Request::exec) watch_channel(channel.get());
    serve_request(state, request, decoder, std::move(fds), channel.get());
  });
  // No destructors: the watching thread may be anywhere.
  _exit(0);
}

/// Reaps children; orphans of a request that died are killed, none of them is ours to keep.
void reap(std::set<pid_t>& children) {
  bool one_died = false;
  for (;;) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) break;
    if (children.erase(pid) == 0) continue;
    one_died = true;
    kill(-pid, SIGKILL);
  }
  if (!one_died) return;
  const std::string list = read_file_if_exists("/proc/1/task/1/children", 1 << 20).value_or("");
  const char* text = list.c_str();
  for (;;) {
    char* end = nullptr;
    const long pid = strtol(text, &end, 10);
    if (end == text) break;
    text = end;
    if (pid > 1 && !children.contains(static_cast<pid_t>(pid)))
      kill(static_cast<pid_t>(pid), SIGKILL);
  }
}

void serve(const WorkerState& state, int control) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  sigprocmask(SIG_SETMASK, &blocked, nullptr);
  const Fd signals(signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) fail_errno("signalfd");
  std::set<pid_t> children;
  for (;;) {
    pollfd polls[] = {{control, POLLIN, 0}, {signals.get(), POLLIN, 0}};
    if (poll(polls, 2, -1) < 0) {
      if (errno == EINTR) continue;
      fail_errno("poll");
    }
    if (polls[1].revents != 0) {
      signalfd_siginfo info;
      while (read(signals.get(), &info, sizeof info) == sizeof info) {
      }
      reap(children);
    }
    if (polls[0].revents == 0) continue;
    std::string text;
    std::vector<Fd> fds;
    if (!receive_message(control, text, fds)) return;
    if (fds.empty()) continue;
    const pid_t pid = fork();
    if (pid == 0) {
      close(control);
      become_child(signals.get());
      serve_in_child(state, std::move(text), std::move(fds));
    }
    if (pid > 0) {
      setpgid(pid, pid);
      children.insert(pid);
    } else {
      const int saved = errno;
      (void)reply_errors(fds.front().get(), [&] { fail_errno_text(saved, "fork"); });
    }
  }
}

}  // namespace

int worker_main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[2]) == "chroot") return chroot_main(std::atoi(argv[3]));
  struct stat info {};
  if (getpid() != 1 || fstat(control_fd, &info) != 0 || !S_ISSOCK(info.st_mode)) {
    std::fputs("slipway: __worker is started by slipway itself\n", stderr);
    return static_cast<int>(ExitCode::usage);
  }
  for (const int fd : {control_fd, snapshots_fd, caches_fd}) fcntl(fd, F_SETFD, FD_CLOEXEC);
  WorkerState state;
  const bool ready = reply_errors(control_fd, [&] {
    std::string text;
    std::vector<Fd> fds;
    if (!receive_message(control_fd, text, fds)) throw Error(ExitCode::machine, "no setup came");
    Decoder decoder(text);
    state.setup = decoder.next<Setup>();
    decoder.finish();
    enter_private_root();
    prepare(state);
    send_message(control_fd, message(Reply::ok));
  });
  // Leaving ends pid 1, and with it every process and mount of the worker's.
  if (ready) (void)reply_errors(control_fd, [&] { serve(state, control_fd); });
  try {
    if (ready) sweep_caches();
  } catch (const std::exception&) {
    // A later worker's turn.
  }
  if (ready && !state.tmpfs_upper) {
    try {
      remove_tree_at(AT_FDCWD, state.setup.scratch);
    } catch (const std::exception&) {
      // Swept by a later worker.
    }
  }
  return ready ? 0 : static_cast<int>(ExitCode::machine);
}

}  // namespace slipway::sandbox
