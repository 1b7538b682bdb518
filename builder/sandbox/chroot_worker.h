// Rung chroot: root in a container that may neither mount nor unshare (a CI pod). Bases are copied,
// steps run in them after a chroot, mounts are placed and removed as files, and what a step changed
// is found by comparing: layers are the same as on rung oci. Steps share the container's processes,
// network and kernel view with the builder and with one another; /proc is not there. The container
// is the protection.
#pragma once

#include <memory>

#include "sandbox/ids.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

/// Root keeps the owners of snapshots in one way only in a store. Throws Error(machine) where they
/// are kept in another.
void check_owners(const cache::Store& store, Owners owners);
/// From now on they are kept that way.
void claim_owners(cache::Store& store, Owners owners);

/// Throws Error(machine) where this cannot work.
std::unique_ptr<Worker> start_chroot_worker(const WorkerOptions& options);

}  // namespace slipway::sandbox
