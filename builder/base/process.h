// Running child processes: chosen environment, closed descriptors, own process group, output
// captured or passed on. Shell lines are never built; argv goes to the program as it is.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/fd.h"

namespace slipway {

/// How a child ended. `signal` is 0 unless it was killed.
struct ExitStatus {
  int code = 0;
  int signal = 0;
  bool ok() const { return code == 0 && signal == 0; }
  /// Shell convention: 128+signal when killed.
  int shell_code() const { return signal != 0 ? 128 + signal : code; }
  std::string to_string() const;  ///< "exit 3", "killed by signal 9 (Killed)"
};
ExitStatus exit_status_from_wait(int wait_status);

struct SpawnOptions {
  std::vector<std::string> argv;  ///< argv[0] is looked up in PATH unless it has a slash
  /// Complete environment; empty optional = inherit ours.
  std::optional<std::map<std::string, std::string>> env;
  std::string cwd;                                    ///< empty = ours
  int stdin_fd = -1, stdout_fd = -1, stderr_fd = -1;  ///< -1 = /dev/null
  /// Descriptors to keep under the same number; all others are closed in the child.
  std::vector<int> keep_fds;
  bool own_process_group = true;
  bool die_with_parent = true;
};

/// Owner of a child: killed (with its group) and reaped when it goes out of scope.
class Child {
 public:
  Child() = default;
  explicit Child(pid_t pid, bool group) : pid_(pid), group_(group) {}
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();
  pid_t pid() const { return pid_; }
  bool running() const { return pid_ > 0; }
  void signal(int number) noexcept;
  ExitStatus wait();
  /// Empty while it runs.
  std::optional<ExitStatus> try_wait();

 private:
  pid_t pid_ = -1;
  bool group_ = false;
};

/// Throws ExitCode::machine ("run git: No such file or directory") when it cannot start.
Child spawn(const SpawnOptions& options);

struct RunOptions {
  std::vector<std::string> argv;
  std::optional<std::map<std::string, std::string>> env;
  std::string cwd;
  std::string input;             ///< given on stdin
  size_t output_max = 64 << 20;  ///< bytes captured of each stream; more is dropped
  std::optional<std::chrono::milliseconds> timeout;
  Cancel* cancel = nullptr;
  /// Called with each piece of output as it comes; `error` tells stderr from stdout.
  std::function<void(std::string_view data, bool error)> on_output;
};
struct RunResult {
  ExitStatus status;
  bool timed_out = false;
  std::string out, err;
};
/// Runs to the end. Does not wait for daemons that keep the pipes open (CMP-6). On cancel the
/// group is killed and Interrupted thrown.
RunResult run(const RunOptions& options);
/// run() that throws ExitCode::outside with the last lines of stderr unless it ends with 0.
RunResult run_ok(const RunOptions& options);
/// Full path of a program in PATH (or /usr/sbin, /sbin); empty when missing.
std::string find_program(const std::string& name);

}  // namespace slipway
