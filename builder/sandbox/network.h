// The network of steps. Network::open gives all steps of a build one network namespace of their
// own, connected through pasta or slirp4netns: user-mode networking, no rights on the host needed,
// the host's loopback unreachable.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/process.h"

namespace slipway::sandbox {

/// Creates a network namespace with its loopback up and returns a descriptor of it; the caller
/// stays where it is. Called by a child of the worker.
Fd make_network_namespace();

/// Of the network namespace that the caller is in. Throws Error(machine).
void bring_loopback_up();

/// Which helper connects a namespace, found by looking at PATH.
struct NetworkHelper {
  enum class Kind : uint8_t { none, pasta, slirp4netns } kind = Kind::none;
  std::string program;
  std::string remedy;  ///< when kind is none, or when it cannot work for this user
  bool usable = false;
};
NetworkHelper find_network_helper();

/// The server that stands in for the host's when that listens on the host's loopback only.
inline constexpr const char* slirp_name_server = "10.0.2.3";
inline constexpr const char* pasta_name_server = "169.254.53.53";

/// pasta's command line for the namespace at the path `network`.
std::vector<std::string> pasta_command(const std::string& program, const std::string& network,
                                       const std::string& name_server);
/// Starts pasta for a namespace; called by a child of the worker, in the host's network. Returns
/// once a default route is there. Throws Error(machine) with pasta's own words. The process dies
/// with the calling thread.
Child start_pasta(const std::string& program, int network, const std::string& name_server);
/// Starts slirp4netns for the namespace `network`; called by the parent, because as root only it
/// may open the tunnel device. `worker` is a process in the user namespace that owns the network.
struct SlirpProcess {
  Child child;
  Fd alive;  ///< slirp4netns ends when this closes, also by this process's death
};
SlirpProcess start_slirp(const std::string& program, int network, pid_t worker);

}  // namespace slipway::sandbox
