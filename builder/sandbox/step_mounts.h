// What the mounts of a step have in common on every rung that changes the root.
#pragma once

#include <string>

#include "base/fd.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

/// Throws Error(app_files) unless `dest` is an absolute path at which something may be mounted.
void check_mount_dest(const std::string& dest);
/// Throws Error(app_files) unless it is one name.
/// A step's working directory without ".." and doubled slashes. Throws Error(app_files) for what is
/// not absolute or leads to a descriptor: below /proc and /dev a runtime would follow it to one of
/// its own (threat 1). To be asked again about where links led.
std::string clean_cwd(const std::string& cwd);
void check_mount_name(const std::string& name);

/// Opens the directory of a cache mount below `caches`, made and seeded when it is missing.
Fd take_cache(int caches, int snapshots, const StepMount& mount, bool single_id);

/// /etc/hosts of a step (X8). Throws Error(usage) for a malformed extra host.
std::string hosts_text(const ExecSpec& spec);

}  // namespace slipway::sandbox
