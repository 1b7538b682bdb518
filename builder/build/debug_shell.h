// --debug: a shell where a step failed, with its environment and mounts.
#pragma once

#include "sandbox/worker.h"

namespace slipway::build {

/// Needs a terminal on stdin; says so on stderr when there is none.
void debug_shell(sandbox::Worker& worker, const sandbox::ExecSpec& failed);

}  // namespace slipway::build
