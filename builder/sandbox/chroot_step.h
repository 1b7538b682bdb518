// Rung chroot: a command in a root that stands ready, run by a process of its own that outlives
// none of what the command started.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "sandbox/passwd.h"
#include "sandbox/wire.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

/// What the program "slipway __worker chroot FD" is told in its first message; the descriptors with
/// it are the root, then the streams that are present.
struct ChrootCommand {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> env;
  std::string cwd;  ///< exists
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;
  bool no_new_privileges = false;
  bool all_capabilities = false;
  bool no_network = false;
  std::vector<graph::Ulimit> ulimits;
  std::optional<std::chrono::milliseconds> timeout;
  uint32_t present = 0;  ///< bit i: stream i comes
};

std::string encode(const ChrootCommand& command);

/// Entry point: waits for the command on the descriptor, runs it, kills what it left, answers with
/// an ExecResult there. A message meanwhile is a signal number, its closing ends the step.
int chroot_main(int control);

/// Whether this process may change its root and take on other ids; else why not.
std::string chroot_obstacle();

}  // namespace slipway::sandbox
