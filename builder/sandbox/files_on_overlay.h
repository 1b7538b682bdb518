// Batched file actions on a stack of layers, seen through an overlay.
#pragma once

#include "sandbox/worker.h"

namespace slipway::sandbox {

/// Applies a request to snapshots/<target> over its base layers, in a mount namespace of the
/// calling process's own. The current directory is snapshots/ and the target exists.
void apply_files_on_overlay(SnapshotId target, const FileRequest& request, bool single_id);

}  // namespace slipway::sandbox
