#include "sandbox/chroot_step.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "sandbox/descendants.h"
#include "sandbox/protocol.h"
#include "sandbox/runtime_spec.h"
#include "sandbox/seccomp.h"

namespace slipway::sandbox {

template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, ChrootCommand>
void fields(Coder& coder, T& v) {
  coder(v.argv, v.env, v.cwd, v.uid, v.gid, v.groups, v.no_new_privileges, v.all_capabilities,
        v.no_network, v.ulimits, v.timeout, v.present);
}

std::string encode(const ChrootCommand& command) {
  Encoder encoder;
  encoder(command);
  return encoder.take();
}

namespace {

using Clock = std::chrono::steady_clock;
constexpr int exit_not_found = 127, exit_not_executable = 126, exit_setup = 125;

[[noreturn]] void give_up(const char* doing, int code) {
  const int problem = errno;
  dprintf(STDERR_FILENO, "slipway: %s: %s\n", doing, strerror(problem));
  _exit(code);
}

void set_limits(const std::vector<graph::Ulimit>& limits) {
  const auto set = [](int number, int64_t soft, int64_t hard) {
    const auto value = [](int64_t given) {
      return given < 0 ? RLIM_INFINITY : static_cast<rlim_t>(given);
    };
    const rlimit limit{value(soft), value(hard)};
    if (setrlimit(static_cast<__rlimit_resource>(number), &limit) != 0)
      give_up("set a limit", exit_setup);
  };
  set(RLIMIT_CORE, 0, 0);
  const rlimit files = default_open_files();
  (void)setrlimit(RLIMIT_NOFILE, &files);
  for (const graph::Ulimit& limit : limits) set(limit_number(limit.name), limit.soft, limit.hard);
}

/// Docker's default set at most; never inheritable or ambient ones (threat 17).
void drop_capabilities(const ChrootCommand& command) {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    give_up("clear ambient capabilities", exit_setup);
  if (command.all_capabilities) return;
  for (int number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; ++number)
    if ((default_capabilities >> number & 1U) == 0 && prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0)
      give_up("drop a capability", exit_setup);
  if (command.uid != 0) return;  // taking on the id dropped the others
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (syscall(SYS_capget, &header, data) != 0) give_up("read the capabilities", exit_setup);
  for (int half = 0; half < 2; ++half) {
    const auto wanted = static_cast<uint32_t>(default_capabilities >> (32 * half));
    data[half].permitted &= wanted;
    data[half].effective = data[half].permitted;
    data[half].inheritable = 0;
  }
  if (syscall(SYS_capset, &header, data) != 0) give_up("drop capabilities", exit_setup);
}

[[noreturn]] void become_command(const ChrootCommand& command, int root) {
  if (fchdir(root) != 0 || chroot(".") != 0) give_up("enter the root", exit_setup);
  if (chdir(command.cwd.c_str()) != 0) give_up(command.cwd.c_str(), exit_setup);
  // Threat 1: where we are must be a place of this root.
  char where[PATH_MAX];
  if (getcwd(where, sizeof where) == nullptr || where[0] != '/')
    give_up("enter the working directory", exit_setup);
  umask(022);
  set_limits(command.ulimits);
  std::vector<gid_t> groups(command.groups.begin(), command.groups.end());
  if (setgroups(groups.size(), groups.data()) != 0 ||
      setresgid(command.gid, command.gid, command.gid) != 0)
    give_up("take on the user's groups", exit_setup);
  // The bounding set is narrowed while we still may.
  drop_capabilities(command);
  if (command.uid != 0 && setresuid(command.uid, command.uid, command.uid) != 0)
    give_up("take on the user", exit_setup);
  if (command.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    give_up("set no_new_privs", exit_setup);
  if (command.no_network) forbid_network();
  std::vector<std::string> words;
  std::string path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const auto& [name, value] : command.env) {
    words.push_back(name + "=" + value);
    if (name == "PATH") path = value;
  }
  std::vector<char*> argv, env;
  for (const std::string& word : command.argv) argv.push_back(const_cast<char*>(word.c_str()));
  for (const std::string& word : words) env.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  env.push_back(nullptr);
  close_on_exec_from(3);
  for (int number = 1; number < 32; ++number) signal(number, SIG_DFL);
  const std::string& program = command.argv.at(0);
  int problem = ENOENT;
  std::vector<std::string> places{""};
  if (program.find('/') == std::string::npos) {
    places = split(path, ':');
    for (std::string& folder : places) folder = (folder.empty() ? "." : folder) + "/";
  }
  for (const std::string& folder : places) {
    execve((folder + program).c_str(), argv.data(), env.data());
    if (errno != ENOENT && errno != ENOTDIR) problem = errno;
  }
  errno = problem;
  give_up(program.c_str(), problem == ENOENT ? exit_not_found : exit_not_executable);
}

/// /dev/stdout and /dev/stderr, where there is no /proc for them to lead to: what is written there
/// is passed on to the step's stream.
struct NamedStream {
  Fd pipe, stream;
  void pass_on() const {
    // Not more at a time: who writes without end must not keep us from the time limit.
    constexpr int rounds_max = 16;
    char buffer[16384];
    for (int i = 0; i < rounds_max; ++i) {
      const ssize_t count = read(pipe.get(), buffer, sizeof buffer);
      if (count <= 0) return;
      try {
        write_all(stream.get(), {buffer, static_cast<size_t>(count)});
      } catch (const Error&) {
        return;  // nobody reads the step's output any more
      }
    }
  }
};

std::vector<NamedStream> open_named_streams(int root) {
  std::vector<NamedStream> streams;
  for (const auto& [path, number] : {std::pair("dev/stdout", 1), std::pair("dev/stderr", 2)}) {
    // Open for writing, too: it never ends.
    Fd pipe = try_open_in_root(root, path, O_RDWR | O_NONBLOCK | O_NOFOLLOW);
    struct stat info {};
    if (!pipe || fstat(pipe.get(), &info) != 0 || !S_ISFIFO(info.st_mode))
      fail_errno("open /{} of the step", path);
    Fd stream(fcntl(number, F_DUPFD_CLOEXEC, 3));
    if (!stream) fail_errno("duplicate a stream");
    streams.push_back({std::move(pipe), std::move(stream)});
  }
  return streams;
}

/// Waits while signals, cancellation and the time limit may strike.
ExecResult wait_for(Child& child, const ChrootCommand& command, int control,
                    const std::vector<NamedStream>& streams) {
  const Fd handle(static_cast<int>(syscall(SYS_pidfd_open, child.pid(), 0)));
  if (!handle) fail_errno("pidfd_open");
  const auto started = Clock::now();
  ExecResult result;
  for (;;) {
    int wait_ms = -1;
    if (command.timeout) {
      const auto left = *command.timeout - std::chrono::duration_cast<std::chrono::milliseconds>(
                                               Clock::now() - started);
      result.timed_out = left.count() <= 0;
      wait_ms = static_cast<int>(std::clamp<int64_t>(left.count() + 1, 0, INT_MAX));
    }
    std::vector<pollfd> polls{{handle.get(), POLLIN, 0}, {control, POLLIN, 0}};
    for (const NamedStream& one : streams) polls.push_back({one.pipe.get(), POLLIN, 0});
    if (!result.timed_out && poll(polls.data(), polls.size(), wait_ms) < 0 && errno != EINTR)
      fail_errno("poll");
    for (const NamedStream& one : streams) one.pass_on();
    if (polls[0].revents != 0) {
      result.timed_out = false;
      result.status = child.wait();
      return result;
    }
    bool over = result.timed_out;
    if (!over && polls[1].revents != 0) {
      std::string text;
      std::vector<Fd> none;
      over = !receive_message(control, text, none);
      if (!over) kill(child.pid(), Decoder(text).next<int>());
    }
    if (!over) continue;
    child.signal(SIGKILL);
    (void)child.wait();
    result.status = {0, SIGKILL};
    return result;
  }
}

}  // namespace

int chroot_main(int control) {
  fcntl(control, F_SETFD, FD_CLOEXEC);
  const bool done = reply_errors(control, [&] {
    std::string text;
    std::vector<Fd> fds;
    if (!receive_message(control, text, fds)) throw Error(ExitCode::machine, "no command came");
    ChrootCommand command;
    Decoder decoder(text);
    fields(decoder, command);
    decoder.finish();
    if (command.argv.empty()) fail(ExitCode::app_files, "the command is empty");
    // What the command leaves behind comes to us, and ends with us.
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) fail_errno("become a subreaper");
    size_t next = 1;
    for (unsigned i = 0; i < 3; ++i) {
      Fd stream = (command.present >> i & 1U) != 0
                      ? std::move(fds.at(next++))
                      : open_file("/dev/null", i == 0 ? O_RDONLY : O_WRONLY);
      if (dup2(stream.get(), static_cast<int>(i)) < 0) fail_errno("dup2");
    }
    std::vector<NamedStream> streams = open_named_streams(fds.at(0).get());
    const pid_t pid = fork();
    if (pid < 0) fail_errno("fork");
    if (pid == 0) {
      try {
        become_command(command, fds.at(0).get());
      } catch (const std::exception& error) {
        dprintf(STDERR_FILENO, "slipway: %s\n", error.what());
        _exit(exit_setup);
      }
    }
    // Only the command and its named streams hold these now.
    const Fd null = open_file("/dev/null", O_RDWR);
    for (int i = 0; i < 3; ++i)
      if (dup2(null.get(), i) < 0) fail_errno("dup2");
    Child child(pid, false);
    const ExecResult result = wait_for(child, command, control, streams);
    kill_descendants();
    for (const NamedStream& one : streams) one.pass_on();
    streams.clear();
    send_message(control, message(Reply::ok, result));
  });
  return done ? 0 : static_cast<int>(ExitCode::machine);
}

std::string chroot_obstacle() {
  if (geteuid() != 0) return "it needs root";
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (syscall(SYS_capget, &header, data) != 0) return "the capabilities cannot be read";
  constexpr struct {
    int number;
    const char* name;
  } needed[] = {
      {CAP_SYS_CHROOT, "SYS_CHROOT"}, {CAP_CHOWN, "CHOWN"},     {CAP_DAC_OVERRIDE, "DAC_OVERRIDE"},
      {CAP_FOWNER, "FOWNER"},         {CAP_SETUID, "SETUID"},   {CAP_SETGID, "SETGID"},
      {CAP_MKNOD, "MKNOD"},           {CAP_SETPCAP, "SETPCAP"}, {CAP_SETFCAP, "SETFCAP"},
      {CAP_FSETID, "FSETID"},         {CAP_KILL, "KILL"}};
  for (const auto& one : needed)
    if ((data[one.number / 32].effective >> (one.number % 32) & 1U) == 0)
      return fmt::format("it needs the capability {}", one.name);
  return {};
}

}  // namespace slipway::sandbox
