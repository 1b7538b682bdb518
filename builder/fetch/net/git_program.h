// The git program, tamed: the only file that starts it. It gets no terminal, hooks, templates,
// filters or foreign GIT_* settings, speaks only the transports it is allowed, and credentials
// reach it through a helper bound to their origin: never by argv, where everybody could read them.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/process.h"

namespace slipway::netfetch {

/// Given in a URL's userinfo; sent only to the URL's origin (threat 14).
struct GitCredentials {
  std::string origin;  ///< scheme://host:port, empty = none
  std::string user, password;
};

struct GitOutput {
  ExitStatus status;
  std::string out;
  std::string err;  ///< without what is only progress
};

class GitProgram {
 public:
  using OnReceived = std::function<void(uint64_t bytes)>;

  /// Throws Error(machine) when git is not installed.
  explicit GitProgram(GitCredentials credentials = {});

  /// Which repository the next calls work in; empty = none.
  void set_repository(const std::string& git_dir) { git_dir_ = git_dir; }
  /// Transports allowed: "https:http:git:ssh", "file", or "none".
  void set_transports(const std::string& transports) { transports_ = transports; }
  /// Repositories are not looked for in this folder or above it.
  void set_ceiling(const std::string& folder) { ceiling_ = folder; }
  /// Objects of a push that is not accepted yet (inside a receive hook).
  void set_object_folders(const std::string& objects, const std::string& alternates);
  void set_ssh_command(const std::string& command) { ssh_command_ = command; }
  void set_on_received(OnReceived on_received) { on_received_ = std::move(on_received); }

  /// Runs to the end; at most out_max bytes of output.
  GitOutput run(const std::vector<std::string>& arguments, size_t out_max = 64 << 20) const;
  /// run() that throws Error(outside) "<doing>: <git's words>".
  std::string run_ok(const std::vector<std::string>& arguments, const std::string& doing) const;
  /// Starts it with its output in a pipe; its complaints go to the caller's stderr_fd.
  Child start(const std::vector<std::string>& arguments, int stdin_fd, int stdout_fd,
              int stderr_fd) const;

 private:
  std::map<std::string, std::string> environment() const;

  GitCredentials credentials_;
  std::string git_dir_, transports_ = "none", ceiling_, ssh_command_, objects_, alternates_;
  OnReceived on_received_;
};

/// What git said, in one line, without its boilerplate.
std::string git_words(const std::string& err);
/// What a person can do about it; empty when nothing is known.
std::string git_hint(const std::string& err);
/// Network trouble that may pass.
bool is_transient(const std::string& err);

}  // namespace slipway::netfetch
