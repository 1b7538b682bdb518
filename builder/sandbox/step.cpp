#include "sandbox/step.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"
#include "sandbox/descendants.h"
#include "sandbox/runtime_spec.h"

namespace slipway::sandbox {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t runtime_log_max = 1 << 20;
constexpr int exit_not_found = 127, exit_not_executable = 126;

/// The socket on which the runtime hands over the terminal it made.
class Console {
 public:
  explicit Console(const std::string& path) : path_(path) {
    listener_ = Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!listener_) fail_errno("create a socket");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    SLIPWAY_CHECK(path.size() < sizeof address.sun_path);
    path.copy(address.sun_path, path.size());
    if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener_.get(), 1) != 0)
      fail_errno("listen on the console socket");
  }
  const std::string& path() const { return path_; }
  int fd() const { return listener_.get(); }
  /// Passes the terminal on to the parent.
  void forward(int channel) {
    const Fd peer(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer) fail_errno("accept the console");
    char byte[256];
    iovec part{byte, sizeof byte};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr received{};
    received.msg_iov = &part;
    received.msg_iovlen = 1;
    received.msg_control = control;
    received.msg_controllen = sizeof control;
    if (recvmsg(peer.get(), &received, MSG_CMSG_CLOEXEC) <= 0) fail_errno("receive the console");
    const cmsghdr* header = CMSG_FIRSTHDR(&received);
    if (header == nullptr || header->cmsg_type != SCM_RIGHTS)
      throw Error(ExitCode::machine, "the runtime sent no terminal");
    int fd = -1;
    std::copy_n(CMSG_DATA(header), sizeof fd, reinterpret_cast<unsigned char*>(&fd));
    const Fd master(fd);
    send_message(channel, message(Reply::terminal), {master.get()});
    listener_.reset();
  }

 private:
  std::string path_;
  Fd listener_;
};

/// What the runtime reported as errors, or empty: then the exit code is the command's own.
std::string runtime_errors(const std::string& log) {
  std::string errors;
  for (const std::string& line : split(log, '\n')) {
    const Json entry = Json::parse(line, nullptr, false);
    if (!entry.is_object() || entry.value("level", "error") != "error") continue;
    const auto text = entry.find("msg");
    if (text == entry.end() || !text->is_string()) continue;
    if (!errors.empty()) errors += "; ";
    errors += text->get<std::string>();
  }
  return errors;
}

/// A command that cannot be started is the build's failure, as a shell tells it; anything else the
/// runtime says is the machine's.
int exit_code_of_runtime_error(const std::string& errors) {
  const bool about_program = errors.find("executable file") != std::string::npos ||
                             errors.find("exec: ") != std::string::npos ||
                             errors.find("exec container process") != std::string::npos ||
                             errors.find("open executable") != std::string::npos ||
                             errors.find("cannot find") != std::string::npos;
  if (!about_program) return -1;
  for (const char* words : {"No such file", "no such file", "not found"})
    if (errors.find(words) != std::string::npos) return exit_not_found;
  return exit_not_executable;
}

enum class Ended : uint8_t { by_itself, canceled, timed_out };

/// Waits for the runtime while signals, cancellation and the time limit may strike.
Ended wait_for_runtime(Child& runtime, const ExecSpec& spec, int channel, Console* console,
                       ExitStatus& status) {
  const Fd handle(static_cast<int>(syscall(SYS_pidfd_open, runtime.pid(), 0)));
  if (!handle) fail_errno("pidfd_open");
  const auto started = Clock::now();
  for (;;) {
    int wait_ms = -1;
    if (spec.timeout) {
      const auto left = *spec.timeout - std::chrono::duration_cast<std::chrono::milliseconds>(
                                            Clock::now() - started);
      if (left.count() <= 0) return Ended::timed_out;
      wait_ms = static_cast<int>(std::min<int64_t>(left.count() + 1, INT_MAX));
    }
    pollfd polls[] = {{handle.get(), POLLIN, 0},
                      {channel, POLLIN, 0},
                      {console != nullptr ? console->fd() : -1, POLLIN, 0}};
    if (poll(polls, 3, wait_ms) < 0 && errno != EINTR) fail_errno("poll");
    if (polls[2].revents != 0) {
      console->forward(channel);
      console = nullptr;
    }
    if (polls[0].revents != 0) {
      status = runtime.wait();
      return Ended::by_itself;
    }
    if (polls[1].revents != 0) {
      std::string text;
      std::vector<Fd> none;
      if (!receive_message(channel, text, none)) return Ended::canceled;
      // The runtime passes signals on to the command.
      kill(runtime.pid(), Decoder(text).next<int>());
    }
  }
}

