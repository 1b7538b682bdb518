#include "base/process.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "base/files.h"

namespace slipway {
namespace {

using Clock = std::chrono::steady_clock;
// How long output may trail the child's exit when something else still holds the pipe.
constexpr auto drain_grace = std::chrono::milliseconds(100);

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> list;
  for (const std::string& word : words) list.push_back(const_cast<char*>(word.c_str()));
  list.push_back(nullptr);
  return list;
}

}  // namespace

std::string ExitStatus::to_string() const {
  if (signal != 0) return fmt::format("killed by signal {} ({})", signal, strsignal(signal));
  // Shells and container runtimes tell a signal this way.
  if (code > 128 && code < 128 + NSIG / 2)
    return fmt::format("exit {} (128 + signal {}: {})", code, code - 128, strsignal(code - 128));
  return fmt::format("exit {}", code);
}

ExitStatus exit_status_from_wait(int wait_status) {
  if (WIFSIGNALED(wait_status)) return {0, WTERMSIG(wait_status)};
  return {WEXITSTATUS(wait_status), 0};
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), group_(other.group_) {}
Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    this->~Child();
    pid_ = std::exchange(other.pid_, -1);
    group_ = other.group_;
  }
  return *this;
}
Child::~Child() {
  if (pid_ <= 0) return;
  signal(SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}
void Child::signal(int number) noexcept {
  if (pid_ > 0) kill(group_ ? -pid_ : pid_, number);
}
ExitStatus Child::wait() {
  SLIPWAY_CHECK(pid_ > 0);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0)
    if (errno != EINTR) fail_errno("wait for a child");
  // The leader is gone; whoever it left in its group goes too.
  if (group_) kill(-pid_, SIGKILL);
  pid_ = -1;
  return exit_status_from_wait(status);
}
std::optional<ExitStatus> Child::try_wait() {
  SLIPWAY_CHECK(pid_ > 0);
  int status = 0;
  const pid_t result = waitpid(pid_, &status, WNOHANG);
  if (result == 0) return std::nullopt;
  if (result < 0) {
    if (errno == EINTR) return std::nullopt;
    fail_errno("wait for a child");
  }
  if (group_) kill(-pid_, SIGKILL);
  pid_ = -1;
  return exit_status_from_wait(status);
}

Child spawn(const SpawnOptions& options) {
  SLIPWAY_CHECK(!options.argv.empty());
  std::string program = options.argv[0];
  if (program.find('/') == std::string::npos) {
    program = find_program(program);
    if (program.empty())
      fail(ExitCode::machine, "run {}: the program is not installed", options.argv[0]);
  }
  // All allocation happens before fork: afterwards only async-signal-safe calls are allowed.
  std::vector<std::string> env_words;
  if (options.env)
    for (const auto& [key, value] : *options.env) env_words.push_back(key + "=" + value);
  std::vector<char*> argv = pointers(options.argv);
  std::vector<char*> env = pointers(env_words);
  std::vector<int> keep = options.keep_fds;
  std::sort(keep.begin(), keep.end());
  const Fd null = open_file("/dev/null", O_RDWR);
  Pipe failure = Pipe::create();
  const int streams[3] = {options.stdin_fd, options.stdout_fd, options.stderr_fd};
  const pid_t parent = getpid();

  const pid_t pid = fork();
  if (pid < 0) fail_errno("fork");
  if (pid == 0) {
    if (options.own_process_group) setpgid(0, 0);
    if (options.die_with_parent) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(127);
    }
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD}) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    // Move the sources clear of 0..2 first, so that dup2 cannot overwrite one still needed.
    int moved[3];
    bool good = true;
    for (int i = 0; i < 3; ++i) {
      moved[i] = fcntl(streams[i] >= 0 ? streams[i] : null.get(), F_DUPFD_CLOEXEC, 3);
      good = good && moved[i] >= 0;
    }
    for (int i = 0; good && i < 3; ++i) good = dup2(moved[i], i) >= 0;
    for (const int fd : keep) good = good && fcntl(fd, F_SETFD, 0) == 0;
    if (good && !options.cwd.empty()) good = chdir(options.cwd.c_str()) == 0;
    if (good) {
      if (options.env)
        execve(program.c_str(), argv.data(), env.data());
      else
        execv(program.c_str(), argv.data());
    }
    const int saved = errno;
    if (write(failure.write.get(), &saved, sizeof saved) < 0) _exit(126);
    _exit(127);
  }
  if (options.own_process_group) setpgid(pid, pid);
  Child child(pid, options.own_process_group);
  failure.write.reset();
  int problem = 0;
  if (read_some(failure.read.get(), &problem, sizeof problem) > 0) {
    (void)child.wait();
    fail_errno_text(problem, "run " + options.argv[0]);
  }
  return child;
}

