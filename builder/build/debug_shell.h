// --debug: a shell where a step failed, with its environment and mounts.
#pragma once

#include "sandbox/worker.h"

namespace slipway::build {

/// Talks on stdin and stderr, also where they are no terminal; says so when the step's filesystem
/// has no shell. One at a time.
void debug_shell(sandbox::Worker& worker, const sandbox::ExecSpec& failed);

}  // namespace slipway::build
