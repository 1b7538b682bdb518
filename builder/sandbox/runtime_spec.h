// The OCI runtime configuration of a step (dockerfile.md X1 to X8). Pure: values in, JSON out.
#pragma once

#include <sys/resource.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sandbox/passwd.h"
#include "sandbox/protocol.h"

namespace slipway::sandbox {

/// Docker's default capabilities as a mask of capability numbers (X4).
constexpr uint64_t default_capabilities = 0xa80425fb;

struct RuntimeInput {
  const ExecSpec& spec;
  const Setup& setup;
  StepUser user;
  std::string rootfs;  ///< absolute path; step mounts are in place below it already
  std::string cwd;     ///< resolved: exists in the root, free of links
  bool terminal = false;
  /// The runtime makes a network namespace of its own; else the caller's current one is kept.
  bool own_network = true;
  /// Prepared source → place below the runtime's own /dev.
  std::vector<std::pair<std::string, std::string>> device_mounts;
  /// The runtime mounts a fresh /sys; else one stands below rootfs already.
  bool mount_sys = true;
};

nlohmann::json runtime_config(const RuntimeInput& input);

/// The type of a resource limit ("nofile" → "RLIMIT_NOFILE"); empty for an unknown name.
std::string limit_type(const std::string& name);

/// Its number, RLIMIT_NOFILE; -1 for an unknown name.
int limit_number(const std::string& name);

/// Throws for an unknown one, and for one that this process may not set.
void check_limit(const graph::Ulimit& limit);

/// Independent of the machine as far as it allows: Erlang and Java size tables by the soft limit.
rlimit default_open_files();

/// All capabilities there are, for Security::insecure.
constexpr uint64_t all_capabilities = (1ULL << 41) - 1;

/// Names of the set bits: "CAP_CHOWN", …
std::vector<std::string> capability_names(uint64_t mask);

/// Paths that the runtime hides or makes read-only; the self check looks whether it did.
const std::vector<std::string>& masked_paths();
const std::vector<std::string>& readonly_paths();

}  // namespace slipway::sandbox