RunResult run(const RunOptions& options) {
  Pipe in = Pipe::create(), out = Pipe::create(), err = Pipe::create();
  SpawnOptions spawning;
  spawning.argv = options.argv;
  spawning.env = options.env;
  spawning.cwd = options.cwd;
  spawning.stdin_fd = in.read.get();
  spawning.stdout_fd = out.write.get();
  spawning.stderr_fd = err.write.get();
  Child child = spawn(spawning);
  in.read.reset();
  out.write.reset();
  err.write.reset();
  for (const Fd* end : {&in.write, &out.read, &err.read})
    fcntl(end->get(), F_SETFL, fcntl(end->get(), F_GETFL) | O_NONBLOCK);

  RunResult result;
  size_t written = 0;
  if (options.input.empty()) in.write.reset();
  const auto started = Clock::now();
  std::optional<Clock::time_point> ended;
  while (out.read || err.read || !ended) {
    if (!ended && child.running()) {
      if (const auto status = child.try_wait()) {
        result.status = *status;
        ended = Clock::now();
      }
    }
    if (ended && Clock::now() - *ended > drain_grace) break;
    if (!ended && options.timeout && Clock::now() - started > *options.timeout) {
      child.signal(SIGKILL);
      result.status = child.wait();
      result.timed_out = true;
      ended = Clock::now();
    }
    if (!ended && options.cancel != nullptr && options.cancel->requested()) {
      child.signal(SIGKILL);
      (void)child.wait();
      throw Interrupted();
    }
    pollfd polls[4] = {{out.read.get(), POLLIN, 0},
                       {err.read.get(), POLLIN, 0},
                       {in.write.get(), POLLOUT, 0},
                       {options.cancel != nullptr ? options.cancel->fd() : -1, POLLIN, 0}};
    // Short waits: the child's exit itself wakes nobody when a daemon keeps the pipes open.
    if (poll(polls, 4, ended ? 10 : 20) < 0 && errno != EINTR) fail_errno("poll");
    for (int i = 0; i < 2; ++i) {
      Fd& end = i == 0 ? out.read : err.read;
      if (!end || (polls[i].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
      char buffer[65536];
      const ssize_t count = read(end.get(), buffer, sizeof buffer);
      if (count > 0) {
        std::string& text = i == 0 ? result.out : result.err;
        const std::string_view piece(buffer, static_cast<size_t>(count));
        text.append(
            piece.substr(0, options.output_max - std::min(options.output_max, text.size())));
        if (options.on_output) options.on_output(piece, i == 1);
      } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        end.reset();
      }
    }
    if (in.write && (polls[2].revents & (POLLOUT | POLLERR | POLLHUP)) != 0) {
      const ssize_t count =
          write(in.write.get(), options.input.data() + written, options.input.size() - written);
      if (count > 0) written += static_cast<size_t>(count);
      if (written == options.input.size() || (count < 0 && errno != EAGAIN && errno != EINTR))
        in.write.reset();
    }
  }
  return result;
}

RunResult run_ok(const RunOptions& options) {
  RunResult result = run(options);
  if (result.status.ok()) return result;
  std::string tail =
      result.err.size() > 2000 ? result.err.substr(result.err.size() - 2000) : result.err;
  while (!tail.empty() && tail.back() == '\n') tail.pop_back();
  fail(ExitCode::outside, "{} failed ({}){}{}", options.argv[0],
       result.timed_out ? "time limit" : result.status.to_string(), tail.empty() ? "" : ": ", tail);
}

std::string find_program(const std::string& name) {
  const char* variable = std::getenv("PATH");
  std::string path = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  path += ":/usr/sbin:/sbin";
  size_t start = 0;
  while (start <= path.size()) {
    const size_t end = std::min(path.find(':', start), path.size());
    const std::string candidate = path.substr(start, end - start) + "/" + name;
    if (candidate[0] == '/' && access(candidate.c_str(), X_OK) == 0) return candidate;
    start = end + 1;
  }
  return {};
}

}  // namespace slipway
