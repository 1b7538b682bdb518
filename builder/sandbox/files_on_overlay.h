// Batched file actions on a stack of layers, inside the worker.
#pragma once

#include "sandbox/worker.h"

namespace slipway::sandbox {

/// Applies a request to snapshots/<target>, which is made, over its base layers. Only unpacking
/// mounts an overlay, in a mount namespace of the calling process's own. The current directory is
/// `snapshots`.
FileResult apply_files_on_overlay(int snapshots, SnapshotId target, const FileRequest& request,
                                  bool single_id);

}  // namespace slipway::sandbox
