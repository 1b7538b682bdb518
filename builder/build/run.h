// Starting what was built, as a dyno does (heroku.md §10): a slug file, or an app's last build.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "build/request.h"

namespace slipway::build {

struct RunRequest {
  std::string target;  ///< an existing file, then an app's name
  /// A process type, or one shell text, or (after --) words that are joined to one.
  std::string command;
  bool is_words = false;  ///< command came after "--": never a process type
  std::map<std::string, std::string> config;
  std::string stack;  ///< empty = the one it was built on
  sandbox::Isolation isolation = sandbox::Isolation::oci;
  sandbox::Limits limits;
  graph::Network network = graph::Network::host;
  std::optional<int> port;  ///< empty = 5000 or the next free one
};

/// Runs to the end with our stdin, stdout and stderr; returns the exit code to pass on (128+signal
/// when killed). Throws Error(usage) for an unknown target or an empty command.
int run_app(const Session& session, const RunRequest& request);

}  // namespace slipway::build
