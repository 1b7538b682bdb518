// Finding the OCI runtime and what it needs prepared; results that cost time are kept in the store.
#pragma once

#include <string>

#include "cache/store.h"

namespace slipway::sandbox {

struct Runtime {
  std::string path;
  std::string version;  ///< "crun 1.8.1"
  bool is_crun = true;
  /// Changes when the program does: path, size, time.
  std::string identity;
};

/// Looks at `wanted`, else for crun, then runc. Throws Error(machine) with the command that
/// installs one.
Runtime find_runtime(const std::string& wanted, cache::Store* store);

/// The seccomp profile as BPF, compiled once per profile and library.
std::string seccomp_bpf(cache::Store* store);

}  // namespace slipway::sandbox
