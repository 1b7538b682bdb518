// Rung none: no namespaces and no isolation at all. Layers are plain directories, a workspace is a
// full copy, and steps run on the machine's own root, as the calling user, at the same absolute
// paths as elsewhere.
#pragma once

#include <memory>

#include "sandbox/worker.h"

namespace slipway::sandbox {

std::unique_ptr<Worker> start_plain_worker(const WorkerOptions& options);

}  // namespace slipway::sandbox
