// The `host` stack: a root made of the machine's own /usr, /bin, /sbin, /lib*, /opt and a filtered
// /etc, read-only. Never homes, /var, /run, password hashes, host keys or other credentials.
#pragma once

#include <string>

namespace slipway::sandbox {

/// Fills `etc` (an empty or absent directory) with copies of the files of `host_etc` that programs
/// need and that hold no secrets, and with passwd and group of our own.
void make_host_etc(const std::string& host_etc, const std::string& etc);

/// Makes the root at the empty directory `root` (a tmpfs): binds, links as they are on the machine,
/// and the empty folders a build expects. `host` is where the machine's root is seen, `etc` the
/// prepared directory.
void mount_host_root(const std::string& host, const std::string& etc, const std::string& root);

}  // namespace slipway::sandbox
