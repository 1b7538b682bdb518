// The network of steps. Network::open gives all steps of a build one network namespace of their own,
// connected through pasta or slirp4netns: user-mode networking, no rights on the host needed, the
// host's loopback unreachable.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/process.h"

namespace slipway::sandbox {

/// Creates a network namespace with its loopback up and returns a descriptor of it; the calling
/// process is in it afterwards. Called by a child of the worker.
Fd make_network_namespace();

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

/// pasta's command line for the namespace of process `holder`.
std::vector<std::string> pasta_command(const std::string& program, pid_t holder,
                                       const std::string& name_server);
/// Starts pasta for the namespace this process is in; called by a child of the worker. Returns once
/// a default route is there. Throws Error(machine) with pasta's own words.
Child start_pasta(const std::vector<std::string>& argv);
/// Starts slirp4netns for the namespace `network`; called by the parent, because as root only it
/// may open the tunnel device. `worker` is a process in the user namespace that owns the network.
Child start_slirp(const std::string& program, int network, pid_t worker);

}  // namespace slipway::sandbox
