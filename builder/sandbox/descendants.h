// Ending what a step left running.
#pragma once

namespace slipway::sandbox {

/// Kills and reaps all processes that were left to this one as their subreaper.
void kill_descendants();

}  // namespace slipway::sandbox
