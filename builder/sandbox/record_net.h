// The network of a recorded step, seen from inside: a namespace with nothing but its loopback, in
// which every address is this machine's own, so that whatever a step connects to ends at sockets of
// ours. The recorder outside serves them (record/proxy.h).
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"

namespace slipway::sandbox {

/// A listening socket for the recorder.
struct RecordListener {
  std::string kind;  ///< "web", "dns" (datagrams) or "dns-stream", as the recorder calls them
  Fd socket;
};

/// Brings the loopback up, makes all of IPv4 and IPv6 local to it, and opens the sockets: TCP 80
/// and 443 and DNS, of both families where the kernel has IPv6. To be called in a fresh network
/// namespace, by a thread that may configure it (root of the user namespace it belongs to). Throws
/// Error(machine).
std::vector<RecordListener> open_record_network();
/// Makes a network namespace so configured; the caller stays where it is. Called by a child of the
/// worker, as make_network_namespace().
struct RecordNetwork {
  Fd network;  ///< the namespace
  std::vector<RecordListener> listeners;
};
RecordNetwork make_record_network();

/// resolv.conf of a recorded step.
inline constexpr const char* record_resolv_conf = "nameserver 198.18.0.53\noptions ndots:0\n";

}  // namespace slipway::sandbox
