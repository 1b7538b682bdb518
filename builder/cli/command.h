// Commands: one file each, one table. Help, completion and "did you mean" read the table.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "build/request.h"
#include "cache/store.h"
#include "fetch/registry.h"
#include "report/event.h"

namespace slipway::cli {

/// What a command needs to run; made when it first asks.
class Environment {
 public:
  Environment();
  ~Environment();
  /// The user's store; its warnings go to stderr once.
  cache::Store& store();
  report::Stream& stream();
  build::Session session();
  /// Adds the view `--progress NAME` asks for; ticks it while the command runs.
  void show_progress(const std::string& name, bool explain);
  void stop_progress();
  /// The command line had "--": what follows is a command, whatever it looks like.
  bool had_double_dash() const { return had_double_dash_; }
  void note_double_dash() { had_double_dash_ = true; }

 private:
  bool had_double_dash_ = false;
  struct State;
  std::unique_ptr<State> state_;
};

struct Command {
  const char* name;
  const char* help;  ///< one line
  /// Declares the options; the returned call does the work and gives the exit code.
  std::function<int()> (*setup)(CLI::App& app, Environment& environment);
};

/// In the order of `slipway --help`.
const std::vector<Command>& commands();

std::function<int()> setup_build(CLI::App& app, Environment& environment);
std::function<int()> setup_detect(CLI::App& app, Environment& environment);
std::function<int()> setup_plan(CLI::App& app, Environment& environment);
std::function<int()> setup_run(CLI::App& app, Environment& environment);
std::function<int()> setup_slug(CLI::App& app, Environment& environment);
std::function<int()> setup_stack(CLI::App& app, Environment& environment);
std::function<int()> setup_buildpack(CLI::App& app, Environment& environment);
std::function<int()> setup_cache(CLI::App& app, Environment& environment);
std::function<int()> setup_login(CLI::App& app, Environment& environment);
std::function<int()> setup_logout(CLI::App& app, Environment& environment);
std::function<int()> setup_doctor(CLI::App& app, Environment& environment);
std::function<int()> setup_version(CLI::App& app, Environment& environment);
std::function<int()> setup_completion(CLI::App& app, Environment& environment);

/// The whole program but for the worker's entry; returns the exit code.
int run_program(int argc, char** argv);

/// Prints "error: …" and "hint: …" on stderr.
void print_error(const Error& error);

// Options several commands share.
struct SandboxOptions {
  std::string isolation = "oci";
  std::string memory, timeout;
  double cpus = 0;
  void declare(CLI::App& app, bool with_timeout);
  sandbox::Isolation parsed_isolation() const;
  sandbox::Limits parsed_limits() const;
};
struct ConfigOptions {
  std::vector<std::string> env, env_files, secret_env;
  void declare(CLI::App& app);
  /// Later ones win; -e over files. Throws Error(usage).
  std::map<std::string, std::string> parsed(std::set<std::string>* secret_names) const;
};
/// How registries are reached: flags, each with a variable of a space-separated list behind it.
struct RegistryOptions {
  std::vector<std::string> insecure, mirrors, token_hosts;
  /// Mirrors only where something is pulled.
  void declare(CLI::App& app, bool with_mirrors);
  /// Throws Error(usage).
  fetch::RegistrySettings parsed() const;
};
graph::Network parse_network(const std::string& name);
/// A table on stdout: columns padded, or JSON with the header as keys.
void print_table(const std::vector<std::string>& header,
                 const std::vector<std::vector<std::string>>& rows, bool json);

}  // namespace slipway::cli
