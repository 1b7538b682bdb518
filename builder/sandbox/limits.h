// Memory and processor limits of a build: a cgroup (version 1 or 2) that the worker and all steps
// are in. A limit that cannot be enforced is an error, never left out silently (X15).
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "sandbox/worker.h"

namespace slipway::sandbox {

class BuildLimits {
 public:
  /// Without limits asked for nothing is made. Throws Error(machine) naming why it is impossible.
  static std::unique_ptr<BuildLimits> create(const Limits& limits);
  /// Removes the cgroups; the processes in them must be gone.
  ~BuildLimits();
  BuildLimits(const BuildLimits&) = delete;
  BuildLimits& operator=(const BuildLimits&) = delete;

  /// Puts a process (and what it will start) under the limits.
  void add(pid_t pid);
  /// How many processes the kernel has killed for memory so far.
  uint64_t out_of_memory_kills() const;

 private:
  BuildLimits() = default;
  void create_version1(const Limits& limits);
  void create_version2(const Limits& limits);
  std::vector<std::string> folders_;  ///< cgroup directories we made, innermost last
  std::string procs_[2];              ///< cgroup.procs files; empty = none
  std::string events_;                ///< file with the "oom_kill" line
};

/// Whether limits can be enforced here, and what to do if not; for doctor.
struct LimitsSupport {
  bool ok = false;
  std::string detail, remedy;
};
LimitsSupport probe_limits();

}  // namespace slipway::sandbox