void write_config(const nlohmann::json& config) {
  const Fd file = open_file(std::string(place::step) + "/config.json", O_WRONLY | O_CREAT, 0600);
  write_all(file.get(), config.dump());
}

}  // namespace

ExecResult run_step(const WorkerState& state, const ExecSpec& spec, StepIo io, int channel) {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) fail_errno("become a subreaper");
  if (unshare(CLONE_NEWNS) != 0) fail_errno("unshare the mount namespace");
  // The runtime makes a namespace of its own for Network::none, uses ours otherwise.
  if (spec.network == graph::Network::open || spec.network == graph::Network::recorded) {
    if (!io.network) throw std::logic_error("a step with a network came without one");
    if (setns(io.network.get(), CLONE_NEWNET) != 0) fail_errno("enter the build's network");
  }
  StepRoot root(state, spec);
  for (const auto& [index, listener] : root.take_agents())
    send_message(channel, message(Reply::agent, index), {listener.get()});
  RuntimeInput input{spec, state.setup, root.user(), root.path(), root.cwd()};
  input.device_mounts = root.device_mounts();
  input.terminal = spec.terminal;
  input.own_network = spec.network == graph::Network::none;
  input.mount_sys = root.mount_sys();
  write_config(runtime_config(input));

  const std::string log = std::string(place::step) + "/log";
  SpawnOptions spawning;
  spawning.argv = {place::host + state.setup.runtime, std::string("--root=") + place::step + "/run",
                   "--log=" + log, "--log-format=json"};
  if (state.setup.is_crun) spawning.argv.push_back("--cgroup-manager=disabled");
  spawning.argv.insert(spawning.argv.end(), {"run", std::string("--bundle=") + place::step});
  std::optional<Console> console;
  if (spec.terminal) {
    console.emplace(std::string(place::step) + "/console");
    spawning.argv.push_back("--console-socket=" + console->path());
  }
  spawning.argv.push_back("step");
  spawning.env.emplace();
  (*spawning.env)["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  spawning.cwd = place::step;
  spawning.stdin_fd = io.streams[0].get();
  spawning.stdout_fd = io.streams[1].get();
  spawning.stderr_fd = io.streams[2].get();
  close_on_exec_from(3);  // threat 1
  Child runtime = spawn(spawning);
  for (Fd& stream : io.streams) stream.reset();

  ExecResult result;
  const Ended ended =
      wait_for_runtime(runtime, spec, channel, console ? &*console : nullptr, result.status);
  if (ended != Ended::by_itself) {
    runtime.signal(SIGKILL);
    (void)runtime.wait();
    result.status = {0, SIGKILL};
    result.timed_out = ended == Ended::timed_out;
  }
  kill_descendants();
  root.measure(result);
  if (ended == Ended::by_itself && !result.status.ok()) {
    const std::string errors =
        runtime_errors(read_file_if_exists(log, runtime_log_max).value_or(""));
    if (!errors.empty()) {
      const int code = exit_code_of_runtime_error(errors);
      if (code < 0)
        throw Error(ExitCode::machine, fmt::format("{}: {}", state.setup.runtime, errors))
            .set_hint("slipway doctor tells what this machine lacks");
      result.status = {code, 0};
    }
  }
  return result;
}

}  // namespace slipway::sandbox
